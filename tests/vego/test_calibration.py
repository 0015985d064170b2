"""Recall that is measured when a graph is built, kept with it, and what searches go by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vego
from vego.index import Calibration, Curve, HnswIndex, Metric, exact_search
from vego.index.calibration import GROWTH, MARGIN, made_up_queries
from vego.index.walked import SPARE, walk_effort
from vego.options import AUTO_ROWS
from vego.table.vectors import Vectors

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def clustered(rows: int, dimension: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((100, dimension)) * 2
    return (centres[rng.integers(0, 100, rows)] + rng.standard_normal((rows, dimension))).astype(np.float32)


def measured(docs: vego.Collection, queries: np.ndarray, k: int, **effort: Any) -> float:
    truth = docs.search_batch(queries, k, exact=True).distances
    found = docs.search_batch(queries, k, **effort).distances
    return float((found <= truth[:, -1:] + 1e-5 * (1 + np.abs(truth[:, -1:]))).mean())


EXAMPLE = Calibration(
    2_000, "2026-01-01T00:00:00+00:00", 128,
    (Curve(10, ((10, 0.5), (20, 0.75), (40, 1.0)), 15), Curve(100, ((100, 0.5), (300, 1.0)), 120)),
)  # fmt: skip


def test_the_effort_between_points_and_beyond_them() -> None:
    target = (0.79 - MARGIN) / (1 - MARGIN)  # 0.79 with the margin
    assert EXAMPLE.effort(10, target) == (24, 15)
    assert EXAMPLE.effort(5, target) == (24, 15)
    assert EXAMPLE.effort(100, target) == (216, 120)
    assert EXAMPLE.effort(55, target) == (120, 68)  # half way
    assert EXAMPLE.effort(200, target) == (432, 240)
    assert EXAMPLE.effort(10, 1.0) == (40, 15)
    single = Calibration(2_000, "", 128, EXAMPLE.curves[:1])
    assert single.effort(30, target) == (72, 45)
    short = Calibration(2_000, "", 128, (Curve(10, ((10, 0.3), (20, 0.4)), 15),))
    assert short.effort(10, 0.9) == (20, 15)  # the target is out of reach: what there is


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip", "l1"])
def test_the_default_reaches_the_target(tmp_path: Path, metric: str) -> None:
    vectors, queries = clustered(6_000, 20), clustered(150, 20, seed=1)
    with vego.open(tmp_path / "db", metric=metric, durability="none") as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=[str(i) for i in range(6_000)], vectors=vectors)
        docs.build_index()
        assert docs.index_report().reaches_target
        for k in (1, 10, 40, 100):
            reached = measured(docs, queries, k)
            assert reached >= 0.95, f"recall {reached} of {k}"
        assert measured(docs, queries, 10, target_recall=0.99) >= 0.98
        low, high = (docs.explain(queries[0], 100, target_recall=target).ef for target in (0.6, 0.99))
        assert low < high
        assert docs.explain(queries[0], target_recall=1).strategy == "exact"


@pytest.mark.parametrize(
    "kind", ["ivf", "ivf_sq8", "ivf_pq", "ivf_rabitq", "flat_sq8", "flat_pq", "flat_rabitq"]
)
def test_lists_and_codes_reach_the_target(tmp_path: Path, kind: str) -> None:
    vectors, queries = clustered(6_000, 20), clustered(150, 20, seed=1)
    with vego.open(tmp_path / "db", metric="l2", durability="none", background=False) as db:
        docs = db.collection("docs", index=kind)
        docs.insert_batch(ids=[str(i) for i in range(6_000)], vectors=vectors)
        docs.build_index()
        report = docs.index_report()
        assert report.reaches_target, repr(report)
        assert "recall measured" in repr(report)
        for k in (1, 10, 40, 100):
            assert measured(docs, queries, k) >= 0.95, f"{k}: {report!r}"
        low, high = (docs.explain(queries[0], 10, target_recall=target) for target in (0.6, 0.99))
        assert low.ef <= high.ef
        assert measured(docs, queries, 10, target_recall=0.99) >= 0.98
        assert low.ef < high.ef or kind.startswith("flat"), (low, high)
    with vego.open(tmp_path / "db", read_only=True) as db:
        assert db.collection("docs").index_report().calibration == report.calibration


@pytest.mark.parametrize("name", ["debian-packages", "mnist-784", "ir/cranfield", "ir/medline", "ir/npl"])
def test_the_default_reaches_the_target_on_real_data(tmp_path: Path, name: str) -> None:
    folder = DATA / name
    if not folder.exists():
        pytest.skip("the shared data is not here")
    metric = "cosine"
    if name == "mnist-784":
        with np.load(folder / "mnist.npz") as arrays:
            vectors, queries, metric = arrays["base"][:20_000], arrays["queries"], "l2"
    elif name == "debian-packages":
        vectors, queries = np.load(folder / "vectors_f16.npy"), np.load(folder / "queries_f32.npy")
    else:
        vectors, queries = np.load(folder / "corpus_f16.npy"), np.load(folder / "queries_f16.npy")
    with vego.open(tmp_path / "db", metric=metric, durability="none") as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=[str(i) for i in range(len(vectors))], vectors=vectors.astype(np.float32))
        docs.build_index()
        reached = measured(docs, queries[:300].astype(np.float32), 10)
        assert reached >= 0.95, f"{name}: recall {reached}; {docs.index_report()!r}"


def test_what_is_measured_is_kept_and_measured_again_after_growth(tmp_path: Path) -> None:
    vectors = clustered(5_000, 8)
    ids = [str(i) for i in range(5_000)]
    with vego.open(tmp_path / "db", metric="l2", durability="none", background=False) as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=ids[:2_000], vectors=vectors[:2_000])
        first = docs.index_report().calibration
        assert first is not None
        assert first.rows == 2_000
        assert first.when.startswith("20")
        docs.insert_batch(ids=ids[2_000:2_900], vectors=vectors[2_000:2_900])
        docs.build_index()
        assert docs.index_report().calibration is first
        docs.insert_batch(ids=ids[2_900:], vectors=vectors[2_900:])
        second = docs.index_report().calibration
        assert second is not None
        assert second.rows == 5_000 >= GROWTH * 2_000
        docs.build_index()
    with vego.open(tmp_path / "db", read_only=True) as db:
        report = db.collection("docs").index_report()
        assert report.calibration == second
        assert report.ef == max(second.effort(10, 0.95)[0], 10 + SPARE)
        assert db.collection("docs").explain(vectors[0]).ef == report.ef


def test_what_the_call_says_goes_before_what_the_options_say(tmp_path: Path) -> None:
    vectors = clustered(2_000, 8)
    with vego.open(tmp_path / "db", metric="l2", durability="none") as db:
        docs = db.collection("docs", ef_search=77, target_recall=0.9)
        docs.insert_batch(ids=[str(i) for i in range(2_000)], vectors=vectors)
        assert docs.explain(vectors[0]).ef == 77
        assert docs.explain(vectors[0], ef=5).ef == 10
        assert docs.explain(vectors[0], ef=90, rerank=33)[5:7] == (90, 33)
        assert docs.explain(vectors[0], ef=20, rerank=33).rerank == 20
        assert docs.explain(vectors[0], target_recall=0.99).ef != 77
        exact = db.collection("exact", target_recall=1)
        exact.insert_batch(ids=["a"], vectors=vectors[:1])
        assert exact.explain(vectors[0]).exact
        for bad in (0.4, 1.1, float("nan"), "0.9", True):
            with pytest.raises(vego.UnknownOptionError, match="target_recall"):
                db.collection("bad", target_recall=bad)


def test_auto_scans_few_rows_and_makes_a_graph_of_more(tmp_path: Path) -> None:
    vectors = clustered(AUTO_ROWS, 4)
    ids = [str(i) for i in range(AUTO_ROWS)]
    with vego.open(tmp_path / "db", metric="l2", durability="none", background=False) as db:
        kinds = {kind: db.collection(kind, index=kind) for kind in ("auto", "hnsw", "flat")}
        assert db.collection("default").options.index == "auto"
        for docs in kinds.values():
            docs.insert_batch(ids=ids[:-1], vectors=vectors[:-1])
            docs.build_index()
        assert [docs.index_report().kind for docs in kinds.values()] == ["none", "hnsw", "none"]
        assert kinds["auto"].explain(vectors[0]).exact
        for docs in kinds.values():
            docs.insert_batch(ids=ids[-1:], vectors=vectors[-1:])
            docs.build_index()
        assert [docs.index_report().kind for docs in kinds.values()] == ["hnsw", "hnsw", "none"]


def test_made_up_queries_are_not_rows_and_repeat_themselves() -> None:
    vectors = clustered(500, 6)
    for metric in (Metric.L2, Metric.COSINE, Metric.INNER_PRODUCT, Metric.L1):
        norms = (1 / np.linalg.norm(vectors, axis=1)).astype(np.float32)
        known = Vectors.of(vectors, norms)
        queries = made_up_queries(metric, known, 400)
        np.testing.assert_array_equal(queries, made_up_queries(metric, known, 400))
        _, distances = exact_search(Metric.L2, vectors, None, queries, 1)
        assert float((distances > 1e-3).mean()) > 0.9


def test_measuring_stops_when_told_to() -> None:
    vectors = clustered(1_500, 6)
    index = HnswIndex("l2", 6)
    assert not index.calibrate(vectors, None, "now")  # empty
    index.extend(vectors, None, 1_500)
    assert not index.calibrate(vectors, None, "now", lambda: True)
    assert index.calibration is None
    assert index.calibrate(vectors, None, "now")
    assert not index.calibrate(vectors, None, "later")
    assert index.copy().calibration is index.calibration


# -- bytes from disk ---------------------------------------------------------------------------------


def test_stored_and_read_again() -> None:
    assert Calibration.from_text(EXAMPLE.to_text(), "x") == EXAMPLE
    index = HnswIndex("l2", 6)
    index.extend(clustered(1_500, 6), None, 1_500)
    columns, metadata = index.to_columns()
    assert "calibration" not in metadata  # as files of earlier versions
    assert HnswIndex.from_columns(columns, metadata).calibration is None
    index.calibration = EXAMPLE
    columns, metadata = index.to_columns()
    assert HnswIndex.from_columns(columns, metadata).calibration == EXAMPLE
    with pytest.raises(vego.CorruptionError, match=r"some\.lfmt.*calibration"):
        HnswIndex.from_columns(columns, dict(metadata) | {"calibration": "{}"}, path="some.lfmt")


def changed(path: tuple[Any, ...], value: Any) -> str:
    stored = json.loads(EXAMPLE.to_text())
    place = stored
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(stored)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows",), 0),
        (("rows",), 1 << 40),
        (("rows",), True),
        (("rows",), 2.0),
        (("queries",), "128"),
        (("when",), 5),
        (("when",), "x" * 41),
        (("when",), "\x1b[31m"),
        (("curves",), []),
        (("curves",), {}),
        (("curves",), json.loads(EXAMPLE.to_text())["curves"] * 2),
        (("curves", 0, "k"), 0),
        (("curves", 0, "k"), 100),
        (("curves", 0, "k"), 1 << 20),
        (("curves", 0, "rerank"), -1),
        (("curves", 0, "rerank"), 1 << 20),
        (("curves", 0, "points"), []),
        (("curves", 0, "points"), [[10, 0.5]] * 100),
        (("curves", 0, "points"), [[10]]),
        (("curves", 0, "points"), [[0, 0.5]]),
        (("curves", 0, "points"), [[10, 0.5], [10, 0.6]]),
        (("curves", 0, "points"), [[10, 0.5], [20, 0.4]]),
        (("curves", 0, "points"), [[10, 1.5]]),
        (("curves", 0, "points"), [[10, 1]]),
        (("curves", 0, "points"), [[10, float("nan")]]),
        (("curves", 0, "points"), [[1 << 20, 0.5]]),
        (("curves", 0), None),
    ],
)
def test_contents_that_cannot_be(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(vego.CorruptionError, match="calibration"):
        Calibration.from_text(changed(path, value), "some.lfmt")


@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1")), st.just("[" * 16_000)))
def test_text_that_is_none(text: str) -> None:
    with pytest.raises(vego.CorruptionError):
        Calibration.from_text(text, "x")


@given(st.integers(0, len(EXAMPLE.to_text()) - 1), st.characters(codec="latin-1"))
@settings(max_examples=300)
def test_every_changed_character_is_refused_or_harmless(place: int, character: str) -> None:
    text = EXAMPLE.to_text()
    try:
        read = Calibration.from_text(text[:place] + character + text[place + 1 :], "x")
    except vego.CorruptionError:
        return
    for k in (1, 10, 50, 16_384):
        assert max(read.effort(k, 0.95)) <= 65_536
        ef, rerank = walk_effort(read, k, 0.95)
        assert k <= rerank <= ef <= 65_536


# -- the report --------------------------------------------------------------------------------------


def test_the_report_shows_itself(tmp_path: Path) -> None:
    vectors = clustered(2_000, 8)
    with vego.open(tmp_path / "db", metric="l2", durability="none") as db:
        docs = db.collection("docs")
        empty = docs.index_report()
        assert (empty.kind, empty.coverage, empty.reaches_target) == ("none", 1.0, True)
        assert "no graph: searches are exact" in repr(empty)
        docs.insert_batch(ids=[str(i) for i in range(2_000)], vectors=vectors)
        docs.insert_batch(ids=["more", "<b>"], vectors=vectors[:2])
        report = docs.index_report()
        assert (report.kind, report.documents, report.slots, report.indexed) == ("hnsw", 2_002, 2_002, 2_000)
        assert report.parameters["m"] == 16
        assert report.memory["vectors"] == 2_002 * 8 * 4
        assert report.memory["codes"] >= 2_000 * 64
        assert sum(report.memory.values()) > report.memory["vectors"] + report.memory["codes"]
        text = repr(report)
        for part in (
            "2,000 of 2,002 rows (100%)",
            "m=16",
            "target recall 0.95: ef=",
            "recall measured 20",
            "####",
        ):
            assert part in text, text
        assert text.count("<- target") == 1
        html = report._repr_html_()
        assert "recall@10" in html
        assert f"{report.curve[0][1]:.3f}" in html
