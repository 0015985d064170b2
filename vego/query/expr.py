"""The filter AST, which all spellings parse to, and `field()`, the spelling in Python.

Nodes are immutable and normal: literals are plain Python values, an And never holds an And directly (nor
Or an Or), and both hold two conditions or more. Equality and hash tell 1, 1.0 and True apart, so an
expression can key a cache. `str(expr)` is its canonical text, and parsing that gives an equal
expression. The limits on depth and size hold for every expression that exists, because the constructors
check them.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
import sys
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from dataclasses import field as attribute
from typing import NoReturn

from vego.errors import FilterError
from vego.query.values import COMPARISONS, Literal, as_literal

MAX_DEPTH = 32
MAX_NODES = 1_024
MAX_IN_VALUES = 10_000

KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false", "between"})
"""Words that name a field only within backquotes, whatever their case."""

_NODE_BYTES = 1_000
"""Of a node and its part of the key, without its literals; also of its name, which is short."""

_PLAIN_NAME = re.compile(r"[^\W\d]\w*(?:\.\w+)*")


class Expr:
    """A condition on one document: true, false, or unknown where a value is missing. Only true matches.

    Combine with `&`, `|` and `~`. `depth` and `nodes` count the node itself too.
    """

    depth: int = 1
    nodes: int = 1

    def __and__(self, other: Expr) -> Expr:
        return And((self, other)) if isinstance(other, Expr) else NotImplemented

    def __or__(self, other: Expr) -> Expr:
        return Or((self, other)) if isinstance(other, Expr) else NotImplemented

    def __invert__(self) -> Expr:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise FilterError(
            f"the filter `{self}` has no truth value in Python: use & | ~ instead of and/or/not, "
            "put each comparison in parentheses, and do not chain comparisons"
        )

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Expr) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def key(self) -> Hashable:
        """Return what two filters have in common that are equal: tuples, so that looking it up calls nothing here."""
        raise NotImplementedError

    def nbytes(self) -> int:
        """Return about how much memory the filter and its key take."""
        return _NODE_BYTES


@dataclass(frozen=True, eq=False)
class Compare(Expr):
    """`field op value`; op is one of `== != < <= > >=`. Unknown where the field is missing."""

    field: str
    op: str
    value: Literal

    def __post_init__(self) -> None:
        _check_name(self.field)
        if self.op not in COMPARISONS:
            raise FilterError(f"unknown comparison {self.op!r}; the comparisons are {' '.join(COMPARISONS)}")
        value = as_literal(self.value)
        if value is not self.value:
            object.__setattr__(self, "value", value)

    def key(self) -> Hashable:
        """As `Expr.key`."""
        return Compare, self.field, self.op, type(self.value), self.value

    def nbytes(self) -> int:
        """As `Expr.nbytes`."""
        return _NODE_BYTES + sys.getsizeof(self.value)

    def __str__(self) -> str:
        return f"{spell_name(self.field)} {self.op} {spell_literal(self.value)}"


@dataclass(frozen=True, eq=False)
class In(Expr):
    """`field in (values)`: equal to one of them; never with no values. Unknown where the field is missing."""

    field: str
    values: tuple[Literal, ...]

    def __post_init__(self) -> None:
        _check_name(self.field)
        if not _is_list(self.values):
            raise FilterError(f"`in` on field {self.field!r} takes a list of values, found {self.values!r}")
        values = tuple(map(as_literal, itertools.islice(self.values, MAX_IN_VALUES + 1)))
        if len(values) > MAX_IN_VALUES:
            raise FilterError(f"`in` on field {self.field!r} lists more than {MAX_IN_VALUES:,} values")
        object.__setattr__(self, "values", values)

    def key(self) -> Hashable:
        """As `Expr.key`."""
        return In, self.field, self.values, tuple(map(type, self.values))

    def nbytes(self) -> int:
        """As `Expr.nbytes`."""
        return _NODE_BYTES + sum(map(sys.getsizeof, self.values))

    def __str__(self) -> str:
        return f"{spell_name(self.field)} in ({', '.join(map(spell_literal, self.values))})"


@dataclass(frozen=True, eq=False)
class IsNull(Expr):
    """`field is null`: the document lacks the field, or holds null there. Never unknown."""

    field: str

    def __post_init__(self) -> None:
        _check_name(self.field)

    def key(self) -> Hashable:
        """As `Expr.key`."""
        return IsNull, self.field

    def __str__(self) -> str:
        return f"{spell_name(self.field)} is null"


@dataclass(frozen=True, eq=False)
class Not(Expr):
    """True where `expr` is false, false where it is true, unknown where it is unknown."""

    expr: Expr
    depth: int = attribute(init=False, repr=False, default=1)
    nodes: int = attribute(init=False, repr=False, default=1)

    def __post_init__(self) -> None:
        _measure(self, (self.expr,))

    def key(self) -> Hashable:
        """As `Expr.key`."""
        return Not, self.expr.key()

    def nbytes(self) -> int:
        """As `Expr.nbytes`."""
        return _NODE_BYTES + self.expr.nbytes()

    def __str__(self) -> str:
        if isinstance(self.expr, IsNull):
            return f"{spell_name(self.expr.field)} is not null"
        if isinstance(self.expr, In):
            return f"{spell_name(self.expr.field)} not in{str(self.expr).partition(' in')[2]}"
        return f"not {self.expr}" if isinstance(self.expr, Not) else f"not ({self.expr})"


@dataclass(frozen=True, eq=False)
class _Several(Expr):
    """What `And` and `Or` have in common; one in another of its class becomes part of it."""

    exprs: tuple[Expr, ...]
    depth: int = attribute(init=False, repr=False, default=1)
    nodes: int = attribute(init=False, repr=False, default=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "exprs", _flatten(type(self), self.exprs))
        _measure(self, self.exprs)

    def key(self) -> Hashable:
        """As `Expr.key`."""
        return type(self), *(expr.key() for expr in self.exprs)

    def nbytes(self) -> int:
        """As `Expr.nbytes`."""
        return _NODE_BYTES + sum(expr.nbytes() for expr in self.exprs)


class And(_Several):
    """False where one of `exprs` is false, else unknown where one is unknown, else true."""

    def __str__(self) -> str:
        return " and ".join(f"({expr})" if isinstance(expr, Or) else str(expr) for expr in self.exprs)


class Or(_Several):
    """True where one of `exprs` is true, else unknown where one is unknown, else false."""

    def __str__(self) -> str:
        return " or ".join(f"({expr})" if isinstance(expr, And) else str(expr) for expr in self.exprs)


def all_of(exprs: Iterable[Expr]) -> Expr:
    """Return the conjunction of one condition or more."""
    return _joined(And, tuple(exprs))


def any_of(exprs: Iterable[Expr]) -> Expr:
    """Return the disjunction of one condition or more."""
    return _joined(Or, tuple(exprs))


def _joined(node: type[_Several], exprs: tuple[Expr, ...]) -> Expr:
    return exprs[0] if len(exprs) == 1 and isinstance(exprs[0], Expr) else node(exprs)


def _flatten(node: type[_Several], exprs: Iterable[Expr]) -> tuple[Expr, ...]:
    flat: list[Expr] = []
    for expr in exprs:
        flat.extend(expr.exprs if isinstance(expr, node) else (expr,))
    if len(flat) < 2:
        raise FilterError(f"{node.__name__} joins two conditions or more, found {len(flat)}")
    return tuple(flat)


def _measure(node: Expr, children: tuple[Expr, ...]) -> None:
    for child in children:
        if not isinstance(child, Expr):
            raise FilterError(
                f"{type(node).__name__} joins filters, found {child!r}; parse text with parse_filter"
            )
    depth = 1 + max(child.depth for child in children)
    nodes = 1 + sum(child.nodes for child in children)
    if depth > MAX_DEPTH:
        raise FilterError(f"the filter is nested {depth} levels deep; {MAX_DEPTH} at most")
    if nodes > MAX_NODES:
        raise FilterError(f"the filter has {nodes:,} nodes; {MAX_NODES:,} at most. Use `in` for many values")
    object.__setattr__(node, "depth", depth)
    object.__setattr__(node, "nodes", nodes)


def _is_list(values: object) -> bool:
    return isinstance(values, Iterable) and not isinstance(values, str | bytes)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise FilterError(f"a field name is text that is not empty, found {name!r}")


def spell_name(name: str) -> str:
    """Return the field name as the text spelling writes it: within backquotes unless it is a plain word."""
    plain = _PLAIN_NAME.fullmatch(name) is not None and name.lower() not in KEYWORDS
    return name if plain else "`" + name.replace("`", "``") + "`"


def spell_literal(value: Literal) -> str:
    """Return the literal as the text spelling writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return spell_text(value)
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, dt.datetime):
        return f"timestamp '{value.isoformat().replace('+00:00', 'Z')}'"
    if isinstance(value, dt.date):
        return f"date '{value.isoformat()}'"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)


