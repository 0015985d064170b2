"""What every index looks like to this benchmark, and where to find each one.

A peer's module imports its library at the top, so a missing one shows as ImportError when the peer is loaded.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

M = 16
EF_CONSTRUCTION = 200
EFS = (10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 640, 800)


class Peer(ABC):
    """An index over float32 vectors (n, d) under "l2" or "cosine", searched with `settings` of rising effort."""

    package: ClassVar[str]  # the distribution whose version is reported
    copies: ClassVar[bool] = True  # whether it keeps float32 vectors of its own, not the caller's
    settings: ClassVar[tuple[Any, ...]] = EFS

    def __init__(self, metric: str, threads: int) -> None:
        self.metric = metric
        self.threads = threads

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """What it is built with."""

    @abstractmethod
    def build(self, vectors: np.ndarray) -> None:
        """Index all rows."""

    @abstractmethod
    def search(self, queries: np.ndarray, k: int, setting: Any) -> np.ndarray:
        """Row numbers (m, k) of the nearest, -1 where there is none."""

    def prepared(self, rows: np.ndarray) -> np.ndarray:
        """Rows of length 1 under cosine, for libraries that know the inner product alone."""
        if self.metric != "cosine":
            return rows
        return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


PEERS: dict[str, str] = {
    "vego": "vego_peer:Vego",
    "hnswlib": "hnswlib_peer:Hnswlib",
    "faiss": "faiss_peer:FaissHnsw",
    "faiss-sq8": "faiss_peer:FaissHnswSq8",
    "faiss-fastscan": "faiss_peer:FaissFastScan",
    "usearch": "usearch_peer:Usearch",
    "vsag": "vsag_peer:Vsag",
    "scann": "scann_peer:Scann",
}


def load_peer(name: str, metric: str, threads: int) -> Peer:
    """The peer called `name`; ImportError where its library is not installed."""
    module, _, class_name = PEERS[name].partition(":")
    peer: Peer = getattr(importlib.import_module(f"benchmarks.ann.peers.{module}"), class_name)(
        metric, threads
    )
    return peer
