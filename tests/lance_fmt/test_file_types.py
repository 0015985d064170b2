"""Every type, nested ones too, through files: written, read whole, in part, row by row; and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, DataType, Field, InvalidDataError, Schema, SchemaError, Writer
from tests.support.format_values import data_types, file_of, listed, repeated, rows_of, values_for

LEVELS = ["speed", "balanced", "small"]
levels = st.sampled_from(LEVELS)
half = settings(max_examples=max(10, settings().max_examples // 2))


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {
        "PAGE": 256,
        "BLOCK": 64,
        "STRING_BLOCK": 128,
        "VECTOR_PAGE": 512,
        "VECTOR_BLOCK": 64,
    }.items():
        monkeypatch.setattr(f"lance_fmt.writer.TARGET_{name}_BYTES", size)


@st.composite
def some_columns(draw: st.DrawFn) -> Column:
    kind = draw(data_types(3))
    column = Column.from_pylist(draw(values_for(kind, 12)), kind)
    return repeated(column, draw(st.integers(0, 150)))


def check(file: lance_fmt.File, column: Column, data: st.DataObject) -> None:
    """Every way of reading gives `column`."""
    rows = len(column)
    assert file.read()["c"].equals(column)
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    assert file.read(rows=slice(start, stop))["c"].equals(column.slice(start, stop))
    picks = data.draw(st.lists(st.integers(0, rows - 1), max_size=8)) if rows else []
    assert file.take(picks)["c"].equals(column.take(picks))
    values = listed(column.to_pylist())
    for row in picks[:3]:
        assert listed([file.row(row)["c"]]) == [values[row]]
    size = data.draw(st.integers(1, 70))
    batches = [batch["c"] for batch in file.batches(size)]
    assert all(len(batch) == size for batch in batches[:-1])
    assert Column.concat([column.slice(0, 0), *batches]).equals(column)


@pytest.mark.usefixtures("_small_pages")
@half
@given(some_columns(), levels, st.data())
def test_every_type(column: Column, level: str, data: st.DataObject) -> None:
    with lance_fmt.open(file_of({"c": column}, level=level)) as file:
        assert file.schema["c"].type == column.type
        check(file, column, data)
        file.verify()
        masked = column.null_count
        assert sum(page.nulls for page in file.column("c").pages) == masked
        assert file.read(filter=lance_fmt.field("c").is_null()).num_rows == masked


@pytest.mark.usefixtures("_small_pages")
@half
@given(some_columns(), levels, st.lists(st.integers(0, 60), max_size=4), st.data())
def test_a_stream_of_every_type(column: Column, level: str, sizes: list[int], data: st.DataObject) -> None:
    out, start = io.BytesIO(), 0
    with Writer(out, Schema([Field("c", column.type)]), level=level) as writer:
        for size in [*sizes, len(column)]:
            part = column.slice(min(start, len(column)), min(start + size, len(column)))
            writer.write({"c": part})
            start += len(part)
    with lance_fmt.open(out.getvalue()) as file:
        check(file, column, data)


@pytest.mark.usefixtures("_small_pages")
@half
@given(data_types(3), st.integers(0, 90), levels, st.data())
def test_all_nulls(kind: DataType, rows: int, level: str, data: st.DataObject) -> None:
    column = Column.nulls(kind, rows)
    with lance_fmt.open(file_of({"c": column}, level=level)) as file:
        check(file, column, data)
        file.verify()


@pytest.mark.usefixtures("_small_pages")
@half
@given(data_types(2), levels, st.data())
def test_one_row(kind: DataType, level: str, data: st.DataObject) -> None:
    column = Column.from_pylist([data.draw(rows_of(kind))], kind)
    schema = Schema([Field("c", kind, nullable=False)])
    with lance_fmt.open(file_of({"c": column}, level=level, schema=schema)) as file:
        check(file, column, data)
        assert file.read().schema == schema
        file.verify()


@pytest.mark.parametrize("level", LEVELS)
def test_large_values(level: str) -> None:
    """Values of several megabytes, each more than a block and a page, beside small ones and nulls."""
    rng = np.random.default_rng(0)
    noise = rng.bytes(3_000_000)
    values = [b"small", noise, None, b"", b"x" * 5_000_000, noise[:70_000], b"y"]
    texts = [None if v is None else v[: len(v) // 2 * 2].hex() for v in values]
    lists = [[1, 2], rng.integers(0, 2**40, 200_000).tolist(), None, [], [7] * 300_000, [3], [4]]
    columns = {
        "y": Column.from_pylist(values, lance_fmt.binary()),
        "s": Column.from_pylist(texts, lance_fmt.string()),
        "l": Column.from_pylist(lists, lance_fmt.list_(lance_fmt.int64())),
    }
    with lance_fmt.open(file_of(columns, level=level, bloom=["y", "s"], row_index=["y"])) as file:
        file.verify()
        for name, column in columns.items():
            assert file.read([name])[name].equals(column)
            assert file.take([4, 1, 0], [name])[name].equals(column.take([4, 1, 0]))
            assert file.row(3, [name]) == {name: column.slice(3, 4).to_pylist()[0]}
        assert file.find("y", noise) == [1]
        assert file.find("s", texts[4]) == [4]
        assert [batch["y"].to_pylist() for batch in file.batches(3, ["y"])] == [
            values[:3],
            values[3:6],
            values[6:],
        ]


def test_wide_vectors_are_a_block_each() -> None:
    vectors = np.random.default_rng(0).standard_normal((70, 20_000), dtype=np.float32)
    with lance_fmt.open(file_of({"v": vectors})) as file:
        assert file.column("v").block_rows == 1
        assert np.array_equal(file.take([69, 3])["v"].array, vectors[[69, 3]])
        assert np.array_equal(file.read()["v"].array, vectors)


def test_vectors_of_every_element_are_arrays_that_can_be_read() -> None:
    for element in (lance_fmt.bfloat16(), lance_fmt.float16(), lance_fmt.uint8()):
        column = Column.from_pylist([[1, 2, 3], [0, 1, 0]] * 40, lance_fmt.vector(element, 3))
        with lance_fmt.open(file_of({"v": column})) as file:
            assert file.column("v").encoding == "plain"
            assert file.read()["v"].equals(column)
            assert file.take([7, 2])["v"].equals(column.take([7, 2]))
            file.verify()


def test_values_of_mixed_types_are_json() -> None:
    with lance_fmt.open(file_of({"a": [1, "x", None, 2.5]})) as file:
        assert str(file.schema["a"].type) == "json"
        assert file.read()["a"].to_pylist() == [1, "x", None, 2.5]


# -- what is refused -----------------------------------------------------------------------------------

SCHEMA = Schema([Field("a", lance_fmt.int8()), Field("b", lance_fmt.string(), nullable=False)])


@pytest.mark.parametrize(
    ("columns", "schema", "message"),
    [
        ({"a": [1, 2], "b": ["x"]}, None, "column 'b' has 1 rows, expected 2"),
        ({"a": [1], "b": ["x"], "c": [1]}, SCHEMA, "the schema says"),
        ({"a": [1]}, SCHEMA, "the schema says"),
        ({"a": [300], "b": ["x"]}, SCHEMA, "column 'a'"),
        ({"a": ["x"], "b": ["x"]}, SCHEMA, "column 'a'"),
        ({"a": [1], "b": [b"x"]}, SCHEMA, "column 'b'"),
        ({"a": [1], "b": [None]}, SCHEMA, "column 'b' is not nullable"),
        ({"a": np.array([1.5]), "b": ["x"]}, SCHEMA, "column 'a'"),
        ({"a": np.zeros((2, 2)), "b": ["x", "y"]}, SCHEMA, "column 'a'"),
        ({"a": [object()]}, None, "column 'a'"),
        ({"a": [1 + 2j]}, None, "column 'a'"),
        ({"a": 5}, None, "column 'a'"),
        ({"a": np.array([1j])}, None, "column 'a'"),
        ({"a": ["\ud800"]}, None, "column 'a'"),
        ({"a": [2**200]}, None, "column 'a'"),
    ],
)
def test_bad_columns_are_refused_and_nothing_is_left(
    columns: dict[str, Any], schema: Schema | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.lfmt"
    with pytest.raises(InvalidDataError, match=message):
        lance_fmt.write(path, columns, schema=schema)
    assert list(tmp_path.iterdir()) == []
    if schema is not None:
        with pytest.raises(InvalidDataError, match=message), Writer(path, schema) as writer:
            writer.write({"a": [1], "b": ["x"]})
            writer.write(columns)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "best"}, "level"),
        ({"encodings": {"a": "gzip"}}, "no encoding 'gzip'"),
        ({"encodings": {"z": "plain"}}, "no column 'z'"),
        ({"encodings": {"b": "alp"}}, "cannot write string"),
        ({"row_index": ["z"]}, "no column 'z'"),
        ({"row_index": "a"}, "list of column names"),
        ({"bloom": "a"}, "list of column names"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {1: "a"}}, "metadata"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_left(options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=message):
        lance_fmt.write(tmp_path / "x.lfmt", {"a": [1], "b": ["x"]}, **options)
    assert list(tmp_path.iterdir()) == []


def test_columns_that_occur_twice() -> None:
    with pytest.raises(SchemaError):
        Schema([Field("a", lance_fmt.int8()), Field("a", lance_fmt.int8())])
    with lance_fmt.open(file_of({"a": [1]})) as file:
        for ask in (file.read, lambda names: file.take([0], names), lambda names: file.row(0, names)):
            with pytest.raises(SchemaError):
                ask(["a", "a"])
            with pytest.raises(SchemaError, match="no column 'b'"):
                ask(["b"])


def test_rows_out_of_range() -> None:
    with lance_fmt.open(file_of({"a": list(range(10))})) as file:
        assert file.read(rows=slice(-3, None))["a"].to_pylist() == [7, 8, 9]
        assert file.read(rows=slice(8, 20))["a"].to_pylist() == [8, 9]
        assert file.read(rows=slice(7, 3)).num_rows == 0
        for rows in (range(11), range(5, 12), slice(None, None, -1)):
            with pytest.raises(InvalidDataError):
                file.read(rows=rows)
            with pytest.raises(InvalidDataError):
                next(file.batches(rows=rows))
        for picks in ([10], [-1], [2**63], [True], ["a"], [[1]], [None], [1.0]):
            with pytest.raises(InvalidDataError):
                file.take(picks)  # type: ignore[arg-type]
        for row in (-1, 10, 2**70):
            with pytest.raises(InvalidDataError):
                file.row(row)
