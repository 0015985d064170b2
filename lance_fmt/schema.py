"""The types by name, and the schema: `int64()`, `vector(float32(), 384)`, `struct({"x": float64()})`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lance_fmt import display
from lance_fmt.constants import TimeUnit, TypeId
from lance_fmt.datatype import DataType, Field
from lance_fmt.errors import SchemaError

__all__ = [  # noqa: RUF022 (grouped by what they are for)
    "DataType", "Field", "Schema", "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64", "float16", "bfloat16", "float32", "float64", "decimal", "string", "binary", "json",
    "timestamp", "date", "time", "duration", "list_", "vector", "struct",
]  # fmt: skip


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


def bfloat16() -> DataType:
    """The upper 16 bits of a binary32, rounded to nearest even."""
    return DataType(TypeId.BFLOAT16)


def decimal(precision: int, scale: int = 0) -> DataType:
    """Exact numbers of up to `precision` digits (1 to 38), `scale` of them after the point."""
    return DataType(TypeId.DECIMAL, precision=int(precision), scale=int(scale))


def timestamp(unit: str = "us", tz: str | None = None) -> DataType:
    """Count of `unit` ("s", "ms", "us", "ns") since 1970-01-01 00:00 (UTC where `tz` is given)."""
    return DataType(TypeId.TIMESTAMP, unit=_unit(unit, "timestamp"), tz=tz)


def date() -> DataType:
    """Days since 1970-01-01 in the proleptic Gregorian calendar."""
    return DataType(TypeId.DATE)


def time(unit: str = "us") -> DataType:
    """Time of day: count of `unit` since midnight."""
    return DataType(TypeId.TIME, unit=_unit(unit, "time"))


def duration(unit: str = "us") -> DataType:
    """Length of time: count of `unit`, of either sign."""
    return DataType(TypeId.DURATION, unit=_unit(unit, "duration"))


def _unit(name: str, kind: str) -> TimeUnit:
    if name.upper() not in TimeUnit.__members__:
        raise SchemaError(f"{kind} unit {name!r} is not one of s, ms, us, ns")
    return TimeUnit[name.upper()]


def list_(item: DataType, nullable: bool = False) -> DataType:
    """Lists of any length; `nullable` says whether they may hold nulls."""
    return DataType(TypeId.LIST, item=item, item_nullable=bool(nullable))


def vector(item: DataType, dimension: int) -> DataType:
    """Exactly `dimension` numbers (1 to 2^20) in each row."""
    return DataType(TypeId.VECTOR, item=item, dimension=int(dimension))


def struct(fields: Mapping[str, DataType | Field] | Sequence[Field]) -> DataType:
    """Named members, each of a type of its own; a member given as a type may be null."""
    if not isinstance(fields, Mapping):
        return DataType(TypeId.STRUCT, fields=tuple(fields))
    members = [(n, f if isinstance(f, Field) else Field(n, f)) for n, f in fields.items()]
    for name, member in members:
        if member.name != name:
            raise SchemaError(f"field {member.name!r} is given under the name {name!r}")
    return DataType(TypeId.STRUCT, fields=tuple(member for _, member in members))


class Schema(Sequence[Field]):
    """Fields in file order, with distinct names; also looked up by name with `schema["name"]`.

    `metadata` is text of the user's; schemas that differ only in it are equal.
    """

    def __init__(self, fields: Sequence[Field], metadata: Mapping[str, str] | None = None) -> None:
        self.fields = tuple(fields)
        self.metadata = dict(metadata or {})
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
        return f"Schema({display.listed(self.fields, len(self), display.FIELDS)})"

    def _repr_html_(self) -> str:
        return display.schema_html(self)
