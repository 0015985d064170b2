"""Collections whose graph is on the disk: it is there once it is saved, and damage in it is seen and can be mended."""

from __future__ import annotations

import numpy as np
import pytest

import vego
from vego.errors import CorruptionError
from vego.index import DiskIndex, indexed_rows
from vego.index.disk.parts import FreshPart, StoredPart

DIMENSION, K = 12, 10
OPTIONS = {"dimension": DIMENSION, "metric": "cosine", "index": "disk", "background": False}


def surface(rows, seed=0):
    turn = np.random.default_rng(99).standard_normal((4, DIMENSION))
    rng = np.random.default_rng(seed)
    values = np.tanh(rng.standard_normal((rows, 4)) @ turn * 0.5) + 0.05 * rng.standard_normal(
        (rows, DIMENSION)
    )
    return values.astype(np.float32)


def parts(docs):
    return [(type(part), part.rows) for part in docs._state().index._parts]


def insert(docs, vectors, first=0):
    numbers = range(first, first + len(vectors))
    docs.insert_batch(ids=[f"d{n}" for n in numbers], vectors=vectors, metadata={"n": list(numbers)})


def recall(docs, queries, **options):
    _, exact = docs.search_batch(queries, k=K, exact=True, **options)
    _, found = docs.search_batch(queries, k=K, **options)
    return float((found <= exact[:, -1:] + 1e-5).mean())


def test_what_is_saved_is_on_the_disk(tmp_path):
    vectors, queries = surface(4000), surface(30, 1)
    with vego.open(tmp_path, **OPTIONS) as db:
        docs = db.collection("c")
        insert(docs, vectors[:2000])
        assert parts(docs) == [(StoredPart, 2000)]  # a collection that had no index is worth saving
        report = docs.index_report()
        assert (report.kind, report.parameters["parts"]) == ("disk", 1)
        in_block = 4096 // (4 * (4 + 32 + DIMENSION))
        assert report.memory["records"] == 4096 * -(-2000 // in_block)
        assert report.memory["codes"] == 2000 * 64 and report.memory["links"] < 20_000
        assert report.curve and "records" in repr(report)
        insert(docs, vectors[2000:2400], 2000)
        docs.build_index()
        assert parts(docs) == [(StoredPart, 2000), (StoredPart, 400)]
        insert(docs, vectors[2400:3800], 2400)
        assert parts(docs) == [(StoredPart, 3800)]
        insert(docs, vectors[3800:], 3800)  # too few for the graph: found by an exact scan
        assert parts(docs) == [(StoredPart, 3800)]
        assert recall(docs, queries) >= 0.95
        before = docs.search_batch(queries, k=K)
    with vego.open(tmp_path, read_only=True) as db:
        docs = db.collection("c")
        assert parts(docs) == [(StoredPart, 3800)]
        after = docs.search_batch(queries, k=K)
        np.testing.assert_array_equal(after[0], before[0])
        np.testing.assert_array_equal(after[1], before[1])
    assert vego.verify(tmp_path, deep=True).ok


def test_rows_in_memory_are_searched_until_they_are_saved(tmp_path):
    vectors = surface(8000)
    with vego.open(tmp_path, **OPTIONS) as db:
        docs = db.collection("c")
        insert(docs, vectors[:6500])
        insert(docs, vectors[6500:], 6500)
        assert parts(docs) == [(StoredPart, 6500), (FreshPart, 1500)]
        assert recall(docs, surface(30, 1)) >= 0.95
        assert recall(docs, surface(30, 1), filter="n >= 6000") >= 0.95
        docs.delete_batch([f"d{n}" for n in range(0, 8000, 3)])
        assert recall(docs, surface(30, 1)) >= 0.95
        docs.compact(full=True)
        assert [kind for kind, _ in parts(docs)] == [StoredPart, StoredPart]
        assert recall(docs, surface(30, 1)) >= 0.95
        assert all(int(hit.id[1:]) % 3 for hit in docs.search(vectors[0], k=50))


def test_a_graph_is_built_a_part_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(
        indexed_rows,
        "empty_index",
        lambda options, metric, dimension: DiskIndex(
            metric, dimension, m=6, ef_construction=40, part_rows=1500
        ),
    )
    with vego.open(tmp_path, **OPTIONS) as db:
        docs = db.collection("c")
        insert(docs, surface(5700))
        assert parts(docs) == [(StoredPart, 1500)] * 3 + [(StoredPart, 1200)]
        assert recall(docs, surface(30, 1)) >= 0.95
    with vego.open(tmp_path) as db:
        assert parts(db.collection("c")) == [(StoredPart, 1500)] * 3 + [(StoredPart, 1200)]


def test_plans(tmp_path):
    vectors = surface(3000)
    with vego.open(tmp_path, **OPTIONS) as db:
        docs = db.collection("c")
        insert(docs, vectors)
        plan = docs.explain(vectors[0], K, ef=50)
        assert plan.strategy == "graph" and 50 <= plan.visited <= 80
        assert docs.explain(vectors[0], K, filter="n < 100").strategy == "codes"
        assert docs.explain(vectors[0], K, filter="n < 2999").strategy == "filtered graph"
        assert docs.explain(vectors[0], K, exact=True).exact
        assert docs.explain(vectors[0], K, filter="n < 0").strategy == "empty"
        docs.delete("d7")
        plan = docs.explain(vectors[0], K)
        assert plan.strategy == "filtered graph"
        assert docs.search(vectors[7], 1)[0].id != "d7"
        hits = docs.search_range(vectors[8], max_distance=0.01, limit=3000)
        near = 1 - vectors @ vectors[8] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[8]) <= 0.01
        assert len(hits) >= 0.9 * (near.sum() - near[7])
        with pytest.raises(vego.SearchTimeoutError):
            docs.search_batch(vectors, K, timeout=1e-9)


