"""Types, values and files for the tests of the format."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, DataType, Field, TypeId

# For tests that run once for each type: a quarter of the examples of the profile in use.
fewer = settings(max_examples=max(4, settings().max_examples // 4))

_INTEGERS = {
    "int8": (lance_fmt.int8(), -(2**7), 2**7 - 1),
    "int16": (lance_fmt.int16(), -(2**15), 2**15 - 1),
    "int32": (lance_fmt.int32(), -(2**31), 2**31 - 1),
    "int64": (lance_fmt.int64(), -(2**63), 2**63 - 1),
    "uint8": (lance_fmt.uint8(), 0, 2**8 - 1),
    "uint16": (lance_fmt.uint16(), 0, 2**16 - 1),
    "uint32": (lance_fmt.uint32(), 0, 2**32 - 1),
    "uint64": (lance_fmt.uint64(), 0, 2**64 - 1),
}
_FLOATS = {16: lance_fmt.float16(), 32: lance_fmt.float32(), 64: lance_fmt.float64()}
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_json = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=5,
)


def _times(tz: Any) -> st.SearchStrategy[datetime]:
    low, high = datetime(1, 1, 3), datetime(9999, 12, 29)
    return st.datetimes(low, high, timezones=st.none() if tz is None else st.just(tz))


TYPES: dict[DataType, st.SearchStrategy[Any]] = {
    lance_fmt.bool_(): st.booleans(),
    **{kind: st.integers(low, high) | st.integers(0, 5) for kind, low, high in _INTEGERS.values()},
    **{kind: st.floats(width=width) for width, kind in _FLOATS.items()},
    lance_fmt.string(): _text | st.sampled_from(["red", "green", "blue"]),
    lance_fmt.binary(): st.binary(max_size=20),
    lance_fmt.json(): _json,
    lance_fmt.timestamp("us"): _times(None),
    lance_fmt.timestamp("us", "UTC"): _times(UTC),
    lance_fmt.timestamp("us", "+02:00"): _times(timezone(timedelta(hours=2))),
    lance_fmt.timestamp("s"): _times(None).map(lambda t: t.replace(microsecond=0)),
    lance_fmt.timestamp("ms"): _times(None).map(
        lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
    ),
    lance_fmt.timestamp("ns"): st.integers(-(2**63) + 1, 2**63 - 1).map(lambda t: np.datetime64(t, "ns")),
    lance_fmt.list_(lance_fmt.string()): st.lists(_text, max_size=4),
    lance_fmt.list_(lance_fmt.int16()): st.lists(st.integers(-(2**15), 2**15 - 1), max_size=4),
    lance_fmt.list_(lance_fmt.float64()): st.lists(st.floats(), max_size=4),
    lance_fmt.vector(lance_fmt.float32(), 3): st.lists(st.floats(width=32), min_size=3, max_size=3),
    lance_fmt.vector(lance_fmt.int8(), 5): st.lists(st.integers(-128, 127), min_size=5, max_size=5),
}


_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Types since 1.1 without types inside; decimals of every size come on top.
_NEW_SCALARS = [
    lance_fmt.bfloat16(), lance_fmt.date(), lance_fmt.decimal(38, 38), lance_fmt.decimal(1),
    *[make(unit) for unit in _PER_SECOND for make in (lance_fmt.time, lance_fmt.duration)],
]  # fmt: skip
_VECTORS = [lance_fmt.vector(lance_fmt.bfloat16(), 3), *[t for t in TYPES if t.is_vector]]
_SCALARS = [t for t in TYPES if not (t.is_list or t.is_vector)] + _NEW_SCALARS


def _decimal_types() -> st.SearchStrategy[DataType]:
    sizes = st.integers(1, 38).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))
    return sizes.map(lambda size: lance_fmt.decimal(*size))


def data_types(depth: int = 3) -> st.SearchStrategy[DataType]:
    """Any type, lists and structs up to `depth` deep."""
    leaf = st.sampled_from(_SCALARS) | _decimal_types() | st.sampled_from(_VECTORS)
    if not depth:
        return leaf
    inner = data_types(depth - 1)
    names = st.lists(_text, min_size=1, max_size=3, unique=True)
    members = names.flatmap(
        lambda found: st.tuples(*(st.builds(Field, st.just(name), inner, st.booleans()) for name in found))
    )
    return leaf | st.builds(lance_fmt.list_, inner, st.booleans()) | members.map(lance_fmt.struct)


def rows_of(kind: DataType) -> st.SearchStrategy[Any]:
    """Python values of a type, none of them null, as they come back from a column of it."""
    if kind.is_list:
        item = rows_of(kind.element)
        return st.lists(st.none() | item if kind.item_nullable else item, max_size=4)
    if kind.is_struct:
        members = {f.name: rows_of(f.type) for f in kind.fields}
        nullable = {f.name: f.nullable for f in kind.fields}
        return st.fixed_dictionaries({n: st.none() | m if nullable[n] else m for n, m in members.items()})
    if kind in TYPES:
        return TYPES[kind]
    if kind.is_vector:
        return st.lists(rows_of(kind.element), min_size=kind.dimension, max_size=kind.dimension)
    if kind.is_bfloat16:
        return st.integers(0, 0xFFFF).map(lambda b: float(np.array(b << 16, np.uint32).view(np.float32)))
    if kind.is_decimal:
        largest = 10**kind.precision - 1
        return st.integers(-largest, largest).map(lambda n: Decimal(f"{n}E-{kind.scale}"))
    return _rows_of_times(kind)


def _rows_of_times(kind: DataType) -> st.SearchStrategy[Any]:
    if kind.id is TypeId.DATE:
        return st.dates()
    scale = _PER_SECOND[kind.time_unit]
    if kind.id is TypeId.TIME:
        ticks = st.integers(0, 86400 * scale - 1)
        start = datetime(1970, 1, 1)
        step = timedelta(seconds=1) / min(scale, 10**6)
        return ticks if kind.time_unit == "ns" else ticks.map(lambda t: (start + t * step).time())
    if kind.time_unit == "ns":
        return st.integers(-(2**63) + 1, 2**63 - 1).map(lambda t: np.timedelta64(t, "ns"))
    days = 10**5
    step = timedelta(seconds=1) / scale
    return st.integers(-days * 86400 * scale, days * 86400 * scale).map(lambda t: t * step)


@st.composite
def values_for(draw: st.DrawFn, kind: DataType, max_size: int = 20) -> list[Any]:
    """Rows of a column of any type: from a small pool or all different; often with nulls."""
    rows = rows_of(kind)
    if draw(st.booleans()):
        rows = st.sampled_from(draw(st.lists(rows, min_size=1, max_size=4)))
    if draw(st.booleans()):
        rows = st.none() | rows
    return draw(st.lists(rows, max_size=max_size))


def columns(kind: DataType, max_size: int = 20) -> st.SearchStrategy[Column]:
    """Columns of a type."""
    return values_for(kind, max_size).map(lambda values: Column.from_pylist(values, kind))


def listed(values: Any) -> Any:
    """Arrays as lists and floats as their text, at any depth, so that rows compare with ==, NaN included."""
    if isinstance(values, np.ndarray | list | tuple):
        return [listed(v) for v in (values.tolist() if isinstance(values, np.ndarray) else values)]
    if isinstance(values, dict):
        return {key: listed(value) for key, value in values.items()}
    return repr(values) if isinstance(values, float) else values


@st.composite
def values_of(draw: st.DrawFn, kind: DataType, max_size: int = 60) -> list[Any]:
    """Rows of a column: from a small pool (so that they repeat) or all different; often with nulls."""
    rows = TYPES[kind]
    if draw(st.booleans()):
        rows = st.sampled_from(draw(st.lists(rows, min_size=1, max_size=4)))
    if draw(st.booleans()):
        rows = st.none() | rows
    return draw(st.lists(rows, max_size=max_size))


def repeated(column: Column, rows: int) -> Column:
    """`column` over and over, to `rows` rows, so that blocks and pages fill."""
    return column.take(np.arange(rows) % len(column)) if len(column) else column


def sample_columns(rows: int = 40) -> dict[str, Column]:
    """One column of each type, with and without nulls, fixed for ever (golden files are made of them)."""
    columns: dict[str, Column] = {}
    for kind in TYPES:
        for nulls in (False, True):
            column = Column.from_pylist(_sample_values(kind, rows, nulls=nulls), kind)
            columns[f"{kind}{'?' if nulls else ''}"] = column
    columns["nothing"] = Column.from_pylist([None] * rows, lance_fmt.string())
    columns["json null"] = Column.from_pylist(
        [None] * rows, lance_fmt.json(), validity=[i % 2 == 0 for i in range(rows)]
    )
    return columns


def _sample_values(kind: DataType, rows: int, *, nulls: bool) -> list[Any]:
    values = [_sample_value(kind, i) for i in range(rows)]
    return [None if nulls and i % 3 == 1 else v for i, v in enumerate(values)]


def _sample_value(kind: DataType, i: int) -> Any:
    if kind.id is TypeId.BOOL:
        return i * i % 3 == 0
    if kind.id is TypeId.STRING:
        return ["red", "grün", "blue", "", "x" * 70][i % 5] if i % 2 else f"row {i}"
    if kind.id is TypeId.BINARY:
        return bytes(range(i % 7))
    if kind.id is TypeId.JSON:
        return [{"a": i}, [1, "ä", None], "text", 1.5][i % 4]
    if kind.id is TypeId.TIMESTAMP:
        if kind.time_unit == "ns":
            return np.datetime64(1_700_000_000_000_000_000 + i, "ns")
        zone = None if kind.tz is None else UTC
        return datetime(2024, 1, 1, tzinfo=zone) + timedelta(seconds=i)
    if kind.is_list:
        return [_sample_value(kind.element, j) for j in range(i % 4)]
    if kind.is_vector:
        return [_sample_value(kind.element, j) for j in range(kind.dimension)]
    if kind.is_float:
        return [i * 37 % 101 / 4, float("nan"), -0.0, float("inf")][i % 7 if i % 7 < 4 else 0]
    return i * 37 % 101


def file_of(columns: Any, **options: Any) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    lance_fmt.write(out, columns, **options)
    return out.getvalue()
