"""Arrow tables for the tests of conversions: any type, any values, and what they look like in Python."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from vego_tools.convert.retype import retype

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

INTEGERS = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
BYTES = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3)]
TIMES = [
    pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
    *[pa.timestamp(unit) for unit in _UNITS], pa.timestamp("us", "UTC"), pa.timestamp("ms", "Europe/Paris"),
    *[pa.duration(unit) for unit in _UNITS],
]  # fmt: skip
DECIMALS = [pa.decimal128(9, 2), pa.decimal128(38, 0), pa.decimal256(20, 5), pa.decimal32(5, 1),
            pa.decimal64(12, 3)]  # fmt: skip
SCALARS = [pa.bool_(), pa.null(), *INTEGERS, *FLOATS, *TEXTS, *BYTES, *TIMES, *DECIMALS]
VECTORS = [pa.list_(pa.float32(), 3), pa.list_(pa.uint8(), 2), pa.list_(pa.float64(), 5)]
ENCODED = [
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string()),
    pa.dictionary(pa.uint16(), pa.int64(), ordered=True), pa.run_end_encoded(pa.int32(), pa.int16()),
]  # fmt: skip
NESTED = [
    pa.list_(pa.int16()), pa.large_list(pa.string()), pa.list_view(pa.float64()), pa.list_(pa.list_(pa.bool_())),
    pa.list_(pa.string(), 2), pa.map_(pa.string(), pa.int32()), pa.list_(pa.dictionary(pa.int8(), pa.string())),
    pa.struct([("a", pa.int8()), ("b", pa.list_(pa.struct([("c", pa.string_view())])))]),
]  # fmt: skip
ALL = [*SCALARS, *VECTORS, *ENCODED, *NESTED]


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Python values of an Arrow type; integers for times."""
    is_ = pa.types
    if is_.is_null(kind):
        return st.none()
    if is_.is_boolean(kind):
        return st.booleans()
    if is_.is_integer(kind):
        low = 0 if is_.is_unsigned_integer(kind) else -(2 ** (kind.bit_width - 1))
        return st.integers(low, low + 2**kind.bit_width - 1) | st.integers(0, 3)
    if is_.is_floating(kind):
        return st.floats(width=kind.bit_width)
    if kind in TEXTS:
        return TEXT | st.sampled_from(["", "red", "007", "NA", "1.5", "a,b", 'say "x"', "two\nlines"])
    if is_.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if kind in BYTES:
        return st.binary(max_size=6)
    if is_.is_decimal(kind):
        most = 10**kind.precision - 1
        return st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-kind.scale, Context(prec=90)))
    if is_.is_temporal(kind):
        return _times(kind)
    return _nested(kind)


def _times(kind: Any) -> st.SearchStrategy[int]:
    is_ = pa.types
    if is_.is_date(kind):
        return st.integers(-700_000, 2_900_000).map(lambda d: d if is_.is_date32(kind) else d * 86_400_000)
    per_second = _UNITS[kind.unit]
    if is_.is_time(kind):
        return st.integers(0, 86_400 * min(per_second, 10**6) - 1).map(
            lambda t: t * (1000 if kind.unit == "ns" else 1)
        )
    most = min(250_000_000_000 * per_second, 2**63 - 1)  # years 1 to 9999
    return st.integers(-min(62_000_000_000 * per_second, 2**63 - 1), most)


def _nested(kind: Any) -> st.SearchStrategy[Any]:
    is_ = pa.types
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        inner = values(kind.value_type)
        few = st.sampled_from(["red", "green", "blue"]) if kind.value_type in TEXTS else st.integers(0, 3)
        return few if is_.is_dictionary(kind) else inner
    if is_.is_map(kind):
        pairs = st.tuples(values(kind.key_type), st.none() | values(kind.item_type))
        return st.lists(pairs, max_size=3)
    if is_.is_struct(kind):
        members = [kind.field(i) for i in range(kind.num_fields)]
        return st.fixed_dictionaries({f.name: st.none() | values(f.type) for f in members})
    number = is_.is_integer(kind.value_type) or is_.is_floating(kind.value_type)
    if is_.is_fixed_size_list(kind):
        item = values(kind.value_type) if number else st.none() | values(kind.value_type)
        return st.lists(item, min_size=kind.list_size, max_size=kind.list_size)
    return st.lists(st.none() | values(kind.value_type), max_size=3)


def array(found: list[Any], kind: Any) -> Any:
    """A pyarrow array of values that `values` drew."""
    if pa.types.is_run_end_encoded(kind):
        return retype(pa.array(found, kind.value_type), kind)
    if pa.types.is_temporal(kind):
        width = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.array(found, width).view(kind)
    if pa.types.is_float16(kind):
        import numpy as np

        return pa.array([None if v is None else np.float16(v) for v in found], kind)
    return pa.array(found, kind)


@st.composite
def tables(draw: st.DrawFn, kinds: list[Any], *, nulls: bool = True, least: int = 0) -> Any:
    """Tables of up to 4 columns of some of `kinds`, and up to 12 rows."""
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    rows = draw(st.integers(least, 12))
    columns = {}
    for place, kind in enumerate(chosen):
        one = st.none() | values(kind) if nulls else values(kind)
        columns[f"c{place}"] = array(draw(st.lists(one, min_size=rows, max_size=rows)), kind)
    fields = [
        pa.field(
            name, column.type, nulls or draw(st.booleans()), draw(st.sampled_from([None, {"unit": "m"}]))
        )
        for name, column in columns.items()
    ]
    return pa.table(
        list(columns.values()), schema=pa.schema(fields, draw(st.sampled_from([None, {"a": "b"}])))
    )


def shown(table: Any) -> list[str]:
    """Every column's values as text that tells -0.0 from 0.0 and holds every NaN for equal."""
    return [repr(column.combine_chunks().to_pylist()) for column in table.columns]


def everything(rows: int = 40) -> Any:
    """A table with a column of every type, half of them with nulls."""

    def column(place: int, kind: Any) -> Any:
        found = [None if place % 2 and row % 3 == 1 else _some(kind, row) for row in range(rows)]
        return array(found, kind)

    found = {f"c{place}": column(place, kind) for place, kind in enumerate(ALL)}
    found["uuid"] = pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([bytes([r] * 16) for r in range(rows)], pa.binary(16))
    )
    found["document"] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":[1,2]}'] * rows))
    return pa.table(found).replace_schema_metadata({"made by": "a test"})


def _some(kind: Any, row: int) -> Any:
    """One value of a type."""
    is_ = pa.types
    if is_.is_null(kind):
        return None
    if is_.is_boolean(kind):
        return row % 3 == 0
    if is_.is_date64(kind):
        return row * 86_400_000
    if is_.is_integer(kind) or (is_.is_temporal(kind) and not is_.is_time64(kind)):
        return row
    if is_.is_time64(kind):
        return row * 1000
    if is_.is_floating(kind):
        return row / 4
    if kind in TEXTS:
        return f"é{row}"
    if is_.is_fixed_size_binary(kind):
        return bytes([row] * kind.byte_width)
    if kind in BYTES:
        return bytes([row, 255])
    if is_.is_decimal(kind):
        return Decimal(row % 9)
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return _some(kind.value_type, row // 20)
    if is_.is_map(kind):
        return [("k", row), ("l", None)]
    if is_.is_struct(kind):
        return {kind.field(i).name: _some(kind.field(i).type, row) for i in range(kind.num_fields)}
    size = kind.list_size if is_.is_fixed_size_list(kind) else row % 4
    return [_some(kind.value_type, row)] * size
