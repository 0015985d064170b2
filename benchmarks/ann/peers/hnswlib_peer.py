"""hnswlib: the reference HNSW, float32."""

from __future__ import annotations

from typing import Any

import hnswlib
import numpy as np

from benchmarks.ann.peers.base import EF_CONSTRUCTION, M, Peer


class Hnswlib(Peer):
    package = "hnswlib"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"M": M, "ef_construction": EF_CONSTRUCTION}

    def build(self, vectors: np.ndarray) -> None:
        self.index = hnswlib.Index(space=self.metric, dim=vectors.shape[1])
        self.index.init_index(max_elements=len(vectors), ef_construction=EF_CONSTRUCTION, M=M)
        self.index.set_num_threads(self.threads)
        self.index.add_items(vectors, num_threads=self.threads)

    def search(self, queries: np.ndarray, k: int, setting: int) -> np.ndarray:
        self.index.set_ef(setting)
        labels: np.ndarray = self.index.knn_query(queries, k=k, num_threads=self.threads)[0]
        return labels
