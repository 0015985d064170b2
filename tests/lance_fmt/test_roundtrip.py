"""What is written is read, whatever the type, the nulls, the level and the way of reading."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, DataType, Field, InvalidDataError
from lance_fmt.block import leaves
from lance_fmt.encodings import ENCODINGS
from tests.support.format_values import (
    TYPES,
    columns,
    data_types,
    fewer,
    file_of,
    listed,
    repeated,
    sample_columns,
    values_of,
)

kinds = pytest.mark.parametrize("kind", TYPES, ids=str)
levels = st.sampled_from(["speed", "balanced", "small"])


@kinds
@fewer
@given(st.data(), levels)
def test_every_type(kind: DataType, data: st.DataObject, level: str) -> None:
    column = Column.from_pylist(data.draw(values_of(kind)), kind)
    with lance_fmt.open(file_of({"c": column}, level=level)) as file:
        assert file.schema["c"].type == kind
        assert file.read()["c"].equals(column)
        file.verify()


@kinds
def test_values_survive_python(kind: DataType) -> None:
    for name, column in sample_columns().items():
        if column.type != kind:
            continue
        again = Column.from_pylist(column.to_pylist(), kind)
        assert name == "json null" or again.equals(column), name


@kinds
@fewer
@given(st.data(), levels)
def test_many_blocks_and_pages(kind: DataType, data: st.DataObject, level: str) -> None:
    rows = data.draw(st.integers(5000, 9000))
    column = repeated(Column.from_pylist(data.draw(values_of(kind, 40)), kind), rows)
    with lance_fmt.open(file_of({"c": column}, level=level)) as file:
        start = data.draw(st.integers(0, len(column)))
        stop = data.draw(st.integers(start, len(column)))
        assert file.read(rows=slice(start, stop))["c"].equals(column.slice(start, stop))
        if len(column):
            picks = data.draw(st.lists(st.integers(0, len(column) - 1), max_size=20))
            assert file.take(picks)["c"].equals(column.take(picks))


@pytest.fixture(scope="module")
def large() -> tuple[dict[str, Column], lance_fmt.File]:
    columns = {name: repeated(column, 3000) for name, column in sample_columns().items()}
    columns["wide"] = Column.from_numpy(np.arange(3000 * 700, dtype=np.float32).reshape(3000, 700))
    columns["long"] = Column.from_pylist(
        [chr(97 + i % 26) * (i % 900) for i in range(3000)], lance_fmt.string()
    )
    return columns, lance_fmt.open(file_of(columns))


def test_there_are_several_pages(large: tuple[dict[str, Column], lance_fmt.File]) -> None:
    _, file = large
    assert len(file.column("wide").pages) > 1
    assert len(file.column("long").pages) > 1


def test_read_everything(large: tuple[dict[str, Column], lance_fmt.File]) -> None:
    columns, file = large
    table = file.read()
    assert list(table) == list(columns)
    for name, column in columns.items():
        assert table[name].equals(column), name


@pytest.mark.parametrize(
    "rows", [slice(5, 7), slice(0, 0), slice(-10, None), slice(1000, 2999), range(2, 2500), range(0)]
)
def test_read_rows(large: tuple[dict[str, Column], lance_fmt.File], rows: Any) -> None:
    columns, file = large
    table = file.read(rows=rows)
    start, stop, _ = (slice(rows.start, rows.stop) if isinstance(rows, range) else rows).indices(3000)
    for name, column in columns.items():
        assert table[name].equals(column.slice(start, stop)), name


def test_take(large: tuple[dict[str, Column], lance_fmt.File]) -> None:
    columns, file = large
    for picks in (
        [],
        [2999],
        [7, 7, 3],
        np.random.default_rng(1).integers(0, 3000, 200),
        np.array([1], np.uint8),
    ):
        table = file.take(picks)
        for name, column in columns.items():
            assert table[name].equals(column.take(picks)), name


def test_batches(large: tuple[dict[str, Column], lance_fmt.File]) -> None:
    columns, file = large
    tables = list(file.batches(777, ["long", "wide"]))
    assert [t.num_rows for t in tables] == [777, 777, 777, 669]
    for name in ("long", "wide"):
        assert Column.concat([t[name] for t in tables]).equals(columns[name])


def test_rows_as_python_values(large: tuple[dict[str, Column], lance_fmt.File]) -> None:
    columns, file = large
    lists = {name: column.to_pylist() for name, column in columns.items()}
    for i in (0, 1, 2, 1234, 2999):
        row = file.row(i)
        assert list(row) == list(columns)
        for name, value in row.items():
            np.testing.assert_equal(value, lists[name][i])
            assert type(value) is type(lists[name][i]), name


def test_a_row_is_the_callers_own(large: tuple[dict[str, Column], lance_fmt.File]) -> None:
    columns, file = large
    file.row(5)["wide"][:] = -1
    taken = file.take([5], ["wide"])["wide"].array
    if taken.flags.writeable:  # or a view of the file that nobody can write to
        taken[:] = -1
    assert file.row(5)["wide"].tolist() == columns["wide"].array[5].tolist()


def test_a_whole_vector_column_is_one_aligned_view() -> None:
    vectors = np.random.default_rng(0).standard_normal((5000, 96), dtype=np.float32)
    data = file_of({"text": ["a"] * 5000, "v": vectors})
    with lance_fmt.open(data) as file:
        read = file.read(["v"])["v"].array
        pages = file.column("v").pages
    assert pages[0].offset == 64
    assert all(a.offset + a.length == b.offset for a, b in pairwise(pages))
    assert np.shares_memory(read, np.frombuffer(data, np.uint8))
    assert np.array_equal(read, vectors)


def test_no_rows_and_no_columns() -> None:
    for name, column in sample_columns().items():
        with lance_fmt.open(file_of({name: column.slice(0, 0)})) as file:
            assert file.num_rows == 0
            assert file.read()[name].equals(column.slice(0, 0))
            assert list(file.batches()) == []
            file.verify()
    with lance_fmt.open(file_of({})) as file:
        assert len(file.read()) == 0
        file.verify()


def test_json_null_is_not_a_missing_value() -> None:
    column = Column.from_pylist([None, None, {"a": None}], lance_fmt.json(), validity=[True, False, True])
    read = lance_fmt.open(file_of({"j": column})).read()["j"]
    assert read.to_pylist() == [None, None, {"a": None}]
    assert read.validity is not None
    assert read.validity.tolist() == [True, False, True]


def test_equal_input_gives_equal_bytes() -> None:
    assert file_of(sample_columns()) == file_of(sample_columns())


@fewer
@given(st.data(), levels)
def test_any_type_in_any_encoding(data: st.DataObject, level: str) -> None:
    kind = data.draw(data_types())
    column = data.draw(columns(kind))
    kinds = [leaf.kind for leaf in leaves(kind)]
    usable = [e.name for e in ENCODINGS.values() if e.name != "constant" and any(map(e.accepts, kinds))]
    encodings = {"c": data.draw(st.sampled_from(usable))}
    with lance_fmt.open(file_of({"c": column}, level=level, encodings=encodings)) as file:
        assert file.schema["c"].type == kind
        assert file.read()["c"].equals(column)
        assert listed(file.read()["c"].to_pylist()) == listed(column.to_pylist())
        for row in range(min(len(column), 3)):
            assert listed(file.row(row)["c"]) == listed(column.to_pylist()[row])
        file.verify()


@fewer
@given(st.data(), levels)
def test_any_type_over_many_blocks(data: st.DataObject, level: str) -> None:
    kind = data.draw(data_types())
    column = data.draw(columns(kind))
    column = repeated(column, 40_000) if len(column) else column
    with lance_fmt.open(file_of({"c": column}, level=level)) as file:
        start = data.draw(st.integers(0, len(column)))
        stop = data.draw(st.integers(start, len(column)))
        assert file.read(rows=slice(start, stop))["c"].equals(column.slice(start, stop))
        if len(column):
            picks = data.draw(st.lists(st.integers(0, len(column) - 1), max_size=20))
            assert file.take(picks)["c"].equals(column.take(picks))


def test_dictionaries_of_equal_bytes_but_other_kinds() -> None:
    """What two streams share in a page is told apart by more than its bytes."""
    names = ("int8", "uint8", "int16", "uint16", "float16", "bfloat16", "int32", "uint32", "float32", "int64")
    members = [Field(name, getattr(lance_fmt, name)(), False) for name in names]
    zeros = [Column.from_pylist([i % 2 * 0 for i in range(300)], f.type) for f in members]
    column = Column(lance_fmt.struct(members), zeros)
    numbers = [Column(f.type, (np.arange(300) % 7).astype(f.type.dtype)) for f in members]
    for found in (column, Column(lance_fmt.struct(members), numbers)):
        with lance_fmt.open(file_of({"c": found}, encodings={"c": "dictionary"})) as file:
            assert file.read()["c"].equals(found)


@pytest.mark.parametrize("level", ["speed", "balanced", "small"])
def test_vectors_of_bfloat16(level: str) -> None:
    bits = np.arange(700 * 3, dtype=np.uint16).reshape(-1, 3)
    for validity in (None, np.arange(700) % 3 > 0):
        column = Column(lance_fmt.vector(lance_fmt.bfloat16(), 3), bits, None, validity)
        with lance_fmt.open(file_of({"c": column}, level=level)) as file:
            assert file.read()["c"].equals(column)
            file.verify()


@pytest.mark.parametrize("levels_above", [0, 1, 2])
def test_what_is_written_can_be_read_however_many_items(
    levels_above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer refuses a block of more items than readers take, on whatever level the lists are."""
    monkeypatch.setattr("lance_fmt.page.MAX_BLOCK_ITEMS", 1000)
    monkeypatch.setattr("lance_fmt.block.MAX_BLOCK_ITEMS", 1000)
    for items, refused in ((1000, False), (1001, True)):
        column = Column(lance_fmt.list_(lance_fmt.int8()), Column.from_numpy(np.ones(items, np.int8)),
                        np.array([0, items]))  # fmt: skip
        for _ in range(levels_above):
            column = Column(lance_fmt.list_(column.type), column, np.array([0, 1]))
        column = Column(lance_fmt.struct([Field("x", column.type, False)]), [column])
        if refused:
            with pytest.raises(InvalidDataError, match="items"):
                file_of({"c": column})
        else:
            assert lance_fmt.open(file_of({"c": column})).read()["c"].equals(column)
