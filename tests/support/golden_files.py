"""Makes the golden files, once: `python -m tests.support.golden_files`.

A builder never changes after its file is committed; a new version of the format gets new builders and new
names. Files that exist are never written again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import lance_fmt
from lance_fmt import Column, Table
from tests.support.format_values import file_of, sample_columns

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def types_1_0() -> Table:
    """Every type, with and without nulls."""
    return Table(sample_columns(40))


def pages_1_0() -> Table:
    """Every encoding, several pages and blocks."""
    i = np.arange(3000)
    columns = {
        "packed": Column.from_numpy(i * 7919 % 1021 + 10**6),
        "dictionary": Column.from_pylist([f"{(k * k) % 7:050d}" for k in range(3000)], lance_fmt.string()),
        "zstd": Column.from_pylist([f"text number {k % 900} " * 40 for k in range(3000)], lance_fmt.string()),
        "plain": Column.from_numpy((np.arange(3000 * 8) % 251).astype(np.float32).reshape(3000, 8) / 7),
    }
    return Table(columns)


def rows_1_0() -> Table:
    """More rows than one page of numbers holds."""
    i = np.arange(140_000)
    some = Column.from_numpy(i // 5000, None, i // 5000 % 2 == 0)
    return Table({"some": some, "none": Column.nulls(lance_fmt.bool_(), len(i))})


GOLDEN: dict[str, Callable[[], Table]] = {
    "v1.0-types.lfmt": types_1_0,
    "v1.0-pages.lfmt": pages_1_0,
    "v1.0-rows.lfmt": rows_1_0,
}
METADATA = {"made by": "tests.support.golden_files", "ü": ""}


def main() -> None:
    """Write the files that are missing."""
    FOLDER.mkdir(exist_ok=True)
    for name, build in GOLDEN.items():
        path = FOLDER / name
        if not path.exists():
            path.write_bytes(file_of(build(), metadata=METADATA))
            print(f"wrote {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
