"""A collection large enough for its graph: recall on real text embeddings, freshness, filters, threads, reopening."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
import vego

SAMPLE = Path(__file__).resolve().parents[2] / "tools" / "demo" / "packages.lfmt"


@pytest.fixture(scope="module")
def sample() -> dict[str, Any]:
    with lance_fmt.open(SAMPLE) as file:
        table = file.read()
    return {
        "ids": table["id"].to_pylist(),
        "vectors": table["vector"].to_numpy().astype(np.float32),
        "metadata": {"section": table["section"].to_pylist(), "size": table["size"].to_numpy()},
    }


@pytest.fixture(scope="module")
def docs(sample: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[vego.Collection]:
    with vego.open(tmp_path_factory.mktemp("sample"), dimension=384, durability="none") as db:
        docs = db.collection("packages")
        docs.insert_batch(**sample)
        yield docs


def recall(docs: vego.Collection, queries: np.ndarray, **options: Any) -> float:
    """Share of hits no farther than the true k-th: counted by distance, so that duplicates are no error."""
    hit = 0
    for query in queries:
        truth = docs.search(query, k=10, exact=True, **{k: v for k, v in options.items() if k != "ef"})
        found = docs.search(query, k=10, **options)
        assert len(found) == len(truth)
        hit += int(np.count_nonzero(found.distances <= truth.distances[-1] + 1e-5)) if len(truth) else 0
    return hit / (10 * len(queries))


@pytest.fixture(scope="module")
def queries(sample: dict[str, Any]) -> np.ndarray:
    rng = np.random.default_rng(5)
    rows = rng.choice(len(sample["ids"]), 100, replace=False)
    noise = rng.normal(0, 0.02, (100, 384))
    return (sample["vectors"][rows] + noise).astype(np.float32)


MIN_RECALL = 0.96


def test_the_default_recall_on_real_text(docs: vego.Collection, queries: np.ndarray) -> None:
    assert docs.explain(queries[0]).strategy == "graph"
    found = recall(docs, queries)
    assert found >= MIN_RECALL, f"recall {found:.3f}, expected {MIN_RECALL}"


@pytest.mark.parametrize(
    "chosen",
    [
        vego.field("section") == "games",
        vego.field("section") == "libdevel",
        vego.field("size") > 20_000,
        (vego.field("size") > 20_000) & ~(vego.field("section") == "doc"),
        vego.field("size") > 10**15,
    ],
    ids=str,
)
def test_filtered_recall_and_k_hits_whenever_k_match(
    docs: vego.Collection, queries: np.ndarray, sample: dict[str, Any], chosen: vego.Expr
) -> None:
    matches = docs.explain(queries[0], filter=chosen).matches
    expected = [
        vego.query.matches(chosen, {"section": section, "size": int(size)})
        for section, size in zip(sample["metadata"]["section"], sample["metadata"]["size"], strict=True)
    ]
    assert matches == sum(expected)
    assert len(docs.search(queries[0], k=10, filter=chosen)) == min(10, matches)
    if matches >= 10:
        found = recall(docs, queries, filter=chosen)
        assert found >= MIN_RECALL, f"recall {found:.3f}, expected {MIN_RECALL}"
    names = {name for name, keep in zip(sample["ids"], expected, strict=True) if keep}
    assert set(docs.search(queries[0], k=50, filter=chosen).ids) <= names


def test_batch_and_single_agree(docs: vego.Collection, queries: np.ndarray) -> None:
    for options in ({}, {"filter": vego.field("size") > 100_000}, {"exact": True}):
        ids, distances = docs.search_batch(queries[:20], k=7, **options)  # type: ignore[arg-type]
        threaded = docs.search_batch(queries[:20], k=7, threads=2, **options)  # type: ignore[arg-type]
        assert np.array_equal(ids, threaded.ids)
        for row in range(20):
            hits = docs.search(queries[row], k=7, **options)  # type: ignore[arg-type]
            assert hits.ids == ids[row].tolist()
            assert np.array_equal(hits.distances, distances[row])


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_inserts_updates_and_deletes_show_at_once_and_after_reopening(
    sample: dict[str, Any], tmp_path: Path, metric: str
) -> None:
    vectors = sample["vectors"][:3000]
    with vego.open(tmp_path, dimension=384, metric=metric, durability="none") as db:
        docs = db.collection("c")
        docs.insert_batch(ids=sample["ids"][:2500], vectors=vectors[:2500])
        for row in range(2500, 2600):  # slots behind the graph
            docs.insert(id=sample["ids"][row], vector=vectors[row])
        gone = sample["ids"][:2500:10]
        docs.delete_batch(gone)
        docs.upsert_batch(ids=gone[:100], vectors=-vectors[:100])
        docs.delete_batch(sample["ids"][2510:2520])
        check_nearest(docs, vectors, metric)
        docs.insert_batch(ids=sample["ids"][2600:3000], vectors=vectors[2600:])
        docs.build_index()
        before = check_nearest(docs, vectors, metric)
    with vego.open(tmp_path, read_only=True) as db:
        docs = db.collection("c")
        assert docs.stats()["indexed_slots"] >= 3000
        assert check_nearest(docs, vectors, metric) == before


def check_nearest(docs: vego.Collection, vectors: np.ndarray, metric: str) -> list[list[str]]:
    found = []
    hit = total = 0
    for row in range(0, 2600, 65):
        hits = docs.search(vectors[row], k=10)
        truth = docs.search(vectors[row], k=10, exact=True)
        assert all(name in docs for name in hits.ids)
        hit += int(np.count_nonzero(hits.distances <= truth.distances[-1] + 1e-5))
        total += 10
        found.append(hits.ids)
    assert hit / total >= MIN_RECALL, f"{metric}: recall {hit / total:.3f}"
    return found


def test_readers_beside_a_writer_see_whole_batches(tmp_path: Path) -> None:
    """Every batch rewrites the same 50 ids with one number; a search must never see two numbers."""
    rng = np.random.default_rng(0)
    ids = [f"d{number}" for number in range(50)]
    problems: list[str] = []
    done = threading.Event()
    with vego.open(tmp_path, dimension=8, metric="l2", durability="none") as db:
        docs = db.collection("c")
        docs.insert_batch(ids=ids, vectors=np.zeros((50, 8)), metadata={"turn": [0] * 50})
        docs.insert_batch(vectors=rng.normal(100, 1, (1500, 8)))

        def read() -> None:
            last = 0
            while not done.is_set():
                hits = docs.search(np.zeros(8), k=50)
                turns = {hit.metadata["turn"] for hit in hits}
                if len(turns) != 1 or len(hits) != 50 or min(turns) < last:
                    problems.append(f"saw turns {turns} after {last}")
                    return
                last = turns.pop()
                document = docs.get("d7")
                if document is None or document.metadata["turn"] < last:
                    problems.append(f"get found {document}")

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for turn in range(1, 60):
            docs.upsert_batch(ids=ids, vectors=np.zeros((50, 8)), metadata={"turn": [turn] * 50})
            if turn % 10 == 0:
                docs.insert_batch(vectors=rng.normal(100, 1, (1100, 8)))
                docs.flush()
        done.set()
        for reader in readers:
            reader.join()
    assert not problems, problems[:3]


def test_the_graph_keeps_up_with_many_small_inserts(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    with vego.open(tmp_path, dimension=4, metric="l2", durability="none", flush_bytes=50_000) as db:
        docs = db.collection("c")
        for _ in range(30):
            docs.insert_batch(vectors=rng.normal(0, 1, (100, 4)))
        db.wait_for_maintenance()
        stats = docs.stats()
        assert stats["documents"] == 3000
        assert stats["indexed_slots"] >= 3000 - 1024
        assert 1 <= stats["segments"] <= 6 and stats["maintenance_error"] is None
        query = rng.normal(0, 1, 4)
        truth = docs.search(query, k=10, exact=True)
        assert np.allclose(docs.search(query, k=10, ef=200).distances, truth.distances, atol=1e-5)


def test_flat_collections_have_no_graph(sample: dict[str, Any], tmp_path: Path) -> None:
    with vego.open(tmp_path, dimension=384, index="flat", durability="none") as db:
        docs = db.collection("c")
        docs.insert_batch(ids=sample["ids"][:2000], vectors=sample["vectors"][:2000])
        assert docs.explain(sample["vectors"][0]).strategy == "exact"
        assert docs.search(sample["vectors"][3], k=1).ids == [sample["ids"][3]]
