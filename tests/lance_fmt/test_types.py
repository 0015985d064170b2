"""Types of every kind inside types of every kind: values in and out, as columns, as bytes, as Arrow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import (
    Builder,
    Column,
    CorruptFileError,
    Cursor,
    DataType,
    Field,
    FormatError,
    InvalidDataError,
    SchemaError,
    Table,
    TypeId,
    UnsupportedVersionError,
    infer_type,
)
from tests.support.format_values import columns, data_types, listed, values_for

typed = data_types().flatmap(lambda kind: st.tuples(st.just(kind), values_for(kind)))


def _bytes(kind: DataType) -> bytes:
    out = Builder()
    kind.put(out)
    return out.finish()


@given(typed)
def test_values_come_back(case: tuple[DataType, list[Any]]) -> None:
    kind, values = case
    column = Column.from_pylist(values, kind)
    expected = listed(values)
    assert len(column) == len(values)
    assert column.null_count == sum(v is None for v in values)
    assert listed(column.to_pylist()) == expected
    assert listed([column.getter()(i) for i in range(len(values))]) == expected
    assert column.equals(Column.from_pylist(values, kind))
    assert len(column.to_numpy()) == len(values)


@given(typed, st.data())
def test_columns_do_as_lists_do(case: tuple[DataType, list[Any]], data: st.DataObject) -> None:
    kind, values = case
    column, rows = Column.from_pylist(values, kind), listed(values)
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    part = column.slice(start, stop)
    assert listed(part.to_pylist()) == rows[start:stop]
    assert listed([part.getter()(i) for i in range(len(part))]) == rows[start:stop]
    assert part.compact().equals(part)
    assert listed(part.compact().to_pylist()) == rows[start:stop]
    assert part.compact().nbytes <= column.nbytes
    joined = Column.concat([part, column, part])
    assert listed(joined.to_pylist()) == rows[start:stop] + rows + rows[start:stop]
    picks = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10)) if rows else []
    assert listed(column.take(picks).to_pylist()) == [rows[i] for i in picks]
    assert listed(part.take(np.arange(len(part))[::-1]).to_pylist()) == rows[start:stop][::-1]
    nulls = Column.nulls(kind, len(rows))
    assert nulls.to_pylist() == [None] * len(rows)
    assert column.equals(nulls) == all(row is None for row in rows)


@given(data_types().flatmap(columns), st.integers(0, 20), st.integers(0, 20))
def test_arrow_and_back(column: Column, start: int, length: int) -> None:
    pytest.importorskip("pyarrow")
    arrow = Table({"c": column}).to_arrow()
    arrow.validate(full=True)
    again = Table.from_arrow(arrow)
    assert again.schema["c"].type == column.type
    assert again["c"].equals(column)
    start, stop = min(start, len(column)), min(start + length, len(column))
    assert Table.from_arrow(arrow.slice(start, stop - start))["c"].equals(column.slice(start, stop))


@given(data_types(), st.booleans())
def test_type_bytes(kind: DataType, nullable: bool) -> None:
    field = Field("näme", kind, nullable, {"k": "v"})
    raw = field.to_bytes()
    cursor = Cursor(raw)
    assert Field.get(cursor) == field
    cursor.expect_end()
    assert (hash(Field.get(Cursor(raw)).type), str(Field.get(Cursor(raw)))) == (hash(kind), str(field))
    for length in range(len(raw)):
        with pytest.raises(CorruptFileError):
            Field.get(Cursor(raw[:length]))


@given(data_types(), st.data())
def test_forged_type_bytes(kind: DataType, data: st.DataObject) -> None:
    raw = bytearray(Field("name", kind, metadata={"k": "v"}).to_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = Field.get(Cursor(raw))
    except FormatError:
        return
    assert Field.get(Cursor(found.to_bytes())) == found


def _since(kind: DataType) -> str:
    plain = (
        kind.is_list
        and not kind.item_nullable
        and (kind.element.is_number or kind.element == lance_fmt.string())
    )
    new = kind.id > TypeId.VECTOR or (kind.is_list and not plain)
    inside = [kind.item] if kind.item is not None else [f.type for f in kind.fields]
    return "1.1" if new or any(_since(t) == "1.1" for t in inside) else "1.0"


@given(data_types())
def test_the_version_that_a_type_needs(kind: DataType) -> None:
    assert kind.since == _since(kind)


def test_bytes_of_types_are_for_ever() -> None:
    """These literals are on people's disks. If this test fails, the change is wrong, not the test."""
    number, text = lance_fmt.int64(), lance_fmt.string()
    assert _bytes(lance_fmt.list_(number)) == bytes([17, 5])
    assert _bytes(lance_fmt.list_(text)) == bytes([17, 13])
    assert _bytes(lance_fmt.list_(number, nullable=True)) == bytes([25, 1, 5])
    assert _bytes(lance_fmt.list_(lance_fmt.bool_())) == bytes([25, 0, 1])
    assert _bytes(lance_fmt.list_(lance_fmt.binary())) == bytes([25, 0, 14])
    assert _bytes(lance_fmt.list_(lance_fmt.list_(text))) == bytes([25, 0, 17, 13])
    assert _bytes(lance_fmt.vector(lance_fmt.bfloat16(), 3)) == bytes([18, 3, 0, 0, 0, 19])
    assert _bytes(lance_fmt.decimal(38, 2)) == bytes([20, 38, 2])
    assert _bytes(lance_fmt.date()) == bytes([21])
    assert _bytes(lance_fmt.time("s")) == bytes([22, 1])
    assert _bytes(lance_fmt.duration("ns")) == bytes([23, 4])
    assert _bytes(lance_fmt.timestamp("us")) == bytes([16, 3, 0, 0, 0, 0])
    struct = lance_fmt.struct([Field("a", number, nullable=False), Field("b", text)])
    fields = bytes([1, 0, 0, 0, 97, 0, 5, 0, 0, 0, 0]) + bytes([1, 0, 0, 0, 98, 1, 13, 0, 0, 0, 0])
    assert _bytes(struct) == bytes([24, 2, 0]) + fields


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (bytes([25, 0] * 9 + [5]), "deep"),
        (bytes([25, 0] * 5000 + [5]), "deep"),
        (bytes([25, 2, 5]), "flag"),
        (bytes([17, 1]), "LIST"),
        (bytes([17, 17, 5]), "LIST"),
        (bytes([18, 3, 0, 0, 0, 13]), "vector items"),
        (bytes([18, 0, 0, 0, 0, 5]), "dimension 0"),
        (bytes([20, 39, 0]), "precision 39"),
        (bytes([20, 5, 6]), "scale 6"),
        (bytes([22, 0]), "time unit"),
        (bytes([23, 5]), "time unit"),
        (bytes([24, 0, 0]), "0 fields"),
        (bytes([24, 255, 255]), "field name"),
        (bytes([24, 2, 0]) + bytes([1, 0, 0, 0, 97, 0, 5, 0, 0, 0, 0]) * 2, "more than once"),
    ],
)
def test_hostile_type_bytes(raw: bytes, why: str) -> None:
    with pytest.raises(CorruptFileError, match=why):
        DataType.get(Cursor(raw))


