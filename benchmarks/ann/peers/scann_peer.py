"""ScaNN: a tree of partitions, 4-bit asymmetric hashing, the best reordered by float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import scann

from benchmarks.ann.peers.base import Peer


class Scann(Peer):
    package = "scann"
    settings = tuple(
        (leaves, reorder)
        for leaves in (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100)
        for reorder in (30, 60, 120, 240)
    )

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "leaves": "sqrt(n)",
            "score_ah": 2,
            "anisotropic_quantization_threshold": 0.2,
            "reorder": "float32",
        }

    def build(self, vectors: np.ndarray) -> None:
        vectors = self.prepared(vectors)
        count = len(vectors)
        measure = "dot_product" if self.metric == "cosine" else "squared_l2"
        builder = scann.scann_ops_pybind.builder(vectors, 10, measure)
        builder = builder.tree(int(count**0.5), 10, training_sample_size=min(count, 250_000))
        threshold = 0.2 if self.metric == "cosine" else float("nan")
        builder = builder.score_ah(2, anisotropic_quantization_threshold=threshold).reorder(100)
        builder.set_n_training_threads(self.threads)
        self.index = builder.build()

    def search(self, queries: np.ndarray, k: int, setting: tuple[int, int]) -> np.ndarray:
        leaves, reorder = setting
        queries = self.prepared(queries)
        search = self.index.search_batched if self.threads == 1 else self.index.search_batched_parallel
        found, _ = search(queries, k, pre_reorder_num_neighbors=reorder, leaves_to_search=leaves)
        return np.asarray(found, np.int64)
