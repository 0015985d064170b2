"""Building filters: operators, tuples, refusals, equality."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lance_fmt.errors import InvalidDataError
from lance_fmt.filter import And, Compare, IsIn, IsNull, Match, Not, Or, as_expression, field

A, B = Compare("a", ">=", 5), IsIn("b", ("x", "y"))


def test_operators_build_nodes() -> None:
    a = field("a")
    assert (a >= 5) & field("b").isin(["x", "y"]) == And((A, B))
    assert Or((A, B)) == A | B
    assert (a != None) == Not(IsNull("a"))  # noqa: E711
    assert a.between(1, 2) == And((a >= 1, a <= 2))
    assert a.startswith("x") == Match("a", "prefix", "x")
    assert (np.float64(5.0) <= a) == Compare("a", ">=", np.float64(5.0))
    assert (A & ~B | A).columns() == ("a", "b")
    assert And((And((A, B)), A)) == And((A, B, A))


def test_literals_of_different_types_differ() -> None:
    assert len({Compare("a", "==", value) for value in (1, 1.0, True, "1", 0.0, -0.0)}) == 6


def test_tuples() -> None:
    assert as_expression([("a", ">=", 5), ("b", "in", ["x", "y"])]) == And((A, B))
    assert as_expression([[("a", ">=", 5)], [("b", "not in", ["x", "y"])]]) == Or((A, Not(B)))
    assert as_expression(("a", "=", 1)) == Compare("a", "==", 1)


@pytest.mark.parametrize(
    "wrong", [[], "a > 1", None, [("a", 1)], [("a", "~", 1)], [("a", "==", None)], [[], []], [1]]
)
def test_no_filter(wrong: Any) -> None:
    with pytest.raises(InvalidDataError):
        as_expression(wrong)


def test_python_logic_is_refused() -> None:
    with pytest.raises(TypeError, match="& \\| ~"):
        bool(A and B)
    with pytest.raises(TypeError, match="between"):
        bool(1 < field("a") < 3)
    with pytest.raises(InvalidDataError, match="not a column"):
        field("a") == field("b")  # noqa: B015


def test_repr_is_python() -> None:
    e = (field("a") >= 5) & ~field("b").isin(["x"]) | field("c").contains("é")
    assert repr(e) == "((field('a') >= 5) & (~(field('b').isin(['x'])))) | (field('c').contains('é'))"


def test_depth_is_limited() -> None:
    e = A
    with pytest.raises(InvalidDataError, match="deep"):
        for _ in range(200):
            e = Not(e)
