"""Filters on a file's rows: `field("year") >= 2020`, bound to a schema, pruned by statistics, evaluated."""

from lance_fmt.filter.bind import Bound, Leaf, bind, equality_values
from lance_fmt.filter.evaluate import evaluate, evaluate_columns
from lance_fmt.filter.expression import (
    And,
    Compare,
    Expression,
    FieldRef,
    IsIn,
    IsNan,
    IsNull,
    Match,
    Not,
    Or,
    as_expression,
    field,
)  # fmt: skip
from lance_fmt.filter.pruning import prune
from lance_fmt.zones import Zones

__all__ = [
    "And", "Bound", "Compare", "Expression", "FieldRef", "IsIn", "IsNan", "IsNull", "Leaf", "Match", "Not", "Or",
    "Zones", "as_expression", "bind", "equality_values", "evaluate", "evaluate_columns", "field", "prune",
]  # fmt: skip
