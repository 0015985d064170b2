"""A filter meets a schema: names are looked up, literals become physical values, NOT moves down to the leaves.

De Morgan's laws hold in Kleene's logic, so that after `bind` only leaves are negated. What is above them
then needs to know only where its parts are true: unknown and false need not be told apart.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from lance_fmt.constants import TypeId
from lance_fmt.datatype import DataType
from lance_fmt.errors import SchemaError
from lance_fmt.filter import conditions as c
from lance_fmt.filter import literals
from lance_fmt.filter.expression import (
    And,
    Compare,
    Expression,
    IsIn,
    IsNan,
    IsNull,
    Match,
    Not,
    Or,
    as_expression,
)
from lance_fmt.schema import Schema


@dataclass(frozen=True)
class Leaf:
    """`test` of a column's values; None tests for nulls. `negated`: true where the value does not pass.

    A null makes any leaf but a null test neither true nor false, negated or not.
    """

    column: str
    test: c.Condition | None
    negated: bool = False

    @property
    def cost(self) -> int:
        """Larger for tests that take longer."""
        return 0 if self.test is None else self.test.cost


@dataclass(frozen=True)
class AllOf:
    """True where all parts are."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class AnyOf:
    """True where a part is; never with no parts."""

    parts: tuple[Node, ...]


Node = Leaf | AllOf | AnyOf


