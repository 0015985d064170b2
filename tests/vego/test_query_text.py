"""The text spelling: what it reads, that it prints what it reads, and where it points when it cannot."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.filter_strategies import expressions
from vego.errors import FilterSyntaxError
from vego.query import And, Compare, Expr, In, IsNull, Not, Or, field, parse_filter


@given(expressions())
def test_printed_text_reads_back_as_the_same_expression(expr: Any) -> None:
    assert parse_filter(str(expr)) == expr
    assert str(parse_filter(str(expr))) == str(expr)


a, b, c = (Compare(name, "==", 1) for name in "abc")

READS: list[tuple[str, Expr]] = [
    ("a = 1", a),
    ("a==1", a),
    ("\n a\t==\n1 ", a),
    ("1 == a", a),
    ("5 > a", Compare("a", "<", 5)),
    ("5 <= a", Compare("a", ">=", 5)),
    ("a <> 1", Compare("a", "!=", 1)),
    ("a == 1 AND b == 1 && c == 1", And((a, b, c))),
    ("(a == 1 and b == 1) and c == 1", And((a, b, c))),
    ("a == 1 or b == 1 and c == 1", Or((a, And((b, c))))),
    ("(a == 1 || b == 1) and c == 1", And((Or((a, b)), c))),
    ("not a == 1 and b == 1", And((Not(a), b))),
    ("!(a == 1)", Not(a)),
    ("! ! a == 1", Not(Not(a))),
    ("a in (1, 'x')", In("a", (1, "x"))),
    ("a IN [1]", In("a", (1,))),
    ("a in ()", In("a", ())),
    ("a not in (1)", Not(In("a", (1,)))),
    ("a is null", IsNull("a")),
    ("a == NULL", IsNull("a")),
    ("a is not null", Not(IsNull("a"))),
    ("null != a", Not(IsNull("a"))),
    ("a between 1 and 2 and b == 1", And((Compare("a", ">=", 1), Compare("a", "<=", 2), b))),
    ("a not between 1 and 2", Not(And((Compare("a", ">=", 1), Compare("a", "<=", 2))))),
    ("a == True", Compare("a", "==", True)),
    ("a == -1.5e3", Compare("a", "==", -1500.0)),
    ("a == +5", Compare("a", "==", 5)),
    ("a == .5", Compare("a", "==", 0.5)),
    ("a == 5.", Compare("a", "==", 5.0)),
    ("a == -Infinity", Compare("a", "==", float("-inf"))),
    ("inf == inf", Compare("inf", "==", float("inf"))),
    ("a == 'it''s'", Compare("a", "==", "it's")),
    (r"a == 'it\'s'", Compare("a", "==", "it's")),
    ('a == "say ""hi"""', Compare("a", "==", 'say "hi"')),
    (r"a == 'tab\tA\x41A\U0001F40D'", Compare("a", "==", "tab\tAAA\U0001f40d")),
    (r"a == '\ud83d\udc0d'", Compare("a", "==", "\U0001f40d")),
    ("a == 'a\"\"b''c'", Compare("a", "==", 'a""b\'c')),
    ("a == ''", Compare("a", "==", "")),
    ("a == x'00FF'", Compare("a", "==", b"\x00\xff")),
    ("x == x''", Compare("x", "==", b"")),
    ("a < date '2024-01-31'", Compare("a", "<", dt.date(2024, 1, 31))),
    (
        "timestamp '2024-01-31T12:00:00+02:00' == a",
        Compare("a", "==", dt.datetime(2024, 1, 31, 10, tzinfo=dt.UTC)),
    ),
    ("date == date '2024-01-31'", Compare("date", "==", dt.date(2024, 1, 31))),
    ("timestamp is null", IsNull("timestamp")),
    ("`in` == 1", Compare("in", "==", 1)),
    ("`a-b``c` == 1", Compare("a-b`c", "==", 1)),
    ("author.name == 'x'", Compare("author.name", "==", "x")),
    ("_größe2 == 1", Compare("_größe2", "==", 1)),
]


@pytest.mark.parametrize(("text", "expr"), READS)
def test_reads(text: str, expr: Expr) -> None:
    assert parse_filter(text) == expr


