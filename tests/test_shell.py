"""The shell without a terminal: statements, answers of both engines, sessions, completion."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
import vego
from vego.cli import main
from vego.errors import FilterSyntaxError, VegoError
from vego_tools.shell import console, duck
from vego_tools.shell.catalog import open_catalog
from vego_tools.shell.complete import candidates
from vego_tools.shell.errors import StatementError
from vego_tools.shell.help import COMMANDS, TOPICS
from vego_tools.shell.session import ENGINES, Session, Settings

ROOT = Path(__file__).resolve().parents[1]
ROWS = 3_000
AVAILABLE = [name for name in ENGINES if name != "duckdb" or duck.installed()]


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    """Two collections: one of many files and the log, with deletions and keys of several types, one small."""
    path = tmp_path_factory.mktemp("shell") / "db"
    vectors = np.random.default_rng(0).standard_normal((ROWS, 8)).astype(np.float32)
    with vego.open(path, dimension=8) as db:
        notes = db.collection("notes")
        for start in (0, ROWS // 2):
            rows = range(start, start + ROWS // 2)
            notes.insert_batch(
                ids=[f"n{row}" for row in rows],
                vectors=vectors[rows.start : rows.stop],
                metadata={
                    "year": [2000 + row % 25 for row in rows],
                    "tag": [("red", "green", "it's", None)[row % 4] for row in rows],
                    "mixed": [row if start else str(row) for row in rows],
                },
            )
        notes.insert(id="late", vector=vectors[5], metadata={"year": 1999, "extra": {"a": [1, 2]}})
        notes.delete_batch(["n3", f"n{ROWS - 1}"])
        db.collection("Empty place".replace(" ", "-")).insert(id="x", vector=[1] * 8)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A directory of two files."""
    path = tmp_path_factory.mktemp("files")
    columns = {
        "id": list(range(ROWS)),
        "price": [None if row % 10 == 0 else row / 8 for row in range(ROWS)],
        "name": [f"item {row % 7}" for row in range(ROWS)],
        "two words": [row % 2 == 0 for row in range(ROWS)],
    }
    lance_fmt.write(path / "sales.lfmt", columns, metadata={"origin": "here"})
    lance_fmt.write(path / "other-table.lfmt", {"id": [1, 2], "label": ["one", "two"]})
    return path


class Asked:
    """A session that is asked and answers in JSON, or in what else it is told to."""

    def __init__(self, path: Path, engine: str = "vego", mode: str = "json") -> None:
        self.out = io.StringIO()
        self.session = Session(open_catalog(path), self.out, Settings(mode, engine=engine))

    def text(self, statement: str) -> str:
        self.out.seek(0)
        self.out.truncate()
        self.session.run(statement)
        return self.out.getvalue()

    def __call__(self, statement: str) -> list[dict]:
        return json.loads(self.text(statement), parse_constant=pytest.fail)


@pytest.fixture
def opened():
    """Opens sessions, and closes them."""
    sessions = []

    def open_one(path: Path, engine: str = "vego", mode: str = "json") -> Asked:
        sessions.append(Asked(path, engine, mode))
        return sessions[-1]

    yield open_one
    for one in sessions:
        one.session.close()


@pytest.fixture(params=AVAILABLE)
def ask(request, database, opened):
    return opened(database, request.param)


@pytest.fixture(params=AVAILABLE)
def ask_files(request, files, opened):
    return opened(files, request.param)


# -- answers, the same from both engines ---------------------------------------------------------------------


def test_rows_of_a_collection(ask):
    rows = ask("SELECT id, year, tag FROM notes")
    assert len(rows) == ROWS - 2 + 1
    assert rows[3] == {"id": "n4", "year": 2004, "tag": "red"}
    assert rows[-1] == {"id": "late", "year": 1999, "tag": None}
    assert ask("SELECT count(*) FROM notes WHERE year < 2002") == [
        {next(iter(ask("SELECT count(*) FROM notes")[0])): sum(r["year"] < 2002 for r in rows)}
    ]
    assert ask("SELECT id FROM notes WHERE tag = 'it''s' AND year BETWEEN 2010 AND 2012") == [
        {"id": r["id"]} for r in rows if r["tag"] == "it's" and 2010 <= r["year"] <= 2012
    ]
    assert (
        ask("SELECT id FROM NOTES WHERE tag IS NULL LIMIT 2 OFFSET 1")
        == [{"id": r["id"]} for r in rows if r["tag"] is None][1:3]
    )


