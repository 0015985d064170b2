"""What files, tables, databases and answers show of themselves: informative, escaped, bounded, and read for cheaply."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import numpy as np
import pytest

import lance_fmt
import vego
from lance_fmt.display import value_text

EVIL = '<script>alert("x")</script>&\x1b[31m\n\u202e'
LARGEST = 60_000  # characters of any HTML shown


class Page(HTMLParser):
    """Texts, cells by row, and tags of HTML that is well-formed: every tag but void ones is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self._open and self._open[-1] != "style":
            self.texts.append(data)


def page(thing) -> Page:
    html = thing._repr_html_()
    assert len(html) < LARGEST
    body = html.partition("</style>")[2]
    assert body.isprintable()
    assert "<script" not in body
    found = Page(html)
    assert found.tags <= {"style", "div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    return found


def bounded(thing, limit: int = 2_000) -> str:
    text = repr(thing)
    assert len(text) <= limit
    assert "\x1b" not in text
    return text


class CountingSource:
    """A file in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.name = f"{EVIL}.lfmt"
        self.data = data
        self.read = 0

    def read_at(self, offset: int, length: int) -> bytes:
        self.read += length
        return self.data[offset : offset + length]

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


# -- files and tables ----------------------------------------------------------------------------------


def test_a_file_shows_its_schema_and_reads_no_values(tmp_path):
    rows = 200_000
    path = tmp_path / "x.lfmt"
    columns = {EVIL: np.arange(rows), "price": np.random.default_rng(0).random(rows)}
    lance_fmt.write(path, columns, metadata={EVIL: EVIL * 1000})
    source = CountingSource(path.read_bytes())
    with lance_fmt.open(source) as file:
        before = source.read
        shown = page(file)
        text = bounded(file)
        assert source.read == before
    assert [row[1:3] for row in shown.rows[1:]] == [[value_text(EVIL), "int64"], ["price", "float64"]]
    facts = " ".join(shown.texts)
    assert "200,000 rows" in facts
    assert f"{len(source.data):,} bytes" in facts
    assert "<script>" in shown.texts[0]  # as text
    assert "200000 rows, 2 columns" in text


def test_wide_schemas_and_tables_are_cut_and_say_so():
    wide = lance_fmt.Table.of({f"column {n}": [n] for n in range(10_000)})
    for thing in (wide, wide.schema):
        bounded(thing)
        shown = page(thing)
        assert "9,9" in shown.texts[-1]
        assert "more columns" in shown.texts[-1]
    assert "9,980 more" in repr(wide)
    assert "9,950 more" in repr(wide.schema)


def test_a_table_shows_its_first_rows_with_types():
    table = lance_fmt.Table.of(
        {
            "id": list(range(1000)),
            "text": [EVIL, None, "x" * 10_000, *["plain"] * 997],
            "vector": np.arange(4000, dtype=np.float32).reshape(1000, 4, order="C"),
            "nested": [{"a": [1, 2, None], "b": EVIL}] * 1000,
        }
    )
    shown = page(table)
    assert shown.rows[0] == ["", "id", "text", "vector", "nested"]
    assert shown.rows[1][:4] == ["", "int64", "string", "vector<float32, 4>"]
    assert len(shown.rows) == 2 + 10
    assert shown.rows[2][1:4] == ["0", value_text(EVIL), "[0, 1, 2, 3]"]
    assert shown.rows[3][2] == "null"
    assert len(shown.rows[4][2]) == 60
    assert shown.rows[4][2].endswith("…")
    assert "990 more rows" in shown.texts[-1]
    assert page(lance_fmt.Table({})).rows == [[""], [""]]


def test_columns_of_every_kind_show_themselves():
    values = {
        "bool": [True, None],
        "bytes": [b"\x00\xff", None],
        "list": [[1, None, 3], []],
        "json": [{"a": 1}, [EVIL]],
        "text": [EVIL, ""],
    }
    for name, rows in values.items():
        column = lance_fmt.Column.from_pylist(
            rows, lance_fmt.json() if name == "json" else lance_fmt.infer_type(rows)
        )
        shown = page(column)
        assert [row[1] for row in shown.rows[1:]] == [value_text(value) for value in rows]
        assert f"Column<{column.type}>[2]" in bounded(column)
    many = page(lance_fmt.Column.from_numpy(np.arange(1000)))
    assert [row[1] for row in many.rows[1:]] == [str(number) for number in range(10)]
    assert many.texts[-1] == "… 990 more rows"
    assert "1 null" in " ".join(page(lance_fmt.Column.from_pylist([1, None], lance_fmt.int8())).texts)


def test_large_values_are_named_and_not_decoded(monkeypatch):
    column = lance_fmt.Column.from_pylist(["x" * (2 << 20), "y"], lance_fmt.string())
    decoded = []
    plain = lance_fmt.Column.to_pylist
    monkeypatch.setattr(
        lance_fmt.Column, "to_pylist", lambda self: decoded.append(self.nbytes) or plain(self)
    )
    assert "bytes of string>" in page(column).rows[1][1]
    assert "'y'" in bounded(column)
    assert max(decoded) < 100
    vectors = lance_fmt.Column.from_numpy(np.zeros((3, 1 << 16), np.float32))
    bounded(vectors)
    page(vectors)


# -- database, collection, documents, hits -------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    with vego.open(tmp_path / "db", dimension=4) as db:
        notes = db.collection("notes")
        vectors = np.random.default_rng(0).standard_normal((300, 4))
        metadata = {
            "text": [EVIL] * 300,
            "year": list(range(300)),
            "long": ["z" * 5_000] * 300,
            **{f"key {n}": [n] * 300 for n in range(30)},
        }
        notes.insert_batch(ids=[f"{EVIL}{n}" for n in range(300)], vectors=vectors, metadata=metadata)
        yield db


def test_database_and_collection(database):
    assert page(database).rows == [["collection"], ["notes"]]
    assert "1 collection ·" in " ".join(page(database).texts)
    assert "open for writing" in " ".join(page(database).texts)
    notes = database.collection("notes")
    shown = page(notes)
    assert ["year", "int64"] in shown.rows
    assert ["vector", "vector<float32, 4>"] in shown.rows
    assert "300 documents" in " ".join(shown.texts)
    assert "no graph: searches are exact" in " ".join(shown.texts)
    assert "300 documents, 4 x cosine" in bounded(notes)
    empty = database.collection("empty")
    assert "0 documents" in " ".join(page(empty).texts)
    database.close()
    assert "closed" in " ".join(page(database).texts)
    assert "closed" in " ".join(page(notes).texts)
    assert "closed" in bounded(database)


def test_a_database_of_many_collections_opens_none_of_them(tmp_path, monkeypatch):
    with vego.open(tmp_path / "db", dimension=2) as db:
        for number in range(60):
            db.collection(f"c{number:02}")
    with vego.open(tmp_path / "db", read_only=True) as db:
        monkeypatch.setattr(vego.Database, "collection", lambda *_: pytest.fail("opened a collection"))
        assert len(page(db).rows) == 51
        assert "10 more collections" in page(db).texts[-1]
        assert "40 more" in bounded(db)


def test_hits_and_documents(database):
    notes = database.collection("notes")
    hits = notes.search([1, 2, 3, 4], k=100)
    shown = page(hits)
    assert shown.rows[0][:5] == ["", "distance", "id", "text", "year"]
    assert len(shown.rows) == 1 + 20
    assert shown.rows[1][1] == f"{hits[0].distance:.4f}"
    assert shown.rows[1][4] == str(hits[0].metadata["year"])
    assert shown.texts[-1] == "… 80 more hits, … 25 more keys"
    (nearest,) = page(notes.search(hits[0].vector, k=1)).rows[1:]
    assert nearest[1] == "0.0000"
    assert "distance 0.0000" in " ".join(page(dataclasses.replace(hits[0], distance=-1e-9)).texts)
    assert "... 90 more" in bounded(hits)
    assert all(len(line) < 200 for line in repr(hits).splitlines())
    document = hits[0].document
    for thing in (document, hits[0]):
        assert ["year", str(document.metadata["year"])] in page(thing).rows
        assert any(len(row[1]) == 200 for row in page(thing).rows)
        bounded(thing)
    assert "year=" in repr(document) or "text=" in repr(document)
    assert "0 hits" in page(notes.search([1, 2, 3, 4], filter="year > 1000")).texts[0]
    assert "vector=None" in bounded(vego.Document("a"))
    assert page(vego.Document("a", [1, 2], {})).texts[-1] == "vector [1, 2]"
