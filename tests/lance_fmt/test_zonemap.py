"""Bounds of pages hold every value, and say when they are exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, DataType, PageInfo, TypeId, binary
from lance_fmt.zonemap import measure
from tests.support.format_values import TYPES, fewer, file_of, values_of

BOUNDED = [k for k in TYPES if not (k.is_list or k.is_vector or k.id is TypeId.JSON)]


def _page(column: Column) -> PageInfo:
    with lance_fmt.open(file_of({"c": column})) as file:
        return file.column("c").pages[0]


@pytest.mark.parametrize("kind", BOUNDED, ids=str)
@fewer
@given(st.data())
def test_bounds_of_every_type(kind: DataType, data: st.DataObject) -> None:
    column = Column.from_pylist([*data.draw(values_of(kind, 40)), None], kind)
    page = _page(column)
    stored = column.array.tolist() if column.offsets is None else column.to_pylist()
    valid = np.zeros(len(column), bool) if column.validity is None else column.validity
    values = [v for v, ok in zip(stored, valid.tolist(), strict=True) if ok]
    numbers = [v for v in values if not (isinstance(v, float) and math.isnan(v))]
    assert page.nulls == len(column) - len(values)
    assert page.nans == len(values) - len(numbers)
    if not numbers:
        assert (page.minimum, page.maximum) == (None, None)
        return
    assert page.minimum == min(numbers)
    assert page.maximum == max(numbers)
    assert page.minimum_exact
    assert page.maximum_exact


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), min_size=1),
    st.integers(0, 70),
    st.sampled_from(["a", "ü", "\ud7ff", "\U0010ffff"]),
)
@example(["\U0010ffff"], 70, "\U0010ffff")
@example(["a"], 70, "\ud7ff")
@example(["a"], 64, "a")
def test_long_text(ends: list[str], length: int, letter: str) -> None:
    values = [letter * length + end for end in ends]
    page = _page(Column.from_pylist(values, lance_fmt.string()))
    _check_strings(page, values, lambda v: len(v.encode()))


@given(
    st.lists(st.binary(max_size=3), min_size=1, max_size=40),
    st.integers(60, 70),
    st.sampled_from([b"a", b"\xff"]),
)
def test_long_binary(ends: list[bytes], length: int, letter: bytes) -> None:
    values = [letter * length + end for end in ends]
    page = _page(Column.from_pylist(values, lance_fmt.binary()))
    _check_strings(page, values, len)


def _check_strings(page: PageInfo, values: list[Any], size: Any) -> None:
    if page.minimum is None:
        assert max(values)[0] in ("\U0010ffff", 0xFF)
        assert size(max(values)) > 64
        return
    assert page.minimum <= min(values)
    assert page.maximum >= max(values)
    assert max(size(page.minimum), size(page.maximum)) <= 68
    assert page.minimum_exact == (size(min(values)) <= 64) == (page.minimum == min(values))
    assert page.maximum_exact == (size(max(values)) <= 64) == (page.maximum == max(values))


def test_no_bounds_where_there_is_no_order() -> None:
    for values, kind in (
        ([[1, 2]], lance_fmt.list_(lance_fmt.int8())),
        ([[1, 2]], lance_fmt.vector(lance_fmt.int8(), 2)),
        ([{"a": 1}], lance_fmt.json()),
        ([None], lance_fmt.int8()),
        ([float("nan")], lance_fmt.float32()),
    ):
        assert _page(Column.from_pylist(values, kind)).minimum is None


def test_each_page_has_its_own() -> None:
    n = 300_000
    with lance_fmt.open(file_of({"c": np.arange(n)})) as file:
        pages = file.column("c").pages
    assert len(pages) == 3
    for page in pages:
        assert (page.minimum, page.maximum) == (page.first_row, page.first_row + page.rows - 1)
    assert sum(page.raw_bytes or 0 for page in pages) == 8 * n


_ALIKE = [b"a" * n for n in (0, 8, 16, 17, 70)]
_ALIKE += [b"\0", b"a" * 8 + b"\0", b"a" * 24 + b"\xff", b"a" * 71 + b"b"]


@given(st.lists(st.sampled_from(_ALIKE) | st.binary(max_size=20), min_size=1, max_size=60), st.integers(1, 7))
def test_bounds_of_strings_that_begin_alike(values: list[bytes], repeats: int) -> None:
    bounds = measure(Column.from_pylist(values * repeats, binary()))
    low, high = min(values), max(values)
    assert bounds.low == low[:64]
    assert (bounds.high == high) if len(high) <= 64 else (high[:64] < bounds.high <= high[:63] + b"b")
