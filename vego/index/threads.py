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


LEAST_QUERIES = 32  # that a thread takes at a time
TURNS = 8  # how often each thread takes some, so that all end at about the same time


def in_pieces(task: Callable[[int, int], None], total: int, threads: int) -> None:
    """Call task(first, last) over [0, total), in pieces if there is more than one thread for them; one is ours."""
    size = max(LEAST_QUERIES, total // (TURNS * threads))
    if threads == 1 or total <= size:
        task(0, total)
        return
    firsts = iter(range(0, total, size))  # shared: what one thread takes no other gets

    def work() -> None:
        for first in firsts:
            task(first, min(first + size, total))

    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(work) for _ in range(min(threads, -(-total // size)) - 1)]
        work()
    for other in others:
        other.result()
