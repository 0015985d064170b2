"""Databases of several segments for the tests of compaction, and what must be true of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import vego
from tests.support.model import Model, same_value
from vego.store import LocalStore
from vego.table.manifest import files_of, load_version, versions

DIMENSION = 4


def opened(path: Path, **options: Any) -> tuple[vego.Database, vego.Collection]:
    db = vego.open(path, metric="l2", background=False, **{"durability": "none", "index": "hnsw"} | options)
    return db, db.collection("c", dimension=DIMENSION)


def filled(path: Path, *, batches: int = 6, rows: int = 30, **options: Any) -> Model:
    """A database of several segments with deletes in them, closed."""
    model = Model("l2")
    rng = np.random.default_rng(1)
    db, docs = opened(path, **options)
    for batch in range(batches):
        for row in range(rows):
            write(docs, model, f"d{batch}-{row}", rng.standard_normal(DIMENSION).astype(np.float32), batch)
        docs.flush()
    gone = [name for number, name in enumerate(model.documents) if number % 3 == 0]
    docs.delete_batch(gone)
    for name in gone:
        del model.documents[name]
    docs.build_index()
    db.close()
    return model


def write(docs: vego.Collection, model: Model, name: str, vector: np.ndarray, n: int) -> None:
    docs.upsert(id=name, vector=vector, metadata={"n": n, "of": name})
    model.documents[name] = (vector, {"n": n, "of": name})


def assert_same(docs: vego.Collection, model: Model) -> None:
    assert len(docs) == len(model.documents)
    for name, (vector, metadata) in model.documents.items():
        found = docs.get(name)
        assert found is not None, name
        assert same_value(found.metadata, metadata), (name, found.metadata, metadata)
        assert np.array_equal(np.asarray(found.vector), vector)
    hits = docs.search(np.zeros(DIMENSION), k=len(model.documents) + 10)
    assert sorted(hits.ids) == sorted(model.documents)
    for hit in hits[:20]:
        assert same_value(hit.metadata, model.documents[hit.id][1])


def assert_no_rubbish(path: Path) -> None:
    """Every file of the collection is one that some manifest names, and the other way round."""
    store = LocalStore(path, read_only=True)
    named = {
        f"{path}/{file}" for v in versions(store, "c") for file in files_of("c", load_version(store, "c", v))
    }
    base = path / "collections" / "c"
    there = {str(file) for kind in ("data", "deletes", "index") for file in (base / kind).iterdir()}
    assert there == named
    assert not list(path.rglob(".tmp-*"))


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
