"""The graph index; see `HnswIndex`."""

from __future__ import annotations

from vego.index.hnsw.index import DEFAULT_EF, DEFAULT_RERANK, HnswIndex
from vego.index.hnsw.search import scan_is_cheaper

__all__ = ["DEFAULT_EF", "DEFAULT_RERANK", "HnswIndex", "scan_is_cheaper"]
