"""The graph index; see `HnswIndex`."""

from __future__ import annotations

from vego.index.calibration import Calibration, Curve
from vego.index.hnsw.index import DEFAULT_EF, DEFAULT_RERANK, HnswIndex

__all__ = ["DEFAULT_EF", "DEFAULT_RERANK", "Calibration", "Curve", "HnswIndex"]
