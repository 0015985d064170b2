"""faiss: HNSW over float32 vectors, and HNSW over 8-bit codes with exact refinement, its fastest here.

Vectors are normalised first, so that the inner product orders as the cosine does.
"""

# ruff: noqa: D101, D102 - the base classes say what each method does
from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from vego_tools.bench.engines.base import EF_CONSTRUCTION, NEIGHBOURS, Index, Rows


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


class FaissHnsw(Index):
    name = "faiss"
    package = "faiss-cpu"

    def build(self, path: Path, rows: Rows) -> None:
        del path
        faiss.omp_set_num_threads(self.threads)
        self.index = faiss.IndexHNSWFlat(rows.vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.add(_unit(rows.vectors))

    def search_batch(self, queries: np.ndarray, k: int, effort: int) -> Any:
        self.index.hnsw.efSearch = effort
        return self.index.search(_unit(queries), k)[1]


class FaissHnswSq8(Index):
    name = "faiss-sq8"
    package = "faiss-cpu"

    def build(self, path: Path, rows: Rows) -> None:
        del path
        faiss.omp_set_num_threads(self.threads)
        vectors = _unit(rows.vectors)
        self.graph = faiss.IndexHNSWSQ(
            vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT
        )
        self.graph.hnsw.efConstruction = EF_CONSTRUCTION
        self.exact = faiss.IndexFlatIP(vectors.shape[1])
        self.graph.train(vectors)
        self.graph.add(vectors)
        self.exact.add(vectors)
        self.index = faiss.IndexRefine(self.graph, self.exact)
        self.index.k_factor = 2

    def search_batch(self, queries: np.ndarray, k: int, effort: int) -> Any:
        self.graph.hnsw.efSearch = max(effort, 2 * k)
        return self.index.search(_unit(queries), k)[1]
