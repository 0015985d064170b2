"""Types and values of every format, through `.lfmt` and back: compared with what other readers find."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import lance_fmt
from tests.support.arrow_tables import (
    ALL,
    BYTES,
    DECIMALS,
    FLOATS,
    INTEGERS,
    SCALARS,
    TEXTS,
    VECTORS,
    everything,
    shown,
    tables,
)
from vego_tools.convert import Change, ConversionError, convert
from vego_tools.convert.lfmt import ARROW_SCHEMA
from vego_tools.convert.parquet import open_source
from vego_tools.convert.source import Window, ahead

NUMBERS = [*INTEGERS, *FLOATS]
some = settings(max_examples=max(10, settings().max_examples // 3))
few = settings(max_examples=max(5, settings().max_examples // 8))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("convert")


def write_arrow(table: Any, path: Path, rows: int | None = None) -> Path:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def read_arrow(path: Path) -> Any:
    with pa.ipc.open_stream(path) as reader:
        return reader.read_all()


def lfmt_of(table: Any, room: Path, **options: Any) -> Path:
    path = room / "x.lfmt"
    convert(write_arrow(table, room / "x.arrows"), path, overwrite=True, **options)
    return path


def metadata_of(path: Path) -> dict[str, str]:
    with lance_fmt.open(path) as file:
        return file.metadata


def equal(left: Any, right: Any) -> None:
    assert left.schema.equals(right.schema, check_metadata=True), f"{left.schema}\n{right.schema}"
    assert shown(left) == shown(right)


@given(tables(ALL))
def test_every_arrow_type_comes_back_from_lfmt(room: Path, table: Any) -> None:
    path = lfmt_of(table, room)
    report = convert(path, room / "y.arrows", overwrite=True)
    equal(read_arrow(room / "y.arrows"), table)
    assert report.changes == []
    assert report.notes == []
    assert report.rows == table.num_rows


@some
@given(tables([t for t in ALL if t != pa.list_(pa.dictionary(pa.int8(), pa.string()))]), st.integers(1, 5))
def test_batches_of_any_size_give_the_same(room: Path, table: Any, size: int) -> None:
    convert(write_arrow(table, room / "x.arrows", 4), room / "x.lfmt", batch_rows=size, overwrite=True)
    convert(room / "x.lfmt", room / "y.arrow", batch_rows=size, overwrite=True, check=True)
    with pa.ipc.open_file(room / "y.arrow") as reader:
        assert all(reader.get_batch(i).num_rows <= size for i in range(reader.num_record_batches))
        equal(reader.read_all(), table)


@given(tables([t for t in ALL if not (pa.types.is_run_end_encoded(t) or pa.types.is_struct(t))]))
def test_parquet_comes_back_as_pyarrow_reads_it(room: Path, table: Any) -> None:
    pq.write_table(table, room / "x.parquet")
    before = pq.read_table(room / "x.parquet")
    convert(room / "x.parquet", room / "x.lfmt", overwrite=True)
    report = convert(room / "x.lfmt", room / "y.parquet", overwrite=True, check=True)
    after = pq.read_table(room / "y.parquet")
    assert after.schema.equals(before.schema)
    assert shown(after) == shown(before)
    assert report.changes == []


@some
@given(tables(ALL))
def test_parquet_takes_every_type_and_says_what_became_of_it(room: Path, table: Any) -> None:
    path = lfmt_of(table, room)
    report = convert(path, room / "x.parquet", overwrite=True, check=True)
    found = pq.read_table(room / "x.parquet")
    assert shown(found) == shown(table)
    changed = {f.name for f, g in zip(table.schema, found.schema, strict=True) if f.type != g.type}
    assert {change.column for change in report.changes} == changed


def test_one_table_of_every_type(tmp_path: Path) -> None:
    table = everything()
    path = lfmt_of(table, tmp_path, check=True)
    convert(path, tmp_path / "y.arrow", check=True)
    with pa.ipc.open_file(tmp_path / "y.arrow") as reader:
        equal(reader.read_all(), table)
    assert ARROW_SCHEMA in metadata_of(path)


def test_a_schema_that_our_types_say_by_themselves_is_not_stored(tmp_path: Path) -> None:
    table = lance_fmt.Table.of({"a": [1, 2], "s": ["x", None]}).to_arrow()
    assert metadata_of(lfmt_of(table, tmp_path)) == {}


def test_a_stored_schema_that_no_longer_fits_is_passed_over(tmp_path: Path) -> None:
    path = lfmt_of(pa.table({"a": pa.array([1], pa.int8()), "b": pa.array(["x"])}), tmp_path)
    metadata = metadata_of(path)
    lance_fmt.write(tmp_path / "z.lfmt", {"a": ["text"], "b": ["y"], "new": [1]}, metadata=metadata)
    convert(tmp_path / "z.lfmt", tmp_path / "z.arrows")
    assert [str(t) for t in read_arrow(tmp_path / "z.arrows").schema.types] == [
        "large_string",
        "string",
        "int64",
    ]
    for broken in ("no base64!", "AAAA"):
        lance_fmt.write(tmp_path / "z.lfmt", {"a": [1]}, metadata={ARROW_SCHEMA: broken, "mine": "1"})
        convert(tmp_path / "z.lfmt", tmp_path / "z.arrows", overwrite=True)
        assert read_arrow(tmp_path / "z.arrows").schema.types == [pa.int64()]


def test_key_values_of_a_file_come_back_through_parquet(tmp_path: Path) -> None:
    lance_fmt.write(tmp_path / "a.lfmt", {"a": [1]}, metadata={"model": "é 2"})
    convert(tmp_path / "a.lfmt", tmp_path / "b.parquet")
    convert(tmp_path / "b.parquet", tmp_path / "c.lfmt")
    assert metadata_of(tmp_path / "c.lfmt")["model"] == "é 2"


def test_json_and_bfloat16_come_back_through_parquet(tmp_path: Path) -> None:
    schema = lance_fmt.Schema([
        lance_fmt.Field("j", lance_fmt.json()), lance_fmt.Field("h", lance_fmt.bfloat16()),
        lance_fmt.Field("v", lance_fmt.vector(lance_fmt.bfloat16(), 2)),
    ])  # fmt: skip
    table = {"j": [{"a": [1, None]}, None], "h": [1.5, None], "v": [[1.0, 2.0], [3.0, 4.0]]}
    lance_fmt.write(tmp_path / "a.lfmt", table, schema=schema)
    convert(tmp_path / "a.lfmt", tmp_path / "b.parquet")
    convert(tmp_path / "b.parquet", tmp_path / "c.lfmt")
    with lance_fmt.open(tmp_path / "c.lfmt") as file:
        assert file.schema == schema
        assert file.read(["j", "h"]).to_pydict() == {"j": table["j"], "h": table["h"]}


# -- text ----------------------------------------------------------------------------------------------


@given(tables([pa.bool_(), *INTEGERS, pa.float32(), pa.float64(), *TEXTS, *DECIMALS]))
def test_csv_says_what_python_reads(room: Path, table: Any) -> None:
    # A file with a byte of zero is no text to the reader that looks at what was written.
    assume(not any("\0" in v for values in table.to_pydict().values() for v in values if isinstance(v, str)))
    convert(lfmt_of(table, room), room / "x.csv", overwrite=True)
    with (room / "x.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows[0] == table.schema.names
    found = [list(column) for column in zip(*[row or [""] for row in rows[1:]], strict=True)]
    for column, texts in zip(table.columns, found or [[]] * table.num_columns, strict=True):
        for value, text in zip(column.to_pylist(), texts, strict=True):
            if value is None or isinstance(value, str):
                assert text == (value or "")
            elif isinstance(value, bool):
                assert text == str(value).lower()
            else:
                read = type(value)(text)
                if pa.types.is_float32(column.type):
                    read = float(np.float32(read))
                assert repr(read) == repr(value)


@given(
    tables(
        [
            pa.bool_(),
            pa.int64(),
            pa.uint8(),
            pa.float64(),
            pa.string(),
            pa.date32(),
            pa.timestamp("us"),
            pa.time64("us"),
        ]
    )
)
def test_csv_through_lfmt_says_the_same(room: Path, table: Any) -> None:
    assume(not any("\0" in v for values in table.to_pydict().values() for v in values if isinstance(v, str)))
    convert(lfmt_of(table, room), room / "x.csv", overwrite=True, check=True)
    convert(room / "x.csv", room / "y.lfmt", overwrite=True, check=True)
    convert(room / "y.lfmt", room / "y.csv", overwrite=True)
    assert (room / "x.csv").read_bytes() == (room / "y.csv").read_bytes()


@given(tables([pa.bool_(), *INTEGERS, pa.float64(), *TEXTS, pa.null(), pa.list_(pa.int64()), pa.large_list(pa.string()),
               pa.struct([("a", pa.int8()), ("b", pa.list_(pa.string()))])]))  # fmt: skip
def test_json_lines_say_what_python_reads(room: Path, table: Any) -> None:
    convert(lfmt_of(table, room), room / "x.jsonl", overwrite=True)
    lines = (room / "x.jsonl").read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    expected = [
        {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in row.items()}
        for row in table.to_pylist()
    ]
    assert [json.loads(line) for line in lines] == expected


@some
@given(
    tables(
        [
            pa.bool_(),
            pa.int64(),
            pa.uint64(),
            pa.string(),
            pa.list_(pa.string()),
            pa.struct([("a", pa.bool_())]),
        ],
        least=1,
    )
)
def test_json_lines_through_lfmt_say_the_same(room: Path, table: Any) -> None:
    convert(lfmt_of(table, room), room / "x.jsonl", overwrite=True)
    convert(room / "x.jsonl", room / "y.lfmt", overwrite=True, check=True)
    convert(room / "y.lfmt", room / "y.jsonl", overwrite=True)
    before, after = (
        [json.loads(line) for line in (room / name).read_text().split("\n") if line]
        for name in ("x.jsonl", "y.jsonl")
    )
    assert before == after


# -- arrays --------------------------------------------------------------------------------------------


@some
@given(tables([*NUMBERS, pa.bool_(), pa.timestamp("ns"), pa.duration("s"), *VECTORS], nulls=False, least=1))
def test_npz_and_npy_hold_what_numpy_loads(room: Path, table: Any) -> None:
    path = lfmt_of(table, room)
    convert(path, room / "x.npz", overwrite=True)
    convert(path, room / "x.npy", overwrite=True)
    whole = np.load(room / "x.npy")
    with np.load(room / "x.npz") as arrays:
        assert list(arrays) == table.schema.names
        for name, column in zip(table.schema.names, table.columns, strict=True):
            flat = column.combine_chunks()
            kind = column.type
            if pa.types.is_fixed_size_list(kind):
                flat, kind = flat.flatten(), kind.value_type
            assert arrays[name].dtype == np.dtype(
                kind.to_pandas_dtype() if not pa.types.is_temporal(kind) else flat.to_numpy().dtype
            )
            assert arrays[name].reshape(-1).tobytes() == flat.to_numpy(zero_copy_only=False).tobytes()
            one = whole[name] if table.num_columns > 1 else whole
            assert one.tobytes() == arrays[name].tobytes()
    convert(room / "x.npz", room / "y.lfmt", overwrite=True, check=True)
    convert(room / "y.lfmt", room / "y.npz", overwrite=True)
    with np.load(room / "x.npz") as before, np.load(room / "y.npz") as after:
        assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in before.items()} == {
            n: (a.dtype, a.shape, a.tobytes()) for n, a in after.items()
        }


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">i4", "<f2", "S3", "<U2", "M8[D]", "?"])
def test_arrays_of_numpy_in_any_order(tmp_path: Path, dtype: str, order: Any) -> None:
    values = np.arange(35).reshape(7, 5).astype(dtype)
    np.save(tmp_path / "x.npy", np.asarray(values, order=order))
    convert(tmp_path / "x.npy", tmp_path / "x.arrows", batch_rows=3)
    found = read_arrow(tmp_path / "x.arrows")["vector"].combine_chunks().flatten().to_pylist()
    assert found == values.reshape(-1).tolist()


def test_structured_arrays_and_not_a_time(tmp_path: Path) -> None:
    values = np.array(
        [(1, [1.5, 2], "2024-01-02"), (2, [0, -1], "NaT")], [("a", "i2"), ("v", "f4", 2), ("t", "M8[s]")]
    )
    np.save(tmp_path / "x.npy", values)
    convert(tmp_path / "x.npy", tmp_path / "x.lfmt", check=True)
    with lance_fmt.open(tmp_path / "x.lfmt") as file:
        table = file.read()
    assert [str(f.type) for f in table.schema] == ["int16", "vector<float32, 2>", "timestamp<s>"]
    assert table["a"].to_pylist() == [1, 2]
    assert table["t"].null_count == 1
    assert table["v"].to_numpy().tolist() == [[1.5, 2], [0, -1]]


@pytest.mark.parametrize(("form", "dtype"), [("fvecs", "<f4"), ("bvecs", "u1"), ("ivecs", "<i4")])
@some
@given(data=st.data())
def test_vecs_are_dimension_and_values(room: Path, form: str, dtype: str, data: st.DataObject) -> None:
    rows, dimension = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 6))
    raw = data.draw(st.binary(min_size=rows * dimension * 4, max_size=rows * dimension * 4))
    values = np.frombuffer(raw, dtype)[: rows * dimension].reshape(rows, dimension)
    path = room / f"x.{form}"
    path.write_bytes(b"".join(np.int32(dimension).tobytes() + row.tobytes() for row in values))
    convert(path, room / "x.lfmt", overwrite=True, batch_rows=2)
    with lance_fmt.open(room / "x.lfmt") as file:
        assert file.read()["vector"].to_numpy().tobytes() == values.tobytes()
    convert(room / "x.lfmt", room / f"y.{form}", overwrite=True)
    assert (room / f"y.{form}").read_bytes() == path.read_bytes()


def test_lists_of_one_length_are_vectors_too(tmp_path: Path) -> None:
    lance_fmt.write(
        tmp_path / "a.lfmt",
        {"v": [[1, 2], [3, 4]]},
        schema=lance_fmt.Schema([lance_fmt.Field("v", lance_fmt.list_(lance_fmt.int64()))]),
    )
    convert(tmp_path / "a.lfmt", tmp_path / "a.ivecs", check=True)
    assert np.fromfile(tmp_path / "a.ivecs", "<i4").tolist() == [2, 1, 2, 2, 3, 4]


def test_hdf5_of_ann_benchmarks(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(5)
    parts = {
        "train": rng.standard_normal((50, 4)).astype("f4"), "test": rng.standard_normal((7, 4)).astype("f4"),
        "neighbors": rng.integers(0, 50, (7, 3), np.int32), "distances": rng.random((7, 3), np.float32),
    }  # fmt: skip
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.attrs["distance"] = "angular"
        for name, values in parts.items():
            file[name] = values
    report = convert(tmp_path / "a.hdf5", tmp_path / "train.lfmt", check=True)
    assert report.rows == 50
    assert any("'test'" in note and "--columns" in note for note in report.notes)
    convert(tmp_path / "a.hdf5", tmp_path / "q.lfmt", columns=["test", "neighbors", "distances"], check=True)
    convert(tmp_path / "train.lfmt", tmp_path / "b.hdf5", check=True)
    convert(tmp_path / "q.lfmt", tmp_path / "c.hdf5", check=True, batch_rows=2)
    with h5py.File(tmp_path / "b.hdf5") as base, h5py.File(tmp_path / "c.hdf5") as queries:
        assert base.attrs["distance"] == "angular"
        for name, values in parts.items():
            found = (base if name == "train" else queries)[name]
            assert found.dtype == values.dtype
            assert found[:].tobytes() == values.tobytes()


# -- peers ---------------------------------------------------------------------------------------------


@few
@given(tables([t for t in SCALARS if t not in DECIMALS[2:]] + VECTORS, least=1))
def test_lance_holds_what_lance_reads(room: Path, table: Any) -> None:
    lance = pytest.importorskip("lance")
    report = convert(lfmt_of(table, room), room / "x.lance", overwrite=True, check=True)
    found = lance.dataset(str(room / "x.lance")).to_table()
    assert shown(found) == shown(table)
    changed = {c.column for c in report.changes}
    assert changed == {f.name for f, g in zip(table.schema, found.schema, strict=True) if f.type != g.type}
    convert(room / "x.lance", room / "y.lfmt", overwrite=True, check=True)


@few
@given(
    tables([pa.bool_(), *NUMBERS, *TEXTS, *BYTES, pa.date32(), pa.timestamp("us", "UTC"), *VECTORS], least=1)
)
def test_vortex_holds_what_vortex_reads(room: Path, table: Any) -> None:
    vortex = pytest.importorskip("vortex")
    convert(lfmt_of(table, room), room / "x.vortex", overwrite=True, check=True)
    found = vortex.open(str(room / "x.vortex")).to_arrow().read_all()
    assert shown(found) == shown(table)
    convert(room / "x.vortex", room / "y.lfmt", overwrite=True, check=True)


@pytest.mark.parametrize("suffix", ["lance", "vortex", "parquet"])
def test_types_that_a_format_has_not_are_reported(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip({"parquet": "pyarrow"}.get(suffix, suffix))
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([7], pa.int64()))
    table = pa.table({"plain": pa.array([1, 2], pa.int64()), "runs": runs})
    report = convert(lfmt_of(table, tmp_path), tmp_path / f"x.{suffix}", check=True)
    assert report.changes == [Change("runs", "run_end_encoded<run_ends: int32, values: int64>", "int64")]


def test_dictionaries_that_grow_from_batch_to_batch(tmp_path: Path) -> None:
    kind = pa.dictionary(pa.int8(), pa.string())
    parts = [pa.array([f"w{n}", None, "all"], kind) for n in range(5)]
    write_arrow(pa.table({"d": pa.chunked_array(parts)}), tmp_path / "x.arrows", 3)
    convert(tmp_path / "x.arrows", tmp_path / "x.arrow", check=True)
    with pa.ipc.open_file(tmp_path / "x.arrow") as reader:
        found = reader.read_all()
    assert found.schema.types == [kind]
    assert found["d"].to_pylist() == [v for n in range(5) for v in (f"w{n}", None, "all")]


def test_dictionaries_inside_lists_go_into_a_stream(tmp_path: Path) -> None:
    kind = pa.list_(pa.dictionary(pa.int8(), pa.string()))
    write_arrow(pa.table({"d": pa.array([[f"w{n}"] for n in range(9)], kind)}), tmp_path / "x.arrows")
    convert(tmp_path / "x.arrows", tmp_path / "x.lfmt")
    with pytest.raises(ConversionError, match="--to arrows"):
        convert(tmp_path / "x.lfmt", tmp_path / "y.arrow", batch_rows=3)
    assert not (tmp_path / "y.arrow").exists()
    convert(tmp_path / "x.lfmt", tmp_path / "y.arrows", batch_rows=3, check=True)
    assert read_arrow(tmp_path / "y.arrows").schema.types == [kind]


def test_text_that_parquet_keeps_as_codes_comes_the_same_as_any(tmp_path: Path) -> None:
    """Dictionaries are read as such only where that is how a column lies in all of the file."""
    rows = 20_000
    table = pa.table(
        {
            "few": pa.array([None if i % 7 == 0 else f"word {i % 5}" for i in range(rows)], pa.string_view()),
            "bytes": pa.array([bytes([i % 3]) for i in range(rows)], pa.large_binary()),
            "many": [f"text {i}" for i in range(rows)],
            "late": [f"word {i % 5}" if i < rows // 2 else f"text {i}" for i in range(rows)],
            "listed": [[f"word {i % 5}"] for i in range(rows)],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=rows // 4)
    report = convert(tmp_path / "a.parquet", tmp_path / "a.lfmt", check=True)
    assert report.checked == rows
    with closing(open_source(tmp_path / "a.parquet")) as source:
        stored = next(source.batches(Window(stored=True))).schema
    assert {f.name for f in stored if pa.types.is_dictionary(f.type)} == {"few", "bytes"}
    convert(tmp_path / "a.lfmt", tmp_path / "b.parquet")
    back = pq.read_table(tmp_path / "b.parquet")
    assert back.equals(table)
    assert back.schema.equals(table.schema)
    convert(tmp_path / "a.parquet", tmp_path / "c.lfmt", columns=["bytes", "late"], rows=(3, 12_345))
    convert(tmp_path / "c.lfmt", tmp_path / "c.arrow")
    with pa.ipc.open_file(tmp_path / "c.arrow") as file:
        assert file.read_all().equals(table.select(["bytes", "late"]).slice(3, 12_342))


def test_batches_read_ahead_are_the_same_and_so_are_errors() -> None:
    def numbers(stop: int) -> Iterator[int]:
        yield from range(1, stop)
        raise ValueError("no more")

    found: list[int] = []
    with pytest.raises(ValueError, match="no more"):
        found.extend(ahead(numbers(5)))
    assert found == [1, 2, 3, 4]
    closed = []

    def endless() -> Iterator[int]:
        try:
            yield from itertools.count(1)
        finally:
            closed.append(True)

    source = endless()
    batches = ahead(source)
    assert [next(batches) for _ in range(3)] == [1, 2, 3]
    batches.close()
    source.close()
    assert closed == [True]
