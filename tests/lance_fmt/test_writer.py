"""Writing: streams, paths, shifts and refusals."""

from __future__ import annotations

import io
import time
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, Field, InvalidDataError, Schema, SchemaError, Table, Writer
from lance_fmt.constants import TARGET_PAGE_BYTES
from lance_fmt.pipeline import PagePipeline
from lance_fmt.writer import choose_shifts
from tests.support.format_values import fewer, file_of, repeated, sample_columns

SCHEMA = Schema(
    [Field("n", lance_fmt.int64()), Field("v", lance_fmt.vector(lance_fmt.float32(), 4), nullable=False)]
)


@fewer
@given(st.lists(st.integers(0, 60), min_size=1, max_size=5))
def test_a_stream_reads_as_one_table(sizes: list[int]) -> None:
    whole = Table({name: repeated(column, sum(sizes) * 50) for name, column in sample_columns(30).items()})
    out = io.BytesIO()
    with Writer(out, whole.schema) as writer:
        start = 0
        for size in sizes:
            writer.write(whole.slice(start, start + size * 50))
            start += size * 50
    with lance_fmt.open(out.getvalue()) as file:
        file.verify()
        table = file.read()
        assert file.num_rows == start
        for name in whole:
            assert table[name].equals(whole[name])


def test_pages_of_a_stream_go_out_as_they_fill() -> None:
    out = io.BytesIO()
    vectors = np.random.default_rng(0).standard_normal((1000, 256), dtype=np.float32)
    columns = {"v": vectors, "n": np.arange(1000)}
    writer = Writer(out, Table.of(columns).schema)
    positions = []
    for _ in range(8):
        writer.write(columns)
        positions.append(out.tell())
    assert positions[-1] > 4 << 20
    assert sorted(positions) == positions
    summary = writer.close()
    assert writer.close() is summary
    with lance_fmt.open(out.getvalue()) as file:
        file.verify()
        assert np.array_equal(file.read(["v"])["v"].array, np.concatenate([vectors] * 8))
        assert file.read(["n"])["n"].array.tolist() == list(range(1000)) * 8


def test_a_stream_keeps_nothing_of_the_callers_arrays() -> None:
    out = io.BytesIO()
    numbers, vectors = np.arange(10), np.ones((10, 4), np.float32)
    with Writer(out, SCHEMA) as writer:
        writer.write({"n": numbers, "v": vectors})
        numbers[:], vectors[:] = -1, -1
    table = lance_fmt.open(out.getvalue()).read()
    assert table["n"].to_pylist() == list(range(10))
    assert (table["v"].array == 1).all()


def test_the_summary_describes_the_file() -> None:
    out = io.BytesIO()
    summary = lance_fmt.write(out, {"a": [1, 2, 3]})
    data = out.getvalue()
    assert summary == lance_fmt.WriteSummary(len(data), int.from_bytes(data[-8:-4], "little"), 3)


def test_the_fingerprint_covers_values() -> None:
    a, b = io.BytesIO(), io.BytesIO()
    assert lance_fmt.write(a, {"a": [1, 2, 3]}).footer_crc != lance_fmt.write(b, {"a": [1, 2, 4]}).footer_crc


def test_a_path_is_replaced_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.lfmt"
    path.write_bytes(b"before")
    writer = Writer(path, SCHEMA, {"k": "v"})
    writer.write({"n": [1], "v": np.ones((1, 4), np.float32)})
    assert path.read_bytes() == b"before"
    writer.close()
    with lance_fmt.open(path) as file:
        assert file.num_rows == 1
        assert file.metadata == {"k": "v"}
    assert [p.name for p in tmp_path.iterdir()] == ["x.lfmt"]


def test_an_error_leaves_nothing_at_a_path(tmp_path: Path) -> None:
    path = tmp_path / "x.lfmt"
    path.write_bytes(b"before")
    with pytest.raises(SchemaError):
        lance_fmt.write(path, {"a": [1], "b": [1, 2]})
    with pytest.raises(InvalidDataError, match="column 'v'"), Writer(path, SCHEMA) as writer:
        writer.write({"n": [1, 2], "v": Column.nulls(SCHEMA["v"].type, 2)})
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["x.lfmt"]


class _FullDisk(io.BytesIO):
    def write(self, data: Any, /) -> int:
        raise OSError(28, "No space left on device")


def test_an_error_of_the_sink_comes_through() -> None:
    with pytest.raises(OSError, match="No space left"):
        lance_fmt.write(_FullDisk(), {"a": [1]})


