"""Row indexes against a dict, byte for byte against a naive writer, and against damage of every kind."""

from __future__ import annotations

import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.checksum import crc32c
from lance_fmt.errors import CorruptFileError, InvalidDataError
from lance_fmt.row_index import RowIndex, write_row_index
from lance_fmt.source import BytesSource

BEFORE = 24  # bytes of a file before the region
BIG = 2**40
# Few distinct bits, so that partitions, buckets and marks collide.
CLOSE = st.builds(
    lambda top, bucket, mark, low: top << 56 | bucket << 44 | mark << 30 | low,
    st.sampled_from([0, 1, 128, 255]),
    st.integers(0, 2**12 - 1),
    st.integers(0, 3),
    st.sampled_from([0, 2**30 - 1]),
)
HASHES = st.lists(st.integers(0, 2**64 - 1) | CLOSE | st.sampled_from([0, 2**63, 2**64 - 1]), max_size=120)


class CountingSource(BytesSource):
    def __init__(self, data: bytes) -> None:
        super().__init__(data, "file.lfmt")
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> memoryview:
        self.reads.append((offset, length))
        return super().read_at(offset, length)


def header_size(region: bytes) -> int:
    return 16 + 8 * 2 ** region[8]


def opened(region: bytes, limit: int, crc: int | None = None) -> tuple[RowIndex, CountingSource]:
    source = CountingSource(bytes(BEFORE) + region + b"behind")
    crc = crc32c(region[: header_size(region)]) if crc is None else crc
    return RowIndex(source, BEFORE, len(region), crc, "id", rows=limit), source


