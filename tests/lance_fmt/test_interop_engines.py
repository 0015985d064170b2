"""Engines over files: they ask for columns and rows, and only pages that may hold those are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
from lance_fmt import CorruptFileError, File, FileSource, SchemaError
from lance_fmt.filter import Expression, field
from lance_fmt.optional import MissingPackageError
from tests.support.format_values import sample_columns

pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")

from lance_fmt.interop import arrow_scan, datafusion, duckdb, polars  # noqa: E402
from lance_fmt.interop.arrow_scan import ArrowScan  # noqa: E402
from lance_fmt.interop.dataset import Dataset  # noqa: E402
from lance_fmt.interop.expressions import translate  # noqa: E402

ROWS = 600_000  # five pages of eight bytes a row


class CountingSource(FileSource):
    """Remembers what was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return super().read_at(offset, length)


class Counted:
    """An open file, and which data pages of a column were read since the last look."""

    def __init__(self, path: Path) -> None:
        self.source = CountingSource(path)
        self.file: File = lance_fmt.open(self.source)

    def pages(self) -> dict[str, list[int]]:
        reads, self.source.reads = self.source.reads, []
        found: dict[str, list[int]] = {}
        for name in self.file.schema.names:
            for number, page in enumerate(self.file.column(name).pages):
                end = page.offset + page.length
                if any(start < end and page.offset < start + length for start, length in reads):
                    found.setdefault(name, []).append(number)
        self.source.reads = []
        return found


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    path = tmp_path / "x.lfmt"
    random = np.random.default_rng(1)
    columns = {
        "n": np.arange(ROWS),
        "x": random.integers(0, 1 << 40, ROWS),
        "y": random.normal(size=ROWS),
        "word": random.choice(np.array(["red", "green", "blue"]), ROWS).tolist(),
    }
    lance_fmt.write(path, columns)
    found = Counted(path)
    assert len(found.file.column("n").pages) == 5
    found.pages()
    yield found
    found.file.close()


LAST = [4]


def test_dataset_reads_what_is_asked_for(counted: Counted) -> None:
    dataset = Dataset(counted.file, threads=1)
    assert counted.pages() == {}, "making one reads no values"
    table = dataset.to_table(columns=["x"], filter=pc.field("n") >= ROWS - 10)
    assert table["x"].to_pylist() == counted.file.read(["x"], slice(ROWS - 10, None))["x"].to_pylist()
    assert counted.pages() == {"n": LAST, "x": LAST}
    assert dataset.count_rows(pc.field("n") < 100) == 100
    assert counted.pages() == {"n": [0]}
    assert dataset.head(3, columns=["n"])["n"].to_pylist() == [0, 1, 2]
    assert counted.pages() == {"n": [0]}
    assert dataset.count_rows() == ROWS
    assert counted.pages() == {}
    assert dataset.take([5, 3], columns=["n"])["n"].to_pylist() == [5, 3]


def test_what_cannot_be_pushed_down_is_applied_anyway(counted: Counted) -> None:
    dataset = Dataset(counted.file, threads=2)
    odd = pc.bit_wise_and(pc.field("n"), 1) == 1
    table = dataset.to_table(columns=["word"], filter=(pc.field("n") > ROWS - 11) & odd)
    assert counted.pages() == {"n": LAST, "word": [len(counted.file.column("word").pages) - 1]}
    assert table.num_rows == 5
    assert table.column_names == ["word"]
    assert dataset.count_rows(odd) == ROWS // 2
    assert dataset.to_table(columns=[], filter=odd).num_rows == ROWS // 2


def test_duckdb_reads_what_it_needs(counted: Counted) -> None:
    engine = pytest.importorskip("duckdb")
    for private in (True, False):
        connection: Any = engine.connect()
        if private:
            duckdb.register(connection, "x", counted.file, threads=1)
        else:
            connection.register("x", Dataset(counted.file, threads=1))
        counted.pages()
        found = connection.execute(f"select sum(x) from x where n >= {ROWS - 10}").fetchall()
        assert counted.pages() == {"n": LAST, "x": LAST}
        assert found == [(sum(counted.file.read(["x"], slice(ROWS - 10, None))["x"].to_pylist()),)]
        counted.pages()
        assert connection.execute("select count(*) from x where y > 100").fetchall() == [(0,)]
        assert set(counted.pages()) <= {"y"}
        words = connection.execute("select word, count(*) from x group by word order by word").fetchall()
        assert [word for word, _ in words] == ["blue", "green", "red"]
        assert sum(count for _, count in words) == ROWS
        assert set(counted.pages()) == {"word"}
        connection.close()


