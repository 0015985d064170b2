"""What a search can be told besides its vector: a radius, a time, an effort; and what it answers to odd questions."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vego
from vego.options import MAX_EF, MAX_K
from vego.queries import Limit

ROWS, DIMENSION = 3_000, 12


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype(np.float32)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Iterator[vego.Collection]:
    with vego.open(tmp_path_factory.mktemp("search") / "db", metric="l2", durability="none") as db:
        docs = db.collection("docs")
        docs.insert_batch(
            ids=[str(i) for i in range(ROWS)], vectors=vectors, metadata={"number": list(range(ROWS))}
        )
        assert docs.stats()["indexed_slots"] == ROWS
        yield docs


# -- a radius ----------------------------------------------------------------------------------------


@given(
    row=st.integers(0, ROWS - 1),
    count=st.sampled_from([0, 1, 5, 63, 64, 65, 300, 1_500, ROWS]),
    exact=st.booleans(),
    filtered=st.booleans(),
    limit=st.sampled_from([None, 1, 64, 100, ROWS]),
)
@settings(max_examples=80, deadline=None)
def test_a_range_search_finds_what_is_within(
    docs: vego.Collection,
    vectors: np.ndarray,
    row: int,
    count: int,
    exact: bool,
    filtered: bool,
    limit: int | None,
) -> None:
    query = vectors[row] + np.float32(0.01)
    kept = np.arange(ROWS) >= (1_000 if filtered else 0)
    distances = np.linalg.norm((vectors - query).astype(np.float64), axis=1)
    ordered = np.sort(distances[kept])
    count = min(count, len(ordered))
    radius = float(ordered[count - 1]) * (1 + 1e-6) if count else float(ordered[0]) / 2
    hits = docs.search_range(
        query, radius, filter="number >= 1000" if filtered else None, exact=exact, limit=limit
    )
    wanted = int((ordered <= radius).sum()) if limit is None else min(limit, int((ordered <= radius).sum()))
    found = [int(name) for name in hits.ids]
    assert len(set(found)) == len(found)
    assert kept[found].all()
    assert (distances[found] <= radius * (1 + 1e-5)).all()
    assert (np.diff(hits.distances) >= 0).all()
    if exact or wanted > 1_024:
        assert len(found) == wanted
    else:
        assert len(found) >= 0.9 * wanted


def test_a_radius_and_k(docs: vego.Collection, vectors: np.ndarray) -> None:
    ten = docs.search(vectors[5], 10)
    radius = float(ten.distances[6])
    hits = docs.search(vectors[5], 10, max_distance=radius)
    assert hits.ids == ten.ids[:7]
    assert docs.search(vectors[5], 3, max_distance=radius).ids == ten.ids[:3]
    assert docs.search(vectors[5], max_distance=-1).ids == []
    assert len(docs.search(vectors[5], 10, max_distance=float("inf"))) == 10
    assert docs.search(vectors[5], 10, max_distance=0).ids == ["5"]


def test_range_searches_of_every_metric_and_of_rows_without_a_graph(
    tmp_path: Path, vectors: np.ndarray
) -> None:
    with vego.open(tmp_path / "db", durability="none") as db:
        for metric, index in itertools.product(("l2", "cosine", "ip", "l1"), ("auto", "flat")):
            some = db.collection(f"{metric}-{index}", metric=metric, index=index)
            some.insert_batch(ids=[str(i) for i in range(ROWS)], vectors=vectors)
            truth = some.search(vectors[1], 40, exact=True)
            hits = some.search_range(vectors[1], float(truth.distances[29]))
            assert len(set(hits.ids) & set(truth.ids[:30])) >= (30 if index == "flat" else 27)
            assert not set(hits.ids) - set(truth.ids[:30])
        assert len(db.collection("empty").search_range([1.0], 1)) == 0


# -- a time ------------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass only by being asked for."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


Call = Callable[..., Any]


def calls(docs: vego.Collection, vectors: np.ndarray) -> list[Call]:
    query = vectors[0]
    return [
        lambda **more: docs.search(query, 10, **more),
        lambda **more: docs.search(query, 10, exact=True, **more),
        lambda **more: docs.search(query, 10, filter="number < 900", **more),
        lambda **more: docs.search(query, 10, filter="number < 2900", **more),
        lambda **more: docs.search_range(query, 3.0, **more),
        lambda **more: docs.search_range(query, 3.0, exact=True, **more),
        lambda **more: docs.search_batch(vectors[:700], 10, **more),
        lambda **more: docs.search_batch(vectors[:20], 10, exact=True, **more),
    ]


def test_a_search_that_is_told_to_stop_has_no_answer(docs: vego.Collection, vectors: np.ndarray) -> None:
    stop = threading.Event()
    for call in calls(docs, vectors):
        call(cancel=stop, timeout=60)
        call(cancel=lambda: False)
    stop.set()
    for call in calls(docs, vectors):
        with pytest.raises(vego.SearchCancelledError, match="search in collection 'docs': cancelled"):
            call(cancel=stop)
        with pytest.raises(vego.SearchTimeoutError, match="timeout=1e-09 s; there is no answer"):
            call(timeout=1e-9)


def test_every_piece_of_a_long_search_looks_at_the_limit(
    docs: vego.Collection, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off at each of its checks in turn, it raises; with none of them it answers as without a limit."""
    monkeypatch.setattr("vego.search.PIECE", 1)  # pieces of 1,024 rows
    monkeypatch.setattr("vego.search.PIECE_QUERIES", 100)
    for number, call in enumerate(calls(docs, vectors)):
        expected = call()
        for allowed in range(100):
            left = itertools.count()
            try:
                found = call(cancel=lambda left=left, allowed=allowed: next(left) >= allowed)
            except vego.SearchCancelledError:
                continue
            break
        assert allowed >= 1
        if number in (1, 5, 6, 7):
            assert allowed >= 3, f"call {number} looked {allowed} times"
        if isinstance(expected, vego.Hits):
            assert found.ids == expected.ids
            assert found.distances.tolist() == expected.distances.tolist()
        else:
            assert found.ids.tolist() == expected.ids.tolist()


