"""The rows of which a filter is true, asking the leaves as little as possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lance_fmt.column import Column
from lance_fmt.encodings.protocol import Mask, Strings, Values
from lance_fmt.filter.bind import AllOf, Bound, Leaf, Node

Masks = Callable[[Leaf], tuple[Mask, Mask | None]]
"""Answers for one leaf: which rows pass its test (whether it is negated or not), and which are null, or None.

The first may say anything of rows that are null. Of a null test: which rows are null, and None.
"""


def evaluate(bound: Bound, masks: Masks, n: int) -> Mask:
    """Which of n rows the filter is true of. No test is asked twice; cheap ones are asked first.

    The right side of an AND is not asked where no row is left, nor that of an OR where all rows are found.
    """
    known: dict[Leaf, tuple[Mask, Mask | None]] = {}

    def ask(leaf: Leaf) -> Mask:
        plain = Leaf(leaf.column, leaf.test)
        if plain not in known:
            known[plain] = masks(plain)
        passing, nulls = known[plain]
        found = ~passing if leaf.negated else passing
        return found if nulls is None else found & ~nulls

    return _node(bound.root, ask, n)


def _node(node: Node, ask: Callable[[Leaf], Mask], n: int) -> Mask:
    if isinstance(node, Leaf):
        return ask(node)
    both = isinstance(node, AllOf)
    found = np.full(n, both)
    for part in sorted(node.parts, key=_cost):
        inner = _node(part, ask, n)
        found = found & inner if both else found | inner
        if not found.any() if both else found.all():
            break
    return found


def _cost(node: Node) -> int:
    return node.cost if isinstance(node, Leaf) else sum(map(_cost, node.parts))


def evaluate_columns(bound: Bound, columns: Mapping[str, Column]) -> Mask:
    """Which rows of `columns` (all of the same length) the filter is true of."""

    def masks(leaf: Leaf) -> tuple[Mask, Mask | None]:
        column = columns[leaf.column]
        nulls = None if column.validity is None else ~column.validity
        if leaf.test is None:
            return np.zeros(len(column), np.bool_) if nulls is None else nulls, None
        return leaf.test.mask(_physical(column)), nulls

    return evaluate(bound, masks, len(columns[bound.columns[0]]))


def _physical(column: Column) -> Values:
    if column.offsets is None:
        return column.array
    inner = column.compact()
    return Strings(inner.array, inner.bounds)
