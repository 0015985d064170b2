"""The log of one collection: its segments in order, and how a new process goes on after any kind of stop.

A chain of segments starts at the newest one that names no predecessor and ends at the newest one of all;
older files are rubbish. Only a sealed segment is ever followed by one that names it. After a crash the last
segment has no seal, and what was read of it may be in the page cache only (its process may have died because
a sync failed). So it is not continued: everything still needed is copied to a new segment that starts a new
chain, atomically, before anything is served from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from lance_fmt.checksum import crc32c
from vego import names
from vego.errors import NotFoundError
from vego.store import Store
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
    clean: bool  # whether the next segment may follow the last one: that is sealed, or there is none

    @property
    def first_number(self) -> int:
        """Oldest segment that is still needed; older files may be deleted."""
        return self.segments[0].end.number if self.segments else self.next_number

    @property
    def torn_bytes(self) -> int:
        """Bytes of writes that were cut short and never acknowledged."""
        return sum(segment.torn_bytes for segment in self.segments)


def read_log(store: Store, directory: str, *, collection_id: str, first: int, flushed_lsn: int) -> Log:
    """The log of the collection in `directory`.

    `first` and `flushed_lsn` are the manifest's: no segment before `first` and no batch up to `flushed_lsn`
    is needed. No segment at all is legal (nothing was written since the last flush). Raises CorruptionError
    for damage, a gap included; NewerVersionError.
    """
    last = max(_numbers(store, directory), default=0)
    segments: list[WalContents] = []
    expected: SegmentEnd | None = None
    for number in range(last, first - 1, -1):
        try:
            contents = read_wal(store, directory, number, collection_id=collection_id, expected=expected)
        except NotFoundError:
            missing = f"{store.name}/{directory}/{names.wal(number)}"
            raise damage(missing, 0, f"the segment is missing, but segment {number + 1} needs it") from None
        segments.insert(0, contents)
        if contents.header is not None:
            expected = contents.header.previous
            if expected is None:
                break
    next_lsn, log_end = _check_order(segments, flushed_lsn)
    batches = tuple(batch for s in segments for batch in s.batches if batch.lsn > flushed_lsn)
    clean = not segments or (segments[-1].sealed and log_end == next_lsn)
    return Log(tuple(segments), batches, max(last + 1, first), next_lsn, clean)


def resume_log(store: Store, directory: str, log: Log, *, collection_id: str) -> WalWriter:
    """A writer that goes on where `log` ends. Call it before anything of `log` is served to anyone.

    The old segments stay until the caller deletes those before `first_number` of the next `read_log`, or
    advances the manifest.
    """
    number = log.next_number
    previous = log.segments[-1].end if log.segments else None
    if not log.clean:
        previous = _carry_over(store, directory, log, collection_id)
        number += 1
    return WalWriter.create(
        store,
        directory,
        collection_id=collection_id,
        number=number,
        first_lsn=log.next_lsn,
        previous=previous,
    )


def _numbers(store: Store, directory: str) -> list[int]:
    try:
        files = store.list(f"{directory}/{names.WAL}")
    except NotFoundError:
        return []
    return [number for file in files if (number := names.parse_wal(file)) is not None]


def _check_order(segments: list[WalContents], flushed_lsn: int) -> tuple[int, int]:
    """LSN of the next batch, and the LSN behind the last batch that was read, after checking that none is
    missing.
    """
    log_end = 0
    for contents in segments:
        if contents.header is None:
            continue
        start = contents.header.first_lsn
        expected = log_end or flushed_lsn + 1
        if start > expected or (log_end and start != log_end):
            raise damage(contents.path, 0, f"it starts at LSN {start}, but LSN {expected} is the next one")
        log_end = start + len(contents.batches)
    # Without syncs a flush may outlive the log before it: the log then ends before what is in the segments.
    return max(log_end, flushed_lsn + 1), log_end


def _carry_over(store: Store, directory: str, log: Log, collection_id: str) -> SegmentEnd:
    """Write a sealed segment with every batch that is still needed. It names no predecessor: it replaces
    them.
    """
    first_lsn = log.batches[0].lsn if log.batches else log.next_lsn
    header = SegmentHeader(store.new_id(), collection_id, log.next_number, first_lsn, None)
    seed = batch_seed(header.segment_id)
    parts = [header.to_bytes()]
    for batch in log.batches:
        payload, count = encode(batch.operations), len(batch.operations)
        entry = BatchHeader(BatchType.OPERATIONS, len(payload), count, batch.lsn, batch.lsn - 1)
        parts.append(entry.record(payload, seed))
    parts.append(BatchHeader(BatchType.SEAL, 0, 0, log.next_lsn, log.next_lsn - 1).record(b"", seed))
    data = b"".join(parts)
    store.put_if_absent(f"{directory}/{names.wal(log.next_number)}", data)
    return SegmentEnd(log.next_number, len(data), crc32c(data))
