"""Logical types and named fields, and their bytes (FORMAT.md, "Schema").

A `DataType` is a value: two that print alike are equal and hash alike. How values of a type are laid out in
memory is said by its `dtype` and by `is_variable`, `is_list`, `is_struct`, `is_vector` and `is_decimal`; the
table in `lance_fmt.column` shows all layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lance_fmt.constants import MAX_DECIMAL_DIGITS, MAX_DIMENSION, MAX_NESTING, TimeUnit, TypeId
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
    TypeId.BFLOAT16: np.dtype("<u2"),
    TypeId.DECIMAL: np.dtype("<u8"),
    TypeId.TIMESTAMP: np.dtype("<i8"),
    TypeId.DATE: np.dtype("<i4"),
    TypeId.TIME: np.dtype("<i8"),
    TypeId.DURATION: np.dtype("<i8"),
}
_VARIABLE = frozenset({TypeId.STRING, TypeId.BINARY, TypeId.JSON})
_FLOATS = frozenset({TypeId.FLOAT16, TypeId.FLOAT32, TypeId.FLOAT64})
_NUMBERS = frozenset(t for t in TypeId if TypeId.INT8 <= t <= TypeId.FLOAT64)
_WITH_UNIT = frozenset({TypeId.TIMESTAMP, TypeId.TIME, TypeId.DURATION})
_TIMES = _WITH_UNIT | {TypeId.DATE}
_MAX_FIELDS = 2**16 - 1


@dataclass(frozen=True, eq=False)
class DataType:
    """A logical type. Make one with the functions of `lance_fmt.schema`: `int64()`, `vector(float32(), 384)`.

    `item` is the element type of lists and vectors, `item_nullable` whether a list may hold nulls,
    `dimension` the length of a vector, `fields` the fields of a struct, `unit` belongs to timestamps, times
    and durations, `tz` to timestamps, `precision` and `scale` to decimals. Raises SchemaError for what is
    no type.
    """

    id: TypeId
    item: DataType | None = None
    dimension: int = 0
    unit: TimeUnit | None = None
    tz: str | None = None
    item_nullable: bool = False
    fields: tuple[Field, ...] = ()
    precision: int = 0
    scale: int = 0

    def __post_init__(self) -> None:
        if self.is_list and self.item is None:
            raise SchemaError("a list needs the type of its items")
        if self.is_vector:
            self._check_vector()
        if self.is_decimal:
            self._check_decimal()
        if self.is_struct:
            self._check_fields()
        if (self.id in _WITH_UNIT) != (self.unit is not None):
            raise SchemaError(
                f"{self.id.name.lower()} {'needs a' if self.id in _WITH_UNIT else 'has no'} unit"
            )
        if self.id is TypeId.NESTED_LIST:
            raise SchemaError("NESTED_LIST is a list's id in files; in memory every list is a LIST")
        if self.depth > MAX_NESTING:
            raise SchemaError(f"a type nested {self.depth} deep; at most {MAX_NESTING} are possible")

    def _check_vector(self) -> None:
        if not (self.element.is_number or self.element.is_bfloat16):
            raise SchemaError(f"vector items are numbers, not {self.item}")
        if not 1 <= self.dimension <= MAX_DIMENSION:
            raise SchemaError(f"vector dimension {self.dimension} is not in 1..{MAX_DIMENSION}")

    def _check_decimal(self) -> None:
        if not 1 <= self.precision <= MAX_DECIMAL_DIGITS:
            raise SchemaError(f"decimal precision {self.precision} is not in 1..{MAX_DECIMAL_DIGITS}")
        if not 0 <= self.scale <= self.precision:
            raise SchemaError(f"decimal scale {self.scale} is not in 0..{self.precision}, its precision")

    def _check_fields(self) -> None:
        names = [f.name for f in self.fields]
        if not 1 <= len(names) <= _MAX_FIELDS:
            raise SchemaError(f"a struct of {len(names)} fields; 1..{_MAX_FIELDS} are possible")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise SchemaError(f"field name {twice!r} occurs more than once in a struct")

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
    def is_struct(self) -> bool:
        """A child column for each field."""
        return self.id is TypeId.STRUCT

    @cached_property
    def is_vector(self) -> bool:
        """Fixed-size rows, `(n, dimension)`."""
        return self.id is TypeId.VECTOR

    @cached_property
    def is_decimal(self) -> bool:
        """128-bit integers in units of 10^-scale, `(n, 2)`: low and high words."""
        return self.id is TypeId.DECIMAL

    @cached_property
    def is_bfloat16(self) -> bool:
        """The upper halves of float32, held as bit patterns."""
        return self.id is TypeId.BFLOAT16

    @cached_property
    def is_float(self) -> bool:
        """float16, float32 or float64: what NumPy has floats for (bfloat16 is held as bit patterns)."""
        return self.id in _FLOATS

    @cached_property
    def is_number(self) -> bool:
        """An integer or floating-point scalar that NumPy knows."""
        return self.id in _NUMBERS

    @cached_property
    def is_integer(self) -> bool:
        """A scalar held as an integer: integers, timestamps, dates, times, durations."""
        return self.id in _TIMES or (self.id in _NUMBERS and self.id not in _FLOATS)

    @cached_property
    def is_time(self) -> bool:
        """A timestamp, date, time of day or duration."""
        return self.id in _TIMES

    @cached_property
    def stride(self) -> int:
        """Bytes of one row's values; 0 where rows differ (strings, lists) or have many arrays (structs)."""
        if self.is_variable or self.is_list or self.is_struct:
            return 0
        if self.is_decimal:
            return 16
        return self.dtype.itemsize * (self.dimension if self.is_vector else 1)

    @cached_property
    def time_unit(self) -> str:
        """NumPy's name of the unit: "s", "ms", "us" or "ns"; "D" for dates."""
        if self.id is TypeId.DATE:
            return "D"
        if self.unit is None:
            raise SchemaError(f"{self} has no time unit")
        return self.unit.name.lower()

    @cached_property
    def children(self) -> tuple[DataType, ...]:
        """Types inside: of a struct's fields, of the items of a list or vector."""
        return tuple(f.type for f in self.fields) if self.item is None else (self.item,)

    @cached_property
    def depth(self) -> int:
        """Types on the longest way inside: 0 for scalars, 1 for a list of scalars."""
        return max((1 + child.depth for child in self.children), default=0)

    @cached_property
    def since(self) -> str:
        """The first version of the format that has the type: "1.0" or "1.1"."""
        if self.id >= TypeId.BFLOAT16 or self._wire_id is TypeId.NESTED_LIST:
            return "1.1"
        return max((child.since for child in self.children), default="1.0")

    @cached_property
    def _wire_id(self) -> TypeId:
        if self.item is None or not self.is_list:
            return self.id
        plain = self.item.is_number or self.item.id is TypeId.STRING
        return TypeId.LIST if plain and not self.item_nullable else TypeId.NESTED_LIST

    @cached_property
    def _key(self) -> tuple[object, ...]:
        inner = tuple((f.name, f.type, f.nullable) for f in self.fields)
        times = (self.unit, self.tz, self.precision, self.scale)
        return (self.id, self.item, self.item_nullable, self.dimension, *times, inner)

    def __eq__(self, other: object) -> bool:
        """Metadata of a struct's fields does not count."""
        return self is other or (isinstance(other, DataType) and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        if self.is_list:
            return f"list<{self.item}{'?' if self.item_nullable else ''}>"
        if self.is_vector:
            return f"vector<{self.item}, {self.dimension}>"
        if self.is_struct:
            return f"struct<{', '.join(map(str, self.fields))}>"
        if self.is_decimal:
            return f"decimal<{self.precision}, {self.scale}>"
        if self.unit is not None:
            return f"{self.id.name.lower()}<{self.time_unit}{'' if self.tz is None else ', ' + self.tz}>"
        return self.id.name.lower()

    def __repr__(self) -> str:
        return str(self)

    def put(self, out: Builder) -> None:
        """Append the type's bytes to `out`, in the oldest form that can say it."""
        out.u8(self._wire_id)
        if self.unit is not None:
            out.u8(self.unit)
        if self.id is TypeId.TIMESTAMP:
            out.text(self.tz or "")
        if self.is_decimal:
            out.u8(self.precision).u8(self.scale)
        if self.is_vector:
            out.u32(self.dimension)
        if self._wire_id is TypeId.NESTED_LIST:
            out.u8(int(self.item_nullable))
        if self.item is not None:
            self.item.put(out)
        if self.is_struct:
            out.u16(len(self.fields))
            for member in self.fields:
                out.raw(member.to_bytes())

    @staticmethod
    def get(cursor: Cursor, depth: int = 0) -> DataType:
        """Read a type; UnsupportedVersionError for an id this reader does not know."""
        code = cursor.u8("type id")
        simple = _SIMPLE.get(code)
        if simple is not None:
            return simple
        try:
            type_id = TypeId(code)
        except ValueError:
            raise UnsupportedVersionError(f"column type id {code} is unknown to this reader") from None
        if depth > MAX_NESTING:
            raise cursor.fail(f"a type nested more than {MAX_NESTING} deep")
        try:
            return _read(type_id, cursor, depth)
        except SchemaError as error:
            raise cursor.fail(str(error)) from None


# Types that are their id alone; one object for each, so that what is derived of a type is derived once.
_SIMPLE = {
    int(type_id): DataType(type_id)
    for type_id in (*_NUMBERS, *_VARIABLE, TypeId.BOOL, TypeId.BFLOAT16, TypeId.DATE)
}


def _read(type_id: TypeId, cursor: Cursor, depth: int) -> DataType:
    unit = _read_unit(cursor) if type_id in _WITH_UNIT else None
    if type_id is TypeId.TIMESTAMP:
        return DataType(type_id, unit=unit, tz=cursor.text("time zone") or None)
    if type_id is TypeId.DECIMAL:
        return DataType(type_id, precision=cursor.u8("precision"), scale=cursor.u8("scale"))
    if type_id is TypeId.VECTOR:
        dimension = cursor.u32("dimension")
        return DataType(type_id, DataType.get(cursor, depth + 1), dimension)
    if type_id is TypeId.LIST:
        found = DataType(type_id, DataType.get(cursor, depth + 1))
        if found._wire_id is not TypeId.LIST:
            raise SchemaError(f"the items of a LIST are numbers or strings, not {found.item}")
        return found
    if type_id is TypeId.NESTED_LIST:
        nullable = _read_flag(cursor, "nullable flag of items")
        return DataType(TypeId.LIST, DataType.get(cursor, depth + 1), item_nullable=nullable)
    if type_id is TypeId.STRUCT:
        count = cursor.u16("field count")
        return DataType(type_id, fields=tuple(Field.get(cursor, depth + 1) for _ in range(count)))
    return DataType(type_id, unit=unit)


def _read_unit(cursor: Cursor) -> TimeUnit:
    code = cursor.u8("time unit")
    try:
        return TimeUnit(code)
    except ValueError:
        raise cursor.fail(f"time unit id {code} is not known") from None


def _read_flag(cursor: Cursor, what: str) -> bool:
    flag = cursor.u8(what)
    if flag > 1:
        raise cursor.fail(f"{what} {flag} is neither 0 nor 1")
    return bool(flag)


@dataclass(frozen=True)
class Field:
    """A named column or member of a struct: its type, whether it may hold nulls, and the user's text."""

    name: str
    type: DataType
    nullable: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.name}: {self.type}{'' if self.nullable else ' not null'}"

    def to_bytes(self) -> bytes:
        """The field's record in the schema section."""
        out = Builder().text(self.name).u8(int(self.nullable))
        self.type.put(out)
        out.u32(len(self.metadata))
        for key, value in self.metadata.items():
            out.text(key).text(value)
        return out.finish()

    @staticmethod
    def get(cursor: Cursor, depth: int = 0) -> Field:
        """Read one field record."""
        name = cursor.text("field name" if depth else "column name")
        nullable = _read_flag(cursor, "nullable flag")
        data_type = DataType.get(cursor, depth)
        metadata = {}
        for _ in range(cursor.u32("field metadata count")):
            key = cursor.text("field metadata key")
            metadata[key] = cursor.text("field metadata value")
        return Field(name, data_type, nullable, metadata)