def test_unknown_ids_ask_for_a_newer_reader() -> None:
    for raw in (bytes([26]), bytes([25, 0, 200]), bytes([0])):
        with pytest.raises(UnsupportedVersionError, match=f"type id {raw[-1]} is"):
            DataType.get(Cursor(raw))


def _deep(levels: int) -> DataType:
    kind = lance_fmt.int8()
    for level in range(levels):
        kind = lance_fmt.struct({"x": kind}) if level % 2 else lance_fmt.list_(kind)
    return kind


def test_nesting_has_a_limit() -> None:
    kind = _deep(8)
    assert kind.depth == 8
    assert DataType.get(Cursor(_bytes(kind))) == kind
    column = Column.from_pylist([None], kind)
    assert Column.concat([column, column]).slice(1, 2).to_pylist() == [None]
    with pytest.raises(SchemaError, match="nested 9 deep"):
        _deep(9)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: lance_fmt.struct({}), "0 fields"),
        (lambda: lance_fmt.struct([Field("a", lance_fmt.int8())] * 2), "'a' occurs more than once"),
        (lambda: lance_fmt.struct({"b": Field("a", lance_fmt.int8())}), "under the name 'b'"),
        (lambda: lance_fmt.vector(lance_fmt.date(), 2), "vector items"),
        (lambda: lance_fmt.decimal(39), "precision 39"),
        (lambda: lance_fmt.decimal(3, 4), "scale 4"),
        (lambda: lance_fmt.time("days"), "time unit"),
        (lambda: DataType(TypeId.TIME), "unit"),
        (lambda: DataType(TypeId.NESTED_LIST, lance_fmt.int8()), "LIST"),
    ],
)
def test_types_that_cannot_be(make: Callable[[], object], why: str) -> None:
    with pytest.raises(SchemaError, match=why):
        make()