def spell_text(text: str) -> str:
    """Return `text` in single quotes, control characters escaped."""
    return "'" + _ESCAPED.sub(_escape, text) + "'"


_ESCAPED = re.compile(r"['\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHORT_ESCAPES = {"'": r"\'", "\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04x}"


class FieldRef:
    """A metadata field, by name; comparing it makes a filter. Made by `field()`."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # so that NumPy scalars on the left leave the comparison to this class

    def __init__(self, name: str) -> None:
        _check_name(name)
        self.name = name

    def __repr__(self) -> str:
        return f"field({self.name!r})"

    def __bool__(self) -> NoReturn:
        raise FilterError(f"{self!r} has no truth value in Python; compare it: {self!r} == True")

    def __eq__(self, value: object) -> Expr:  # type: ignore[override]
        return IsNull(self.name) if value is None else self._compare("==", value)

    def __ne__(self, value: object) -> Expr:  # type: ignore[override]
        return Not(IsNull(self.name)) if value is None else self._compare("!=", value)

    def __lt__(self, value: object) -> Expr:
        return self._compare("<", value)

    def __le__(self, value: object) -> Expr:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Expr:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Expr:
        return self._compare(">=", value)

    def _compare(self, op: str, value: object) -> Expr:
        if isinstance(value, FieldRef):
            raise FilterError(
                f"{self!r} {op} {value!r}: a field compares with a value, not with another field"
            )
        return Compare(self.name, op, value)  # type: ignore[arg-type]

    def is_in(self, values: Iterable[object]) -> Expr:
        """Match documents whose value equals one of `values` (10,000 at most, no None among them)."""
        return In(self.name, values)  # type: ignore[arg-type]

    def not_in(self, values: Iterable[object]) -> Expr:
        """Match documents that have a value, which equals none of `values`."""
        return Not(self.is_in(values))

    def between(self, low: object, high: object) -> Expr:
        """Match values from `low` to `high`, both included."""
        return And((self >= low, self <= high))

    def is_null(self) -> Expr:
        """Match documents that lack the field or hold null there."""
        return IsNull(self.name)

    def is_not_null(self) -> Expr:
        """Match documents that have a value there."""
        return Not(IsNull(self.name))


def field(name: str) -> FieldRef:
    """Return a reference to the metadata field `name`, to build filters: `(field("year") >= 2020) & ~(...)`.

    Raises FilterError where the name is no text or empty.
    """
    return FieldRef(name)
