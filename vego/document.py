"""A document, and the rules for ids, vectors and metadata; nothing invalid gets past this file.

Metadata values: None, bool, int, float, str, bytes, datetime, date, and lists and dicts of them. NumPy
scalars become the Python value they hold; NumPy arrays become lists. Vectors are kept as `vego.vector_type` says.
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
from vego.vector_type import BITS, Element, VectorType

Vector = NDArray[Any]  # of the type that the collection keeps


@dataclass(slots=True, eq=False, repr=False)
class Document:
    """One row of a collection.

    id: a string of 1 to 512 bytes of UTF-8; None asks for a generated one.
    vector: array of shape (dimension,), any sequence of numbers; of bits, `numpy.packbits` of them will do.
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


def _numeric(value: object, where: str, kinds: str = "fiu") -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:
        raise DimensionMismatchError(
            f"{where}: vectors of different lengths; each needs the same dimension"
        ) from None
    if array.dtype.kind not in kinds:
        raise InvalidVectorError(
            f"{where}: a vector needs numbers, got {array.dtype} ({type(value).__name__})"
        )
    return array


def check_vectors(value: object, kind: VectorType, where: str, ids: Sequence[str]) -> Vector:
    """`value` (n, dimension) as a C-contiguous array (n, width) of what is stored; `kind` has a dimension.

    Floats are rounded to those stored, and must be finite in them; integers must be whole and within bounds. Bits
    are given as (n, dimension) of 0 and 1 or of bool, or (n, dimension / 8) bytes as `numpy.packbits` makes them.
    Raises DimensionMismatchError or InvalidVectorError naming the first bad row (and its id from `ids`).
    """
    assert kind.dimension is not None
    bits = kind.element is Element.BIT
    array = _numeric(value, where, "fiub" if bits else "fiu")
    if array.ndim == 1 and array.size == 0:
        array = array.reshape(0, kind.dimension)
    if array.ndim != 2:
        raise DimensionMismatchError(
            f"{where}: expected vectors of shape (n, {kind.dimension}), got shape {array.shape}"
        )
    if bits:
        return _bits(array, kind, where, ids)
    if array.shape[1] != kind.dimension:
        raise DimensionMismatchError(
            f"{where}: vector has dimension {array.shape[1]}, the collection has {kind.dimension}"
        )
    if kind.element in (Element.UINT8, Element.INT8):
        return _whole(array, kind.element, where, ids)
    with np.errstate(over="ignore", invalid="ignore"):
        result = np.ascontiguousarray(array, dtype=kind.element.stored)
        total = result.sum(dtype=np.float32)
    # One pass: the sum is finite unless a component is not (or the sum overflows, which the row check settles).
    if not np.isfinite(total):
        expected = f"every component must be finite in {kind.element.value}"
        _refuse_first(~np.isfinite(result), array, expected, where, ids)
    return result


def _whole(array: NDArray[Any], element: Element, where: str, ids: Sequence[str]) -> Vector:
    """Numbers (n, d) as integers of the element."""
    if array.dtype != element.stored:
        bounds = np.iinfo(element.stored)
        with np.errstate(invalid="ignore"):
            wrong = (array < bounds.min) | (array > bounds.max)
            if array.dtype.kind == "f":
                wrong |= array != np.rint(array)  # also of NaN
        expected = f"{element.value} needs whole numbers from {bounds.min} to {bounds.max}"
        _refuse_first(wrong, array, expected, where, ids)
    return np.ascontiguousarray(array, element.stored)


def _bits(array: NDArray[Any], kind: VectorType, where: str, ids: Sequence[str]) -> Vector:
    """Bits (n, d), or bytes (n, d / 8), as bytes."""
    kind.checked()
    if array.shape[1] == kind.width and array.dtype != np.bool_:
        return _whole(array, Element.UINT8, where, ids)
    if array.shape[1] != kind.dimension:
        raise DimensionMismatchError(
            f"{where}: expected {kind.dimension} bits, or {kind.width} bytes as numpy.packbits makes them, "
            f"found vectors of shape {array.shape} of {array.dtype}"
        )
    _refuse_first((array != 0) & (array != 1), array, "a bit is 0 or 1", where, ids)
    return np.packbits(array != 0, axis=1)


def _refuse_first(
    wrong: NDArray[np.bool_], array: NDArray[Any], expected: str, where: str, ids: Sequence[str]
) -> None:
    """InvalidVectorError for the first component (n, d) that is `wrong`, if one is."""
    bad = np.flatnonzero(wrong.any(axis=1))
    if len(bad):
        row = int(bad[0])
        column = int(np.flatnonzero(wrong[row])[0])
        name = f" (id {ids[row]!r})" if row < len(ids) else ""
        raise InvalidVectorError(
            f"{where}, row {row}{name}: vector component {column} is {array[row, column]}; {expected}"
        )


def type_of_first(kind: VectorType, first: object) -> VectorType:
    """The type with the dimension that a vector (d,), or the rows (n, d) of a batch, have; bool counts bits."""
    array = np.asarray(first)
    width = array.shape[-1] if array.ndim else 1
    packed = kind.element is Element.BIT and array.dtype != np.bool_
    return VectorType(kind.element, width * BITS if packed else width)


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
