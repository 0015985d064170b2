"""What is typed into the shell: where statements end, and what they say."""

from __future__ import annotations

import pytest

from vego_tools.shell.errors import StatementError
from vego_tools.shell.statements import Command, Explain, Search, Select, Sql, parse, parse_select, split


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("select 1;", ["select 1"], ""),
        ("select ';' ; select \";\" -- ; no\n;", ["select ';'", 'select ";" -- ; no'], ""),
        ("select 'it''s;' /* ; */ ; x", ["select 'it''s;' /* ; */"], " x"),
        ("select $$;$$; select $a$ ; $$ $a$;", ["select $$;$$", "select $a$ ; $$ $a$"], ""),
        ("select 'open;", [], "select 'open;"),
        ("select /* open;", [], "select /* open;"),
        (";; -- nothing\n;", [], ""),
        ("select `a;b` from t", [], "select `a;b` from t"),
    ],
)
def test_semicolons_end_statements_unless_quoted(text, statements, rest):
    assert split(text) == (statements, rest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SEARCH notes NEAR 'it''s'", Search("notes", None, "it's")),
        (
            "search `a b` near [1, -2.5,3e-1] k 3 ef 50 exact show a, \"b c\" where k > 5 and `show` = 'x'",
            Search("a b", (1.0, -2.5, 0.3), None, 3, 50, True, ("a", "b c"), "k > 5 and `show` = 'x'"),
        ),
        ("explain search n near 'a' k 2", Explain(Search("n", None, "a", 2))),
        ("Explain select 1", Explain(Sql("select 1"))),
        ("explain analyze select 1", Sql("explain analyze select 1")),
        (".head notes 5", Command("head", ("notes", "5"), "notes 5")),
        (".OUTPUT 'a b' --overwrite", Command("output", ("a b", "--overwrite"), "'a b' --overwrite")),
        (".get it's", Command("get", ("it's",), "it's")),
        ("from x", Sql("from x")),
    ],
)
def test_what_statements_say(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SEARCH", "expected the name of a collection after SEARCH: SEARCH >>> (the end)"),
        ("SEARCH notes", "expected NEAR and a vector or an id"),
        (
            "SEARCH notes NEAR 5",
            "expected a vector like [0.1, 0.2] or an 'id' after NEAR: SEARCH notes NEAR >>> 5",
        ),
        ("SEARCH notes NEAR []", "expected a number in the vector"),
        ("SEARCH notes NEAR [1 2]", "expected , or ] in the vector"),
        ("SEARCH notes NEAR [1, nan]", "expected a number in the vector"),
        ("SEARCH notes NEAR 'a' K x", "expected a whole number after K"),
        ("SEARCH notes NEAR 'a' K 1.5", "expected a whole number after K"),
        ("SEARCH notes NEAR 'a' WHERE", "expected a filter after WHERE"),
        ("SEARCH notes NEAR 'a' LIMIT 5", "expected K n, EF n, EXACT, SHOW names or WHERE filter"),
        ("SEARCH notes NEAR 'a", "this is never closed: SEARCH notes NEAR >>> 'a"),
        ("SELECT 1 /* and so on", "this is never closed: SELECT 1 >>> /* and so on"),
        ("SELECT $a$ $b$", "this is never closed: SELECT >>> $a$ $b$"),
    ],
)
def test_a_wrong_search_is_shown_where_it_is_wrong(text, message):
    with pytest.raises(StatementError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select * from t", Select("t", None)),
        ('select a, "b c" from `t t` limit 5', Select("t t", ("a", "b c"), None, 5)),
        ("SELECT count(*) FROM t WHERE limit > 5 LIMIT 3 OFFSET 2", Select("t", (), "limit > 5", 3, 2)),
        ("select a from t where (a > 1) or b = 'order by'", Select("t", ("a",), "(a > 1) or b = 'order by'")),
        ("select a from t order by a", None),
        ("select a+1 from t", None),
        ("select a from t where a > 1 group by a", None),
        ("select a from t join u", None),
        ("select 1", None),
        ("with x as (select 1) select * from x", None),
    ],
)
def test_the_select_that_needs_no_duckdb(text, expected):
    assert parse_select(text) == expected
