"""What an input may cost: memory of the process, and time. More than that is a finding like any other.

Both need a Unix; elsewhere nothing is limited. The limit of memory is one of address space, so it holds for what
is reserved, touched or not. Time runs out for Python code only: native code that does not come back is ended, with
its stack, by a watchdog after `STUCK` seconds.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = 1 << 30
SECONDS = 10.0
STUCK = 120.0


class TooSlow(BaseException):
    """Not an Exception: nothing that is being tested can catch it by accident."""


@contextmanager
def limited_memory(more: int = MEMORY) -> Iterator[None]:
    """Let this process have `more` bytes than it has now; what it asks beyond raises MemoryError."""
    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    import resource

    used = int(status.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def limited_time(seconds: float = SECONDS) -> Iterator[None]:
    """Raise TooSlow if the body takes longer. Main thread only."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_slow(*_: object) -> None:
    raise TooSlow("this input took too long")


@contextmanager
def watchdog() -> Iterator[None]:
    """End the process, its stack printed, if the body does not come back within `STUCK` seconds."""
    faulthandler.dump_traceback_later(STUCK, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
