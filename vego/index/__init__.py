"""Vector indexes over slots: exact search and the HNSW graph. numba is imported on first use, not here."""

from __future__ import annotations

from vego.index.flat import exact_search
from vego.index.hnsw import DEFAULT_EF, DEFAULT_RERANK, HnswIndex, scan_is_cheaper
from vego.index.metrics import Metric

__all__ = ["DEFAULT_EF", "DEFAULT_RERANK", "HnswIndex", "Metric", "exact_search", "scan_is_cheaper"]
