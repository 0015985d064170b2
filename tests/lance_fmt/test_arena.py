"""Memory of results: never shared by two that live, used again when the last view is gone."""

from __future__ import annotations

import gc
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import arena
from lance_fmt.arena import PIECE, Arena


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    gc.collect()
    for waiting in arena._free.values():
        waiting.clear()


def test_pieces_come_back_only_after_every_view_is_gone() -> None:
    lent = Arena()
    first = lent.take(1000)
    view = first.view(np.int64)[3:9]
    window = memoryview(view)
    del lent, first
    gc.collect()
    assert not arena.kept()
    del view
    gc.collect()
    assert not arena.kept()  # the memoryview still looks at it
    window.release()
    del window
    gc.collect()
    assert arena.kept() == PIECE


def test_a_piece_serves_again() -> None:
    taken = Arena().take(10)
    place = taken.ctypes.data
    del taken
    gc.collect()
    assert Arena().take(10).ctypes.data == place


def test_no_more_than_a_few_are_kept() -> None:
    many = [Arena().take(10) for _ in range(arena.KEPT // PIECE + 5)]
    assert len({array.ctypes.data for array in many}) == len(many)
    del many
    gc.collect()
    assert arena.kept() == arena.KEPT


@given(st.lists(st.integers(0, PIECE + 10), min_size=1, max_size=12))
def test_what_is_taken_is_aligned_and_apart(sizes: list[int]) -> None:
    lent = Arena()
    taken = [lent.take(size) for size in sizes]
    spans = sorted((array.ctypes.data, array.ctypes.data + len(array)) for array in taken if len(array))
    assert [len(array) for array in taken] == sizes
    assert all(start % 8 == 0 for start, _ in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@pytest.mark.parametrize("size", [1, PIECE, PIECE + 1, 3 * PIECE, arena._LARGEST, arena._LARGEST + 1])
def test_sizes_of_leases(size: int) -> None:
    taken = arena.lease(size)
    place = taken.ctypes.data
    assert len(taken) == size
    assert place % 16 == 0
    del taken
    gc.collect()
    assert (arena.kept() > 0) == (size <= arena._LARGEST)
    assert arena.kept() < 2 * max(size, PIECE)
    if size <= arena._LARGEST:
        assert arena.lease(size).ctypes.data == place


def test_join_is_concatenate() -> None:
    parts = [np.arange(50_000, dtype="<f4"), np.arange(7, dtype="<f4")]
    assert np.array_equal(Arena().join(parts), np.concatenate(parts))
    rows = [np.ones((9000, 3)), np.zeros((2, 3))]
    assert np.array_equal(Arena().join(rows), np.concatenate(rows))


def test_tables_that_live_keep_their_values_while_others_come_and_go(tmp_path) -> None:
    path = tmp_path / "x.lfmt"
    rng = np.random.default_rng(1)
    source = {f"c{i}": rng.integers(0, 2**40, 60_000) for i in range(6)}
    source["s"] = [f"row {i * 7919 % 60_000}" for i in range(60_000)]
    lance_fmt.write(path, source)
    with lance_fmt.open(path) as file:
        kept = file.read()["c3"].to_numpy()
        failures: list[str] = []

        def churn(seed: int) -> None:
            names = np.random.default_rng(seed).permutation(list(source)).tolist()
            for _ in range(6):
                table = file.read(names)
                if any(table[n].to_numpy().tolist() != list(source[n]) for n in names[:2]):
                    failures.append(names[0])

        threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert np.array_equal(kept, source["c3"])
