"""LanceDB: IVF_HNSW_SQ, with scalar indexes on the filtered columns.

Its default index (IVF_PQ) does not reach the recall asked for, so it is not measured. Effort 0 is its own
default; any other is ``ef``, with twice k candidates re-ranked by their stored vectors (``refine_factor``).
"""

# ruff: noqa: D101, D102 - the base classes say what each method does
from __future__ import annotations

from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa

from vego_tools.bench.engines.base import EF_CONSTRUCTION, NEIGHBOURS, Database, Filter, Rows


class LanceDB(Database):
    name = "lancedb"
    package = "lancedb"
    efforts = (0, 64, 100, 200, 400)

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.set_effort(self.efforts[0])

    def build(self, path: Path, rows: Rows) -> None:
        dimension = rows.vectors.shape[1]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.vectors.reshape(-1)), dimension)
        data = pa.table({"id": rows.ids, "vector": vectors, **rows.metadata})
        self.table = lancedb.connect(path).create_table("documents", data)
        self.table.create_index(
            metric="cosine",
            index_type="IVF_HNSW_SQ",
            num_partitions=1,
            m=NEIGHBOURS,
            ef_construction=EF_CONSTRUCTION,
        )
        self.table.create_scalar_index("id", index_type="BTREE")
        for column in rows.indexed:
            text = isinstance(rows.metadata[column][0], str)
            self.table.create_scalar_index(column, index_type="BITMAP" if text else "BTREE")

    def open(self, path: Path) -> None:
        self.table = lancedb.connect(path).open_table("documents")

    def set_effort(self, effort: int) -> None:
        self.effort = effort

    def translate(self, where: Filter | None) -> Any:
        if where is None:
            return None
        value = f"'{where.value}'" if isinstance(where.value, str) else where.value
        return f"{where.column} {'=' if where.operator == '==' else where.operator} {value}"

    def search(self, query: np.ndarray, k: int, where: Any) -> tuple[list[str], list[float]]:
        builder = self.table.search(query).distance_type("cosine").limit(k).select(["id", "_distance"])
        if where is not None:
            builder = builder.where(where, prefilter=True)
        if self.effort:
            builder = builder.ef(self.effort).refine_factor(2)
        found = builder.to_arrow()
        return found["id"].to_pylist(), found["_distance"].to_pylist()

    def get(self, document_id: str) -> object:
        return self.table.search().where(f"id = '{document_id}'").limit(1).to_list()[0]

    def close(self) -> None:
        del self.table