def test_types_read_like_themselves() -> None:
    point = lance_fmt.struct({"x": lance_fmt.float64(), "y": Field("y", lance_fmt.date(), nullable=False)})
    assert str(lance_fmt.list_(point, nullable=True)) == "list<struct<x: float64, y: date not null>?>"
    assert str(lance_fmt.decimal(5, 2)) == "decimal<5, 2>"
    assert str(lance_fmt.duration("ms")) == "duration<ms>"
    same = lance_fmt.struct([Field("x", lance_fmt.float64(), metadata={"k": "v"}), point.fields[1]])
    assert same == point
    assert hash(same) == hash(point)
    assert [t.stride for t in (lance_fmt.decimal(3), point, lance_fmt.date())] == [16, 0, 4]
    assert lance_fmt.date().is_integer
    assert not lance_fmt.date().is_number


# What does not fit, and where the message says it is.

_PAIR = lance_fmt.struct({"a": lance_fmt.int8(), "b": Field("b", lance_fmt.string(), nullable=False)})


@pytest.mark.parametrize(
    ("values", "kind", "why"),
    [
        ([{"b": ""}, {"b": "", "c": 1}], _PAIR, "row 1: .*no field 'c'"),
        ([{"b": ""}, {"a": 1}], _PAIR, "row 1: .*'b' is null or missing"),
        ([{"a": 300, "b": ""}], _PAIR, "row 0: field 'a': 300 does not fit int8: out of range"),
        ([[1], {"b": ""}], _PAIR, "row 0: "),
        ([[[1]], [[2], [3, "x"]]], lance_fmt.list_(lance_fmt.list_(lance_fmt.int8())), "row 1: item 1: item 1: 'x'"),
        ([[1], [2, None]], lance_fmt.list_(lance_fmt.int8()), "row 1: .*item 1 is null"),
        ([[], [[1, 2], [1]]], lance_fmt.list_(lance_fmt.vector(lance_fmt.int8(), 2)), "row 1: item 1: .*shape"),
        ([Decimal("1.23")], lance_fmt.decimal(5, 1), "row 0: .*more than 1 digits after the point"),
        ([Decimal("0E+99999"), Decimal("1E+999999999")], lance_fmt.decimal(38), "row 1: .*out of range"),
        ([Decimal("1E-999999999")], lance_fmt.decimal(38, 38), "row 0: .*more than 38"),
        ([10**38], lance_fmt.decimal(38), "row 0: .*out of range"),
        ([Decimal("NaN")], lance_fmt.decimal(3), "row 0: "),
        ([1.5], lance_fmt.decimal(3, 1), "row 0: "),
        ([datetime(2024, 1, 1)], lance_fmt.date(), "row 0: "),
        ([np.datetime64("2024-01-01T01")], lance_fmt.date(), "row 0: "),
        ([2**31], lance_fmt.date(), "row 0: .*out of range"),
        ([time(1, tzinfo=UTC)], lance_fmt.time("us"), "row 0: .*zoned"),
        ([time(1, 0, 0, 1)], lance_fmt.time("ms"), "row 0: .*finer"),
        ([86400], lance_fmt.time("s"), "row 0: .*out of range"),
        ([timedelta(microseconds=1)], lance_fmt.duration("ms"), "row 0: .*finer"),
        ([timedelta(days=999999999)], lance_fmt.duration("ns"), "row 0: .*out of range"),
        ([np.timedelta64(1, "M")], lance_fmt.duration("s"), "row 0: .*no fixed length"),
        ([np.timedelta64(2**62, "s")], lance_fmt.duration("ns"), "row 0: .*out of range"),
        ([np.datetime64(2**62, "s")], lance_fmt.timestamp("ns"), "row 0: .*out of range"),
        ([np.datetime64(2**62, "Y")], lance_fmt.date(), "row 0: .*out of range"),
        ([1, np.timedelta64(1, "s")], lance_fmt.int64(), "row 1: "),
        (["1"], lance_fmt.bfloat16(), "row 0: .*bfloat16"),
        ([True], lance_fmt.bfloat16(), "row 0: "),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(values: list[Any], kind: DataType, why: str) -> None:
    with pytest.raises(InvalidDataError, match=why):
        Column.from_pylist(values, kind)
    with pytest.raises(InvalidDataError, match=f"column 'z': {why}"):
        Table.of({"z": values}, lance_fmt.Schema([Field("z", kind)]))


def test_children_that_do_not_fit() -> None:
    number, text = (
        Column.from_numpy(np.arange(3, dtype=np.int8)),
        Column.from_pylist(["", None], lance_fmt.string()),
    )
    with pytest.raises(SchemaError, match="'b'.*2 rows, expected 3"):
        Column(_PAIR, (number, text))
    with pytest.raises(SchemaError, match="'b'.*null in row 1"):
        Column(_PAIR, (number.slice(0, 2), text))
    with pytest.raises(SchemaError, match="'b'.*int8 column, expected string"):
        Column(_PAIR, (number, number))
    with pytest.raises(SchemaError, match="2 child columns"):
        Column(_PAIR, (number,))
    with pytest.raises(SchemaError, match="3 rows, expected 4"):
        Column(lance_fmt.int8(), number.array, length=4)
    with pytest.raises(SchemaError, match="row 0.*not nullable"):
        Column(lance_fmt.list_(lance_fmt.string()), text, np.array([0, 2]))
    hidden = Column(_PAIR, (number.slice(0, 2), text), None, np.array([True, False]))
    assert hidden.to_pylist() == [{"a": 0, "b": ""}, None]
    assert hidden.field("b").validity is None
    with pytest.raises(SchemaError, match="no field 'c'; there are 'a', 'b'"):
        hidden.field("c")


def test_nulls_at_every_level() -> None:
    inner = lance_fmt.struct({"x": lance_fmt.list_(lance_fmt.string(), nullable=True)})
    kind = lance_fmt.struct({"a": lance_fmt.list_(inner, nullable=True)})
    rows = [{"a": [{"x": ["s", None]}, None]}, None, {"a": None}, {"a": []}, {"a": [{"x": None}, {"x": []}]}]
    column = Column.from_pylist(rows, kind)
    assert column.take([4, 1, 0, 2, 1]).to_pylist() == [rows[i] for i in (4, 1, 0, 2, 1)]
    for start in range(5):
        part = column.slice(start, 5)
        assert part.to_pylist() == part.compact().to_pylist() == rows[start:]
        assert Column.concat([part, column]).to_pylist() == rows[start:] + rows
    assert not column.equals(column.take([4, 1, 0, 2, 1]))


def test_what_lies_below_a_null_does_not_count() -> None:
    kind = lance_fmt.struct({"a": lance_fmt.list_(lance_fmt.int64())})
    ours = Column.from_pylist([{"a": [1]}, {"a": [2, 3]}], kind)
    other = Column.from_pylist([{"a": [1]}, {"a": None}], kind)
    valid = np.array([True, False])
    assert Column(kind, ours.values, None, valid).equals(Column(kind, other.values, None, valid))
    assert not ours.equals(other)


def test_missing_fields_are_null() -> None:
    kind = lance_fmt.struct({"a": lance_fmt.int8(), "t": lance_fmt.timestamp("s")})
    rows = Column.from_pylist([{}, {"a": 1}, {"t": np.datetime64("NaT")}, None], kind).to_pylist()
    assert rows == [{"a": None, "t": None}, {"a": 1, "t": None}, {"a": None, "t": None}, None]


# bfloat16


def _nearest(value: float) -> int:
    """The bit pattern nearest to a finite value, the even one of two: by trying."""
    if value < 0 or str(value) == "-0.0":
        return _nearest(-value) | 0x8000

    def exact(bits: int) -> Fraction:  # the pattern after the largest number counts as the next power of two
        exponent, mantissa = bits >> 7, bits & 0x7F
        return Fraction(mantissa + 128 * bool(exponent)) * Fraction(2) ** (max(exponent, 1) - 134)

    low, high = 0, 0x7F80
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exact(middle) <= Fraction(value) else (low, middle)
    gaps = Fraction(value) - exact(low), exact(high) - Fraction(value)
    return (low if low % 2 == 0 else high) if gaps[0] == gaps[1] else (low if gaps[0] < gaps[1] else high)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-2, 2))
