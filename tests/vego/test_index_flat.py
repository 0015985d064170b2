from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import naive_index as naive
from tests.support.index_vectors import chosen, inverse
from vego.errors import DimensionMismatchError, InvalidArgumentError, InvalidVectorError
from vego.index import Metric, exact_search

METRICS = [Metric.L2, Metric.COSINE, Metric.INNER_PRODUCT, Metric.L1]


@given(
    metric=st.sampled_from(METRICS),
    rows=st.integers(0, 60),
    dimension=st.integers(1, 20),
    k=st.integers(1, 70),
    kind=st.sampled_from(["all", "range", "rows", "accept", "both"]),
    small=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_exact_search_equals_sorting_everything(metric, rows, dimension, k, kind, small, seed):
    rng = np.random.default_rng(seed)
    # Small integers give many exact ties, and sums without rounding.
    values = (
        rng.integers(-2, 3, (rows + 3, dimension)) if small else rng.standard_normal((rows + 3, dimension))
    )
    vectors, queries = values[:rows].astype(np.float32), values[rows:].astype(np.float32)
    norms = inverse(vectors)
    slots, options = chosen(kind, rows, rng)
    found, distances = exact_search(metric, vectors, norms, queries, k, **options)
    for i, query in enumerate(queries):
        expected = naive.exact_search(metric.value, vectors, norms, query, k, slots)
        size = len(expected)
        assert (found[i, size:] == -1).all()
        assert np.isinf(distances[i, size:]).all()
        np.testing.assert_allclose(distances[i, :size], [d for _, d in expected], rtol=1e-4, atol=2e-5)
        assert len(set(found[i, :size].tolist())) == size
        assert set(found[i, :size].tolist()) <= set(slots)
        order = list(zip(distances[i, :size].tolist(), found[i, :size].tolist(), strict=True))
        assert order == sorted(order)
        if small and metric is not Metric.COSINE:
            assert found[i, :size].tolist() == [slot for slot, _ in expected]


def test_exact_search_in_many_blocks():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 100)).astype(np.float32)
    queries = rng.standard_normal((4, 100)).astype(np.float32)
    slots, _ = exact_search(Metric.L2, vectors, None, queries, 50)
    for i in range(4):
        expected = naive.exact_search("l2", vectors, None, queries[i], 50, range(3000))
        assert slots[i].tolist() == [slot for slot, _ in expected]


def test_overflowing_distances_come_last():
    vectors = np.array([[3e38, 3e38], [1, 1], [-3e38, 3e38]], np.float32)
    slots, distances = exact_search(Metric.L2, vectors, None, np.ones((1, 2), np.float32), 3)
    assert slots.tolist() == [[1, 0, 2]]
    assert distances[0, 0] == 0
    assert np.isinf(distances[0, 1:]).all()


def test_read_only_and_strange_layouts_are_accepted():
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    vectors.flags.writeable = False
    queries = np.asfortranarray(np.array([[4, 5], [0, 1]], np.float64))
    slots, _ = exact_search(Metric.L2, vectors, None, queries, 1)
    assert slots.tolist() == [[2], [0]]
    assert not vectors.flags.writeable


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"k": 0}, InvalidArgumentError),
        ({"queries": np.zeros(4, np.float32)}, InvalidArgumentError),
        ({"queries": np.zeros((1, 3), np.float32)}, DimensionMismatchError),
        ({"queries": np.array([["a", "b", "c", "d"]])}, InvalidVectorError),
        ({"stop": 6}, InvalidArgumentError),
        ({"start": 3, "stop": 2}, InvalidArgumentError),
        ({"rows": np.array([5])}, InvalidArgumentError),
        ({"rows": np.array([-1])}, InvalidArgumentError),
        ({"rows": np.array([0.5])}, InvalidArgumentError),
        ({"accept": np.ones(4, bool)}, InvalidArgumentError),
        ({"accept": np.ones(5, int)}, InvalidArgumentError),
        ({"metric": Metric.COSINE, "inverse_norms": None}, InvalidArgumentError),
        ({"metric": Metric.COSINE, "inverse_norms": np.ones(4, np.float32)}, DimensionMismatchError),
    ],
)
def test_bad_arguments_are_refused(change, error):
    call = {
        "metric": Metric.L2,
        "vectors": np.zeros((5, 4), np.float32),
        "inverse_norms": np.ones(5, np.float32),
        "queries": np.zeros((1, 4), np.float32),
        "k": 2,
    } | change
    positional = [call.pop(name) for name in ("metric", "vectors", "inverse_norms", "queries", "k")]
    with pytest.raises(error):
        exact_search(*positional, **call)
