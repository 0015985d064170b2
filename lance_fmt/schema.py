"""Logical types, fields and the schema, and their bytes (FORMAT.md, "Schema").

A `DataType` is a value: two that print alike are equal and hash alike. How values of a type are laid out
in memory is said by its `dtype`, `is_variable` and `is_list`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lance_fmt.constants import MAX_DIMENSION, TimeUnit, TypeId
from lance_fmt.errors import SchemaError, UnsupportedVersionError
from lance_fmt.wire import Builder, Cursor

_DTYPES: dict[TypeId, np.dtype[np.generic]] = {
    TypeId.BOOL: np.dtype(np.bool_),
    TypeId.INT8: np.dtype("<i1"),
    TypeId.INT16: np.dtype("<i2"),
    TypeId.INT32: np.dtype("<i4"),
    TypeId.INT64: np.dtype("<i8"),
    TypeId.UINT8: np.dtype("<u1"),
    TypeId.UINT16: np.dtype("<u2"),
    TypeId.UINT32: np.dtype("<u4"),
    TypeId.UINT64: np.dtype("<u8"),
    TypeId.FLOAT16: np.dtype("<f2"),
    TypeId.FLOAT32: np.dtype("<f4"),
    TypeId.FLOAT64: np.dtype("<f8"),
    TypeId.TIMESTAMP: np.dtype("<i8"),
}
_VARIABLE = frozenset({TypeId.STRING, TypeId.BINARY, TypeId.JSON})
_FLOATS = frozenset({TypeId.FLOAT16, TypeId.FLOAT32, TypeId.FLOAT64})
_NUMBERS = frozenset(_DTYPES) - {TypeId.BOOL, TypeId.TIMESTAMP}


@dataclass(frozen=True)
class DataType:
    """A logical type. Make one with the functions of this module: `int64()`, `vector(float32(), 384)`.

    `item` is the element type of lists and vectors, `dimension` the length of a vector, `unit` and `tz`
    belong to timestamps.
    """

    id: TypeId
    item: DataType | None = None
    dimension: int = 0
    unit: TimeUnit | None = None
    tz: str | None = None

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """NumPy dtype of `Column.values`; uint8 for strings, binary and JSON (their bytes)."""
        if self.id is TypeId.VECTOR:
            return self.element.dtype
        return _DTYPES.get(self.id, np.dtype("<u1"))

    @cached_property
    def element(self) -> DataType:
        """Element type of a list or vector; raises SchemaError for other types."""
        if self.item is None:
            raise SchemaError(f"{self} has no elements")
        return self.item

    @cached_property
    def is_variable(self) -> bool:
        """String, binary or JSON: bytes behind offsets."""
        return self.id in _VARIABLE

    @cached_property
    def is_text(self) -> bool:
        """String or JSON: the bytes are UTF-8."""
        return self.id in (TypeId.STRING, TypeId.JSON)

    @cached_property
    def is_list(self) -> bool:
        """A child column behind offsets."""
        return self.id is TypeId.LIST

    @cached_property
    def is_vector(self) -> bool:
        """Fixed-size rows, `(n, dimension)`."""
        return self.id is TypeId.VECTOR

    @cached_property
    def is_float(self) -> bool:
        """float16, float32 or float64."""
        return self.id in _FLOATS

    @cached_property
    def is_number(self) -> bool:
        """An integer or floating-point scalar."""
        return self.id in _NUMBERS

    @cached_property
    def is_integer(self) -> bool:
        """A scalar held as an integer: integers and timestamps."""
        return self.id is TypeId.TIMESTAMP or (self.id in _NUMBERS and self.id not in _FLOATS)

    @cached_property
    def stride(self) -> int:
        """Bytes of one row's values; 0 where rows differ (strings, lists). A bool counts 1."""
        if self.is_variable or self.is_list:
            return 0
        return self.dtype.itemsize * (self.dimension if self.is_vector else 1)

    @cached_property
    def time_unit(self) -> str:
        """NumPy's name of a timestamp's unit: "s", "ms", "us" or "ns"."""
        if self.unit is None:
            raise SchemaError(f"{self} has no time unit")
        return self.unit.name.lower()

    def __str__(self) -> str:
        if self.is_list:
            return f"list<{self.item}>"
        if self.is_vector:
            return f"vector<{self.item}, {self.dimension}>"
        if self.unit is not None:
            return f"timestamp<{self.time_unit}{'' if self.tz is None else ', ' + self.tz}>"
        return self.id.name.lower()

    def __repr__(self) -> str:
        return str(self)

    def put(self, out: Builder) -> None:
        """Append the type's bytes to `out`."""
        out.u8(self.id)
        if self.unit is not None:
            out.u8(self.unit).text(self.tz or "")
        if self.is_vector:
            out.u32(self.dimension)
        if self.item is not None:
            self.item.put(out)

    @staticmethod
    def get(cursor: Cursor, depth: int = 0) -> DataType:
        """Read a type; UnsupportedVersionError for an id this reader does not know."""
        code = cursor.u8("type id")
        try:
            type_id = TypeId(code)
        except ValueError:
            raise UnsupportedVersionError(f"column type id {code} is unknown to this reader") from None
        if depth and type_id in (TypeId.LIST, TypeId.VECTOR):
            raise cursor.fail("a list or vector inside a list or vector")
        try:
            if type_id is TypeId.TIMESTAMP:
                return _timestamp(cursor.u8("time unit"), cursor.text("time zone") or None)
            if type_id is TypeId.VECTOR:
                dimension = cursor.u32("dimension")
                return vector(DataType.get(cursor, depth + 1), dimension)
            if type_id is TypeId.LIST:
                return list_(DataType.get(cursor, depth + 1))
        except SchemaError as error:
            raise cursor.fail(str(error)) from None
        return DataType(type_id)


