"""A partitioned collection against a dict: every verb in any order, with drops, flushes, compactions and reopening."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import vego
from tests.support.model import Model, same_value
from vego.index import indexed_rows
from vego.query import matches, parse_filter
from vego.table import partitioned, rowstore
from vego.verification import verify

DIMENSION = 3
IDS = st.sampled_from([f"i{number}" for number in range(40)])
VALUES = st.sampled_from(["x", "y", "1", 1, 0, -7, True, False, None, "missing"])
FILTERS = st.sampled_from(
    [
        "p == 'x'",
        "p != 'x'",
        "p == 1",
        "p < 1",
        "p >= 0",
        "p == true",
        "p in ('x', '1', 1)",
        "p not in ('x', 1)",
        "p is null",
        "p is not null",
        "not (p == 'x' and n > 3)",
        "p == 'y' or n < 2",
        "p == 'y' and n < 5",
        "not (p < 1 or n is null)",
        "n >= 4",
        "(p is null or p == 1) and not (n == 3)",
        "not (not (p >= 'x')) or (n == 2 and p != true)",
    ]
)


def metadata_of(value: Any, number: int | None) -> dict[str, Any]:
    metadata = {} if number is None else {"n": number}
    return metadata if value == "missing" else metadata | {"p": value}


def partition_of(metadata: dict[str, Any]) -> tuple[type, Any]:
    value = metadata.get("p")
    return type(value), value


METADATA = st.builds(metadata_of, VALUES, st.none() | st.integers(0, 6))
VECTORS = st.integers(0, 10_000).map(
    lambda seed: np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
)
ROWS = st.dictionaries(IDS, st.tuples(VECTORS, METADATA), max_size=25)


class PartitionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="vego-partitions-"))
        self.small = [
            patch.object(rowstore, "DIRECT_ROWS", 8),
            patch.object(partitioned, "LEAST_SHARE", 2),
            patch.object(rowstore, "LEAST_SHARE", 2),
            patch.object(indexed_rows, "DIRECT_ROWS", 8),
            patch.object(indexed_rows, "MIN_BATCH", 6),
        ]
        for one in self.small:
            one.start()

    @initialize(flush_bytes=st.sampled_from([1_000, 10_000_000]), shared=st.booleans())
    def start(self, flush_bytes: int, shared: bool) -> None:
        self.model = Model("l2")
        self.tagged: dict[str, dict[str, Any]] = {}
        self.shared = shared
        self.options = {
            "dimension": DIMENSION,
            "metric": "l2",
            "flush_bytes": flush_bytes,
            "partition_by": "p",
        }
        self.options |= {"m": 4, "ef_construction": 32}
        self.open()

    def open(self) -> None:
        self.db = vego.open(self.directory, durability="none", background=False, shared=self.shared)
        self.docs = self.db.collection("things", **self.options)

    @rule(rows=ROWS)
    def upsert_batch(self, rows: dict[str, tuple[np.ndarray, dict[str, Any]]]) -> None:
        self.docs.upsert_batch([vego.Document(name, v, m) for name, (v, m) in rows.items()])
        self.model.documents.update(rows)

    @rule(name=IDS, vector=VECTORS, metadata=METADATA)
    def upsert(self, name: str, vector: np.ndarray, metadata: dict[str, Any]) -> None:
        self.docs.upsert(id=name, vector=vector, metadata=metadata)
        self.model.documents[name] = (vector, metadata)

    @rule(name=IDS, metadata=METADATA)
    def update(self, name: str, metadata: dict[str, Any]) -> None:
        if name in self.model.documents:
            self.docs.update(name, metadata=metadata)
            vector, old = self.model.documents[name]
            self.model.documents[name] = (vector, old | metadata)

    @rule(names=st.sets(IDS, max_size=8))
    def delete(self, names: set[str]) -> None:
        there = sum(self.model.documents.pop(name, None) is not None for name in names)
        assert self.docs.delete_batch(names) == there

    @rule(value=VALUES)
    def drop(self, value: Any) -> None:
        value = None if value == "missing" else value
        gone = [n for n, (_, m) in self.model.documents.items() if partition_of(m) == (type(value), value)]
        assert self.docs.drop_partition(value) == len(gone)
        for name in gone:
            del self.model.documents[name]

    @rule(name=IDS, other=IDS, vector=VECTORS, metadata=METADATA)
    def transaction(self, name: str, other: str, vector: np.ndarray, metadata: dict[str, Any]) -> None:
        with self.docs.transaction() as changes:
            changes.upsert(id=name, vector=vector, metadata=metadata)
            if other != name:
                changes.delete(other)
        self.model.documents[name] = (vector, metadata)
        if other != name:
            self.model.documents.pop(other, None)

    @rule()
    def flush(self) -> None:
        self.docs.flush()

    @rule()
    def build_index(self) -> None:
        self.docs.build_index()

    @rule(full=st.booleans())
    def compact(self, full: bool) -> None:
        self.docs.compact(full=full)

    @rule(name=st.sampled_from(["a", "b"]))
    def tag(self, name: str) -> None:
        if self.docs.dimension is not None:
            self.docs.tag(name)
            self.tagged[name] = dict(self.model.documents)

    @rule(name=st.sampled_from(["a", "b"]))
    def restore(self, name: str) -> None:
        if name in self.tagged:
            self.docs.restore(tag=name)
            self.model.documents = dict(self.tagged[name])

    @rule(name=st.sampled_from(["a", "b"]))
    def look_back(self, name: str) -> None:
        if name in self.tagged:
            self.check(self.docs.at(tag=name), self.tagged[name])

    @rule()
    def reopen(self) -> None:
        self.db.close()
        self.open()

    @rule(text=FILTERS, query=VECTORS)
    def search(self, text: str, query: np.ndarray) -> None:
        if not {"p", "n"} <= {"p", *self.docs.stats().get("metadata_keys", [])}:
            return
        expr = parse_filter(text)
        keep = {name for name, (_, m) in self.model.documents.items() if matches(expr, m)}
        hits = self.docs.search(query, k=50, filter=text)
        assert {hit.id for hit in hits} == keep
        nearest = [distance for distance, _ in self.model.nearest(query, 50, keep)]
        assert np.allclose([hit.distance for hit in hits], nearest, rtol=1e-4, atol=1e-5)
        table = self.docs.to_table(["id"], filter=text)
        assert set(table["id"].to_pylist()) == keep

    @rule()
    def look_after(self) -> None:
        report = verify(self.directory, deep=True)
        assert report.ok, report.findings

    def check(self, docs: vego.Collection, documents: dict[str, tuple[np.ndarray, dict[str, Any]]]) -> None:
        assert len(docs) == len(documents)
        for name in [f"i{number}" for number in range(40)]:
            found = docs.get(name)
            assert (found is not None) == (name in documents)
            if found is not None:
                vector, metadata = documents[name]
                assert np.array_equal(found.vector, vector)
                assert same_value(found.metadata, metadata)
        counts: dict[tuple[type, Any], int] = {}
        for _, metadata in documents.values():
            key = partition_of(metadata)
            counts[key] = counts.get(key, 0) + 1
        listed = {(type(one.value), one.value): one.documents for one in docs.partitions()}
        assert {key: count for key, count in listed.items() if count} == counts

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "docs"):
            self.check(self.docs, self.model.documents)
            if self.docs.dimension is not None:
                manifest = self.docs._created().rows.manifest
                for entry in manifest.segments:
                    assert entry.partition is not None

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()
        for one in self.small:
            one.stop()
        shutil.rmtree(self.directory)


TestPartitions = PartitionMachine.TestCase
TestPartitions.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