def test_vectors_and_mixed_values_of_a_collection(ask):
    (row,) = ask("SELECT vector, extra FROM notes WHERE year = 1999")
    assert len(row["vector"]) == 8
    assert row["extra"] == {"a": [1, 2]} or json.loads(row["extra"]) == {"a": [1, 2]}
    assert set(map(str, (r["mixed"] for r in ask("SELECT mixed FROM notes WHERE year = 2001 LIMIT 1")))) <= {
        "1",
        '"1"',
    }


def test_rows_of_a_file(ask_files):
    rows = ask_files('SELECT id, price, "two words" FROM sales')
    assert rows[:2] == [
        {"id": 0, "price": None, "two words": True},
        {"id": 1, "price": 0.125, "two words": False},
    ]
    assert len(rows) == ROWS
    expected = [
        {"id": r["id"]} for r in rows if r["price"] is not None and not r["price"] < 360 and r["id"] % 7 == 3
    ]
    assert expected
    assert ask_files("SELECT id FROM sales WHERE NOT price < 360 AND name IN ('item 3')") == expected
    assert (
        ask_files("SELECT id FROM sales WHERE NOT price < 360 AND name IN ('item 3') LIMIT 3 OFFSET 2")
        == expected[2:5]
    )
    assert ask_files("SELECT id FROM sales LIMIT 3 OFFSET 1500") == [{"id": n} for n in (1500, 1501, 1502)]
    assert ask_files('SELECT * FROM "other-table"') == [{"id": 1, "label": "one"}, {"id": 2, "label": "two"}]
    assert ask_files("SELECT id FROM sales LIMIT 0") == []


def test_limits_count_across_batches(files, monkeypatch, opened):
    monkeypatch.setattr("vego_tools.shell.catalog._BATCH", 70)
    monkeypatch.setattr("vego_tools.shell.catalog._FIRST_BATCH", 7)
    ask = opened(files)
    even = [number for number in range(ROWS) if number % 2 == 0]
    for start, count in ((0, 3), (30, 10), (34, 1), (35, 1), (69, 71), (1400, 500), (5000, 1)):
        found = ask(f"SELECT id FROM sales WHERE `two words` = true LIMIT {count} OFFSET {start}")
        assert [row["id"] for row in found] == even[start : start + count]
        found = ask(f"SELECT id FROM sales LIMIT {count} OFFSET {start}")
        assert [row["id"] for row in found] == list(range(ROWS))[start : start + count]


def test_the_same_column_twice(ask_files):
    (row,) = ask_files("SELECT id, id FROM sales LIMIT 1")
    assert list(row.values()) == [0, 0]


@pytest.mark.skipif(not duck.installed(), reason="needs duckdb")
def test_all_of_sql_where_duckdb_is_installed(files, monkeypatch, opened):
    ask = opened(files, "duckdb")
    assert ask(
        'SELECT label, count(*) AS n FROM sales JOIN "other-table" o ON o.id = sales.id % 3 GROUP BY ALL ORDER BY 1'
    ) == [{"label": "one", "n": 1000}, {"label": "two", "n": 1000}]
    assert ask("WITH few AS (SELECT * FROM sales LIMIT 7) SELECT count(*) AS n FROM few a, few b") == [
        {"n": 49}
    ]
    assert any("scan" in row["plan"].lower() for row in ask("EXPLAIN SELECT id FROM sales"))
    with pytest.raises(StatementError, match="nowhere does not exist; tables here: other-table, sales"):
        ask("SELECT * FROM nowhere")
    with pytest.raises(StatementError, match="Parser Error"):
        ask("SELEC 1")
    monkeypatch.setattr(duck, "secret", lance_fmt.Table.of({"a": [1]}).to_arrow(), raising=False)
    with pytest.raises(StatementError, match="secret does not exist"):  # variables of Python are no tables
        ask("SELECT * FROM secret")


def test_without_duckdb_the_way_out_is_named(files, monkeypatch, opened):
    ask = opened(files, "vego")
    with pytest.raises(StatementError, match=r"pip install 'vego\[duckdb\]'"):
        ask("SELECT name, count(*) FROM sales GROUP BY name")
    monkeypatch.setattr(duck, "installed", lambda: False)
    with pytest.raises(StatementError, match=r"pip install 'vego\[duckdb\]'"):
        ask(".engine duckdb")
    ask.session.settings.engine = "duckdb"
    with pytest.raises(StatementError, match="SQL needs DuckDB"):
        ask("SELECT 1")


