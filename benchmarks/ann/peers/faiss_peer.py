"""faiss: HNSW over float32, HNSW over 8-bit codes with exact refinement, and IVF fast scan, refined."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from benchmarks.ann.peers.base import EF_CONSTRUCTION, M, Peer


class _Faiss(Peer):
    package = "faiss-cpu"

    def __init__(self, metric: str, threads: int) -> None:
        super().__init__(metric, threads)
        faiss.omp_set_num_threads(threads)
        self.kind = faiss.METRIC_INNER_PRODUCT if metric == "cosine" else faiss.METRIC_L2

    @property
    def parameters(self) -> dict[str, Any]:
        return {"M": M, "efConstruction": EF_CONSTRUCTION}

    def refined(self, index: Any, vectors: np.ndarray) -> Any:
        """`index`, filled, with its best answers scored again by a flat index."""
        flat = faiss.IndexFlat(vectors.shape[1], self.kind)
        index.train(vectors)
        index.add(vectors)
        flat.add(vectors)
        self.coarse, self.flat = index, flat  # the refining index does not own them
        return faiss.IndexRefine(index, flat)


class FaissHnsw(_Faiss):
    def build(self, vectors: np.ndarray) -> None:
        vectors = self.prepared(vectors)
        self.index = faiss.IndexHNSWFlat(vectors.shape[1], M, self.kind)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.add(vectors)

    def search(self, queries: np.ndarray, k: int, setting: int) -> np.ndarray:
        self.index.hnsw.efSearch = setting
        rows: np.ndarray = self.index.search(self.prepared(queries), k)[1]
        return rows


class FaissHnswSq8(_Faiss):
    def build(self, vectors: np.ndarray) -> None:
        vectors = self.prepared(vectors)
        graph = faiss.IndexHNSWSQ(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, M, self.kind)
        graph.hnsw.efConstruction = EF_CONSTRUCTION
        self.index = self.refined(graph, vectors)

    def search(self, queries: np.ndarray, k: int, setting: int) -> np.ndarray:
        self.coarse.hnsw.efSearch = setting
        self.index.k_factor = min(2.0, max(1.0, setting / k))
        rows: np.ndarray = self.index.search(self.prepared(queries), k)[1]
        return rows


class FaissFastScan(_Faiss):
    settings = tuple(
        (probes, factor)
        for probes in (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
        for factor in (5, 10, 20, 40)
    )

    @property
    def parameters(self) -> dict[str, Any]:
        return {"nlist": "2 sqrt(n)", "pq": "d/2 x 4 bits", "refine": "float32"}

    def build(self, vectors: np.ndarray) -> None:
        vectors = self.prepared(vectors)
        count, dimension = vectors.shape
        lists = max(8, int(2 * count**0.5))
        index = faiss.index_factory(dimension, f"IVF{lists},PQ{dimension // 2}x4fs", self.kind)
        index.cp.max_points_per_centroid = 64
        index.cp.min_points_per_centroid = 1
        self.index = self.refined(index, vectors)

    def search(self, queries: np.ndarray, k: int, setting: tuple[int, int]) -> np.ndarray:
        self.coarse.nprobe, self.index.k_factor = setting
        rows: np.ndarray = self.index.search(self.prepared(queries), k)[1]
        return rows