def test_bfloat16_rounds_to_nearest_even(value: float) -> None:
    column = Column.from_pylist([value], lance_fmt.bfloat16())
    assert column.array.tolist() == [_nearest(value)]
    single = Column.from_numpy(np.array([[value]]), lance_fmt.vector(lance_fmt.bfloat16(), 1))
    assert single.array.tolist() == [[_nearest(value)]]


def test_bfloat16_ties_and_ends() -> None:
    tie = 1 + 2.0**-8
    values = [tie, np.nextafter(tie, 2), 1 + 3 * 2.0**-8, 3.3961775292304957e38, 1e300, 5e-324]
    column = Column.from_pylist(values, lance_fmt.bfloat16())
    assert column.array.tolist() == [0x3F80, 0x3F81, 0x3F82, 0x7F80, 0x7F80, 0]
    odd = Column.from_pylist([float("nan"), -float("inf"), -0.0, 2, None], lance_fmt.bfloat16())
    assert listed(odd.to_pylist()) == ["nan", "-inf", "-0.0", "2.0", None]
    hidden = np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)  # NaNs whose upper half is none
    assert np.isnan(Column.from_numpy(hidden, lance_fmt.bfloat16()).to_numpy()).all()


def test_bfloat16_arrays() -> None:
    kind = lance_fmt.bfloat16()
    bits = np.arange(2**16, dtype=np.uint16)
    column = Column(kind, bits)
    floats = column.to_numpy()
    assert floats.dtype == np.float32
    again = Column.from_numpy(floats, kind).array
    nan = np.isnan(floats)
    assert (again[~nan] == bits[~nan]).all()
    assert np.isnan(Column(kind, again).to_numpy()[nan]).all()
    with pytest.raises(SchemaError, match=r"Column\(bfloat16\(\), bits\)"):
        Column.from_numpy(bits, kind)
    vectors = Column.from_numpy(np.eye(2), lance_fmt.vector(kind, 2))
    assert vectors.to_numpy().tolist() == [[1, 0], [0, 1]]
    assert vectors.getter()(1).dtype == np.float32


