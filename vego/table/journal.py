"""The write-ahead log of one open collection: where operations go before they are in a segment.

One thread at a time may call it. What was read of the log when the collection was opened is carried over to a
new segment before anything of it is served (`vego/DESIGN.md`, section 7).
"""

from __future__ import annotations

from contextlib import suppress

from vego.errors import CorruptionError, NotFoundError, StorageError
from vego.store import Store
from vego.table.manifest import Manifest, load_version
from vego.wal import Log, Operation, SegmentEnd, WalWriter, read_log, resume_log


class Journal:
    """See the module docstring. `durable` False leaves what is appended to the operating system's write-back."""

    def __init__(
        self, store: Store, collection: str, manifest: Manifest, log: Log, *, durable: bool = True
    ) -> None:
        self._store = store
        self._collection = collection
        self._collection_id = manifest.collection_id
        self._durable = durable
        self._wal: WalWriter | None = None
        self._previous: SegmentEnd | None = None
        self._next_lsn = log.next_lsn
        self._next_number = log.next_number
        self.first_needed = 0
        if log.segments and not store.read_only:
            self._carry_over(manifest, log)

    @property
    def last_lsn(self) -> int:
        """LSN of the last batch appended."""
        return self._next_lsn - 1

    @property
    def next_number(self) -> int:
        """Number of the segment that is started next; after `end` nothing is needed of those before it."""
        return self._next_number

    def append(self, operations: tuple[Operation, ...]) -> None:
        """Append one atomic batch; durable when this returns, unless the collection is not to be.

        Raises InvalidArgumentError for more than 64 MiB, StorageError (the log is as before) or
        CommitUncertainError (the store is poisoned).
        """
        wal = self._writer()
        self._next_lsn = wal.append(operations) + 1
        if self._durable:
            wal.sync()

    def end(self) -> None:
        """Seal the open segment; the next append starts another that names this one's end."""
        if self._wal is not None:
            self._wal.seal()
            self._previous = self._wal.end
            self._wal = None

    def close(self) -> None:
        """Seal the log, so that a later opening can tell damage from a torn tail."""
        wal, self._wal = self._wal, None
        if wal is None:
            return
        try:
            if self._store.poisoned is None:
                wal.sync()
                with suppress(StorageError):  # all is durable; a full disk costs no more than the seal
                    wal.seal()
        finally:
            wal.close()

    def _writer(self) -> WalWriter:
        """The segment to append to, created when something is first written."""
        if self._wal is None:
            self._wal = WalWriter.create(
                self._store,
                self._collection,
                collection_id=self._collection_id,
                number=self._next_number,
                first_lsn=self._next_lsn,
                previous=self._previous,
            )
            self._next_number = self._wal.number + 1
        return self._wal

    def _carry_over(self, manifest: Manifest, log: Log) -> None:
        """Go on in a new log.

        What was read of the old one, be it only its seal, may be in the page cache alone: it is made durable before
        it is served. With it goes what the version before still needs (I6), so that nothing needs an older segment.
        """
        with suppress(CorruptionError, NotFoundError):  # then the old segments stay
            whole = self._log_of_the_version_before(manifest, log)
            if whole.next_lsn == log.next_lsn:
                log = whole
                self.first_needed = log.next_number
        self._wal = resume_log(self._store, self._collection, log, collection_id=self._collection_id)
        self._next_number = self._wal.number + 1

    def _log_of_the_version_before(self, manifest: Manifest, log: Log) -> Log:
        if manifest.parent is None:
            return log
        before = load_version(self._store, self._collection, manifest.parent.version)
        return read_log(
            self._store,
            self._collection,
            collection_id=self._collection_id,
            first=before.first_wal,
            flushed_lsn=before.flushed_lsn,
        )
