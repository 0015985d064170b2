"""Every kind of index in a collection: what is written, deleted, merged and opened again is found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import vego
from vego.errors import UnknownOptionError
from vego.index import DiskIndex, HnswIndex, IvfIndex, LshIndex, Metric, VectorIndex
from vego.index.kinds import IVF_KINDS, empty_index
from vego.options import INDEX_KINDS, CollectionOptions

ROWS, DIMENSION, K = 3000, 16, 10
METRICS = ["l2", "cosine", "ip"]
LIVES = [*itertools.product([*sorted(IVF_KINDS), "disk"], METRICS), ("hnsw", "l1")]


def clustered(rows, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((60, DIMENSION)) * 2
    values = centres[rng.integers(0, 60, rows)] + rng.standard_normal((rows, DIMENSION)) / 2
    return values.astype(np.float32)


def recall(docs, queries, **options):
    """The share of answers no further than the k-th of an exact search."""
    _, exact = docs.search_batch(queries, k=K, exact=True, **options)
    _, found = docs.search_batch(queries, k=K, **options)
    return float((found <= exact[:, -1:] + 1e-4 * np.abs(exact[:, -1:]) + 1e-5).mean())


@pytest.mark.parametrize(("kind", "metric"), LIVES)
def test_the_life_of_a_collection(tmp_path, kind, metric):
    vectors, queries = clustered(ROWS), clustered(ROWS + 40)[ROWS:]
    wanted = 0.8 if "rabitq" in kind else 0.95  # 16 bits say little about 16 components
    ids = [str(i) for i in range(ROWS)]
    with vego.open(tmp_path, dimension=DIMENSION, metric=metric, index=kind, background=False) as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=ids, vectors=vectors, metadata={"n": list(range(ROWS))})
        docs.build_index()
        assert docs.stats()["indexed_slots"] == ROWS
        assert recall(docs, queries) >= wanted
        assert recall(docs, queries, filter=vego.field("n") < 300) >= wanted
        assert recall(docs, queries, filter=vego.field("n") >= 300) >= wanted
        docs.delete_batch(ids[::3])
        docs.insert_batch(ids=["new"], vectors=queries[:1], metadata={"n": [-1]})
        assert metric == "ip" or docs.search(queries[0], k=1)[0].id == "new"
        docs.compact(full=True)
        docs.build_index()
        assert recall(docs, queries) >= wanted
        before = docs.search_batch(queries, k=K)
    with vego.open(tmp_path) as db:
        docs = db.collection("docs")
        assert docs.stats()["index"] == kind
        assert docs.stats()["indexed_slots"] == ROWS - ROWS // 3 + 1
        after = docs.search_batch(queries, k=K)
        np.testing.assert_array_equal(after[0], before[0])
        np.testing.assert_array_equal(after[1], before[1])
        assert not set(ids[::3]) & {hit.id for hit in docs.search(queries[0], k=200)}
    report = vego.verify(tmp_path, deep=True)
    assert report.ok, report


@pytest.mark.parametrize("kind", sorted(IVF_KINDS))
def test_inverted_lists_do_not_know_every_metric(tmp_path, kind):
    with vego.open(tmp_path, dimension=4) as db:
        with pytest.raises(vego.InvalidArgumentError, match=f"'{kind}' does not work with .* 'l1'.*'hnsw'"):
            db.collection("docs", metric="l1", index=kind)
        assert db.collections() == []
    with pytest.raises(vego.InvalidArgumentError, match="know l2, cosine, ip"):
        IvfIndex(Metric.L1, 4)


def test_every_option_has_an_index():
    for kind in INDEX_KINDS:
        if kind == "flat":
            continue  # has none
        metric = Metric.HAMMING if kind == "lsh" else Metric.L2
        index = empty_index(CollectionOptions(index=kind), metric, 8)
        expected = {"lsh": LshIndex, "disk": DiskIndex}.get(
            kind, IvfIndex if kind in IVF_KINDS else HnswIndex
        )
        assert isinstance(index, expected) and isinstance(index, VectorIndex)
        assert (index.metric, index.dimension, index.rows) == (metric, 8, 0)
    with pytest.raises(UnknownOptionError, match="ivf_pq"):
        CollectionOptions(index="ivfpq")


@pytest.fixture(scope="module", params=["ivf", "ivf_pq", "flat_sq8"])
def indexed(request, tmp_path_factory):
    """A collection of ROWS rows, the last ten of them not in the index."""
    path = tmp_path_factory.mktemp(request.param)
    with vego.open(path, dimension=DIMENSION, metric="l2", index=request.param, background=False) as db:
        docs = db.collection("docs")
        vectors = clustered(ROWS)
        ids = [str(i) for i in range(ROWS)]
        docs.insert_batch(ids=ids[:-10], vectors=vectors[:-10], metadata={"n": list(range(ROWS - 10))})
        docs.build_index()
        docs.insert_batch(ids=ids[-10:], vectors=vectors[-10:], metadata={"n": list(range(ROWS - 10, ROWS))})
        yield request.param, docs, vectors


def test_the_plan_says_how_many_lists_are_scanned(indexed):
    kind, docs, vectors = indexed
    lists = docs.index_report().parameters["lists"]
    assert lists == 1 if kind == "flat_sq8" else 64 < lists < 128
    plan = docs.explain(vectors[0], K)
    assert (plan.strategy, plan.exact, plan.indexed) == ("lists", False, ROWS - 10)
    assert plan.ef == docs.index_report().ef <= lists
    assert "one list" in plan.reason if lists == 1 else f"{plan.ef} of {lists} lists" in plan.reason
    few = docs.explain(vectors[0], K, filter="n < 1000")
    assert few.ef == (1 if lists == 1 else min(-(-plan.ef * ROWS // 1000), lists))
    assert plan.visited == (ROWS if lists == 1 else None)
    assert docs.explain(vectors[0], K, ef=lists, filter="n < 1000").visited == 1000
    assert docs.explain(vectors[0], K, filter="n < 200").strategy == "gather"
    assert docs.explain(vectors[0], K, exact=True).strategy == "exact"
    assert docs.explain(vectors[0], K, target_recall=1.0).exact


def test_how_many_lists_are_looked_at_has_nothing_to_do_with_k(indexed):
    _, docs, vectors = indexed
    for k in (1, 100):
        plan = docs.explain(vectors[0], k, ef=2, rerank=200)
        assert (plan.ef, plan.rerank) == (2, 200)
        assert len(docs.search(vectors[0], k, ef=1)) == k


def test_the_report_of_an_index_without_a_graph(indexed):
    kind, docs, _ = indexed
    report = docs.index_report()
    assert (report.kind, report.indexed) == (kind, ROWS - 10)
    assert report.reaches_target and report.curve[-1][1] >= report.target_recall
    assert 1 <= report.ef <= report.parameters["lists"]
    assert report.memory["vectors"] == 4 * DIMENSION * ROWS
    assert (report.memory["codes"] > 0) == (kind != "ivf")
    assert "recall measured" in repr(report)
    assert "recall measured" in report._repr_html_()


@pytest.mark.parametrize("radius", [0.5, 3.0, 100.0])
def test_all_within_a_distance(indexed, radius):
    _, docs, vectors = indexed
    near = np.sqrt(((vectors - vectors[7]) ** 2).sum(1)) <= radius
    hits = docs.search_range(vectors[7], max_distance=radius, limit=ROWS)
    found = {int(name) for name in hits.ids}
    assert found <= set(np.flatnonzero(near))
    assert len(found) >= 0.95 * near.sum()


def test_searches_stop_when_they_are_told_to(indexed):
    _, docs, vectors = indexed
    for search, queries in ((docs.search, vectors[0]), (docs.search_batch, vectors[:600])):
        with pytest.raises(vego.SearchCancelledError):
            search(queries, K, cancel=lambda: True)
        with pytest.raises(vego.SearchTimeoutError):
            search(queries, K, timeout=1e-9, filter="n < 2900")
        search(queries, K, timeout=600, filter="n < 2900")


@pytest.mark.parametrize("kind", ["ivf", "ivf_pq", "ivf_sq8", "disk"])
def test_partitions_are_dropped_and_slots_come_in_another_order(tmp_path, kind):
    vectors, queries = clustered(ROWS), clustered(ROWS + 40)[ROWS:]
    with vego.open(
        tmp_path, dimension=DIMENSION, metric="cosine", index=kind, partition_by="part", background=False
    ) as db:
        docs = db.collection("docs")
        for first in range(0, ROWS, 500):
            ids = [str(i) for i in range(first, first + 500)]
            parts = [f"part{i % 4}" for i in range(first, first + 500)]
            docs.insert_batch(ids=ids, vectors=vectors[first : first + 500], metadata={"part": parts})
        docs.build_index()
        docs.drop_partition("part1")
        assert recall(docs, queries) >= 0.95
        docs.compact(full=True)
        docs.build_index()
        assert docs.stats()["indexed_slots"] == ROWS - ROWS // 4
        assert recall(docs, queries) >= 0.95
        assert recall(docs, queries, filter="part = 'part2'") >= 0.95
        assert all(int(hit.id) % 4 == 2 for hit in docs.search(queries[0], k=50, filter="part = 'part2'"))
    report = vego.verify(tmp_path, deep=True)
    assert report.ok, report
