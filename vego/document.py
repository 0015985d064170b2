"""A document, and the rules for ids, vectors and metadata; nothing invalid gets past this file.

Metadata values: None, bool, int, float, str, bytes, datetime, date, and lists and dicts of them. NumPy
scalars become the Python value they hold; NumPy arrays become lists. Vectors are kept as float32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vego import display
from vego.errors import DimensionMismatchError, InvalidIdError, InvalidMetadataError, InvalidVectorError
from vego.options import MAX_ID_BYTES, MAX_METADATA_DEPTH, MAX_METADATA_KEYS

Vector = NDArray[np.float32]


@dataclass(slots=True, eq=False, repr=False)
class Document:
    """One row of a collection.

    id: a string of 1 to 512 bytes of UTF-8; None asks for a generated one.
    vector: float32 array of shape (dimension,); any sequence of numbers is accepted.
    metadata: top-level keys become typed columns.
    """

    id: str | None = None
    vector: ArrayLike | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Document):
            return NotImplemented
        return (
            self.id == other.id
            and self.metadata == other.metadata
            and (self.vector is None) == (other.vector is None)
            and (self.vector is None or np.array_equal(np.asarray(self.vector), np.asarray(other.vector)))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return display.document_text(self)

    def _repr_html_(self) -> str:
        return display.document_html(self)


def check_id(value: object, where: str) -> str:
    """`value` as an id, or InvalidIdError; `where` names collection and row."""
    if not isinstance(value, str):
        hint = " Use str(id)." if isinstance(value, int) else ""
        raise InvalidIdError(f"{where}: id must be a string, got {type(value).__name__} {value!r}.{hint}")
    if not value:
        raise InvalidIdError(f"{where}: id is empty; leave it out to have one generated")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidIdError(f"{where}: id {value!r} is not valid Unicode (lone surrogate)") from None
    if size > MAX_ID_BYTES:
        raise InvalidIdError(
            f"{where}: id of {size} bytes, at most {MAX_ID_BYTES} allowed: {value[:40]!r}..."
        )
    return value


def _numeric(value: object, where: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        raise DimensionMismatchError(
            f"{where}: vectors of different lengths; each needs the same dimension"
        ) from None
    if array.dtype.kind not in "fiu":
        raise InvalidVectorError(
            f"{where}: a vector needs numbers, got {array.dtype} ({type(value).__name__})"
        )
    return array


def check_vectors(value: object, dimension: int, where: str, ids: Sequence[str]) -> Vector:
    """`value` as a finite C-contiguous float32 array of shape (n, dimension).

    Raises DimensionMismatchError or InvalidVectorError naming the first bad row (and its id from `ids`).
    """
    array = _numeric(value, where)
    if array.ndim == 1 and array.size == 0:
        array = array.reshape(0, dimension)
    if array.ndim != 2:
        raise DimensionMismatchError(
            f"{where}: expected vectors of shape (n, {dimension}), got shape {array.shape}"
        )
    if array.shape[1] != dimension:
        raise DimensionMismatchError(
            f"{where}: vector has dimension {array.shape[1]}, the collection has {dimension}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.ascontiguousarray(array, dtype=np.float32)
        total = result.sum()
    # One pass: the sum is finite unless a component is not (or the sum overflows, which the row check settles).
    if not np.isfinite(total):
        bad = np.flatnonzero(~np.isfinite(result).all(axis=1))
        if len(bad):
            row = int(bad[0])
            column = int(np.flatnonzero(~np.isfinite(result[row]))[0])
            name = f" (id {ids[row]!r})" if row < len(ids) else ""
            raise InvalidVectorError(
                f"{where}, row {row}{name}: vector component {column} is {array[row, column]}; "
                "every component must be finite in float32"
            )
    return result


def check_metadata(metadata: object, where: str) -> dict[str, Any]:
    """`metadata` with NumPy values as Python values, or InvalidMetadataError; a new dict."""
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError(f"{where}: metadata must be a dict, got {type(metadata).__name__}")
    if len(metadata) > MAX_METADATA_KEYS:
        raise InvalidMetadataError(f"{where}: {len(metadata)} metadata keys, at most {MAX_METADATA_KEYS}")
    return {check_key(key, where): check_value(value, where, key) for key, value in metadata.items()}


def check_key(key: object, where: str) -> str:
    """`key` as a metadata key."""
    if not isinstance(key, str) or not key:
        raise InvalidMetadataError(f"{where}: metadata key must be a non-empty string, got {key!r}")
    if key.startswith("$"):
        raise InvalidMetadataError(f"{where}: metadata key {key!r} starts with '$', which is reserved")
    _check_text(key, where, key)
    return key


def _check_text(text: str, where: str, key: str) -> None:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidMetadataError(
                f"{where}: metadata {key!r}: lone surrogate in {text[:40]!r}"
            ) from None


def check_value(value: Any, where: str, key: str, depth: int = 0) -> Any:
    """`value` as a storable Python value."""
    kind = type(value)
    if value is None or kind is int or kind is bool or kind is float or kind is bytes:
        return value
    if kind is str:
        _check_text(value, where, key)
        return value
    if isinstance(value, np.generic):
        return check_value(value.item(), where, key, depth)
    if isinstance(value, datetime):
        return _check_datetime(value, where, key)
    if kind is date:
        return value
    if depth >= MAX_METADATA_DEPTH:
        raise InvalidMetadataError(
            f"{where}: metadata {key!r} is nested deeper than {MAX_METADATA_DEPTH} levels"
        )
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [check_value(item, where, key, depth + 1) for item in value]
    if isinstance(value, dict):
        for inner in value:
            if not isinstance(inner, str):
                raise InvalidMetadataError(f"{where}: metadata {key!r}: key {inner!r} in it is not a string")
            _check_text(inner, where, key)
        return {inner: check_value(item, where, key, depth + 1) for inner, item in value.items()}
    # Subclasses, such as an IntEnum or a StrEnum, are kept as the plain value they are.
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return check_value(str.__str__(value), where, key, depth)
    if isinstance(value, bytes):
        return bytes(value)
    raise InvalidMetadataError(
        f"{where}: metadata {key!r}: cannot store {kind.__name__} {str(value)[:60]!r}. Storable are None, bool, int, "
        "float, str, bytes, datetime, date, and lists and dicts of them"
    )


def _check_datetime(value: datetime, where: str, key: str) -> datetime:
    if type(value) is not datetime:  # pandas.Timestamp and the like
        if getattr(value, "nanosecond", 0):
            raise InvalidMetadataError(
                f"{where}: metadata {key!r}: {value} has nanoseconds; microseconds are kept"
            )
        value = (
            value.to_pydatetime()
            if hasattr(value, "to_pydatetime")
            else datetime.fromisoformat(value.isoformat())
        )
    offset = value.utcoffset()
    if offset is not None and math.fmod(offset.total_seconds(), 60):
        raise InvalidMetadataError(
            f"{where}: metadata {key!r}: time zone offset {offset} is not whole minutes"
        )
    return value