# Decimals and times


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 38))
def test_decimals_are_two_words(number: int, scale: int) -> None:
    value = Decimal(f"{number}E-{scale}")
    column = Column.from_pylist([value, None], lance_fmt.decimal(38, scale))
    assert column.array[0].tobytes() == number.to_bytes(16, "little", signed=True)
    (found,) = column.slice(0, 1).to_pylist()
    assert found.as_tuple() == value.as_tuple()
    assert column.to_numpy().tolist() == [value, None]
    assert str(infer_type([value])).startswith("decimal<")


def test_times_as_numbers() -> None:
    days = Column.from_pylist([date(1969, 12, 31), None, np.datetime64("1970-01-02"), 2], lance_fmt.date())
    assert days.array.tolist() == [-1, 0, 1, 2]
    assert days.to_numpy().dtype == "M8[D]"
    assert np.isnat(days.to_numpy()).tolist() == [False, True, False, False]
    assert Column.from_numpy(days.to_numpy(), lance_fmt.date()).equals(days)
    clock = Column.from_pylist([time(0, 0, 1, 500000), np.timedelta64(2, "s"), 3], lance_fmt.time("ms"))
    assert clock.array.tolist() == [1500, 2000, 3]
    assert clock.to_numpy().dtype == "m8[ms]"
    assert Column.from_numpy(clock.to_numpy(), lance_fmt.time("ms")).equals(clock)
    spans = Column.from_numpy(np.array([1, "NaT"], "m8[D]"))
    assert (str(spans.type), spans.to_pylist()) == ("duration<us>", [timedelta(1), None])
    assert Column.from_pylist([time(0, 0, 1)], lance_fmt.time("ns")).to_pylist() == [10**9]
    far = Column(lance_fmt.date(), np.array([2**31 - 1], np.int32)).to_pylist()
    assert far == [np.datetime64(2**31 - 1, "D")]
    assert Column(lance_fmt.time("us"), np.array([-1, 2**62])).to_pylist() == [-1, 2**62]
    assert Column(lance_fmt.duration("s"), np.array([2**62])).to_pylist() == [np.timedelta64(2**62, "s")]
    for array, kind in (
        (np.array([1], "m8[us]"), lance_fmt.duration("ms")),
        (np.array([86400], "m8[s]"), lance_fmt.time("s")),
        (np.array([86400]), lance_fmt.time("s")),
        (np.array([1], "m8[M]"), lance_fmt.duration("s")),
        (np.array(["2024-01-01T01"], "M8[h]"), lance_fmt.date()),
        (np.array([1], "m8[s]"), lance_fmt.timestamp("s")),
        (np.array([0, 2**62], "m8[s]"), lance_fmt.duration("ns")),
        (np.array([0, 2**62], "M8[s]"), lance_fmt.timestamp("ns")),
    ):
        with pytest.raises(InvalidDataError):
            Column.from_numpy(array, kind)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([date(2024, 1, 1), None], "date"),
        ([time(1)], "time<us>"),
        ([timedelta(1)], "duration<us>"),
        ([np.timedelta64(1, "ns")], "duration<ns>"),
        ([Decimal("1.50"), Decimal(100), 7], "decimal<4, 1>"),
        ([Decimal("1E+3")], "decimal<4, 0>"),
        ([Decimal("0.001")], "decimal<3, 3>"),
        ([Decimal(0)], "decimal<1, 0>"),
        ([[date(2024, 1, 1)], [None]], "list<date?>"),
        ([date(2024, 1, 1), datetime(2024, 1, 1)], "json"),
        ([[[1]]], "json"),
        ([[True]], "json"),
    ],
)
def test_inferred_types(values: list[Any], expected: str) -> None:
    assert str(infer_type(values)) == expected
    if expected != "json":
        assert Column.from_pylist(values, infer_type(values)).to_pylist() == values