def test_a_limit_counts_its_time() -> None:
    limit = Limit.of(Clock(1.0), 2.5, None, "here")
    assert limit is not None
    limit.check()
    limit.check()
    with pytest.raises(vego.SearchTimeoutError, match=r"here: not done after timeout=2\.5 s"):
        limit.check()
    assert issubclass(vego.SearchTimeoutError, TimeoutError)
    assert Limit.of(Clock(1.0), None, None, "here") is None


# -- ties --------------------------------------------------------------------------------------------


@given(
    metric=st.sampled_from(["l2", "cosine", "ip", "l1"]),
    distinct=st.integers(1, 60),
    behind=st.integers(0, 300),
    k=st.integers(1, 40),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=25, deadline=None)
def test_equal_distances_come_in_the_order_of_insertion(
    tmp_path_factory: pytest.TempPathFactory, metric: str, distinct: int, behind: int, k: int, seed: int
) -> None:
    """By scan, by codes, by graph, and by graph and scan: the same ids, however many rows are equal."""
    rng = np.random.default_rng(seed)
    pool = rng.integers(-3, 4, (distinct, 6)).astype(np.float32) + np.float32(0.5)
    rows = pool[rng.integers(0, distinct, 1_100 + behind)]
    ids = [f"{i:05}" for i in range(len(rows))]
    path = tmp_path_factory.mktemp("ties") / "db"
    with vego.open(path, metric=metric, durability="none", background=False) as db:
        graph, flat = db.collection("graph"), db.collection("flat", index="flat")
        flat.insert_batch(ids=ids, vectors=rows)
        graph.insert_batch(ids=ids[:1_100], vectors=rows[:1_100])
        if behind:
            graph.insert_batch(ids=ids[1_100:], vectors=rows[1_100:])
        for query in (pool[0], rng.standard_normal(6).astype(np.float32)):
            expected = flat.search(query, k)
            assert expected.ids == [
                name for _, name in sorted(zip(expected.distances.tolist(), expected.ids, strict=True))
            ]
            for ef in (None, 1_500):
                hits = graph.search(query, k, ef=ef, rerank=1_500)
                order = sorted(zip(hits.distances.tolist(), hits.ids, strict=True))
                assert hits.ids == [name for _, name in order]
                if ef is not None:
                    assert hits.ids == expected.ids
                    assert hits.distances.tolist() == expected.distances.tolist()


