"""`Column`: values in and out, slices, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, DataType, InvalidDataError, SchemaError, infer_type
from tests.support.format_values import TYPES, fewer, sample_columns, values_of

kinds = pytest.mark.parametrize("kind", TYPES, ids=str)


def _listed(values: Any) -> Any:
    """Arrays as lists, so that rows compare with ==; NaN as its text."""
    if isinstance(values, np.ndarray | list | tuple):
        return [_listed(v) for v in (values.tolist() if isinstance(values, np.ndarray) else values)]
    return repr(values) if isinstance(values, float) else values


@kinds
@fewer
@given(st.data())
def test_take_slice_and_concat_do_as_lists_do(kind: DataType, data: st.DataObject) -> None:
    column = Column.from_pylist(data.draw(values_of(kind, 20)), kind)
    rows = _listed(column.to_pylist())
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    part = column.slice(start, stop)
    assert _listed(part.to_pylist()) == rows[start:stop]
    assert part.compact().equals(part)
    assert (
        _listed(Column.concat([part, column, part]).to_pylist()) == rows[start:stop] + rows + rows[start:stop]
    )
    if rows:
        picks = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
        assert _listed(column.take(picks).to_pylist()) == [rows[i] for i in picks]
        get = part.getter() if stop > start else column.getter()
        assert _listed(get(0)) == rows[start if stop > start else 0]
    assert Column.concat([column.slice(0, start), column.slice(start, len(rows))]).equals(column)


@kinds
@fewer
@given(st.data())
def test_equals(kind: DataType, data: st.DataObject) -> None:
    values = data.draw(values_of(kind, 5))
    column = Column.from_pylist(values, kind)
    assert column.equals(Column.from_pylist(values, kind))
    assert not column.equals(Column.from_pylist([*values, None], kind))
    if any(v is not None for v in values):
        assert not column.equals(Column.nulls(kind, len(values)))


def test_values_of_null_slots_do_not_count() -> None:
    valid = np.array([True, False])
    assert Column.from_numpy(np.array([1, 5]), None, valid).equals(
        Column.from_numpy(np.array([1, 9]), None, valid)
    )
    assert not Column.from_numpy(np.array([1, 5])).equals(Column.from_numpy(np.array([1, 9])))
    assert not Column.from_numpy(np.array([0.0])).equals(Column.from_numpy(np.array([-0.0])))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.0], lance_fmt.int64()),
        ([1, "2"], lance_fmt.int64()),
        ([True], lance_fmt.int8()),
        ([True], lance_fmt.float64()),
        ([1], lance_fmt.bool_()),
        ([0, 128], lance_fmt.int8()),
        ([0, -1], lance_fmt.uint64()),
        (["a", b"b"], lance_fmt.string()),
        (["a", "\ud800"], lance_fmt.string()),
        (["a"], lance_fmt.binary()),
        ([1.0, float("nan")], lance_fmt.json()),
        ([{1, 2}], lance_fmt.json()),
        ([[1], 2], lance_fmt.list_(lance_fmt.int8())),
        ([[1, None]], lance_fmt.list_(lance_fmt.int8())),
        ([[1, 300]], lance_fmt.list_(lance_fmt.int8())),
        ([[1.0, 2.0], [1.0]], lance_fmt.vector(lance_fmt.float32(), 2)),
        ([["a", "b"]], lance_fmt.vector(lance_fmt.float32(), 2)),
        ([[1.5, 2]], lance_fmt.vector(lance_fmt.int8(), 2)),
        ([[1, 300]], lance_fmt.vector(lance_fmt.int8(), 2)),
        ([datetime(2024, 1, 1, tzinfo=UTC)], lance_fmt.timestamp("us")),
        ([datetime(2024, 1, 1)], lance_fmt.timestamp("us", "UTC")),
        ([datetime(2024, 1, 1, 0, 0, 0, 5)], lance_fmt.timestamp("ms")),
        ([2**63], lance_fmt.timestamp("us")),
        (["now"], lance_fmt.timestamp("us")),
    ],
)
def test_values_that_do_not_fit_are_refused(values: list[Any], kind: DataType) -> None:
    with pytest.raises(InvalidDataError, match="row"):
        Column.from_pylist(values, kind)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, None], "bool"),
        ([1, None, 2], "int64"),
        ([1, 2**63], "uint64"),
        ([1, 2.5], "float64"),
        (["a", None], "string"),
        ([b"a"], "binary"),
        ([datetime(2024, 1, 1, tzinfo=UTC)], "timestamp<us, UTC>"),
        ([datetime(2024, 1, 1)], "timestamp<us>"),
        ([["a"], []], "list<string>"),
        ([[1, 2]], "list<int64>"),
        ([[1, None]], "json"),
        ([{"a": 1}], "json"),
        ([1, "a"], "json"),
        ([None], "json"),
        ([np.zeros(3, np.float16)] * 2, "vector<float16, 3>"),
    ],
)
def test_inferred_types(values: list[Any], expected: str) -> None:
    assert str(infer_type(values)) == expected


def test_numpy_in() -> None:
    assert str(Column.from_numpy(np.zeros((2, 3), ">f4")).type) == "vector<float32, 3>"
    assert Column.from_numpy(np.array([1, 2], ">i4")).to_pylist() == [1, 2]
    assert Column.from_numpy(np.array(["a", "bc"])).to_pylist() == ["a", "bc"]
    assert Column.from_numpy(np.array([1, None, 3], object)).to_pylist() == [1, None, 3]
    times = np.array(["2024-01-01", "NaT"], "M8[D]")
    assert Column.from_numpy(times).to_pylist() == [datetime(2024, 1, 1), None]
    assert Column.from_numpy(np.array([1, 2]), lance_fmt.int8()).array.dtype == np.int8
    with pytest.raises(InvalidDataError, match="range of int8"):
        Column.from_numpy(np.array([1, 300]), lance_fmt.int8())
    for array in (np.zeros((2, 2, 2)), np.zeros(2, complex), np.array(1.0)):
        with pytest.raises(SchemaError):
            Column.from_numpy(array)
    with pytest.raises(SchemaError):
        Column.from_numpy(np.array([1.5]), lance_fmt.int8())
    with pytest.raises(SchemaError):
        Column.from_numpy(np.zeros(2), validity=np.array([True]))


def test_numpy_out() -> None:
    numbers = np.arange(5.0)
    assert np.shares_memory(Column.from_numpy(numbers).to_numpy(), numbers)
    assert Column.from_pylist([1, None], lance_fmt.int8()).to_numpy().tolist() == [1, None]
    assert Column.from_pylist(["a", None], lance_fmt.string()).to_numpy().tolist() == ["a", None]
    times = Column.from_pylist([datetime(2024, 1, 1), None], lance_fmt.timestamp("s")).to_numpy()
    assert times.dtype == "M8[s]"
    assert np.isnat(times).tolist() == [False, True]


def test_time_zones() -> None:
    kind = lance_fmt.timestamp("us", "+02:00")
    noon = datetime(2024, 6, 1, 12, tzinfo=UTC)
    out = Column.from_pylist([noon], kind).to_pylist()[0]
    assert out == noon
    assert out.utcoffset() == timedelta(hours=2)
    west = Column.from_pylist([noon], lance_fmt.timestamp("us", "-03:30")).to_pylist()[0]
    assert west.tzinfo == timezone(-timedelta(hours=3, minutes=30))
    with pytest.raises(InvalidDataError, match="time zone"):
        Column.from_pylist([noon], lance_fmt.timestamp("us", "Nowhere/At all")).to_pylist()


def test_times_beyond_datetime_stay_numbers() -> None:
    column = Column.from_pylist([np.datetime64(40000, "Y")], lance_fmt.timestamp("s"))
    assert column.to_pylist() == [np.datetime64(40000, "Y").astype("M8[s]")]


def test_take_refuses_rows_that_are_not_there() -> None:
    for column in sample_columns(4).values():
        for picks in ([-1], [4], [0, 2**40]):
            with pytest.raises(InvalidDataError):
                column.take(picks)


def test_concat_refuses_a_mixture() -> None:
    with pytest.raises(SchemaError, match=r"int64.*string"):
        Column.concat([Column.from_numpy(np.arange(2)), Column.from_pylist(["a"], lance_fmt.string())])
    with pytest.raises(InvalidDataError):
        Column.concat([])


def test_repr_shows_type_and_values() -> None:
    assert repr(Column.from_pylist([1, None], lance_fmt.int8())) == "Column<int8>[2](1, None)"
