"""pyarrow's expressions as filters of this format: exactly, or not at all.

Both know nulls by Kleene's logic and NaN by IEEE 754. Where they differ, or might, nothing is translated: the
caller then applies the expression to what was read. Of an AND the parts that can be translated are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lance_fmt.constants import TypeId
from lance_fmt.errors import InvalidDataError
from lance_fmt.filter import bind
from lance_fmt.filter.expression import And, Compare, Expression, IsIn, IsNan, IsNull, Match, Not, Or
from lance_fmt.interop.expression_tree import Call, Constant, Node, Ref, tree_of
from lance_fmt.schema import DataType, Schema

_OPERATORS = {
    "equal": "==",
    "not_equal": "!=",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_MATCHES = {"starts_with": "prefix", "ends_with": "suffix", "match_substring": "contains"}
_LARGEST_EXACT = 1 << 53  # of the integers that float64 holds without gaps
_EPOCH_UNITS = {TypeId.TIMESTAMP: np.datetime64, TypeId.DURATION: np.timedelta64}


class Untranslatable(Exception):  # noqa: N818 (not an error: a signal within this module)
    """A part that this format's filters cannot say exactly as pyarrow means it."""


def translate(expression: Any, schema: Schema) -> tuple[Expression | None, bool]:
    """`(filter, exact)` of a pyarrow Expression over the columns of `schema`.

    Every row for which `expression` is true passes the filter (None: all rows do); where `exact`, no others do.
    """
    try:
        tree = tree_of(expression)
    except InvalidDataError:
        return None, False
    found: list[Expression] = []
    exact = True
    for part in _conjuncts(tree):
        try:
            one = _filter(part, schema)
            bind(one, schema)
        except (Untranslatable, InvalidDataError, RecursionError):
            exact = False
        else:
            found.append(one)
    if not found:
        return None, exact
    return (found[0] if len(found) == 1 else And(tuple(found))), exact


def with_largest_nan(found: Expression, schema: Schema) -> Expression:
    """The same filter where NaN counts as larger than all numbers, as in SQL engines, and not as in IEEE 754."""
    if isinstance(found, And | Or):
        return type(found)(tuple(with_largest_nan(part, schema) for part in found.parts))
    if isinstance(found, Not):
        return Not(with_largest_nan(found.part, schema))
    if isinstance(found, Compare) and found.op in (">", ">=") and schema[found.column].type.is_float:
        return Or((found, IsNan(found.column)))
    return found


def _conjuncts(node: Node) -> list[Node]:
    if isinstance(node, Call) and node.function in ("and_kleene", "and"):
        # Of the whole expression only its truth counts, and of that both kinds of AND say the same.
        return [part for argument in node.arguments for part in _conjuncts(argument)]
    return [node]


def _filter(node: Node, schema: Schema, known: str | None = None) -> Expression:
    """The filter that says what `node` does; `known` is a column whose nulls are unknown to what is around."""
    if not isinstance(node, Call):
        return _truth(node, schema)
    name, arguments = node.function, node.arguments
    if name in ("and_kleene", "or_kleene"):
        join = And if name == "and_kleene" else Or
        return join(tuple(_filter(part, schema, known) for part in arguments))
    if name == "invert":
        return Not(_filter(arguments[0], schema, known))
    if name in _OPERATORS:
        return _comparison(_OPERATORS[name], arguments, schema)
    if name == "if_else":
        return _guarded(arguments, schema)
    column = _column(arguments[0], schema)
    if name == "is_in":
        return _membership(column, node, schema, known)
    if name == "is_null" and known is None and not node.options["nan_is_null"].as_py():
        return IsNull(column)
    if name == "is_valid" and known is None:
        return Not(IsNull(column))
    if name == "is_nan":
        return IsNan(column)
    if name in _MATCHES and not node.options["ignore_case"].as_py():
        return Match(column, _MATCHES[name], node.options["pattern"].as_py())
    raise Untranslatable(name)


def _truth(node: Node, schema: Schema) -> Expression:
    """A column of bools by itself."""
    column = _column(node, schema)
    if schema[column].type.id is not TypeId.BOOL:
        raise Untranslatable(column)
    return Compare(column, "==", True)


def _column(node: Node, schema: Schema) -> str:
    if not isinstance(node, Ref) or node.name not in schema.names:
        raise Untranslatable(node)
    return node.name


