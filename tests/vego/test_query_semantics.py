"""What filters mean: `matches` against the independent oracle, and the decisions one by one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.filter_oracle import expected_match
from tests.support.filter_strategies import FIELDS, anything, expressions, leaves
from vego.query import matches, parse_filter

NOON_UTC = dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC)
NOON_NAIVE = dt.datetime(2024, 1, 31, 12)
TWO_IN_CAIRO = dt.datetime(2024, 1, 31, 14, tzinfo=dt.timezone(dt.timedelta(hours=2)))
MIDNIGHT = dt.datetime(2024, 1, 31)

rows = st.dictionaries(st.sampled_from(FIELDS), anything)


@given(leaves(), rows)
def test_a_condition_matches_as_the_oracle_says(expr: Any, row: dict[str, object]) -> None:
    assert matches(expr, row) == expected_match(expr, row)


@given(expressions(), rows)
def test_an_expression_matches_as_the_oracle_says(expr: Any, row: dict[str, object]) -> None:
    assert matches(expr, row) == expected_match(expr, row)


MATCHING: list[tuple[str, object]] = [
    ("x == 1", 1),
    ("x == 1", 1.0),
    ("x == 1.0", 1),
    ("x != 1", True),
    ("x == true", True),
    ("x == true", np.bool_(True)),
    ("x < true", False),
    ("x != '1'", 1),
    ("not (x < '5')", 3),
    ("not (x >= '5')", 3),
    ("x == 9007199254740993", 9007199254740993),
    ("x != 9007199254740992.0", 9007199254740993),
    ("x > 9007199254740992.0", 9007199254740993),
    ("x < inf", 10**400),
    ("x == inf", float("inf")),
    ("x != 5", float("nan")),
    ("not (x < 5)", float("nan")),
    ("x is not null", float("nan")),
    ("x is null", None),
    ("x is null", np.datetime64("NaT")),
    ("x is not null", []),
    ("x != 1", [1]),
    ("x not in (1, 2)", {"a": 1}),
    ("x > 'Z'", "a"),
    ("x < '\U0001f40d'", "￿"),
    ("x == x'00ff'", b"\x00\xff"),
    ("x == x'00ff'", bytearray(b"\x00\xff")),
    ("x != 'a'", b"a"),
    ("x == timestamp '2024-01-31T12:00:00Z'", NOON_UTC),
    ("x == timestamp '2024-01-31T12:00:00'", NOON_UTC),
    ("x == timestamp '2024-01-31T12:00:00Z'", NOON_NAIVE),
    ("x == timestamp '2024-01-31T12:00:00Z'", TWO_IN_CAIRO),
    ("x == '2024-01-31T14:00:00+02:00'", NOON_NAIVE),
    ("x == date '2024-01-31'", MIDNIGHT),
    ("x == date '2024-01-31'", dt.date(2024, 1, 31)),
    ("x > date '2024-01-31'", NOON_UTC),
    ("x >= '2024-01-31'", NOON_UTC),
    ("x in ('2024-01-31T12:00:00', 5)", NOON_UTC),
    ("x != 'soon'", NOON_UTC),
    ("x != timestamp '2024-01-31T12:00:00Z'", "2024-01-31T12:00:00Z"),
    ("x > timestamp '2024-01-31T12:00:00Z'", np.datetime64("2024-01-31T12:00:00.000000001")),
    ("x in ()  or true == x", True),
    ("not (x in ())", 1),
    ("not not x == 1", 1),
]


@pytest.mark.parametrize(("text", "value"), MATCHING)
def test_matches(text: str, value: object) -> None:
    expr = parse_filter(text)
    assert expr is not None
    assert matches(expr, {"x": value})
    assert not matches(~expr, {"x": value})


NEITHER: list[str] = [
    "x == 1",
    "x != 1",
    "x > 1",
    "x in (1, 2)",
    "x in ()",
    "x not in (1, 2)",
    "not x == 1",
    "x == 1 and y == 1",
    "x == 1 or y == 2",
    "not (x == 1 and y == 1)",
]


@pytest.mark.parametrize("text", NEITHER)
def test_a_missing_value_is_unknown_and_so_is_its_negation(text: str) -> None:
    expr = parse_filter(text)
    assert expr is not None
    for row in ({"y": 1}, {"x": None, "y": 1}):
        assert not matches(expr, row)
        assert not matches(~expr, row)


def test_unknown_does_not_spoil_what_is_decided_without_it() -> None:
    assert matches(parse_filter("x == 1 or y == 1"), {"y": 1})  # type: ignore[arg-type]
    assert matches(parse_filter("not (x == 1 and y == 2)"), {"y": 1})  # type: ignore[arg-type]
