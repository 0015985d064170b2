"""Appends batches of operations to one log segment.

A batch is in the log or it is not; it is durable once `sync` returned. A segment is created, appended to and
perhaps sealed by one process and never opened for writing again: recovery goes on in a new segment, whose
header says where the valid bytes of the old one end. Not thread-safe, except that `sync` may run beside
`append`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from lance_fmt import crc32c
from vego import names
from vego.errors import ClosedError, InvalidArgumentError, VegoError
from vego.store import AppendFile, Store
from vego.wal.format import BatchHeader, BatchType, SegmentEnd, SegmentHeader, batch_seed
from vego.wal.record import Operation, encode


class _Position(NamedTuple):
    """Where the next batch goes. One value, so that an interrupt finds all of it old or all of it new."""

    length: int
    crc: int
    next_lsn: int


class WalWriter:
    """One segment, from `create` to `close`. Every failure leaves the store poisoned or the segment as it
    was.
    """

    def __init__(self, file: AppendFile, header: SegmentHeader) -> None:
        self._file = file
        self._header = header
        self._seed = batch_seed(header.segment_id)
        self._sealed = False
        self._durable_lsn = header.first_lsn - 1
        self._position = _Position(file.size, crc32c(header.to_bytes()), header.first_lsn)

    @classmethod
    def create(
        cls,
        store: Store,
        collection: str,
        *,
        collection_id: str,
        number: int,
        first_lsn: int,
        previous: SegmentEnd | None,
    ) -> WalWriter:
        """Start segment `number` of a collection, durably.

        `previous` is the end of the segment before it, which must be sealed; None if no earlier segment is
        needed. Raises FileExistsError if the segment is there already.
        """
        if previous is not None and previous.number != number - 1:
            raise InvalidArgumentError(f"log segment {number} cannot follow segment {previous.number}")
        header = SegmentHeader(store.new_id(), collection_id, number, first_lsn, previous)
        path = names.wal_path(collection, number)
        file = store.append_file(path)
        try:
            file.append(header.to_bytes())
            file.sync()
            store.sync_dir(names.wal_directory(collection))
        except BaseException:
            with suppress(VegoError):  # a poisoned store keeps it; the reader passes over such remains
                file.close()
                store.delete(path)
            raise
        return cls(file, header)

    @property
    def number(self) -> int:
        """Number of this segment."""
        return self._header.number

    @property
    def next_lsn(self) -> int:
        """LSN of the next batch."""
        return self._position.next_lsn

    @property
    def durable_lsn(self) -> int:
        """LSN of the last batch known to be durable."""
        return self._durable_lsn

    @property
    def size(self) -> int:
        """Bytes in this segment."""
        return self._position.length

    @property
    def end(self) -> SegmentEnd:
        """What the next segment has to name as its `previous`."""
        return SegmentEnd(self.number, self._position.length, self._position.crc)

    def append(self, operations: Sequence[Operation]) -> int:
        """Append one atomic batch and return its LSN; it is durable after the next `sync`.

        Raises InvalidArgumentError for an empty batch or one of more than 64 MiB, StorageError when the disk
        is full; the log is as before then.
        """
        return self.append_payload(encode(operations), len(operations))

    def append_payload(self, payload: bytes, count: int, time_us: int = 0) -> int:
        """`append` of `count` operations that are encoded already (`vego.wal.record`), at a time that is not before
        that of the last batch.
        """
        return self._append(BatchType.OPERATIONS, payload, count, time_us)

    def sync(self) -> None:
        """Make every batch appended so far durable; CommitUncertainError if that failed."""
        written = self._position.next_lsn - 1
        if written > self._durable_lsn:
            self._file.sync()
            self._durable_lsn = max(self._durable_lsn, written)

    def seal(self) -> None:
        """Say durably that nothing follows, and close. Damage to the last batch can be told from a crash
        then.
        """
        if self._sealed:
            return
        self.sync()
        self._append(BatchType.SEAL, b"", 0)
        self._sealed = True
        try:
            self._file.sync()
            self._file.close()
        except VegoError:
            self._sealed = False  # the file refuses everything from now on, and says why
            raise

    def close(self) -> None:
        """Close without making anything durable, as after a failure."""
        self._sealed = True
        self._file.close()

    def _append(self, kind: BatchType, payload: bytes, count: int, time_us: int = 0) -> int:
        if self._sealed:
            raise ClosedError(f"{self._file.name}: appended to after it was sealed or closed")
        length, crc, lsn = self._position
        if self._file.size > length:
            self._file.truncate(length)  # an interrupt came between an append and its bookkeeping
        header = BatchHeader(kind, len(payload), count, lsn, self._durable_lsn, time_us)
        record = header.record(payload, self._seed)
        crc = crc32c(record, crc)
        self._file.append(record)
        next_lsn = lsn + 1 if kind is BatchType.OPERATIONS else lsn
        self._position = _Position(length + len(record), crc, next_lsn)
        return lsn
