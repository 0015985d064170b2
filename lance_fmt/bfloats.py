"""bfloat16: the upper 16 bits of a binary32, kept as uint16 because NumPy has no such float."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_QUIET = np.uint16(0x40)


def is_native(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is the bfloat16 that other packages add to NumPy."""
    return dtype.name == "bfloat16" and dtype.itemsize == 2


def to_bits(array: Array) -> Array:
    """uint16 bit patterns of floats of any width, rounded to nearest even; a NaN stays a NaN of its sign."""
    if is_native(array.dtype):
        return np.ascontiguousarray(array).view(np.uint16)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        single = np.ascontiguousarray(array, np.float32)
    bits = single.view(np.uint32)
    nan = np.isnan(single)
    if array.dtype.itemsize > single.itemsize:
        bits = _round_to_odd(array, single)
    upper = (bits >> np.uint32(16)).astype(np.uint16)
    odd = bits >> np.uint32(16) & np.uint32(1)
    rounded = (np.where(nan, 0, bits) + np.uint32(0x7FFF) + odd >> np.uint32(16)).astype(np.uint16)
    return np.where(nan, upper | _QUIET, rounded)


def _round_to_odd(array: Array, single: Array) -> Array:
    """Bits of `array` cut to binary32 with the last bit set where something was lost.

    Rounding twice to nearest can go wrong by one; rounding to odd first cannot (Boldo and Melquiond,
    "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
    """
    bits = single.view(np.uint32)
    away = np.abs(single.astype(array.dtype)) > np.abs(array)
    lost = single.astype(array.dtype) != array
    odd: Array = (bits - away.astype(np.uint32)) | lost.astype(np.uint32)
    return odd


def to_floats(bits: Array) -> Array:
    """float32 of bit patterns; exact."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
