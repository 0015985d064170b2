"""The writer's lock: `flock` on a file that is never replaced, with the holder's particulars inside.

Writers that share a database hold it together, and leave the file empty.

`Turn` is something else: a courtesy among those writers, on which nothing rests.

The kernel lets go of the lock when the holder dies, so a lock is never stale and the particulars only serve
the message. `flock` and not `lockf`: that one is lost when any descriptor of the file is closed. A forked
child would keep the lock alive, so its copy is closed at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from vego.errors import DatabaseLockedError
from vego.store.descriptor import DIRECTORY, READ_OR_CREATE, Descriptor, write_all
from vego.store.failures import NO_ROOM, writing
from vego.store.guard import Guard, disown_in_child

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_HOLDER = 4096
_TURN_SECONDS = 0.0005  # between two looks whether a turn has come


class FileLock:
    """Held from construction until `release` or the end of this process."""

    def __init__(self, path: str, guard: Guard, *, shared: bool = False) -> None:
        guard.check_write()
        self._descriptor: Descriptor | None = None
        with writing("lock", path):
            descriptor = Descriptor(path, READ_OR_CREATE)
            try:
                how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
                fcntl.flock(descriptor.number, how | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor.number, _MAX_HOLDER, 0)
                raise DatabaseLockedError(_locked_message(path, holder, shared=shared)) from None
            try:
                os.ftruncate(descriptor.number, 0)
                if not shared:
                    write_all(descriptor.number, _holder(), 0)
            except OSError as error:
                if error.errno not in NO_ROOM:  # a full disk must not keep anyone from deleting
                    raise
        self._descriptor = descriptor
        disown_in_child(self)

    def release(self) -> None:
        """Give the lock back; doing so twice is allowed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            fcntl.flock(descriptor.number, fcntl.LOCK_UN)  # a child just being forked may have a copy open
            with suppress(OSError):  # the lock is gone, and nothing hangs on what is in the file
                descriptor.close()

    def disown(self) -> None:
        """Close a forked child's copy; the parent's lock stays."""
        self._descriptor = None


class Turn:
    """A turn among processes that write the same files: whoever asks waits for the one whose turn it is.

    Two directories are locked, so that no file is left behind. Whoever gets the first is the next, and keeps it until
    the second is free; so a process that has just had its turn and asks again stands behind those who wait. Both
    locks go with the process. Where there are no such locks, as on some network file systems, nobody waits.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor: Descriptor | None = descriptor
        disown_in_child(self)

    @classmethod
    def take(cls, waiting: str, working: str, seconds: float) -> Turn | None:
        """The turn, or None where it did not come in time or cannot be had. The paths are of directories."""
        until = time.monotonic() + seconds
        first = cls._locked(waiting, until)
        if first is None:
            return None
        try:
            return cls._locked(working, until)
        finally:
            first.release()

    @classmethod
    def _locked(cls, path: str, until: float) -> Turn | None:
        try:
            turn = cls(Descriptor(path, DIRECTORY))
        except OSError:
            return None
        while turn._descriptor is not None:
            try:
                fcntl.flock(turn._descriptor.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return turn
            except BlockingIOError:
                if time.monotonic() > until:
                    break
                time.sleep(_TURN_SECONDS)
            except OSError:
                break
        turn.release()
        return None

    def release(self) -> None:
        """Let the next one have its turn; doing so twice is allowed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):  # it goes with the descriptor
                fcntl.flock(
                    descriptor.number, fcntl.LOCK_UN
                )  # a child just being forked may have a copy open
                descriptor.close()

    def disown(self) -> None:
        """Close a forked child's copy; the parent's turn stays."""
        self._descriptor = None


def _holder() -> bytes:
    facts = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "boot": _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "",
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": sys.argv[0] if sys.argv else "",
    }
    return json.dumps(facts).encode() + b"\n"


def _locked_message(path: str, holder: bytes, *, shared: bool) -> str:
    if not holder and not shared:
        return (
            f"{path}: the database is open in other processes that share it; open it here with shared=True or "
            "read_only=True, or close it there"
        )
    try:
        facts = json.loads(holder)
        pid, host, started = int(facts["pid"]), str(facts["host"]), str(facts["started"])
    except (ValueError, KeyError, TypeError, RecursionError):
        who = "another process"  # it has the lock but has not written yet who it is
    else:
        who = f"process {pid} on host {host} since {started} ({facts.get('command') or 'unknown command'})"
        if pid == os.getpid() and host == os.uname().nodename:
            who = f"this very process ({pid}) since {started}"
    return (
        f"{path}: the database is open for writing in {who}; "
        f"close it there{', open it there with shared=True as well,' if shared else ''} or open it here with "
        "read_only=True"
    )
