"""One 64-bit hash of values, for Bloom filters and row indexes (FORMAT.md, "Hashes of values").

It is XXH64 with seed 0 (the xxHash specification) of a value's bytes. `hash_column` hashes many values with
a kernel; `hash_value` one, in plain Python: a single lookup does not wait for numba.
"""

from __future__ import annotations

import math
import operator
import struct

import numpy as np
from numpy.typing import NDArray

from lance_fmt import bfloats
from lance_fmt.column import Column
from lance_fmt.constants import TypeId
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.kernels import loader

Hashes = NDArray[np.uint64]

_P1 = 0x9E3779B185EBCA87
_P2 = 0xC2B2AE3D27D4EB4F
_P3 = 0x165667B19E3779F9
_P4 = 0x85EBCA77C2B2AE63
_P5 = 0x27D4EB2F165667C5
_MASK = 0xFFFFFFFFFFFFFFFF
_STRIPE = struct.Struct("<4Q")
_WORD = struct.Struct("<Q")
_HALF = struct.Struct("<I")
_FLOAT = struct.Struct("<d")


def hash_column(column: Column) -> Hashes:
    """Hashes of the rows of a column, uint64 `(n,)`; what a null or NaN gets is not specified.

    Raises SchemaError for types whose values are not one integer, float or byte string.
    """
    kind = column.type
    if kind.is_variable:
        out = np.empty(len(column), np.uint64)
        loader.hash_strings()(np.ascontiguousarray(column.array), column.bounds, out)
        return out
    if kind.is_integer or kind.id is TypeId.BOOL:
        words = column.array.astype(np.int64).view(np.uint64)  # a copy, hashed in place
    elif kind.is_float or kind.is_bfloat16:
        floats = bfloats.to_floats(column.array) if kind.is_bfloat16 else column.array
        words = (floats.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    else:
        raise SchemaError(f"{kind} values have no hash; only scalars but decimals, and byte strings, have")
    loader.hash_words()(words)
    return words


def hash_value(value: int | float | bytes | str) -> int:
    """The hash of one value: as `hash_column` gives for a column that holds it.

    The Python type decides: in a column of floats look for `float(5)`, not for `5`. Raises InvalidDataError
    for NaN, which equals nothing, and for integers beyond 64 bits, which no column holds; SchemaError for
    values of other types.
    """
    if isinstance(value, str):
        return hash_bytes(value.encode())
    if isinstance(value, bytes | bytearray | memoryview):
        return hash_bytes(bytes(value))
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            raise InvalidDataError("NaN has no hash: it equals no value, look for it with a filter")
        return _hash_word(_WORD.unpack(_FLOAT.pack(value + 0.0))[0])
    try:
        number = operator.index(value)
    except TypeError:
        raise SchemaError(f"a {type(value).__name__} has no hash; numbers and strings have") from None
    if not -(1 << 63) <= number < 1 << 64:
        raise InvalidDataError(f"{number} has no hash: it is no integer of 64 bits, so no column holds it")
    return _hash_word(number & _MASK)


def _hash_word(word: int) -> int:
    """XXH64 of the 8 bytes of `word`: `hash_bytes` with what is known of their number put in."""
    lane = word * _P2 & _MASK
    state = (_P5 + 8) ^ ((lane << 31 | lane >> 33) & _MASK) * _P1 & _MASK
    return _avalanche(((state << 27 | state >> 37) & _MASK) * _P1 + _P4 & _MASK)


def hash_bytes(data: bytes) -> int:
    """XXH64 of `data`, seed 0."""
    size = len(data)
    at = size & ~31
    state = (_stripes(data, at) if at else _P5) + size & _MASK
    while at + 8 <= size:
        lane = _WORD.unpack_from(data, at)[0] * _P2 & _MASK
        state ^= ((lane << 31 | lane >> 33) & _MASK) * _P1 & _MASK
        state = ((state << 27 | state >> 37) & _MASK) * _P1 + _P4 & _MASK
        at += 8
    if at + 4 <= size:
        state ^= _HALF.unpack_from(data, at)[0] * _P1 & _MASK
        state = ((state << 23 | state >> 41) & _MASK) * _P2 + _P3 & _MASK
        at += 4
    for byte in data[at:]:
        state ^= byte * _P5 & _MASK
        state = ((state << 11 | state >> 53) & _MASK) * _P1 & _MASK
    return _avalanche(state)


def _stripes(data: bytes, stop: int) -> int:
    """State after the 32-byte stripes of `data[:stop]`, of which there is at least one."""
    a, b, c, d = _P1 + _P2 & _MASK, _P2, 0, -_P1 & _MASK
    for lane_a, lane_b, lane_c, lane_d in _STRIPE.iter_unpack(memoryview(data)[:stop]):
        a, b = _round(a, lane_a), _round(b, lane_b)
        c, d = _round(c, lane_c), _round(d, lane_d)
    state = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
    for lane in (a, b, c, d):
        state = (state ^ _round(0, lane)) * _P1 + _P4 & _MASK
    return state


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _round(state: int, lane: int) -> int:
    state = state + lane * _P2 & _MASK
    return ((state << 31 | state >> 33) & _MASK) * _P1 & _MASK


def _avalanche(state: int) -> int:
    state = (state ^ state >> 33) * _P2 & _MASK
    state = (state ^ state >> 29) * _P3 & _MASK
    return state ^ state >> 32