def test_decimals_too_long_to_infer() -> None:
    with pytest.raises(InvalidDataError, match="39 digits"):
        infer_type([Decimal(10**37), Decimal("0.1")])
    with pytest.raises(InvalidDataError, match="NaN"):
        infer_type([Decimal("NaN")])


# Arrow and pandas


def _arrow_cases() -> list[tuple[str, Callable[[Any], Any], str]]:
    rows = [[1, None], None, [], [3]]
    return [
        ("date64", lambda pa: pa.array([date(2024, 1, 1), None], pa.date64()), "timestamp<ms>"),
        ("date32", lambda pa: pa.array([date(2024, 1, 1), None]), "date"),
        ("time32", lambda pa: pa.array([time(1), None], pa.time32("s")), "time<s>"),
        ("time64", lambda pa: pa.array([time(1, 2, 3, 4), None], pa.time64("us")), "time<us>"),
        ("duration", lambda pa: pa.array([timedelta(1), None], pa.duration("ms")), "duration<ms>"),
        ("decimal32", lambda pa: pa.array([Decimal("-1.5"), None], pa.decimal32(3, 1)), "decimal<3, 1>"),
        ("decimal128", lambda pa: pa.array([Decimal("-1.5"), None, Decimal("2.5")], pa.decimal128(3, 1)),
         "decimal<3, 1>"),
        ("decimal256", lambda pa: pa.array([Decimal("-1.5"), None], pa.decimal256(38, 1)), "decimal<38, 1>"),
        ("negative", lambda pa: pa.array([Decimal(1200), None], pa.decimal128(3, -2)), "decimal<5, 0>"),
        ("list", lambda pa: pa.array(rows), "list<int64?>"),
        ("view", lambda pa: pa.array(rows, pa.list_view(pa.int8())), "list<int8?>"),
        ("large view", lambda pa: pa.array(rows, pa.large_list_view(pa.int8())), "list<int8?>"),
        ("dates", lambda pa: pa.array([[date(1, 1, 1)] * 2, None, [None, None]], pa.list_(pa.date32(), 2)),
         "list<date?>"),
        ("vectors", lambda pa: pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)), "vector<int8, 2>"),
        ("map", lambda pa: pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int8())),
         "list<struct<key: string not null, value: int8>>"),
        ("views", lambda pa: pa.array(["a", None, "long" * 9], pa.string_view()), "string"),
        ("bytes", lambda pa: pa.array([b"a", None, b"long" * 9], pa.binary_view()), "binary"),
        ("large", lambda pa: pa.array(["a", None, "ü"], pa.large_string()), "string"),
        ("fixed", lambda pa: pa.array([b"ab", None], pa.binary(2)), "binary"),
        ("codes", lambda pa: pa.array([["a"], None, ["a", "b"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
         "list<string?>"),
        ("half", lambda pa: pa.array([1.5, None], pa.float16()), "float16"),
        ("struct", lambda pa: pa.array([{"x": 1, "y": ["a"]}, None, {"x": None, "y": None}]),
         "struct<x: int64, y: list<string?>>"),
        ("extension", lambda pa: pa.array([b"0123456789abcdef", None], pa.uuid()), "binary"),
        ("nothing", lambda pa: pa.array([[None], []]), "list<json?>"),
        ("runs", lambda pa: pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]), "string"),
    ]  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), [pytest.param(*c[1:], id=c[0]) for c in _arrow_cases()])
