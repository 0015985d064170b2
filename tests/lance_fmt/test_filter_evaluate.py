"""Filters on columns: a naive oracle, literals of every type, what is asked and in which order."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt import schema as types
from lance_fmt.column import Column
from lance_fmt.errors import SchemaError
from lance_fmt.filter import Expression, Leaf, bind, equality_values, evaluate, evaluate_columns, field
from lance_fmt.schema import Field, Schema
from tests.support.format_filter_oracle import is_true
from tests.support.format_filter_strategies import SCHEMA, VALUES, columns_of, expressions, rows


@given(expressions(), st.data())
def test_columns_against_the_oracle(expression: Expression, data: st.DataObject) -> None:
    table = data.draw(rows(expression.columns()))
    bound = bind(expression, SCHEMA)
    found = evaluate_columns(bound, columns_of(table, bound.columns))
    assert found.tolist() == [is_true(expression, row) is True for row in table]


@given(expressions(), st.data())
def test_equality_values_are_needed(expression: Expression, data: st.DataObject) -> None:
    table = data.draw(rows(expression.columns()))
    bound = bind(expression, SCHEMA)
    columns = columns_of(table, bound.columns)
    for row in np.flatnonzero(evaluate_columns(bound, columns)).tolist():
        for name, values in (equality_values(bound) or {}).items():
            column = columns[name].slice(row, row + 1)
            raw = column.compact().array.tobytes() if column.offsets is not None else column.array[0]
            assert raw in values


@pytest.mark.parametrize(
    ("kind", "value", "literal"),
    [
        (types.timestamp("s"), 86400, "1970-01-02"),
        (types.timestamp("ms", "UTC"), 3600000, "1970-01-01T02:00:00+01:00"),
        (types.timestamp("ns"), 1, np.datetime64(1, "ns")),
        (types.timestamp("us"), 31 * 86400 * 10**6, np.datetime64("1970-02")),
        (types.date(), 1, dt.date(1970, 1, 2)),
        (types.date(), 1, "1970-01-02"),
        (types.time("ms"), 1001, dt.time(0, 0, 1, 1000)),
        (types.duration("us"), -1, dt.timedelta(microseconds=-1)),
        (types.duration("s"), 60, np.timedelta64(1, "m")),
    ],
)
def test_times(kind: types.DataType, value: int, literal: Any) -> None:
    schema = Schema([Field("t", kind)])
    columns = {"t": Column(kind, np.array([value - 1, value, value + 1], kind.dtype))}
    for e, expected in [(field("t") == literal, [0, 1, 0]), (field("t") < literal, [1, 0, 0])]:
        assert evaluate_columns(bind(e, schema), columns).tolist() == list(map(bool, expected))


def test_a_literal_finer_than_the_unit_lies_between_counts() -> None:
    kind = types.timestamp("s")
    bound = bind(field("t") < dt.datetime(1970, 1, 1, 0, 0, 1, 1), Schema([Field("t", kind)]))
    assert evaluate_columns(bound, {"t": Column(kind, np.array([1, 2]))}).tolist() == [True, False]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        (field("i6") == 1, "did you mean 'i64'"),
        (field("i64") == "1", "takes a number"),
        (field("i64") == True, "True and False"),  # noqa: E712
        (field("b") == 1, "True and False"),
        (field("s") == b"a", "takes a str"),
        (field("y") == "a", "takes bytes"),
        (field("i64").is_nan(), "no NaN"),
        (field("i64").startswith("a"), "no text"),
        (field("t") == dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "with a zone"),
        (field("t") == "yesterday", "ISO 8601"),
        (field("t") == np.datetime64("NaT"), "is_null"),
    ],
)
def test_refusals(expression: Expression, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        bind(expression, SCHEMA)


def test_nested_columns_take_null_tests_only() -> None:
    schema = Schema([Field("l", types.list_(types.int64()))])
    column = Column.from_pylist([[1], None], types.list_(types.int64()))
    assert evaluate_columns(bind(field("l").is_null(), schema), {"l": column}).tolist() == [False, True]
    with pytest.raises(SchemaError, match="only be filtered by is_null"):
        bind(field("l") == [1], schema)


def test_cheap_parts_first_each_once_and_no_more_than_needed() -> None:
    asked: list[Leaf] = []

    def masks(leaf: Leaf) -> tuple[np.ndarray[Any, Any], None]:
        asked.append(leaf)
        return np.zeros(3, np.bool_), None

    evaluate(bind(field("s").contains("x") & (field("i64") > 5), SCHEMA), masks, 3)
    assert [leaf.column for leaf in asked] == ["i64"]
    asked.clear()
    evaluate(bind((field("i64") > 5) | (field("b") == True) | ~(field("i64") > 5), SCHEMA), masks, 3)  # noqa: E712
    assert [leaf.column for leaf in asked] == ["i64", "b"]


def test_every_value_of_the_strategies_fits_its_column() -> None:
    for name, values in VALUES.items():
        assert len(Column.from_pylist(values, SCHEMA[name].type)) == len(values)
