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
from vego.index import HnswIndex, Metric, VectorIndex, exact_search
from vego.index.codes import CODE_KINDS
from vego.index.ivf import IvfIndex
from vego.index.ivf.clustering import nearest, train_centroids

DEBIAN = Path(__file__).resolve().parents[3] / "shared" / "data" / "debian-packages"
METRICS = ["l2", "cosine", "ip"]


def built(metric, vectors, norms, **options):
    index = IvfIndex(metric, vectors.shape[1], **options)
    index.extend(vectors, norms, len(vectors), threads=1)
    return index


def recall(metric, vectors, norms, queries, distances, k, accept=None):
    """Share of answers no farther than the k-th nearest."""
    _, exact = exact_search(Metric(metric), vectors, norms, queries, k, accept=accept)
    limit = exact[:, -1:] + 1e-4 * np.abs(exact[:, -1:]) + 1e-5
    return float((distances <= limit).mean())


@settings(deadline=None)
@given(
    metric=st.sampled_from(METRICS),
    code=st.sampled_from(CODE_KINDS),
    rows=st.integers(1, 120),
    dimension=st.integers(1, 20),
    lists=st.integers(0, 9),
    k=st.integers(1, 12),
    masked=st.booleans(),
    small=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_with_all_lists_and_rows_scored_it_is_exact(
    metric, code, rows, dimension, lists, k, masked, small, seed
):
    """Codes that round hard may stop a bounded re-ranking early, so those are given no chance to."""
    rng = np.random.default_rng(seed)
    values = (
        rng.integers(-2, 3, (rows + 3, dimension)) if small else rng.standard_normal((rows + 3, dimension))
    )
    vectors, queries = values[:rows].astype(np.float32), values[rows:].astype(np.float32)
    norms = inverse(vectors)
    accept = rng.random(rows) < 0.5 if masked else None
    index = built(metric, vectors, norms, code=code, lists=lists, seed=seed)
    if code in ("pq", "rabitq"):
        index._lists.coder.epsilon = 1e6
    slots, distances = index.search_batch(vectors, norms, queries, k, nprobe=100, rerank=200, accept=accept)
    allowed = range(rows) if accept is None else np.flatnonzero(accept).tolist()
    for i, query in enumerate(queries):
        expected = naive.exact_search(metric, vectors, norms, query, k, allowed)
        size = len(expected)
        assert (slots[i, size:] == -1).all()
        assert np.isinf(distances[i, size:]).all()
        np.testing.assert_allclose(distances[i, :size], [d for _, d in expected], rtol=1e-4, atol=2e-5)
        assert len(set(slots[i, :size].tolist())) == size
        order = list(zip(distances[i, :size].tolist(), slots[i, :size].tolist(), strict=True))
        assert order == sorted(order)
        if small and metric != "cosine":
            assert slots[i, :size].tolist() == [slot for slot, _ in expected]


@settings(deadline=None)
@given(
    code=st.sampled_from(CODE_KINDS),
    metric=st.sampled_from(METRICS),
    lists=st.integers(0, 20),
    nprobe=st.integers(1, 3),
    k=st.integers(1, 40),
    share=st.sampled_from([None, 0.02, 0.3, 0.9]),
    seed=st.integers(0, 1000),
)
def test_k_results_come_whenever_k_are_accepted(code, metric, lists, nprobe, k, share, seed):
    vectors = clustered(300, 8, seed)
    norms = inverse(vectors)
    index = built(metric, vectors, norms, code=code, lists=lists)
    accept = None if share is None else np.random.default_rng(seed).random(300) < share
    available = 300 if accept is None else int(accept.sum())
    slots, distances = index.search_batch(vectors, norms, vectors[:5], k, nprobe=nprobe, accept=accept)
    assert ((slots >= 0).sum(axis=1) == min(k, available)).all()
    found = slots[slots >= 0]
    assert accept is None or accept[found].all()
    for i in range(5):
        values = naive.rank_values(metric, vectors, norms, vectors[i])[slots[i][slots[i] >= 0]]
        np.testing.assert_allclose(distances[i][slots[i] >= 0], values, rtol=1e-3, atol=2e-3)


def test_distances_that_overflow_come_too():
    vectors = np.array([[3e38, 3e38], [1, 1], [-3e38, 3e38], [2, 1]] * 20, np.float32)
    for code in CODE_KINDS:
        index = built("l2", vectors, None, code=code, lists=2)
        slots, _ = index.search(vectors, None, np.ones(2, np.float32), 60)
        assert sorted(slots[:20].tolist()) == list(range(1, 80, 4)), code
        assert len(set(slots.tolist())) == 60, code


@pytest.fixture(scope="module")
def debian():
    if not DEBIAN.exists():
        pytest.skip("the sample of real embeddings is not here")
    vectors = np.load(DEBIAN / "vectors_f16.npy")[:12_000].astype(np.float32)
    return vectors, inverse(vectors), np.load(DEBIAN / "queries_f32.npy")[:200]


@pytest.mark.parametrize(
    ("code", "options", "nprobe", "wanted"),
    [
        ("flat", {}, 60, 0.93), ("f16", {"lists": 1}, 1, 0.9999), ("bf16", {"lists": 1}, 1, 0.999),
        ("sq8", {"lists": 1}, 1, 0.999), ("pq", {"lists": 1}, 1, 0.99), ("rabitq", {"lists": 1}, 1, 0.97),
        ("pq", {}, 60, 0.92), ("sq8", {}, 60, 0.93), ("rabitq", {}, 60, 0.9),
    ],
)  # fmt: skip
def test_recall_on_real_embeddings(debian, code, options, nprobe, wanted):
    vectors, norms, queries = debian
    index = built("cosine", vectors, norms, code=code, **options)
    _, distances = index.search_batch(vectors, norms, queries, 10, nprobe=nprobe)
    reached = recall("cosine", vectors, norms, queries, distances, 10)
    assert reached >= wanted, f"recall {reached}, expected at least {wanted}"
    if not options:
        accept = vectors[:, 0] < np.quantile(vectors[:, 0], 0.1)
        _, distances = index.search_batch(vectors, norms, queries, 10, nprobe=nprobe, accept=accept)
        reached = recall("cosine", vectors, norms, queries, distances, 10, accept)
        assert reached >= wanted - 0.05, f"recall {reached} under a filter"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("code", CODE_KINDS)
def test_recall_on_clusters(metric, code):
    vectors = clustered(3000, 24)
    norms, queries = inverse(vectors), clustered(3100, 24)[3000:]
    index = built(metric, vectors, norms, code=code)
    _, distances = index.search_batch(vectors, norms, queries, 10)
    reached, wanted = recall(metric, vectors, norms, queries, distances, 10), 0.9
    assert reached >= wanted, f"recall {reached}, expected at least {wanted}"


def test_lists_without_accepted_rows_do_not_count():
    """A filter that keeps what is far from the queries only: the lists near them have nothing to look at."""
    vectors, wanted = clustered(4000, 12), 0.75
    queries = vectors[:30] + np.float32(0.01)
    index, totals = built("l2", vectors, None, code="sq8"), []
    for query in queries:
        far = np.linalg.norm(vectors - query, axis=1)
        accept = far > np.quantile(far, 0.9)
        _, found = index.search_batch(vectors, None, query[None], 10, nprobe=24, accept=accept)
        totals.append(recall("l2", vectors, None, query[None], found, 10, accept))
    assert np.mean(totals) >= wanted


def contents(index):
    """Everything there is, for comparisons."""
    lists = index._lists
    return [lists.centroids, lists.list_of, lists.starts, lists.members, *lists.arrays.values()]


@pytest.mark.parametrize("code", CODE_KINDS)
def test_the_lists_do_not_depend_on_threads(code):
    vectors = clustered(9000, 12)
    one = built("l2", vectors, None, code=code)
    two = IvfIndex("l2", 12, code=code)
    two.extend(vectors, None, 9000, threads=3)
    for a, b in zip(contents(one), contents(two), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(
        built("l2", vectors, None, code=code, seed=1)._lists.centroids, one._lists.centroids
    )


@pytest.mark.parametrize("code", CODE_KINDS)
def test_rows_added_later_lie_as_if_they_had_always_been_there(code):
    """As long as nothing is learned anew; every slot has one place, in its own list, in order."""
    vectors = clustered(3000, 12)
    parts = IvfIndex("l2", 12, code=code)
    parts.extend(vectors, None, 1000)
    whole = parts.copy()
    whole.extend(vectors, None, 3000)
    for stop in (1001, 1033, 1500, 1500, 3000):
        parts.extend(vectors, None, stop)
    for a, b in zip(contents(parts), contents(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    lists = parts._lists
    unit = lists.coder.unit_rows
    for number in range(parts.lists):
        row = lists.members[lists.starts[number] * unit : lists.starts[number + 1] * unit]
        row = row[row != 0xFFFFFFFF]
        assert row.tolist() == np.flatnonzero(lists.list_of == number).tolist()
    distances = ((vectors[:, None] - lists.centroids[None]) ** 2).sum(axis=2)
    own = distances[np.arange(3000), lists.list_of]
    assert (own <= distances.min(axis=1) * 1.2).all()
    assert np.mean(own <= distances.min(axis=1) * (1 + 1e-5)) > 0.995


def test_four_times_the_rows_are_learned_anew():
    vectors = clustered(4000, 8)
    vectors[1000:] += 50
    index = IvfIndex("l2", 8, code="pq")
    index.extend(vectors, None, 1000)
    before = index.lists
    index.extend(vectors, None, 3999)
    assert index.lists == before
    index.extend(vectors, None, 4000)
    for a, b in zip(contents(index), contents(built("l2", vectors, None, code="pq")), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("code", CODE_KINDS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 1.0])
def test_without_some_rows(code, share):
    vectors = clustered(800, 12)
    index = built("l2", vectors, None, code=code)
    before = [array.copy() for array in contents(index)]
    removed = np.random.default_rng(0).random(800) < share
    smaller = index.without(removed)
    for a, b in zip(contents(index), before, strict=True):
        np.testing.assert_array_equal(a, b)
    kept = vectors[~removed]
    assert smaller.rows == len(kept)
    _, distances = smaller.search_batch(kept, None, vectors[:30], 5, nprobe=1000, rerank=800)
    _, same = index.search_batch(vectors, None, vectors[:30], 5, nprobe=1000, rerank=800, accept=~removed)
    np.testing.assert_array_equal(distances, same)
    smaller.extend(vectors, None, len(vectors))
    assert smaller.rows == 800


@pytest.mark.parametrize("code", CODE_KINDS)
def test_what_stays_comes_in_the_order_asked_for(code):
    vectors = clustered(800, 12)
    index = built("l2", vectors, None, code=code)
    rng = np.random.default_rng(1)
    removed = rng.random(800) < 0.3
    order = rng.permutation(np.flatnonzero(~removed))
    moved = index.without(removed, order=order)
    slots, distances = moved.search_batch(vectors[order], None, vectors[:30], 5, nprobe=1000, rerank=800)
    old, same = index.search_batch(vectors, None, vectors[:30], 5, nprobe=1000, rerank=800, accept=~removed)
    np.testing.assert_array_equal(order[slots], old)
    np.testing.assert_array_equal(distances, same)
    for wrong in (order[1:], np.append(order[1:], order[1]), np.arange(800)):
        with pytest.raises(InvalidArgumentError, match="order"):
            index.without(removed, order=wrong)


def test_a_mask_of_another_length_is_refused():
    index = built("l2", clustered(100, 4), None)
    with pytest.raises(InvalidArgumentError, match="100 marks"):
        index.without(np.zeros(99, bool))


@pytest.mark.parametrize("code", CODE_KINDS)
def test_batches_and_threads_find_what_single_searches_find(code):
    vectors = clustered(1500, 12)
    norms, queries = inverse(vectors), clustered(1600, 12)[1500:]
    index = built("cosine", vectors, norms, code=code)
    accept = np.random.default_rng(1).random(1500) < 0.3
    for mask in (None, accept):
        slots, distances = index.search_batch(vectors, norms, queries, 7, accept=mask)
        again = index.search_batch(vectors, norms, queries, 7, accept=mask, threads=3)
        np.testing.assert_array_equal(slots, again[0])
        for i in range(20):
            one = index.search(vectors, norms, queries[i], 7, accept=mask)
            assert one[0].tolist() == slots[i].tolist()
            assert one[1].tolist() == distances[i].tolist()


def test_a_scan_of_given_rows_is_exact():
    vectors = clustered(500, 6)
    index = built("l2", vectors, None)
    rows = np.random.default_rng(0).permutation(500)[:60].astype(np.uint32)
    slots, _ = index.scan_codes(vectors, None, vectors[3], 5, 20, rows)
    expected = naive.exact_search("l2", vectors, None, vectors[3], 5, rows.tolist())
    assert slots.tolist() == [slot for slot, _ in expected]
    assert len(index.scan_codes(vectors, None, vectors[3], 5, 5, rows[:2])[0]) == 2


def test_progress_and_cancel_leave_whole_chunks():
    vectors = clustered(20_000, 4)
    index = IvfIndex("l2", 4, code="sq8")
    calls = []
    assert index.extend(vectors, None, 9000, progress=lambda *step: calls.append(step)) == 9000
    assert calls == [(8192, 9000), (9000, 9000)]
    stop = threading.Event()
    stop.set()
    assert index.extend(vectors, None, 20_000, threads=2, cancel=stop) == 17_192
    slots, _ = index.search_batch(vectors, None, vectors[:17_192:50], 1)
    assert (slots[:, 0] == np.arange(0, 17_192, 50)).mean() > 0.99
    assert index.extend(vectors, None, 20_000) == 20_000


def test_learning_anew_that_is_cancelled_loses_nothing():
    vectors = clustered(40_000, 4)
    index = IvfIndex("l2", 4, code="flat")
    index.extend(vectors, None, 10_000)
    before = contents(index)
    assert index.extend(vectors, None, 40_000, cancel=lambda: True) == 10_000
    for a, b in zip(contents(index), before, strict=True):
        assert a is b


def test_searches_go_on_while_lists_grow():
    vectors = clustered(4000, 8)
    index = built("l2", vectors[:500], None)
    assert_searches_go_on(index, vectors)


def test_a_copy_and_its_source_grow_apart():
    vectors = clustered(1500, 8)
    index = built("l2", vectors[:1000], None)
    copy = index.copy()
    copy.extend(vectors, None, 1500)
    assert (index.rows, copy.rows) == (1000, 1500)
    index.extend(vectors, None, 1500)
    for a, b in zip(contents(index), contents(copy), strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_rows_and_few():
    for code in CODE_KINDS:
        index = IvfIndex("cosine", 3, code=code)
        vectors = np.eye(3, dtype=np.float32)
        norms = np.ones(3, np.float32)
        assert index.search(vectors, norms, vectors[0], 2)[0].tolist() == []
        assert index.without(np.zeros(0, bool)).rows == index.rows == index.nbytes == index.lists == 0
        index.extend(vectors, norms, 1)
        assert index.search(vectors, norms, vectors[0], 2)[0].tolist() == [0]
        index.extend(vectors, norms, 3)
        assert index.search(vectors, norms, vectors[2], 2)[0].tolist() == [2, 0]
        assert index.nbytes > 0
        assert code in repr(index)


def test_equal_rows_and_more_lists_than_different_rows():
    vectors = np.ones((200, 5), np.float32)
    index = built("l2", vectors, None, lists=50)
    assert index.lists == 1
    assert index.search(vectors, None, vectors[0], 4)[0].tolist() == [0, 1, 2, 3]


def test_centroids_are_better_than_rows_drawn_by_chance():
    points = clustered(4000, 16)
    points = points[np.random.default_rng(0).permutation(4000)]
    centroids, scale = train_centroids(points, 80, 0, map)
    own = nearest(points, centroids, scale, map)

    def error(centres, lists):
        return float(((points - centres[lists]) ** 2).sum(axis=1).mean())

    chosen = points[:80]
    by_chance = ((points[:, None] - chosen[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert error(centroids, own) < 0.6 * error(chosen, by_chance)
    assert len(np.unique(own)) == 80


@pytest.mark.parametrize(
    "options", [{"dimension": 0}, {"dimension": 32_769}, {"lists": -1}, {"seed": -1}, {"code": "pq8"}]
)
def test_parameters_have_bounds(options):
    with pytest.raises(InvalidArgumentError):
        IvfIndex(**({"metric": "l2", "dimension": 4} | options))


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
        (lambda: index.search(vectors, norms, query, 5, nprobe=0), InvalidArgumentError),
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


@pytest.mark.parametrize("kind", [HnswIndex, IvfIndex])
def test_every_kind_of_index_is_used_alike(kind):
    """The calls the database makes, on whichever index it holds."""
    vectors = clustered(600, 8)
    index: VectorIndex = kind("l2", 8)
    assert isinstance(index, VectorIndex)
    assert index.extend(vectors, None, 500, threads=1, progress=lambda *_: None, cancel=lambda: False) == 500
    other = index.copy()
    other.extend(vectors, None, 600)
    assert (index.rows, other.rows, index.metric, index.dimension) == (500, 600, Metric.L2, 8)
    accept = np.ones(600, bool)
    for found in (
        other.search(vectors, None, vectors[7], 3, 48, 20, None),
        other.search(vectors, None, vectors[7], 3, 48, 20, accept),
        other.scan_codes(vectors, None, vectors[7], 3, 20, np.arange(600, dtype=np.uint32)),
    ):
        assert found[0][0] == 7
    slots, _ = other.search_batch(vectors, None, vectors[:40], 3, 48, 20, accept, 2)
    assert slots[:, 0].tolist() == list(range(40))
    again = kind.from_columns(*other.without(np.arange(600) < 100, threads=1).to_columns())
    assert again.rows == 500
    assert again.nbytes > 0
    assert again.search(vectors[100:], None, vectors[107], 1)[0].tolist() == [7]
