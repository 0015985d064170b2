"""Calls of a simulated system that fail: which, how, and from when on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.simulated_system import FailedSync, SimulatedSystem

_ALL = ("EIO", "EACCES", "ESTALE")
_WRITING = ("EROFS", "ENOSPC", "EDQUOT")
ERRNOS = {
    "open": (*_ALL, "EMFILE", "ENFILE", *_WRITING),
    "close": ("EIO", "ENOSPC", "EDQUOT"),
    "pread": ("EIO", "ESTALE"),
    "preadv": ("EIO", "ESTALE"),
    "pwrite": ("EIO", "ENOSPC", "EDQUOT", "EFBIG", "ESTALE"),
    "ftruncate": ("EIO", "EROFS", "ENOSPC"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "EROFS"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT", "EROFS"),
    "fstat": ("EIO", "ESTALE"),
    "stat": _ALL,
    "lstat": _ALL,
    "listdir": (*_ALL, "EMFILE"),
    "mkdir": (*_ALL, *_WRITING),
    "link": (*_ALL, *_WRITING, "EMLINK"),
    "unlink": (*_ALL, "EROFS"),
    "rmdir": (*_ALL, "EROFS"),
    "rename": (*_ALL, *_WRITING),
}
ONCE, ALWAYS, LATE, SHORT = "once", "always", "late", "short"
_LATE = ("link", "unlink", "mkdir", "rename")  # a network file system may do these and report a failure


@dataclass(frozen=True, slots=True)
class Fault:
    """Call `number` (from 0) fails with an errno.

    once: only that call. always: every later call of that name as well. late: it has its effect and then fails.
    short: a write or read of half of what was asked, and for a write, all later ones fail: a disk that fills up.
    """

    number: int
    error: str
    mode: str

    def __str__(self) -> str:
        return f"{self.number}:{self.error}:{self.mode}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        number, error, mode = text.split(":")
        return cls(int(number), error, mode)


def faults_of(number: int, call: str) -> list[Fault]:
    """Every way in which a call may fail."""
    modes = [ONCE, ALWAYS, *([LATE] if call in _LATE else [])]
    found = [Fault(number, error, mode) for error in ERRNOS[call] for mode in modes]
    if call == "pwrite":
        found += [Fault(number, error, SHORT) for error in ("ENOSPC", "EIO")]
    if call in ("pread", "preadv"):
        found.append(Fault(number, "EIO", SHORT))
    return found


class FailingCalls:
    """Stands before a simulated system, counts its `calls`, and lets one of them fail until `heal`."""

    def __init__(self, system: SimulatedSystem, fault: Fault | None = None) -> None:
        self.calls: list[str] = []
        self.hit = False
        self._system = system
        self._fault = fault
        self._kind = ""  # the name of the call that failed

    def heal(self) -> None:
        """Nothing fails any more."""
        self._fault = None

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._system, name)
        return self._counted(name, real) if name in ERRNOS else real

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            number, fault = len(self.calls), self._fault
            self.calls.append(name)
            if fault is None or self._system.killed:
                return real(*arguments, **options)
            if number == fault.number:
                self.hit, self._kind = True, name
                return self._fail(name, real, fault, arguments, options)
            lasting = fault.mode == ALWAYS or (fault.mode == SHORT and name == "pwrite")
            if lasting and self.hit and name == self._kind:
                raise self._error(name, fault, real, arguments)
            return real(*arguments, **options)

        return call

    def _fail(
        self, name: str, real: Callable[..., Any], fault: Fault, arguments: Any, options: dict[str, Any]
    ) -> Any:
        if fault.mode == SHORT:
            return self._half(name, real, arguments)
        if fault.mode == LATE:
            real(*arguments, **options)
        raise self._error(name, fault, real, arguments)

    def _half(self, name: str, real: Callable[..., Any], arguments: Any) -> Any:
        if name == "pwrite":
            number, data, offset = arguments
            return real(number, data[: max(1, len(data) // 2)], offset)
        if name == "pread":
            number, length, offset = arguments
            return real(number, max(1, length // 2), offset)
        number, (buffer,), offset = arguments
        return real(number, [buffer[: max(1, len(buffer) // 2)]], offset)

    def _error(self, name: str, fault: Fault, real: Callable[..., Any], arguments: Any) -> OSError:
        number: int = getattr(errno, fault.error)
        if name == "close":
            real(*arguments)  # a close that reports an error has closed all the same
        if name in ("fsync", "fdatasync"):
            self._system.log.append(FailedSync(self._system.inode_of(arguments[0])))
        return OSError(number, os.strerror(number))
