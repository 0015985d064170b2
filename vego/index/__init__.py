"""Indexes over slots: exact search, graphs in memory and on the disk, inverted lists. numba comes with first use."""

from __future__ import annotations

from vego.index.accepted import Accepted, AcceptedByFilter
from vego.index.disk import DiskIndex
from vego.index.flat import exact_search
from vego.index.hnsw import DEFAULT_EF, DEFAULT_RERANK, Calibration, Curve, HnswIndex
from vego.index.ivf import IvfIndex
from vego.index.kinds import check_options
from vego.index.lsh import LshIndex
from vego.index.metrics import Metric
from vego.index.vector_index import VectorIndex
from vego.index.way import Way

__all__ = [
    "DEFAULT_EF", "DEFAULT_RERANK", "Accepted", "AcceptedByFilter", "Calibration", "Curve", "DiskIndex", "HnswIndex",
    "IvfIndex", "LshIndex", "Metric", "VectorIndex", "Way", "check_options", "exact_search",
]  # fmt: skip
