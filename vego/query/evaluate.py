"""A filter over whole columns: one boolean per row, with the meaning `matches` defines.

`not` is moved down to the comparisons first (De Morgan's laws hold in three-valued logic). Then only "is
true" has to be carried upward: `and` and `or` of three-valued conditions are true exactly where `&` and
`|` of their true rows are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vego.query.columns import FilterColumn
from vego.query.expr import And, Compare, Expr, In, IsNull, Not, Or
from vego.query.numeric_rows import Mask

_TESTS = (Compare, In, IsNull)


def evaluate(expr: Expr, columns: Mapping[str, FilterColumn], rows: int, *, negated: bool = False) -> Mask:
    """Return a new bool array `(rows,)`: which of the first `rows` rows match.

    `negated`: for which the filter is false instead. Rows behind the end of a column, and all rows of a field that
    `columns` lacks, have no value. May run while the columns' one writer appends.
    """
    if isinstance(expr, _TESTS):
        return _tested(expr, columns.get(expr.field), rows, negated)
    if isinstance(expr, Not):
        return evaluate(expr.expr, columns, rows, negated=not negated)
    if not isinstance(expr, (And, Or)):
        raise TypeError(f"not a filter node: {type(expr).__name__}")
    combine = np.logical_and if isinstance(expr, And) != negated else np.logical_or
    mask = evaluate(expr.exprs[0], columns, rows, negated=negated)
    for child in expr.exprs[1:]:
        combine(mask, evaluate(child, columns, rows, negated=negated), out=mask)
    return mask


def _tested(expr: Compare | In | IsNull, column: FilterColumn | None, rows: int, negated: bool) -> Mask:
    """Return where the condition, or its negation, is true; padded where the column is shorter."""
    where_missing = isinstance(expr, IsNull) and not negated
    if column is None:
        return np.full(rows, where_missing)
    values = column.rows
    count = min(rows, values.count)
    if isinstance(expr, Compare):
        mask = values.compared(expr.op, expr.value, negated, count)
    elif isinstance(expr, In):
        mask = values.among(expr.values, negated, count)
    else:
        mask = values.is_missing(count)
        mask = np.logical_not(mask, out=mask) if negated else mask
    if count < rows:
        mask = np.concatenate([mask, np.full(rows - count, where_missing)])
    return mask
