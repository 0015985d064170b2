"""Vector indexes over slots: exact search, the HNSW graph, inverted lists. numba is imported on first use, not here."""

from __future__ import annotations

from vego.index.flat import exact_search
from vego.index.hnsw import DEFAULT_EF, DEFAULT_RERANK, HnswIndex, scan_is_cheaper
from vego.index.ivf import IvfIndex
from vego.index.metrics import Metric
from vego.index.vector_index import VectorIndex

__all__ = [
    "DEFAULT_EF",
    "DEFAULT_RERANK",
    "HnswIndex",
    "IvfIndex",
    "Metric",
    "VectorIndex",
    "exact_search",
    "scan_is_cheaper",
]
