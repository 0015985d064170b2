"""Files as tables of DataFusion, with projection and filters pushed down.

    context = datafusion.SessionContext()
    lance_fmt.interop.datafusion.register(context, "trips", "trips.lfmt")
    context.sql("select count(*) from trips where fare > 50")

NaN is larger than all numbers, also in filters that are pushed down.
"""

from __future__ import annotations

import os
from typing import Any

from lance_fmt.interop.arrow_scan import BATCH_ROWS
from lance_fmt.optional import need
from lance_fmt.reader import File


def register(
    context: Any,
    name: str,
    source: File | str | os.PathLike[str],
    *,
    batch_rows: int = BATCH_ROWS,
    threads: int | None = None,
) -> None:
    """Make `source`, a File or the path of one, the table `name` of a DataFusion SessionContext.

    The table has one partition for each of `threads` (None: for each processor). Raises MissingPackageError and
    what `lance_fmt.open` raises.
    """
    need("datafusion", "datafusion")
    need("pyarrow", "arrow")
    from lance_fmt.interop.dataset import Dataset

    context.register_dataset(name, Dataset(source, batch_rows=batch_rows, threads=threads, largest_nan=True))
