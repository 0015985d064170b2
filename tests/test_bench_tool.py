"""`vego bench`: what runs, what happens when a peer fails, what is drawn and compared; no figure is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
from vego.cli import main
from vego.errors import InvalidArgumentError
from vego_tools.bench import compare, files, picture, plot, report, scale, session
from vego_tools.bench.data import DIMENSION, LEAST_ROWS, Judge, K, mask, prepare
from vego_tools.bench.engines.base import ENGINES

SMALL = ["--queries", "12", "--rounds", "2", "--seconds", "0.05"]


def bench(folder: Path, *arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`vego bench` far from the repository, as an installed one runs."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-m", "vego.cli", "bench", *arguments],
        capture_output=True, text=True, cwd=folder, env=environment, check=False, timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    done = bench(
        folder, "batch", "search", "filter", "get", "load", "--rows", "1200", "--dim", "16",
        "--peers", "none", "--json", "--html", "out.html", *SMALL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "out.html").read_text().endswith("</html>\n")
    assert sorted(path.name for path in folder.iterdir()) == ["out.html"]
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def test_vego_alone_from_an_installed_package(measured: dict[str, Any]) -> None:
    assert measured["skipped"] == {}
    assert measured["dataset"] == {"vectors": ["generated", 1200, 16]}
    figures = {result["measure"]: result["figures"] for result in measured["results"]}
    assert set(figures) == set(report.MEASURES) - {"start"}
    assert figures["batch-0.95"]["vego-index"]["qps_0.95"] > 0
    for name in ("search", "filter 1 %", "filter 26 %"):
        assert figures[name]["vego"]["recall"] > 0.9
        assert figures[name]["vego"]["fewest_results"] == K
    for result in measured["results"]:
        best = max if result["more_is_better"] else min
        for engine, many in result["rounds"].items():
            assert len(many) == 2
            if not result["measure"].startswith("batch"):  # whose best is that of every point of the curve
                assert result["figures"][engine][result["key"]] == best(one[result["key"]] for one in many)


def test_a_kept_result_is_shown_again(
    measured: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(measured))
    assert main(["bench", "--from", str(kept)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for result in measured["results"]:
        assert result["title"] in shown


def test_a_peer_that_crashes_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    broken = tmp_path / "path"
    broken.mkdir()
    (broken / "hnswlib.py").write_text(
        "import os\n"
        "__version__ = '0'\n"
        "class Index:\n"
        "    def __init__(self, **options): pass\n"
        "    init_index = set_num_threads = add_items = set_ef = lambda self, *a, **k: None\n"
        "    def knn_query(self, *a, **k): os.abort()\n"
    )
    (broken / "faiss.py").write_text("raise ImportError('no libgomp here')\n")
    done = bench(
        tmp_path, "batch", "--rows", "600", "--dim", "8", "--peers", "hnswlib,faiss", "--json", *SMALL,
        path=broken,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)
    assert "the process ended" in described["skipped"]["hnswlib"]
    assert "no libgomp here" in described["skipped"]["faiss"]
    assert set(described["results"][0]["figures"]) == {"vego", "vego-index"}


def test_a_run_without_vego_s_figures_is_an_error(
    measured: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(measured | {"skipped": {"vego": "build: no space left"}}))
    assert main(["bench", "--from", str(kept)]) == 2
    assert "vego gave no figures: build: no space left" in capsys.readouterr().err


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "own <b>.lfmt"
    random = np.random.default_rng(3)
    count = 700
    lance_fmt.write(
        path,
        {
            "empty": [None] * count,
            "price": random.random(count).round(2),
            "text": [None if i % 7 == 0 else f"row {i}" for i in range(count)],
            "kind": [f"k{i % 90}" for i in range(count)],
            "vector": random.standard_normal((count, 6)).astype(np.float32),
        },
    )
    return path


def test_formats_are_compared_on_a_file_of_one_s_own(table: Path) -> None:
    pytest.importorskip("pyarrow")
    request = session.Request(
        session.workloads_of(["files"]), str(table), peers=("parquet",), rounds=2, seconds=0.05
    )
    described = session.compare(request, lambda line: None)
    assert described["skipped"] == {}
    assert described["dataset"]["table"][1:] == [700, 5]
    assert [result["measure"] for result in described["results"]] == list(files.MEASURES)
    wanted = {"lance_fmt", "lance_fmt-small", "parquet-snappy", "parquet-zstd"}
    for result in described["results"]:
        assert set(result["figures"]) == wanted, result["note"]
        figures = {name: one[result["key"]] for name, one in result["figures"].items()}
        assert all(figure > 0 for figure in figures.values())
        for ours, ratios in result["ratios"].items():
            assert ratios == {peer: pytest.approx(figures[peer] / figures[ours]) for peer in ratios}
            assert set(ratios) == {"parquet-snappy", "parquet-zstd"}
    assert picture.page(described, session.results_of(described)).count("<section") == 1 + len(files.MEASURES)


def test_ranges_keep_few_rows_and_need_a_key() -> None:
    pa = pytest.importorskip("pyarrow")
    keys = np.random.default_rng(5).permutation(3000)
    made = pa.table({"s": ["x"] * 3000, "holes": [None, *range(2999)], "key": keys, "other": keys * 0.5})
    found = files.choose_range(made)
    assert found is not None
    assert (found["key"], found["columns"]) == ("key", ["key", "holes"])
    for low, high in found["ranges"]:
        assert np.count_nonzero((keys >= low) & (keys < high)) == 30
    assert files.choose_range(made.select(["s", "holes"])) is None
    assert files.choose_range(pa.table({"same": [4] * 50})) is None
    assert files.choose_range(pa.table({"x": [float("nan"), *range(200)]})) is None


def test_every_name_stands_for_something() -> None:
    configurations = {one for many in session.PEERS.values() for one in many} | set(session.OURS)
    assert configurations == {*ENGINES, *files.ENGINES}
    assert {one for many in files.WORKLOADS.values() for one in many} == set(files.MEASURES)
    pytest.importorskip("pyarrow")
    from vego_tools.bench.formats.engines import all_engines

    assert set(files.ENGINES) <= {engine.name for engine in all_engines()}


def test_what_is_asked_for() -> None:
    assert session.workloads_of([]) == tuple(session.WORKLOADS)
    assert session.workloads_of(["file-take", "search"]) == ("search", "file-take")
    assert session.workloads_of(["files", "search"])[0] == "search"
    assert session.peers_of("none") == ()
    assert session.peers_of("faiss, hnswlib,faiss") == ("faiss", "hnswlib")
    plan = session.Request(peers=("faiss",)).plan(("batch", "get"))
    assert plan.workloads == ("batch", "get")
    assert set(plan.engines) - set(session.OURS) == {"faiss", "faiss-sq8"}


# --- data ---------------------------------------------------------------------------------------------------------


def test_vectors_of_a_file_are_searched_and_its_columns_filtered(table: Path) -> None:
    dataset = prepare(str(table), queries=10)
    assert dataset.rows.vectors.shape == (700 - 700 // 16, 6)
    assert dataset.queries.shape == (10, 6)
    assert set(dataset.rows.metadata) == {"price", "kind"}, "columns with nulls are left out"
    assert dataset.rows.indexed == ("kind", "price")
    assert mask(dataset.rows, dataset.filters["1 %"]).mean() == pytest.approx(0.01, abs=0.005)
    assert mask(dataset.rows, dataset.filters["26 %"]).mean() == pytest.approx(0.26, abs=0.02)
    with lance_fmt.open(table) as file:
        whole = file.read().to_pydict()
    kept = [i for i in range(700) if i % 16 != 15]
    assert dataset.rows.metadata["kind"] == [whole["kind"][i] for i in kept]
    assert np.array_equal(dataset.rows.vectors, np.array([whole["vector"][i] for i in kept], np.float32))


def test_arrays_and_lists_are_vectors_and_rows_without_one_are_left_out(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((400, 5)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    plain = prepare(str(tmp_path / "v.npy"))
    assert len(plain.rows.vectors) == 375
    assert "section" in plain.rows.metadata
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    lists: list[Any] = vectors.tolist()
    lists[3], lists[4] = None, [0.0] * 5
    pq.write_table(pa.table({"n": range(400), "v": lists}), tmp_path / "v.parquet")
    found = prepare(str(tmp_path / "v.parquet"))
    assert found.rows.metadata["n"][:5] == [0, 1, 2, 5, 6]
    assert np.array_equal(found.rows.vectors[3], vectors[5])
    assert Judge(found).expected == K


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        (
            "few.lfmt",
            {"v": np.ones((20, 3), np.float32)},
            f"20 rows with a vector, need at least {LEAST_ROWS}",
        ),
        ("none.lfmt", {"a": [1, 2], "b": ["x", "y"]}, "no column of vectors .* among a, b"),
        ("uneven.lfmt", {"v": [[1.0, 2.0], [3.0]]}, "column 'v' has lists of 2 lengths"),
        ("torn.npy", None, "torn.npy: not an array"),
        ("other.csv", None, "come.* from .lfmt, .parquet and .npy"),
    ],
)
def test_data_that_cannot_be_searched_is_refused(
    tmp_path: Path, name: str, columns: dict[str, Any] | None, message: str
) -> None:
    if columns is None:
        (tmp_path / name).write_text("a,b\n1,2\n")
    else:
        lance_fmt.write(tmp_path / name, columns)
    with pytest.raises(InvalidArgumentError, match=message):
        prepare(str(tmp_path / name))


def test_generated_vectors_have_the_dimension_asked_for() -> None:
    assert prepare("generated", 300, 5).rows.vectors.shape == (300, DIMENSION)
    assert prepare("generated", 300, 5, 7).queries.shape == (5, 7)


# --- mistakes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serach"], "no workload 'serach'; there are load, batch"),
        (["--peers", "postgres"], "no peer 'postgres'; there are hnswlib"),
        (["--rows", "0"], "less than 1"),
        (["search", "--data", "nowhere.npy"], "nowhere.npy"),
        (["--html", "there.html"], "there.html: exists already; --overwrite replaces it"),
        (["--html", "no/where.html"], "no/where.html: its directory does not exist"),
        (["--from", "there.html"], "there.html: not a result"),
        (["--compare", "there.html", "there.html"], "there.html: not a result"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_measured(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("there.html").write_text("mine")
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert Path("there.html").read_text() == "mine"


def test_a_missing_library_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "--png", str(tmp_path / "x.png")]) == 2
    assert "pip install 'vego[plot]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install 'vego\[arrow\]'"):
        files.load("generated", 10, 4)


def test_a_picture_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        picture.save(tmp_path / "out.html", "<html>")
    assert list(tmp_path.iterdir()) == []


# --- two results ----------------------------------------------------------------------------------------------------


def described(
    vego: list[float], zvec: list[float], *, recall: float = 0.98, name: str = "search", **peers: list[float]
) -> dict[str, Any]:
    """A run of one measure with these rounds, in milliseconds or rows a second."""
    measure = report.MEASURES[name]
    rounds = {
        engine: [{measure.key: figure, "p99_ms": 1.0, "recall": recall} for figure in figures]
        for engine, figures in (("vego", vego), ("zvec", zvec), *peers.items())
        if figures
    }
    figures = report.best_of(rounds, ("rows_per_s",))
    return {
        "when": "today", "machine": {"processor": "x", "cores": 1, "python": "3", "load": []}, "versions": {},
        "skipped": {}, "dataset": {"vectors": ["made", 10, 2]}, "queries": 3, "cores": 1, "rounds": 2,
        "results": [report.Result(measure, figures, rounds).to_json()],
    }  # fmt: skip


OLD = ([1.0, 1.02], [2.0, 2.02])


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (OLD, "same"),
        (([1.09, 1.09], [2.0, 2.0]), "same"),
        (([1.12, 1.12], [2.0, 2.0]), "worse"),
        (([1.106, 1.106], [2.0, 2.0]), "worse"),  # by 10.6 % slower is 9.6 % off the ratio
        (([1.12, 1.5], [2.0, 2.0]), "noise"),  # rounds that differ by 34 % prove nothing about 12 %
        (([1.5, 1.9], [2.0, 2.0]), "worse"),
        (([0.5, 0.5], [2.0, 2.0]), "better"),
        (([2.0, 2.0], [4.0, 4.0]), "same"),  # a machine half as fast
        (([1.0, 1.0], [1.0, 1.0]), "worse"),  # the peer caught up
    ],
)
def test_a_ratio_that_fell_is_a_regression(new: tuple[list[float], list[float]], verdict: str) -> None:
    (ratio, recall) = compare.compare(described(*OLD), described(*new))
    assert ratio.verdict == verdict
    assert recall.verdict == "same"


def test_more_rows_a_second_are_better() -> None:
    old, new = described([100, 99], [50, 50], name="load"), described([80, 79], [50, 50], name="load")
    verdicts = [one.verdict for one in compare.compare(old, new) if "recall" not in one.what]
    assert verdicts == ["worse"]
    assert [one.verdict for one in compare.compare(new, old) if "recall" not in one.what] == ["better"]


def test_one_bad_round_of_many_is_left_out() -> None:
    old, new = ([100, 40, 99, 98, 97, 99, 98], [80, 30, 79, 78, 77, 79, 78])
    runs = [described(list(map(float, many)), [50.0] * 7, name="load") for many in (old, new)]
    assert compare.compare(*runs)[0].verdict == "worse"
    runs = [described(list(map(float, many)), [50.0] * 3, name="load") for many in (old[:3], new[:3])]
    assert compare.compare(*runs)[0].verdict == "noise"  # three rounds cannot tell which is the accident


def test_a_good_round_that_the_others_do_not_confirm_is_noise() -> None:
    lucky = described([0.8, 1.0, 1.01], [2.0, 2.0, 2.0])
    usual = described([1.0, 1.0, 1.01], [2.0, 2.0, 2.0])
    assert compare.compare(lucky, usual)[0].verdict == "noise"
    assert compare.compare(usual, lucky)[0].verdict == "noise"


def test_rounds_are_held_against_those_of_the_same_moment() -> None:
    """The machine is at half its speed in some rounds: both engines are, and the ratio shows what changed."""
    mood = [1.0, 2.0, 1.5]
    old = described([1.0 * slow for slow in mood], [2.0 * slow for slow in mood])
    new = described([1.3 * slow for slow in mood], [2.0 * slow for slow in mood])
    assert compare.compare(old, new)[0].verdict == "worse"
    assert compare.compare(new, old)[0].verdict == "better"


@pytest.mark.parametrize(
    ("vego", "chroma", "verdicts"),
    [
        (1.0, 2.0, ["same", "peer"]),  # chroma became faster, Vego did not become slower
        (1.3, 4.0, ["worse", "worse"]),
        (1.3, 5.2, ["peer", "same"]),
        (1.0, 8.0, ["same", "peer"]),
    ],
)
def test_a_change_beside_one_of_two_peers_is_a_change_of_that_peer(
    vego: float, chroma: float, verdicts: list[str]
) -> None:
    old = described([1.0] * 3, [2.0] * 3, chroma=[4.0] * 3)
    new = described([vego] * 3, [2.0] * 3, chroma=[chroma] * 3)
    found = [one.verdict for one in compare.compare(old, new) if "recall" not in one.what]
    assert found == verdicts


def noisy_run(
    random: np.random.Generator, vego: float, rounds: int, mood: float, noise: float
) -> dict[str, Any]:
    """Rounds that are slowed down by the mood of the machine, which both feel, and by accidents of their own."""
    slow = 1 + random.exponential(mood, rounds)
    sides = [figure * slow * (1 + random.exponential(noise, rounds)) for figure in (vego, 2.0)]
    return described(*(side.tolist() for side in sides))


@pytest.mark.parametrize("rounds", [3, 5, 9])
def test_a_regression_by_30_percent_is_found_and_noise_is_not(rounds: int) -> None:
    random = np.random.default_rng(rounds)

    def verdicts(now: float, noise: float) -> list[str]:
        runs = [[noisy_run(random, vego, rounds, 0.5, noise) for vego in (1.0, now)] for _ in range(200)]
        return [compare.compare(*pair)[0].verdict for pair in runs]

    quiet = verdicts(1.3, 0.03)
    assert quiet.count("worse") >= 180
    assert verdicts(1 / 1.3, 0.03).count("better") >= 180
    for noise in (0.03, 0.1, 0.3):
        told = verdicts(1.0, noise)
        assert told.count("worse") + told.count("better") <= 8, noise


def test_recall_that_fell_is_a_regression_however_fast_it_got() -> None:
    changes = compare.compare(described(*OLD), described([0.1, 0.1], [2.0, 2.0], recall=0.96))
    assert [one.verdict for one in changes] == ["better", "worse"]


def test_a_figure_that_vego_no_longer_has_is_a_regression_and_a_missing_peer_is_none() -> None:
    (gone,) = compare.compare(described(*OLD), described([], [2.0, 2.0]))
    assert gone.verdict == "worse"
    (recall,) = compare.compare(described(*OLD), described([1.0], []))
    assert "recall" in recall.what


def test_two_files_are_compared_and_the_status_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, other = (str(tmp_path / name) for name in ("old.json", "new.json", "other.json"))
    Path(old).write_text(json.dumps(described(*OLD)))
    Path(new).write_text(json.dumps(described([1.3, 1.3], [2.0, 2.0])))
    Path(other).write_text(json.dumps(described(*OLD) | {"dataset": {"vectors": ["other", 10, 2]}}))
    assert main(["bench", "--compare", old, old]) == 0
    assert "0 of 2 worse" in capsys.readouterr().out
    assert main(["bench", "--compare", old, new]) == 1
    assert "-23%  WORSE" in capsys.readouterr().out
    assert main(["bench", "--compare", old, new, "--threshold", "0.4"]) == 0
    capsys.readouterr()
    assert main(["bench", "--compare", old, new, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["worse"] == 1
    assert told["changes"][0]["old"] == pytest.approx(2.0)
    assert main(["bench", "--compare", old, other]) == 2
    assert "not the same data" in capsys.readouterr().err


# --- the picture --------------------------------------------------------------------------------------------------


class Nesting(HTMLParser):
    """Fails where a tag is not closed by its own end tag; collects what is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rects: list[dict[str, str | None]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "rect":
            self.rects.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def drawn(run: dict[str, Any]) -> Nesting:
    parser = Nesting()
    parser.feed(picture.page(run, session.results_of(run)))
    parser.close()
    assert parser.open == []
    return parser


def share(rect: dict[str, str | None], key: str) -> float:
    return float((rect[key] or "").removesuffix("%"))


def test_bars_of_ratios_point_to_who_is_better() -> None:
    (better,) = [one for one in drawn(described([1.0], [2.0])).rects if one["class"] == "better"]
    assert share(better, "x") == 50
    (worse,) = [one for one in drawn(described([4.0], [2.0])).rects if one["class"] == "worse"]
    assert share(worse, "x") + share(worse, "width") == pytest.approx(50, abs=0.02)
    assert share(worse, "width") == pytest.approx(share(better, "width"), abs=0.02)


def test_bars_of_figures_are_as_long_as_the_figures() -> None:
    bars = [one for one in drawn(described([1.0], [4.0])).rects if one["class"] == "bar"]
    assert [share(one, "width") for one in bars] == [25, 100]


def test_a_scale_shows_small_beside_large() -> None:
    even, wide = scale.lengths([1.0, 10.0]), scale.lengths([1.0, 1000.0])
    assert [even(1.0), even(10.0)] == [0.1, 1.0]
    assert wide(1000.0) == 1.0
    assert 0.05 < wide(1.0) < wide(30.0) < 0.7


def test_curves_are_drawn(measured: dict[str, Any]) -> None:
    page = picture.page(measured, session.results_of(measured))
    assert page.count("<polyline") == 2
    assert "http" not in page, "nothing is loaded from elsewhere"
    assert "prefers-color-scheme: dark" in page


def test_markup_and_control_characters_in_names_stay_text() -> None:
    run = described([1.0], [2.0])
    run["dataset"] = {"vectors": ["<script>alert(1)</script>\x1b[31m", 10, 2]}
    run["skipped"] = {"chroma": "start: <img src=x onerror=alert(2)>"}
    page = picture.page(run, session.results_of(run))
    assert "<script" not in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert any("<script>alert(1)</script>" in word for word in drawn(run).words)


def test_a_kept_result_cannot_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = described([1.0], [2.0])
    (result,) = run["results"]
    result["note"], result["figures"]["\x1b]0;x\x07"] = "\x1b[2J<b>", {"p50_ms": 3.0, "recall": 1.0}
    kept, out = tmp_path / "kept.json", tmp_path / "out.html"
    kept.write_text(json.dumps(run))
    assert main(["bench", "--from", str(kept), "--html", str(out)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert "\x1b" not in out.read_text()
    for broken in (
        run | {"machine": 1},
        run | {"results": [result | {"figures": {"vego": {"p50_ms": "x"}}}]},
    ):
        kept.write_text(json.dumps(broken))
        assert main(["bench", "--from", str(kept)]) == 2
        assert "cannot be shown" in capsys.readouterr().err


def test_a_run_without_figures_is_still_a_page() -> None:
    run = described([1.0], [2.0]) | {"results": []}
    assert "Vego beside its peers" in "".join(drawn(run).words)


def test_the_image_is_one(measured: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "kept.json").write_text(json.dumps(measured))
    out = tmp_path / "out.png"
    assert main(["bench", "--from", str(tmp_path / "kept.json"), "--png", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG\r\n")
    empty = plot.image(measured | {"results": []}, [])
    assert empty.startswith(b"\x89PNG")
