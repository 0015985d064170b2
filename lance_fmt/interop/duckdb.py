"""Files as tables of DuckDB, with projection and filters pushed down.

    connection = duckdb.connect()
    lance_fmt.interop.duckdb.register(connection, "trips", "trips.lfmt")
    connection.sql("select count(*) from trips where fare > 50")

A `Dataset` is also found by its variable's name, as DuckDB finds any pyarrow Dataset. `register` does better: it
tells DuckDB how many rows there are, by which joins are ordered, hands out decimals and strings in the layouts that
DuckDB reads without work, and takes over a filter only where statistics let it skip a part of the file: DuckDB's own
is faster on rows that must be read anyway.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lance_fmt.filter import And, Expression
from lance_fmt.interop.arrow_scan import BATCH_ROWS, ArrowScan, default_threads, rows_left
from lance_fmt.interop.expressions import translate
from lance_fmt.optional import need
from lance_fmt.reader import File, open

# A filter is taken over where it leaves no more than this share of the rows to be read.
_WORTH_PUSHING = 0.75
# Larger batches cost less where they still are so many for each thread.
_BATCHES = 8


def register(
    connection: Any,
    name: str,
    source: File | str | os.PathLike[str],
    *,
    batch_rows: int | None = None,
    threads: int | None = None,
) -> None:
    """Make `source`, a File or the path of one, the view `name` of a DuckDB connection.

    The file stays open as long as the view. `batch_rows` are decoded together (None: as suits the number of rows),
    and `threads` decode (None: one for each processor). Raises
    MissingPackageError, what `lance_fmt.open` raises, and DuckDB's errors.
    """
    need("duckdb", "duckdb")
    from lance_fmt.interop.dataset import Dataset

    file = source if isinstance(source, File) else open(source, mmap=True)
    if batch_rows is None:
        many = file.num_rows >= _BATCHES * 2 * BATCH_ROWS * (
            default_threads() if threads is None else threads
        )
        batch_rows = 2 * BATCH_ROWS if many else BATCH_ROWS
    dataset = Dataset(file, batch_rows=batch_rows, threads=threads)
    adopt = getattr(connection, "_register_arrow_source", None)
    made = None if adopt is None else _source(dataset, batch_rows, threads)
    if adopt is None or made is None:
        connection.register(name, dataset)
    else:
        adopt(name, made)


def _source(dataset: Any, batch_rows: int, threads: int | None) -> Any:
    """What DuckDB's own adapters are to a pyarrow Dataset; None where this DuckDB has none of the kind.

    DuckDB 2.0 has them in a private module: an older or newer one gets the Dataset itself.
    """
    try:
        from duckdb._sources import ArrowScanSource
        from duckdb._sources.nodes import Untranslatable
        from duckdb._sources.to_arrow import to_arrow
    except ImportError:
        return None
    file = dataset.file
    wide = dataset.schema

    def pushed(predicate: Any) -> Expression | None:
        """The filter that says exactly what `predicate` does."""
        try:
            found, exact = translate(to_arrow(predicate, wide), file.schema)
        except Untranslatable:
            return None
        return found if exact else None

    class Source(ArrowScanSource):
        """A file for DuckDB's Arrow scan."""

        schema_is_stable = True

        def __init__(self) -> None:
            super().__init__(dataset)
            self._declared = ArrowScan(file, narrow=True).schema

        def rows(self) -> int:
            return int(file.num_rows)

        def __arrow_c_schema__(self) -> object:
            return self._declared.__arrow_c_schema__()

        def accepts(self, predicate: Any) -> bool:
            found = pushed(predicate)
            return found is not None and rows_left(file, found) <= _WORTH_PUSHING * file.num_rows

        def stream(self, columns: Sequence[int] | None, filters: Sequence[Any]) -> tuple[object, bool]:
            names = self._declared.names
            chosen = None if columns is None else [names[place] for place in columns]
            parts = [found for predicate in filters if (found := pushed(predicate)) is not None]
            scan = ArrowScan(
                file,
                chosen,
                filter=And(tuple(parts)) if parts else None,
                batch_rows=batch_rows,
                threads=threads,
                narrow=True,
            )
            return scan.reader().__arrow_c_stream__(), chosen is not None

    return Source()
