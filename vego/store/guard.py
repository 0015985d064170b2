"""What a store and all its open files share: may they still read, may they still write?

A store goes only one way: open, then poisoned (reads go on), then closed. Poisoned means that a sync failed;
the kernel then marks the pages clean although they never reached the disk, so a retry would report success
for lost data (anchored in "Can applications recover from fsync failures?", ATC 2020). A forked child inherits
descriptors and locks that it must not use: its copies are closed by the fork hook.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

from vego.errors import ClosedError, PoisonedError, ReadOnlyError


class _Inheritable(Protocol):
    def disown(self) -> None: ...


_inheritable: weakref.WeakSet[_Inheritable] = weakref.WeakSet()


def disown_in_child(resource: _Inheritable) -> None:
    """Call `resource.disown()` in every process forked from now on while `resource` lives."""
    _inheritable.add(resource)


def _after_fork_in_child() -> None:
    for resource in list(_inheritable):
        resource.disown()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Guard:
    """The shared state of one store. Checks take no lock: a lock may be held by a thread that a fork left
    behind.
    """

    def __init__(self, name: str, *, read_only: bool) -> None:
        self._name = name
        self._closed: str | None = None
        self.read_only = read_only
        self.poisoned: str | None = None
        disown_in_child(self)

    @property
    def closed(self) -> bool:
        """Whether even reading is refused."""
        return self._closed is not None

    def check_read(self) -> None:
        """Raise ClosedError unless reading is allowed."""
        if self._closed is not None:
            raise ClosedError(f"{self._name}: {self._closed}")

    def check_write(self) -> None:
        """Raise ClosedError, ReadOnlyError or PoisonedError unless writing is allowed."""
        self.check_read()
        if self.read_only:
            raise ReadOnlyError(
                f"{self._name}: opened for reading only, so nothing can be written; "
                "open it with read_only=False"
            )
        if self.poisoned is not None:
            raise PoisonedError(
                f"{self._name}: an earlier write failed ({self.poisoned}), so nothing more is written or "
                "acknowledged; look after the disk, then close the database and open it again"
            )

    def poison(self, reason: str) -> None:
        """Refuse every later write; the first reason is kept."""
        self.poisoned = self.poisoned or reason

    def close(self) -> None:
        """Refuse every later operation."""
        self._closed = self._closed or "it is closed; open it again to go on"

    def disown(self) -> None:
        """Refuse every later operation in a forked child."""
        self._closed = "it was opened before this process was forked; open it again in this process"
