"""Filters on files give the rows that a naive reading of the filter gives, and read no more than they must."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, InvalidDataError, SchemaError, field
from lance_fmt.filter import And, Expression, Or
from tests.support.format_filter_oracle import is_true
from tests.support.format_filter_strategies import SCHEMA, TEXTS, VALUES, columns_of, expressions, rows
from tests.support.format_values import fewer, file_of
from tests.support.golden_files import FOLDER, GOLDEN

LEVELS = st.sampled_from(["speed", "balanced", "small"])
INDEXABLE = ("i8", "u64", "i64", "f32", "f64", "s", "y", "t")


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 8 to 64 rows in blocks of 4 or 8, different for each type."""
    monkeypatch.setattr("lance_fmt.writer.TARGET_PAGE_BYTES", 128)
    monkeypatch.setattr("lance_fmt.writer.TARGET_BLOCK_BYTES", 32)
    monkeypatch.setattr("lance_fmt.writer.TARGET_STRING_BLOCK_BYTES", 64)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows of `SCHEMA`, enough for several pages; sorted by a column or in runs, so that some can be pruned."""
    some = draw(rows(tuple(SCHEMA.names), max_size=12))
    if not some:
        return []
    count = draw(st.integers(0, 60))
    order = draw(st.sampled_from(["runs", "mixed", *INDEXABLE]))
    picked = [
        some[i * len(some) // max(count, 1) if order == "runs" else i % len(some)] for i in range(count)
    ]
    if order in INDEXABLE:
        picked.sort(key=lambda row: (row[order] is not None, _sortable(row[order])))
    return picked


def _sortable(value: Any) -> Any:
    return (0 if value is None or value != value else 1, 0 if value is None or value != value else value)


def expected(table: list[dict[str, Any]], expression: Expression, start: int, stop: int) -> list[int]:
    return [i for i in range(start, stop) if is_true(expression, table[i])]


def ranges(draw: Any, count: int) -> tuple[int, int]:
    start = draw(st.integers(0, count))
    return (0, count) if draw(st.booleans()) else (start, draw(st.integers(start, count)))


@settings(max_examples=max(10, settings().max_examples // 2))
@given(st.data(), tables(), expressions(), LEVELS, st.booleans())
def test_read_and_batches_equal_the_oracle(
    data: st.DataObject, table: list[dict[str, Any]], expression: Expression, level: str, bloom: bool
) -> None:
    columns = columns_of(table, tuple(SCHEMA.names))
    raw = file_of(columns, level=level, bloom=INDEXABLE if bloom else ())
    start, stop = ranges(data.draw, len(table))
    wanted = expected(table, expression, start, stop)
    names = data.draw(st.lists(st.sampled_from(SCHEMA.names), unique=True))
    with lance_fmt.open(raw) as file:
        found = file.read(filter=expression, rows=slice(start, stop))
        assert found.num_rows == len(wanted)
        for name, column in columns.items():
            assert found[name].equals(column.take(wanted)), name
        part = file.read(names, range(start, stop), filter=expression)
        assert (list(part), part.num_rows) == (names, len(wanted))
        assert all(part[name].equals(columns[name].take(wanted)) for name in names)
        size = data.draw(st.integers(1, 40))
        batches = list(file.batches(size, ["i64"], rows=slice(start, stop), filter=expression))
        assert all(0 < batch.num_rows <= size for batch in batches)
        joined = Column.concat([columns["i64"].slice(0, 0), *(batch["i64"] for batch in batches)])
        assert joined.equals(columns["i64"].take(wanted))
    with lance_fmt.open(raw, threads=3) as file:
        assert file.read(["s", "i64"], filter=expression)["i64"].equals(
            columns["i64"].take(expected(table, expression, 0, len(table)))
        )


def golden_filters(table: lance_fmt.Table) -> Iterator[tuple[Expression, np.ndarray[Any, Any]]]:
    """Filters of the golden files and the rows they are true of."""
    for name, column in table.items():
        kind, rows = column.type, column.to_pylist()
        known = [value for value in rows if value is not None]
        valid = np.ones(len(column), bool) if column.validity is None else column.validity
        yield field(name).is_null(), ~valid
        if kind.is_list or kind.is_vector or kind.id is lance_fmt.TypeId.JSON or not known:
            continue
        if isinstance(known[0], np.datetime64) or getattr(known[0], "tzinfo", None) is not None:
            continue
        literal = sorted(v for v in known if v == v)[len(known) // 2 - 1]
        for test in (field(name) <= literal, field(name) == literal, ~(field(name) > literal)):
            yield test, np.array([is_true(test, {name: value}) is True for value in rows])


@pytest.mark.parametrize("name", GOLDEN)
def test_filters_of_files_of_format_1_0(name: str) -> None:
    with lance_fmt.open(FOLDER / name) as file:
        table = file.read()
        for expression, mask in golden_filters(table):
            wanted = np.flatnonzero(mask)
            found = file.read(filter=expression)
            assert found.num_rows == len(wanted), expression
            assert all(found[n].equals(table[n].take(wanted)) for n in table), expression


# -- find ----------------------------------------------------------------------------------------------


@fewer
@given(st.data(), tables(), LEVELS)
def test_find_equals_the_oracle(data: st.DataObject, table: list[dict[str, Any]], level: str) -> None:
    columns = columns_of(table, tuple(SCHEMA.names))
    name = data.draw(st.sampled_from(SCHEMA.names))
    value = data.draw(st.sampled_from(VALUES[name]))
    wanted = expected(table, field(name) == value, 0, len(table))
    indexed = INDEXABLE if name in INDEXABLE else ()
    for options in ({}, {"row_index": indexed}, {"bloom": indexed}, {"row_index": indexed, "bloom": indexed}):
        with lance_fmt.open(file_of(columns, level=level, **options)) as file:
            assert file.find(name, value) == wanted


INDEXED = pytest.mark.parametrize("options", [{}, {"row_index": ["c"]}, {"bloom": ["c"]}])


@INDEXED
def test_find_of_what_is_there_often_once_or_never(options: dict[str, Any]) -> None:
    values = [i % 7 if i % 5 else None for i in range(500)]
    with lance_fmt.open(file_of({"c": values}, **options)) as file:
        assert file.indexes("c") == tuple(options)
        for value in (*range(7), 6.0):
            assert file.find("c", value) == [i for i, v in enumerate(values) if v == value]
        for absent in (7, -1, 0.5, 2**70, float("inf"), float("nan")):
            assert file.find("c", absent) == []


@INDEXED
def test_find_of_zeros_and_nan(options: dict[str, Any]) -> None:
    values = [0.0, -0.0, float("nan"), None, 1.5] * 20
    with lance_fmt.open(file_of({"c": values}, **options)) as file:
        zeros = [i for i in range(100) if i % 5 < 2]
        assert file.find("c", 0.0) == file.find("c", -0.0) == file.find("c", 0) == zeros
        assert file.find("c", float("nan")) == []
        assert file.find("c", 1.5) == list(range(4, 100, 5))


@INDEXED
def test_find_refuses_what_the_column_cannot_hold(options: dict[str, Any]) -> None:
    with lance_fmt.open(file_of({"c": TEXTS, "l": [[1]] * len(TEXTS)}, **options)) as file:
        for wrong in (5, b"a", 1.5, ["a"]):
            with pytest.raises(SchemaError, match="'c'"):
                file.find("c", wrong)
        with pytest.raises(InvalidDataError, match="is_null"):
            file.find("c", None)
        with pytest.raises(SchemaError, match="'l'"):
            file.find("l", [1])
        with pytest.raises(SchemaError, match="no column 'd'"):
            file.find("d", 1)


def test_every_type_that_can_be_indexed_is_found() -> None:
    for name in INDEXABLE:
        kind, values = SCHEMA[name].type, [v for v in VALUES[name] if v == v]
        column = Column.from_pylist([*values, None] * 5, kind)
        with lance_fmt.open(file_of({"c": column}, row_index=["c"])) as file:
            assert file._reader("c").row_index is not None
            for value in values:
                rows = [i for i, v in enumerate(column.to_pylist()) if v is not None and v == value]
                assert file.find("c", value) == rows


@pytest.mark.parametrize("kind", [lance_fmt.list_(lance_fmt.int8()), lance_fmt.vector(lance_fmt.int8(), 2)])
def test_what_cannot_be_indexed_is_refused_before_anything_is_written(kind: Any, tmp_path: Any) -> None:
    column = Column.from_pylist([[1, 2]], kind)
    for options in ({"row_index": ["c"]}, {"bloom": ["c"]}):
        with pytest.raises(SchemaError, match="cannot be indexed"):
            lance_fmt.write(tmp_path / "x.lfmt", {"c": column}, **options)
    assert list(tmp_path.iterdir()) == []


# -- what is refused, and what is empty ----------------------------------------------------------------


def test_filters_of_nothing() -> None:
    with lance_fmt.open(file_of({"a": [1, 2, None], "s": ["x", None, "y"]})) as file:
        for make in (And, Or):
            with pytest.raises(InvalidDataError, match="leave the filter out"):
                make(())
        for wrong in ([], "a == 1", [[]], 5, [("a", "==")], True):
            with pytest.raises(InvalidDataError):
                file.read(filter=wrong)  # type: ignore[arg-type]
        assert file.read(filter=field("a").isin([])).num_rows == 0
        assert file.read(filter=~field("s").isin([]))["s"].to_pylist() == ["x", "y"]
        assert file.read([], filter=field("a") >= 1).num_rows == 2
        assert file.read(rows=slice(1, 1), filter=field("a") >= 1).num_rows == 0
        with pytest.raises(SchemaError, match="did you mean 's'"):
            file.read(filter=field("ss") == "x")
        with pytest.raises(InvalidDataError, match="damaged"):
            file.read(filter=field("a") == 1, on_damage="skip")


def test_filters_of_a_file_without_rows() -> None:
    empty = {"a": Column.from_pylist([], lance_fmt.int64()), "s": Column.from_pylist([], lance_fmt.string())}
    with lance_fmt.open(file_of(empty, row_index=["a"], bloom=["a", "s"])) as file:
        assert file.read(filter=(field("a") > 1) & field("s").is_null()).num_rows == 0
        assert file.find("a", 1) == []
        assert file.find("s", "x") == []
        assert list(file.batches(filter=field("a") == 1)) == []


def test_tuples_are_a_filter() -> None:
    with lance_fmt.open(file_of({"a": list(range(100))})) as file:
        assert file.read(filter=[("a", ">=", 97)])["a"].to_pylist() == [97, 98, 99]
        assert file.read(filter=[[("a", "<", 1)], [("a", "in", [50, 51])]])["a"].to_pylist() == [0, 50, 51]


# -- how much is read ----------------------------------------------------------------------------------


class _Counted:
    """A source that records its reads."""

    name = "counted"

    def __init__(self, data: bytes) -> None:
        self.reads: list[tuple[int, int]] = []
        self._data = data

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self._data[offset : offset + length]

    def size(self) -> int:
        return len(self._data)

    def close(self) -> None:
        pass

    def blocks_read(self, info: lance_fmt.ColumnInfo) -> int:
        """Blocks of a column of which bytes were read."""
        spans = [(at, at + length) for page in info.pages for at, length, _, _ in page.blocks if length]
        return sum(any(a < o + n and o < b for o, n in self.reads) for a, b in spans)


def _counted(columns: dict[str, Any], **options: Any) -> tuple[_Counted, lance_fmt.File]:
    """A file whose metadata and page indexes have been read."""
    source = _Counted(file_of(columns, **options))
    file = lance_fmt.open(source)
    for name in file.schema.names:
        file.column(name)
    source.reads.clear()
    return source, file


def test_a_range_of_a_sorted_column_reads_few_blocks() -> None:
    rng = np.random.default_rng(0)
    ids = np.arange(10_000) * 3 + 2**40
    source, file = _counted({"id": ids, "noise": rng.integers(0, 2**60, len(ids))})
    info = file.column("id")
    assert len(info.pages) * (info.page_rows // info.block_rows) > 1000
    low = int(ids[5000])
    found = file.read(["noise"], filter=(field("id") >= low) & (field("id") < low + 90))
    assert found.num_rows == 30
    assert source.blocks_read(info) <= 2  # those at the ends: what lies between is settled by statistics
    assert (
        source.blocks_read(file.column("noise")) <= 16
    )  # of 2500: whole pages, where most of them is wanted
    source.reads.clear()
    assert file.read(["id"], filter=field("id") > int(ids[-1])).num_rows == 0
    assert file.read(["id"], filter=field("id").is_null()).num_rows == 0
    assert source.reads == []


def test_a_filter_that_every_row_passes_compares_nothing() -> None:
    source, file = _counted({"id": np.arange(5000), "s": ["x"] * 5000})
    assert file.read(["s"], filter=field("id") >= 0).num_rows == 5000
    assert source.blocks_read(file.column("id")) == 0


def test_strings_are_pruned_by_their_beginnings() -> None:
    source, file = _counted({"s": [f"key {i:06}" for i in range(5000)]})
    assert file.read(filter=field("s").startswith("key 0025")).num_rows == 100
    assert source.blocks_read(file.column("s")) < len(file.column("s").pages)
    source.reads.clear()
    assert file.read(filter=field("s") == "no such key").num_rows == 0
    assert source.reads == []


def test_bloom_filters_rule_out_pages() -> None:
    rng = np.random.default_rng(2)
    numbers = rng.permutation(4000) * 2  # no page's bounds rule anything out
    plain, without = _counted({"n": numbers})
    fewer, with_filters = _counted({"n": numbers}, bloom=["n"])
    for value in (4001, 1001):
        assert without.read(filter=field("n") == value).num_rows == 0
        assert with_filters.read(filter=field("n") == value).num_rows == 0
    assert plain.blocks_read(without.column("n")) > 900
    assert fewer.blocks_read(with_filters.column("n")) < 60  # a filter errs in a few of a hundred pages
    wanted = np.flatnonzero(numbers == 4000).tolist()
    assert with_filters.find("n", 4000) == without.find("n", 4000) == wanted


def test_find_by_a_row_index_reads_one_block() -> None:
    rng = np.random.default_rng(2)
    numbers = rng.permutation(4000)
    source, file = _counted({"n": numbers}, row_index=["n"])
    assert file.find("n", 17) == np.flatnonzero(numbers == 17).tolist()
    assert source.blocks_read(file.column("n")) <= 2  # once in a while two values share their hash
    source.reads.clear()
    assert file.find("n", 4000) == []
    assert source.blocks_read(file.column("n")) <= 1


def test_zones_of_a_range_are_not_taken_for_all_blocks() -> None:
    """Of a column in larger blocks than the other's, some zones may be as many as it has blocks."""
    small = np.arange(1 << 7)
    large = np.repeat(np.array([200, 5, 200, 5], np.uint8), len(small) // 4)
    with lance_fmt.open(file_of({"small": small, "large": large})) as file:
        step = file.column("small").block_rows
        assert file.column("large").block_rows > step
        for start in range(0, len(small), step):
            for stop in range(start + step, min(start + 9 * step, len(small)) + 1, step):
                rows = slice(start, stop)
                found = file.read(["small"], rows, filter=(field("large") > 100) & (field("small") >= 0))
                assert found.num_rows == np.count_nonzero(large[rows] > 100), (start, stop)
