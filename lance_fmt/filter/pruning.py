"""Which zones (blocks, pages) of a file a filter can skip or take whole, by their statistics alone.

Only what is proven counts; a missing statistic proves nothing. A leaf asks two things of each zone: whether
every value passes its test, and whether none does; that answers for the leaf and for its negation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_fmt.encodings.protocol import Mask
from lance_fmt.filter import conditions as c
from lance_fmt.filter.bind import AllOf, Bound, Leaf, Node
from lance_fmt.zones import Zones

_PREFIX = 8


def prune(bound: Bound, zones: Mapping[str, Zones], n: int) -> tuple[Mask, Mask]:
    """`(may, all)`, bool (n,): zones in which a row may be returned, and zones of which every row is.

    `zones` may lack columns. A zone of no rows has no row that may, and all of its rows do.
    """
    return _node(bound.root, zones, n)


def _node(node: Node, zones: Mapping[str, Zones], n: int) -> tuple[Mask, Mask]:
    if isinstance(node, Leaf):
        found = zones.get(node.column)
        return (np.ones(n, np.bool_), np.zeros(n, np.bool_)) if found is None else _leaf(node, found)
    may, every = zip(*(_node(part, zones, n) for part in node.parts), strict=True)
    join = np.logical_and if isinstance(node, AllOf) else np.logical_or
    return join.reduce(may), join.reduce(every)


def _leaf(leaf: Leaf, zones: Zones) -> tuple[Mask, Mask]:
    valid = zones.rows - zones.nulls
    if leaf.test is None:
        some, full = (valid, zones.nulls) if leaf.negated else (zones.nulls, valid)
        return some > 0, full == 0
    every, none = _values(leaf.test, zones, valid)
    if leaf.negated:
        every, none = none, every
    return (valid > 0) & ~none, (zones.nulls == 0) & every


def _values(test: c.Condition, zones: Zones, valid: NDArray[np.int64]) -> tuple[Mask, Mask]:
    """Zones in which every value that is not null passes `test`, and those in which none does."""
    nothing = np.zeros(len(valid), np.bool_)
    if isinstance(test, c.IsNotANumber):
        return (nothing, nothing) if zones.nans is None else (zones.nans == valid, zones.nans == 0)
    every, none = nothing.copy(), nothing.copy()
    ask = _QUESTIONS.get(type(test))
    places = np.flatnonzero(zones.known)
    if ask is not None and len(places):
        every[places], none[places] = ask(test, zones.low[places], zones.high[places], zones.prefix)
    if isinstance(test, c.FloatRange | c.FloatSet):
        if zones.nans is None:
            return nothing, none
        return every & (zones.nans == 0), none | (zones.nans == valid)
    return every, none


_Answer = tuple[Any, Any]


def _integer_range(test: c.IntegerRange, low: NDArray[Any], high: NDArray[Any], _: bool) -> _Answer:
    held = np.iinfo(low.dtype)
    first, last = max(test.low, int(held.min)), min(test.high, int(held.max))
    return (False, True) if first > last else _range(first, last, low, high)


def _range(first: Any, last: Any, low: NDArray[Any], high: NDArray[Any]) -> _Answer:
    if first > last:
        return False, True
    return (low >= first) & (high <= last), (high < first) | (low > last)


def _plain_range(
    test: c.DecimalRange | c.FloatRange, low: NDArray[Any], high: NDArray[Any], _: bool
) -> _Answer:
    return _range(test.low, test.high, low, high)


def _set(values: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> _Answer:
    after = np.searchsorted(values, high, side="right")
    none = np.searchsorted(values, low, side="left") == after
    return ~none & (low == high), none


def _integer_set(test: c.IntegerSet, low: NDArray[Any], high: NDArray[Any], _: bool) -> _Answer:
    return _set(c.within(test.values, low.dtype), low, high)


def _float_set(test: c.FloatSet, low: NDArray[Any], high: NDArray[Any], _: bool) -> _Answer:
    return _set(np.array(test.values, np.float64), low, high)


def _string_range(test: c.StringRange, low: NDArray[Any], high: NDArray[Any], prefix: bool) -> _Answer:
    if test.high is not None and test.low >= test.high:
        return False, True
    if not prefix:
        after, above = _each(low, lambda s: s >= test.low), _each(high, lambda s: s < test.low)
        if test.high is None:
            return after, above
        end = test.high
        return after & _each(high, lambda s: s < end), above | _each(low, lambda s: s >= end)
    after, above = _from(low, test.low), high < _number(test.low)
    if test.high is None:
        return after, above
    return after & (high < _number(test.high)), above | _from(low, test.high)


def _from(prefixes: NDArray[Any], text: bytes) -> Mask:
    """Where a string is proven `>= text` by its prefix.

    Equal prefixes prove it only of a text that they hold whole, and that does not end like their padding.
    """
    whole = len(text) <= _PREFIX and not text.endswith(b"\0")
    found: Mask = prefixes >= _number(text) if whole else prefixes > _number(text)
    return found


def _number(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text[:_PREFIX].ljust(_PREFIX, b"\0"), "big"))


def _string_set(test: c.StringSet, low: NDArray[Any], high: NDArray[Any], prefix: bool) -> _Answer:
    if prefix:
        numbers = np.array([_number(text) for text in test.values], np.uint64)
        return False, _set(numbers, low, high)[1]
    values = np.empty(len(test.values), object)
    values[:] = test.values
    return _set(values, low, high)


def _each(values: NDArray[Any], passes: Callable[[bytes], bool]) -> Mask:
    return np.fromiter(map(passes, values), np.bool_, len(values))


_QUESTIONS: Mapping[type, Callable[[Any, NDArray[Any], NDArray[Any], bool], _Answer]] = {
    c.IntegerRange: _integer_range,
    c.IntegerSet: _integer_set,
    c.DecimalRange: _plain_range,
    c.FloatRange: _plain_range,
    c.FloatSet: _float_set,
    c.StringRange: _string_range,
    c.StringSet: _string_set,
}
