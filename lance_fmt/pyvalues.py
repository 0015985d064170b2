"""Python values to arrays and back, one pair of rules for each logical type.

`Parts` is the array form of a column without its type: values, offsets of variable-length rows, validity
(None = no null). Values that a type cannot hold exactly in kind (text in a number column, a float in an
integer column, a naive time in a zoned column) are refused with `InvalidDataError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from lance_fmt import schema
from lance_fmt.constants import TypeId
from lance_fmt.errors import CorruptFileError, InvalidDataError
from lance_fmt.schema import DataType

_EPOCH = datetime(1970, 1, 1)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NAT = np.iinfo(np.int64).min


@dataclass(slots=True)
class Parts:
    """Array form of a column: see `lance_fmt.column.Column` for the meaning of each part."""

    values: np.ndarray[Any, Any] | Parts
    offsets: np.ndarray[Any, Any] | None = None
    validity: np.ndarray[Any, Any] | None = None


def from_pylist(values: Sequence[Any], data_type: DataType) -> Parts:
    """Arrays of `values` (None = null); raises InvalidDataError naming the first row that does not fit."""
    if data_type.id is TypeId.TIMESTAMP:  # NaT, the missing time of NumPy and pandas, equals not even itself
        values = [None if v != v else v for v in values]  # noqa: PLR0124
    validity = np.fromiter((v is not None for v in values), np.bool_, len(values))
    nulls = None if validity.all() else validity
    if data_type.is_variable:
        parts = _variable(values, data_type)
    elif data_type.is_list:
        parts = _list(values, data_type)
    elif data_type.is_vector:
        parts = _vectors(values, data_type)
    else:
        parts = _scalars(values, data_type)
    parts.validity = nulls
    return parts


def _refuse(row: int, value: object, data_type: DataType, why: str = "") -> InvalidDataError:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return InvalidDataError(f"row {row}: {shown} does not fit {data_type}{why and ': ' + why}")


def _scalars(values: Sequence[Any], data_type: DataType) -> Parts:
    if data_type.id is TypeId.TIMESTAMP:
        ticks = [0 if v is None else to_ticks(v, data_type, row) for row, v in enumerate(values)]
        return Parts(np.array(ticks, np.int64))
    kinds: tuple[type, ...] = (float, int, np.floating, np.integer)
    if data_type.id is TypeId.BOOL:
        kinds = (bool, np.bool_)
    elif data_type.is_integer:
        kinds = (int, np.integer)
    exact = kinds[0]
    boolean = data_type.id is TypeId.BOOL
    for row, v in enumerate(values):
        if type(v) is exact or v is None:
            continue
        if not isinstance(v, kinds) or (not boolean and isinstance(v, bool)):
            raise _refuse(row, v, data_type)
    filled = [0 if v is None else v for v in values]
    with np.errstate(over="ignore"):
        try:
            return Parts(np.array(filled, data_type.dtype))
        except OverflowError:
            row = next(i for i, v in enumerate(filled) if not _holds(v, data_type))
            raise _refuse(row, filled[row], data_type, "out of range") from None


def _holds(value: Any, data_type: DataType) -> bool:
    try:
        np.array(value, data_type.dtype)
    except OverflowError:
        return False
    return True


def _variable(values: Sequence[Any], data_type: DataType) -> Parts:
    pieces: list[bytes]
    if data_type.id is TypeId.BINARY:
        for row, v in enumerate(values):
            if v is not None and not isinstance(v, bytes | bytearray | memoryview):
                raise _refuse(row, v, data_type)
        pieces = [b"" if v is None else bytes(v) for v in values]
    elif data_type.id is TypeId.JSON:
        pieces = [b"" if v is None else json_bytes(v, row) for row, v in enumerate(values)]
    else:
        for row, v in enumerate(values):
            if v is not None and not isinstance(v, str):
                raise _refuse(row, v, data_type)
        joined = "".join([v for v in values if v is not None])
        if joined.isascii():
            lengths = [0 if v is None else len(v) for v in values]
            return Parts(np.frombuffer(joined.encode("ascii"), np.uint8), offsets_of(lengths))
        pieces = [b"" if v is None else _utf8(v, row, data_type) for row, v in enumerate(values)]
    return Parts(np.frombuffer(b"".join(pieces), np.uint8), offsets_of([len(p) for p in pieces]))


def _utf8(value: str, row: int, data_type: DataType) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError:
        raise _refuse(row, value, data_type, "not valid Unicode text (lone surrogate)") from None


def json_bytes(value: object, row: int = 0) -> bytes:
    """Compact JSON text of `value`; InvalidDataError for what JSON has no form for (NaN included)."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise _refuse(row, value, schema.json(), str(error)) from None


