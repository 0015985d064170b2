"""One field whose values are all numbers, or all times: an array and a mask of the rows that have a value.

Comparisons are exact: a bound that the array's type cannot hold is moved to the neighbour that selects
the same rows. Persistent: `appended` writes behind the rows of every older view of the same arrays and
returns a longer view, so readers of older views see nothing change. One writer at a time, and only the
longest view may be appended to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vego.query.values import COMPARISONS, Kind, Literal, counterpart

Mask: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[Any]
"""Of dtype int8, int16, int32, int64 or float64."""

INTEGERS = {np.dtype(f"int{bits}"): (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64)}
"""The types of integers, narrowest first, with the least and the greatest of each."""

_UFUNCS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
_FEW = 32
"""So many comparisons of a column cost less than one `np.isin`."""


def grown(buffer: NDArray[Any], count: int, extra: int) -> NDArray[Any]:
    """Return `buffer` if `extra` more items fit behind the first `count`, else a larger copy of those."""
    needed = count + extra
    if needed <= len(buffer):
        return buffer
    larger = np.empty(max(needed, 2 * len(buffer), 64), dtype=buffer.dtype)
    larger[:count] = buffer[:count]
    return larger


@dataclass(frozen=True)
class NumericRows:
    """Rows [0, count) of `values`; `present` is None where every row has a value.

    `kind` is NUMBER (values integers or float64) or TIME (integers, microseconds since 1970 UTC).
    A missing value is 0.
    """

    kind: Kind
    values: Numbers
    present: Mask | None
    count: int

    @classmethod
    def missing(cls, kind: Kind, dtype: np.dtype[Any], count: int) -> NumericRows:
        """Return `count` rows without a value."""
        present = np.zeros(count, dtype=np.bool_) if count else None
        return cls(kind, np.zeros(count, dtype=dtype), present, count)

    def appended(self, values: Numbers, present: Mask | None) -> NumericRows:
        """Return these rows and those behind them; `values` has this array's dtype."""
        extra = len(values)
        numbers = grown(self.values, self.count, extra)
        mask = self.present
        if mask is None and present is not None:
            mask = np.ones(len(numbers), dtype=np.bool_)
        if mask is not None:
            mask = grown(mask, self.count, extra)
            mask[self.count : self.count + extra] = True if present is None else present
        numbers[self.count : self.count + extra] = values if present is None else np.where(present, values, 0)
        return NumericRows(self.kind, numbers, mask, self.count + extra)

    def cast(self, dtype: np.dtype[Any]) -> NumericRows:
        """Return the same rows with values of a type that holds them."""
        return NumericRows(self.kind, self.values[: self.count].astype(dtype), self.present, self.count)

    def is_missing(self, rows: int) -> Mask:
        """Return which of the first `rows` rows have no value."""
        return np.zeros(rows, dtype=np.bool_) if self.present is None else ~self.present[:rows]

    def compared(self, op: str, literal: Literal, negated: bool, rows: int) -> Mask:
        """Return which of the first `rows` rows have a value with `(value op literal) != negated`."""
        target = counterpart(literal, self.kind)
        bound = op == "!=" if target is None else self._bound(op, target)
        if isinstance(bound, bool):
            mask: Mask = np.full(rows, bound != negated)
        else:
            mask = _UFUNCS[bound[0]](self.values[:rows], bound[1])
            if negated:
                np.logical_not(mask, out=mask)
        return mask if self.present is None else np.logical_and(mask, self.present[:rows], out=mask)

    def among(self, literals: Sequence[Literal], negated: bool, rows: int) -> Mask:
        """Return which of the first `rows` rows have a value with `(value in literals) != negated`."""
        targets = [counterpart(literal, self.kind) for literal in literals]
        bounds = [self._bound("==", target) for target in targets if target is not None]
        wanted = [bound[1] for bound in bounds if not isinstance(bound, bool)]
        values = self.values[:rows]
        if len(wanted) > _FEW:
            mask: Mask = np.isin(values, np.array(wanted, dtype=values.dtype))
        else:
            mask = np.zeros(rows, dtype=np.bool_)
            for number in wanted:
                mask |= values == number
        if negated:
            np.logical_not(mask, out=mask)
        return mask if self.present is None else np.logical_and(mask, self.present[:rows], out=mask)

    def _bound(self, op: str, target: int | float) -> tuple[str, int | float] | bool:
        integers = INTEGERS.get(self.values.dtype)
        if integers is None:
            return _float_bound(op, target)
        if self.kind is Kind.TIME:
            # Literals have whole microseconds: see `as_literal`, and `counterpart` for ISO 8601 text.
            return _integer_bound(op, int(target) // 1000, True, *integers)
        if isinstance(target, float) and math.isinf(target):
            return COMPARISONS[op](0, target)
        floor = math.floor(target)
        return _integer_bound(op, floor, floor == target, *integers)


def _integer_bound(op: str, floor: int, exact: bool, least: int, most: int) -> tuple[str, int] | bool:
    """Return what decides `x op target` for integers x from least to most: one to compare with, or one answer."""
    if not least <= floor <= most:
        return COMPARISONS[op](0, floor)
    if exact:
        return op, floor
    if op in ("==", "!="):
        return op == "!="
    return ("<=" if op[0] == "<" else ">"), floor


def _float_bound(op: str, target: int | float) -> tuple[str, float] | bool:
    """Return what decides `x op target` for float64 x: a comparison with a float, or one answer for all."""
    try:
        nearest = float(target)
    except OverflowError:
        nearest = math.inf if target > 0 else -math.inf
    if nearest == target:
        return op, nearest
    if op in ("==", "!="):
        return op == "!="
    # No float lies between the target and the nearest one, so comparing with that one decides as well.
    if nearest > target:
        return ("<" if op[0] == "<" else ">="), nearest
    return ("<=" if op[0] == "<" else ">"), nearest
