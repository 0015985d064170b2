"""The dict spelling: what it reads, and that a mistake is named with its path."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.filter_strategies import expressions
from vego.errors import FilterError, FilterSyntaxError
from vego.query import And, Compare, Expr, In, IsNull, Not, Or, field, parse_filter

_OPERATORS = {"==": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


def as_dict(expr: Expr) -> dict[str, Any]:
    """Spell any expression as a dict."""
    match expr:
        case Compare():
            return {expr.field: {_OPERATORS[expr.op]: expr.value}}
        case In():
            return {expr.field: {"$in": list(expr.values)}}
        case IsNull():
            return {expr.field: {"$exists": False}}
        case Not():
            return {"$not": as_dict(expr.expr)}
        case And():
            return {"$and": [as_dict(child) for child in expr.exprs]}
        case Or():
            return {"$or": [as_dict(child) for child in expr.exprs]}
    raise AssertionError(expr)


@given(expressions())
def test_every_expression_can_be_spelled_as_a_dict(expr: Any) -> None:
    assert parse_filter(as_dict(expr)) == expr


a, b = (Compare(name, "==", 1) for name in "ab")

READS: list[tuple[dict[str, Any], Expr | None]] = [
    ({}, None),
    ({"a": 1}, a),
    ({"a": np.int64(1)}, a),
    ({"a": {"$eq": 1}, "b": 1}, And((a, b))),
    ({"a": {"$gt": 1, "$lte": 5}}, And((Compare("a", ">", 1), Compare("a", "<=", 5)))),
    ({"a": None}, IsNull("a")),
    ({"a": {"$eq": None}}, IsNull("a")),
    ({"a": {"$ne": None}}, Not(IsNull("a"))),
    ({"a": {"$exists": True}}, Not(IsNull("a"))),
    ({"a": {"$in": (1, 2)}}, In("a", (1, 2))),
    ({"a": {"$in": np.array([1, 2])}}, In("a", (1, 2))),
    ({"a": {"$nin": []}}, Not(In("a", ()))),
    ({"a": {"$not": {"$gt": 1}}}, Not(Compare("a", ">", 1))),
    ({"$and": [{"a": 1}]}, a),
    ({"$and": [{"a": 1}, {"$and": [{"b": 1}, {"a": 1}]}]}, And((a, b, a))),
    ({"$or": [{"a": 1}, {"b": 1}], "b": 1}, And((Or((a, b)), b))),
    ({"$nor": [{"a": 1}, {"b": 1}]}, Not(Or((a, b)))),
    ({"$not": {"a": 1, "b": 1}}, Not(And((a, b)))),
    (OrderedDict(a=1), a),
]


@pytest.mark.parametrize(("spelled", "expr"), READS)
def test_reads(spelled: dict[str, Any], expr: Expr | None) -> None:
    assert parse_filter(spelled) == expr


MISTAKES: list[tuple[Any, str]] = [
    ({"a": {"$gte_": 1}}, r"filter\['a'\]\['\$gte_'\]: unknown operator '\$gte_'; did you mean \$gte\?"),
    ({"$xor": []}, r"filter\['\$xor'\]: unknown operator '\$xor'; did you mean \$or\?"),
    ({"a": {"$regex": "x"}}, r"unknown operator '\$regex'; the operators here are \$eq"),
    ({"$gte": 5}, r"filter\['\$gte'\]: \$gte belongs within a field"),
    ({"$and": [{"a": 1}, {"b": {"$lt": float("nan")}}]}, r"filter\['\$and'\]\[1\]\['b'\]\['\$lt'\]: .*NaN"),
    ({"a": {"$gt": None}}, r"filter\['a'\]\['\$gt'\]: .*is null"),
    ({"a": [1, 2]}, r"filter\['a'\]: .*\$in"),
    ({"a": {"b": 1}}, r"filter\['a'\]\['b'\]: a field cannot be compared with a dict"),
    ({"a": {}}, r"filter\['a'\]: an empty dict"),
    ({"a": {"$in": "libs"}}, r"\$in takes a list"),
    ({"a": {"$in": [1, None]}}, r"filter\['a'\]\['\$in'\]: .*is null"),
    ({"a": {"$in": 5}}, r"\$in takes a list"),
    ({"a": {"$exists": 1}}, r"\$exists takes True or False"),
    ({"a": {"$not": 5}}, r"use \$ne"),
    ({"$and": {}}, r"filter\['\$and'\]: \$and takes a list"),
    ({"$or": []}, r"filter\['\$or'\]: \$or takes a list of dicts, one at least"),
    ({"$or": [1]}, r"filter\['\$or'\]\[0\]: expected a dict"),
    ({"$not": {}}, r"filter\['\$not'\]: expected a dict of conditions"),
    ({1: 2}, r"filter\[1\]: expected a field name"),
    ({"": 2}, r"filter\[''\]: expected a field name"),
    ({"a": object()}, r"filter\['a'\]: .*object"),
    ({"a": {"$in": list(range(10_001))}}, "more than 10,000 values"),
    ({"$or": [{"a": 1}] * 1_025}, "1,025 conditions"),
    ({"$or": [{"a": 1}] * 1_024}, "1,025 nodes"),
]


@pytest.mark.parametrize(("spelled", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_path(spelled: Any, message: str) -> None:
    with pytest.raises(FilterSyntaxError, match=message) as caught:
        parse_filter(spelled)
    assert caught.value.position is None


def test_depth_is_limited_also_in_a_dict_that_holds_itself() -> None:
    endless: dict[str, Any] = {}
    endless["$and"] = [endless, endless]
    with pytest.raises(FilterSyntaxError, match="nested more than 32"):
        parse_filter(endless)
    operators: dict[str, Any] = {}
    operators["$not"] = operators
    with pytest.raises(FilterSyntaxError, match="nested more than 32"):
        parse_filter({"a": operators})


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.just(float("nan"))),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["a", "", "$and", "$or", "$nor", "$not", "$in", "$gt", "$exists"]), inner
            ),
        ),
    )
)
def test_any_value_is_read_or_refused(spelled: Any) -> None:
    try:
        expr = parse_filter(spelled)
    except FilterError:
        return
    assert expr is None or parse_filter(str(expr)) == expr


@pytest.mark.parametrize("spelled", [5, [{"a": 1}], b"a == 1", field("a")])
def test_other_types_are_refused(spelled: Any) -> None:
    with pytest.raises(FilterError):
        parse_filter(spelled)


def test_an_expression_is_itself() -> None:
    assert parse_filter(a) is a
    assert parse_filter(None) is None
