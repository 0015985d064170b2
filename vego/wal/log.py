"""The log of one collection: its segments in order, and how a new process goes on after any kind of stop.

Only a sealed segment is continued by one that names it. After a crash the last segment has no seal, and what
was read of it may be in the page cache only (its process may have died because a sync failed). So it is not
continued: what is still needed must become durable again first. Either it is flushed and the manifest moves
past it, or `resume_log` copies it to a new segment, atomically; both start a new chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from lance_fmt import crc32c
from vego import names
from vego.errors import NotFoundError
from vego.store import Store
from vego.store.base import Files
from vego.wal.format import BatchHeader, BatchType, SegmentEnd, SegmentHeader, batch_seed
from vego.wal.reader import Batch, WalContents, damage, read_wal
from vego.wal.record import encode
from vego.wal.writer import WalWriter


@dataclass(frozen=True, slots=True)
class Log:
    """What was read of a log. `batches` are those after `flushed_lsn`, in order and without gaps."""

    segments: tuple[WalContents, ...]
    batches: tuple[Batch, ...]
    next_number: int
    next_lsn: int

    @property
    def first_number(self) -> int:
        """Oldest segment that is still needed; older files may be deleted."""
        return self.segments[0].end.number if self.segments else self.next_number

    @property
    def torn_bytes(self) -> int:
        """Bytes of writes that were cut short and never acknowledged."""
        return sum(segment.torn_bytes for segment in self.segments)


def read_log(store: Store, collection: str, *, collection_id: str, first: int, flushed_lsn: int) -> Log:
    """The log of a collection.

    `first` and `flushed_lsn` are the manifest's: no segment before `first` and no batch up to `flushed_lsn`
    is needed. No segment at all is legal (nothing was written since the last flush). Raises CorruptionError
    for damage, a gap included; NewerVersionError.
    """
    listed = segment_numbers(store, collection)
    while True:
        segments = _read_back(store, collection, listed, collection_id, first, flushed_lsn)
        if segments is not None:
            break
        before, listed = listed, segment_numbers(store, collection)
        if before == listed:
            missing = f"{store.name}/{names.wal_path(collection, max(listed))}"
            raise damage(missing, 0, "the segment is listed, but it is missing")
    last = max(listed, default=0)
    batches, log_end = _merge(segments, flushed_lsn)
    # Without syncs a flush may outlive the log before it: the log then ends before what is in the segments.
    next_lsn = max(log_end, flushed_lsn + 1)
    return Log(tuple(segments), tuple(batches), max(last + 1, first), next_lsn)


def _read_back(
    store: Store, collection: str, listed: list[int], collection_id: str, first: int, flushed_lsn: int
) -> list[WalContents] | None:
    """The segments that are needed, from the last of `listed` back to the start of a chain.

    None where the last one is gone: another process has opened the collection meanwhile and carried it over.
    """
    last = max(listed, default=0)
    segments: list[WalContents] = []
    expected: SegmentEnd | None = None
    for number in range(last, first - 1, -1):
        try:
            contents = read_wal(store, collection, number, collection_id=collection_id, expected=expected)
        except NotFoundError:
            if number == last:
                return None
            if expected is None:
                break  # before the start of a chain; `_merge` sees whether something is missing
            missing = f"{store.name}/{names.wal_path(collection, number)}"
            raise damage(
                missing, 0, f"the segment is missing, but segment {number + 1} continues it"
            ) from None
        segments.insert(0, contents)
        if contents.header is not None:
            expected = contents.header.previous
            if expected is None and contents.header.first_lsn <= flushed_lsn + 1:
                break
    return segments


def resume_log(
    store: Store, collection: str, log: Log, *, collection_id: str, untimed_us: int = 0
) -> WalWriter:
    """A writer that goes on where `log` ends. Call it before anything of `log` is served to anyone.

    A batch of which it is not known when it happened gets the time `untimed_us`.
    """
    number, previous = log.next_number, None
    if log.segments:
        previous = _carry_over(store, collection, log, collection_id, untimed_us)
        number += 1
    return WalWriter.create(
        store,
        collection,
        collection_id=collection_id,
        number=number,
        first_lsn=log.next_lsn,
        previous=previous,
    )


def segment_numbers(store: Files, collection: str) -> list[int]:
    """Numbers of the log segments of a collection, oldest first."""
    try:
        files = store.list(names.wal_directory(collection))
    except NotFoundError:
        return []
    return [number for file in files if (number := names.parse_wal(file)) is not None]


def _merge(segments: list[WalContents], flushed_lsn: int) -> tuple[list[Batch], int]:
    """The batches after `flushed_lsn` and the LSN behind the last batch read, after checking that none is
    missing.

    A segment that starts a chain may repeat batches of the chain before it; those are the same.
    """
    batches: list[Batch] = []
    next_lsn = flushed_lsn + 1
    log_end = 0
    for contents in segments:
        if contents.header is None:
            continue
        start = contents.header.first_lsn
        continues = log_end and contents.header.previous is not None
        if start > next_lsn or (continues and start != log_end):
            raise damage(
                contents.path, 0, f"it starts at LSN {start}, but {log_end or next_lsn} is the next one"
            )
        for batch in contents.batches:
            if batch.lsn == next_lsn:
                batches.append(batch)
                next_lsn += 1
        log_end = start + len(contents.batches)
    return batches, log_end


def sealed_copy(log: Log, collection_id: str, segment_id: str, untimed_us: int = 0) -> bytes:
    """The bytes of a sealed segment `log.next_number` with every batch of `log`. It names no predecessor: it
    replaces them. Batches without a time get `untimed_us`.
    """
    first_lsn = log.batches[0].lsn if log.batches else log.next_lsn
    header = SegmentHeader(segment_id, collection_id, log.next_number, first_lsn, None)
    seed = batch_seed(header.segment_id)
    parts = [header.to_bytes()]
    time_us = 0
    for batch in log.batches:
        payload, count = batch.payload or encode(batch.operations), len(batch.operations)
        time_us = max(time_us, batch.time_us or untimed_us)
        entry = BatchHeader(BatchType.OPERATIONS, len(payload), count, batch.lsn, batch.lsn - 1, time_us)
        parts.append(entry.record(payload, seed))
    parts.append(BatchHeader(BatchType.SEAL, 0, 0, log.next_lsn, log.next_lsn - 1).record(b"", seed))
    return b"".join(parts)


def _carry_over(store: Store, collection: str, log: Log, collection_id: str, untimed_us: int) -> SegmentEnd:
    """Write every batch that is still needed to a sealed segment."""
    data = sealed_copy(log, collection_id, store.new_id(), untimed_us)
    store.put_if_absent(names.wal_path(collection, log.next_number), data)
    return SegmentEnd(log.next_number, len(data), crc32c(data))
