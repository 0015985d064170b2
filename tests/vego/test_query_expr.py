"""The filter AST and `field()`: normal form, equality, limits, misuse."""

from __future__ import annotations

import datetime as dt
import functools
import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from tests.support.filter_strategies import expressions
from vego.errors import FilterError, UnknownFieldError
from vego.query import (
    And,
    Compare,
    Expr,
    In,
    IsNull,
    Not,
    Or,
    all_of,
    any_of,
    field,
    fields_of,
    unknown_field_error,
)

x = field("x")
one, two, three = (Compare("x", "==", value) for value in (1, 2, 3))


def test_field_builds_every_node() -> None:
    assert (x == 1) == one
    assert (x != 1) == Compare("x", "!=", 1)
    assert (x < 1) == Compare("x", "<", 1)
    assert (x <= 1) == Compare("x", "<=", 1)
    assert (x > 1) == (1 < x) == Compare("x", ">", 1)  # noqa: SIM300
    assert (x >= 1) == Compare("x", ">=", 1)
    assert (x == None) == x.is_null() == IsNull("x")  # noqa: E711
    assert (x != None) == x.is_not_null() == Not(IsNull("x"))  # noqa: E711
    assert x.is_in(n for n in (1, 2)) == In("x", (1, 2))
    assert x.not_in([1, 2]) == Not(In("x", (1, 2)))
    assert x.between(1, 2) == And((x >= 1, x <= 2))
    assert (np.int64(1) == x) == one


def test_nodes_are_normal() -> None:
    assert one & two & three == one & (two & three) == And((one, two, three))
    assert one | two | three == Or((Or((one, two)), three))
    assert all_of([one]) is any_of([one]) is one
    assert (~~one) == Not(Not(one))
    with pytest.raises(FilterError, match="two conditions"):
        And(())
    with pytest.raises(FilterError, match="parse_filter"):
        And((one, "x == 1"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        one & "x == 1"  # type: ignore[operator]


def test_equality_tells_types_apart() -> None:
    spelled = [Compare("x", "==", value) for value in (1, 1.0, True, "1", b"1")] + [
        In("x", (1,)),
        In("x", (True,)),
    ]
    assert len(set(spelled)) == len(spelled)
    assert Compare("x", "==", 1) != "x == 1"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int8(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.bytes_(b"a"), b"a"),
        (bytearray(b"a"), b"a"),
        (dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        (
            dt.datetime(2024, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        ),
        (np.datetime64("2024-01-01"), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        (np.datetime64("2024-01-01T00:00:00.000001000"), dt.datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)),
        (dt.date(2024, 1, 1), dt.date(2024, 1, 1)),
    ],
)
def test_literals_are_plain_python_values(value: Any, plain: Any) -> None:
    literal = Compare("x", "==", value).value
    assert literal == plain
    assert type(literal) is type(plain)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is null"),
        (float("nan"), "NaN"),
        (np.float32("nan"), "NaN"),
        (np.datetime64("NaT"), "found NaT"),
        (np.datetime64(1, "ns"), "microseconds"),
        (1 << 1024, "1,025 bits"),
        ("\ud800", "surrogate"),
        ([1], "is_in"),
        ({}, "dict"),
        (1j, "complex"),
        (np.timedelta64(1, "s"), "timedelta64"),
        (dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))), "outside the years"),
        (x, "FieldRef"),
    ],
)
def test_other_values_are_refused(value: Any, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        Compare("x", "==", value)
    with pytest.raises(FilterError, match=message):
        In("x", (value,))


def test_misuse_says_what_to_do() -> None:
    with pytest.raises(FilterError, match=r"use & \| ~ instead of and/or/not"):
        one and two  # noqa: B018
    with pytest.raises(FilterError, match="do not chain"):
        1 < x < 5  # noqa: B015
    with pytest.raises(FilterError, match=r"field\('x'\) == True"):
        not x  # noqa: B018
    with pytest.raises(FilterError, match="another field"):
        x == field("y")  # noqa: B015
    with pytest.raises(FilterError, match="comparison '='"):
        Compare("x", "=", 1)
    with pytest.raises(FilterError, match="list of values"):
        x.is_in("abc")
    for name in ("", None, 5):
        with pytest.raises(FilterError, match="field name"):
            field(name)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        one.field = "y"  # type: ignore[misc]


def test_limits() -> None:
    deep: Expr = one
    for level in range(31):
        deep = ~deep if level % 2 else deep | two
    assert deep.depth == 32
    with pytest.raises(FilterError, match="33 levels deep; 32 at most"):
        ~deep  # noqa: B018
    assert str(deep).count("(") <= 32
    wide = functools.reduce(operator.or_, [one] * 1_023)
    assert wide.nodes == 1_024
    with pytest.raises(FilterError, match="1,025 nodes; 1,024 at most"):
        wide | one
    assert len(In("x", tuple(range(10_000))).values) == 10_000
    with pytest.raises(FilterError, match="more than 10,000"):
        x.is_in(range(10_001))


@given(expressions())
def test_fields_of_names_every_field(expr: Any) -> None:
    def walk(node: Any) -> set[str]:
        children = getattr(node, "exprs", ()) or ([node.expr] if isinstance(node, Not) else [])
        return set().union(*map(walk, children)) if children else {node.field}

    assert fields_of(expr) == walk(expr)


@pytest.mark.parametrize(
    ("name", "known", "fragment"),
    [
        ("yaer", ["author", "year"], "did you mean 'year'?"),
        ("YEAR", ["author", "year"], "did you mean 'year'?"),
        ("zzz", ["year", "author"], "its fields are: author, year"),
        ("zzz", [f"f{i}" for i in range(20)], "and 8 more"),
        ("zzz", [], "no metadata"),
    ],
)
def test_an_unknown_field_is_named_with_a_way_out(name: str, known: list[str], fragment: str) -> None:
    error = unknown_field_error(name, known, "docs")
    assert isinstance(error, UnknownFieldError)
    assert fragment in str(error)
    assert repr(name) in str(error)
    assert "'docs'" in str(error)
