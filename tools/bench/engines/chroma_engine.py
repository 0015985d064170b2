"""Chroma: its persistent client, HNSW float32."""

# ruff: noqa: D101, D102 - the base classes say what each method does
from __future__ import annotations

from pathlib import Path
from typing import Any

import chromadb
import numpy as np

from vego_tools.bench.engines.base import EF_CONSTRUCTION, NEIGHBOURS, Database, Filter, Rows

BATCH = 2000


class Chroma(Database):
    name = "chroma"
    package = "chromadb"
    efforts = (100, 160, 300, 600)

    def _client(self, path: Path) -> chromadb.api.ClientAPI:
        return chromadb.PersistentClient(str(path), settings=chromadb.Settings(anonymized_telemetry=False))

    def build(self, path: Path, rows: Rows) -> None:
        self.client = self._client(path)
        self.collection = self.client.create_collection(
            "documents",
            embedding_function=None,
            configuration={
                "hnsw": {
                    "space": "cosine",
                    "ef_construction": EF_CONSTRUCTION,
                    "max_neighbors": NEIGHBOURS,
                    "ef_search": self.efforts[0],
                    "num_threads": self.threads,
                }
            },
        )
        columns = list(rows.metadata)
        records = list(zip(*rows.metadata.values(), strict=True))
        for start in range(0, len(rows.ids), BATCH):
            stop = start + BATCH
            self.collection.add(
                ids=rows.ids[start:stop],
                embeddings=rows.vectors[start:stop],
                metadatas=[dict(zip(columns, record, strict=True)) for record in records[start:stop]],
            )

    def open(self, path: Path) -> None:
        self.client = self._client(path)
        self.collection = self.client.get_collection("documents", embedding_function=None)

    def set_effort(self, effort: int) -> None:
        self.collection.modify(configuration={"hnsw": {"ef_search": effort}})

    def translate(self, where: Filter | None) -> Any:
        if where is None:
            return None
        return {where.column: {"$eq" if where.operator == "==" else "$gte": where.value}}

    def search(self, query: np.ndarray, k: int, where: Any) -> tuple[list[str], list[float]]:
        found = self.collection.query(
            query_embeddings=[query], n_results=k, where=where, include=["distances"]
        )
        return found["ids"][0], found["distances"][0]

    def get(self, document_id: str) -> object:
        return self.collection.get(ids=[document_id], include=["embeddings", "metadatas"])

    def close(self) -> None:
        self.client.close()
