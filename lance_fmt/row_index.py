"""Row indexes: from the hash of an id to the rows that may hold it (FORMAT.md, "Row indexes").

Entries are sorted by hash and cut into partitions by its top bits; within one, the next bits choose a bucket
through a directory, and 16 bits more are compared. So a lookup looks at one partition, which is read and
checked when it is first asked for, and costs the same for any number of rows. A row takes 6 bytes and its
share of the directory: less than 7 in all.

The partitions are kept where they lie in the region, in one array as long as it: pages of memory that nothing
was read into are never touched, and so take none.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_fmt.checksum import crc32c
from lance_fmt.errors import CorruptFileError, InvalidDataError
from lance_fmt.kernels import loader
from lance_fmt.source import ReadAt, read_exactly
from lance_fmt.wire import Builder, Cursor

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]

HEADER_SIZE = 16
PARTITION_RECORD_SIZE = 8
MAX_PARTITION_BITS = 24
MAX_BUCKET_BITS = 16
MARK_BITS = 16
_BUCKET_ROWS_BITS = 4  # writers: at most 2^4 rows a bucket, on average
_BUCKET_BITS = 8  # writers: 2^8 buckets a partition
_FIRST_READ = 4096  # holds the header of two million rows
_LARGEST_READ = 4 << 20


def header_size(region: bytes) -> int:
    """Bytes of the header of a region: its checksum is what the parent keeps."""
    return HEADER_SIZE + (PARTITION_RECORD_SIZE << region[8])


def write_row_index(hashes: Hashes, rows: Rows | None = None) -> bytes:
    """The region of a row index: `hashes[i]` belongs to row `rows[i]`, or to row i.

    `rows` are int64, not negative and strictly increasing; InvalidDataError otherwise. Equal entries give
    equal bytes.
    """
    if rows is None:
        rows = np.arange(len(hashes), dtype=np.int64)
    elif rows.shape != hashes.shape or (len(rows) and (rows[0] < 0 or (np.diff(rows) <= 0).any())):
        raise InvalidDataError("rows of a row index must be one for each hash, not negative, and increasing")
    bits = min(max(len(hashes) - 1, 0).bit_length(), _BUCKET_ROWS_BITS + _BUCKET_BITS + MAX_PARTITION_BITS)
    bits = max(0, bits - _BUCKET_ROWS_BITS)
    bucket_bits = min(bits, _BUCKET_BITS)
    keys, rows = _sorted(hashes >> np.uint64(64 - MARK_BITS - bits), MARK_BITS + bits, rows)
    row_dtype = "<u8" if len(rows) and int(rows.max()) >= 1 << 32 else "<u4"
    sizes = np.bincount((keys >> np.uint64(MARK_BITS)).astype(np.int64), minlength=1 << bits)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows, marks = rows.astype(row_dtype), keys.astype("<u2")
    partitions, records = [], Builder()
    for first in range(0, 1 << bits, 1 << bucket_bits):
        directory = starts[first : first + (1 << bucket_bits) + 1]
        low, high = int(directory[0]), int(directory[-1])
        parts = rows[low:high].tobytes(), (directory - low).astype("<u4").tobytes(), marks[low:high].tobytes()
        data = b"".join(parts)
        data += bytes(-len(data) % 8)
        records.u32(high - low).u32(crc32c(data))
        partitions.append(data)
    header = Builder().u64(len(rows)).u8(bits - bucket_bits).u8(bucket_bits).u8(rows.itemsize).raw(bytes(5))
    return b"".join([header.finish(), records.finish(), *partitions])


def _sorted(keys: Hashes, key_bits: int, rows: Rows) -> tuple[Hashes, Rows]:
    """Both in the order of (key, row); the rows are increasing. Keys are below `2^key_bits`."""
    row_bits = int(rows[-1]).bit_length() if len(rows) else 0
    if key_bits + row_bits > 64:
        order = np.argsort(keys, kind="stable")
        return keys[order], rows[order]
    # One sort of single numbers is several times as fast.
    both = np.sort(keys << np.uint64(row_bits) | rows.astype(np.uint64))
    return both >> np.uint64(row_bits), (both & np.uint64((1 << row_bits) - 1)).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """A region whose header was checked, and what has been loaded of it.

    `rows`, `words` and `halves` are views of the whole region as items of the rows' width, uint32 and uint16;
    `places` is uint64 `(partitions, 3)`: where rows, directory and marks of a partition begin in them.
    """

    partition_bits: int
    bucket_bits: int
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    checksums: NDArray[np.uint32]
    places: NDArray[np.uint64]
    buffer: NDArray[np.uint8]
    rows: NDArray[Any]
    words: NDArray[np.uint32]
    halves: NDArray[np.uint16]
    loaded: NDArray[np.bool_]
    lookup: tuple[int, int, int, int, memoryview, memoryview, memoryview, memoryview, memoryview]
    """What one lookup needs, in one step: shifts and a mask, and the arrays as views.

    Python gets an item of a view several times as fast as one of an array.
    """


class RowIndex:
    """Finds rows by hash in the region `offset..offset + length` of `source`.

    `crc` is the CRC of the region's header, kept by its parent; `name` says in error messages what is
    indexed; `rows` is the number of rows there are: a larger row number is damage. Nothing is read before the
    first lookup. Threads may share it; reads of different partitions do not wait for each other.
    """

    __slots__ = ("_crc", "_length", "_limit", "_lock", "_name", "_offset", "_region", "_source")

    def __init__(self, source: ReadAt, offset: int, length: int, crc: int, name: str, *, rows: int) -> None:
        self._source = source
        self._offset = offset
        self._length = length
        self._crc = crc
        self._name = name
        self._limit = rows
        self._region: _Region | None = None
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: those of the header, and of the partitions loaded so far."""
        region = self._region
        if region is None:
            return 0
        tables = region.starts, region.counts, region.checksums, region.places, region.loaded
        return sum(t.nbytes for t in tables) + int(np.diff(region.starts)[region.loaded].sum())

    def load(self) -> None:
        """Read and check everything now."""
        region = self._region or self._open()
        self._load(region, np.flatnonzero(~region.loaded))

    def candidates(self, hash: int) -> list[int]:  # noqa: A002
        """Rows that may hold what has this hash, increasing; the caller compares the values.

        `hash` is in 0..2^64 - 1. A few in ten thousand other values get through.
        """
        region = self._region or self._open()
        to_partition, to_bucket, last_bucket, to_mark, loaded, places, rows, words, halves = region.lookup
        partition = hash >> to_partition
        if not loaded[partition]:
            self._load(region, np.array([partition]))
        place = 3 * partition
        at = places[place + 1] + (hash >> to_bucket & last_bucket)
        base = places[place + 2]
        end = base + words[at + 1]
        mark = hash >> to_mark & 0xFFFF
        first = bisect_left(halves, mark, base + words[at], end)
        if first == end or halves[first] != mark:
            return []
        stop = first + 1
        while stop < end and halves[stop] == mark:
            stop += 1
        shift = places[place] - base
        found: list[int] = rows[first + shift : stop + shift].tolist()
        return found

    def candidates_batch(self, hashes: Hashes) -> tuple[NDArray[np.int64], Rows]:
        """`candidates` of many hashes: those of uint64 `hashes[i]` are `rows[starts[i]:starts[i + 1]]`.

        Returns (starts int64 `(m + 1,)`, rows int64).
        """
        region = self._region or self._open()
        hashes = np.array(hashes, np.uint64)  # a copy: the kernel is compiled again for read-only arrays
        if not region.loaded.all():
            asked = np.zeros(len(region.loaded), np.bool_)
            asked[hashes >> np.uint64(1) >> np.uint64(63 - region.partition_bits)] = True
            self._load(region, np.flatnonzero(asked & ~region.loaded))
        first = np.empty(len(hashes), np.int64)
        starts = np.zeros(len(hashes) + 1, np.int64)
        loader.find_entries()(
            hashes,
            region.words,
            region.halves,
            region.places,
            region.partition_bits,
            region.bucket_bits,
            first,
            starts[1:],
        )
        counts = starts[1:].copy()
        np.cumsum(counts, out=starts[1:])
        entries = np.repeat(first - starts[:-1], counts)
        entries += np.arange(len(entries))
        return starts, region.rows[entries].astype(np.int64)

    def _open(self) -> _Region:
        with self._lock:
            if self._region is None:
                self._region = self._read_header()
            return self._region

    def _read_header(self) -> _Region:
        what = f"header of the row index of {self._name}"
        if self._length < HEADER_SIZE or self._offset + self._length > self._source.size():
            raise CorruptFileError(
                self._source.name, self._offset, f"{what}: no {self._length} bytes of a row index there"
            )
        data = read_exactly(self._source, self._offset, min(self._length, _FIRST_READ), what)
        if data[8] <= MAX_PARTITION_BITS:  # otherwise the checksum is wrong, or the next check finds it
            size = HEADER_SIZE + (PARTITION_RECORD_SIZE << data[8])
            if len(data) < size <= self._length:
                data = read_exactly(self._source, self._offset, size, what)
            data = data[:size]
        if crc32c(data) != self._crc:
            raise CorruptFileError(self._source.name, self._offset, f"{what}: wrong checksum")
        return self._parse(Cursor(data, path=self._source.name, base=self._offset), what)

    def _parse(self, cursor: Cursor, what: str) -> _Region:
        entries, partition_bits = cursor.u64(), cursor.u8()
        bucket_bits, width = cursor.u8(), cursor.u8()
        if entries > self._limit:
            raise cursor.fail(f"{what}: {entries} entries for {self._limit} rows")
        if partition_bits > MAX_PARTITION_BITS or bucket_bits > MAX_BUCKET_BITS or width not in (4, 8):
            raise cursor.fail(
                f"{what}: {partition_bits} partition bits, {bucket_bits} bucket bits, {width} bytes a row; "
                f"expected at most {MAX_PARTITION_BITS} and {MAX_BUCKET_BITS}, and 4 or 8"
            )
        if any(cursor.take(5)):
            raise cursor.fail(f"{what}: reserved bytes are not zero")
        table = np.frombuffer(cursor.take(PARTITION_RECORD_SIZE << partition_bits, what), "<u4").reshape(
            -1, 2
        )
        counts = table[:, 0].astype(np.int64)
        sizes = counts * (width + 2) + 4 * ((1 << bucket_bits) + 1)
        starts = cursor.position + np.concatenate([[0], np.cumsum(sizes + -sizes % 8)])
        if int(counts.sum()) != entries or int(starts[-1]) != self._length:
            raise cursor.fail(
                f"{what}: its partitions have {counts.sum()} entries and end at byte {starts[-1]} of the region, "
                f"expected {entries} and {self._length}"
            )
        return _region(partition_bits, bucket_bits, width, starts, counts, table[:, 1].astype(np.uint32))

    def _load(self, region: _Region, partitions: NDArray[np.int64]) -> None:
        """Read and check these (rising); neighbours come with one read."""
        for first, last in _runs(partitions, region.starts):
            begin = int(region.starts[first])
            length = int(region.starts[last + 1]) - begin
            what = f"partitions {first}..{last} of the row index of {self._name}"
            data = read_exactly(self._source, self._offset + begin, length, what)
            for partition in range(first, last + 1):
                start, stop = int(region.starts[partition]), int(region.starts[partition + 1])
                piece = data[start - begin : stop - begin]
                problem = _problem(region, partition, piece, self._limit)
                if problem is not None:
                    raise CorruptFileError(
                        self._source.name,
                        self._offset + start,
                        f"partition {partition} of the row index of {self._name}: {problem}",
                    )
                with self._lock:  # a thread that comes second writes nothing under the eyes of readers
                    if not region.loaded[partition]:
                        region.buffer[start:stop] = piece
                        region.loaded[partition] = True


