"""The text of a filter, which is one language for collections and files, as a condition on the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence

import lance_fmt
from vego.query import And, Compare, Expr, In, IsNull, Not, Or, fields_of, parse_filter
from vego_tools.shell.errors import StatementError


def file_filter(text: str, columns: Sequence[str], table: str) -> lance_fmt.Expression | None:
    """The condition; None for empty text.

    Raises FilterSyntaxError, and StatementError for a name that is none of `columns`.
    """
    parsed = parse_filter(text)
    if parsed is None:
        return None
    for name in fields_of(parsed):
        if name not in columns:
            raise StatementError(f"no column {name!r} in {table}; there are {', '.join(columns[:12])}")
    return _condition(parsed)


def _condition(expr: Expr) -> lance_fmt.Expression:
    if isinstance(expr, And):
        first, *others = map(_condition, expr.exprs)
        for other in others:
            first = first & other
        return first
    if isinstance(expr, Or):
        first, *others = map(_condition, expr.exprs)
        for other in others:
            first = first | other
        return first
    if isinstance(expr, Not):
        return ~_condition(expr.expr)
    if isinstance(expr, IsNull):
        return lance_fmt.field(expr.field).is_null()
    if isinstance(expr, In):
        return lance_fmt.field(expr.field).isin(expr.values)
    assert isinstance(expr, Compare)
    column, value = lance_fmt.field(expr.field), expr.value
    return {
        "==": column.__eq__,
        "!=": column.__ne__,
        "<": column.__lt__,
        "<=": column.__le__,
        ">": column.__gt__,
        ">=": column.__ge__,
    }[expr.op](value)
