"""Columns that are made as they are written: the same file, and no more than a page of them at a time."""

from __future__ import annotations

import io

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column, ComputedColumn


@pytest.mark.parametrize("rows", [0, 1, 7, 5000])
@pytest.mark.parametrize("level", ["speed", "balanced", "small"])
def test_the_file_is_that_of_the_values(rows, level):
    values = np.random.default_rng(rows).integers(0, 1 << 20, (rows, 24), dtype=np.uint32)
    numbers = np.arange(rows)
    written = []
    for column in (
        Column.from_numpy(values),
        ComputedColumn(
            lance_fmt.vector(lance_fmt.uint32(), 24), rows, lambda first, stop: values[first:stop]
        ),
    ):
        sink = io.BytesIO()
        lance_fmt.write(sink, {"made": column, "number": numbers}, level=level)
        written.append(sink.getvalue())
        assert len(column) == rows and column.nbytes == values.nbytes and column.null_count == 0
        assert column.equals(Column.from_numpy(values))
        assert column.slice(rows // 3, rows).equals(Column.from_numpy(values[rows // 3 :]))
        assert column.take(numbers[::2]).equals(Column.from_numpy(values[::2]))
    assert written[0] == written[1]


def test_rows_are_made_a_page_at_a_time():
    rows, made = 40_000, []

    def make(first, stop):
        made.append((first, stop))
        return np.zeros((stop - first, 64), np.float32)

    kind = lance_fmt.vector(lance_fmt.float32(), 64)
    lance_fmt.write(io.BytesIO(), {"made": ComputedColumn(kind, rows, make)})
    some = [(first, stop) for first, stop in made if first < stop]
    assert [first for first, _ in some] == [0, *(stop for _, stop in some)][:-1]
    assert some[-1][1] == rows and max(stop - first for first, stop in some) < rows // 2


def test_what_fails_while_a_page_is_made_fails_the_writing(tmp_path):
    def make(first, stop):
        raise lance_fmt.CorruptFileError("a file", 0, "damaged")

    kind = lance_fmt.vector(lance_fmt.float32(), 4)
    with pytest.raises(lance_fmt.CorruptFileError):
        lance_fmt.write(tmp_path / "x.lfmt", {"made": ComputedColumn(kind, 10, make)})
    assert not list(tmp_path.iterdir())
