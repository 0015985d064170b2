"""Constants and fixed structures of a log segment; shared by its writer and its reader, owned by neither.

segment  = header | batch | batch | ... | seal?
header   = magic version segment_id collection_id number first_lsn previous{number length crc} crc
batch    = magic type length count lsn durable_lsn time_us header_crc | payload | payload_crc

Version 1 of the format has no `time_us`; it is still read.

A batch's length has a checksum of its own, so that a damaged length cannot swallow the rest of the log. Both
checksums of a batch are seeded with the segment's id, the payload's with the LSN as well: bytes of another
segment, or a user's bytes that imitate a batch, never pass. LSNs (log sequence numbers) number batches,
densely.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from lance_fmt import Builder, CorruptFileError, Cursor, crc32c

FORMAT_VERSION = 2

SEGMENT_MAGIC = b"VWAL"
BATCH_MAGIC = b"VBAT"
SEGMENT_HEADER_SIZE = 84
BATCH_HEADER_SIZE = 44
PAYLOAD_CRC_SIZE = 4
MAX_BATCH_BYTES = 64 << 20  # of a payload

_BATCH_HEADER = struct.Struct("<4sIIIQQQ")  # as in the table above, without the checksum
_CHECKED_HEADER = struct.Struct("<4sIIIQQQI")
_CHECKED_HEADER_1 = struct.Struct("<4sIIIQQI")
_CRC = struct.Struct("<I")
_LSN = struct.Struct("<Q")


class BatchType(IntEnum):
    """What a batch is; never renumbered."""

    OPERATIONS = 1
    SEAL = 2  # nothing follows: the segment was closed on purpose


class OperationType(IntEnum):
    """What an operation does; never renumbered."""

    PUT = 1
    DELETE = 2


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """Where a segment's valid bytes end: `crc` is the CRC32C of its first `length` bytes.

    The next segment repeats it, so that nothing can be cut off or exchanged unnoticed.
    """

    number: int
    length: int
    crc: int


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of a segment. `previous` is the sealed one that it continues, None where a new chain
    starts.
    """

    segment_id: str
    collection_id: str
    number: int
    first_lsn: int
    previous: SegmentEnd | None
    version: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """SEGMENT_HEADER_SIZE bytes."""
        previous = self.previous or SegmentEnd(0, 0, 0)
        body = (
            Builder()
            .raw(SEGMENT_MAGIC)
            .u32(self.version)
            .raw(bytes.fromhex(self.segment_id))
            .raw(bytes.fromhex(self.collection_id))
            .u64(self.number)
            .u64(self.first_lsn)
            .u32(0 if self.previous is None else 1)
            .u64(previous.number)
            .u64(previous.length)
            .u32(previous.crc)
            .finish()
        )
        return body + Builder().u32(crc32c(body)).finish()

    @classmethod
    def from_bytes(cls, data: bytes, path: str) -> SegmentHeader:
        """The header at the start of `data`, else CorruptFileError. `version` is the caller's to judge."""
        cursor = Cursor(data[:SEGMENT_HEADER_SIZE], path=path)
        body = cursor.take(SEGMENT_HEADER_SIZE - 4, "segment header")
        if cursor.u32("segment header checksum") != crc32c(body):
            raise Cursor(data, path=path).fail("checksum of the segment header does not match")
        cursor = Cursor(body, path=path)
        if cursor.take(4) != SEGMENT_MAGIC:
            raise Cursor(data, path=path).fail(f"{SEGMENT_MAGIC!r} expected: not a log segment")
        version = cursor.u32()
        segment_id, collection_id = bytes(cursor.take(16)).hex(), bytes(cursor.take(16)).hex()
        number, first_lsn = cursor.u64(), cursor.u64()
        has_previous = cursor.u32()
        end = SegmentEnd(cursor.u64(), cursor.u64(), cursor.u32())
        previous = end if has_previous else None
        return cls(segment_id, collection_id, number, first_lsn, previous, version)


class BatchHeader(NamedTuple):
    """First bytes of a batch. Every batch up to `durable_lsn` was durable before this one was written.

    `length` is that of the payload, `operations` how many it holds. `time_us` is when it was written, in
    microseconds since 1970-01-01 UTC; 0 where that is not known.
    """

    type: int
    length: int
    operations: int
    lsn: int
    durable_lsn: int
    time_us: int = 0

    def to_bytes(self, seed: int) -> bytes:
        """BATCH_HEADER_SIZE bytes; `seed` is `batch_seed` of the segment."""
        body = _BATCH_HEADER.pack(BATCH_MAGIC, *self)
        return body + _CRC.pack(crc32c(body, seed))

    def record(self, payload: bytes, seed: int) -> bytes:
        """The whole batch: header, payload and the payload's checksum."""
        return b"".join([self.to_bytes(seed), payload, _CRC.pack(payload_crc(payload, self.lsn, seed))])

    @classmethod
    def from_bytes(
        cls, data: bytes, offset: int, seed: int, path: str, version: int = FORMAT_VERSION
    ) -> BatchHeader:
        """The header at `offset` of `data`, a segment of that version; CorruptFileError if there is none."""
        form = _CHECKED_HEADER if version > 1 else _CHECKED_HEADER_1
        if len(data) - offset < form.size:
            raise CorruptFileError(
                path, offset, f"a batch header needs {form.size} bytes, {max(len(data) - offset, 0)} left"
            )
        found = form.unpack_from(data, offset)
        if found[-1] != crc32c(data[offset : offset + form.size - 4], seed) or found[0] != BATCH_MAGIC:
            raise CorruptFileError(path, offset, "checksum of the batch header does not match")
        if version > 1:
            return tuple.__new__(cls, found[1:-1])  # logs have a hundred thousand of them
        return cls(*found[1:-1])


def batch_header_size(version: int) -> int:
    """Bytes of a batch header in a segment of that format version."""
    return BATCH_HEADER_SIZE if version > 1 else _CHECKED_HEADER_1.size


def batch_seed(segment_id: str) -> int:
    """Seed of the checksums of a segment's batch headers."""
    return crc32c(bytes.fromhex(segment_id))


def payload_crc(payload: bytes | memoryview, lsn: int, seed: int) -> int:
    """Checksum of the payload of batch `lsn`."""
    return crc32c(payload, crc32c(_LSN.pack(lsn), seed))


def stored_crc(data: bytes, offset: int) -> int:
    """The checksum written at that byte."""
    found: int = _CRC.unpack_from(data, offset)[0]
    return found
