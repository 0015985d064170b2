"""Many reads with few requests, and reading ahead of who reads in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt import CorruptFileError, InvalidDataError
from lance_fmt.cache import BlockCache
from lance_fmt.cached_source import CachedSource
from lance_fmt.fetch import Extent, Prefetcher, read_many
from lance_fmt.source import BytesSource, FileSource, MmapSource, ReadAt

DATA = np.random.default_rng(5).integers(0, 256, 100_000, np.uint8).tobytes()


class Remote:
    """Remembers what it was asked for and what it was told."""

    name = "remote"

    def __init__(self) -> None:
        self.requests: list[Extent] = []
        self.hints: list[Extent] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.requests.append((offset, length))
        return DATA[offset : offset + length]

    def will_need(self, offset: int, length: int) -> None:
        self.hints.append((offset, length))

    def size(self) -> int:
        return len(DATA)

    def close(self) -> None: ...


class Batching(Remote):
    """Has a `read_many` of its own, like an io_uring."""

    def read_many(self, requests: Sequence[Extent]) -> list[memoryview]:
        self.requests.append((-1, len(requests)))
        return [memoryview(self.read_at(*request)) for request in requests]


EXTENTS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 900)), max_size=30)


@given(EXTENTS, st.integers(0, 500), st.integers(0, 2000), st.sampled_from([Remote, Batching]))
def test_read_many_gives_what_single_reads_give(
    extents: list[Extent], gap: int, largest: int, make: Callable[[], Remote]
) -> None:
    source = make()
    parts = read_many(source, extents, gap=gap, largest=largest)
    assert [bytes(part) for part in parts] == [DATA[a : a + n] for a, n in extents]
    requests = [request for request in source.requests if request[0] >= 0]
    assert requests == sorted(requests)
    for offset, length in requests:
        assert length <= max(largest, *(n for _, n in extents))
        covered = sorted((a, a + n) for a, n in extents if offset <= a and a + n <= offset + length)
        end = offset
        for start, stop in covered:  # nothing is read but extents and gaps between them
            assert start <= end + gap
            end = max(end, stop)
        assert (covered[0][0], end) == (offset, offset + length)
    if gap >= 3000 and largest >= 4000:
        assert len(requests) <= 1


def test_near_extents_share_a_request() -> None:
    source = Remote()
    read_many(source, [(5000, 10), (100, 50), (150, 50), (201, 9), (120, 10)], gap=1)
    assert source.requests == [(100, 110), (5000, 10)]
    source.requests.clear()
    read_many(source, [(0, 600), (600, 300), (900, 200)], gap=0, largest=1000)
    assert source.requests == [(0, 900), (900, 200)]
    source.requests.clear()
    read_many(source, [(0, 5000), (1000, 50)], gap=0, largest=1000)
    assert source.requests == [(0, 5000)]
    batching = Batching()
    read_many(batching, [(0, 1), (50_000, 1), (90_000, 1)], gap=100)
    assert batching.requests[0] == (-1, 3)


@pytest.mark.parametrize("kind", [Remote, Batching, FileSource, MmapSource, BytesSource, CachedSource])
def test_a_source_that_ends_early(kind: Callable[..., ReadAt], tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    argument = {FileSource: tmp_path / "data", MmapSource: tmp_path / "data", BytesSource: DATA}.get(kind)
    source = kind(Remote()) if kind is CachedSource else kind() if argument is None else kind(argument)
    assert [bytes(part) for part in read_many(source, [(99_990, 10), (5, 2)])] == [DATA[-10:], DATA[5:7]]
    for extents in ([(99_995, 10)], [(5, 10), (99_995, 10)], [(0, 1), (200_000, 1)], [(0, 2 << 20)]):
        with pytest.raises(CorruptFileError, match=r"of column 'a': \d+ bytes expected"):
            read_many(source, extents, what="blocks of column 'a'")
    for wrong in [(-1, 5), (5, -1)]:
        with pytest.raises(InvalidDataError):
            read_many(source, [(0, 5), wrong])
    source.close()


class Column:
    """Blocks of 1000 bytes, every second kilobyte of the source."""

    blocks = 50

    def __call__(self, first: int, last: int) -> list[Extent]:
        assert 0 <= first <= last
        return [(2000 * block, 1000) for block in range(first, min(last + 1, self.blocks))]


def blocks(hints: list[Extent]) -> list[int]:
    assert all(offset % 2000 == 0 for offset, _ in hints)
    return [offset // 2000 for offset, _ in hints]


def test_reading_in_order_is_foreseen() -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=10_000)
    for first in range(0, 50, 2):
        before = len(source.hints)
        prefetcher.note("a", first, first + 1, Column())
        asked = blocks(source.hints)
        assert asked == list(range(4, 4 + len(asked))) if first else not asked
        if first > 2:
            assert first in asked[:before]  # asked for by an earlier read
        assert len([block for block in asked if block > first + 1]) <= 10
    assert sorted(blocks(source.hints)) == list(range(4, 50))
    assert (prefetcher.issued, prefetcher.useful) == (46_000, 46_000)


@pytest.mark.parametrize("stride", [5, 7, -3])
def test_a_constant_stride_is_foreseen(stride: int) -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=10_000)
    reads = list(range(0, 50, stride) if stride > 0 else range(49, -1, stride))
    for first in reads:
        prefetcher.note("a", first, first, Column())
    assert blocks(source.hints) == reads[3:]
    assert prefetcher.useful == prefetcher.issued == 1000 * len(reads[3:])


def test_batches_that_end_inside_blocks_are_in_order() -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=10_000)
    for row in range(0, 300, 15):  # 6 rows in a block
        prefetcher.note("a", row // 6, (row + 14) // 6, Column())
    assert sorted(set(blocks(source.hints))) == list(range(5, 50))
    for block in np.repeat(np.arange(20), 3).tolist():  # several reads in each block
        prefetcher.note("b", block, block, Column())
    assert prefetcher.issued >= 60_000


@given(st.lists(st.integers(0, 49), max_size=60))
def test_no_pattern_asks_for_little_and_bounds_hold(reads: list[int]) -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=5000)
    for i, block in enumerate(reads):
        prefetcher.note(i % 3, block, block, Column())
        assert 0 <= prefetcher._pending <= 5000
        assert prefetcher.useful + prefetcher._pending <= prefetcher.issued
        assert prefetcher._pending == sum(n for s in prefetcher._streams.values() for _, n in s.asked)
    assert prefetcher.issued == sum(length for _, length in source.hints)


def test_random_reads_ask_for_nothing() -> None:
    source = Remote()
    prefetcher = Prefetcher(source)
    for block in [3, 17, 5, 40, 2, 30, 9, 25, 11, 0]:
        prefetcher.note("a", block, block, Column())
    assert not source.hints


def test_columns_read_in_turns_share_the_bytes_ahead() -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=8000)
    for first in range(10):
        for name in "abcd":
            prefetcher.note(name, first, first, Column())
            assert prefetcher._pending <= 8000
    assert all(len(stream.asked) for stream in prefetcher._streams.values())


def test_a_late_column_waits_for_bytes_to_be_free() -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=8000)
    for first in range(3):
        prefetcher.note("early", first, first, Column())
    assert prefetcher._pending > 4000
    for first in range(4):
        prefetcher.note("late", first, first, Column())
        assert prefetcher._pending <= 8000


def test_a_column_nobody_reads_any_more_is_forgotten() -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=5000)
    for first in range(3):
        prefetcher.note("left", first, first, Column())
    held = prefetcher._pending
    assert held > 0
    for number in range(600):
        prefetcher.note(number, 0, 0, Column())
    assert prefetcher._pending == 0
    assert len(prefetcher._streams) <= 64


def test_a_window_larger_than_all_that_may_be_ahead_is_cut() -> None:
    source = Remote()
    prefetcher = Prefetcher(source, ahead=2500)
    for first in range(0, 30, 10):
        prefetcher.note("a", first, first + 9, Column())
    assert source.hints[:3] == [(40_000, 1000), (42_000, 1000), (44_000, 500)]


def test_it_never_raises() -> None:
    def fails(first: int, last: int) -> list[Extent]:
        raise CorruptFileError("x", 0, "damaged")

    def closed(offset: int, length: int) -> None:
        raise ValueError("closed file")

    source = Remote()
    prefetcher = Prefetcher(source)
    for first in range(5):
        prefetcher.note("a", first, first, fails)
    source.will_need = closed  # type: ignore[method-assign]
    refused = Prefetcher(source)
    for first in range(5):
        refused.note("a", first, first, Column())
    silent = Prefetcher(BytesSource(DATA))
    for first in range(5):
        silent.note("a", first, first, Column())
    assert (prefetcher.issued, refused.issued, refused._pending, silent.issued) == (0, 0, 0, 0)


@pytest.mark.parametrize("kind", ["file", "map", "remote"])
def test_with_real_sources(kind: str, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    path, remote = tmp_path / "data", Remote()
    source: ReadAt = {
        "file": lambda: FileSource(path),
        "map": lambda: MmapSource(path),
        "remote": lambda: CachedSource(remote, BlockCache(), 1000),
    }[kind]()
    prefetcher = Prefetcher(source, 20_000)
    for first in range(0, 50, 5):
        prefetcher.note("strided", first, first, Column())
        read_many(source, Column()(first, first))
    assert prefetcher.issued == prefetcher.useful == 7000
    prefetcher = Prefetcher(source, 20_000)
    for first in range(50):
        prefetcher.note("a", first, first, Column())
        ((offset, length),) = Column()(first, first)
        assert bytes(source.read_at(offset, length)) == DATA[offset : offset + length]
    if kind != "remote":  # the system reads ahead by itself
        assert prefetcher.issued == 0
    else:
        assert prefetcher.issued == prefetcher.useful == 48_000
        assert len(set(remote.requests)) == len(remote.requests) == 50
    source.close()


def test_many_threads() -> None:
    source = Remote()
    prefetcher = Prefetcher(source, 10_000)

    def work(name: int) -> None:
        for first in range(49):
            prefetcher.note(name, first, first, Column())
            time.sleep(0)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert prefetcher.issued == sum(length for _, length in source.hints)
    assert 0 <= prefetcher._pending <= 10_000
