"""Filters: one expression, three spellings, and its evaluation over columns or one document."""

from __future__ import annotations

from vego.query.columns import FilterColumn
from vego.query.evaluate import evaluate
from vego.query.expr import (
    KEYWORDS,
    MAX_DEPTH,
    MAX_IN_VALUES,
    MAX_NODES,
    And,
    Compare,
    Expr,
    FieldRef,
    In,
    IsNull,
    Not,
    Or,
    all_of,
    any_of,
    field,
)
from vego.query.fields import fields_of, unknown_field_error
from vego.query.matches import matches
from vego.query.parse import FilterLike, parse_filter
from vego.query.residual import residual

__all__ = [
    "KEYWORDS",
    "MAX_DEPTH",
    "MAX_IN_VALUES",
    "MAX_NODES",
    "And",
    "Compare",
    "Expr",
    "FieldRef",
    "FilterColumn",
    "FilterLike",
    "In",
    "IsNull",
    "Not",
    "Or",
    "all_of",
    "any_of",
    "evaluate",
    "field",
    "fields_of",
    "matches",
    "parse_filter",
    "residual",
    "unknown_field_error",
]
