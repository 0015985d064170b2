"""Vego's graph index with its default parameters; the vectors stay with the caller."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.ann.peers.base import Peer
from vego.index import HnswIndex


class Vego(Peer):
    package = "vego"
    copies = False

    @property
    def parameters(self) -> dict[str, Any]:
        p = HnswIndex(self.metric, 1).params
        return {"m": p.m, "ef_construction": p.ef_construction}

    def build(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.norms = None
        if self.metric == "cosine":
            self.norms = (1 / np.linalg.norm(vectors, axis=1)).astype(np.float32)
        self.index = HnswIndex(self.metric, vectors.shape[1])
        self.index.extend(vectors, self.norms, len(vectors), threads=self.threads)

    def search(self, queries: np.ndarray, k: int, setting: int) -> np.ndarray:
        return self.index.search_batch(self.vectors, self.norms, queries, k, setting, threads=self.threads)[0]
