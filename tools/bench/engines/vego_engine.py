"""Vego: the database through its public API, and its HNSW index alone."""

# ruff: noqa: D101, D102 - the base classes say what each method does
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import vego
from vego.index import HnswIndex
from vego_tools.bench.engines.base import EF_CONSTRUCTION, NEIGHBOURS, Database, Filter, Index, Rows


class VegoDatabase(Database):
    name = "vego"
    package = "vego"
    efforts = (0, 100, 160, 300, 600)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.ef: int | None = None

    def build(self, path: Path, rows: Rows) -> None:
        self.db = vego.open(path, dimension=rows.vectors.shape[1], metric="cosine")
        self.documents = self.db.collection("documents", m=NEIGHBOURS, ef_construction=EF_CONSTRUCTION)
        self.documents.insert_batch(ids=rows.ids, vectors=rows.vectors, metadata=rows.metadata)
        self.documents.build_index()

    def open(self, path: Path) -> None:
        self.db = vego.open(path)
        self.documents = self.db.collection("documents")

    def set_effort(self, effort: int) -> None:
        self.ef = effort or None

    def translate(self, where: Filter | None) -> Any:
        if where is None:
            return None
        column = vego.field(where.column)
        return column == where.value if where.operator == "==" else column >= where.value

    def search(self, query: np.ndarray, k: int, where: Any) -> tuple[list[str], list[float]]:
        hits = self.documents.search(query, k=k, filter=where, ef=self.ef)
        return hits.ids, hits.distances.tolist()

    def search_batch(self, queries: np.ndarray, k: int, effort: int) -> Any:
        return self.documents.search_batch(queries, k=k, ef=effort, threads=self.threads)

    def batch_rows(self, answer: Any) -> np.ndarray:
        """Row numbers ``(m, k)`` from a batch result's ids."""
        ids, _ = answer
        return np.array([[-1 if one is None else int(one) for one in row] for row in ids])

    def get(self, document_id: str) -> object:
        return self.documents.get(document_id)

    def close(self) -> None:
        self.db.close()


class VegoIndex(Index):
    name = "vego-index"
    package = "vego"

    def build(self, path: Path, rows: Rows) -> None:
        del path
        self.vectors = rows.vectors
        self.inverse_norms = (1 / np.linalg.norm(rows.vectors, axis=1)).astype(np.float32)
        self.index = HnswIndex("cosine", rows.vectors.shape[1], m=NEIGHBOURS, ef_construction=EF_CONSTRUCTION)
        self.index.extend(self.vectors, self.inverse_norms, len(rows.vectors), threads=self.threads)

    def search_batch(self, queries: np.ndarray, k: int, effort: int) -> Any:
        return self.index.search_batch(
            self.vectors, self.inverse_norms, queries, k, effort, threads=self.threads
        )[0]
