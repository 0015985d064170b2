"""Reads log segments back, and tells a torn tail (legal after a crash) from damage (never legal).

A batch that fails its checks is damage if anything proves that it was durable once: a later batch that says
so (`durable_lsn`), a seal, or the next segment, which names where this one ends. Otherwise it was being
written when the power went; it was never acknowledged, and it is reported as torn, not as an error. What
cannot be told apart: damage to the last batch of a segment that was neither sealed nor followed by another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lance_fmt import CorruptFileError, Cursor, crc32c
from vego import names
from vego.errors import CorruptionError, NewerVersionError
from vego.store import Store
from vego.store.base import Files
from vego.wal.format import (
    BATCH_MAGIC,
    FORMAT_VERSION,
    PAYLOAD_CRC_SIZE,
    SEGMENT_HEADER_SIZE,
    BatchHeader,
    BatchType,
    SegmentEnd,
    SegmentHeader,
    batch_header_size,
    batch_seed,
    payload_crc,
    stored_crc,
)
from vego.wal.record import Operation, decode

# As plain numbers: a member of an enum is looked up anew each time, a hundred thousand times in a log.
OPERATIONS, SEAL = int(BatchType.OPERATIONS), int(BatchType.SEAL)


class Batch(NamedTuple):
    """Operations that happened together, at `time_us` (0: it is not known when); `payload` is how they were written."""

    lsn: int
    operations: tuple[Operation, ...]
    time_us: int = 0
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class WalContents:
    """What one segment holds.

    `header` is None for a segment whose creation was cut short. `end` is what the next segment names as its
    `previous`; the `torn_bytes` behind it were never acknowledged.
    """

    path: str
    header: SegmentHeader | None
    batches: tuple[Batch, ...]
    sealed: bool
    torn_bytes: int
    end: SegmentEnd

    @property
    def valid_length(self) -> int:
        """Bytes from the start that are in order."""
        return self.end.length


def read_wal(
    store: Files, collection: str, number: int, *, collection_id: str, expected: SegmentEnd | None = None
) -> WalContents:
    """Segment `number` of a collection.

    `expected` is where the next segment says that this one ends; None if it is the last one. Raises
    CorruptionError for damage, naming the byte; NewerVersionError for a segment of a newer Vego.
    """
    path = names.wal_path(collection, number)
    data = store.read(path)
    full = f"{store.name}/{path}"
    try:
        header = _segment_header(data, full, number, collection_id, is_last=expected is None)
        if header is None:
            return WalContents(full, None, (), False, len(data), SegmentEnd(number, 0, 0))
        batches, length, sealed, failure = _batches(data, full, header)
    except CorruptFileError as error:
        raise damage(error.path, error.offset, error.what) from None
    end = SegmentEnd(number, length, crc32c(memoryview(data)[:length]))
    if expected is not None and (end != expected or not sealed):
        what = failure.what if failure else "it ends without a seal"
        raise damage(full, length, f"{what}; the next segment names {expected} as its end, found {end}")
    if failure is not None:
        _refuse_if_durable(data, header, header.first_lsn + len(batches), length, failure)
    return WalContents(full, header, batches, sealed, len(data) - length, end)


def salvage_wal(store: Store, collection: str, number: int, *, collection_id: str) -> tuple[Batch, ...]:
    """The batches of a damaged segment up to the first that is damaged itself; none where its header is.

    Raises NotFoundError, NewerVersionError, StorageError.
    """
    path = names.wal_path(collection, number)
    data = store.read(path)
    full = f"{store.name}/{path}"
    try:
        header = _segment_header(data, full, number, collection_id, is_last=True)
        return () if header is None else _batches(data, full, header)[0]
    except CorruptFileError:
        return ()


def damage(path: str, offset: int, what: str) -> CorruptionError:
    """The error for damage to a log."""
    root = path.rpartition("/collections/")[0]
    return CorruptionError(path, offset, what, f"`vego verify {root} --deep` lists all damage and what helps")


def _segment_header(
    data: bytes, path: str, number: int, collection_id: str, *, is_last: bool
) -> SegmentHeader | None:
    try:
        header = SegmentHeader.from_bytes(data, path)
    except CorruptFileError:
        # The header is synced before the first batch, so with nothing behind it this is a creation cut short.
        if is_last and len(data) <= SEGMENT_HEADER_SIZE:
            return None
        raise
    if header.version > FORMAT_VERSION:
        raise NewerVersionError(
            f"{path}: log format {header.version} is newer than {FORMAT_VERSION}, the newest this Vego "
            "reads; open the database with the Vego that wrote it"
        )
    if header.version < 1 or (header.number, header.collection_id) != (number, collection_id):
        raise Cursor(data, path=path).fail(
            f"format 1 or {FORMAT_VERSION}, segment {number} of collection {collection_id} expected, found format "
            f"{header.version}, segment {header.number} of {header.collection_id}: a file of another place"
        )
    return header


def _batches(
    data: bytes, path: str, header: SegmentHeader
) -> tuple[tuple[Batch, ...], int, bool, CorruptFileError | None]:
    """Batches up to the first that is incomplete, where it starts, whether a seal was met, and what is wrong
    there.

    Raises CorruptFileError for what a crash cannot explain: contents that contradict a checksum that is
    right.
    """
    seed = batch_seed(header.segment_id)
    header_size = batch_header_size(header.version)
    view = memoryview(data)
    batches: list[Batch] = []
    offset = SEGMENT_HEADER_SIZE
    time_us = 0
    while offset < len(data):
        try:
            batch, payload = _checked_batch(data, view, offset, seed, path, header.version)
        except CorruptFileError as failure:
            return tuple(batches), offset, False, failure
        kind, length, count, lsn, durable_lsn, written_us = batch
        expected = header.first_lsn + len(batches)
        if lsn != expected or durable_lsn >= expected:
            raise Cursor(b"", path=path, base=offset).fail(
                f"LSN {expected} expected, found {lsn} (durable: {durable_lsn})"
            )
        after = offset + header_size + length + PAYLOAD_CRC_SIZE
        if kind != OPERATIONS:
            if kind != SEAL:
                raise Cursor(b"", path=path, base=offset).fail(f"unknown batch type {kind}")
            if length or count or after != len(data):
                raise Cursor(b"", path=path, base=offset).fail(
                    f"{len(data) - after} bytes behind the seal, where none may be"
                )
            return tuple(batches), after, True, None
        if written_us < time_us:
            raise Cursor(b"", path=path, base=offset).fail(
                f"time {written_us} of batch {lsn} is before {time_us} of the one before"
            )
        time_us = written_us
        operations = decode(payload, count, path=path, base=offset + header_size)
        batches.append(Batch(lsn, operations, time_us, payload))
        offset = after
    return tuple(batches), offset, False, None


def _checked_batch(
    data: bytes, view: memoryview, offset: int, seed: int, path: str, version: int
) -> tuple[BatchHeader, bytes]:
    batch = BatchHeader.from_bytes(data, offset, seed, path, version)
    start = offset + batch_header_size(version)
    stop = start + batch.length
    if stop + PAYLOAD_CRC_SIZE > len(data):
        cursor = Cursor(view[start:], path=path, base=start)
        cursor.take(batch.length, "payload")
        cursor.u32("payload checksum")
    payload = data[start:stop]
    if stored_crc(data, stop) != payload_crc(payload, batch.lsn, seed):
        raise Cursor(b"", path=path, base=offset).fail(f"checksum of batch {batch.lsn} does not match")
    return batch, payload


def _refuse_if_durable(
    data: bytes, header: SegmentHeader, lsn: int, offset: int, failure: CorruptFileError
) -> None:
    """Raise CorruptionError if a later batch or seal proves that batch `lsn` at `offset` was durable once."""
    seed = batch_seed(header.segment_id)
    position = data.find(BATCH_MAGIC, offset + 1)
    while position >= 0:
        try:
            later = BatchHeader.from_bytes(data, position, seed, failure.path, header.version)
        except CorruptFileError:
            later = None
        if later is not None and later.durable_lsn >= lsn:
            proof = f"byte {position} proves that batch {lsn} was durable once"
            raise damage(failure.path, offset, f"{failure.what}, but {proof}")
        position = data.find(BATCH_MAGIC, position + 1)
