"""Opening and reading: sources, cache, threads, wide tables, and what is not imported."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
from lance_fmt import BlockCache, CorruptFileError, InvalidDataError, SchemaError
from tests.support.format_values import file_of, repeated, sample_columns


class _Counted:
    """A source that records its reads."""

    def __init__(self, data: bytes) -> None:
        self.name = "counted"
        self.reads: list[tuple[int, int]] = []
        self.closed = False
        self._data = data

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self._data[offset : offset + length]

    def size(self) -> int:
        return len(self._data)

    def close(self) -> None:
        self.closed = True


def test_one_read_opens_a_file() -> None:
    source = _Counted(file_of({"v": np.zeros((3000, 64), np.float32), "n": np.arange(3000)}))
    with lance_fmt.open(source) as file:
        assert file.num_rows == 3000
        assert file.path == "counted"
        assert len(source.reads) == 1
        _ = file.schema
        assert len(source.reads) == 1
    assert source.closed


def test_a_column_of_vectors_is_one_read() -> None:
    source = _Counted(file_of({"n": np.arange(9000), "v": np.zeros((9000, 128), np.float32)}))
    file = lance_fmt.open(source)
    file.read(["v"], slice(0, 1))
    file.column("v")
    source.reads.clear()
    file.read(["v"])
    assert source.reads == [(64, 9000 * 512)]


def test_a_row_reads_one_block_and_the_next_none() -> None:
    source = _Counted(file_of({"v": np.zeros((9000, 128), np.float32)}))
    file = lance_fmt.open(source)
    file.column("v")
    source.reads.clear()
    file.row(5000)
    assert len(source.reads) == 1
    assert source.reads[0][1] <= 64 * 1024
    file.row(5001)
    assert len(source.reads) == 1
    assert file.take([5000, 5001])["v"].array.shape == (2, 128)
    assert [length for _, length in source.reads[1:]] == [512, 512]  # of an array on disk, rows by themselves


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "bytearray", "memoryview", "object"])
def test_sources(kind: str, tmp_path: Path) -> None:
    columns = sample_columns()
    data = file_of(columns)
    path = tmp_path / "x.lfmt"
    path.write_bytes(data)
    sources = {
        "path": path,
        "text": str(path),
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "object": _Counted(data),
    }
    with lance_fmt.open(sources[kind]) as file:  # type: ignore[arg-type]
        table = file.read()
        file.verify()
    for name, column in columns.items():
        assert table[name].equals(column)


def test_a_large_file_from_disk(tmp_path: Path) -> None:
    columns = {name: repeated(column, 20_000) for name, column in sample_columns().items()}
    lance_fmt.write(tmp_path / "x.lfmt", columns)
    with lance_fmt.open(tmp_path / "x.lfmt") as file:
        table = file.read()
        for name, column in columns.items():
            assert table[name].equals(column)


@pytest.mark.parametrize("data", [b"", b"LFMT", b"PK" * 100, b"LFMT" + b"\0" * 200 + b"LFMT"])
def test_what_is_no_such_file(data: bytes) -> None:
    with pytest.raises(CorruptFileError):
        lance_fmt.open(data)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lance_fmt.open(tmp_path / "none")
    with pytest.raises(InvalidDataError, match="int is not a path"):
        lance_fmt.open(5)  # type: ignore[arg-type]


def test_refusals() -> None:
    file = lance_fmt.open(file_of({"a": [1, 2, 3]}))
    with pytest.raises(SchemaError, match="no column 'b'; there are 'a'"):
        file.read(["b"])
    with pytest.raises(InvalidDataError, match="list of names"):
        file.read("a")
    for rows in (slice(0, 3, 2), range(4), range(2, 0, -1), range(-1, 1)):
        with pytest.raises(InvalidDataError):
            file.read(rows=rows)
    for picks in ([3], [-1], [0.5], [[0]]):
        with pytest.raises(InvalidDataError):
            file.take(picks)  # type: ignore[arg-type]
    for row in (-1, 3):
        with pytest.raises(InvalidDataError):
            file.row(row)
    with pytest.raises(InvalidDataError):
        next(file.batches(0))


def test_columns_asked_for_in_an_order_come_in_it() -> None:
    file = lance_fmt.open(file_of({"a": [1], "b": [2], "c": [3]}))
    assert file.read(["c", "a"]).to_pydict() == {"c": [3], "a": [1]}
    assert list(file.row(0, ["b", "a"])) == ["b", "a"]
    assert list(file.take([0], ["c"]).schema) == [file.schema["c"]]


def test_many_columns() -> None:
    names = [f"column {i}" for i in range(3000)]
    source = _Counted(file_of({name: np.array([i]) for i, name in enumerate(names)}))
    file = lance_fmt.open(source)
    assert len(source.reads) == 1  # the table of columns is too long for it: it comes when it is wanted
    assert file.read(["column 2777"]).to_pydict() == {"column 2777": [2777]}
    assert len(source.reads) <= 7  # header, table, schema, metadata, page index, page
    assert "schema" not in vars(file)
    assert file.schema.names == names


def test_names_with_equal_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_fmt.footer.name_hash", lambda _: 7)
    monkeypatch.setattr("lance_fmt.writer.name_hash", lambda _: 7)
    with lance_fmt.open(file_of({"b": [1], "a": [2], "c": [3]})) as file:
        file.verify()
        assert file.row(0) == {"b": 1, "a": 2, "c": 3}
        with pytest.raises(SchemaError):
            file.read(["d"])


@pytest.mark.parametrize("budget", [0, 10_000, 300_000, 3_000_000])
def test_the_cache_stays_within_its_budget(budget: int) -> None:
    data = file_of({"v": np.zeros((20_000, 64), np.float32), "s": [f"{i}" * 20 for i in range(20_000)]})
    cache = BlockCache(budget)
    with lance_fmt.open(data, cache=cache) as file, lance_fmt.open(data, cache=cache) as other:
        for row in range(0, 20_000, 300):
            file.row(row)
            assert other.row(row)["v"].tolist() == [0.0] * 64
            assert other.row(row)["s"] == f"{row}" * 20
            assert cache.used <= budget
        file.take(np.arange(0, 20_000, 7))
        assert cache.used <= budget
        assert len(cache) > 0 or budget < 300_000
    assert (cache.used, len(cache)) == (0, 0)


def test_the_least_recently_used_goes_first() -> None:
    cache = BlockCache(30)
    for key in (1, 2, 3):
        cache.put(key, str(key), 10)
    assert cache.get(1) == "1"
    cache.put(4, "4", 10)
    assert [cache.get(key) for key in (1, 2, 3, 4)] == ["1", None, "3", "4"]
    cache.put(4, "four", 30)
    assert (cache.get(4), cache.used, len(cache)) == ("four", 30, 1)
    cache.put(5, "larger than the budget: not kept, and nothing has to go for it", 31)
    assert (cache.get(5), cache.used, len(cache)) == (None, 30, 1)


def test_many_threads_read_one_file(tmp_path: Path) -> None:
    columns = {name: repeated(column, 4000) for name, column in sample_columns().items()}
    lance_fmt.write(tmp_path / "x.lfmt", columns)
    with lance_fmt.open(tmp_path / "x.lfmt", cache=BlockCache(200_000)) as file:

        def work(seed: int) -> bool:
            rng = np.random.default_rng(seed)
            for _ in range(5):
                picks = rng.integers(0, 4000, 5)
                table = file.take(picks)
                row = file.row(int(picks[0]))
                part = file.read(rows=slice(int(picks[1]), int(picks[1]) + 50))
                for name, column in columns.items():
                    if not table[name].equals(column.take(picks)):
                        return False
                    if not part[name].equals(column.slice(int(picks[1]), min(int(picks[1]) + 50, 4000))):
                        return False
                    np.testing.assert_equal(
                        row[name], column.slice(int(picks[0]), int(picks[0]) + 1).to_pylist()[0]
                    )
            return True

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(8)))


def test_opening_and_inspecting_import_no_numba(tmp_path: Path) -> None:
    path = tmp_path / "x.lfmt"
    lance_fmt.write(path, sample_columns())
    program = (
        "import sys, lance_fmt\n"
        f"f = lance_fmt.open({str(path)!r})\n"
        "f.schema, f.metadata, [f.column(n) for n in f.schema.names]\n"
        "f.read(['vector<float32, 3>']), f.row(3, ['bool'])\n"
        "assert not {'numba', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "f.read()\n"
        "assert 'numba' in sys.modules\n"
    )
    root = Path(lance_fmt.__file__).parents[1]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, timeout=120)


def test_repr() -> None:
    with lance_fmt.open(file_of({"a": [1, 2]})) as file:
        assert repr(file) == "File('<bytes>', 2 rows, 1 columns, format 1.1)"
        assert file.version == "1.1"
        info = file.column("a")
    assert (info.nulls, info.page_rows, info.block_rows) == (0, 2**17, 2**14)
    assert info.length == 64 + info.pages[0].index_length
    assert [(offset, rows, nulls) for offset, _, rows, nulls in info.pages[0].blocks] == [(64, 2, 0)]


def test_a_file_of_arrays_only_says_that_any_reader_can_read_it() -> None:
    with lance_fmt.open(file_of({"v": np.zeros((10, 4), np.float32)})) as file:
        assert (file.version, file.footer.features) == ("1.0", 0)


class _Nosy(_Counted):
    """Also says which bytes were read of it."""

    def bytes_read(self, start: int = 0) -> int:
        return sum(length for _, length in self.reads[start:])


def test_batches_read_every_byte_once_and_keep_nothing() -> None:
    rows = 60_000
    columns = {
        "v": np.zeros((rows, 16), np.float32),
        "n": np.random.default_rng(0).integers(0, 2**60, rows),
        "s": [f"row {i} {i * 7919 % 1000}" for i in range(rows)],
    }
    source, cache = _Nosy(file_of(columns)), BlockCache(400_000)
    with lance_fmt.open(source, cache=cache) as file:
        opened, done = source.bytes_read(), 0
        size = max(file.column(name).block_rows for name in ("n", "s"))
        for batch in file.batches(size, ["n", "s"]):
            done += batch.num_rows
            assert cache.used <= 400_000
        assert done == rows
        wanted = sum(file.column(name).length for name in ("n", "s"))
        metadata = 2 * 8192
        opened += sum(file.column(name).metadata_length for name in ("n", "s"))
        assert source.bytes_read() - opened <= 1.1 * wanted + metadata
        assert max(length for _, length in source.reads[1:]) < wanted / 2
        source.reads.clear()
        next(file.batches(1000, ["n"], rows=range(30_000, 40_000)))
        assert source.bytes_read() <= 2 * 128 * 1024 + file.column("n").pages[0].index_length


def test_the_edge_that_another_thread_leaves_meanwhile_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"a": np.arange(60_000)}
    file = lance_fmt.open(file_of(columns))
    reader = file._reader("a")
    other = lance_fmt.Column.from_numpy(np.full(file.column("a").block_rows, -1))
    looks = iter(
        [(0, 0, None), *[(7, 7, other)] * 99]
    )  # the second look finds what another thread has put there
    monkeypatch.setattr(
        type(reader), "_edge", property(lambda _: next(looks), lambda *_: None), raising=False
    )
    assert np.array_equal(file.read(rows=slice(5, 90))["a"].to_numpy(), np.arange(5, 90))