def offsets_of(lengths: Sequence[int] | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """int64 `(n + 1,)`: running sums of `lengths`, starting with 0."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _list(values: Sequence[Any], data_type: DataType) -> Parts:
    flat: list[Any] = []
    lengths = []
    for row, v in enumerate(values):
        if v is None:
            lengths.append(0)
            continue
        if isinstance(v, np.ndarray):
            v = v.tolist()  # noqa: PLW2901
        if not isinstance(v, list | tuple):
            raise _refuse(row, v, data_type)
        if any(item is None for item in v):
            raise _refuse(row, v, data_type, "lists hold no nulls")
        flat.extend(v)
        lengths.append(len(v))
    return Parts(from_pylist(flat, data_type.element), offsets_of(lengths))


def _vectors(values: Sequence[Any], data_type: DataType) -> Parts:
    out = np.zeros((len(values), data_type.dimension), data_type.dtype)
    for row, v in enumerate(values):
        if v is None:
            continue
        try:
            array = np.asarray(v)
        except ValueError:
            raise _refuse(row, v, data_type) from None
        if array.shape != (data_type.dimension,):
            raise _refuse(row, v, data_type, f"shape {array.shape}, expected ({data_type.dimension},)")
        floats = array.dtype.kind == "f" and data_type.element.is_float
        if floats or np.can_cast(array.dtype, data_type.dtype):
            with np.errstate(over="ignore"):
                out[row] = array
        elif array.dtype.kind in "iufb":
            out[row] = from_pylist(array.tolist(), data_type.element).values
        else:
            raise _refuse(row, v, data_type)
    return Parts(out)


def to_ticks(value: object, data_type: DataType, row: int = 0) -> int:
    """Count of the type's unit since the epoch: of a datetime, a NumPy datetime64, or a plain int."""
    unit = data_type.time_unit
    if isinstance(value, np.datetime64):
        ticks = int(value.astype(f"M8[{unit}]").astype(np.int64))
    elif isinstance(value, datetime):
        if (value.tzinfo is None) != (data_type.tz is None):
            which = "naive" if value.tzinfo is None else "zoned"
            raise _refuse(row, value, data_type, f"a {which} time")
        since = (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value) - _EPOCH
        micros = (since.days * 86400 + since.seconds) * 10**6 + since.microseconds
        ticks, lost = divmod(micros * _PER_SECOND[unit], 10**6)
        if lost:
            raise _refuse(row, value, data_type, f"finer than one {unit}")
    elif isinstance(value, int | np.integer) and not isinstance(value, bool):
        ticks = int(value)
    else:
        raise _refuse(row, value, data_type)
    if not _NAT < ticks <= np.iinfo(np.int64).max:
        raise _refuse(row, value, data_type, "out of range")
    return ticks


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The time zone of that name: "UTC", an offset such as "+02:00", or an IANA name."""
    if name in ("UTC", "Z"):
        return UTC
    if name[:1] in "+-" and len(name) == 6 and name[3] == ":" and (name[1:3] + name[4:]).isdecimal():
        minutes = int(name[1:3]) * 60 + int(name[4:])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if name[0] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidDataError(
            f"time zone {name!r} is neither an offset like +02:00 nor known here"
        ) from None


def _times(ticks: np.ndarray[Any, Any], data_type: DataType) -> list[Any]:
    times = ticks.view(f"M8[{data_type.time_unit}]")
    if data_type.time_unit == "ns":
        return list(times)
    # NumPy gives an int where the year does not fit datetime; those stay datetime64.
    rows = [t if isinstance(t, datetime) else times[i] for i, t in enumerate(times.tolist())]
    if data_type.tz is None:
        return rows
    place = zone(data_type.tz)
    return [_zoned(t, place) for t in rows]


def _zoned(time: Any, place: tzinfo) -> Any:
    if not isinstance(time, datetime):
        return time
    try:
        return time.replace(tzinfo=UTC).astimezone(place)
    except OverflowError:
        return time.replace(tzinfo=UTC)


def to_pylist(parts: Parts, data_type: DataType) -> list[Any]:
    """Python values, None for nulls. Vectors come as 1-D arrays."""
    rows: list[Any]
    if isinstance(parts.values, Parts):
        assert parts.offsets is not None
        flat = to_pylist(parts.values, data_type.element)
        bounds = parts.offsets.tolist()
        rows = [flat[a:b] for a, b in pairwise(bounds)]
    elif data_type.is_variable:
        assert parts.offsets is not None
        rows = _strings(parts.values, parts.offsets.tolist(), data_type)
    elif data_type.is_vector:
        rows = [row.copy() for row in parts.values]
    elif data_type.id is TypeId.TIMESTAMP:
        rows = _times(parts.values, data_type)
    else:
        rows = parts.values.tolist()
    if parts.validity is not None:
        for i in np.flatnonzero(~parts.validity).tolist():
            rows[i] = None
    return rows


def _strings(values: np.ndarray[Any, Any], bounds: list[int], data_type: DataType) -> list[Any]:
    first = bounds[0]
    raw = values[first : bounds[-1]].tobytes()
    if first:
        bounds = [b - first for b in bounds]
    pairs = pairwise(bounds)
    if data_type.id is TypeId.BINARY:
        return [raw[a:b] for a, b in pairs]
    if raw.isascii():
        text = raw.decode("ascii")
        rows = [text[a:b] for a, b in pairs]
    else:
        rows = [raw[a:b].decode("utf-8") for a, b in pairs]
    return rows if data_type.id is TypeId.STRING else [parse_json(t) if t else None for t in rows]


def parse_json(text: str | bytes) -> Any:
    """The value of JSON text that a file holds."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptFileError("JSON column", 0, f"not JSON ({error})") from None


def scalar_getter(parts: Parts, data_type: DataType) -> Callable[[int], Any]:
    """A function from row number to that row's Python value, for many single reads of one block."""
    fetch = _value_getter(parts, data_type)
    if parts.validity is None:
        return fetch
    valid = parts.validity.item
    return lambda row: fetch(row) if valid(row) else None


def _value_getter(parts: Parts, data_type: DataType) -> Callable[[int], Any]:
    values = parts.values
    if isinstance(values, Parts):
        assert parts.offsets is not None
        child, bounds = values, parts.offsets.item
        item = data_type.element
        return lambda row: to_pylist(_slice(child, bounds(row), bounds(row + 1)), item)
    if data_type.is_vector:
        return lambda row: values[row].copy()
    if data_type.is_variable:
        assert parts.offsets is not None
        return _bytes_getter(values.tobytes(), parts.offsets.item, data_type)
    if data_type.id is TypeId.TIMESTAMP:
        return lambda row: _times(values[row : row + 1], data_type)[0]
    fetch: Callable[[int], Any] = values.item
    return fetch


def _bytes_getter(raw: bytes, bounds: Callable[[int], int], data_type: DataType) -> Callable[[int], Any]:
    if data_type.id is TypeId.BINARY:
        return lambda row: raw[bounds(row) : bounds(row + 1)]
    if data_type.id is TypeId.JSON:
        return lambda row: parse_json(raw[bounds(row) : bounds(row + 1)])
    if raw.isascii():
        text = raw.decode("ascii")
        return lambda row: text[bounds(row) : bounds(row + 1)]
    return lambda row: raw[bounds(row) : bounds(row + 1)].decode("utf-8")


def _slice(parts: Parts, start: int, stop: int) -> Parts:
    assert isinstance(parts.values, np.ndarray)
    if parts.offsets is None:
        return Parts(parts.values[start:stop])
    return Parts(parts.values, parts.offsets[start : stop + 1])


def infer_type(values: Sequence[Any]) -> DataType:
    """The narrowest type of this format that holds all `values`; InvalidDataError if there is none.

    bool, int64 (uint64 above 2^63), float64, string, binary, timestamp<us>, list of these; else JSON.
    """
    present = [v for v in values if v is not None]
    kinds = {type(v) for v in present}
    if not kinds:
        return schema.json()
    if all(issubclass(k, bool | np.bool_) for k in kinds):
        return schema.bool_()
    if all(issubclass(k, int | np.integer) and k is not bool for k in kinds):
        return schema.uint64() if max(present) > np.iinfo(np.int64).max else schema.int64()
    if all(issubclass(k, float | int | np.floating | np.integer) and k is not bool for k in kinds):
        return schema.float64()
    if all(issubclass(k, str) for k in kinds):
        return schema.string()
    if all(issubclass(k, bytes | bytearray | memoryview) for k in kinds):
        return schema.binary()
    if all(issubclass(k, datetime) for k in kinds):
        zones = {v.tzinfo is not None for v in present}
        if len(zones) == 1:
            return schema.timestamp("us", "UTC" if zones.pop() else None)
    if all(issubclass(k, np.ndarray) for k in kinds) and len({(v.shape, v.dtype) for v in present}) == 1:
        return _array_type(present[0])
    if all(issubclass(k, list | tuple) for k in kinds):
        inner = infer_type([item for v in present for item in v])
        complete = all(item is not None for v in present for item in v)
        if complete and (inner.is_number or inner.id is TypeId.STRING):
            return schema.list_(inner)
    return schema.json()


def _array_type(array: np.ndarray[Any, Any]) -> DataType:
    item = number_type(array.dtype)
    if array.ndim != 1 or item is None:
        raise InvalidDataError(f"no column type holds arrays of shape {array.shape} and dtype {array.dtype}")
    return schema.vector(item, array.shape[0])


_NUMBER_TYPES = [
    t() for t in (schema.int8, schema.int16, schema.int32, schema.int64, schema.uint8, schema.uint16)
] + [t() for t in (schema.uint32, schema.uint64, schema.float16, schema.float32, schema.float64)]
_BY_DTYPE = {t.dtype: t for t in _NUMBER_TYPES}


def number_type(dtype: np.dtype[Any]) -> DataType | None:
    """The number type of a NumPy dtype (any byte order), or None."""
    return _BY_DTYPE.get(dtype.newbyteorder("<"))
