"""How many threads a call may use. Kernels run without the GIL, so Python's threads are enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from vego.errors import InvalidArgumentError


def thread_count(threads: int | None) -> int:
    """`threads`, or one per processor this process may run on; raises InvalidArgumentError below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise InvalidArgumentError(f"threads: expected at least 1, found {threads}")
    return threads


TASK_QUERIES = 32  # queries a thread takes at a time


def in_pieces(task: Callable[[int, int], None], total: int, threads: int) -> None:
    """Call task(first, last) over [0, total), in pieces if there is more than one thread for them."""
    if threads == 1 or total <= TASK_QUERIES:
        task(0, total)
        return
    with ThreadPoolExecutor(threads) as pool:
        pieces = range(0, total, TASK_QUERIES)
        for _ in pool.map(lambda first: task(first, min(first + TASK_QUERIES, total)), pieces):
            pass