def test_duckdb_knows_the_rows_and_keeps_useless_filters(counted: Counted) -> None:
    engine = pytest.importorskip("duckdb")
    connection: Any = engine.connect()
    if not hasattr(connection, "_register_arrow_source"):
        pytest.skip("this DuckDB takes pyarrow Datasets only")
    duckdb.register(connection, "x", counted.file, threads=1)
    plan = connection.execute("explain select n from x").fetchall()[0][1]
    assert "600,000" in plan or "600000" in plan
    # x is spread over all pages: taking the filter over would skip nothing.
    scan = connection.execute("explain select n from x where x < 1099511627000").fetchall()[0][1]
    assert "Filters" not in scan.split("PYTHON_ARROW_SCAN")[1]
    scan = connection.execute("explain select n from x where n < 1000").fetchall()[0][1]
    assert "Filters" in scan.split("PYTHON_ARROW_SCAN")[1]
    connection.close()


def test_duckdb_replacement_scan_and_arrow_out(counted: Counted) -> None:
    engine = pytest.importorskip("duckdb")
    connection: Any = engine.connect()
    data = Dataset(counted.file)
    relation = connection.sql("select n, word from data where n between 5 and 7")
    assert len(data.to_table(columns=["n"])) == ROWS
    assert lance_fmt.Table.from_arrow(relation).to_pydict()["n"] == [5, 6, 7]
    connection.close()


def test_polars_reads_what_it_needs(counted: Counted) -> None:
    pl = pytest.importorskip("polars")
    frame = polars.scan(counted.file, threads=1)
    counted.pages()
    found = frame.filter(pl.col("n") >= ROWS - 10).select("x").collect()
    assert counted.pages() == {"n": LAST, "x": LAST}
    assert found["x"].to_list() == counted.file.read(["x"], slice(ROWS - 10, None))["x"].to_pylist()
    counted.pages()
    assert frame.select("n").head(3).collect()["n"].to_list() == [0, 1, 2]
    assert counted.pages() == {"n": [0]}
    assert frame.filter(pl.col("n") > 10).select("n").head(2).collect()["n"].to_list() == [11, 12]
    assert frame.select(pl.len()).collect().item() == ROWS
    assert frame.head(0).collect().columns == counted.file.schema.names
    assert frame.filter(pl.col("n").is_between(5, 7), pl.col("word").str.contains("e")).collect().columns == (
        counted.file.schema.names
    )
    sliced = frame.select("n").slice(ROWS - 2).collect()["n"].to_list()
    assert sliced == [ROWS - 2, ROWS - 1]


def test_datafusion_reads_what_it_needs(counted: Counted) -> None:
    engine = pytest.importorskip("datafusion")
    context = engine.SessionContext()
    datafusion.register(context, "x", counted.file, threads=2)
    counted.pages()
    found = context.sql(f"select sum(x) as total from x where n >= {ROWS - 10}").to_pydict()
    assert counted.pages() == {"n": LAST, "x": LAST}
    assert found == {"total": [sum(counted.file.read(["x"], slice(ROWS - 10, None))["x"].to_pylist())]}
    assert context.sql("select count(*) as c from x").to_pydict() == {"c": [ROWS]}


@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_scans_of_every_type(tmp_path: Path, narrow: bool, threads: int) -> None:
    columns = sample_columns()
    table = lance_fmt.Table(columns)
    lance_fmt.write(tmp_path / "x.lfmt", table)
    with lance_fmt.open(tmp_path / "x.lfmt") as file:
        for rows in (7, 40, 1000):
            scan = ArrowScan(file, batch_rows=rows, threads=threads, narrow=narrow)
            found = pa.Table.from_batches(scan.batches(), scan.schema)
            found.validate(full=True)
            again = lance_fmt.Table.from_arrow(found)
            for name in columns:
                kind = columns[name].type
                if again[name].type != kind:
                    assert narrow
                assert again[name].equals(columns[name]), (name, rows)


