"""What a filter means, one document at a time: the reference that `evaluate` must agree with.

SQL's three-valued logic: a comparison with a missing value is unknown (None here), `not` keeps unknown,
and only true matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vego.query.expr import And, Compare, Expr, In, IsNull, Not, Or
from vego.query.values import compare, key_of


def matches(expr: Expr, metadata: Mapping[str, object]) -> bool:
    """Return whether the document with this metadata matches the filter; unknown does not."""
    return truth(expr, metadata) is True


def truth(expr: Expr, metadata: Mapping[str, object]) -> bool | None:
    """Return the truth of the filter for this metadata; None is unknown."""
    match expr:
        case Compare():
            key = key_of(metadata.get(expr.field))
            return None if key is None else compare(expr.op, key, expr.value)
        case In():
            key = key_of(metadata.get(expr.field))
            return None if key is None else any(compare("==", key, value) for value in expr.values)
        case IsNull():
            return key_of(metadata.get(expr.field)) is None
        case Not():
            inner = truth(expr.expr, metadata)
            return None if inner is None else not inner
        case And():
            return _kleene((truth(child, metadata) for child in expr.exprs), decisive=False)
        case Or():
            return _kleene((truth(child, metadata) for child in expr.exprs), decisive=True)
    raise TypeError(f"not a filter node: {type(expr).__name__}")


def _kleene(truths: Iterable[bool | None], decisive: bool) -> bool | None:
    """Return `decisive` where one of `truths` is, else unknown where one is unknown, else the other value."""
    unknown = False
    for value in truths:
        if value is decisive:
            return decisive
        unknown = unknown or value is None
    return None if unknown else not decisive
