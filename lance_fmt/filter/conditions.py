"""Conditions on physical values: what a filter's leaves ask (`encodings.protocol.Test`).

All orders, `==` and prefixes are ranges: closed for numbers, half open for byte strings, where every string
has a next one (itself and a zero byte) but not a last one before. NaN lies in no range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lance_fmt import bfloats
from lance_fmt.encodings.protocol import Mask, Strings, Values, count_of
from lance_fmt.kernels import loader
from lance_fmt.pyvalues import offsets_of

LOWEST, HIGHEST = -(2**128), 2**128
"""Integers outside every type's range: the ends of ranges that are open there."""

_SIGN = 2**127
_WORD = 2**64 - 1


@dataclass(frozen=True)
class IntegerRange:
    """`low <= value <= high` of integers, bools (0 and 1) and times; empty where low > high."""

    low: int
    high: int
    cost = 1

    @property
    def interval(self) -> tuple[int, int] | None:
        """(low, high)."""
        return self.low, self.high

    def mask(self, values: Values) -> Mask:
        """Which values pass, (n,) of any integer dtype or bool."""
        array = _integers(values)
        held = np.iinfo(array.dtype)
        low, high = max(self.low, int(held.min)), min(self.high, int(held.max))
        if low > high:
            return np.zeros(len(array), np.bool_)
        if low == high:
            equal: Mask = array == low
            return equal
        if low == held.min:
            below: Mask = array <= high
            return below
        passing: Mask = array >= low
        return passing if high == held.max else passing & (array <= high)


@dataclass(frozen=True)
class IntegerSet:
    """One of `values`: ascending integers."""

    values: tuple[int, ...]
    interval = None
    cost = 1

    def mask(self, values: Values) -> Mask:
        """Which values pass, (n,) of any integer dtype or bool."""
        array = _integers(values)
        return np.isin(array, within(self.values, array.dtype))


def within(values: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Those of `values` that an integer `dtype` holds."""
    held = np.iinfo(dtype)
    return np.array([v for v in values if held.min <= v <= held.max], dtype)


def _integers(values: Values) -> NDArray[Any]:
    array = cast(NDArray[Any], values)
    return array.view(np.uint8) if array.dtype.kind == "b" else array


@dataclass(frozen=True)
class DecimalRange:
    """`low <= value <= high` of decimals' unscaled integers, in words `(n, 2)`."""

    low: int
    high: int
    interval = None
    cost = 2

    def mask(self, values: Values) -> Mask:
        """Which rows pass, (n, 2) uint64: low and high words of two's complement."""
        words = cast(NDArray[Any], values)
        low, high = max(self.low, -_SIGN), min(self.high, _SIGN - 1)
        if low > high:
            return np.zeros(len(words), np.bool_)
        lower, upper = words[:, 0], words[:, 1].astype(np.int64)
        above = (upper > low >> 64) | ((upper == low >> 64) & (lower >= np.uint64(low & _WORD)))
        below = (upper < high >> 64) | ((upper == high >> 64) & (lower <= np.uint64(high & _WORD)))
        found: Mask = above & below
        return found


@dataclass(frozen=True)
class FloatRange:
    """`low <= value <= high` of floats as real numbers; `bits`: of bfloat16 bit patterns (uint16)."""

    low: float
    high: float
    bits: bool = False
    interval = None
    cost = 2

    def mask(self, values: Values) -> Mask:
        """Which values pass, (n,) of float16 to float64, or bit patterns."""
        array = _floats(values, self.bits)
        with np.errstate(invalid="ignore"):  # a signalling NaN is made a quiet one
            if self.low == self.high:
                equal: Mask = array == np.float64(self.low)
                return equal
            inside: Mask = (array >= np.float64(self.low)) & (array <= np.float64(self.high))
        return inside


@dataclass(frozen=True)
class FloatSet:
    """One of `values`: ascending floats, no NaN."""

    values: tuple[float, ...]
    bits: bool = False
    interval = None
    cost = 2

    def mask(self, values: Values) -> Mask:
        """Which values pass, (n,) of float16 to float64, or bit patterns."""
        return np.isin(_floats(values, self.bits).astype(np.float64), np.array(self.values, np.float64))


@dataclass(frozen=True)
class IsNotANumber:
    """NaN."""

    bits: bool = False
    interval = None
    cost = 2

    def mask(self, values: Values) -> Mask:
        """Which values are NaN."""
        found: Mask = np.isnan(_floats(values, self.bits))
        return found


def _floats(values: Values, bits: bool) -> NDArray[Any]:
    array = cast(NDArray[Any], values)
    return bfloats.to_floats(array) if bits else array


@dataclass(frozen=True)
class StringRange:
    """`low <= value < high` of byte strings; `high` None is beyond all of them."""

    low: bytes
    high: bytes | None
    interval = None
    cost = 3

    def mask(self, values: Values) -> Mask:
        """Which strings pass."""
        out = np.zeros(count_of(values), np.bool_)
        data, offsets = cast(Strings, values)
        high = _raw(b"" if self.high is None else self.high)
        loader.strings_between()(data, offsets, _raw(self.low), high, self.high is not None, out)
        return out


@dataclass(frozen=True)
class StringSet:
    """One of `values`: ascending byte strings."""

    values: tuple[bytes, ...]
    interval = None
    cost = 3

    @cached_property
    def _packed(self) -> Strings:
        return Strings(_raw(b"".join(self.values)), offsets_of([len(v) for v in self.values]))

    def mask(self, values: Values) -> Mask:
        """Which strings pass."""
        out = np.zeros(count_of(values), np.bool_)
        data, offsets = cast(Strings, values)
        if self.values:
            loader.strings_in()(data, offsets, *self._packed, out)
        return out


@dataclass(frozen=True)
class HasText:
    """Byte strings with `text` anywhere, or at their end."""

    text: bytes
    at_end: bool
    interval = None
    cost = 4

    def mask(self, values: Values) -> Mask:
        """Which strings pass."""
        out = np.ones(count_of(values), np.bool_)
        data, offsets = cast(Strings, values)
        if self.text:
            loader.strings_with()(data, offsets, _raw(self.text), self.at_end, out)
        return out


def _raw(text: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(text, np.uint8)


Condition = (
    IntegerRange | IntegerSet | DecimalRange | FloatRange | FloatSet | IsNotANumber | StringRange | StringSet
    | HasText
)  # fmt: skip
