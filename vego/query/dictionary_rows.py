"""One field with values of any kind: a small integer code per row, and each distinct value once.

A predicate is looked up or evaluated per distinct value, then applied to the codes. Code 0 is a missing
value. Lists, dicts and other values no literal equals share one code. Persistent like `NumericRows`:
views share the codes and the `ValueDictionary`, which only grows; codes are written after their values
are in it. One writer, many readers.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vego.query.numeric_rows import Mask, grown
from vego.query.values import COMPARISONS, Kind, Literal, counterpart

Codes: TypeAlias = "NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.uint32]"

_NO_CODES = np.empty(0, dtype=np.intp)
_FEW = 6
"""So many comparisons of codes cost less than one gather from a table."""


class ValueDictionary:
    """Distinct values and their codes 1, 2, ... in order of arrival. Only grows."""

    def __init__(self) -> None:
        self._kinds: list[Kind | None] = [None]
        self._values: list[Any] = [None]
        self._codes: dict[Kind, dict[Any, int]] = {kind: {} for kind in Kind}
        self._orders: dict[Kind, _Order] = {}

    def __len__(self) -> int:
        """Return the number of codes, the one of the missing value included."""
        return len(self._values)

    def code(self, kind: Kind, value: Any) -> int:
        """Return the code of a value, adding it where it is new. The writer's alone."""
        codes = self._codes[kind]
        code = codes.get(value)
        if code is None:
            code = len(self._values)
            self._kinds.append(kind)
            self._values.append(value)
            codes[value] = code
        return code

    def codes(self, kind: Kind, values: Iterable[Any]) -> list[int]:
        """Return the codes of values of one kind, None among them being missing. The writer's alone."""
        known = self._codes[kind]
        found: list[int] = []
        for value in values:
            code = 0 if value is None else known.get(value)
            found.append(self.code(kind, value) if code is None else code)
        return found

    def equal_to(self, literals: Sequence[Literal]) -> list[int]:
        """Return the codes of all values that equal one of `literals`."""
        found = set()
        for kind in self._present_kinds():
            codes = self._codes[kind]
            for literal in literals:
                other = counterpart(literal, kind)
                code = None if other is None else codes.get(other)
                if code is not None:
                    found.add(code)
        return sorted(found)

    def ordered(self, op: str, literal: Literal) -> NDArray[np.intp]:
        """Return the codes of all values for which `value op literal` holds; `op` is one of `< <= > >=`."""
        found = [_NO_CODES]
        for kind in self._present_kinds():
            other = counterpart(literal, kind)
            if other is None:
                continue
            order = self._order(kind)
            position = (bisect_left if op in ("<", ">=") else bisect_right)(order.values, other)
            found.append(order.codes[:position] if op[0] == "<" else order.codes[position:])
            holds = COMPARISONS[op]
            late = [code for code in self._codes_from(order.size, kind) if holds(self._values[code], other)]
            found.append(np.array(late, dtype=np.intp))
        return np.concatenate(found)

    def _present_kinds(self) -> list[Kind]:
        return [kind for kind, codes in self._codes.items() if codes]

    def _codes_from(self, start: int, kind: Kind) -> list[int]:
        kinds = self._kinds
        return [code for code in range(start, len(self._values)) if kinds[code] is kind]

    def _order(self, kind: Kind) -> _Order:
        """Return the values of a kind in order, but for the latest: few, and cheaper one by one.

        Kept between calls. Two readers may both make it, at the price of doing so twice.
        """
        order = self._orders.get(kind, _Order(0, _NO_CODES, []))
        size = len(self._values)
        if size - order.size > max(_FEW, order.size // 8):
            values = self._values
            new = [
                code for code in self._codes_from(order.size, kind) if code < size and _ordered(values[code])
            ]
            codes = sorted(order.codes.tolist() + new, key=values.__getitem__)
            order = _Order(size, np.array(codes, dtype=np.intp), [values[code] for code in codes])
            self._orders[kind] = order
        return order


@dataclass(frozen=True)
class _Order:
    """The codes below `size` of one kind, by ascending value."""

    size: int
    codes: NDArray[np.intp]
    values: list[Any]


@dataclass(frozen=True)
class DictionaryRows:
    """Rows [0, count) of `codes` (uint8, uint16 or uint32, as narrow as will do)."""

    dictionary: ValueDictionary
    codes: Codes
    count: int

    @classmethod
    def missing(cls, count: int) -> DictionaryRows:
        """Return `count` rows without a value, over a new dictionary."""
        return cls(ValueDictionary(), np.zeros(count, dtype=np.uint8), count)

    def appended(self, codes: Sequence[int] | NDArray[Any]) -> DictionaryRows:
        """Return these rows and those behind them."""
        dtype = _code_dtype(len(self.dictionary))
        old = self.codes if self.codes.dtype == dtype else self.codes[: self.count].astype(dtype)
        buffer = grown(old, self.count, len(codes))
        buffer[self.count : self.count + len(codes)] = codes
        return DictionaryRows(self.dictionary, buffer, self.count + len(codes))

    def is_missing(self, rows: int) -> Mask:
        """Return which of the first `rows` rows have no value."""
        mask: Mask = self.codes[:rows] == 0
        return mask

    def compared(self, op: str, literal: Literal, negated: bool, rows: int) -> Mask:
        """Return which of the first `rows` rows have a value with `(value op literal) != negated`."""
        if op in ("==", "!="):
            return self._selected(self.dictionary.equal_to((literal,)), negated != (op == "!="), rows)
        return self._selected(self.dictionary.ordered(op, literal), negated, rows)

    def among(self, literals: Sequence[Literal], negated: bool, rows: int) -> Mask:
        """Return which of the first `rows` rows have a value with `(value in literals) != negated`."""
        return self._selected(self.dictionary.equal_to(literals), negated, rows)

    def _selected(self, wanted: Sequence[int] | NDArray[np.intp], negated: bool, rows: int) -> Mask:
        codes = self.codes[:rows]
        if len(wanted) > _FEW:
            table = np.full(len(self.dictionary), negated, dtype=np.bool_)
            table[wanted] = not negated
            table[0] = False
            taken: Mask = table.take(codes)
            return taken
        if negated:
            mask: Mask = codes != 0
            for code in wanted:
                mask &= codes != code
            return mask
        mask = codes == wanted[0] if len(wanted) else np.zeros(rows, dtype=np.bool_)
        for code in wanted[1:]:
            mask |= codes == code
        return mask


def _ordered(value: Any) -> bool:
    return not (isinstance(value, float) and math.isnan(value))


def _code_dtype(size: int) -> type[np.uint8 | np.uint16 | np.uint32]:
    if size <= 1 << 8:
        return np.uint8
    return np.uint16 if size <= 1 << 16 else np.uint32
