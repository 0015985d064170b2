"""Zvec: HNSW over float32 vectors, and over 8-bit codes; inverted indexes on the filtered columns."""

# ruff: noqa: D101, D102 - the base classes say what each method does
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zvec

from vego_tools.bench.engines.base import EF_CONSTRUCTION, NEIGHBOURS, Database, Filter, Rows

BATCH = 1000
KINDS = {str: zvec.DataType.STRING, int: zvec.DataType.INT64, float: zvec.DataType.DOUBLE}


class Zvec(Database):
    name = "zvec"
    package = "zvec"
    efforts = (64, 100, 160, 300, 600)
    quantize = "UNDEFINED"
    refine = False

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        zvec.init(query_threads=threads, optimize_threads=threads, log_level=zvec.LogLevel.ERROR)
        self.set_effort(self.efforts[0])

    def build(self, path: Path, rows: Rows) -> None:
        fields = []
        for column, values in rows.metadata.items():
            kind = KINDS[type(values[0])]
            index = None
            if column in rows.indexed:
                index = zvec.InvertIndexParam(enable_range_optimization=kind != zvec.DataType.STRING)
            fields.append(zvec.FieldSchema(column, kind, index_param=index))
        vector = zvec.VectorSchema(
            "vector",
            zvec.DataType.VECTOR_FP32,
            rows.vectors.shape[1],
            zvec.HnswIndexParam(
                metric_type=zvec.MetricType.COSINE,
                m=NEIGHBOURS,
                ef_construction=EF_CONSTRUCTION,
                quantize_type=getattr(zvec.QuantizeType, self.quantize),
            ),
        )
        schema = zvec.CollectionSchema("documents", fields=fields, vectors=vector)
        self.collection = zvec.create_and_open(str(path), schema)
        columns = list(rows.metadata)
        records = list(zip(*rows.metadata.values(), strict=True))
        for start in range(0, len(rows.ids), BATCH):
            documents = [
                zvec.Doc(
                    rows.ids[i],
                    vectors={"vector": rows.vectors[i]},
                    fields=dict(zip(columns, records[i], strict=True)),
                )
                for i in range(start, min(start + BATCH, len(rows.ids)))
            ]
            for status in self.collection.insert(documents):
                if not status.ok():
                    raise RuntimeError(f"zvec refused a document: {status.message()}")
        self.collection.optimize()
        self.collection.flush()

    def open(self, path: Path) -> None:
        self.collection = zvec.open(str(path))

    def set_effort(self, effort: int) -> None:
        self.parameters = zvec.HnswQueryParam(ef=effort, is_using_refiner=self.refine)

    def translate(self, where: Filter | None) -> Any:
        if where is None:
            return None
        value = f"'{where.value}'" if isinstance(where.value, str) else where.value
        return f"{where.column} {'=' if where.operator == '==' else where.operator} {value}"

    def search(self, query: np.ndarray, k: int, where: Any) -> tuple[list[str], list[float]]:
        found = self.collection.query(
            zvec.Query("vector", vector=query, param=self.parameters), topk=k, filter=where, output_fields=[]
        )
        return [hit.id for hit in found], [hit.score for hit in found]

    def get(self, document_id: str) -> object:
        return self.collection.fetch(document_id)[document_id]

    def close(self) -> None:
        self.collection.close()


class ZvecInt8(Zvec):
    name = "zvec-int8"
    quantize = "INT8"
