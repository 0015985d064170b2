"""Decimals: Python's to 128-bit two's complement words and back, without rounding."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

import numpy as np

from lance_fmt.datatype import DataType
from lance_fmt.misfit import misfit

Array = np.ndarray[Any, Any]

_EXACT = Context(prec=10**6, Emax=MAX_EMAX, Emin=MIN_EMIN)


def from_decimals(values: Sequence[Any], data_type: DataType) -> Array:
    """uint64 `(n, 2)`, low and high words, of Decimals, ints and None (which becomes 0)."""
    unscaled = [0 if v is None else _unscaled(v, data_type, row) for row, v in enumerate(values)]
    raw = b"".join([n.to_bytes(16, "little", signed=True) for n in unscaled])
    return np.frombuffer(raw, "<u8").reshape(-1, 2)


def _unscaled(value: object, data_type: DataType, row: int) -> int:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        value = Decimal(int(value))
    if not isinstance(value, Decimal):
        raise misfit(row, value, data_type)
    if not value.is_finite():
        raise misfit(row, value, data_type, "not a number")
    if not value:
        return 0
    # Asked first, because 1E+999999999 as an integer does not fit into memory.
    if value.adjusted() + data_type.scale >= data_type.precision:
        raise misfit(row, value, data_type, "out of range")
    scaled = value.scaleb(data_type.scale, _EXACT)
    if scaled != scaled.to_integral_value(context=_EXACT):
        raise misfit(row, value, data_type, f"more than {data_type.scale} digits after the point")
    return int(scaled)


def to_decimals(words: Array, data_type: DataType) -> list[Decimal]:
    """Decimals of `(n, 2)` words, each with the type's scale."""
    low = words[:, 0].tolist()
    high = words[:, 1].view(np.int64).tolist()
    return [Decimal(h << 64 | u).scaleb(-data_type.scale, _EXACT) for u, h in zip(low, high, strict=True)]


def digits_of(values: Sequence[Decimal | int]) -> tuple[int, int]:
    """Precision and scale of the smallest decimal type that holds finite `values` (at least one)."""
    scale = whole = 0
    for value in values:
        number = Decimal(value)
        exponent = number.normalize(_EXACT).as_tuple().exponent
        scale = max(scale, -exponent if isinstance(exponent, int) else 0)
        whole = max(whole, number.adjusted() + 1 if number else 0)
    return max(whole + scale, 1), scale
