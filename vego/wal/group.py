"""Group commit: threads that wait for the same log share its syncs.

One thread at a time may append, any may wait. Threads that wait queue for the baton; who gets it and is not covered
yet syncs once for all that was appended by then, so that at most one group is in flight.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Lock, Thread

from vego.errors import CommitUncertainError, StorageError, VegoError
from vego.options import Durability
from vego.store import disown_in_child
from vego.wal.format import SegmentEnd
from vego.wal.writer import WalWriter


class GroupCommit:
    """The open segment of a log, if there is one, and how far the log is durable.

    `durability` says who syncs: whoever waits, a thread once in a while, or nobody. The thread refers to this object
    alone, so that it keeps no database alive. `last_lsn` is the last batch appended.
    """

    def __init__(self, name: str, durability: Durability, last_lsn: int) -> None:
        self.writer: WalWriter | None = None
        self.last_lsn = last_lsn
        self._name = name
        self._durability = durability
        self._durable_lsn = last_lsn
        self._failure: VegoError | None = None  # of a sync: nothing becomes durable any more
        self._baton = Lock()  # held while the log is synced or sealed
        self._stopped = Event()
        self._sync_is_due = False
        disown_in_child(self)

    def append(self, writer: WalWriter, payload: bytes, count: int, time_us: int) -> int:
        """Append one atomic batch of `count` encoded operations and return its LSN; the operating system has it then.

        Raises StorageError (the log is as before), PoisonedError.
        """
        self.writer = writer
        lsn = writer.append_payload(payload, count, time_us)
        self.last_lsn = lsn
        if self._durability.mode == "interval" and not self._sync_is_due:
            self._sync_later()
        return lsn

    def wait(self, lsn: int) -> None:
        """Return once every batch up to `lsn` is durable; CommitUncertainError if that is not known.

        Who is interrupted here leaves the others waiting for a sync that one of them makes.
        """
        while self._durable_lsn < lsn:
            with self._baton:
                if self._durable_lsn < lsn:
                    self._sync()

    def seal(self) -> SegmentEnd | None:
        """Seal the open segment, so that everything is durable; where it ends. None if there is none."""
        with self._baton:
            writer = self.writer
            if writer is None:
                return None
            self._sync()
            writer.seal()
            self.writer = None
            return writer.end

    def close(self, *, give_up: bool) -> None:
        """Seal the log, or just let go of it where a sync has failed (`give_up`)."""
        self.stop()
        with self._baton:
            writer, self.writer = self.writer, None
            if writer is None:
                return
            try:
                if not give_up:
                    writer.sync()
                    self._durable_lsn = self.last_lsn
                    with suppress(StorageError):  # all is durable; a full disk costs no more than the seal
                        writer.seal()
            finally:
                writer.close()

    def stop(self) -> None:
        """Have the thread, if there is one, sync at once and end."""
        self._stopped.set()

    def disown(self) -> None:
        """In a forked child the log is the parent's, there is no thread, and the baton may be held for ever."""
        self.writer = None
        self._baton = Lock()

    def _sync(self) -> None:
        """Make durable what was appended; the caller holds the baton."""
        if self.writer is not None and self._failure is None:
            try:
                self.writer.sync()
                self._durable_lsn = self.writer.durable_lsn
                return
            except VegoError as error:
                self._failure = error
        raise CommitUncertainError(
            f"{self._name}: the log could not be synced, so it is not known whether the last writes are durable: "
            f"{self._failure or 'it is closed'}"
        ) from self._failure

    def _sync_later(self) -> None:
        self._sync_is_due = True
        try:
            Thread(target=self._sync_in_time, name=f"vego sync of {self._name}", daemon=True).start()
        except RuntimeError:  # no more threads to be had
            self._sync_now()

    def _sync_in_time(self) -> None:
        self._stopped.wait(self._durability.seconds)
        self._sync_now()

    def _sync_now(self) -> None:
        self._sync_is_due = False  # before the sync: what is appended from now on it may not cover
        with suppress(VegoError):  # the store is poisoned then, and the next write says so
            self.wait(self.last_lsn)
