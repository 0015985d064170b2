"""vsag: its graph over 8-bit codes, the best reordered by float32. It takes one query at a time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyvsag

from benchmarks.ann.peers.base import EF_CONSTRUCTION, M, Peer


class Vsag(Peer):
    package = "pyvsag"

    @property
    def parameters(self) -> dict[str, Any]:
        return {
            "base_quantization_type": "sq8",
            "use_reorder": True,
            "precise_quantization_type": "fp32",
            "max_degree": 2 * M,
            "ef_construction": EF_CONSTRUCTION,
            "build_thread_count": self.threads,
        }

    def build(self, vectors: np.ndarray) -> None:
        pyvsag.set_logger_off()
        count, dimension = vectors.shape
        described = {
            "dtype": "float32",
            "metric_type": self.metric,
            "dim": dimension,
            "index_param": self.parameters,
        }
        self.index = pyvsag.Index("hgraph", json.dumps(described))
        self.index.build(vectors.reshape(-1), np.arange(count), count, dimension)

    def search(self, queries: np.ndarray, k: int, setting: int) -> np.ndarray:
        parameters = json.dumps({"hgraph": {"ef_search": setting}})
        rows = np.full((len(queries), k), -1, np.int64)
        for number, query in enumerate(queries):
            found = self.index.knn_search(query, k, parameters)[0]
            rows[number, : len(found)] = found
        return rows
