"""A reader made from FORMAT.md alone reads what the package writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column
from tests.support import naive_reader
from tests.support.format_values import file_of, repeated, sample_columns
from tests.support.golden_files import FOLDER, GOLDEN, METADATA


def _stored(column: Column) -> list[Any]:
    """Values as the format stores them: bytes for text, ints for timestamps."""
    valid = [True] * len(column) if column.validity is None else column.validity.tolist()
    if column.type.is_list:
        items, bounds = _stored(column.child), column.bounds.tolist()
        rows = [items[bounds[i] : bounds[i + 1]] for i in range(len(column))]
    elif column.type.is_variable:
        rows = Column(lance_fmt.binary(), column.values, column.offsets).to_pylist()
    else:
        rows = column.array.tolist()
    return [row if ok else None for row, ok in zip(rows, valid, strict=True)]


def _check(data: bytes, columns: dict[str, Column]) -> dict[str, str]:
    found, metadata = naive_reader.read(data)
    assert list(found) == list(columns)
    for name, column in columns.items():
        np.testing.assert_equal(found[name], _stored(column), err_msg=name)
    return metadata


@pytest.mark.parametrize("level", ["speed", "balanced", "small"])
def test_every_type(level: str) -> None:
    columns = {name: repeated(column, 300) for name, column in sample_columns().items()}
    assert _check(file_of(columns, level=level, metadata={"a": "b"}), columns) == {"a": "b"}


def test_many_blocks_and_pages() -> None:
    columns = {
        "vector": Column.from_numpy(np.arange(300 * 900, dtype=np.float32).reshape(-1, 300)),
        "long": Column.from_pylist([f"{i % 97}" * 900 for i in range(900)], lance_fmt.string()),
        "few": Column.from_pylist(
            [f"{i % 3}" * 50 if i % 5 else None for i in range(900)], lance_fmt.string()
        ),
        "number": Column.from_numpy(np.arange(900) ** 3 % 1009),
    }
    with lance_fmt.open(file_of(columns)) as file:
        assert len(file.column("long").pages) > 1
        assert len(file.column("vector").pages) > 1
    _check(file_of(columns), columns)


def test_golden_files() -> None:
    for name in ("v1.0-types.lfmt", "v1.0-pages.lfmt"):
        assert _check((FOLDER / name).read_bytes(), dict(GOLDEN[name]())) == METADATA
