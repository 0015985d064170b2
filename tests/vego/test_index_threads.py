"""Work in pieces over threads: every item once, whatever fails, whoever else does the same, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vego.errors import InvalidArgumentError
from vego.index.threads import LEAST_ITEMS, in_pieces, thread_count


def run(total, threads):
    """How often each item was done, and the pieces in the order in which they were begun."""
    done, pieces, lock = [0] * total, [], threading.Lock()

    def task(first, last):
        with lock:
            pieces.append((first, last))
            for i in range(first, last):
                done[i] += 1

    in_pieces(task, total, threads)
    return done, pieces


@given(st.integers(0, 3000), st.integers(1, 9))
def test_every_item_is_done_once(total, threads):
    done, pieces = run(total, threads)
    assert done == [1] * total
    if threads > 1:
        sizes = [last - first for first, last in sorted(pieces)]
        assert all(size >= LEAST_ITEMS for size in sizes[:-1])
        assert sizes == sorted(sizes, reverse=True)


def test_threads_work_at_the_same_time():
    met = threading.Barrier(3, timeout=30)
    in_pieces(lambda first, last: met.wait() if first < 3 * LEAST_ITEMS else None, 3 * LEAST_ITEMS, 3)


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_failure_is_raised_and_nobody_works_on(where):
    running, lock, bad = [0], threading.Lock(), 0 if where == "first" else 1000 - LEAST_ITEMS

    def task(first, last):
        with lock:
            running[0] += 1
        try:
            if first <= bad < last:
                raise InvalidArgumentError("this piece")
        finally:
            with lock:
                running[0] -= 1

    with pytest.raises(InvalidArgumentError, match="this piece"):
        in_pieces(task, 1000, 4)
    assert running == [0]
    assert run(1000, 4)[0] == [1] * 1000


def test_many_callers_share_the_threads():
    with ThreadPoolExecutor(70) as pool:
        for done, _ in pool.map(lambda _: run(500, 8), range(210)):
            assert done == [1] * 500


def test_pieces_within_pieces():
    sizes = []  # append is atomic
    in_pieces(lambda *_: in_pieces(lambda first, last: sizes.append(last - first), 100, 2), 200, 4)
    assert sum(sizes) == 100 * len(run(200, 4)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_has_threads_of_its_own():
    script = """
import os, threading
from vego.index.threads import in_pieces
def both():
    met = threading.Barrier(2, timeout=20)
    in_pieces(lambda first, last: met.wait(), 64, 2)
both()
child = os.fork()
if child == 0:
    both()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)


def test_how_many():
    assert thread_count(3) == 3
    assert thread_count(None) >= 1
    with pytest.raises(InvalidArgumentError, match="at least 1, found 0"):
        thread_count(0)