def test_search_is_what_the_collection_answers(database, opened):
    ask = opened(database)
    with vego.open(database, read_only=True) as db:
        notes = db.collection("notes")
        near = notes.get("n7")
        hits = notes.search(near.vector, 4, filter="year >= 2010")
        exact = notes.search([0.5] * 8, 3, exact=True)
        plan = notes.explain(near.vector, 4, filter="year >= 2010")
    found = ask("SEARCH notes NEAR 'n7' K 4 SHOW year WHERE year >= 2010")
    assert [row["id"] for row in found] == hits.ids
    assert [row["rank"] for row in found] == [1, 2, 3, 4]
    assert [row["distance"] for row in found] == pytest.approx(hits.distances.tolist(), rel=1e-6)
    assert all(row["year"] >= 2010 and set(row) == {"rank", "id", "distance", "year"} for row in found)
    text = "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]"
    assert [row["id"] for row in ask(f"SEARCH notes NEAR {text} K 3 EXACT")] == exact.ids
    explained = {
        row["name"]: row["value"] for row in ask(".explain SEARCH notes NEAR 'n7' K 4 WHERE year >= 2010;")
    }
    assert explained == {
        "strategy": plan.strategy, "reason": plan.reason, "rows": plan.rows, "matches": plan.matches,
        "indexed": plan.indexed, "ef": plan.ef,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SEARCH noets NEAR 'n1'", "no table 'noets' in .*did you mean 'notes'"),
        ("SEARCH notes NEAR 'zzz'", "no document of that id in notes"),
        ("SEARCH notes NEAR [1, 2]", "dimension 2, the collection has 8"),
        ("SEARCH notes NEAR 'n1' SHOW nope", "no such key in notes"),
        ("SEARCH notes NEAR 'n1' WHERE yeer > 1", "did you mean 'year'"),
        ("SEARCH notes NEAR 'n1' K 0", "k must be an integer from 1"),
        ("SELECT yeer FROM notes", "did you mean 'year'"),
        ("SELECT id FROM notes WHERE year >", "expected"),
        (".schema nope", "no table 'nope'"),
        (".schme", r"did you mean `\.schema`"),
        (".zzz", r"`\.help` lists them"),
        (".mode jsn", "did you mean json"),
        (".rows many", "give a number, or all"),
        (".get", "which document"),
        (".get nobody notes", "no document 'nobody'"),
        (".head", "which table"),
        (".help nothing", "the topics are statements"),
        (".open /no/such/place", "not a Vego database"),
    ],
)
def test_mistakes_name_the_way_out_and_the_session_goes_on(statement, message, database, opened):
    ask = opened(database)
    with pytest.raises(VegoError, match=message):
        ask(statement)
    assert ask("SELECT count(*) FROM notes") == [{"count": ROWS - 1}]


def test_search_needs_a_collection(files, opened):
    with pytest.raises(StatementError, match="needs a collection of a database; sales is a file"):
        opened(files)("SEARCH sales NEAR [1]")


def test_a_filter_of_a_file_is_pushed_into_it_and_explained(files, opened):
    ask = opened(files)
    explained = {
        row["name"]: row["value"] for row in ask("EXPLAIN SELECT id FROM sales WHERE id < 5 LIMIT 2")
    }
    assert explained["scan"] == f"file sales, {ROWS:,} rows"
    assert "pushed into the file" in explained["filter"]
    with pytest.raises(FilterSyntaxError):
        ask("SELECT id FROM sales WHERE id <")


# -- dot commands ----------------------------------------------------------------------------------------------


def test_tables_schema_stats_head_get(database, files, opened):
    ask = opened(database)
    assert (
        ask(".tables")
        == ask(".collections")
        == [
            {"name": "Empty-place", "kind": "collection", "rows": 1, "columns": 2},
            {"name": "notes", "kind": "collection", "rows": ROWS - 1, "columns": 6},
        ]
    )
    assert {row["column"]: row["type"] for row in ask(".schema notes")} == {
        "id": "string", "vector": "vector<float32, 8>", "year": "int64", "tag": "string", "mixed": "json",
        "extra": "json",
    }  # fmt: skip
    assert {row["table"] for row in ask(".schema")} == {"Empty-place", "notes"}
    assert {row["name"]: row["value"] for row in ask(".stats notes")}["documents"] == ROWS - 1
    assert [row["id"] for row in ask(".head notes 3")] == ["n0", "n1", "n2"]
    document = {row["name"]: row["value"] for row in ask(".get late notes")}
    assert (document["id"], document["year"], document["extra"]) == ("late", 1999, {"a": [1, 2]})
    of_files = opened(files)
    stats = {row["name"]: row["value"] for row in of_files(".stats sales")}
    assert (stats["rows"], stats["metadata origin"]) == (ROWS, "here")
    assert stats["bytes"] == (files / "sales.lfmt").stat().st_size
    assert len(of_files(".head sales")) == 10


