"""What a filter of a file means, row by row: None is unknown, numbers compare as fractions."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from lance_fmt.filter import And, Compare, Expression, IsIn, IsNan, IsNull, Match, Not, Or


def is_true(expression: Expression, row: Mapping[str, Any]) -> bool | None:
    if isinstance(expression, Not):
        inner = is_true(expression.part, row)
        return None if inner is None else not inner
    if isinstance(expression, And | Or):
        ends = isinstance(expression, Or)
        answers = [is_true(part, row) for part in expression.parts]
        return ends if ends in answers else (None if None in answers else not ends)
    value = row[expression.column]
    if isinstance(expression, IsNull):
        return value is None
    if value is None:
        return None
    if isinstance(expression, IsNan):
        return math.isnan(value)
    if isinstance(expression, Match):
        text = expression.text
        if expression.kind == "contains":
            return text in value
        return value.startswith(text) if expression.kind == "prefix" else value.endswith(text)
    if isinstance(expression, IsIn):
        return any(compared(value, "==", other) for other in expression.values)
    assert isinstance(expression, Compare)
    return compared(value, expression.op, expression.value)


def compared(left: Any, op: str, right: Any) -> bool:
    if any(isinstance(v, float) and math.isnan(v) for v in (left, right)):
        return op == "!="
    a, b = key(left), key(right)
    return {"==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


def key(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, dt.datetime):
        since = value - dt.datetime(1970, 1, 1)
        return (0, Fraction(since // dt.timedelta(microseconds=1)))
    if isinstance(value, float) and math.isinf(value):
        return (1 if value > 0 else -1, Fraction(0))
    return (0, Fraction(value))
