"""What a filter means, written a second time: logic as numbers, comparisons on Python's own types.

0 is false, 1/2 unknown, 1 true; then `and` is min, `or` is max and `not x` is 1 - x (Kleene).
Understands the values that `filter_strategies` makes.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from vego.query import And, Compare, Expr, In, IsNull, Not, Or


def expected_match(expr: Expr, row: Mapping[str, object]) -> bool:
    return expected_truth(expr, row) == 1


def expected_truth(expr: Expr, row: Mapping[str, object]) -> Fraction:
    if isinstance(expr, And):
        return min(expected_truth(child, row) for child in expr.exprs)
    if isinstance(expr, Or):
        return max(expected_truth(child, row) for child in expr.exprs)
    if isinstance(expr, Not):
        return 1 - expected_truth(expr.expr, row)
    assert isinstance(expr, Compare | In | IsNull)
    value = row.get(expr.field)
    missing = value is None or (isinstance(value, np.datetime64) and bool(np.isnat(value)))
    if isinstance(expr, IsNull):
        return Fraction(missing)
    if missing:
        return Fraction(1, 2)
    if isinstance(expr, Compare):
        return Fraction(compared(value, expr.op, expr.value))
    return Fraction(any(compared(value, "==", literal) for literal in expr.values))


def compared(value: Any, op: str, literal: Any) -> bool:
    sign = order(value, literal)
    return {
        "==": sign == 0,
        "!=": sign != 0,
        "<": sign == -1,
        "<=": sign in (-1, 0),
        ">": sign == 1,
        ">=": sign in (0, 1),
    }[op]


def order(value: Any, literal: Any) -> int | None:
    """Return -1, 0, 1 as the value is less, equal, greater; None where it is neither."""
    if isinstance(value, np.bool_ | np.number | np.str_):
        value = value.item()
    if is_time(value):
        moment = instant(literal)
        return None if moment is None else sign_of(exactly(value), moment)
    for family in (bool, (int, float), str, bytes):
        if of_family(value, family):
            if not of_family(literal, family):
                return None
            if family == (int, float):
                return sign_of_numbers(value, literal)
            if family is str:
                return sign_of([ord(c) for c in value], [ord(c) for c in literal])
            return sign_of(value, literal)
    return None


def of_family(value: object, family: type | tuple[type, ...]) -> bool:
    return isinstance(value, family) and (family is bool or not isinstance(value, bool))


def sign_of(left: Any, right: Any) -> int:
    return (left > right) - (left < right)


def sign_of_numbers(left: Any, right: Any) -> int | None:
    if math.isnan(left):
        return None
    if math.isinf(left) or math.isinf(right):
        low, high = (0.0 if not math.isinf(number) else number for number in (left, right))
        return sign_of(low, high)
    return sign_of(Fraction(left), Fraction(right))


def is_time(value: object) -> bool:
    return isinstance(value, dt.date | np.datetime64)


def instant(literal: object) -> Fraction | None:
    if isinstance(literal, str):
        try:
            literal = dt.datetime.fromisoformat(literal)
        except ValueError:
            return None
    return exactly(literal) if is_time(literal) else None


def exactly(time: Any) -> Fraction:
    """Return seconds since 1970 UTC."""
    if isinstance(time, np.datetime64):
        return Fraction(int(time.astype("datetime64[ns]").astype(np.int64)), 10**9)
    if not isinstance(time, dt.datetime):
        time = dt.datetime(time.year, time.month, time.day)
    offset = time.utcoffset() or dt.timedelta(0)
    since = time.replace(tzinfo=None) - dt.datetime(1970, 1, 1) - offset
    return Fraction(since.days * 86_400 + since.seconds) + Fraction(since.microseconds, 10**6)
