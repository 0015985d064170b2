"""A collection against a dict and brute force: every verb, any order, with flush and reopen between."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import vego
from tests.support.copies import copy_of_one_moment
from tests.support.documents import IDS, METADATA, vectors
from tests.support.model import Model, same_value

DIMENSION = 4


class CollectionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="vego-stateful-"))

    @initialize(
        metric=st.sampled_from(["l2", "cosine", "ip", "l1"]), flush_bytes=st.sampled_from([1_000, 10_000_000])
    )
    def start(self, metric: str, flush_bytes: int) -> None:
        self.model = Model(metric)
        self.tagged: dict[str, dict[str, Any]] = {}
        self.remembered: dict[int, dict[str, Any]] = {}
        self.options = {"dimension": DIMENSION, "metric": metric, "flush_bytes": flush_bytes}
        self.open()

    def open(self, *, shared: bool = False) -> None:
        self.shared = shared
        options = {"shared": True} if shared else {"durability": "none"}
        self.db = vego.open(self.directory, **options)
        self.docs = self.db.collection("things", **self.options)

    @rule(name=IDS, vector=vectors(DIMENSION), metadata=METADATA)
    def insert(self, name: str, vector: np.ndarray, metadata: dict[str, Any]) -> None:
        if name in self.model.documents:
            try:
                self.docs.insert(id=name, vector=vector, metadata=metadata)
            except vego.DuplicateIdError as error:
                assert name in str(error) and "things" in str(error)
                return
            raise AssertionError("a second document of that id was accepted")
        self.docs.insert(vego.Document(name, vector, metadata))
        self.model.documents[name] = (vector, metadata)

    @rule(name=IDS, vector=vectors(DIMENSION), metadata=METADATA)
    def upsert(self, name: str, vector: np.ndarray, metadata: dict[str, Any]) -> None:
        self.docs.upsert(id=name, vector=vector, metadata=metadata)
        self.model.documents[name] = (vector, metadata)

    @rule(rows=st.dictionaries(IDS, st.tuples(vectors(DIMENSION), METADATA), max_size=6))
    def upsert_batch(self, rows: dict[str, tuple[np.ndarray, dict[str, Any]]]) -> None:
        self.docs.upsert_batch([vego.Document(name, v, m) for name, (v, m) in rows.items()])
        self.model.documents.update(rows)

    @rule(rows=st.dictionaries(IDS, vectors(DIMENSION), min_size=1, max_size=6), data=st.data())
    def insert_columns(self, rows: dict[str, np.ndarray], data: st.DataObject) -> None:
        years = data.draw(st.lists(st.none() | st.integers(0, 9), min_size=len(rows), max_size=len(rows)))
        names = list(rows)
        clash = [name for name in names if name in self.model.documents]
        try:
            self.docs.insert_batch(ids=names, vectors=np.stack(list(rows.values())), metadata={"a": years})
        except vego.DuplicateIdError:
            assert clash
            return
        assert not clash
        for name, year in zip(names, years, strict=True):
            self.model.documents[name] = (rows[name], {"a": year})

    @rule(name=IDS, vector=st.none() | vectors(DIMENSION), metadata=METADATA)
    def update(self, name: str, vector: np.ndarray | None, metadata: dict[str, Any]) -> None:
        if name not in self.model.documents:
            try:
                self.docs.update(name, vector=vector, metadata=metadata)
            except vego.DocumentNotFoundError:
                return
            raise AssertionError("a document that is not there was updated")
        self.docs.update(name, vector=vector, metadata=metadata)
        old_vector, old = self.model.documents[name]
        self.model.documents[name] = (old_vector if vector is None else vector, old | metadata)

    @rule(data=st.data(), steps=st.integers(0, 5), fail=st.booleans())
    def transaction(self, data: st.DataObject, steps: int, fail: bool) -> None:
        expected = dict(self.model.documents)
        try:
            with self.docs.transaction() as changes:
                for _ in range(steps):
                    self.change(data, changes, expected)
                if fail:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            return
        self.model.documents = expected

    def change(
        self,
        data: st.DataObject,
        changes: vego.Transaction,
        expected: dict[str, tuple[np.ndarray, dict[str, Any]]],
    ) -> None:
        name, verb = data.draw(IDS), data.draw(st.sampled_from(["insert", "upsert", "update", "delete"]))
        vector, metadata = data.draw(vectors(DIMENSION)), data.draw(METADATA)
        if verb == "delete":
            assert changes.delete(name) == (expected.pop(name, None) is not None)
        elif verb == "upsert" or (verb == "insert") == (name not in expected):
            getattr(changes, verb)(id=name, vector=vector, metadata=metadata)
            old = expected.get(name, (None, {}))[1] if verb == "update" else {}
            expected[name] = (vector, old | metadata)
        found = changes.get(name)
        assert (found is not None) == (name in expected)

    @rule(rows=st.lists(st.tuples(IDS, st.none() | vectors(DIMENSION), METADATA), max_size=6))
    def insert_valid(self, rows: list[tuple[str, np.ndarray | None, dict[str, Any]]]) -> None:
        given = [{"id": n, "vector": [np.nan] * 4 if v is None else v, "metadata": m} for n, v, m in rows]
        outcome = self.docs.insert_valid(given)
        ids = []
        for name, vector, metadata in rows:
            if vector is not None and name not in self.model.documents:
                self.model.documents[name] = (vector, metadata)
                ids.append(name)
        assert outcome.ids == ids and len(outcome.rejected) == len(rows) - len(ids)

    @rule(names=st.lists(IDS, max_size=4))
    def delete(self, names: list[str]) -> None:
        present = {name for name in names if name in self.model.documents}
        assert self.docs.delete_batch(names) == len(present)
        for name in present:
            del self.model.documents[name]

    @rule()
    def flush(self) -> None:
        self.docs.flush()

    @rule(full=st.booleans())
    def compact(self, full: bool) -> None:
        before = self.docs.stats()
        report = self.docs.compact(full=full)
        after = self.docs.stats()
        assert after["segments"] == report.segments_after <= max(before["segments"] + 1, 1)
        if full and before["documents"]:
            assert after["dead_slots"] == 0 and after["segments"] == 1

    @rule(name=st.sampled_from(["a", "b"]))
    def tag(self, name: str) -> None:
        self.docs.tag(name)
        self.tagged[name] = dict(self.model.documents)

    @rule(name=st.sampled_from(["a", "b"]), query=vectors(DIMENSION))
    def look_back(self, name: str, query: np.ndarray) -> None:
        try:
            old = self.docs.at(tag=name)
        except vego.NotFoundError:
            assert name not in self.tagged
            return
        then = Model(self.model.metric)
        then.documents = self.tagged[name]
        self.compare(old, then)
        expected = [distance for distance, _ in then.nearest(query, 5)]
        assert np.allclose(old.search(query, k=5).distances, expected, atol=1e-5)

    @rule(name=st.sampled_from(["a", "b"]))
    def restore(self, name: str) -> None:
        if name in self.tagged:
            self.docs.restore(tag=name)
            self.model.documents = dict(self.tagged[name])

    @rule(keep=st.sampled_from([None, 2, 3]))
    def vacuum(self, keep: int | None) -> None:
        self.docs.vacuum(keep)
        if keep is not None and not self.shared:  # others might look for versions that are young
            assert len(self.docs.versions()) <= keep + len(self.tagged)

    @rule(shared=st.booleans())
    def reopen(self, shared: bool) -> None:
        self.db.close()
        self.open(shared=shared)

    @rule()
    def remember(self) -> None:
        """Make what is there a version."""
        self.docs.flush()
        self.remembered[self.docs.stats()["version"]] = dict(self.model.documents)

    @rule(data=st.data())
    def travel(self, data: st.DataObject) -> None:
        """What a version held, by its number and by its time, as long as it is kept."""
        there = {version.version: version for version in self.docs.versions()}
        if known := sorted(there.keys() & self.remembered.keys()):
            version = there[data.draw(st.sampled_from(known))]
            then = Model(self.model.metric)
            then.documents = self.remembered[version.version]
            self.compare(self.docs.at(version.version), then)
            self.compare(self.docs.at(timestamp=version.time), then)
        for gone in self.remembered.keys() - there.keys():
            try:
                self.docs.at(gone)
            except vego.NotFoundError:
                continue
            raise AssertionError(f"version {gone} is not listed and can be opened")

    @rule()
    def read_meanwhile(self) -> None:
        """Another process that only reads sees what the system has."""
        with vego.open(self.directory, read_only=True) as db:
            self.compare(db.collection("things"), self.model)

    @rule()
    def crash(self) -> None:
        """Open a copy of the files as they are: nothing was closed, nothing may be missing."""
        other = Path(tempfile.mkdtemp(prefix="vego-crashed-"))
        copy_of_one_moment(Path(self.directory), other)
        with vego.open(other) as db:
            self.compare(db.collection("things"), self.model)
        shutil.rmtree(other)

    @rule(query=vectors(DIMENSION), k=st.integers(1, 20))
    def search(self, query: np.ndarray, k: int) -> None:
        hits = self.docs.search(query, k=k)
        expected = self.model.nearest(query, k)
        assert np.allclose(hits.distances, [distance for distance, _ in expected], atol=1e-5)
        for hit in hits:
            vector, metadata = self.model.documents[hit.id]
            assert abs(self.model.distance(query, vector) - hit.distance) < 1e-5
            assert same_value(hit.metadata, metadata)

    @rule(query=vectors(DIMENSION), k=st.integers(1, 5), least=st.integers(0, 9))
    def search_filtered(self, query: np.ndarray, k: int, least: int) -> None:
        keep = {
            name
            for name, (_, metadata) in self.model.documents.items()
            if type(metadata.get("a")) in (int, float) and metadata["a"] >= least
        }
        try:
            hits = self.docs.search(query, k=k, filter=vego.field("a") >= least)
        except vego.UnknownFieldError:
            assert not any("a" in metadata for _, metadata in self.model.documents.values())
            return
        assert np.allclose(hits.distances, [d for d, _ in self.model.nearest(query, k, keep)], atol=1e-5)
        assert set(hits.ids) <= keep

    def compare(self, docs: vego.Collection, model: Model) -> None:
        assert len(docs) == len(model.documents)
        for name, (vector, metadata) in model.documents.items():
            found = docs.get(name)
            assert found is not None and same_value(found.metadata, metadata), (found, metadata)
            assert np.array_equal(np.asarray(found.vector), vector)

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        assert len(self.docs) == len(self.model.documents)
        for name in ["doc-0", "doc-1", "ü"]:
            found = self.docs.get(name)
            if name not in self.model.documents:
                assert found is None
                continue
            vector, metadata = self.model.documents[name]
            assert found is not None and same_value(found.metadata, metadata), (found, metadata)
            assert np.array_equal(np.asarray(found.vector), vector)

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()
        shutil.rmtree(self.directory)


CollectionMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestCollection = CollectionMachine.TestCase
