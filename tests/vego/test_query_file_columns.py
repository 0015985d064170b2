"""Columns read from files filter as their Python values do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, DataType
from tests.support.filter_strategies import expressions, texts
from vego.query import Expr, FilterColumn, evaluate, matches, parse_filter
from vego.query.numeric_rows import NumericRows

_MOMENTS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))

TYPES: list[tuple[DataType, st.SearchStrategy[Any]]] = [
    (lance_fmt.bool_(), st.booleans()),
    (lance_fmt.int8(), st.integers(-128, 127)),
    (lance_fmt.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)),
    (lance_fmt.uint32(), st.integers(0, 2**32 - 1)),
    (lance_fmt.uint64(), st.integers(0, 5)),
    (lance_fmt.uint64(), st.integers(0, 2**64 - 1)),
    (lance_fmt.float32(), st.floats(width=32) | st.sampled_from([0.5, 1.0])),
    (lance_fmt.float64(), st.floats() | st.sampled_from([0.5, 1.0])),
    (lance_fmt.string(), texts),
    (lance_fmt.binary(), st.binary(max_size=3)),
    (
        lance_fmt.json(),
        st.one_of(st.integers(-3, 3), texts, st.lists(st.integers(), max_size=2), st.booleans()),
    ),
    (lance_fmt.timestamp("s"), _MOMENTS.map(lambda moment: moment.replace(microsecond=0))),
    (lance_fmt.timestamp("us"), _MOMENTS | st.just(dt.datetime(2024, 1, 1))),
    (lance_fmt.timestamp("us", "UTC"), _MOMENTS.map(lambda moment: moment.replace(tzinfo=dt.UTC))),
    (lance_fmt.list_(lance_fmt.int64()), st.lists(st.integers(-3, 3), max_size=2)),
]


def filter_of(text: str) -> Expr:
    expr = parse_filter(text)
    assert expr is not None
    return expr


def assert_same(column: FilterColumn, values: list[Any], expr: Any) -> None:
    expected = [matches(expr, {"a": value}) for value in values]
    assert evaluate(expr, {"a": column}, len(values)).tolist() == expected


@given(st.data(), st.sampled_from(TYPES), expressions(st.just("a")))
def test_a_file_column_filters_as_its_values_do(data: Any, typed: tuple[DataType, Any], expr: Any) -> None:
    type_, strategy = typed
    parts = data.draw(st.lists(st.lists(st.none() | strategy, max_size=8), max_size=3))
    column = FilterColumn()
    values: list[Any] = []
    for part in parts:
        piece = Column.from_pylist(part, type_)
        column.extend_column(piece)
        values.extend(piece.to_pylist())
    assert len(column) == len(values)
    assert_same(column, values, expr)


@given(st.data(), st.sampled_from(TYPES), st.sampled_from(TYPES), expressions(st.just("a")))
def test_a_field_may_have_another_type_in_every_file(data: Any, first: Any, second: Any, expr: Any) -> None:
    column = FilterColumn()
    values: list[Any] = []
    for type_, strategy in (first, second, first):
        piece = Column.from_pylist(data.draw(st.lists(st.none() | strategy, max_size=5)), type_)
        column.extend_column(piece)
        column.extend_missing(1)
        column.extend(piece.to_pylist())
        values.extend([*piece.to_pylist(), None, *piece.to_pylist()])
    assert_same(column, values, expr)


@pytest.mark.parametrize("counts", [[0, 1_000, -2_000], [1, -1, 10**18 + 1], [-(2**62), 2**62]])
def test_nanoseconds_compare_exactly(counts: list[int]) -> None:
    column = FilterColumn()
    piece = Column(lance_fmt.timestamp("ns"), np.array(counts, dtype=np.int64))
    column.extend_column(piece)
    values: list[Any] = [np.datetime64(count, "ns") for count in counts]
    for literal in (
        dt.datetime(1970, 1, 1),
        dt.datetime(2001, 9, 9, 1, 46, 40),
        "1970-01-01T00:00:00.000001",
    ):
        for op in ("==", "!=", "<", "<=", ">", ">="):
            assert_same(column, values, filter_of(f"a {op} '{literal}'"))


@pytest.mark.parametrize(
    ("unit", "counts", "numeric"),
    [
        ("s", [2**62, -(2**62), 0], False),
        ("s", [-(2**62), 0], False),
        ("ms", [2**60, 0], False),
        ("s", [10**9, None], True),
    ],
)
def test_times_beyond_the_range_of_microseconds_stay_exact(
    unit: Any, counts: list[int | None], numeric: bool
) -> None:
    validity = np.array([count is not None for count in counts])
    array = np.array([2**62 if count is None else count for count in counts], dtype=np.int64)
    column = FilterColumn()
    column.extend_column(Column(lance_fmt.timestamp(unit), array, None, validity))
    assert isinstance(column.rows, NumericRows) is numeric
    found = evaluate(filter_of("a > timestamp '2000-01-01T00:00:00Z'"), {"a": column}, len(counts))
    assert found.tolist() == [count is not None and count > 0 for count in counts]


def test_unsigned_integers_beyond_int64_stay_exact() -> None:
    column = FilterColumn()
    values = [2**63, 2**64 - 1, 3]
    column.extend_column(Column.from_numpy(np.array(values, dtype=np.uint64)))
    for text in ("a > 3", "a == 18446744073709551615", "a < 0", f"a >= {2**63}"):
        assert_same(column, values, filter_of(text))


def test_what_lies_under_a_null_does_not_matter() -> None:
    column = FilterColumn()
    validity = np.array([True, False, True])
    column.extend_column(Column(lance_fmt.int64(), np.array([1, 2**63 - 1, 3]), None, validity))
    column.extend([0.5])
    assert isinstance(column.rows, NumericRows)
    assert evaluate(filter_of("a > 0"), {"a": column}, 4).tolist() == [True, False, True, True]
    assert evaluate(filter_of("a is null"), {"a": column}, 4).tolist() == [False, True, False, False]
