"""Tables, files and columns in Arrow's and DLPack's terms: what goes out shares memory, and all of it comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column, Field, InvalidDataError, Schema, SchemaError, Table
from tests.support.format_values import sample_columns

pa = pytest.importorskip("pyarrow")


class Stranger:
    """Speaks Arrow by the one method named, and is nothing else."""

    def __init__(self, thing: Any, method: str) -> None:
        setattr(type(self), method, lambda self, requested=None: getattr(thing, method)(requested))


def stranger(thing: Any, method: str) -> Any:
    made: Any = type("Stranger", (Stranger,), {})
    return made(thing, method)


@pytest.fixture
def vectors(tmp_path: Path) -> tuple[Path, np.ndarray[Any, Any]]:
    X = np.random.default_rng(0).normal(size=(5000, 24)).astype(np.float32)
    path = tmp_path / "v.lfmt"
    lance_fmt.write(path, {"v": X, "n": np.arange(5000)})
    return path, X


def vector_address(arrow: Any) -> int:
    (chunk,) = arrow.column("v").chunks
    address: int = chunk.values.buffers()[1].address
    return address + chunk.offset * 24 * 4


@pytest.mark.parametrize("mapped", [True, False])
def test_vectors_go_out_without_a_copy(vectors: tuple[Path, Any], mapped: bool) -> None:
    path, X = vectors
    with lance_fmt.open(path, mmap=mapped) as file:
        table = file.read(["v"])
    address = table["v"].array.ctypes.data
    assert vector_address(table.to_arrow()) == address
    assert vector_address(pa.table(table)) == address, "through the capsule"
    assert vector_address(table.slice(100, 200).to_arrow()) == address + 100 * 24 * 4
    back = Table.from_arrow(pa.table(table))
    assert back["v"].array.ctypes.data == address
    assert np.from_dlpack(table["v"]).ctypes.data == address
    assert np.array_equal(np.from_dlpack(table["v"]), X)


def test_a_mapped_vector_column_is_the_file_itself(vectors: tuple[Path, Any]) -> None:
    path, X = vectors
    with lance_fmt.open(path, mmap=True) as file:
        (page, *_) = file.column("v").pages
        arrow = file.read(["v"]).to_arrow()
        assert not arrow.column("v").chunk(0).values.to_numpy().flags.writeable
        start = vector_address(arrow)
        whole = file._source.read_at(page.offset, 4)
        assert np.frombuffer(whole, np.uint8).ctypes.data == start
    assert np.array_equal(arrow.column("v").chunk(0).values.to_numpy().reshape(-1, 24), X), "after close"


def test_numbers_times_and_strings_share_memory() -> None:
    for name, column in sample_columns().items():
        if column.type.id is lance_fmt.TypeId.BOOL or not isinstance(column.values, np.ndarray):
            continue
        chunk = Table({name: column}).to_arrow().column(0).chunk(0)
        last = (chunk.values if column.type.is_vector else chunk).buffers()[-1]
        time_of_day_in_32_bits = pa.types.is_time32(chunk.type)
        assert (last.address == column.array.ctypes.data) is not time_of_day_in_32_bits, name


def test_a_stream_of_every_type_comes_back() -> None:
    table = Table(sample_columns())
    for speaker in (table, stranger(table, "__arrow_c_stream__"), table.to_arrow().to_reader()):
        again = Table.from_arrow(speaker)
        assert again.schema == table.schema
        for name in table:
            assert again[name].equals(table[name]), name
    assert pa.schema(table).equals(table.to_arrow().schema, check_metadata=True)


def test_an_array_of_structs_is_a_table() -> None:
    batch = pa.record_batch({"a": [1, 2], "b": ["x", None]})
    again = Table.from_arrow(stranger(batch, "__arrow_c_array__"))
    assert again.to_pydict() == {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize("wrong", [object(), 5, "text", {"a": [1]}, pa.array([1, 2]), Table])
def test_what_is_no_table(wrong: Any) -> None:
    with pytest.raises(SchemaError, match=r"is no table|does not speak Arrow"):
        Table.from_arrow(wrong)


def test_files_are_streams(tmp_path: Path) -> None:
    table = Table(sample_columns())
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, table)
    with lance_fmt.open(path) as file:
        assert pa.schema(file).equals(table.to_arrow().schema, check_metadata=True)
        again = Table.from_arrow(pa.table(file))
        assert all(again[name].equals(table[name]) for name in table)
        empty = tmp_path / "empty.lfmt"
        lance_fmt.write(empty, table.slice(0, 0))
    with lance_fmt.open(empty) as file:
        assert pa.table(file).num_rows == 0
        assert Table.from_arrow(file).schema == table.schema


def test_a_file_is_streamed_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, {"n": np.arange(300_000)})
    with lance_fmt.open(path) as file:
        sizes = [len(batch) for batch in pa.RecordBatchReader.from_stream(file)]
    assert sizes == [131072, 131072, 37856]


@pytest.mark.parametrize("kind", ["table", "batch", "reader", "stream", "array", "lance_fmt"])
def test_write_takes_what_speaks_arrow(tmp_path: Path, kind: str) -> None:
    arrow = pa.table({"a": [1, None, 3], "b": ["x", "y", None]}, metadata={"k": "v"})
    made = {
        "table": lambda: arrow,
        "batch": lambda: arrow.to_batches()[0],
        "reader": lambda: arrow.to_reader(max_chunksize=2),
        "stream": lambda: stranger(arrow, "__arrow_c_stream__"),
        "array": lambda: stranger(arrow.to_batches()[0], "__arrow_c_array__"),
        "lance_fmt": lambda: Table.from_arrow(arrow),
    }[kind]()
    path = tmp_path / "x.lfmt"
    assert lance_fmt.write(path, made).num_rows == 3
    with lance_fmt.open(path) as file:
        assert file.read().to_pydict() == {"a": [1, None, 3], "b": ["x", "y", None]}
        assert file.schema.metadata == {"k": "v"}


def test_a_stream_without_batches_and_one_that_fails(tmp_path: Path) -> None:
    schema = pa.schema({"a": pa.int16()})
    lance_fmt.write(tmp_path / "e.lfmt", pa.RecordBatchReader.from_batches(schema, []))
    with lance_fmt.open(tmp_path / "e.lfmt") as file:
        assert str(file.schema) == "Schema(a: int16)"

    def broken() -> Any:
        yield pa.record_batch({"a": pa.array([1], pa.int16())})
        yield pa.record_batch({"a": pa.array([2], pa.int16())})
        raise OSError("the wire is cut")

    with pytest.raises(OSError, match="the wire is cut"):
        lance_fmt.write(tmp_path / "x.lfmt", pa.RecordBatchReader.from_batches(schema, broken()))
    assert [path.name for path in tmp_path.iterdir()] == ["e.lfmt"]


def test_write_with_a_schema_of_its_own(tmp_path: Path) -> None:
    schema = Schema([Field("a", lance_fmt.int64(), nullable=False)])
    arrow = pa.table({"a": [1, 2]})
    for given in (arrow, arrow.to_reader()):
        lance_fmt.write(tmp_path / "x.lfmt", given, schema=schema)
        with lance_fmt.open(tmp_path / "x.lfmt") as file:
            assert not file.schema["a"].nullable
    with pytest.raises(SchemaError, match="is no table: give a mapping"):
        lance_fmt.write(tmp_path / "y.lfmt", 5)


def test_tensors() -> None:
    for values in (np.arange(5), np.array([True, False]), np.eye(3, dtype=np.float16)):
        column = Column.from_numpy(values)
        taken = np.from_dlpack(column)
        assert taken.dtype == values.dtype
        assert np.array_equal(taken, values)
        assert taken.ctypes.data == column.array.ctypes.data
        assert column.__dlpack_device__() == (1, 0)
    for wrong in ([1, None], ["x"], [[1], []]):
        with pytest.raises(BufferError, match="is no tensor"):
            np.from_dlpack(Column.from_pylist(wrong, lance_fmt.infer_type(wrong)))
    with pytest.raises(BufferError, match="bfloat16"):
        np.from_dlpack(Column.from_numpy(np.ones(2, np.float32), lance_fmt.bfloat16()))


def test_torch_takes_vectors() -> None:
    torch = pytest.importorskip("torch")
    column = Column.from_numpy(np.eye(3, dtype=np.float32))
    assert torch.from_dlpack(column).data_ptr() == column.array.ctypes.data


def test_pandas_keeps_types() -> None:
    pd = pytest.importorskip("pandas")
    big = 2**62 + 1
    table = Table.of(
        {"i": [1, None, big], "b": [True, None, False], "s": ["x", None, "z"], "f": [0.5, None, 2.0]}
    )
    frame = table.to_pandas()
    assert [str(dtype) for dtype in frame.dtypes] == ["Int64", "boolean", "str", "Float64"]
    assert Table.from_pandas(frame).to_pydict() == table.to_pydict()
    nullable = Table.of({"i": np.arange(2, dtype=np.int8), "s": ["a", "b"]}).to_pandas("nullable")
    assert [str(dtype) for dtype in nullable.dtypes] == ["Int8", "string"]
    assert str(Table.from_pandas(nullable).schema) == "Schema(i: int8, s: string)"
    with pytest.raises(InvalidDataError, match="'pandas' is not one of"):
        table.to_pandas("pandas")
    assert str(pd.api.types.pandas_dtype(frame["i"].dtype)) == "Int64"


def test_pandas_arrow_types_keep_everything() -> None:
    pytest.importorskip("pandas")
    # What Arrow has no type for, and metadata, are no business of a frame's.
    columns = {n: c for n, c in sample_columns().items() if c.type.id.name not in ("JSON", "BFLOAT16")}
    columns = {
        n: c for n, c in columns.items() if "json" not in str(c.type) and "bfloat16" not in str(c.type)
    }
    table = Table(columns)
    again = Table.from_pandas(table.to_pandas("arrow"))
    for name in table:
        assert again[name].type == table[name].type, name
        assert again[name].equals(table[name]), name


def test_nan_and_null_stay_apart_in_pandas() -> None:
    pytest.importorskip("pandas")
    column = Column(lance_fmt.float64(), np.array([1.0, np.nan, 0.0]), None, np.array([True, True, False]))
    again = Table.from_pandas(Table({"f": column}).to_pandas())["f"]
    assert again.equals(column)
    plain = Table.from_pandas(Table({"f": column.slice(0, 2)}).to_pandas())["f"]
    assert plain.null_count == 0


def test_other_pandas_types() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "c": pd.Categorical(["x", "y", None]),
            "z": pd.to_datetime(["2024-01-01", None, "2024-01-03"]).tz_localize("Europe/Berlin"),
            "t": pd.array(["a", None, "c"], dtype="string"),
            "s": pd.arrays.SparseArray([0, 1, 0]),
        }
    )
    table = Table.from_pandas(frame)
    assert str(table.schema["z"].type).startswith("timestamp<")
    assert "Europe/Berlin" in str(table.schema["z"].type)
    assert table.to_pydict()["c"] == ["x", "y", None]
    assert table.to_pydict()["t"] == ["a", None, "c"]
    assert table.to_pydict()["s"] == [0, 1, 0]
    assert Table.from_pandas(table.to_pandas())["z"].equals(table["z"])
    with pytest.raises(SchemaError, match=r"column 'p': period\[D\] has no counterpart"):
        Table.from_pandas(pd.DataFrame({"p": pd.period_range("2024-01-01", periods=2)}))


def test_a_frame_is_written_as_it_is(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    lance_fmt.write(tmp_path / "x.lfmt", pd.DataFrame({"a": [1, 2]}, index=["r", "s"]))
    with lance_fmt.open(tmp_path / "x.lfmt") as file:
        assert file.read().to_pydict() == {"a": [1, 2]}


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from lance_fmt.optional import MissingPackageError

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match=r"needs pyarrow.*pip install 'vego\[arrow\]'"):
        Table.of({"a": [1]}).to_arrow()