# -- odd questions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"k": 0}, "k must be an integer from 1"),
        ({"k": -1}, "k must be"),
        ({"k": True}, "k must be"),
        ({"k": 2.0}, "k must be"),
        ({"k": "3"}, "k must be"),
        ({"k": MAX_K + 1}, f"to {MAX_K:,}"),
        ({"ef": 0}, "ef must be"),
        ({"ef": MAX_EF + 1}, "ef must be"),
        ({"rerank": 0}, "rerank must be"),
        ({"rerank": 1.5}, "rerank must be"),
        ({"target_recall": 0.2}, "target_recall: expected a number from 0.5 to 1"),
        ({"target_recall": float("nan")}, "target_recall"),
        ({"target_recall": True}, "target_recall"),
        ({"target_recall": 0.9, "ef": 20}, "leave one of the two out"),
        ({"max_distance": float("nan")}, "max_distance must be a number"),
        ({"max_distance": "1"}, "max_distance"),
        ({"timeout": 0}, "timeout must be a positive number"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"cancel": 1}, "cancel must be a callable or a threading.Event"),
    ],
)
def test_arguments_out_of_bounds(
    docs: vego.Collection, vectors: np.ndarray, arguments: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(vego.InvalidArgumentError, match=fragment) as caught:
        docs.search(vectors[0], **arguments)
    assert "search in collection 'docs'" in str(caught.value)
    if "max_distance" not in arguments:
        with pytest.raises(vego.InvalidArgumentError, match=fragment):
            docs.search_batch(vectors[:2], **arguments)


@pytest.mark.parametrize(
    "query",
    [
        None,
        "abc",
        ["a"] * DIMENSION,
        [[1.0] * DIMENSION],
        [1.0] * (DIMENSION - 1),
        [float("nan")] * DIMENSION,
        [1.0] * (DIMENSION - 1) + [float("inf")],
        np.full(DIMENSION, np.nan, np.float32),
        np.full(DIMENSION, -np.inf, np.float32),
        np.full(DIMENSION, 1e39),
        [1.0, [2.0]],
        np.ones(DIMENSION, np.complex64),
        np.ones(DIMENSION, bool),
    ],
)
def test_queries_that_are_no_vectors(docs: vego.Collection, query: Any) -> None:
    for call in (docs.search, docs.explain, lambda one: docs.search_range(one, 1.0)):
        with pytest.raises(vego.InvalidVectorError, match="search in collection 'docs'"):
            call(query)


def test_queries_of_every_number_type_are_the_same(docs: vego.Collection, vectors: np.ndarray) -> None:
    wide = np.zeros((DIMENSION, 2), np.float32)
    wide[:, 0] = vectors[3]
    expected = docs.search(vectors[3], 5).ids
    for query in (vectors[3].tolist(), vectors[3].astype(np.float64), wide[:, 0], tuple(vectors[3])):
        assert docs.search(query, 5).ids == expected
    huge = np.full(DIMENSION, 1e30, np.float32)  # squares overflow, and yet it is finite
    assert len(docs.search(huge, 5)) == 5


def test_k_beyond_the_rows_gives_all_of_them(docs: vego.Collection, vectors: np.ndarray) -> None:
    assert len(docs.search(vectors[0], ROWS + 50)) == ROWS
    assert len(docs.search(vectors[0], 50, filter="number < 7")) == 7
    assert len(docs.search(vectors[0], 50, ef=1)) == 50  # ef is at least k
    ids, distances = docs.search_batch(vectors[:2], 50, filter="number < 7")
    assert (ids[:, 7:] == None).all()  # noqa: E711 - elementwise
    assert np.isinf(distances[:, 7:]).all()
    assert docs.search_batch(vectors[:0], 5).ids.shape == (0, 5)


def test_a_vector_of_zeros_under_cosine(tmp_path: Path, vectors: np.ndarray) -> None:
    """It has no direction: everything is at distance 1, and equal distances come in the order of insertion."""
    with vego.open(tmp_path / "db", metric="cosine", durability="none") as db:
        docs = db.collection("docs")
        rows = vectors.copy()
        rows[7] = 0
        docs.insert_batch(ids=[str(i) for i in range(ROWS)], vectors=rows)
        zeros = np.zeros(DIMENSION, np.float32)
        hits = docs.search(zeros, 5)
        assert hits.ids == ["0", "1", "2", "3", "4"]
        assert hits.distances.tolist() == [1.0] * 5
        assert "no direction" in docs.explain(zeros).reason
        ids, distances = docs.search_batch(np.stack([vectors[9], zeros]), 5)
        assert ids[1].tolist() == hits.ids
        assert ids[0].tolist() == docs.search(vectors[9], 5).ids
        assert distances[1].tolist() == [1.0] * 5
        assert len(docs.search_range(zeros, 1.0)) == ROWS
        assert len(docs.search_range(zeros, 0.99)) == 0
        assert docs.search(rows[8], ROWS).distances[docs.search(rows[8], ROWS).ids.index("7")] == 1.0