def bool_() -> DataType:
    """True or False."""
    return DataType(TypeId.BOOL)


def int8() -> DataType:
    """Signed 8-bit integer."""
    return DataType(TypeId.INT8)


def int16() -> DataType:
    """Signed 16-bit integer."""
    return DataType(TypeId.INT16)


def int32() -> DataType:
    """Signed 32-bit integer."""
    return DataType(TypeId.INT32)


def int64() -> DataType:
    """Signed 64-bit integer."""
    return DataType(TypeId.INT64)


def uint8() -> DataType:
    """Unsigned 8-bit integer."""
    return DataType(TypeId.UINT8)


def uint16() -> DataType:
    """Unsigned 16-bit integer."""
    return DataType(TypeId.UINT16)


def uint32() -> DataType:
    """Unsigned 32-bit integer."""
    return DataType(TypeId.UINT32)


def uint64() -> DataType:
    """Unsigned 64-bit integer."""
    return DataType(TypeId.UINT64)


def float16() -> DataType:
    """IEEE 754 binary16."""
    return DataType(TypeId.FLOAT16)


def float32() -> DataType:
    """IEEE 754 binary32."""
    return DataType(TypeId.FLOAT32)


def float64() -> DataType:
    """IEEE 754 binary64."""
    return DataType(TypeId.FLOAT64)


def string() -> DataType:
    """UTF-8 text."""
    return DataType(TypeId.STRING)


def binary() -> DataType:
    """Bytes."""
    return DataType(TypeId.BINARY)


def json() -> DataType:
    """Any JSON value (RFC 8259), kept as its text."""
    return DataType(TypeId.JSON)


def timestamp(unit: str = "us", tz: str | None = None) -> DataType:
    """Count of `unit` ("s", "ms", "us", "ns") since 1970-01-01 00:00 (UTC where `tz` is given)."""
    if unit.upper() not in TimeUnit.__members__:
        raise SchemaError(f"timestamp unit {unit!r} is not one of s, ms, us, ns")
    return _timestamp(TimeUnit[unit.upper()], tz)


def list_(item: DataType) -> DataType:
    """Lists of numbers or strings, of any length."""
    if not (item.is_number or item.id is TypeId.STRING):
        raise SchemaError(f"list items are numbers or strings, not {item}")
    return DataType(TypeId.LIST, item=item)


def vector(item: DataType, dimension: int) -> DataType:
    """Exactly `dimension` numbers (1 to 2^20) in each row."""
    if not item.is_number:
        raise SchemaError(f"vector items are numbers, not {item}")
    if not 1 <= dimension <= MAX_DIMENSION:
        raise SchemaError(f"vector dimension {dimension} is not in 1..{MAX_DIMENSION}")
    return DataType(TypeId.VECTOR, item=item, dimension=int(dimension))


def _timestamp(unit: int, tz: str | None) -> DataType:
    try:
        return DataType(TypeId.TIMESTAMP, unit=TimeUnit(unit), tz=tz)
    except ValueError:
        raise SchemaError(f"time unit id {unit} is not known") from None


@dataclass(frozen=True)
class Field:
    """A named column: its type, whether it may hold nulls, and text the user attached to it."""

    name: str
    type: DataType
    nullable: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The field's record in the schema section."""
        out = Builder().text(self.name).u8(int(self.nullable))
        self.type.put(out)
        out.u32(len(self.metadata))
        for key, value in self.metadata.items():
            out.text(key).text(value)
        return out.finish()

    @staticmethod
    def get(cursor: Cursor) -> Field:
        """Read one field record."""
        name = cursor.text("column name")
        nullable = cursor.u8("nullable flag")
        if nullable > 1:
            raise cursor.fail(f"nullable flag {nullable} is neither 0 nor 1")
        data_type = DataType.get(cursor)
        metadata = {}
        for _ in range(cursor.u32("field metadata count")):
            key = cursor.text("field metadata key")
            metadata[key] = cursor.text("field metadata value")
        return Field(name, data_type, bool(nullable), metadata)


class Schema(Sequence[Field]):
    """Fields in file order, with distinct names; also looked up by name with `schema["name"]`."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self._by_name = {f.name: f for f in self.fields}
        if len(self._by_name) != len(self.fields):
            names = [f.name for f in self.fields]
            twice = next(name for name in names if names.count(name) > 1)
            raise SchemaError(f"column name {twice!r} occurs more than once")

    @property
    def names(self) -> list[str]:
        """Column names in file order."""
        return list(self._by_name)

    def __len__(self) -> int:
        return len(self.fields)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def __contains__(self, item: object) -> bool:
        return item in self._by_name if isinstance(item, str) else item in self.fields

    def __getitem__(self, key: int | str | slice) -> Field:  # type: ignore[override]
        if isinstance(key, str):
            if key not in self._by_name:
                raise SchemaError(f"no column {key!r}; there are {', '.join(map(repr, self._by_name))}")
            return self._by_name[key]
        return self.fields[key]  # type: ignore[return-value]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(tuple((f.name, f.type, f.nullable) for f in self.fields))

    def __repr__(self) -> str:
        inner = ", ".join(f"{f.name}: {f.type}{'' if f.nullable else ' not null'}" for f in self.fields)
        return f"Schema({inner})"
