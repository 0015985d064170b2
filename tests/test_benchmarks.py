"""The benchmark code runs, counts recall rightly, and turns ratios the right way; no figure is judged."""

from __future__ import annotations

import importlib.util
import json
import lzma
import multiprocessing
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import filtered, planner, run
from benchmarks.ann import data as ann_data
from benchmarks.ann import report as ann_report
from benchmarks.ann import worker as ann_worker
from benchmarks.ann.peers import base as ann_base
from vego_tools.bench import report
from vego_tools.bench.data import Dataset, Judge, K, generated, mask, prepare
from vego_tools.bench.engines.base import DATABASES, ENGINES, INDEXES
from vego_tools.bench.measure import curve, rate_at
from vego_tools.bench.pool import EngineError, Pool, answer_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return prepare("generated", 1500, 20)


def exact_rows(dataset: Dataset, label: str = "") -> np.ndarray:
    """The k nearest rows by float64 sorting: independent of the partition the limits come from."""
    vectors = dataset.rows.vectors.astype(np.float64)
    queries = dataset.queries.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    distances = 1 - queries @ vectors.T
    if label:
        distances[:, ~dataset.matching(label)] = np.inf
    return np.argsort(distances, axis=1)


def test_a_small_run_of_vego_alone(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.run",
        "--data",
        "generated",
        "--rows",
        "1200",
        "--queries",
        "12",
    ]
    command += ["--rounds", "1", "--engine", "vego", "--engine", "vego-index", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(map(len, done.stdout.splitlines()[:-1])) <= 100
    (kept,) = tmp_path.glob("*.json")
    described = json.loads(kept.read_text())
    assert described["skipped"] == {}
    figures = {result["measure"]: result["figures"] for result in described["results"]}
    assert set(figures) == set(report.MEASURES)
    assert figures["batch-0.95"]["vego-index"]["best_recall"] > 0.9
    for name in ("search", "filter 1 %", "filter 26 %"):
        assert figures[name]["vego"]["recall"] > 0.9
        assert figures[name]["vego"]["fewest_results"] == K
    assert figures["start"]["vego"]["results"] == K
    assert described["seed"]
    assert described["versions"]["vego"]


def test_every_engine_has_an_adapter_and_a_group() -> None:
    assert set(ENGINES) == {*DATABASES, *INDEXES}
    for place in ENGINES.values():
        assert (
            ROOT / (place.partition(":")[0].replace("vego_tools", "tools").replace(".", "/") + ".py")
        ).exists()


def test_an_engine_that_fails_is_left_out_with_its_reason(tmp_path: Path, dataset: Dataset) -> None:
    dataset.save(tmp_path)
    said: list[str] = []
    pool = Pool("vego_tools.bench.worker", tmp_path, 1, said.append)
    pool.start(["no-such-engine"])
    assert "KeyError" in pool.skipped["no-such-engine"]
    assert pool.ask("no-such-engine", "curve") is None
    assert pool.names(["no-such-engine"]) == []
    assert said


def test_exact_answers_have_full_recall_and_each_wrong_one_costs_its_share(dataset: Dataset) -> None:
    order = exact_rows(dataset)
    judge = Judge(dataset)
    assert judge.recall(order[:, :K]) == 1.0
    one_wrong = np.hstack([order[:, : K - 1], order[:, -1:]])
    assert judge.recall(one_wrong) == pytest.approx(1 - 1 / K)
    assert judge.recall(np.repeat(order[:, :1], K, axis=1)) == pytest.approx(1 / K)
    assert judge.recall(np.full((3, K), -1)) == 0.0


@pytest.mark.parametrize("label", ["1 %", "26 %"])
def test_filtered_truth_is_the_truth_of_the_matching_rows(dataset: Dataset, label: str) -> None:
    judge = Judge(dataset, label)
    best = exact_rows(dataset, label)[:, : judge.expected]
    assert judge.recall(best) == 1.0
    excluded = np.flatnonzero(~dataset.matching(label))[:1]
    with pytest.raises(ValueError, match="does not match"):
        judge.recall([excluded.tolist()])


def test_duplicates_of_a_neighbour_count_as_well_as_the_neighbour(dataset: Dataset) -> None:
    order = exact_rows(dataset)
    doubled = np.concatenate([dataset.rows.vectors, dataset.rows.vectors[order[0, K - 1 : K]]])
    rows = type(dataset.rows)([str(i) for i in range(len(doubled))], doubled, dataset.rows.metadata)
    twin = Dataset("twins", rows, dataset.queries[:1], {}, {"": dataset.limits[""][:1]})
    answer = [*order[0, : K - 1].tolist(), len(doubled) - 1]
    assert Judge(twin).recall([answer]) == 1.0


def test_filters_have_the_selectivity_they_are_named_for(dataset: Dataset) -> None:
    filters = dataset.filters
    assert mask(dataset.rows, filters["1 %"]).mean() == pytest.approx(0.01, abs=0.005)
    assert mask(dataset.rows, filters["26 %"]).mean() == pytest.approx(0.26, abs=0.01)


def test_the_data_set_survives_the_way_to_the_workers(tmp_path: Path, dataset: Dataset) -> None:
    dataset.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert np.array_equal(loaded.rows.vectors, dataset.rows.vectors)
    assert loaded.rows.metadata == dataset.rows.metadata
    assert loaded.filters == dataset.filters
    assert all(np.array_equal(loaded.limits[key], dataset.limits[key]) for key in dataset.limits)


def test_the_sample_of_the_demo_stands_in_for_the_shared_data() -> None:
    sample = prepare("sample", 2000, 30)
    assert sample.rows.vectors.shape == (2000, 384)
    assert sample.queries.shape == (30, 384)
    assert {"title", "section", "size", "maintainer"} <= set(sample.rows.metadata)
    assert {len(values) for values in sample.rows.metadata.values()} == {2000}
    assert Judge(sample).recall(exact_rows(sample)[:, :K]) == 1.0


def test_an_engine_that_is_not_installed_is_named_with_the_way_to_get_it(
    tmp_path: Path, dataset: Dataset
) -> None:
    dataset.save(tmp_path)
    hide = "import sys; sys.modules['hnswlib'] = None; sys.argv[1:] = ['hnswlib', sys.argv[1], '1']; "
    done = subprocess.run(
        [sys.executable, "-c", hide + "from vego_tools.bench.worker import main; main()", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=60,
    )
    with pytest.raises(EngineError, match=r"not installed .*pip install 'vego\[bench\]'"):
        answer_of("start", done.stdout)


def test_a_truth_that_disagrees_is_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    np.save(tmp_path / "vectors_f16.npy", random.standard_normal((40, 8)).astype(np.float16))
    np.save(tmp_path / "queries_f32.npy", random.standard_normal((3, 8)).astype(np.float32))
    np.save(tmp_path / "gt_cosine.npy", np.zeros((3, K), np.float32))
    metadata = generated(40, 3)[-1]
    with lzma.open(tmp_path / "meta.jsonl.xz", "wt") as file:
        for row in range(40):
            file.write(json.dumps({key: values[row] for key, values in metadata.items()}) + "\n")
    with pytest.raises(ValueError, match="gt_cosine"):
        prepare(str(tmp_path))
    (tmp_path / "gt_cosine.npy").unlink()
    assert prepare(str(tmp_path)).queries.shape == (3, 8)


class Scripted:
    """An index whose answers are right for `effort` of the k results."""

    def __init__(self, order: np.ndarray) -> None:
        self.order = order

    def search_batch(self, queries: np.ndarray, k: int, effort: int) -> np.ndarray:
        right = min(k, effort // 4)
        return np.hstack([self.order[:, :right], self.order[:, -(k - right) :]])[:, :k]

    def batch_rows(self, answer: np.ndarray) -> np.ndarray:
        return answer


def test_a_curve_rises_and_ends_once_the_recall_is_reached(dataset: Dataset) -> None:
    points = curve(Scripted(exact_rows(dataset)), dataset)  # type: ignore[arg-type]
    recalls = [point["recall"] for point in points]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1.0
    assert recalls[-2] < 0.992
    assert all(point["qps"] > 0 for point in points)


def test_the_rate_at_a_recall_lies_on_the_curve() -> None:
    points = [{"recall": 0.90, "qps": 1000.0}, {"recall": 1.0, "qps": 10.0}]
    assert rate_at(points, 0.95) == pytest.approx(100.0)
    assert rate_at(points, 0.90) == pytest.approx(1000.0)
    assert rate_at(points, 1.0) == pytest.approx(10.0)
    assert rate_at(points[:1], 0.95) is None


def result(
    key: str, vego: float, peer: float, *, floor: float | None = None, recall: float = 1.0
) -> report.Result:
    measure = report.MEASURES[key]
    extra = {"recall": recall, "fewest_results": K, "expected_results": K, "p99_ms": 1.0, "effort": 64}
    figures = {"vego": {measure.key: vego, **extra}, "zvec": {measure.key: peer, **extra}}
    return report.Result(measure, figures, {}, floor)


def test_a_ratio_above_one_favours_vego_whichever_way_the_figure_runs() -> None:
    assert result("search", 0.5, 1.0).ratio("zvec", "vego") == pytest.approx(2.0)
    assert result("load", 500.0, 1000.0).ratio("zvec", "vego") == pytest.approx(0.5)
    assert result("search", 0.5, 1.0).ratio("chroma", "vego") is None


def test_verdicts_follow_the_target_and_the_recall() -> None:
    target = run.TARGETS["search"]["zvec"]
    assert run.held(result("search", 1.0, 1.001 * target)).verdict("zvec") == "met"
    assert run.held(result("search", 1.0, 0.999 * target)).verdict("zvec") == "missed"
    assert "answers" in run.held(result("search", 0.1, 10.0, floor=0.96, recall=0.95)).verdict("zvec")
    short = run.held(result("search", 0.1, 10.0, floor=0.96))
    short.figures["vego"]["fewest_results"] = K - 1
    assert "answers" in short.verdict("zvec")


def test_tables_fit_a_hundred_columns() -> None:
    text = report.table(run.held(result("search", 0.1, 123.456, floor=0.96, recall=0.5)))
    assert max(map(len, text.splitlines())) <= 100
    assert "zvec !" in text


def test_best_of_takes_the_best_way_round() -> None:
    rounds = {"a": [{"p50_ms": 2.0, "rows_per_s": 5.0}, {"p50_ms": 1.0, "rows_per_s": 4.0}], "b": []}
    assert report.best_of(rounds, ("rows_per_s",)) == {"a": {"p50_ms": 1.0, "rows_per_s": 5.0}}


def test_options_default_to_everything() -> None:
    options = run.parse(["--data", "generated"])
    assert options.data == "generated"
    assert options.only == list(run.WORKLOADS)
    assert options.engines == list(ENGINES)
    assert options.cores == 1
    assert run.parse(["--quick"]).rows == 2000


def test_the_planner_s_constants_can_be_measured(capsys):
    assert planner.main(["--data", "generated", "--rows", "1500", "--queries", "4"]) == 0
    output = capsys.readouterr().out
    assert "PAST_NODES" in output
    assert output.count("random") == output.count("far") == len(planner.SHARES)


def test_a_quick_run_of_indexes_beside_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.ann", "--quick", "--peer", "vego", "--peer", "hnswlib"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (kept,) = tmp_path.glob("ann-*.json")
    (described,) = json.loads(kept.read_text())["datasets"]
    assert set(described["peers"]) | set(described["skipped"]) == {"vego", "hnswlib"}
    of_vego = described["peers"]["vego"]
    assert of_vego["best_recall"] > 0.99
    assert of_vego["rates"]["0.99"] > 0
    assert of_vego["build"]["seconds"] > 0
    assert of_vego["parameters"]["m"] == 16
    if importlib.util.find_spec("matplotlib"):
        assert kept.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_recall_of_indexes_is_counted_by_distance(metric: str, tmp_path: Path) -> None:
    vectors, queries = ann_data.generated(700, 20)
    data = ann_data.Dataset("small", metric, vectors, queries, ann_data.limits(vectors, queries, metric))
    rows, asked = vectors.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    order = np.argsort(((rows[None] - asked[:, None]) ** 2).sum(axis=2), axis=1)
    assert data.recall(order[:, :K]) == 1.0
    assert data.recall(np.hstack([order[:, : K - 1], order[:, -1:]])) == pytest.approx(1 - 1 / K)
    assert data.recall(np.repeat(order[:, :1], K, axis=1)) == pytest.approx(1 / K)
    assert data.recall(np.full((20, K), -1)) == 0.0
    data.save(tmp_path)
    again = ann_data.Dataset.load(tmp_path, "small", metric)
    assert again.recall(order[:, :K]) == 1.0


def test_the_front_of_a_curve_has_the_best_round_of_what_nothing_beats() -> None:
    slow = [{"setting": 1, "recall": 0.8, "qps": 90.0}, {"setting": [2, 3], "recall": 0.95, "qps": 50.0}]
    fast = [{"setting": 1, "recall": 0.8, "qps": 100.0}, {"setting": 4, "recall": 0.9, "qps": 40.0}]
    (found,) = ann_report.figures({"a": [slow, fast]}).values()
    assert [point["qps"] for point in found["points"]] == [100.0, 50.0]
    assert found["rates"]["0.95"] == pytest.approx(50.0)
    assert 50 < found["rates"]["0.90"] < 100
    assert found["rates"]["0.99"] is None
    assert found["best_recall"] == 0.95


def test_a_library_that_is_missing_is_left_out_of_the_indexes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ann_base.PEERS, "absent", "no_such_peer:Absent")
    vectors, queries = ann_data.generated(50, 4)
    ann_data.Dataset("small", "l2", vectors, queries, np.zeros(4)).save(tmp_path)
    here, there = multiprocessing.Pipe()
    ann_worker.serve(there, tmp_path, ("small", "l2"), "absent", [])
    kind, why = here.recv()
    assert kind == "error"
    assert "no_such_peer" in why


def test_filtered_searches_are_compared(capsys, tmp_path):
    arguments = ["--data", "sample", "--rows", "1500", "--queries", "4", "--rounds", "1", "--engine", "vego"]
    assert filtered.main([*arguments, "--out", str(tmp_path / "out.json")]) == 0
    results = json.loads((tmp_path / "out.json").read_text())
    assert {result["label"] for result in results} >= {"random 0.1%", "far from it 50.0%", "section and size"}
    assert all(result["engines"]["vego"]["recall"] == 1 for result in results)
    assert capsys.readouterr().out.count("random") == len(filtered.SHARES)
