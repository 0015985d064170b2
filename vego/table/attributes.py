"""Metadata as typed columns, and back to exactly the values that were inserted.

Each top-level key is one nullable column. Its type is the one type all its values have; keys whose values
are of several types, or nested, become JSON columns (see `values`). A null entry means "this document does
not have the key", or, where the field is marked `null=none`, "the key is there and holds None".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

import lance_fmt
from lance_fmt import Column, DataType, Field
from vego.table.values import EXPLICIT_NONE, from_jsonable, to_jsonable

NULL_MEANING = "null"  # key of the field metadata
NONE = "none"
MISSING = object()

_JSON = lance_fmt.json()

_INT64 = range(-(1 << 63), 1 << 63)
_SIMPLE: dict[type, DataType] = {
    bool: lance_fmt.bool_(),
    int: lance_fmt.int64(),
    float: lance_fmt.float64(),
    str: lance_fmt.string(),
    bytes: lance_fmt.binary(),
}
_ITEMS: dict[type, DataType] = {
    int: lance_fmt.int64(),
    float: lance_fmt.float64(),
    str: lance_fmt.string(),
}


def infer_type(values: Sequence[Any]) -> DataType | None:
    """The column type that keeps every value (None apart) exactly; None where only JSON does."""
    kinds = set(map(type, values)) - {type(None), object}
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is int and not all(value in _INT64 for value in values if type(value) is int):
        return None
    if kind is datetime:
        return _timestamp_type([value for value in values if type(value) is datetime])
    if kind is list:
        return _list_type([value for value in values if type(value) is list])
    return _SIMPLE.get(kind)


def _list_type(values: Sequence[list[Any]]) -> DataType | None:
    kinds = {type(item) for value in values for item in value}
    if not kinds:
        return lance_fmt.list_(lance_fmt.string())
    kind = kinds.pop()
    if kinds or kind not in _ITEMS:
        return None
    if kind is int and not all(item in _INT64 for value in values for item in value):
        return None
    return lance_fmt.list_(_ITEMS[kind])


def _timestamp_type(values: Sequence[datetime]) -> DataType | None:
    zones = {_zone_name(value) for value in values}
    if len(zones) != 1:
        return None
    zone = zones.pop()
    # An instant alone does not tell which side of a clock change (fold) was meant; JSON does.
    return None if zone == "?" else lance_fmt.timestamp("us", zone)


def _zone_name(value: datetime) -> str | None:
    if value.fold:
        return "?"
    if value.tzinfo is None:
        return None
    return "UTC" if value.tzinfo is UTC else "?"


def build_column(name: str, values: Sequence[Any]) -> tuple[Field, Column]:
    """The field and column for one key; `values` has one entry a row, MISSING where a document lacks the key."""
    has_none = any(value is None for value in values)
    has_missing = any(value is MISSING for value in values)
    flags = {NULL_MEANING: NONE} if has_none and not has_missing else {}
    kind = None if has_none and has_missing else infer_type(values)
    if kind is None:
        kind = _JSON
        plain = [_json_entry(value, has_missing) for value in values]
    else:
        plain = [None if value is MISSING else value for value in values]
    return Field(name, kind, nullable=True, metadata=flags), Column.from_pylist(plain, kind)


def _json_entry(value: Any, none_is_special: bool) -> Any:
    if value is MISSING:
        return None
    if value is None:
        return EXPLICIT_NONE if none_is_special else None
    return to_jsonable(value)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Field], dict[str, Column]]:
    """Fields and columns for the metadata of many documents, keys in order of first appearance."""
    keys = dict.fromkeys(key for row in rows for key in row)
    built = {key: build_column(key, [row.get(key, MISSING) for row in rows]) for key in keys}
    return [field for field, _ in built.values()], {key: column for key, (_, column) in built.items()}


def means_none(field: Field) -> bool:
    """True where a null of this field is a None that was inserted."""
    return field.metadata.get(NULL_MEANING) == NONE


def metadata_of(values: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """One document's metadata from its row of column values."""
    metadata: dict[str, Any] = {}
    for name, field in fields.items():
        value = values[name]
        if value is None:
            if means_none(field):
                metadata[name] = None
        elif field.type == _JSON:
            metadata[name] = from_jsonable(value)
        else:
            metadata[name] = value
    return metadata


def python_values(column: Column) -> list[Any]:
    """The values of a column as they were inserted; None for null."""
    values = column.to_pylist()
    return [from_jsonable(value) for value in values] if column.type == _JSON else values


def column_from_user(name: str, values: Any, rows: int) -> tuple[Field, Column] | None:
    """A typed column straight from a NumPy array of a storable dtype; None where values must be looked at."""
    if (
        not isinstance(values, np.ndarray)
        or values.ndim != 1
        or len(values) != rows
        or values.dtype.kind not in "biuf"
    ):
        return None
    column = Column.from_numpy(np.ascontiguousarray(values))
    return Field(name, column.type, nullable=True, metadata={NULL_MEANING: NONE}), column
