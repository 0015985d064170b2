"""usearch: HNSW over float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from usearch.index import Index

from benchmarks.ann.peers.base import EF_CONSTRUCTION, M, Peer


class Usearch(Peer):
    package = "usearch"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"connectivity": M, "expansion_add": EF_CONSTRUCTION, "dtype": "f32"}

    def build(self, vectors: np.ndarray) -> None:
        metric = "cos" if self.metric == "cosine" else "l2sq"
        self.index = Index(
            ndim=vectors.shape[1], metric=metric, dtype="f32", connectivity=M, expansion_add=EF_CONSTRUCTION
        )
        self.index.add(np.arange(len(vectors)), vectors, threads=self.threads)

    def search(self, queries: np.ndarray, k: int, setting: int) -> np.ndarray:
        self.index.expansion_search = setting
        return np.asarray(self.index.search(queries, k, threads=self.threads).keys, np.int64)
