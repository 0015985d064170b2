from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import naive_index as naive
from tests.support.index_vectors import assert_searches_go_on, clustered, inverse
from vego.errors import DimensionMismatchError, InvalidArgumentError, InvalidVectorError
from vego.index import HnswIndex, Metric, exact_search
from vego.index.kernels.filter_costs import PAST, SCAN, THROUGH
from vego.table.vectors import Vectors

DEBIAN = Path(__file__).resolve().parents[3] / "shared" / "data" / "debian-packages"
METRICS = ["l2", "cosine", "ip", "l1"]


def recall(metric, vectors, norms, queries, distances, k, accept=None):
    """Share of answers no farther than the k-th nearest."""
    _, exact = exact_search(Metric(metric), vectors, norms, queries, k, accept=accept)
    limit = exact[:, -1:] + 1e-4 * np.abs(exact[:, -1:]) + 1e-5
    return float((distances <= limit).mean())


def built(metric, vectors, norms, **options):
    index = HnswIndex(metric, vectors.shape[1], **options)
    index.extend(vectors, norms, len(vectors), threads=1)
    return index


@pytest.fixture(scope="module")
def debian():
    if not DEBIAN.exists():
        pytest.skip("the sample of real embeddings is not here")
    vectors = np.load(DEBIAN / "vectors_f16.npy").astype(np.float32)
    norms = inverse(vectors)
    return vectors, norms, np.load(DEBIAN / "queries_f32.npy"), np.load(DEBIAN / "gt_cosine.npy")


@pytest.fixture(scope="module")
def debian_index(debian):
    index = HnswIndex("cosine", 384)
    index.extend(debian[0], debian[1], len(debian[0]))
    return index


def test_recall_on_real_embeddings(debian, debian_index):
    vectors, norms, queries, truth = debian
    for ef, wanted in ((48, 0.96), (128, 0.985), (400, 0.995)):
        _, distances = debian_index.search_batch(vectors, norms, queries, 10, ef=ef, threads=2)
        reached = float((1 - distances >= truth[:, 9:10] - 1e-4).mean())
        assert reached >= wanted, f"recall {reached} at ef {ef}, expected at least {wanted}"


def test_every_node_of_real_embeddings_is_reachable(debian_index):
    graph = debian_index._graph
    assert naive.reachable(graph.links, graph.rows, graph.entry) == graph.rows


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("make", ["random", "clustered", "offset"])
def test_recall(metric, make):
    rng = np.random.default_rng(1)
    vectors = clustered(3100, 32) if make != "random" else rng.standard_normal((3100, 16)).astype(np.float32)
    if make == "offset":
        vectors += 50 * rng.standard_normal(32).astype(np.float32)
    vectors, queries = vectors[:3000].copy(), vectors[3000:].copy()
    norms = inverse(vectors)
    index = built(metric, vectors, norms)
    _, distances = index.search_batch(vectors, norms, queries, 10, ef=200, rerank=60)
    wanted = 0.97
    reached = recall(metric, vectors, norms, queries, distances, 10)
    assert reached >= wanted, f"recall {reached}, expected at least {wanted}"


@pytest.mark.parametrize("metric", METRICS)
def test_small_extensions_search_as_well_as_one(metric):
    vectors = clustered(3000, 24)
    norms = inverse(vectors)
    queries = clustered(3100, 24)[3000:]
    whole = built(metric, vectors, norms)
    parts = HnswIndex(metric, 24)
    stop = 0
    for size in [1, 1, 1, 5, 17, 40] + [60] * 100:
        stop = min(stop + size, 3000)
        assert parts.extend(vectors[:stop], norms[:stop], stop, threads=1) == stop
    _, one = whole.search_batch(vectors, norms, queries, 10, ef=64, rerank=40)
    _, many = parts.search_batch(vectors, norms, queries, 10, ef=64, rerank=40)
    difference = recall(metric, vectors, norms, queries, one, 10) - recall(
        metric, vectors, norms, queries, many, 10
    )
    allowed = 0.02
    assert difference <= allowed, f"recall fell by {difference}, allowed is {allowed}"
    np.testing.assert_array_equal(parts._graph.levels[:3000], whole._graph.levels[:3000])