def test_every_command_is_carried_out_helped_and_documented(database, tmp_path, opened):
    ask = opened(database, mode="table")
    arguments = {
        "schema": "notes", "stats": "notes", "head": "notes", "get": "n1 notes", "explain": "SEARCH notes NEAR 'n1'",
        "mode": "table", "rows": "5", "timer": "on", "engine": "vego", "open": str(database),
        "output": str(tmp_path / "x"),
    }  # fmt: skip
    shown = ask.text(".help")
    guide = (ROOT / "docs/shell.md").read_text()
    for about in COMMANDS:
        assert f".{about.name}" in shown
        for name in (about.name, *about.aliases):
            assert f"`.{name}" in guide, f".{name} is not in docs/shell.md"
            ask.text(f".{name} {arguments.get(name, '')}")
        if about.name == "output":
            ask.text(".output")
    assert ask.session.done
    for topic, text in TOPICS.items():
        assert ask.text(f".help {topic}") == text
        assert f"`{topic}`" in guide


def test_open_and_refresh(database, files, tmp_path, opened):
    ask = opened(files)
    ask.text(f".open {database}")
    assert "notes" in ask.session.catalog.relations
    with vego.open(tmp_path / "live", dimension=2) as db:
        db.collection("a").insert(id="1", vector=[1, 2])
        for engine in AVAILABLE:
            ask = opened(tmp_path / "live", engine)
            before = len(ask("SELECT id FROM a"))
            db.collection("a").insert(vector=[1, 3])
            db.collection(f"new-{engine}").insert(vector=[1, 3])
            assert len(ask("SELECT id FROM a")) == before
            ask.text(".refresh")
            assert len(ask("SELECT id FROM a")) == before + 1
            assert f"new-{engine}" in {row["name"] for row in ask(".tables")}
            ask.session.close()


def test_a_shell_changes_nothing(database, opened):
    before = {path: path.stat().st_mtime_ns for path in database.rglob("*")}
    ask = opened(database)
    ask("SEARCH notes NEAR 'n1'")
    ask("SELECT * FROM notes LIMIT 1")
    ask.session.close()
    assert {path: path.stat().st_mtime_ns for path in database.rglob("*")} == before


# -- output --------------------------------------------------------------------------------------------------


def test_output_appears_whole_or_not_at_all(files, tmp_path, opened):
    ask = opened(files, mode="csv")
    out = tmp_path / "out.csv"
    ask.text(f".output {out}")
    assert ask.text("SELECT id, name FROM sales LIMIT 2") == ""
    assert not out.exists()
    ask.text(".output")
    assert out.read_text() == "id,name\n0,item 0\n1,item 1\n"
    for wrong in (out, tmp_path):
        with pytest.raises(StatementError, match="exists already"):
            ask.text(f".output {wrong}")
    ask.text(f".output {out} --overwrite")
    ask.text("SELECT id FROM sales LIMIT 1")
    ask.session.close(failed=True)
    assert out.read_text() == "id,name\n0,item 0\n1,item 1\n"
    ask = opened(files, mode="csv")
    ask.text(f".output {out} --overwrite")
    ask.text("SELECT id FROM sales LIMIT 1")
    ask.session.close()
    assert out.read_text() == "id\n0\n"
    assert list(tmp_path.iterdir()) == [out]


def test_a_script_that_fails_leaves_no_output(files, tmp_path, capsys):
    out = tmp_path / "x.json"
    arguments = [
        "shell",
        str(files),
        "--json",
        "-c",
        f".output {out}",
        "-c",
        "SELECT * FROM sales; SELECT nope FROM sales",
    ]
    assert main(arguments) == 2
    assert "nope" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# -- the command -----------------------------------------------------------------------------------------------


def test_standard_input_is_a_script(files, monkeypatch, capsys):
    script = (
        ".mode csv\nSELECT id\nFROM sales -- ; not the end\nLIMIT 2;"
        'SELECT label FROM "other-table"\n\n.quit\nSELECT nonsense;'
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(script))
    assert main(["shell", str(files)]) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("id\n0\n1\nlabel\none\ntwo\n", "")


