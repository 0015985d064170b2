"""Python values to arrays and back, one pair of rules for each logical type.

`Parts` is the array form of a column without its type: values, offsets of variable-length rows, validity
(None = no null). Values that a type cannot hold exactly in kind (text in a number column, a float in an
integer column, a naive time in a zoned column) are refused with `InvalidDataError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lance_fmt import bfloats, schema
from lance_fmt.constants import TypeId
from lance_fmt.datatype import DataType, Field
from lance_fmt.decimals import from_decimals, to_decimals
from lance_fmt.errors import CorruptFileError
from lance_fmt.misfit import MisfitError, misfit, misfit_at
from lance_fmt.times import from_times, to_times, without_nat

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class Parts:
    """Array form of a column: see `lance_fmt.column.Column` for the meaning of each part."""

    values: Array | Parts | tuple[Parts, ...]
    offsets: Array | None = None
    validity: Array | None = None

    @property
    def array(self) -> Array:
        """`values` of a type without children."""
        assert isinstance(self.values, np.ndarray)
        return self.values

    @property
    def bounds(self) -> Array:
        """`offsets` of a variable-length type."""
        assert self.offsets is not None
        return self.offsets


def from_pylist(values: Sequence[Any], data_type: DataType) -> Parts:
    """Arrays of `values` (None = null); raises InvalidDataError naming the first row that does not fit."""
    if data_type.is_time:
        values = without_nat(values)
    validity = np.fromiter((v is not None for v in values), np.bool_, len(values))
    nulls = None if validity.all() else validity
    if data_type.is_variable:
        parts = _variable(values, data_type)
    elif data_type.is_list:
        parts = _list(values, data_type)
    elif data_type.is_struct:
        parts = _struct(values, data_type, validity)
    elif data_type.is_vector:
        parts = _vectors(values, data_type)
    elif data_type.is_decimal:
        parts = Parts(from_decimals(values, data_type))
    elif data_type.is_time:
        parts = Parts(from_times(values, data_type))
    elif data_type.is_bfloat16:
        parts = Parts(bfloats.to_bits(_scalars(values, schema.float64(), data_type)))
    else:
        parts = Parts(_scalars(values, data_type, data_type))
    parts.validity = nulls
    return parts


def _scalars(values: Sequence[Any], held: DataType, data_type: DataType) -> Array:
    kinds: tuple[type, ...] = (float, int, np.floating, np.integer)
    boolean = held.id is TypeId.BOOL
    if boolean:
        kinds = (bool, np.bool_)
    elif held.is_integer:
        kinds = (int, np.integer)
    exact = kinds[0]
    for row, v in enumerate(values):
        if type(v) is exact or v is None:
            continue
        if not isinstance(v, kinds) or (not boolean and isinstance(v, bool | np.timedelta64)):
            raise misfit(row, v, data_type)
    filled = [0 if v is None else v for v in values]
    with np.errstate(over="ignore"):
        try:
            return np.array(filled, held.dtype)
        except OverflowError:
            row = next(i for i, v in enumerate(filled) if not _holds(v, held))
            raise misfit(row, filled[row], data_type, "out of range") from None


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
                raise misfit(row, v, data_type)
        pieces = [b"" if v is None else bytes(v) for v in values]
    elif data_type.id is TypeId.JSON:
        pieces = [b"" if v is None else json_bytes(v, row) for row, v in enumerate(values)]
    else:
        for row, v in enumerate(values):
            if v is not None and not isinstance(v, str):
                raise misfit(row, v, data_type)
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
        raise misfit(row, value, data_type, "not valid Unicode text (lone surrogate)") from None


def json_bytes(value: object, row: int = 0) -> bytes:
    """Compact JSON text of `value`; InvalidDataError for what JSON has no form for (NaN included)."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise misfit(row, value, schema.json(), str(error)) from None


def offsets_of(lengths: Sequence[int] | Array) -> Array:
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
            v = list(v) if v.dtype.kind in "mM" else v.tolist()  # noqa: PLW2901
        if not isinstance(v, list | tuple):
            raise misfit(row, v, data_type)
        flat.extend(v)
        lengths.append(len(v))
    offsets = offsets_of(lengths)

    def place(item: int) -> tuple[int, int]:
        row = int(np.searchsorted(offsets, item, side="right")) - 1
        return row, item - int(offsets[row])

    try:
        child = from_pylist(flat, data_type.element)
    except MisfitError as error:
        row, item = place(error.row)
        raise misfit_at(row, f"item {item}: {error.detail}") from None
    if child.validity is not None and not data_type.item_nullable:
        row, item = place(int(child.validity.argmin()))
        raise misfit(row, values[row], data_type, f"item {item} is null, and these lists hold no nulls")
    return Parts(child, offsets)