@dataclass(frozen=True)
class Bound:
    """A filter over columns of known types. `types` has the columns used, each once."""

    root: Node
    types: Mapping[str, DataType]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns used."""
        return tuple(self.types)

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """AllOf leaves, each once."""
        return tuple(dict.fromkeys(_leaves(self.root)))


def _leaves(node: Node) -> list[Leaf]:
    return [node] if isinstance(node, Leaf) else [leaf for part in node.parts for leaf in _leaves(part)]


def bind(expression: object, schema: Schema) -> Bound:
    """`expression` (whatever `as_expression` takes) over the columns of `schema`.

    Raises SchemaError for unknown columns and literals that do not go with a column's type.
    """
    found = as_expression(expression)
    types = {name: _type_of(name, schema) for name in found.columns()}
    return Bound(_node(found, types, False), types)


def _type_of(name: str, schema: Schema) -> DataType:
    if name in schema.names:
        return schema[name].type
    near = difflib.get_close_matches(name, schema.names, 1, 0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise SchemaError(
        f"no column {name!r} to filter by{hint}; there are {', '.join(map(repr, schema.names))}"
    )


def _node(e: Expression, types: Mapping[str, DataType], negated: bool) -> Node:
    if isinstance(e, Not):
        return _node(e.part, types, not negated)
    if isinstance(e, And | Or):
        parts = tuple(_node(part, types, negated) for part in e.parts)
        if isinstance(e, And) != negated:
            parts = _intersected(parts)
        if len(parts) == 1:
            return parts[0]
        return AllOf(parts) if isinstance(e, And) != negated else AnyOf(parts)
    if isinstance(e, IsNull):
        return Leaf(e.column, None, negated)
    assert isinstance(e, Compare | IsIn | IsNan | Match)
    test, opposite = _test(e, types[e.column])
    if isinstance(test, tuple):
        parts = tuple(Leaf(e.column, one, negated) for one in test)
        return AllOf(parts) if negated else AnyOf(parts)
    return Leaf(e.column, test, negated != opposite)


def _intersected(parts: tuple[Node, ...]) -> tuple[Node, ...]:
    """`parts` of an AND with the ranges asked of one integer column made one."""
    ranges: dict[str, c.IntegerRange] = {}
    others: list[Node] = []
    for part in parts:
        if isinstance(part, Leaf) and isinstance(part.test, c.IntegerRange) and not part.negated:
            known = ranges.get(part.column, part.test)
            low, high = max(known.low, part.test.low), min(known.high, part.test.high)
            ranges[part.column] = c.IntegerRange(low, high) if low <= high else c.IntegerRange(1, 0)
        else:
            others.append(part)
    return (*(Leaf(column, test) for column, test in ranges.items()), *others)


def _test(
    e: Compare | IsIn | IsNan | Match, kind: DataType
) -> tuple[c.Condition | tuple[c.Condition, ...], bool]:
    """The test, or tests of which one must pass; and whether `e` is the opposite of it."""
    name = e.column
    floating = kind.is_float or kind.is_bfloat16
    if isinstance(e, IsNan):
        if not floating:
            raise SchemaError(f"column {name!r} ({kind}) holds no NaN; is_nan() is for columns of floats")
        return c.IsNotANumber(kind.is_bfloat16), False
    if kind.id in (TypeId.STRING, TypeId.BINARY):
        return _string_test(e, kind)
    if isinstance(e, Match):
        raise SchemaError(
            f"column {name!r} ({kind}) holds no text; startswith, endswith and contains need text"
        )
    if kind.is_list or kind.is_vector or kind.is_struct or kind.id is TypeId.JSON:
        raise SchemaError(f"column {name!r} ({kind}) can only be filtered by is_null() and is_not_null()")
    if isinstance(e, IsIn):
        return _set(kind, [literals.as_number(name, v, kind) for v in e.values]), False
    number = literals.as_number(name, e.value, kind)
    return (_float_range if floating else _integer_range)(e.op, number, kind), e.op == "!="


def _integer_range(op: str, number: literals.Number, kind: DataType) -> c.Condition:
    make = c.DecimalRange if kind.is_decimal else c.IntegerRange
    if isinstance(number, float):
        upward = {"<": number > 0, "<=": number > 0, ">": number < 0, ">=": number < 0}.get(op, False)
        return make(c.LOWEST, c.HIGHEST) if upward else make(1, 0)
    floor, ceil = math.floor(number), math.ceil(number)
    low, high = {
        "<": (c.LOWEST, ceil - 1), "<=": (c.LOWEST, floor), ">": (floor + 1, c.HIGHEST), ">=": (ceil, c.HIGHEST),
    }.get(op, (ceil, floor))  # fmt: skip
    return make(low, high) if low <= high else make(1, 0)


def _float_range(op: str, number: literals.Number, kind: DataType) -> c.Condition:
    bits = kind.is_bfloat16
    nothing = c.FloatRange(math.inf, -math.inf, bits)
    if number != number or (op, number) in (("<", -math.inf), (">", math.inf)):  # noqa: PLR0124 (NaN)
        return nothing
    at_most, at_least = literals.float_at_most(number), literals.float_at_least(number)
    below = math.nextafter(at_most, -math.inf) if at_most == number else at_most
    above = math.nextafter(at_least, math.inf) if at_least == number else at_least
    low, high = {
        "<": (-math.inf, below), "<=": (-math.inf, at_most), ">": (above, math.inf), ">=": (at_least, math.inf),
    }.get(op, (at_least, at_most))  # fmt: skip
    return c.FloatRange(low, high, bits) if low <= high else nothing


def _set(kind: DataType, numbers: list[literals.Number]) -> c.Condition | tuple[c.Condition, ...]:
    if kind.is_float or kind.is_bfloat16:
        exact = sorted({float(n) for n in numbers if n == n and literals.float_at_most(n) == n})  # noqa: PLR0124
        return c.FloatSet(tuple(exact), kind.is_bfloat16)
    whole = sorted({int(n) for n in numbers if isinstance(n, Fraction) and n.denominator == 1})
    if kind.is_decimal:
        return tuple(c.DecimalRange(n, n) for n in whole) or c.DecimalRange(1, 0)
    return c.IntegerRange(whole[0], whole[0]) if len(whole) == 1 else c.IntegerSet(tuple(whole))


def _string_test(e: Compare | IsIn | Match, kind: DataType) -> tuple[c.Condition, bool]:
    if isinstance(e, IsIn):
        return c.StringSet(tuple(sorted({literals.as_text(e.column, v, kind) for v in e.values}))), False
    if isinstance(e, Match):
        text = literals.as_text(e.column, e.text, kind)
        if e.kind == "prefix":
            return c.StringRange(text, _after(text)), False
        return c.HasText(text, e.kind == "suffix"), False
    text = literals.as_text(e.column, e.value, kind)
    following = text + b"\0"
    ranges: dict[str, tuple[bytes, bytes | None]] = {
        "<": (b"", text), "<=": (b"", following), ">": (following, None), ">=": (text, None),
    }  # fmt: skip
    if e.op in ranges:
        return c.StringRange(*ranges[e.op]), False
    return c.StringSet((text,)), e.op == "!="


def _after(prefix: bytes) -> bytes | None:
    """The first string after all that begin with `prefix`; None if there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def equality_values(bound: Bound) -> dict[str, list[Any]] | None:
    """Values of which a column must have one in every row returned; None where no column must.

    Physical values as the column's array holds them: int, float, bytes; both zeros where a float may be zero,
    and none that the column's type does not hold. An empty list: no row is returned.
    """
    parts = bound.root.parts if isinstance(bound.root, AllOf) else (bound.root,)
    found: dict[str, list[Any]] = {}
    for leaf in parts:
        values = (
            _equal_to(leaf, bound.types[leaf.column]) if isinstance(leaf, Leaf) and not leaf.negated else None
        )
        if values is not None and isinstance(leaf, Leaf):
            known = found.get(leaf.column)
            found[leaf.column] = values if known is None else [v for v in known if v in values]
    return found or None


def _equal_to(leaf: Leaf, kind: DataType) -> list[Any] | None:
    test = leaf.test
    if isinstance(test, c.StringSet):
        return list(test.values)
    if isinstance(test, c.IntegerSet):
        return list(c.within(test.values, _stored(kind)).tolist())
    if isinstance(test, c.IntegerRange) and test.low >= test.high:
        return list(c.within((test.low,) if test.low == test.high else (), _stored(kind)).tolist())
    if isinstance(test, c.FloatSet) and not test.bits:
        return _floats(test.values, kind)
    if isinstance(test, c.FloatRange) and test.low >= test.high and not test.bits:
        return _floats((test.low,) if test.low == test.high else (), kind)
    return None


def _stored(kind: DataType) -> np.dtype[Any]:
    return np.dtype(np.uint8) if kind.id is TypeId.BOOL else kind.dtype


def _floats(values: tuple[float, ...], kind: DataType) -> list[Any]:
    with np.errstate(over="ignore", under="ignore"):
        held = [v for v in values if float(kind.dtype.type(v)) == v]
    return [w for v in held for w in ((0.0, -0.0) if v == 0 else (v,))]