def index_file(folder):
    (path,) = (folder / "collections" / "c" / "index").iterdir()
    return path


@pytest.fixture
def damaged(tmp_path):
    """A collection of which the records, but nothing else of the index, are damaged; and its vectors."""
    vectors = surface(3000)
    with vego.open(tmp_path, **OPTIONS, retain_versions=2) as db:
        insert(db.collection("c"), vectors)
        db.collection("c").vacuum()
    data = bytearray(index_file(tmp_path).read_bytes())
    for vector in vectors[100:200]:
        place = data.find(vector.tobytes())
        assert place > 0
        data[place + 5] ^= 16
    index_file(tmp_path).write_bytes(data)
    return tmp_path, vectors


def test_damage_is_seen_where_it_is_met_and_nowhere_else(damaged):
    folder, vectors = damaged
    with vego.open(folder, read_only=True) as db:
        docs = db.collection("c")
        with pytest.raises(CorruptionError, match="--drop-index") as caught:
            docs.search(vectors[150], K)
        assert "the record of slot 1" in str(caught.value) and str(index_file(folder).name) in str(
            caught.value
        )
        with pytest.raises(CorruptionError):
            docs.search_batch(vectors[100:200], K, filter="n < 2000")
        assert docs.search(vectors[150], 1, exact=True)[0].id == "d150"
        assert docs.get("d150").vector.tobytes() == vectors[150].tobytes()
    assert vego.verify(folder).ok
    report = vego.verify(folder, deep=True)
    assert not report.ok and "checksum" in str(report)


def test_damage_is_never_copied_into_another_file(damaged):
    folder, vectors = damaged
    with vego.open(folder, background=False) as db:
        docs = db.collection("c")
        before = index_file(folder).name
        insert(docs, vectors, 3000)  # the rows are in; the graph could not be extended
        assert "the record of slot" in docs.stats()["maintenance_error"]
        assert len(docs) == 6000
        with pytest.raises(CorruptionError, match="the record of slot"):
            docs.build_index()
        docs.delete_batch([f"d{n}" for n in range(0, 3000, 2)])
        with pytest.raises(CorruptionError, match="the record of slot"):
            docs.compact(full=True)
        assert index_file(folder).name == before
        assert len(docs) == 4500


def test_a_damaged_index_is_dropped_and_built_again(damaged):
    folder, vectors = damaged
    from vego.cli.entry import main

    assert main(["repair", str(folder), "--collection", "c", "--drop-index"]) == 0
    with vego.open(folder, background=False) as db:
        docs = db.collection("c")
        assert docs.search(vectors[150], 1)[0].id == "d150"
        docs.build_index()
        assert parts(docs) == [(StoredPart, 3000)]
        assert docs.search(vectors[150], 1)[0].id == "d150"
    assert vego.verify(folder, deep=True).ok
