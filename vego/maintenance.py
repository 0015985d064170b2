"""Work that follows writes and that no caller has to wait for: one thread for all collections of a database.

The thread lives while there is something to do. What it does can be left out at any moment: rows are durable and
found without it, only slower.
"""

from __future__ import annotations

from threading import Condition, Thread, current_thread
from typing import Protocol

from vego.store import disown_in_child


class Maintained(Protocol):
    """What has maintenance to be done."""

    def maintain(self, stopped: Stopped) -> None:
        """Do all that is due, looking at `stopped` now and then. Must not raise."""
        ...


class Stopped(Protocol):
    """Whether work is to end early."""

    def __call__(self) -> bool:
        """True once it is."""
        ...


class Maintenance:
    """Runs `maintain` of whatever is due, one after the other: in a thread, or at once where `background` is False."""

    def __init__(self, *, background: bool) -> None:
        self._background = background
        self._due: list[Maintained] = []
        self._changed = Condition()
        self._thread: Thread | None = None
        self._closed = False
        disown_in_child(self)

    def due(self, work: Maintained) -> None:
        """Have `work.maintain` called soon; a call that has not begun yet is not repeated."""
        if not self._background:
            work.maintain(_never)
            return
        with self._changed:
            if self._closed or any(work is other for other in self._due):
                return
            self._due.append(work)
            if self._thread is None:
                self._begin()

    def wait(self) -> None:
        """Return when nothing is due any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None or self._thread is current_thread())

    def close(self) -> None:
        """Stop as soon as what is being done allows; nothing is begun afterwards."""
        with self._changed:
            self._closed = True
            self._due.clear()
        self.wait()

    def disown(self) -> None:
        """In a forked child there is no such thread, and its parent's locks may be held for ever."""
        self._changed = Condition()
        self._thread, self._closed = None, True

    def _stopped(self) -> bool:
        return self._closed

    def _begin(self) -> None:
        self._thread = Thread(target=self._run, name="vego.maintenance", daemon=True)
        try:
            self._thread.start()
        except (
            RuntimeError
        ):  # the system has no more threads, or Python is about to end: it is done another time
            self._thread = None
            self._due.clear()

    def _run(self) -> None:
        try:
            while (work := self._next()) is not None:
                work.maintain(self._stopped)
                del work
        except (
            BaseException
        ):  # a defect, which is reported as that of any thread: nobody waits for it for ever
            with self._changed:
                self._thread = None
                if self._due:
                    self._begin()
                self._changed.notify_all()
            raise

    def _next(self) -> Maintained | None:
        """What is to be done next; None where nothing is, and this was the thread."""
        with self._changed:
            if self._due:
                return self._due.pop(0)
            self._thread = None
            self._changed.notify_all()
            return None


def _never() -> bool:
    return False