def _region(
    partition_bits: int,
    bucket_bits: int,
    width: int,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    checksums: NDArray[np.uint32],
) -> _Region:
    directories = starts[:-1] + counts * width
    marks = directories + 4 * ((1 << bucket_bits) + 1)
    places = np.stack([starts[:-1] // width, directories // 4, marks // 2], axis=1).astype(np.uint64)
    length = int(starts[-1])  # at most that of the source
    buffer = np.empty(length, np.uint8)
    rows: NDArray[Any] = buffer.view(f"u{width}")
    words, halves = buffer.view(np.uint32), buffer.view(np.uint16)
    loaded = np.zeros(len(counts), np.bool_)
    bits = partition_bits + bucket_bits
    lookup = (
        64 - partition_bits,
        64 - bits,
        (1 << bucket_bits) - 1,
        64 - MARK_BITS - bits,
        loaded.data,
        places.reshape(-1).data,
        rows.data,
        words.data,
        halves.data,
    )
    return _Region(
        partition_bits,
        bucket_bits,
        starts,
        counts,
        checksums,
        places,
        buffer,
        rows,
        words,
        halves,
        loaded,
        lookup,
    )


def _problem(region: _Region, partition: int, data: memoryview, limit: int) -> str | None:
    """What is wrong with a partition's bytes, if anything."""
    if crc32c(data) != int(region.checksums[partition]):
        return "wrong checksum"
    count, width = int(region.counts[partition]), region.rows.itemsize
    rows = np.frombuffer(data, f"<u{width}", count)
    directory = np.frombuffer(data, "<u4", (1 << region.bucket_bits) + 1, count * width).astype(np.int64)
    marks = np.frombuffer(data, "<u2", count, count * width + directory.size * 4)
    sizes = np.diff(directory)
    if directory[0] != 0 or directory[-1] != count or (sizes < 0).any():
        return f"its directory does not rise from 0 to {count}"
    if count and int(rows.max()) >= limit:
        return f"row {rows.max()} of {limit} rows"
    steps = np.diff(np.repeat(np.arange(len(sizes)) << MARK_BITS, sizes) | marks)
    if not ((steps > 0) | ((steps == 0) & (rows[1:] > rows[:-1]))).all():
        return "its entries are not in order"
    return None


def _runs(partitions: NDArray[np.int64], starts: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """First and last of runs of neighbours that make one read of bounded size each."""
    numbers = partitions.tolist()
    i = 0
    while i < len(numbers):
        first = last = numbers[i]
        i += 1
        while (
            i < len(numbers) and numbers[i] == last + 1 and starts[last + 2] - starts[first] <= _LARGEST_READ
        ):
            last += 1
            i += 1
        yield first, last
