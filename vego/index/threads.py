"""How many threads a call may use. Kernels run without the GIL, so Python's threads are enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache

from vego.errors import InvalidArgumentError


def thread_count(threads: int | None) -> int:
    """`threads`, or one per processor this process may run on; raises InvalidArgumentError below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise InvalidArgumentError(f"threads: expected at least 1, found {threads}")
    return threads


LEAST_ITEMS = 32  # queries, or nodes, that a thread takes at a time
MOST_WORKERS = max(64, os.cpu_count() or 1)


@cache
def _workers() -> ThreadPoolExecutor:
    """Threads that stay for the next call: to start one takes as long as ten queries."""
    return ThreadPoolExecutor(MOST_WORKERS, "vego.search")


if hasattr(os, "register_at_fork"):
    # A child has the pool of its parent, but no thread of it.
    os.register_at_fork(after_in_child=_workers.cache_clear)


def _pieces(total: int, threads: int) -> list[tuple[int, int]]:
    """[0, total) in pieces that get smaller: few in all, and all threads end at about the same time.

    Guided self-scheduling: Polychronopoulos and Kuck, IEEE Transactions on Computers C-36 (1987).
    """
    pieces, first = [], 0
    while first < total:
        last = min(total, first + max(LEAST_ITEMS, (total - first) // (2 * threads)))
        pieces.append((first, last))
        first = last
    return pieces


def in_pieces(task: Callable[[int, int], None], total: int, threads: int) -> None:
    """Call task(first, last) over [0, total), in pieces if there is more than one thread for them; one is ours."""
    if threads == 1 or total <= LEAST_ITEMS:
        task(0, total)
        return
    pieces = _pieces(total, threads)
    left = iter(pieces)  # shared: what one thread takes no other gets

    def work() -> None:
        for first, last in left:
            task(first, last)

    others: list[Future[None]] = []
    try:
        for _ in range(min(threads, len(pieces)) - 1):
            others.append(_workers().submit(work))
        work()
    finally:
        for _ in left:  # nobody begins another one where a task has failed
            pass
        begun = [other for other in others if not other.cancel()]
        wait(begun)
    for other in begun:
        other.result()
