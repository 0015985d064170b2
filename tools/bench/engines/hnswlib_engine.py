"""hnswlib: the reference HNSW, float32."""

# ruff: noqa: D101, D102 - the base classes say what each method does
from __future__ import annotations

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from vego_tools.bench.engines.base import EF_CONSTRUCTION, NEIGHBOURS, Index, Rows


class Hnswlib(Index):
    name = "hnswlib"
    package = "hnswlib"

    def build(self, path: Path, rows: Rows) -> None:
        del path
        count, dimension = rows.vectors.shape
        self.index = hnswlib.Index(space="cosine", dim=dimension)
        self.index.init_index(
            max_elements=count, ef_construction=EF_CONSTRUCTION, M=NEIGHBOURS, random_seed=100
        )
        self.index.set_num_threads(self.threads)
        self.index.add_items(rows.vectors, num_threads=self.threads)

    def search_batch(self, queries: np.ndarray, k: int, effort: int) -> Any:
        self.index.set_ef(effort)
        return self.index.knn_query(queries, k=k, num_threads=self.threads)[0]
