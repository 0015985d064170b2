"""Where bytes come from: files, maps, memory, and a slow source behind a cache."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt import CorruptFileError, InvalidDataError
from lance_fmt.cache import BlockCache
from lance_fmt.cached_source import CachedSource
from lance_fmt.source import (
    BytesSource,
    FileSource,
    MmapSource,
    ReadAt,
    open_source,
    read_array,
    read_exactly,
)

DATA = np.random.default_rng(5).integers(0, 256, 100_000, np.uint8).tobytes()


class Remote:
    """Object storage in memory: remembers the requests, and fails when told to."""

    name = "remote"

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.requests: list[tuple[int, int]] = []
        self.closed = False
        self.fail = False
        self.before: Callable[[], object] = lambda: None

    def read_at(self, offset: int, length: int) -> bytes:
        self.requests.append((offset, length))
        self.before()
        if self.fail:
            raise OSError("no connection")
        return self.data[offset : offset + length]

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").write_bytes(DATA)
    return tmp_path / "data"


SOURCES: dict[str, Callable[[Path], ReadAt]] = {
    "file": FileSource,
    "map": MmapSource,
    "random map": lambda path: MmapSource(path, random=True),
    "bytes": lambda path: BytesSource(path.read_bytes()),
    "cached": lambda path: CachedSource(FileSource(path), block_size=1000),
    "large blocks": lambda path: CachedSource(FileSource(path), block_size=1 << 20),
    "small cache": lambda path: CachedSource(FileSource(path), BlockCache(5000), block_size=1000),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_bytes(kind: str, path: Path) -> None:
    source = SOURCES[kind](path)
    assert isinstance(source, ReadAt)
    assert source.size() == len(DATA)
    for offset, length in [
        (0, 10), (7, 1), (0, 0), (999, 2), (1000, 1000), (500, 3000), (99_990, 10), (99_990, 50),
        (100_000, 5), (200_000, 5), (0, 100_000), (0, 1 << 20),
    ]:  # fmt: skip
        expected = DATA[offset : offset + length]
        for _ in range(2):
            assert bytes(source.read_at(offset, length)) == expected
        if len(expected) == length:
            assert bytes(read_exactly(source, offset, length, "x")) == expected
            assert read_array(source, offset, length, "x").tobytes() == expected
        else:
            for read in (read_exactly, read_array):
                with pytest.raises(CorruptFileError, match=f"{length} bytes expected, {len(expected)} there"):
                    read(source, offset, length, "x")
    source.close()


@pytest.mark.parametrize("missing", [["pread"], ["preadv"], ["pread", "preadv", "posix_fadvise"]])
def test_a_system_without_positioned_reads(
    missing: list[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.delattr(os, name)
    source = FileSource(path)
    source.will_need(0, 10)
    assert source.read_at(50, 100) == DATA[50:150]
    assert source.read_at(99_990, 100) == DATA[99_990:]
    wrong = []

    def work(seed: int) -> None:
        for offset in np.random.default_rng(seed).integers(0, 99_000, 200).tolist():
            if source.read_at(offset, 100) != DATA[offset : offset + 100]:
                wrong.append(offset)

    run_threads(work)
    assert not wrong
    source.close()


def run_threads(work: Callable[[int], None], count: int = 4) -> None:
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_closed_file_cannot_be_read(path: Path) -> None:
    for make in (FileSource, MmapSource, lambda path: CachedSource(FileSource(path))):
        source = make(path)
        source.close()
        with pytest.raises(ValueError, match="closed"):
            source.read_at(0, 5)
        source.close()


def test_what_a_map_gave_outlives_it(path: Path) -> None:
    source = MmapSource(path)
    array = read_array(source, 64, 800, "x").view(np.uint64)
    view = source.read_at(0, 10)
    assert not array.flags.writeable
    assert view.readonly
    source.close()
    del source
    gc.collect()
    assert array.tobytes() == DATA[64:864]
    assert bytes(view) == DATA[:10]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see maps")
def test_a_map_goes_with_the_last_view(path: Path) -> None:
    def mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    source = MmapSource(path)
    view = read_array(source, 0, 10, "x")
    source.close()
    assert mapped()
    del view
    assert not mapped()
    assert not any(
        str(path) == os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()
    )


def test_a_map_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    source = MmapSource(tmp_path / "empty")
    assert (source.size(), bytes(source.read_at(0, 5))) == (0, b"")
    source.will_need(0, 10)
    source.close()


def test_hints_take_any_extent(path: Path) -> None:
    for source in (FileSource(path), MmapSource(path), CachedSource(Remote())):
        for extent in [(0, 1), (5000, 1 << 20), (99_999, 1), (200_000, 10), (3, 0)]:
            source.will_need(*extent)
        source.close()


def test_open_source(path: Path) -> None:
    for what, mmap, expected in [
        (path, False, FileSource),
        (str(path), False, FileSource),
        (path, True, MmapSource),
        (b"abc", False, BytesSource),
    ]:
        source = open_source(what, mmap=mmap)
        assert type(source) is expected
        source.close()
    remote = Remote()
    assert open_source(remote) is remote
    for other in (b"abc", remote):
        with pytest.raises(InvalidDataError, match="only a file at a path can be mapped"):
            open_source(other, mmap=True)
    with pytest.raises(InvalidDataError, match="int is not a path"):
        open_source(5)


READS = st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 700)), max_size=30)


@given(READS, st.integers(1, 300), st.sampled_from([0, 300, 900, 1 << 20]))
def test_a_cached_source_gives_the_bytes_of_the_source(
    reads: list[tuple[int, int]], block_size: int, budget: int
) -> None:
    remote = Remote(DATA[:1000])
    cache = BlockCache(budget)
    source = CachedSource(remote, cache, block_size)
    for offset, length in reads:
        assert bytes(source.read_at(offset, length)) == remote.data[offset : offset + length]
    source.close()
    assert (cache.used, remote.closed) == (0, True)


def test_missing_neighbours_come_with_one_request() -> None:
    remote = Remote()
    source = CachedSource(remote, block_size=1000)
    source.read_at(2500, 100)
    source.read_at(2999, 1)
    assert remote.requests == [(2000, 1000)]
    source.read_at(500, 4000)  # blocks 0..4, of which 2 is there
    assert remote.requests[1:] == [(0, 2000), (3000, 2000)]
    source.read_at(0, 5000)
    assert len(remote.requests) == 3
    source.read_at(99_500, 800)
    assert remote.requests[3:] == [(99_000, 1000)]


def test_long_reads_go_past_the_cache() -> None:
    remote, cache = Remote(), BlockCache(8000)
    source = CachedSource(remote, cache, block_size=1000)
    assert bytes(source.read_at(100, 50_000)) == DATA[100:50_100]
    assert (remote.requests, cache.used) == ([(100, 50_000)], 0)


def test_files_share_a_cache_without_mixing_up() -> None:
    cache = BlockCache()
    one, two = CachedSource(Remote(b"1" * 100), cache), CachedSource(Remote(b"2" * 100), cache)
    assert (bytes(one.read_at(0, 3)), bytes(two.read_at(0, 3))) == (b"111", b"222")
    one.close()
    assert (len(cache), bytes(two.read_at(0, 3))) == (1, b"222")


def test_a_failed_request_leaves_nothing_behind() -> None:
    remote = Remote()
    source = CachedSource(remote, block_size=1000)
    remote.fail = True
    with pytest.raises(OSError, match="no connection"):
        source.read_at(0, 5000)
    remote.fail = False
    assert bytes(source.read_at(0, 5000)) == DATA[:5000]


def test_a_source_that_got_shorter_is_noticed() -> None:
    remote = Remote()
    source = CachedSource(remote, block_size=1000)
    remote.data = DATA[:2500]
    for _ in range(2):
        assert bytes(source.read_at(1900, 3000)) == DATA[1900:2500]
        with pytest.raises(CorruptFileError):
            read_exactly(source, 1900, 3000, "x")
    remote.data = DATA  # a short block was not kept
    assert bytes(source.read_at(1900, 3000)) == DATA[1900:4900]


def test_a_short_block_ends_a_read_even_if_later_ones_are_there() -> None:
    remote = Remote()
    source = CachedSource(remote, block_size=1000)
    source.read_at(3000, 1000)
    remote.data = DATA[:2500]
    assert bytes(source.read_at(1900, 2000)) == DATA[1900:2500]


@pytest.mark.parametrize("fails", [False, True])
def test_one_block_is_not_asked_for_twice_at_once(fails: bool) -> None:
    """A second thread waits for the first one's request, and makes its own only if that failed."""
    remote = Remote()
    source = CachedSource(remote, block_size=1000)
    entered, go = threading.Event(), threading.Event()

    def hold() -> None:
        remote.before = lambda: None
        entered.set()
        assert go.wait(10)
        if fails:
            raise OSError("no connection")

    remote.before = hold
    results: list[object] = []

    def read() -> None:
        try:
            results.append(bytes(source.read_at(0, 1500)))
        except OSError as error:
            results.append(error)

    first = threading.Thread(target=read)
    first.start()
    assert entered.wait(10)
    second = threading.Thread(target=read)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    assert len(remote.requests) == 1
    go.set()
    first.join()
    second.join()
    if fails:
        assert results.count(DATA[:1500]) == 1
    else:
        assert (results, remote.requests) == ([DATA[:1500]] * 2, [(0, 2000)])


def test_reading_ahead_in_the_background() -> None:
    remote = Remote()
    source = CachedSource(remote, block_size=1000)
    source.will_need(0, 20_000)
    while source._background_bytes:
        threading.Event().wait(0.001)
    assert remote.requests == [(0, 20_000)]
    assert bytes(source.read_at(0, 20_000)) == DATA[:20_000]
    assert len(remote.requests) == 1
    remote.fail = True
    source.will_need(50_000, 10_000)  # fails in the background: nobody is told
    source.close()
    source.will_need(0, 10)
    assert remote.closed


def test_many_threads_read_one_cached_source() -> None:
    source = CachedSource(Remote(), BlockCache(30_000), block_size=700)
    wrong = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for offset, length in rng.integers(0, [[100_000, 7000]], (300, 2)).tolist():
            if length % 7 == 0:
                source.will_need(offset, length)
            if bytes(source.read_at(offset, length)) != DATA[offset : offset + length]:
                wrong.append((offset, length))

    run_threads(work, 6)
    source.close()
    assert not wrong