def repeated(values: list[Any], count: int) -> list[Any]:
    return [values[i % len(values)] for i in range(count)]


def test_narrow_layouts(tmp_path: Path) -> None:
    """Dictionaries of several pages, blocks of one value, of nulls, with nulls; decimals of both signs."""
    from decimal import Decimal

    count = 200_000
    words = repeated(["red", "green", None, "blue é"], count)
    words[:40_000] = ["one"] * 40_000
    words[60_000:140_000] = [None] * 80_000
    prices = repeated([Decimal("-1.25"), None, Decimal("99999999.99"), Decimal(0)], count)
    prices[:50_000] = [Decimal("7.50")] * 50_000
    prices[70_000:150_000] = [None] * 80_000
    schema = lance_fmt.Schema(
        [lance_fmt.Field("word", lance_fmt.string()), lance_fmt.Field("price", lance_fmt.decimal(10, 2))]
    )
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, {"word": words, "price": prices}, schema=schema, encodings={"word": "dictionary"})
    with lance_fmt.open(path) as file:
        for rows in (None, range(33_333, 177_777)):
            scan = ArrowScan(file, narrow=True, rows=rows, threads=2)
            assert str(scan.schema.field("price").type) == "decimal64(10, 2)"
            assert pa.types.is_dictionary(scan.schema.field("word").type)
            table = pa.Table.from_batches(scan.batches(), scan.schema)
            table.validate(full=True)
            part = slice(None) if rows is None else slice(rows.start, rows.stop)
            assert table["word"].to_pylist() == words[part]
            assert table["price"].to_pylist() == prices[part]
        some = field("price") > Decimal(5)
        scan = ArrowScan(file, narrow=True, filter=some)
        table = pa.Table.from_batches(scan.batches(), scan.schema)
        expected = [i for i, price in enumerate(prices) if price is not None and price > 5]
        assert table["word"].to_pylist() == [words[i] for i in expected]
        few = ArrowScan(file, narrow=True, filter=field("word") == "blue é", rows=range(50_000, 50_400))
        assert few.reader().read_all()["price"].to_pylist() == [
            prices[i] for i in range(50_000, 50_400) if words[i] == "blue é"
        ]


@pytest.mark.parametrize("too_long", [[5, 1], [1 << 63, 0], [5, (1 << 64) - 1], None])
def test_words_too_long_for_their_type_are_refused(tmp_path: Path, too_long: list[int] | None) -> None:
    first = 0 if too_long else 1 << 63
    words = np.array([too_long or [first, 0], *([first + n, 0] for n in range(1023))], np.uint64)
    column = lance_fmt.Column(lance_fmt.decimal(5, 2), words)
    lance_fmt.write(tmp_path / "x.lfmt", {"d": column}, encodings={"d": "frame_of_reference"})
    with (
        lance_fmt.open(tmp_path / "x.lfmt") as file,
        pytest.raises(lance_fmt.InvalidDataError, match=r"column 'd': a value has more digits"),
    ):
        ArrowScan(file, narrow=True).reader().read_all()


def test_damage_comes_through(tmp_path: Path) -> None:
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, {"n": np.random.default_rng(0).integers(0, 1 << 60, 300_000)})
    with lance_fmt.open(path) as file:
        page = file.column("n").pages[1]
    raw = bytearray(path.read_bytes())
    raw[page.offset + 100] ^= 1
    path.write_bytes(raw)
    with lance_fmt.open(path) as file:
        with pytest.raises(CorruptFileError, match="does not match its checksum"):
            list(ArrowScan(file, threads=2).batches())
        with pytest.raises(CorruptFileError, match="column 'n', page 1"):
            Dataset(file).to_table()
        engine = pytest.importorskip("duckdb")
        connection = engine.connect()
        duckdb.register(connection, "x", file)
        with pytest.raises(engine.Error, match="does not match its checksum"):
            connection.execute("select sum(n) from x").fetchall()
        connection.close()


def test_a_scan_that_is_given_up_leaves_no_thread(counted: Counted) -> None:
    import threading

    batches = ArrowScan(counted.file, ["n"], threads=3, batch_rows=1000).batches()
    next(batches)
    assert any(thread.name.startswith("lance_fmt.scan") for thread in threading.enumerate())
    batches.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("lance_fmt.scan") for thread in threading.enumerate())