def test_the_graph_does_not_depend_on_threads():
    vectors = clustered(2500, 20)
    one = built("l2", vectors, None)
    two = HnswIndex("l2", 20)
    two.extend(vectors, None, 2500, threads=2)
    np.testing.assert_array_equal(one._graph.links[:2500], two._graph.links[:2500])
    used = int(one._graph.upper_start[2500])
    np.testing.assert_array_equal(one._graph.upper[:used], two._graph.upper[:used])
    assert not np.array_equal(built("l2", vectors, None, seed=1)._graph.levels, one._graph.levels)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 9])
def test_few_rows(metric, rows):
    vectors = np.random.default_rng(2).standard_normal((rows, 3)).astype(np.float32)
    norms = inverse(vectors)
    query = np.array([1, 2, 3], np.float32)
    index = built(metric, vectors, norms, m=2)
    slots, distances = index.search(vectors, norms, query, 5)
    expected, exact = exact_search(Metric(metric), vectors, norms, query[None], min(5, rows) or 1)
    assert slots.tolist() == [slot for slot in expected[0] if slot >= 0]
    np.testing.assert_allclose(distances, exact[0][: len(slots)], rtol=1e-5, atol=1e-6)
    assert len(index.scan_codes(vectors, norms, query, 3, 3, np.arange(rows))[0]) == min(3, rows)


@given(
    metric=st.sampled_from(METRICS),
    rows=st.integers(1, 40),
    dimension=st.sampled_from([1, 2, 64, 65]),
    distinct=st.integers(1, 40),
    zeros=st.booleans(),
    k=st.integers(1, 45),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=40)
