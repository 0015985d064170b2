"""One entry for the spellings of a filter: nothing, an expression, text, or a dict."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from vego.errors import FilterError
from vego.query.expr import Expr, FieldRef
from vego.query.parse_dict import parse_dict
from vego.query.parse_text import parse_text

_KEPT, _KEPT_LENGTH = 256, 1_000  # texts whose expression is kept, and characters of each at most
_short_text = lru_cache(_KEPT)(parse_text)

FilterLike: TypeAlias = "Expr | str | Mapping[str, Any] | None"
"""What every `filter=` argument takes."""


def parse_filter(spelled: FilterLike | object) -> Expr | None:
    """Return the filter as an expression; None and an empty dict mean every document.

    Raises FilterSyntaxError (a ValueError) where text or dict cannot be parsed, FilterError for other types.
    """
    if spelled is None or isinstance(spelled, Expr):
        return spelled
    if isinstance(spelled, str):
        return _short_text(spelled) if len(spelled) <= _KEPT_LENGTH else parse_text(spelled)
    if isinstance(spelled, (dict, Mapping)):  # what most are is looked for first
        return parse_dict(spelled)
    if isinstance(spelled, FieldRef):
        raise FilterError(f"{spelled!r} alone is no filter; compare it, as in {spelled!r} == True")
    raise FilterError(
        f"a filter is text, a dict or an expression made with field(), "
        f"found {type(spelled).__name__} {spelled!r:.60}"
    )
