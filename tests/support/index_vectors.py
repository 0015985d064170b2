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


def chosen(kind: str, rows: int, rng: np.random.Generator) -> tuple[list[int], dict[str, Any]]:
    """Some of the slots below `rows`, and the options of an exact search that say so.

    `kind` is "all", "range", "rows", "accept" or "both".
    """
    slots: list[int] = list(range(rows))
    options: dict[str, Any] = {}
    if kind == "range":
        low = int(rng.integers(0, rows + 1))
        options |= {"start": low, "stop": int(rng.integers(low, rows + 1))}
        slots = slots[options["start"] : options["stop"]]
    if kind in ("rows", "both"):
        slots = rng.permutation(rows)[: rows // 2].tolist()
        options["rows"] = np.array(slots, np.uint32)
    if kind in ("accept", "both"):
        options["accept"] = rng.random(rows) < 0.5
        slots = [slot for slot in slots if options["accept"][slot]]
    return slots, options
