"""What a filter says, before it meets a schema: `field("year") >= 2020`, joined by `&`, `|` and `~`.

Nodes are immutable values. Any condition on a null is unknown, except `is_null`; AND, OR and NOT are Kleene's.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from lance_fmt.errors import InvalidDataError

MAX_DEPTH = 100

_OPERATORS = ("==", "!=", "<", "<=", ">", ">=")
_KINDS = ("prefix", "suffix", "contains")
_NO_TRUTH = (
    "a filter has no truth value in Python: join filters with & | ~ instead of and/or/not, put each "
    "comparison in parentheses, and write between(low, high) instead of chaining comparisons"
)


class Expression:
    """A condition on one row: true, false, or unknown. A read returns the rows of which it is true."""

    __slots__ = ()

    def __and__(self, other: object) -> Expression:
        return And((self, other)) if isinstance(other, Expression) else NotImplemented

    def __or__(self, other: object) -> Expression:
        return Or((self, other)) if isinstance(other, Expression) else NotImplemented

    def __invert__(self) -> Expression:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(_NO_TRUTH)

    def columns(self) -> tuple[str, ...]:
        """Names used, each once, in the order of their first use."""
        found: dict[str, None] = {}
        waiting: list[Expression] = [self]
        while waiting:
            node = waiting.pop()
            if isinstance(node, _Condition):
                found[node.column] = None
            waiting.extend(reversed(_parts(node)))
        return tuple(found)


def _type_aware(value: Any) -> Hashable:
    return type(value), repr(value)


@dataclass(frozen=True, eq=False, repr=False)
class _Condition(Expression):
    """A node without parts. 1, 1.0 and True are different literals, and so are 0.0 and -0.0."""

    column: str

    def __post_init__(self) -> None:
        if not isinstance(self.column, str):
            raise InvalidDataError(f"a column name is a string, found {self.column!r}")

    def _literals(self) -> tuple[Any, ...]:
        return ()

    def _identity(self) -> Hashable:
        return type(self), self.column, tuple(map(_type_aware, self._literals()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Condition) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())


@dataclass(frozen=True, eq=False, repr=False)
class Compare(_Condition):
    """`column op value`; op is one of `== != < <= > >=`."""

    op: str
    value: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.op not in _OPERATORS:
            raise InvalidDataError(f"unknown comparison {self.op!r}; there are {' '.join(_OPERATORS)}")
        if self.value is None:
            raise InvalidDataError(f"column {self.column!r}: test for nulls with is_null()")

    def _literals(self) -> tuple[Any, ...]:
        return self.op, self.value

    def __repr__(self) -> str:
        return f"{field(self.column)!r} {self.op} {self.value!r}"


@dataclass(frozen=True, eq=False, repr=False)
class IsIn(_Condition):
    """Equal to one of `values`; with no values, false wherever there is a value."""

    values: Iterable[Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.values, str | bytes) or not isinstance(self.values, Iterable):
            raise InvalidDataError(f"column {self.column!r}: isin takes a list, found {self.values!r}")
        object.__setattr__(self, "values", tuple(self.values))
        if any(v is None for v in self.values):
            raise InvalidDataError(f"column {self.column!r}: isin takes no None; add `| is_null()`")

    def _literals(self) -> tuple[Any, ...]:
        return tuple(self.values)

    def __repr__(self) -> str:
        return f"{field(self.column)!r}.isin({list(self.values)!r})"


@dataclass(frozen=True, eq=False, repr=False)
class IsNull(_Condition):
    """The row is null; never unknown."""

    def __repr__(self) -> str:
        return f"{field(self.column)!r}.is_null()"


@dataclass(frozen=True, eq=False, repr=False)
class IsNan(_Condition):
    """The value, of a column of floats, is not a number."""

    def __repr__(self) -> str:
        return f"{field(self.column)!r}.is_nan()"


@dataclass(frozen=True, eq=False, repr=False)
class Match(_Condition):
    """A string or binary value that has `text` as its "prefix" or "suffix", or "contains" it."""

    kind: str
    text: str | bytes

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in _KINDS:
            raise InvalidDataError(f"unknown kind of match {self.kind!r}; there are {', '.join(_KINDS)}")

    def _literals(self) -> tuple[Any, ...]:
        return self.kind, self.text

    def __repr__(self) -> str:
        name = {"prefix": "startswith", "suffix": "endswith", "contains": "contains"}[self.kind]
        return f"{field(self.column)!r}.{name}({self.text!r})"


@dataclass(frozen=True, repr=False)
class And(Expression):
    """True where all parts are, false where one is false, else unknown."""

    parts: tuple[Expression, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _joined(And, self.parts))

    def __repr__(self) -> str:
        return " & ".join(f"({part!r})" for part in self.parts)


@dataclass(frozen=True, repr=False)
class Or(Expression):
    """True where one part is, false where all are false, else unknown."""

    parts: tuple[Expression, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _joined(Or, self.parts))

    def __repr__(self) -> str:
        return " | ".join(f"({part!r})" for part in self.parts)


@dataclass(frozen=True, repr=False)
class Not(Expression):
    """True where `part` is false and false where it is true; unknown stays unknown."""

    part: Expression

    def __post_init__(self) -> None:
        _joined(Not, (self.part,))

    def __repr__(self) -> str:
        return f"~({self.part!r})"


def _joined(node: type[Expression], parts: Iterable[Expression]) -> tuple[Expression, ...]:
    flat: list[Expression] = []
    for part in parts:
        if not isinstance(part, Expression):
            raise InvalidDataError(f"{node.__name__} joins filters, found {part!r}; make them with field()")
        flat.extend(part.parts if isinstance(part, And | Or) and type(part) is node else (part,))
    if not flat:
        raise InvalidDataError(f"{node.__name__} of no conditions; leave the filter out to read all rows")
    depth, level = 1, flat
    while level:
        depth += 1
        level = [inner for outer in level for inner in _parts(outer)]
        if depth > MAX_DEPTH:
            raise InvalidDataError(
                f"a filter nested more than {MAX_DEPTH} deep; write isin() for many values"
            )
    return tuple(flat)


def _parts(node: Expression) -> tuple[Expression, ...]:
    if isinstance(node, And | Or):
        return node.parts
    return (node.part,) if isinstance(node, Not) else ()


class FieldRef:
    """A column by name; comparing it makes a filter."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy scalars on the left leave the comparison to this class

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"field({self.name!r})"

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} has no truth value in Python; compare it: {self!r} == True")

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]
        return IsNull(self.name) if value is None else self._compare("==", value)

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]
        return Not(IsNull(self.name)) if value is None else self._compare("!=", value)

    def __lt__(self, value: object) -> Expression:
        return self._compare("<", value)

    def __le__(self, value: object) -> Expression:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Expression:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Expression:
        return self._compare(">=", value)

    def _compare(self, op: str, value: object) -> Expression:
        if isinstance(value, FieldRef):
            raise InvalidDataError(f"{self!r} {op} {value!r}: a column compares with a value, not a column")
        return Compare(self.name, op, value)

    def between(self, low: object, high: object) -> Expression:
        """From `low` to `high`, both included."""
        return And((self >= low, self <= high))

    def isin(self, values: Iterable[Any]) -> Expression:
        """Equal to one of `values`."""
        return IsIn(self.name, values)

    def is_null(self) -> Expression:
        """No value in the row."""
        return IsNull(self.name)

    def is_not_null(self) -> Expression:
        """A value in the row; NaN is one."""
        return Not(IsNull(self.name))

    def is_nan(self) -> Expression:
        """NaN, in a column of floats."""
        return IsNan(self.name)

    def startswith(self, text: str | bytes) -> Expression:
        """Strings that begin with `text`."""
        return Match(self.name, "prefix", text)

    def endswith(self, text: str | bytes) -> Expression:
        """Strings that end with `text`."""
        return Match(self.name, "suffix", text)

    def contains(self, text: str | bytes) -> Expression:
        """Strings that have `text` within."""
        return Match(self.name, "contains", text)


