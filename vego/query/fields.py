"""The fields a filter names, and the error for one that no document has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from vego.errors import UnknownFieldError
from vego.query.expr import And, Compare, Expr, In, IsNull, Not, Or


def fields_of(expr: Expr) -> frozenset[str]:
    """Return the names of all fields the filter reads."""
    match expr:
        case Compare() | In() | IsNull():
            return frozenset({expr.field})
        case Not():
            return fields_of(expr.expr)
        case And() | Or():
            return frozenset().union(*map(fields_of, expr.exprs))
    raise TypeError(f"not a filter node: {type(expr).__name__}")


def unknown_field_error(name: str, known_names: Iterable[str], collection: str) -> UnknownFieldError:
    """Return the error for a filter on `name` where documents of `collection` have `known_names` only."""
    known = sorted(known_names)
    close = difflib.get_close_matches(name.lower(), {known_name.lower(): None for known_name in known}, n=3)
    suggestions = [known_name for guess in close for known_name in known if known_name.lower() == guess]
    if suggestions:
        way_out = f"did you mean {' or '.join(map(repr, suggestions))}?"
    elif known:
        shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
        way_out = f"its fields are: {shown}"
    else:
        way_out = "its documents have no metadata"
    return UnknownFieldError(
        f"collection {collection!r}: the filter names field {name!r}, which no document has; {way_out}"
    )
