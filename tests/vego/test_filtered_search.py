"""Filtered search through the public API, beside the naive oracle: k hits whenever k rows match, and recall."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vego
from vego.index.kernels import filter_costs
from vego.index.kernels.filter_costs import walk_may_pay
from vego.index.way import GATHER_ROWS

ROWS, DIMENSION = 5_000, 16
SHARES = (0.001, 0.01, 0.1, 0.5)


def clustered(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((60, DIMENSION)) * 2
    return (centres[rng.integers(0, 60, rows)] + rng.standard_normal((rows, DIMENSION))).astype(np.float32)


class Case:
    """A collection with columns that say how far a row is from each of some queries, and the truth."""

    def __init__(self, db: vego.Database, metric: str) -> None:
        self.metric = metric
        self.vectors, self.queries = clustered(ROWS, 1), clustered(12, 2)
        self.distances = np.stack([self.naive(query) for query in self.queries])
        self.ranks = np.argsort(np.argsort(self.distances, axis=1), axis=1)
        self.random = np.random.default_rng(5).permutation(ROWS)
        columns = {f"rank{i}": rank.tolist() for i, rank in enumerate(self.ranks)}
        columns["random"] = self.random.tolist()
        self.docs = db.collection(f"docs-{metric}", dimension=DIMENSION, metric=metric)
        self.docs.insert_batch(ids=[str(i) for i in range(ROWS)], vectors=self.vectors, metadata=columns)
        self.docs.build_index()

    def naive(self, query: np.ndarray) -> np.ndarray:
        vectors, query = self.vectors.astype(np.float64), query.astype(np.float64)
        if self.metric == "l2":
            return np.sqrt(((vectors - query) ** 2).sum(axis=1))
        if self.metric == "l1":
            return np.abs(vectors - query).sum(axis=1)
        if self.metric == "ip":
            return -(vectors @ query)
        return 1 - vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))

    def recall(self, number: int, k: int, hits: vego.Hits, matching: np.ndarray) -> float:
        """Of one query; every hit is a match, none comes twice, and there are as many as there can be."""
        rows = [int(name) for name in hits.ids]
        assert matching[rows].all()
        assert len(set(rows)) == len(rows) == min(k, int(matching.sum()))
        if not rows:
            return 1.0
        truth = np.sort(self.distances[number][matching])[: len(rows)]
        found = self.distances[number][rows]
        np.testing.assert_allclose(hits.distances, found, rtol=1e-4, atol=1e-4)
        assert (np.diff(hits.distances) >= 0).all()
        return float((found <= truth[-1] + 1e-4).mean())


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Case]]:
    with vego.open(tmp_path_factory.mktemp("filtered") / "db", durability="none") as db:
        yield {metric: Case(db, metric) for metric in ("l2", "cosine", "ip", "l1")}


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip", "l1"])
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", ["random", "near", "far", "far and random"])
def test_recall_at_every_selectivity_and_correlation(
    cases: dict[str, Case], metric: str, share: float, kind: str
) -> None:
    case = cases[metric]
    recalls = []
    for number, query in enumerate(case.queries):
        rank, random = case.ranks[number], case.random
        count = int(share * ROWS)
        if kind == "random":
            text, matching = f"random < {count}", random < count
        elif kind == "near":
            text, matching = f"rank{number} < {count}", rank < count
        elif kind == "far":
            text, matching = f"rank{number} >= {ROWS - count}", rank >= ROWS - count
        else:
            text = f"rank{number} >= {ROWS // 2} and random < {min(ROWS, 2 * count)}"
            matching = (rank >= ROWS // 2) & (random < 2 * count)
        hits = case.docs.search(query, 10, filter=text)
        recalls.append(case.recall(number, 10, hits, matching))
        assert case.docs.explain(query, 10, filter=text).matches == int(matching.sum())
    reached = float(np.mean(recalls))
    assert reached >= 0.95, f"recall {reached} for {kind} at {share}"


bounds = st.integers(0, ROWS)


@given(
    metric=st.sampled_from(["l2", "cosine", "ip", "l1"]),
    number=st.integers(0, 11),
    k=st.sampled_from([1, 3, 10, 50, 400]),
    ef=st.sampled_from([None, 1, 40, 300]),
    rank=st.tuples(bounds, bounds),
    random=st.tuples(bounds, bounds),
    either=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_k_hits_whenever_k_rows_match(
    cases: dict[str, Case],
    metric: str,
    number: int,
    k: int,
    ef: int | None,
    rank: tuple[int, int],
    random: tuple[int, int],
    either: bool,
) -> None:
    """Ranges of distance from the query, and of chance, joined by and or or: hits are right, and enough."""
    case = cases[metric]
    ranks = case.ranks[number]
    first = (ranks >= min(rank)) & (ranks < max(rank))
    second = (case.random >= min(random)) & (case.random < max(random))
    word, matching = ("or", first | second) if either else ("and", first & second)
    text = (
        f"(rank{number} >= {min(rank)} and rank{number} < {max(rank)}) {word} "
        f"(random >= {min(random)} and random < {max(random)})"
    )
    query = case.queries[number]
    reached = case.recall(number, k, case.docs.search(query, k, filter=text, ef=ef), matching)
    plan = case.docs.explain(query, k, filter=text, ef=ef)
    assert plan.matches == int(matching.sum())
    assert plan.visited is not None
    if plan.exact:
        assert reached == 1
    if plan.strategy in ("exact", "gather", "codes") and plan.matches:
        assert plan.matches <= plan.visited <= 2 * plan.matches  # a walk given up, at most, and the scan
    if plan.strategy.startswith("graph"):
        assert plan.visited <= filter_costs.walk_budget(plan.matches, 64, plan.ef)
    assert reached == 1 or plan.strategy in ("graph past", "graph through", "graph")
    exact = case.docs.search(query, k, filter=text, exact=True)
    assert case.recall(number, k, exact, matching) == 1


def test_deleted_rows_are_a_filter_as_well(tmp_path: Path) -> None:
    vectors = clustered(4_000, 3)
    with vego.open(tmp_path / "db", metric="l2", durability="none", background=False) as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=[str(i) for i in range(4_000)], vectors=vectors)
        near = np.argsort(np.linalg.norm(vectors - vectors[0], axis=1))
        docs.delete_batch([str(i) for i in near[:1_500]])
        hits = docs.search(vectors[0], 10)
        assert len(hits) == 10
        assert set(hits.ids) <= {str(i) for i in near[1_500:]}
        truth = docs.search(vectors[0], 10, exact=True)
        np.testing.assert_allclose(hits.distances, truth.distances, rtol=1e-5)


def test_what_is_chosen_and_why(cases: dict[str, Case]) -> None:
    docs, query = cases["l2"].docs, cases["l2"].queries[0]
    few = docs.explain(query, filter=f"random < {GATHER_ROWS}")
    assert (few.strategy, few.matches, few.visited, few.exact) == ("gather", GATHER_ROWS, GATHER_ROWS, True)
    some = docs.explain(query, filter="random < 1000")
    assert (some.strategy, some.visited, some.exact) == ("codes", 1000, False)
    assert "costs less than a walk" in some.reason
    assert not walk_may_pay(1000, 64, some.ef)
    most = docs.explain(query, filter="random < 4900", ef=16)
    assert (most.strategy, most.exact) == ("graph past", False)
    assert 16 <= (most.visited or 0) < 2_000
    far = docs.explain(query, filter="rank0 >= 2000", ef=10)
    assert (far.strategy, far.visited) == ("codes", 3000)
    assert "hardly any row near the query" in far.reason
    assert docs.explain(query, ef=16).strategy == "graph"
    assert 16 <= (docs.explain(query, ef=16).visited or 0) < 2_000
    assert docs.explain(query, ef=ROWS).strategy == "codes"
    assert docs.explain(query, filter="random < 0").strategy == "empty"
    assert docs.explain(query, exact=True).visited == ROWS
    assert "4,900 of 5,000 rows match (98.0%)" in str(most)
    assert "rows visited; ef=16" in str(most)
    assert "approximate" in str(most)


def test_batches_answer_as_single_searches_do(cases: dict[str, Case]) -> None:
    for case in cases.values():
        for text in (None, "random < 100", "random < 1000", "random < 4900"):
            ids, distances = case.docs.search_batch(case.queries, 10, filter=text, ef=24)
            for number, query in enumerate(case.queries):
                hits = case.docs.search(query, 10, filter=text, ef=24)
                assert hits.ids == ids[number].tolist()
                assert hits.distances.tolist() == distances[number].tolist()