def test_tiny_indexes_with_duplicates_and_zeros_are_exact(metric, rows, dimension, distinct, zeros, k, seed):
    """So few rows are all candidates, whatever the graph looks like."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(-5, 6, (distinct, dimension)).astype(np.float32)
    if zeros:
        pool[0] = 0
    vectors = pool[rng.integers(0, distinct, rows)]
    norms = inverse(vectors)
    index = built(metric, vectors, norms, m=8, ef_construction=50)
    query = pool[0] + 1
    accept = rng.random(rows) < 0.6
    for mask in (None, accept):
        slots, distances = index.search(vectors, norms, query, k, ef=64, rerank=64, accept=mask)
        found, exact = exact_search(Metric(metric), vectors, norms, query[None], k, accept=mask)
        assert slots.tolist() == [slot for slot in found[0] if slot >= 0]
        np.testing.assert_allclose(distances, exact[0][: len(slots)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_many_equal_vectors(metric):
    vectors = np.ones((1500, 6), np.float32)
    vectors[1400:] = clustered(100, 6)
    norms = inverse(vectors)
    index = built(metric, vectors, norms)
    slots, distances = index.search(vectors, norms, np.ones(6, np.float32), 20)
    assert len(set(slots.tolist())) == 20
    if metric != "ip":
        assert np.abs(distances).max() < 1e-6
    graph = index._graph
    assert naive.reachable(graph.links, 1500, graph.entry) == 1500


@pytest.mark.parametrize("share", [0.0, 0.001, 0.03, 0.2, 0.5, 0.9, 1.0])
def test_accepted_slots_only_and_k_of_them(share):
    vectors = clustered(4000, 24)
    queries = clustered(4040, 24)[4000:]
    index = built("l2", vectors, None)
    rng = np.random.default_rng(3)
    near = np.linalg.norm(vectors - queries[0], axis=1)
    masks = [
        rng.random(4000) < share,
        near > np.quantile(near, 1 - share),
    ]  # independent of the query, and against it
    for accept in masks:
        matches = int(accept.sum())
        slots, distances = index.search_batch(vectors, None, queries, 10, ef=64, rerank=30, accept=accept)
        assert ((slots >= 0).sum(axis=1) == min(10, matches)).all()
        assert accept[slots[slots >= 0]].all()
        if matches >= 10:
            wanted = 0.95
            reached = recall("l2", vectors, None, queries, distances, 10, accept)
            assert reached >= wanted, f"recall {reached} with {matches} accepted, expected at least {wanted}"


def test_walks_under_a_mask_answer_or_say_that_they_do_not():
    vectors = clustered(6000, 24)
    queries = clustered(6040, 24)[6000:]
    index = built("l2", vectors, None)
    search = index._search(Vectors.of(vectors, None), 32, 20)
    ways = set()
    rng = np.random.default_rng(5)
    near = np.linalg.norm(vectors - queries[0], axis=1)
    for share in (0.01, 0.09, 0.3, 0.8):
        for accept in (rng.random(6000) < share, near >= np.quantile(near, 1 - share)):
            accepted = int(accept.sum())
            for budget in (0, 900, 10_000):
                slots, distances = np.full((40, 5), -7, np.int64), np.empty((40, 5), np.float32)
                how, scored = search.walk_filtered(queries, slots, distances, 1, accept, accepted, budget)
                assert (scored <= budget).all()
                assert (slots[how == SCAN] == -7).all()
                assert accept[slots[how != SCAN]].all()
                if (how != SCAN).any():
                    some = how != SCAN
                    reached = recall("l2", vectors, None, queries[some], distances[some], 5, accept)
                    assert reached >= 0.93 or some.sum() < 5, f"recall {reached} at {share}"
                ways.update(how.tolist())
    assert ways == {PAST, THROUGH, SCAN}


def test_one_and_many_queries_and_threads_agree():
    vectors = clustered(2000, 24)
    queries = clustered(2100, 24)[2000:]
    norms = inverse(vectors)
    index = built("cosine", vectors, norms)
    accept = np.random.default_rng(1).random(2000) < 0.8
    for mask in (None, accept):
        slots, distances = index.search_batch(vectors, norms, queries, 7, 40, 20, mask)
        again = index.search_batch(vectors, norms, queries, 7, 40, 20, mask, threads=3)
        np.testing.assert_array_equal(slots, again[0])
        for i, query in enumerate(queries[:20]):
            one = index.search(vectors, norms, query, 7, 40, 20, mask)
            assert one[0].tolist() == slots[i].tolist()
            assert one[1].tolist() == distances[i].tolist()


def test_one_query_sees_the_graph_there_is_now():
    vectors = clustered(1500, 16)
    index = built("l2", vectors[:1000], None)
    assert index.search(vectors, None, vectors[1200], 1)[0][0] < 1000
    prepared = index._ready
    index.extend(vectors, None, 1500, threads=1)
    assert index.search(vectors, None, vectors[1200], 1)[0].tolist() == [1200]
    index._ready = prepared  # of a thread that began before the graph grew
    assert index.search(vectors, None, vectors[1200], 1)[0].tolist() == [1200]
    nearest = index.search(vectors, None, vectors[7], 1)[0][0]
    moved = vectors + np.float32(1)  # another array: distances are of its rows
    distance = index.search(moved, None, vectors[7], 1)[1][0]
    assert nearest == 7
    assert distance > 0.5


def test_progress_and_cancel_leave_whole_batches():
    vectors = clustered(3000, 16)
    index = HnswIndex("l2", 16)
    calls = []
    assert index.extend(vectors, None, 2000, threads=1, progress=lambda *step: calls.append(step)) == 2000
    assert calls[0] == (256, 2000)
    assert calls[-1] == (2000, 2000)
    stop = threading.Event()
    stop.set()
    reached = index.extend(vectors, None, 3000, threads=2, cancel=stop)
    assert 2000 < reached < 3000
    slots, _ = index.search_batch(vectors, None, vectors[:reached], 1, 64, 20)
    assert slots.max() < reached
    wanted = 0.99
    found = float((slots[:, 0] == np.arange(reached)).mean())
    assert found >= wanted, f"{found} of the rows found themselves, expected at least {wanted}"
    assert index.extend(vectors, None, 3000) == 3000
    assert index.extend(vectors, None, 3000) == 3000


def test_searches_go_on_while_the_graph_grows():
    vectors = clustered(4000, 16)
    index = built("l2", vectors[:500], None)
    assert_searches_go_on(index, vectors, 48, 20)


def test_a_copy_and_its_source_grow_apart():
    vectors = clustered(3000, 16)
    index = built("l2", vectors[:1500], None)
    before = index._graph.links[:1500].copy()
    copy = index.copy()
    copy.extend(vectors, None, 3000, threads=1)
    assert (index.rows, copy.rows) == (1500, 3000)
    np.testing.assert_array_equal(index._graph.links[:1500], before)
    index.extend(vectors, None, 3000, threads=1)
    np.testing.assert_array_equal(index._graph.links[:3000], copy._graph.links[:3000])


def test_extending_with_other_data_does_not_matter_to_slots_that_are_indexed():
    """`vectors` may be longer than `stop`, and read-only."""
    vectors = clustered(1000, 16)
    vectors.flags.writeable = False
    index = HnswIndex("l2", 16)
    index.extend(vectors, None, 700, threads=1)
    np.testing.assert_array_equal(
        index._graph.links[:700], built("l2", vectors[:700].copy(), None)._graph.links[:700]
    )
    assert index.search(vectors, None, vectors[3], 1)[0].tolist() == [3]


def test_a_scale_trained_on_few_rows_is_trained_again():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 16)).astype(np.float32)
    vectors[:10] *= np.float32(1e-3)  # says nothing about the range to come
    index = HnswIndex("l2", 16)
    index.extend(vectors, None, 10, threads=1)
    index.extend(vectors, None, 3000, threads=1)
    fresh = built("l2", vectors, None)
    assert index._graph.scale.step == fresh._graph.scale.step
    np.testing.assert_array_equal(index._graph.codes[:3000], fresh._graph.codes[:3000])


@pytest.mark.parametrize(
    "options",
    [
        {"dimension": 0},
        {"dimension": 32_769},
        {"m": 1},
        {"m": 513},
        {"ef_construction": 0},
        {"seed": -1},
        {"m": 2.5},
    ],
)
def test_parameters_have_bounds(options):
    with pytest.raises(InvalidArgumentError):
        HnswIndex(**({"metric": "l2", "dimension": 4} | options))


def test_bad_calls_are_refused():
    vectors = clustered(300, 4)
    norms = inverse(vectors)
    index = built("cosine", vectors, norms)
    query = vectors[0]
    for call, error in [
        (lambda: index.search(vectors, norms, query[:3], 5), DimensionMismatchError),
        (lambda: index.search(vectors[:299], norms, query, 5), DimensionMismatchError),
        (lambda: index.search(vectors, norms[:299], query, 5), DimensionMismatchError),
        (lambda: index.search(vectors, None, query, 5), InvalidArgumentError),
        (lambda: index.search(vectors, norms, query, 0), InvalidArgumentError),
        (lambda: index.search(vectors, norms, query, 5, accept=np.ones(10, bool)), InvalidArgumentError),
        (lambda: index.search_batch(vectors, norms, query[None], 5, threads=0), InvalidArgumentError),
        (lambda: index.search_batch(vectors, norms, np.array([["x"] * 4]), 5), InvalidVectorError),
        (lambda: index.scan_codes(vectors, norms, query, 5, 5, np.array([300])), InvalidArgumentError),
        (lambda: index.extend(vectors, norms, 301), InvalidArgumentError),
        (lambda: index.extend(vectors, norms, 299), InvalidArgumentError),
        (lambda: index.extend(vectors[:, :3], norms, 300), DimensionMismatchError),
    ]:
        with pytest.raises(error):
            call()
    assert index.rows == 300