def test_arrow_types(make: Callable[[Any], Any], expected: str) -> None:
    pa = pytest.importorskip("pyarrow")
    array = make(pa)
    rows = (array.storage if isinstance(array, pa.ExtensionArray) else array).to_pylist()
    if pa.types.is_map(array.type):
        rows = [row and [{"key": key, "value": value} for key, value in row] for row in rows]
    if pa.types.is_date64(array.type):
        rows = [datetime(2024, 1, 1), None]
    for chunked in (array, pa.chunked_array([array, array.slice(1), array.slice(0, 0)])):
        table = Table.from_arrow(pa.table({"c": chunked}))
        assert str(table.schema["c"].type) == expected
        found = listed(table["c"].to_pylist())
        assert found == listed(rows if chunked is array else rows + rows[1:])
        assert Table.from_arrow(table.to_arrow())["c"].equals(table["c"])
    empty = Table.from_arrow(pa.table({"c": pa.chunked_array([], array.type)}))
    assert (len(empty["c"]), str(empty.schema["c"].type)) == (0, expected)


def test_arrow_values_are_the_same() -> None:
    pytest.importorskip("pyarrow")
    row = {"d": Decimal("-1.25"), "when": [date(2024, 1, 1), None], "at": time(1, 2, 3), "v": [1.0, 2.0]}
    kind = lance_fmt.struct(
        {
            "d": lance_fmt.decimal(5, 2),
            "when": lance_fmt.list_(lance_fmt.date(), nullable=True),
            "at": lance_fmt.time("ms"),
            "v": lance_fmt.vector(lance_fmt.float32(), 2),
        }
    )
    column = Column.from_pylist([row, None, {}], kind)
    assert Table({"c": column}).to_arrow()["c"].to_pylist() == [row, None, dict.fromkeys(row)]