def _struct(values: Sequence[Any], data_type: DataType, valid: Array) -> Parts:
    names = {field.name for field in data_type.fields}
    for row, v in enumerate(values):
        if v is not None and not isinstance(v, Mapping):
            raise misfit(row, v, data_type)
        if v is not None and not v.keys() <= names:
            unknown = ", ".join(map(repr, v.keys() - names))
            raise misfit(row, v, data_type, f"there is no field {unknown}")
    return Parts(tuple(_member(values, field, data_type, valid) for field in data_type.fields))


def _member(values: Sequence[Any], field: Field, data_type: DataType, valid: Array) -> Parts:
    try:
        child = from_pylist([None if v is None else v.get(field.name) for v in values], field.type)
    except MisfitError as error:
        raise misfit_at(error.row, f"field {field.name!r}: {error.detail}") from None
    if child.validity is not None and not field.nullable:
        wrong = valid & ~child.validity
        if wrong.any():
            row = int(wrong.argmax())
            raise misfit(row, values[row], data_type, f"field {field.name!r} is null or missing")
        child.validity = None
    return child


def _vectors(values: Sequence[Any], data_type: DataType) -> Parts:
    out = np.zeros((len(values), data_type.dimension), data_type.dtype)
    half = data_type.element.is_bfloat16
    for row, v in enumerate(values):
        if v is None:
            continue
        try:
            array = np.asarray(v)
        except ValueError:
            raise misfit(row, v, data_type) from None
        if array.shape != (data_type.dimension,):
            raise misfit(row, v, data_type, f"shape {array.shape}, expected ({data_type.dimension},)")
        if half and (array.dtype.kind == "f" or bfloats.is_native(array.dtype)):
            out[row] = bfloats.to_bits(array)
        elif not half and _fits(array.dtype, data_type):
            with np.errstate(over="ignore"):
                out[row] = array
        elif array.dtype.kind in "iufb":
            try:
                out[row] = from_pylist(array.tolist(), data_type.element).values
            except MisfitError as error:
                raise misfit_at(row, f"item {error.row}: {error.detail}") from None
        else:
            raise misfit(row, v, data_type)
    return Parts(out)


def _fits(dtype: np.dtype[Any], data_type: DataType) -> bool:
    floats = dtype.kind == "f" and data_type.element.is_float
    return floats or (dtype.kind in "iuf" and np.can_cast(dtype, data_type.dtype))


def to_pylist(parts: Parts, data_type: DataType) -> list[Any]:
    """Python values, None for nulls. Vectors come as 1-D arrays (of float32 for bfloat16)."""
    rows: list[Any]
    if isinstance(parts.values, tuple):
        names = [field.name for field in data_type.fields]
        members = [to_pylist(p, f.type) for p, f in zip(parts.values, data_type.fields, strict=True)]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*members, strict=True)]
    elif isinstance(parts.values, Parts):
        bounds = parts.bounds.tolist()
        flat = to_pylist(_slice(parts.values, bounds[0], bounds[-1]), data_type.element)
        rows = [flat[a - bounds[0] : b - bounds[0]] for a, b in pairwise(bounds)]
    elif data_type.is_variable:
        rows = _strings(parts.values, parts.bounds.tolist(), data_type)
    elif data_type.is_vector:
        half = data_type.element.is_bfloat16
        rows = [row.copy() for row in (bfloats.to_floats(parts.values) if half else parts.values)]
    elif data_type.is_decimal:
        rows = list(to_decimals(parts.values, data_type))
    elif data_type.is_time:
        rows = to_times(parts.values, data_type)
    elif data_type.is_bfloat16:
        rows = bfloats.to_floats(parts.values).tolist()
    else:
        rows = parts.values.tolist()
    if parts.validity is not None:
        for i in np.flatnonzero(~parts.validity).tolist():
            rows[i] = None
    return rows


def _strings(values: Array, bounds: list[int], data_type: DataType) -> list[Any]:
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
    if isinstance(values, tuple):
        members = [(f.name, scalar_getter(p, f.type)) for p, f in zip(values, data_type.fields, strict=True)]
        return lambda row: {name: get(row) for name, get in members}
    if isinstance(values, Parts):
        child, bounds = values, parts.bounds.item
        item = data_type.element
        return lambda row: to_pylist(_slice(child, bounds(row), bounds(row + 1)), item)
    if data_type.is_variable:
        return _bytes_getter(values.tobytes(), parts.bounds.item, data_type)
    if data_type.is_vector and not data_type.element.is_bfloat16:
        return lambda row: values[row].copy()
    if data_type.is_vector or data_type.is_time or data_type.is_decimal or data_type.is_bfloat16:
        return lambda row: to_pylist(Parts(values[row : row + 1]), data_type)[0]
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
    validity = None if parts.validity is None else parts.validity[start:stop]
    if parts.offsets is not None:
        return Parts(parts.values, parts.offsets[start : stop + 1], validity)
    if isinstance(parts.values, tuple):
        return Parts(tuple(_slice(child, start, stop) for child in parts.values), None, validity)
    return Parts(parts.array[start:stop], None, validity)
