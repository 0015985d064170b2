"""Bounds of a page's values, for skipping pages that cannot match (FORMAT.md, "Bounds").

A bound may be wider than the values but never narrower. Nulls and NaN are outside the bounds and counted
apart; a page without bounds says nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import STATISTIC_BYTES, PageFlag, TypeId
from lance_fmt.schema import DataType
from lance_fmt.wire import Cursor

_NONE = PageFlag(0)
_FEW = 16
_STEP = 8


@dataclass(frozen=True, slots=True)
class Bounds:
    """Smallest and largest value as bytes: 8 for scalars, at most 64 for strings and binary."""

    flags: PageFlag
    low: bytes
    high: bytes
    nan_count: int


def measure(column: Column) -> Bounds:
    """Bounds of the valid values of a page; no flags where the type has none or no value counts."""
    kind = column.type
    if kind.id in (TypeId.STRING, TypeId.BINARY):
        return _string_bounds(column)
    if kind.is_list or kind.is_vector or kind.id is TypeId.JSON:
        return Bounds(_NONE, b"", b"", 0)
    values = column.array if column.validity is None else column.array[column.validity]
    nan_count = 0
    if kind.is_float:
        nan = np.isnan(values)
        nan_count = int(np.count_nonzero(nan))
        values = values[~nan] if nan_count else values
    if not len(values):
        return Bounds(_NONE, b"", b"", nan_count)
    flags = PageFlag.HAS_BOUNDS | PageFlag.MIN_EXACT | PageFlag.MAX_EXACT
    return Bounds(flags, _pack(values.min(), kind), _pack(values.max(), kind), nan_count)


def _form(kind: DataType) -> str:
    if kind.is_float:
        return "<d"
    return "<q" if kind.dtype.kind == "i" else "<Q"


def _pack(value: Any, kind: DataType) -> bytes:
    return struct.pack(_form(kind), float(value) if kind.is_float else int(value))


def unpack(raw: bytes, kind: DataType, cursor: Cursor) -> Any:
    """The Python value of a stored bound (int for timestamps); `cursor` only serves the error."""
    if kind.id is TypeId.BINARY:
        return raw
    if kind.id is TypeId.STRING:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise cursor.fail("bound of a string page is not UTF-8") from None
    value = struct.unpack(_form(kind), raw)[0]
    return bool(value) if kind.id is TypeId.BOOL else value


def _string_bounds(column: Column) -> Bounds:
    rows = np.arange(len(column)) if column.validity is None else np.flatnonzero(column.validity)
    if not len(rows):
        return Bounds(_NONE, b"", b"", 0)
    lengths = np.diff(column.bounds)
    low, high = _extreme(column, lengths, rows, largest=False), _extreme(column, lengths, rows, largest=True)
    flags = PageFlag.HAS_BOUNDS
    text = column.type.id is TypeId.STRING
    if len(low) <= STATISTIC_BYTES:
        flags |= PageFlag.MIN_EXACT
    else:
        low = _cut(low, text)
    if len(high) <= STATISTIC_BYTES:
        flags |= PageFlag.MAX_EXACT
    else:
        above = _above_text(_cut(high, True)) if text else _above_bytes(_cut(high, False))
        if above is None:
            return Bounds(_NONE, b"", b"", 0)
        high = above
    return Bounds(flags, low, high, 0)


def _extreme(
    column: Column, lengths: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], *, largest: bool
) -> bytes:
    """Smallest or largest byte string: 8 bytes at a time narrow the candidates, then the few left compare."""
    starts, values = column.bounds, column.array
    depth = 0
    while len(rows) > _FEW and depth < STATISTIC_BYTES + _STEP:
        keys = np.zeros(len(rows), np.uint64)
        for j in range(depth, depth + _STEP):
            inside = lengths[rows] > j
            byte = (
                values[np.where(inside, starts[rows] + j, 0)]
                if len(values)
                else np.zeros(len(rows), np.uint8)
            )
            keys = (keys << np.uint64(8)) | np.where(inside, byte, 0).astype(np.uint64)
        rows = rows[keys == (keys.max() if largest else keys.min())]
        depth += _STEP
    ends = zip(starts[rows].tolist(), starts[rows + 1].tolist(), strict=True)
    found = {values[a:b].tobytes() for a, b in ends}
    return max(found) if largest else min(found)


def _cut(value: bytes, text: bool) -> bytes:
    """At most 64 bytes of `value`; of text, whole characters."""
    end = STATISTIC_BYTES
    while text and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[:end]


def _above_bytes(prefix: bytes) -> bytes | None:
    """The smallest byte string above all that start with `prefix`; None if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def _above_text(prefix: bytes) -> bytes | None:
    """Like `_above_bytes`, in whole characters, so that the bound is text again."""
    kept = prefix.decode("utf-8").rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    if 0xD800 <= following <= 0xDFFF:
        following = 0xE000
    return (kept[:-1] + chr(following)).encode("utf-8")