def _comparison(op: str, arguments: tuple[Node, ...], schema: Schema) -> Expression:
    left, right = arguments
    if isinstance(left, Ref) and left == right and op == "!=":
        # What differs from itself: how some engines ask for NaN.
        column = _column(left, schema)
        if schema[column].type.is_float:
            return IsNan(column)
    if isinstance(left, Constant):
        left, right, op = right, left, _MIRRORED.get(op, op)
    if not isinstance(right, Constant):
        raise Untranslatable(right)
    column = _column(left, schema)
    return Compare(column, op, literal_of(right.value, schema[column].type))


def _guarded(arguments: tuple[Node, ...], schema: Schema) -> Expression:
    """`if_else(is_valid(x), condition on x, null)`: how engines make `is_in` unknown for nulls."""
    test, inner, otherwise = arguments
    if not isinstance(test, Call) or test.function != "is_valid":
        raise Untranslatable(test)
    column = _column(test.arguments[0], schema)
    if not isinstance(otherwise, Constant) or otherwise.value.is_valid:
        raise Untranslatable(otherwise)
    found = _filter(inner, schema, column)
    if found.columns() != (column,):
        raise Untranslatable(column)
    return found


def _membership(column: str, node: Call, schema: Schema, known: str | None) -> Expression:
    kind = schema[column].type
    values = list(node.options["value_set"].values or ())
    if node.options["null_matching_behavior"].as_py() not in (0, "MATCH"):
        raise Untranslatable("is_in")
    literals = [literal_of(value, kind) for value in values if value.is_valid]
    # is_in compares floats by their bits: NaN is NaN there, and -0.0 is not 0.0.
    if kind.is_float and any(v == 0 or math.isnan(v) for v in literals):
        raise Untranslatable("is_in")
    found = IsIn(column, literals)
    if known == column:
        return found
    # Of a null is_in is never unknown: it is false, or true where the values have a null.
    valued = And((found, Not(IsNull(column))))
    return valued if len(literals) == len(values) else Or((valued, IsNull(column)))


def literal_of(scalar: Any, kind: DataType) -> Any:
    """A pyarrow Scalar as a literal for a column of `kind`; raises Untranslatable where pyarrow might round."""
    import pyarrow as pa

    is_, held = pa.types, scalar.type
    if not scalar.is_valid:
        raise Untranslatable("a null")
    families: list[tuple[bool, Callable[[Any], bool]]] = [
        (kind.id is TypeId.BOOL, is_.is_boolean),
        (
            kind.id is TypeId.STRING,
            lambda t: is_.is_string(t) or is_.is_large_string(t) or is_.is_string_view(t),
        ),
        (
            kind.id is TypeId.BINARY,
            lambda t: is_.is_binary(t) or is_.is_large_binary(t) or is_.is_binary_view(t),
        ),
        (kind.id is TypeId.DATE, is_.is_date32),
        (kind.is_decimal, lambda t: is_.is_decimal(t) or is_.is_integer(t)),
        (kind.is_number, lambda t: is_.is_integer(t) or is_.is_floating(t)),
    ]
    for matches, goes_with in families:
        if matches and goes_with(held):
            return _number(scalar.as_py(), kind) if kind.is_number else scalar.as_py()
    if kind.id in _EPOCH_UNITS and (is_.is_timestamp(held) or is_.is_duration(held)):
        return _instant(scalar, kind)
    if kind.id is TypeId.TIME and is_.is_time(held):
        return _time(scalar, kind)
    raise Untranslatable(f"{held} with {kind}")


def _number(value: float, kind: DataType) -> float:
    """pyarrow compares integers with floats as float64; where that is not exact, nothing is translated."""
    mixed = isinstance(value, float) != kind.is_float
    wide = not kind.is_float and kind.dtype.itemsize == 8
    if mixed and (wide or not -_LARGEST_EXACT <= value <= _LARGEST_EXACT):
        raise Untranslatable(value)
    return value


def _instant(scalar: Any, kind: DataType) -> Any:
    is_timestamp = str(scalar.type).startswith("timestamp")
    if is_timestamp != (kind.id is TypeId.TIMESTAMP):
        raise Untranslatable(scalar.type)
    if is_timestamp and (scalar.type.tz is None) != (kind.tz is None):
        raise Untranslatable(scalar.type)
    return _EPOCH_UNITS[kind.id](scalar.value, scalar.type.unit)


def _time(scalar: Any, kind: DataType) -> int:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
    count, rest = divmod(scalar.value * per_second[kind.time_unit], per_second[scalar.type.unit])
    if rest:
        raise Untranslatable(scalar)
    return int(count)
