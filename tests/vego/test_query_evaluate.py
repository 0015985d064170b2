"""Evaluation over columns agrees with `matches` row by row, however the columns grew."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.filter_strategies import OPS, columns, expressions, floats, integers
from vego.query import Compare, FilterColumn, evaluate, field, matches, parse_filter
from vego.query.dictionary_rows import DictionaryRows
from vego.query.numeric_rows import NumericRows

NAMES = ("a", "b", "gone")


def column_of(values: list[object]) -> FilterColumn:
    column = FilterColumn()
    column.extend(values)
    return column


def assert_agrees(
    expr: Any, table: dict[str, list[object]], filled: dict[str, FilterColumn], rows: int
) -> None:
    expected = [matches(expr, {name: values[row] for name, values in table.items()}) for row in range(rows)]
    found = evaluate(expr, filled, rows)
    assert found.dtype == np.bool_
    assert found.tolist() == expected


@given(
    st.integers(0, 20).flatmap(lambda n: st.tuples(columns(n), columns(n))),
    expressions(st.sampled_from(NAMES)),
)
def test_evaluate_equals_matches(values: tuple[list[object], list[object]], expr: Any) -> None:
    table = dict(zip(NAMES, values, strict=False))
    filled = {name: column_of(column) for name, column in table.items()}
    assert_agrees(expr, table, filled, len(values[0]))


@given(columns(12), st.lists(st.integers(0, 12), max_size=4), expressions(st.just("a")))
def test_growing_in_pieces_equals_all_at_once(values: list[object], cuts: list[int], expr: Any) -> None:
    column = FilterColumn()
    edges = [0, *sorted(cuts), len(values)]
    for start, stop in itertools.pairwise(edges):
        piece = values[start:stop]
        if all(value is None for value in piece):
            column.extend_missing(len(piece))
        else:
            column.extend(piece)
        assert len(column) == stop
        assert_agrees(expr, {"a": values}, {"a": column}, stop)
    for rows in range(len(values)):
        assert_agrees(expr, {"a": values}, {"a": column}, rows)


@given(
    st.lists(st.one_of(integers, floats), min_size=1, max_size=8),
    st.one_of(integers, floats),
    st.sampled_from(OPS),
)
def test_numbers_of_all_sizes_compare_exactly(values: list[object], literal: object, op: str) -> None:
    for column in (
        values,
        [value for value in values if isinstance(value, int)],
        [float(2**53), 0.5, 2.0**63],
    ):
        assert_agrees(Compare("a", op, literal), {"a": column}, {"a": column_of(column)}, len(column))  # type: ignore[arg-type]


EDGES: list[list[object]] = [
    [-2, -1, 0, 1, 2, 3],
    *[[-(2**bits), -(2**bits) + 1, 0, 2**bits - 2, 2**bits - 1] for bits in (7, 15, 31)],
    *[[-(2**bits) - 1, 0, 2**bits] for bits in (7, 15, 31)],
    [2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1],
    [2**63 - 1, 2**63 - 2, -(2**63)],
    [-1.5, -1.0, 0.0, 0.5, 1.0, 1.5, float("nan"), float("inf"), float("-inf")],
    [2.0**53 - 1, 2.0**53, 2.0**53 + 2, 2.0**63, -(2.0**63), 1e300],
]
LITERALS: list[Any] = [
    *[
        -1.5,
        -0.5,
        -0.0,
        0,
        0.5,
        1,
        1.5,
        2,
        1e300,
        float("inf"),
        float("-inf"),
        10**300,
        2**1024 - 1,
        1 - 2**1024,
    ],
    *[
        sign * (2**power + step)
        for sign in (1, -1)
        for power in (7, 15, 31, 53, 63, 64)
        for step in (-1, 0, 0.5, 1)
    ],
    *[sign * 2.0**power for sign in (1, -1) for power in (53, 63, 64)],
]


@pytest.mark.parametrize("values", EDGES)
@pytest.mark.parametrize("op", OPS)
def test_numbers_compare_exactly_at_the_edges(values: list[object], op: str) -> None:
    column = column_of([*values, None])
    assert isinstance(column.rows, NumericRows)
    for literal in LITERALS:
        for expr in (Compare("a", op, literal), ~Compare("a", op, literal), field("a").is_in([literal])):
            assert_agrees(expr, {"a": [*values, None]}, {"a": column}, len(values) + 1)


@pytest.mark.parametrize(
    "pieces",
    [
        [[2**53 + 1], [0.5]],
        [[-(2**53) - 1], [0.5]],
        [[0.5], [2**53 + 1]],
        [[1], [dt.datetime(1970, 1, 1, 0, 0, 0, 1)], [1]],
        [[dt.datetime(2024, 1, 1)], [1_704_067_200_000_000]],
        [[None], [1], [None], ["a"], [None]],
        [[2**63], [1.5], [2**63]],
        [[1, None], [300], [2], [-70_000], [2**40], [3], [0.5]],
        [[2**40, 1], [None], [1]],
        [[-128, 127], [0.5], [2**31]],
    ],
)
def test_a_change_of_form_keeps_every_value(pieces: list[list[object]]) -> None:
    column = FilterColumn()
    for piece in pieces:
        column.extend(piece)
    values = [value for piece in pieces for value in piece]
    literals = [literal for value in values if value is not None for literal in (value, str(value))]
    for literal in [*literals, 2.0**53, 0.5, 1]:
        for op in OPS:
            assert_agrees(Compare("a", op, literal), {"a": values}, {"a": column}, len(values))  # type: ignore[arg-type]


@given(columns(10), columns(10), expressions(st.just("a")))
def test_a_reader_keeps_its_view_while_the_column_grows(
    before: list[object], after: list[object], expr: Any
) -> None:
    column = column_of(before)
    view = column.rows
    first = evaluate(expr, {"a": column}, len(before)).tolist()
    column.extend(after)
    old = FilterColumn()
    old.rows = view
    assert len(old) == len(before)
    assert evaluate(expr, {"a": old}, len(before)).tolist() == first
    assert evaluate(expr, {"a": column}, len(before)).tolist() == first


def test_a_column_that_is_shorter_or_absent_has_no_values_there() -> None:
    column = column_of([1, 2])
    assert evaluate(field("a") == 1, {"a": column}, 4).tolist() == [True, False, False, False]
    assert evaluate(field("a").is_null(), {"a": column}, 4).tolist() == [False, False, True, True]
    assert evaluate(field("a").is_not_null(), {"a": column}, 4).tolist() == [True, True, False, False]
    assert evaluate(field("b").is_null(), {"a": column}, 2).tolist() == [True, True]
    assert evaluate(field("b") != 1, {"a": column}, 2).tolist() == [False, False]


def test_the_result_is_the_callers_to_change() -> None:
    column = column_of([1, None, 3])
    for text in ("a is null", "a is not null", "a == 1", "b is null"):
        expr = parse_filter(text)
        assert expr is not None
        before = evaluate(expr, {"a": column}, 3).tolist()
        evaluate(expr, {"a": column}, 3)[:] = True
        assert evaluate(expr, {"a": column}, 3).tolist() == before


@pytest.mark.parametrize(
    ("values", "form", "dtype"),
    [
        ([1, None, 2], NumericRows, "int8"),
        ([-128, 127], NumericRows, "int8"),
        ([-129], NumericRows, "int16"),
        ([128], NumericRows, "int16"),
        ([2**31 - 1], NumericRows, "int32"),
        ([1, -(2**31) - 1], NumericRows, "int64"),
        ([1, 2.5], NumericRows, "float64"),
        ([None, None], DictionaryRows, "uint8"),
        ([1, "a"], DictionaryRows, "uint8"),
        ([2**53 + 1, 0.5], DictionaryRows, "uint8"),
        ([2**70], DictionaryRows, "uint8"),
        ([np.int8(1), np.int64(2)], NumericRows, "int8"),
        ([dt.datetime(2024, 1, 1), dt.date(2024, 1, 1)], NumericRows, "int64"),
        ([np.datetime64(1, "ns")], DictionaryRows, "uint8"),
        ([str(i) for i in range(255)], DictionaryRows, "uint8"),
        ([str(i) for i in range(256)], DictionaryRows, "uint16"),
        ([str(i) for i in range(65_536)], DictionaryRows, "uint32"),
    ],
)
def test_a_column_takes_the_form_its_values_ask_for(values: list[object], form: type, dtype: str) -> None:
    rows = column_of(values).rows
    assert type(rows) is form
    assert (rows.values if isinstance(rows, NumericRows) else rows.codes).dtype == dtype


@pytest.mark.parametrize("distinct", [1, 3, 255, 256, 257, 70_000])
def test_dictionaries_of_every_width(distinct: int) -> None:
    values: list[object] = [f"{row % distinct:06}" for row in range(distinct + 5)]
    values[3] = None
    column = FilterColumn()
    for start in range(0, len(values), 20_000):
        column.extend(values[start : start + 20_000])
    for expr in (field("a") == "000002", field("a") < f"{distinct // 2:06}", ~(field("a") >= "000001")):
        assert_agrees(expr, {"a": values}, {"a": column}, len(values))
    many = field("a").is_in([f"{row:06}" for row in range(0, min(distinct, 10_000), 2)])
    wanted = set(many.values)  # type: ignore[attr-defined]
    assert evaluate(many, {"a": column}, len(values)).tolist() == [value in wanted for value in values]
    assert evaluate(~many, {"a": column}, len(values)).tolist() == [
        value is not None and value not in wanted for value in values
    ]


@pytest.mark.parametrize("values", [list(range(100)), [row / 2 for row in range(100)], [None, *range(99)]])
def test_long_lists_of_numbers(values: list[object]) -> None:
    wanted = [*range(0, 90, 2), 0.5, 2**70, "3", True, -1]
    for expr in (field("a").is_in(wanted), field("a").not_in(wanted)):
        assert_agrees(expr, {"a": values}, {"a": column_of(values)}, len(values))


def test_the_order_of_a_growing_dictionary_is_kept_up() -> None:
    column = FilterColumn()
    values: list[object] = []
    for piece in (
        ["m", "c"],
        ["a", "z", 5],
        [None, "b", float("nan"), 7],
        ["2024-01-01", dt.datetime(2024, 1, 2)],
    ):
        values.extend(piece)
        column.extend(piece)
        for op in OPS:
            for literal in ("c", "cc", 5, 6.5, "2024-01-01"):
                assert_agrees(Compare("a", op, literal), {"a": values}, {"a": column}, len(values))  # type: ignore[arg-type]


def test_readers_run_beside_the_writer() -> None:
    """Rows once visible keep their answer while the column grows, widens its codes and changes its form."""
    column = column_of(list(range(100)))
    expr = parse_filter("a < 50 or a == 'x1'")
    assert expr is not None
    expected = [True] * 50 + [False] * 50
    wrong: list[list[bool]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = evaluate(expr, {"a": column}, 100).tolist()
            if found != expected:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for row in range(400):
            column.extend([row + 1000, None])
        for row in range(400):
            column.extend([f"x{row}", row])
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert not wrong
    assert len(column) == 1700
