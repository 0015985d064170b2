"""The write-ahead log of one open collection: where operations go before they are in a segment.

One thread at a time may append or end it (the collection's lock), any may wait.

What was read of the log when the collection was opened is carried over to a new segment before anything of it is
served (`vego/DESIGN.md`, section 7).
"""

from __future__ import annotations

import weakref
from contextlib import suppress

from vego import names
from vego.errors import CorruptionError, NotFoundError
from vego.options import Durability
from vego.store import Store
from vego.table.manifest import Manifest, load_version
from vego.table.opening import log_of
from vego.wal import GroupCommit, Log, SegmentEnd, WalWriter, resume_log


class Journal:
    """See the module docstring."""

    def __init__(
        self, store: Store, collection: str, manifest: Manifest, log: Log, durability: Durability
    ) -> None:
        self._store = store
        self._collection = collection
        self._collection_id = manifest.collection_id
        self.waits = durability.mode == "sync"  # a write is durable, and may be seen, only after `wait`
        name = f"{store.name}/{names.collection_path(collection)}"
        self._group = GroupCommit(name, durability, log.next_lsn - 1)
        weakref.finalize(self, self._group.stop).atexit = False
        self._previous: SegmentEnd | None = None
        self._next_number = log.next_number
        self.superseded: frozenset[int] = frozenset()  # segments of which later ones hold everything
        # When the last batch was written or the last version made: time goes on, whatever the clock does.
        self.time_us = max([manifest.created_us, *(batch.time_us for batch in log.batches[-1:])])
        if log.segments and not store.read_only:
            self._carry_over(manifest, log)

    @property
    def last_lsn(self) -> int:
        """LSN of the last batch appended."""
        return self._group.last_lsn

    @property
    def next_number(self) -> int:
        """Number of the segment that is started next; after `end` nothing is needed of those before it."""
        return self._next_number

    def append(self, payload: bytes, count: int) -> int:
        """Append one atomic batch of `count` encoded operations and return its LSN; the operating system has it then.

        Raises StorageError (the log is as before), PoisonedError.
        """
        self.time_us = max(self._store.now_us(), self.time_us + 1)
        return self._group.append(self._writer(), payload, count, self.time_us)

    def wait(self, lsn: int) -> None:
        """Return once every batch up to `lsn` is durable; CommitUncertainError if that is not known."""
        self._group.wait(lsn)

    def end(self) -> None:
        """Seal the open segment; the next append starts another that names this one's end."""
        self._previous = self._group.seal() or self._previous

    def close(self) -> None:
        """Seal the log, so that a later opening can tell damage from a torn tail."""
        self._group.close(give_up=self._store.poisoned is not None)

    def _writer(self) -> WalWriter:
        """The segment to append to, created when something is first written."""
        writer = self._group.writer
        if writer is None:
            writer = WalWriter.create(
                self._store,
                self._collection,
                collection_id=self._collection_id,
                number=self._next_number,
                first_lsn=self.last_lsn + 1,
                previous=self._previous,
            )
            self._next_number = writer.number + 1
        return writer

    def _carry_over(self, manifest: Manifest, log: Log) -> None:
        """Go on in a new log.

        What was read of the old one, be it only its seal, may be in the page cache alone: it is made durable before
        it is served. With it goes what the version before still needs (I6), so that nothing needs an older segment.
        """
        with suppress(CorruptionError, NotFoundError):  # then the old segments stay
            flushed_lsn, whole = self._log_of_the_version_before(manifest, log)
            if whole.next_lsn == log.next_lsn:
                log = whole
                # What else a segment holds, older versions may need to go back to a moment.
                self.superseded = frozenset(
                    segment.end.number
                    for segment in log.segments
                    if not segment.batches or segment.batches[0].lsn > flushed_lsn
                )
        self.time_us = max(self._store.now_us(), self.time_us + 1)
        writer = resume_log(
            self._store,
            self._collection,
            log,
            collection_id=self._collection_id,
            untimed_us=self.time_us,
        )
        self._group.writer = writer
        self._next_number = writer.number + 1

    def _log_of_the_version_before(self, manifest: Manifest, log: Log) -> tuple[int, Log]:
        """Up to where all is in its segments, and what it needs of the log."""
        if manifest.parent is None:
            return manifest.flushed_lsn, log
        before = load_version(self._store, self._collection, manifest.parent.version)
        return before.flushed_lsn, log_of(self._store, self._collection, before)
