"""What is left of a filter once the value of one field is known: as of a partition, whose rows all have it.

As in `evaluate`, `not` is moved down to the comparisons first, and only "is true" is carried upward: a comparison
with the known value that is false or unknown can make nothing true.
"""

from __future__ import annotations

from collections.abc import Mapping

from vego.query.expr import And, Compare, Expr, In, IsNull, Not, Or, all_of, any_of
from vego.query.matches import truth


def residual(expr: Expr, known: Mapping[str, object]) -> Expr | bool:
    """A filter of the other fields that matches what `expr` matches of documents whose fields have `known` values.

    True where it matches all of them, False where it can match none.
    """
    return _residual(expr, known, negated=False)


def _residual(expr: Expr, known: Mapping[str, object], *, negated: bool) -> Expr | bool:
    if isinstance(expr, Compare | In | IsNull):
        if expr.field not in known:
            return Not(expr) if negated else expr
        return truth(expr, known) is not None and truth(expr, known) is not negated
    if isinstance(expr, Not):
        return _residual(expr.expr, known, negated=not negated)
    if not isinstance(expr, And | Or):
        raise TypeError(f"not a filter node: {type(expr).__name__}")
    every = isinstance(expr, And) != negated
    rest: list[Expr] = []
    for child in expr.exprs:
        part = _residual(child, known, negated=negated)
        if isinstance(part, Expr):
            rest.append(part)
        elif part is not every:
            return not every
    if not rest:
        return every
    return all_of(rest) if every else any_of(rest)
