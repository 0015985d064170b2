"""Makes the golden files of the graph on the disk, once: `python -m tests.support.golden_disk_index`.

It writes the newest version, if there is no file of that yet; what wrote earlier ones is in the history.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

import lance_fmt
from vego.index import DiskIndex
from vego.index.index_file import read_index
from vego.table.vectors import inverse_norms_of

FOLDER = Path(__file__).resolve().parents[1] / "vego" / "golden"
ROWS, DIMENSION, PART_ROWS = 120, 10, 80


def vectors() -> npt.NDArray[np.float32]:
    """The vectors (ROWS, DIMENSION), the same on every machine for ever."""
    i = np.arange(ROWS * DIMENSION, dtype=np.uint64)
    values = (i * np.uint64(2654435761) >> np.uint64(13)) % np.uint64(1 << 12)
    return (values.astype(np.float32) / np.float32(1 << 11) - 1).reshape(ROWS, DIMENSION)


def build() -> DiskIndex:
    """An index of them in two parts."""
    index = DiskIndex("cosine", DIMENSION, m=6, ef_construction=40, part_rows=PART_ROWS)
    rows = vectors()
    for _ in range(2):
        index.extend(rows, inverse_norms_of(rows), ROWS, threads=1)
    return index


if __name__ == "__main__":
    columns, metadata = build().to_columns()
    path = FOLDER / f"disk-v{metadata['version']}.lfmt"
    if not path.exists():
        lance_fmt.write(path, columns, metadata=metadata, level="speed")
    print(path, read_index(lance_fmt.open(path)))