def test_a_full_disk_at_the_end_leaves_nothing_at_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(tmp_path / "x.lfmt", SCHEMA)
    writer.write({"n": [1], "v": np.ones((1, 4), np.float32)})
    monkeypatch.setattr(writer, "_finish", lambda: _FullDisk().write(b""))
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_refusals() -> None:
    writer = Writer(io.BytesIO(), SCHEMA)
    with pytest.raises(SchemaError, match="the schema says"):
        writer.write({"n": [1]})
    with pytest.raises(InvalidDataError, match="not nullable, yet has 1 nulls"):
        writer.write({"n": [1], "v": Column.nulls(SCHEMA["v"].type, 1)})
    writer.abort()
    with pytest.raises(InvalidDataError, match="given up"):
        writer.close()
    with pytest.raises(InvalidDataError, match="closed"):
        writer.write({"n": [1], "v": np.ones((1, 4), np.float32)})
    with pytest.raises(InvalidDataError, match="metadata"):
        lance_fmt.write(io.BytesIO(), {"a": [1]}, metadata={"a": 1})  # type: ignore[dict-item]


def test_nullable_and_field_metadata_come_back() -> None:
    schema = Schema([Field("a", lance_fmt.int8(), nullable=False, metadata={"unit": "m"})])
    with lance_fmt.open(file_of({"a": [1]}, schema=schema)) as file:
        assert file.schema == schema
        assert file.read().schema == schema


@pytest.mark.parametrize(
    ("kind", "rows", "size", "expected"),
    [
        (lance_fmt.int64(), 0, 0, (17, 14)),
        (lance_fmt.bool_(), 0, 0, (17, 16)),
        (lance_fmt.float16(), 0, 0, (17, 16)),
        (lance_fmt.decimal(38), 0, 0, (16, 13)),
        (lance_fmt.string(), 100, 1100, (16, 14)),
        (lance_fmt.string(), 10, 10 * 5_000_000, (0, 0)),
        (lance_fmt.struct([Field("a", lance_fmt.int8())]), 1000, 1000, (17, 16)),
        (lance_fmt.vector(lance_fmt.float32(), 384), 0, 0, (11, 4)),
        (lance_fmt.vector(lance_fmt.float64(), 2**20), 0, 0, (6, 0)),
    ],
)
def test_shifts(kind: lance_fmt.DataType, rows: int, size: int, expected: tuple[int, int]) -> None:
    assert choose_shifts(kind, rows, size) == expected


def test_rows_of_very_different_length() -> None:
    values = ["x" * (1 if i % 50 else 300_000) for i in range(200)]
    with lance_fmt.open(file_of({"s": values, "l": [[1] * len(v) for v in values[:200]]})) as file:
        assert file.read()["s"].to_pylist() == values
        assert len(file.row(50)["l"]) == 300_000


def test_blocks_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_fmt.page.MAX_BLOCK_BYTES", 1000)
    with pytest.raises(InvalidDataError, match="a block holds 1000"):
        file_of({"s": ["x" * 2000]})
    monkeypatch.setattr("lance_fmt.page.MAX_BLOCK_ITEMS", 5)
    with pytest.raises(InvalidDataError, match="6 items of list<int64>.*a block holds 5"):
        file_of({"s": [[1, 2, 3, 4, 5, 6]]})


def test_a_writer_of_batches_holds_a_page_of_each_column() -> None:
    """What was written and is not in the sink yet is less than two pages of each column."""
    rng, out, given = np.random.default_rng(0), io.BytesIO(), 0
    numbers = {f"n{i}": lance_fmt.int64() for i in range(3)}
    schema = Schema([Field(name, kind) for name, kind in numbers.items()] + [Field("s", lance_fmt.binary())])
    with Writer(out, schema, encodings=dict.fromkeys(schema.names, "plain")) as writer:
        for _ in range(30):
            batch: dict[str, Any] = {name: rng.integers(0, 2**62, 20_000) for name in numbers}
            noise = rng.bytes(20_000 * 40)
            batch["s"] = [noise[i : i + 40] for i in range(0, len(noise), 40)]
            writer.write(batch)
            given += 20_000 * (3 * 8 + 40)
            assert given - out.tell() <= 2 * 4 * TARGET_PAGE_BYTES
            pending = [sum(part.nbytes for part in column._pending) for column in writer._columns]
            assert max(pending) <= 2 * TARGET_PAGE_BYTES
    with lance_fmt.open(out.getvalue()) as file:
        assert file.num_rows == 30 * 20_000
        assert len(file.column("s").pages) > 10
        file.verify()


def test_text_that_grows_after_the_first_page_is_still_cut_in_pages() -> None:
    """The shifts of a column are chosen when its first page is full, and hold for all others."""
    out = io.BytesIO()
    with Writer(out, Schema([Field("s", lance_fmt.string())])) as writer:
        writer.write({"s": ["short"] * 100_000})
        for _ in range(4):
            writer.write({"s": ["x" * 1000] * 5_000})
    with lance_fmt.open(out.getvalue()) as file:
        assert file.num_rows == 120_000
        assert file.row(119_999) == {"s": "x" * 1000}
        assert file.take([99_999, 100_000])["s"].to_pylist() == ["short", "x" * 1000]