def test_the_first_error_ends_a_script_with_status_2(files, capsys):
    arguments = [
        "-c",
        "SELECT id FROM sales LIMIT 1",
        "-c",
        "SELECT x FROM nowhere",
        "-c",
        "SELECT id FROM sales",
    ]
    assert main(["shell", str(files), "--mode", "csv", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == "id\n0\n"
    assert shown.err.startswith("vego: ")
    assert shown.err.count("\n") == 1


def test_what_can_be_opened(database, files, tmp_path, monkeypatch, capsys, opened):
    def tables(*path: str) -> list[str]:
        assert main(["shell", *path, "--json", "-c", ".tables"]) == 0
        return [row["name"] for row in json.loads(capsys.readouterr().out)]

    assert tables(str(database)) == ["Empty-place", "notes"]
    assert tables(str(files)) == ["other-table", "sales"]
    assert tables(str(files / "sales.lfmt")) == ["sales"]
    monkeypatch.chdir(tmp_path)
    assert tables() == []
    monkeypatch.chdir(files)
    assert tables() == ["other-table", "sales"]
    (tmp_path / "bad.lfmt").write_bytes(b"not a file of this format" * 10)
    for wrong, message in (("bad.lfmt", "bad.lfmt"), ("none", "not a Vego database")):
        assert main(["shell", str(tmp_path / wrong), "-c", ".tables"]) == 2
        assert message in capsys.readouterr().err


def test_a_damaged_file_is_told_when_it_is_asked(files, tmp_path, capsys):
    data = bytearray((files / "sales.lfmt").read_bytes())
    with lance_fmt.open(files / "sales.lfmt") as file:
        data[file.column("name").pages[0].offset + 3] ^= 1
    (tmp_path / "sales.lfmt").write_bytes(data)
    for engine in AVAILABLE:
        assert main(["shell", str(tmp_path), "--engine", engine, "-c", "SELECT name FROM sales"]) == 2
        assert "checksum" in capsys.readouterr().err


# -- gathering lines -------------------------------------------------------------------------------------------


def test_lines_make_statements():
    gatherer = console.Gatherer()
    assert gatherer.add("  .tables  ") == [".tables"]
    assert gatherer.add("select 'a\n") == []
    assert gatherer.waiting
    assert gatherer.add("\n") == []  # within the text
    assert gatherer.add(".not a command'\n") == []
    assert gatherer.add("\n") == ["select 'a\n\n.not a command'"]
    assert not gatherer.waiting
    assert gatherer.add("a; b; c") == ["a", "b"]
    assert gatherer.finish() == ["c"]
    assert gatherer.finish() == []
    assert gatherer.add("") == []
    assert gatherer.add("select 1 /* a\n") == gatherer.add("\n") == []  # within a comment
    assert gatherer.add("*/;\n") == ["select 1 /* a\n\n*/"]


# -- completion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sel", ["select"]),
        ("SEL", ["SELECT"]),
        ("", ["SELECT", "SEARCH", "EXPLAIN", "WITH", "DESCRIBE", "SUMMARIZE"]),
        ("EXPLAIN SEA", ["SEARCH"]),
        ("select * from ", ['"Empty-place"', "notes"]),
        ("select * from no", ["notes"]),
        ('select * from "em', ['"Empty-place"']),
        ("search no", ["notes"]),
        ("search notes ne", ["near"]),
        ("search notes near 'n1' where ye", ["year"]),
        ("select ye from notes where ta", ["tag"]),
        ("select * from notes where tag = 're", []),
        (".he", [".help", ".head"]),
        (".schema ", ["Empty-place", "notes"]),
        (".mode js", ["json", "jsonl"]),
        (".engine d", ["duckdb"]),
        (".timer o", ["on", "off"]),
        (".explain search no", ["notes"]),
        (".help se", ["search"]),
    ],
)
def test_completion_offers_what_fits(text, expected, database):
    with open_catalog(database) as catalog:
        found, typed = candidates(text, catalog)
    assert [word for word in found if word in expected] == expected
    if text.endswith(("no", "ye", "ta", "sel", "SEL", "ne", ".he", "em", "SEA", "js", "'re")):
        assert found == expected
    assert text.endswith(text[len(text) - typed :])


def test_completion_of_paths_and_of_columns_that_need_quotes(files):
    with open_catalog(files) as catalog:
        found, typed = candidates(f".open {files}/", catalog)
        assert found == [f"{files}/other-table.lfmt", f"{files}/sales.lfmt"]
        assert typed == len(f"{files}/")
        assert (
            '"two words"'
            in candidates("select tw", catalog)[0] + candidates("select * from sales where tw", catalog)[0]
        )