def test_bad_arguments(counted: Counted) -> None:
    with pytest.raises(SchemaError, match="no column 'nope'"):
        Dataset(counted.file).scanner(columns=["nope"])
    with pytest.raises(lance_fmt.InvalidDataError, match="batches of 0 rows"):
        ArrowScan(counted.file, batch_rows=0)
    with pytest.raises(lance_fmt.InvalidDataError, match="not the text 'n'"):
        ArrowScan(counted.file, "n")
    with pytest.raises(lance_fmt.InvalidDataError, match="columns of a scan are names"):
        Dataset(counted.file).scanner(columns={"a": pc.field("n")})
    with pytest.raises(FileNotFoundError):
        polars.scan("nowhere.lfmt")


@pytest.mark.parametrize("module", ["duckdb", "datafusion", "polars"])
def test_a_missing_engine_is_named(counted: Counted, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    calls = {
        "duckdb": lambda: duckdb.register(None, "x", counted.file),
        "datafusion": lambda: datafusion.register(None, "x", counted.file),
        "polars": lambda: polars.scan(counted.file),
    }
    with pytest.raises(MissingPackageError, match=rf"needs {module}.*vego\[{module}\]"):
        calls[module]()


KINDS = lance_fmt.Schema(
    [
        lance_fmt.Field("i", lance_fmt.int64()),
        lance_fmt.Field("f", lance_fmt.float32()),
        lance_fmt.Field("d", lance_fmt.decimal(9, 2)),
        lance_fmt.Field("s", lance_fmt.string()),
        lance_fmt.Field("b", lance_fmt.bool_()),
        lance_fmt.Field("t", lance_fmt.time("ms")),
        lance_fmt.Field("z", lance_fmt.timestamp("us", "UTC")),
    ]
)


@pytest.mark.parametrize(
    ("expression", "expected", "exact"),
    [
        (pc.field("i") == 5, field("i") == 5, True),
        (pc.scalar(5) < pc.field("i"), field("i") > 5, True),
        (pc.field("b"), field("b") == True, True),  # noqa: E712
        (~pc.field("s").is_null(), ~field("s").is_null(), True),
        (pc.field("f").is_nan(), field("f").is_nan(), True),
        (pc.field("f") != pc.field("f"), field("f").is_nan(), True),
        (pc.starts_with(pc.field("s"), "x"), field("s").startswith("x"), True),
        (pc.starts_with(pc.field("s"), "x", ignore_case=True), None, False),
        (pc.field("i") == 2.5, None, False),  # pyarrow rounds the column to float64
        (pc.field("d") == 0.05, None, False),
        (pc.field("f").isin([0.0]), None, False),  # pyarrow: not -0.0
        (pc.field("i") == pa.scalar(None, pa.int64()), None, False),
        (pc.field("i") == pc.field("f"), None, False),
        (pc.field("i").is_null(nan_is_null=True), None, False),
        ((pc.field("i") == 5) & (pc.field("i") + 1 == 6), field("i") == 5, False),
        ((pc.field("i") == 5) | (pc.field("i") + 1 == 6), None, False),
        (pc.field("z") == pa.scalar(0, pa.timestamp("us")), None, False),
        (pc.field("t") == pa.scalar(1_000, pa.time64("us")), field("t") == 1, True),
        (pc.field("t") == pa.scalar(1_001, pa.time64("us")), None, False),
        (pc.field("nope") == 5, None, False),
        (pc.field(0) == 5, None, False),
        (pc.field("i").cast("int32") == 5, None, False),
    ],
    ids=str,
)
def test_translations(expression: Any, expected: Expression | None, exact: bool) -> None:
    assert translate(expression, KINDS) == (expected, exact)


def test_bounds_are_an_upper_limit(counted: Counted) -> None:
    assert arrow_scan.rows_left(counted.file, field("n") < 0) == 0
    assert 10 <= arrow_scan.rows_left(counted.file, field("n") < 10) < ROWS
    assert arrow_scan.rows_left(counted.file, field("x") >= 0) == ROWS
    assert counted.pages() == {}