def random_hashes(count: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


def naive_region(hashes: list[int], rows: list[int]) -> bytes:
    """The region as FORMAT.md tells a writer to make it."""
    total = 0
    while 16 * 2**total < len(hashes):
        total += 1
    bucket_bits = min(total, 8)
    partition_bits = total - bucket_bits
    width, code = (8, "Q") if rows and rows[-1] >= 2**32 else (4, "I")
    entries = sorted((h // 2 ** (48 - total), row) for h, row in zip(hashes, rows, strict=True))
    records, partitions = b"", b""
    for partition in range(2**partition_bits):
        mine = [(k, r) for k, r in entries if k // 2 ** (16 + bucket_bits) == partition]
        buckets = [k // 2**16 % 2**bucket_bits for k, _ in mine]
        directory = [sum(b < bucket for b in buckets) for bucket in range(2**bucket_bits + 1)]
        data = struct.pack(f"<{len(mine)}{code}", *(r for _, r in mine))
        data += struct.pack(f"<{len(directory)}I", *directory)
        data += struct.pack(f"<{len(mine)}H", *(k % 2**16 for k, _ in mine))
        data += bytes(-len(data) % 8)
        records += struct.pack("<II", len(mine), crc32c(data))
        partitions += data
    header = struct.pack("<QBBB5x", len(rows), partition_bits, bucket_bits, width)
    return header + records + partitions


def naive_candidates(hashes: list[int], rows: list[int], wanted: int) -> list[int]:
    """Rows whose hashes agree in the bits that an index of them keeps."""
    total = 0
    while 16 * 2**total < len(hashes):
        total += 1
    kept = 48 - total
    return [r for h, r in zip(hashes, rows, strict=True) if h >> kept == wanted >> kept]


@given(HASHES, st.data())
def test_does_as_a_dict(hashes: list[int], data: st.DataObject) -> None:
    steps = st.integers(1, 5) | st.sampled_from([2**31, BIG])
    gaps = data.draw(st.lists(steps, min_size=len(hashes), max_size=len(hashes)))
    rows = (np.cumsum([0, *gaps])[:-1] if data.draw(st.booleans()) else np.arange(len(hashes))).tolist()
    region = write_row_index(np.array(hashes, np.uint64), np.array(rows, np.int64))
    assert region == naive_region(hashes, rows)
    wanted = hashes + data.draw(HASHES)
    expected = [naive_candidates(hashes, rows, value) for value in wanted]
    index, _ = opened(region, max(rows, default=0) + 1)
    found = [index.candidates(value) for value in wanted]
    assert found == expected
    assert all(type(row) is int for rows_of_one in found for row in rows_of_one)
    index, _ = opened(region, max(rows, default=0) + 1)
    starts, batch = index.candidates_batch(np.array(wanted, np.uint64))
    assert (starts.dtype, batch.dtype, starts.shape) == (np.int64, np.int64, (len(wanted) + 1,))
    assert [batch[a:b].tolist() for a, b in pairwise(starts)] == expected


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 4096, 4097, 10_000, 70_000])
def test_finds_every_row(count: int) -> None:
    hashes = random_hashes(count)
    region = write_row_index(hashes)
    index, _ = opened(region, count)
    starts, rows = index.candidates_batch(hashes)
    assert (np.diff(starts) >= 1).all()
    assert set(rows.tolist()) == set(range(count))
    for row in range(0, count, max(1, count // 50)):
        assert row in index.candidates(int(hashes[row]))
    assert index.candidates_batch(np.empty(0, np.uint64))[0].tolist() == [0]
    others = index.candidates_batch(random_hashes(20_000, seed=4))[1]
    assert len(others) <= 20_000 * 16 / 2**16 * 2


@pytest.mark.parametrize("value", [0, 2**63, 2**64 - 1])
def test_all_hashes_equal(value: int) -> None:
    count = 70_000
    index, _ = opened(write_row_index(np.full(count, value, np.uint64)), count)
    assert index.candidates(value) == list(range(count))
    assert index.candidates(value ^ 1 << 60) == []
    starts, rows = index.candidates_batch(np.array([value ^ 1 << 60, value, 12345 << 30], np.uint64))
    assert starts.tolist() == [0, 0, count, count] and (rows == np.arange(count)).all()


def test_rows_that_need_more_than_32_bits() -> None:
    hashes = random_hashes(10_000)
    rows = np.arange(10_000, dtype=np.int64) * 2**30
    index, _ = opened(write_row_index(hashes, rows), int(rows[-1]) + 1)
    assert all(int(rows[i]) in index.candidates(int(hashes[i])) for i in range(0, 10_000, 99))
    assert set(index.candidates_batch(hashes)[1].tolist()) == set(rows.tolist())


def test_both_ways_of_sorting_do_as_the_twin() -> None:
    hashes = random_hashes(5000) & np.uint64(0xFFFF << 40)
    rows = np.arange(5000, dtype=np.int64) * 3
    expected = write_row_index(hashes, rows)
    wide = rows.copy()
    wide[-1] = 2**45  # leaves too few bits to sort key and row as one number
    far = write_row_index(hashes, wide)
    assert far == naive_region(hashes.tolist(), wide.tolist())
    assert expected == naive_region(hashes.tolist(), rows.tolist())


@pytest.mark.parametrize("rows", [[0], [0, 1, 2, 3], [-1, 0, 1], [0, 2, 1], [0, 1, 1]])
def test_rows_that_fit_no_hashes(rows: list[int]) -> None:
    with pytest.raises(InvalidDataError, match="rows of a row index"):
        write_row_index(random_hashes(3), np.array(rows, np.int64))


def test_reads_only_what_a_lookup_needs() -> None:
    hashes = random_hashes(20_000)
    region = write_row_index(hashes)
    index, source = opened(region, 20_000)
    assert index.nbytes == 0 and not source.reads
    index.candidates(int(hashes[0]))
    assert len(source.reads) == 2 and source.reads[1][1] < len(region) // 4
    held = index.nbytes
    assert 0 < held < len(region) // 4
    index.candidates(int(hashes[0]))
    assert len(source.reads) == 2
    index.load()
    assert len(region) <= index.nbytes + 8 * 2 ** region[8] + 16
    count = len(source.reads)
    index.load()
    index.candidates_batch(hashes)
    assert len(source.reads) == count
    assert sum(length for _, length in source.reads[1:]) == len(region) - header_size(region)


def test_a_batch_reads_neighbours_at_once() -> None:
    hashes = random_hashes(20_000)
    index, source = opened(write_row_index(hashes), 20_000)
    index.candidates_batch(hashes)
    assert len(source.reads) == 2


def test_a_header_longer_than_the_first_read() -> None:
    # Made by hand: 1024 partitions, all empty but the last.
    empty = struct.pack("<IIxxxxxxxx", 0, 0)[:8]
    last = struct.pack("<IIIHxx", 7, 0, 1, 0xABCD)
    header = struct.pack("<QBBB5x", 1, 10, 0, 4)
    header += struct.pack("<II", 0, crc32c(empty)) * 1023 + struct.pack("<II", 1, crc32c(last))
    region = header + empty * 1023 + last
    index, _ = opened(region, 8)
    assert index.candidates(0x3FF << 54 | 0xABCD << 38) == [7]
    assert index.candidates(0x3FE << 54 | 0xABCD << 38) == []


def test_memory_of_a_row() -> None:
    count = 100_000
    hashes = random_hashes(count)
    index, _ = opened(write_row_index(hashes), count)
    tracemalloc.start()
    index.load()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10 * count
    assert 0.9 * held < index.nbytes < held


def flips(region: bytes, step: int = 1) -> Iterator[tuple[int, bytes]]:
    for i in range(0, len(region), step):
        yield i, region[:i] + bytes([region[i] ^ 1 << i % 8]) + region[i + 1 :]


@pytest.mark.parametrize("count", [1, 40, 5000])
def test_every_flipped_byte_is_found(count: int) -> None:
    hashes = random_hashes(count)
    region = write_row_index(hashes)
    crc = crc32c(region[: header_size(region)])
    for place, data in flips(region, 1 if count < 5000 else 61):
        index, _ = opened(data, count, crc)
        with pytest.raises(
            CorruptFileError, match=r"file.lfmt: damaged at byte \d+: .*row index of id"
        ) as caught:
            index.load()
        assert BEFORE <= caught.value.offset <= BEFORE + place
        for row in range(0, count, max(1, count // 8)):
            with suppress(CorruptFileError):
                assert row in index.candidates(int(hashes[row]))


def repaired(region: bytes) -> bytes:
    """The region with the checksums of its partitions made right, as far as its header can be read."""
    fixed = bytearray(region)
    _, partition_bits, bucket_bits, width = struct.unpack_from("<QBBB", region)
    if partition_bits > 10 or bucket_bits > 16:
        return region
    start = 16 + 8 * 2**partition_bits
    for record in range(16, min(start, len(region) - 7), 8):
        count = struct.unpack_from("<I", region, record)[0]
        stop = start + -(-(count * (width + 2) + 4 * (2**bucket_bits + 1)) // 8) * 8
        struct.pack_into("<I", fixed, record + 4, crc32c(bytes(fixed[start:stop])))
        start = stop
    return bytes(fixed)


def check_hostile(region: bytes, limit: int, wanted: list[int]) -> None:
    """Right types and rows in range and order, or a CorruptFileError; nothing else."""
    for ask in (RowIndex.candidates, lambda i, h: i.candidates_batch(np.array([h], np.uint64))[1].tolist()):
        index, _ = opened(region, limit, crc32c(region[: header_size(region)]) if region[8] <= 30 else 0)
        for value in wanted:
            try:
                rows = ask(index, value)
            except CorruptFileError:
                continue
            assert rows == sorted(set(rows)) and all(0 <= row < limit for row in rows)


def test_damage_under_right_checksums_ends_in_an_error_or_rows_in_range() -> None:
    hashes = random_hashes(40)
    region = write_row_index(hashes)
    for _, data in flips(region):
        check_hostile(repaired(data), 40, hashes[::7].tolist())


@given(st.data())
def test_hostile_numbers_under_right_checksums(data: st.DataObject) -> None:
    count = data.draw(st.sampled_from([0, 3, 40, 5000]))
    hashes = random_hashes(count)
    region = bytearray(write_row_index(hashes))
    for _ in range(data.draw(st.integers(1, 3))):
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        place = data.draw(st.integers(0, min(len(region), 160) - width) | st.integers(0, len(region) - width))
        value = data.draw(st.integers(0, 256**width - 1) | st.sampled_from([0, 1, 256**width - 1]))
        region[place : place + width] = value.to_bytes(width, "little")
    cut = data.draw(st.sampled_from([0, 0, 0, 1, 8, 17]))
    damaged = repaired(bytes(region[: len(region) - cut]))
    check_hostile(damaged, count, [*hashes[:20].tolist(), 0, 2**64 - 1])


HEADER_DAMAGE = {
    "entries": (0, 41, "41 entries for 40 rows"),
    "fewer entries": (0, 39, "expected 39"),
    "partition bits": (8, 25, "25 partition bits"),
    "bucket bits": (9, 17, "17 bucket bits"),
    "other bucket bits": (9, 3, "end at byte"),
    "width": (10, 5, "5 bytes a row"),
    "reserved": (15, 1, "reserved bytes"),
    "count": (16, 41, "41 entries and end"),
}


@pytest.mark.parametrize(("at", "value", "message"), HEADER_DAMAGE.values(), ids=HEADER_DAMAGE)
def test_header_numbers_are_checked(at: int, value: int, message: str) -> None:
    region = bytearray(write_row_index(random_hashes(40)))
    region[at] = value
    size = header_size(region) if region[8] <= 24 else len(region)
    index, _ = opened(bytes(region), 40, crc32c(bytes(region[:size])))
    with pytest.raises(CorruptFileError, match=f"header of the row index of id: .*{message}"):
        index.candidates(0)


PARTITION_DAMAGE = {
    "row": (0, 40, "row 40 of 40 rows"),
    "directory begin": (160, 1, "directory"),
    "directory end": (176, 39, "directory"),
    "directory falls": (164, 39, "directory"),
    "marks": (181, None, "order"),
}


@pytest.mark.parametrize(("at", "value", "message"), PARTITION_DAMAGE.values(), ids=PARTITION_DAMAGE)
def test_partition_numbers_are_checked(at: int, value: int | None, message: str) -> None:
    region = bytearray(write_row_index(random_hashes(40)))
    place = header_size(region) + at
    region[place] = region[place] ^ 0xFF if value is None else value
    fixed = repaired(bytes(region))
    with pytest.raises(CorruptFileError, match=rf"byte {BEFORE + 24}: partition 0 .* of id: .*{message}"):
        opened(fixed, 40)[0].load()


def test_equal_marks_have_rising_rows() -> None:
    region = bytearray(write_row_index(np.zeros(2, np.uint64)))
    region[24:32] = struct.pack("<II", 1, 0)
    with pytest.raises(CorruptFileError, match="order"):
        opened(repaired(bytes(region)), 2)[0].candidates(0)


def test_regions_that_are_not_there() -> None:
    region = write_row_index(random_hashes(40))
    crc = crc32c(region[: header_size(region)])
    source = BytesSource(region, "f")
    for offset, length in [(0, 15), (0, 0), (8, len(region)), (2**60, 100), (0, 2**62)]:
        with pytest.raises(CorruptFileError, match="f: damaged at byte"):
            RowIndex(source, offset, length, crc, "id", rows=40).candidates(1)
    for cut in range(len(region)):
        with pytest.raises(CorruptFileError):
            RowIndex(BytesSource(region[:cut], "f"), 0, cut, crc, "id", rows=40).candidates(2**63)


def test_a_failed_partition_is_asked_for_again() -> None:
    hashes = random_hashes(40)
    region = write_row_index(hashes)
    data = bytearray(region)
    data[-8] ^= 1
    crc = crc32c(region[: header_size(region)])
    index = RowIndex(BytesSource(data, "f"), 0, len(data), crc, "id", rows=40)
    for _ in range(2):
        with pytest.raises(CorruptFileError):
            index.candidates(int(hashes[3]))
    assert index.nbytes < 100
    data[-8] ^= 1
    assert 3 in index.candidates(int(hashes[3]))


class SlowSource(CountingSource):
    """Lets nobody finish reading a partition before both threads have begun to."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.barrier = threading.Barrier(2, timeout=20)

    def read_at(self, offset: int, length: int) -> memoryview:
        if offset > BEFORE:
            self.barrier.wait()
        return super().read_at(offset, length)


def test_two_threads_load_the_same_partition() -> None:
    hashes = random_hashes(9000)
    region = write_row_index(hashes)
    source = SlowSource(bytes(BEFORE) + region)
    crc = crc32c(region[: header_size(region)])
    index = RowIndex(source, BEFORE, len(region), crc, "id", rows=9000)
    row = 77
    found: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: found.append(index.candidates(int(hashes[row])))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and found[0] == found[1] and row in found[0]
    assert [offset for offset, _ in source.reads].count(BEFORE) == 1  # the header is read once
    assert index.nbytes < len(region) // 2


def test_many_threads_and_many_partitions() -> None:
    hashes = random_hashes(30_000)
    index, _ = opened(write_row_index(hashes), 30_000)
    wrong: list[int] = []

    def look(seed: int) -> None:
        for row in np.random.default_rng(seed).integers(0, 30_000, 500).tolist():
            if row not in index.candidates(int(hashes[row])):
                wrong.append(row)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