def field(name: str) -> FieldRef:
    """The column `name`, to build filters: `(field("year") >= 2020) & ~field("title").is_null()`."""
    return FieldRef(name)


def as_expression(filter: object) -> Expression:
    """The expression itself, or that of tuples `(column, op, value)`.

    A list of tuples is their AND, a list of lists the OR of such ANDs. `op` is a comparison (`=` is `==`),
    "in" or "not in". Raises InvalidDataError for anything else.
    """
    if isinstance(filter, Expression):
        return filter
    if isinstance(filter, tuple):
        return _triple(filter)
    if not isinstance(filter, list) or not filter:
        raise InvalidDataError(
            f"a filter is made with field(), or is a list of tuples (column, op, value); found {filter!r}"
        )
    if all(isinstance(part, tuple) for part in filter):
        parts = tuple(_triple(part) for part in filter)
        return parts[0] if len(parts) == 1 else And(parts)
    if all(isinstance(part, list) for part in filter):
        parts = tuple(as_expression(part) for part in filter)
        return parts[0] if len(parts) == 1 else Or(parts)
    raise InvalidDataError("a filter's list holds tuples (column, op, value) only, or lists of those only")


def _triple(part: tuple[Any, ...]) -> Expression:
    if len(part) != 3:
        raise InvalidDataError(f"a condition is a tuple (column, op, value), found {part!r}")
    name, op, value = part
    if op == "in":
        return IsIn(name, value)
    if op == "not in":
        return Not(IsIn(name, value))
    return Compare(name, "==" if op == "=" else op, value)
