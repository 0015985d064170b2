"""Vectors for tests of indexes, and what holds of every kind that grows while it is searched."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np


def inverse(vectors: np.ndarray) -> np.ndarray:
    """Inverse lengths of rows, 0 of rows of zeros."""
    lengths = np.linalg.norm(vectors, axis=1)
    return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0).astype(np.float32)


def clustered(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    """About fifty rows around each of some centres."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((rows // 50 + 1, dimension)) * 2
    values = centres[rng.integers(0, len(centres), rows)] + rng.standard_normal((rows, dimension)) / 2
    return values.astype(np.float32)


def assert_searches_go_on(index: Any, vectors: np.ndarray, *efforts: int) -> None:
    """A thread searches while the index grows to all rows: each answer is whole, and of rows that are indexed."""
    failures = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            rows = index.rows
            slots, _ = index.search_batch(vectors, None, vectors[:50], 3, *efforts)
            if not (slots >= 0).all() or slots.max() >= index.rows or index.rows < rows:
                failures.append(slots)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        for stop in range(index.rows + 100, len(vectors) + 1, 200):
            index.extend(vectors, None, stop, threads=2)
    finally:
        done.set()
        thread.join()
    assert not failures