MISTAKES: list[tuple[str, int, str]] = [
    ("", 0, "pass None"),
    ("   ", 3, "empty"),
    ("x", 1, "x == true"),
    ("active and x == 1", 7, "active == true"),
    ("x == libs", 5, "text goes in quotes: 'libs'"),
    ("x == `libs`", 5, "backquotes name fields"),
    ("x ==", 4, "expected a value after `==`, found the end"),
    ("x == and", 5, "expected a value"),
    ("x == 1 y == 2", 7, "expected `and`, `or` or the end, found `y`"),
    ("x == True and 1", 14, "1 is a value, not a condition"),
    ("x => 5", 2, "did you mean `>=`"),
    ("x =< 5", 2, "did you mean `<=`"),
    ("x === 5", 2, "did you mean `==`"),
    ("x !== 5", 2, "did you mean `!=`"),
    ("(x == 1", 0, "this `(` is never closed"),
    ("(x == 1 x == 2)", 8, "expected `and`, `or` or `)`"),
    ("x == 1)", 6, "closes nothing"),
    ("()", 1, "expected a condition, found `)`"),
    ("x == 'abc", 5, "never closed"),
    ('x == "abc', 5, "never closed"),
    ("`x == 1", 0, "this backquoted name is never closed"),
    ("`` == 1", 0, "cannot be empty"),
    ("my-field == 1", 2, "backquotes"),
    ("x == 1 & y == 1", 7, "`and`"),
    ("x == 1 | y == 1", 7, "`or`"),
    ("~x == 1", 0, "`not`"),
    ("x == “libs”", 5, "straight quotes"),
    ("x == 1; drop", 6, "one condition"),
    ("x like 'a%'", 2, "the comparisons are"),
    ("x betwen 1 and 2", 2, "did you mean `between`"),
    ("x in 5", 5, "list after `in`"),
    ("x in (1 2)", 8, "expected `,` or `)`, found 2"),
    ("x in (1, 2", 5, "this `(` is never closed"),
    ("x in (1, 2]", 10, "expected `,` or `)`"),
    ("x in (1,)", 8, "expected a value in the list"),
    ("x in (1, null)", 9, "test for it with `is null`"),
    ("x in (y)", 6, "'y'"),
    ("1 < x < 5", 6, "do not chain"),
    ("x == 1 == 2", 7, "do not chain"),
    ("(1 < x < 5)", 7, "do not chain"),
    ("1 == 2", 5, "one side of a comparison is a field"),
    ("x == 12abc", 5, "malformed number"),
    ("x == 1_000", 5, "malformed number"),
    ("x == 0x10", 5, "malformed number"),
    ("x == 1e999", 5, "write `inf`"),
    ("x == " + "9" * 400, 5, "a number of 400 digits"),
    ("x == " + "9" * 310, 2, "1,024"),
    ("x > null", 2, "is null"),
    ("x is 5", 5, "expected `null`"),
    ("x is not 5", 9, "expected `null`"),
    ("x not 5", 6, "expected `in` or `between`"),
    ("x between 1 or 2", 12, "upper bound"),
    ("x between null and 2", 10, "is null"),
    ("not", 3, "expected a condition, found the end"),
    ("in == 5", 0, "keyword"),
    (r"x == 'a\q'", 7, r"unknown escape `\q`"),
    (r"x == 'a\U00110000'", 7, "unknown escape"),
    (r"x == '\ud83d'", 5, "lone surrogate"),
    ("x == '\ud83d'", 2, "lone surrogate"),
    ("x == x'0'", 5, "hexadecimal"),
    ("x == date 'today'", 10, "ISO 8601"),
    ("x == timestamp '0001-01-01T00:00:00+14:00'", 2, "outside the years"),
    ("x == 1 and\ny == libs", 16, "'libs'"),
]


@pytest.mark.parametrize(("text", "position", "fragment"), MISTAKES)
def test_a_mistake_is_pointed_at(text: str, position: int, fragment: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)
    assert caught.value.position == position
    assert fragment in str(caught.value)


def test_the_caret_stands_under_the_mistake_also_in_long_text() -> None:
    text = " and ".join(f"field_{i} == {i}" for i in range(50)) + " and year => 5\nor x == 1"
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text)
    _, shown, caret = str(caught.value).split("\n")
    assert shown[caret.index("^") :].startswith("=> 5")
    assert len(shown) < 140
    assert shown.strip().startswith("...")
    assert text[caught.value.position or 0 :].startswith("=> 5")


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from([*"xy'\"`()[],=<>!&|-.5e\\ \n", " and ", " in ", " not "])).map("".join),
    )
)
@example("x in (" * 40)
@example("'" + "''" * 500)
def test_any_text_is_read_or_refused(text: str) -> None:
    position: int | None = 0
    try:
        expr = parse_filter(text)
    except FilterSyntaxError as error:
        position = error.position
    else:
        assert parse_filter(str(expr)) == expr
    assert position is not None
    assert 0 <= position <= len(text)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("(" * 33 + "x == 1" + ")" * 33, "nested more than 32"),
        ("(" * 1_000_000, "nested more than 32"),
        ("not " * 33 + "x == 1", "more than 32"),
        ("not " * 1_000_000 + "x == 1", "more than 32"),
        ("not " * 32 + "x == 1", "33 levels deep"),
        ("! (" * 20 + "x == 1 and y == 1" + ")" * 20 + " or z == 1", None),
        (" or ".join(["x == 1"] * 1_024), "1,025 nodes"),
        (" or ".join(["x == 1"] * 1_023), None),
        (" or ".join(["x == 1"] * 100_000), "more than 1,024 conditions"),
        (f"x in ({', '.join(['1'] * 10_000)})", None),
        (f"x in ({', '.join(['1'] * 10_001)})", "more than 10,000 values"),
    ],
)
def test_limits(text: str, fragment: str | None) -> None:
    if fragment is None:
        assert parse_filter(text) is not None
        return
    with pytest.raises(FilterSyntaxError, match=fragment):
        parse_filter(text)


def test_the_three_spellings_make_one_expression() -> None:
    text = parse_filter(
        "year >= 2020 and year < 2024 and (author == 'Alice' or not tag in ('x', 'y')) and note is null"
    )
    spelled = parse_filter(
        {
            "year": {"$gte": 2020, "$lt": 2024},
            "$or": [{"author": "Alice"}, {"tag": {"$nin": ["x", "y"]}}],
            "note": None,
        }
    )
    year = field("year")
    built = (year >= 2020) & (year < 2024)
    built &= (field("author") == "Alice") | ~field("tag").is_in(["x", "y"])
    built &= field("note").is_null()
    assert text == spelled == built
    assert hash(text) == hash(spelled) == hash(built)
