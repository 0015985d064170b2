"""How many threads a call may use. Kernels run without the GIL, so Python's threads are enough."""

from __future__ import annotations

import os

from vego.errors import InvalidArgumentError


def thread_count(threads: int | None) -> int:
    """`threads`, or one per processor this process may run on; raises InvalidArgumentError below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise InvalidArgumentError(f"threads: expected at least 1, found {threads}")
    return threads