def test_arrow_shares_memory() -> None:
    pa = pytest.importorskip("pyarrow")
    array = pa.array([{"x": 1.0}, {"x": 2.0}])
    ours = Table.from_arrow(pa.table({"c": array}))["c"].field("x").array
    assert np.shares_memory(ours, np.frombuffer(array.field(0).buffers()[1], np.float64))
    again = Table({"c": Column.from_numpy(ours)}).to_arrow()["c"].chunk(0)
    assert np.shares_memory(again.to_numpy(), ours)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda pa: pa.array([Decimal(1)], pa.decimal256(76)), "'c': .*76 digits; at most 38"),
        (
            lambda pa: pa.array([[[1, None]]], pa.list_(pa.list_(pa.int8(), 2))),
            "'c', items: a null in the vector",
        ),
        (lambda pa: pa.array([{}]), "'c': a struct of 0 fields"),
        (
            lambda pa: pa.array([{"x": (1, 2, 3)}], pa.struct({"x": pa.month_day_nano_interval()})),
            "'c', field 'x'",
        ),
    ],
)
def test_arrow_types_that_do_not_fit(make: Callable[[Any], Any], why: str) -> None:
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(InvalidDataError, match=f"column {why}"):
        Table.from_arrow(pa.table({"c": make(pa)}))


def test_pandas() -> None:
    pd = pytest.importorskip("pandas")
    data = {
        "date": [date(2024, 1, 1), None],
        "decimal": [Decimal("1.5"), None],
        "time": [time(1), None],
        "duration": [timedelta(1), None],
    }
    table = Table.of({**data, "half": Column.from_pylist([1.5, 2], lance_fmt.bfloat16())})
    frame = table.to_pandas()
    assert frame["duration"].dtype.kind == "m"
    assert frame["half"].dtype == np.float32
    assert Table.from_pandas(frame.drop(columns="half")).to_pydict() == data
    struct = Column.from_pylist([{"a": 1, "b": "x"}, None], _PAIR)
    assert Table({"s": struct}).to_pandas()["s"].tolist() == [{"a": 1, "b": "x"}, None]
    assert len(Table({"s": struct.slice(0, 0)}).to_pandas()) == 0
    fine = pd.DataFrame({"t": [pd.Timedelta(1, "ns"), pd.NaT]})
    assert Table.from_pandas(fine)["t"].to_pylist() == [np.timedelta64(1, "ns"), None]