@pytest.mark.parametrize("level", ["speed", "balanced", "small"])
def test_threads_write_the_same_bytes(level: str) -> None:
    rng = np.random.default_rng(3)
    batches = [
        {
            "price": rng.integers(0, 10_000, 40_000) / 100,
            "single": (rng.integers(0, 10_000, 40_000) / 100).astype(np.float32),
            "word": Column.from_pylist([f"word {i % 90}" for i in range(40_000)], lance_fmt.string()),
            "text": Column.from_pylist([f"text {i * i} of {k}" for i in range(40_000)], lance_fmt.string()),
            "id": np.arange(40_000) + 40_000 * k,
            "far": rng.integers(0, 2**60, 40_000),
        }
        for k in range(6)
    ]

    def written(threads: int, *, copy: bool = True) -> bytes:
        sink = io.BytesIO()
        with Writer(
            sink, Table.of(batches[0]).schema, level=level, row_index=["id"], threads=threads
        ) as writer:
            for batch in batches:
                writer.write(batch, copy=copy)
        return sink.getvalue()

    expected = written(1)
    assert [written(2), written(3), written(1, copy=False)] == [expected] * 3
    with lance_fmt.open(expected) as file:
        assert file.column("price").pages[1:]
        assert file.read(["text"])["text"].equals(Column.concat([batch["text"] for batch in batches]))


def test_threads_are_done_with_what_was_not_to_be_copied_only_if_they_may_be() -> None:
    """With `copy`, arrays may change after `write`; without, pages may still be waiting for a thread."""

    def written(threads: int) -> bytes:
        sink, values = io.BytesIO(), np.arange(400_000)
        with Writer(sink, Schema([Field("a", lance_fmt.int64())]), threads=threads) as writer:
            for _ in range(4):
                writer.write({"a": values})
                values[:] = values[::-1] * 3 % 1_000_003
        return sink.getvalue()

    assert written(2) == written(1)


class _Noted:
    """A column that notes what happens to its pages, each of which takes some seconds."""

    def __init__(self, name: str, log: list[tuple[str, str, int]], seconds: float = 0) -> None:
        self.name, self.log, self.seconds = name, log, seconds
        self.inside = 0
        self.awaited: Event | None = None
        self.told: dict[int, Event] = {}

    def build(self, page: Column) -> Any:
        self.inside += 1
        assert self.inside == 1, "two threads at one column"
        time.sleep(self.seconds)
        if self.awaited is not None:
            assert self.awaited.wait(30), "the other column waits for this one"
        number = int(page.array[0])
        self.log.append(("built", self.name, number))
        if number in self.told:
            self.told[number].set()
        self.inside -= 1
        return page

    def put(self, image: Any) -> None:
        self.log.append(("put", self.name, int(image.array[0])))


def test_pages_are_put_in_the_order_they_came_in_however_long_each_takes() -> None:
    log: list[tuple[str, str, int]] = []
    slow, quick = _Noted("slow", log, 0.002), _Noted("quick", log)
    slow.awaited = quick.told[4] = Event()
    pipeline = PagePipeline(2)
    came = [("slow", 0), ("quick", 1), ("quick", 2), ("slow", 3), ("quick", 4), ("slow", 5)]
    for name, number in came:
        pipeline.add(slow if name == "slow" else quick, Column.from_numpy(np.full(8, number)))
    pipeline.finish()
    pipeline.stop()
    assert [(name, number) for what, name, number in log if what == "put"] == came
    for each in ("slow", "quick"):
        built = [number for what, name, number in log if (what, name) == ("built", each)]
        assert built == sorted(built)


def test_only_so_many_bytes_of_pages_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_fmt.pipeline._WAITING_BYTES", 200)
    log: list[tuple[str, str, int]] = []
    pipeline = PagePipeline(2)
    slow = _Noted("slow", log, 0.005)
    for number in range(8):
        pipeline.add(slow, Column.from_numpy(np.full(8, number)))  # 64 bytes each
        assert number - sum(what == "put" for what, _, _ in log) < 3
    pipeline.finish()
    pipeline.stop()
    assert [number for what, _, number in log if what == "put"] == list(range(8))


def test_pages_given_up_are_not_encoded() -> None:
    log: list[tuple[str, str, int]] = []
    pipeline = PagePipeline(2)
    for number in range(300):
        pipeline.add(_Noted("slow", log, 0.01), Column.from_numpy(np.full(8, number)))
    pipeline.stop()
    assert sum(what == "built" for what, _, _ in log) < 150


def test_an_error_in_a_thread_comes_through_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lance_fmt.page.MAX_BLOCK_BYTES", 1 << 18)
    schema = Schema([Field("a", lance_fmt.int64()), Field("b", lance_fmt.string())])
    with (
        pytest.raises(InvalidDataError, match="split such values"),
        Writer(tmp_path / "a.lfmt", schema, threads=2) as writer,
    ):
        writer.write({"a": np.arange(4), "b": ["x" * (1 << 20)] * 4})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidDataError, match="threads is 0; at least 1"):
        Writer(tmp_path / "a.lfmt", schema, threads=0)
