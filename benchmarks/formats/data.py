"""What the formats are measured on beside the made-up table: two wide ones, and real ones where they are at hand."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.shared import DATA
from vego_tools.bench.formats.catalogue import SEED, plain


def wide(columns: int, rows: int = 10) -> pa.Table:
    """``columns`` int64 columns of a few rows."""
    values = np.random.default_rng(SEED).integers(0, 1 << 40, (columns, rows))
    return pa.table({f"feature_{i:05d}": values[i] for i in range(columns)})


def real_tables(limit: int | None = None, folder: Path = DATA) -> Iterator[tuple[str, pa.Table]]:
    """Tables and files of strings, smallest first; nothing where the folder does not exist."""
    paths = [*(folder / "tabular").glob("*.parquet"), *(folder / "strings").glob("*.txt.xz")]
    for path in sorted(paths, key=lambda path: (path.stat().st_size, path.name))[:limit]:
        if path.suffix == ".parquet":
            yield path.stem, plain(pq.read_table(path))
        else:
            with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
                yield (
                    path.name.removesuffix(".txt.xz"),
                    pa.table({"text": [one.rstrip("\n") for one in lines]}),
                )
