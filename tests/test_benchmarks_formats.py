"""The comparison of formats runs, notices wrong answers, and judges targets rightly; no figure is judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")

from benchmarks.formats import data, timing  # noqa: E402
from benchmarks.formats.report import Measure, Result, Target, aligned, grid, summary, table  # noqa: E402
from benchmarks.formats.rows import GROUPS, MEASURES, Comparison  # noqa: E402
from vego_tools.bench.formats.catalogue import DIMENSION, catalogue, id_ranges  # noqa: E402
from vego_tools.bench.formats.engines import Engine, Ours, Parquet, Routes, all_engines  # noqa: E402
from vego_tools.bench.formats.same import difference  # noqa: E402

ROWS = 600


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    engines = [Ours(), Parquet("snappy")]
    comparison = Comparison(
        engines, tmp_path_factory.mktemp("formats"), rows=ROWS, repeats=1, seconds=0.0, say=lambda line: None
    )
    few = ("take1", "first", "range", "readall", "size", "write")
    return {one.measure.name: one for row in few for one in comparison.run(row)}


def test_a_small_run_of_our_format_and_parquet(results: dict[str, Result]) -> None:
    for name, result in results.items():
        assert not result.wrong, (name, result.wrong)
        assert {"lance_fmt", "parquet-snappy"} - set(result.figures) <= (
            {"lance_fmt"} if name == "range" else set()
        )
        assert all(figure > 0 for figure in result.figures.values())
        assert json.loads(json.dumps(result.to_json()))["row"] == name
    assert set(results["bits"].parts) == set(catalogue(1).column_names)


def test_results_are_shown(results: dict[str, Result]) -> None:
    for result in results.values():
        assert max(map(len, table(result).splitlines())) <= 130
    assert len(summary(list(results.values())).splitlines()) == len(results) + 1
    assert "parquet-snappy" in grid(results["bits"])


def test_every_row_has_a_measure_and_every_engine_a_name() -> None:
    assert {one for group in GROUPS.values() for one in group} == set(MEASURES)
    names = [engine.name for engine in all_engines()]
    assert len(names) == len(set(names))


def test_the_catalogue_is_what_it_says() -> None:
    made = catalogue(5000)
    assert made.equals(catalogue(5000))
    assert np.diff(made["id"].to_numpy()).min() == np.diff(made["id"].to_numpy()).max() == 1
    steps = np.diff(made["ts"].cast(pa.int64()).to_numpy())
    assert steps.min() > 0
    assert steps.max() < 2_000_000
    cents = made["price"].to_numpy().astype(np.float64) * 100
    assert np.allclose(cents, np.round(cents), atol=0.01)
    assert 0.08 < made["count"].null_count / 5000 < 0.12
    assert made["category"].combine_chunks().dictionary_encode().dictionary.__len__() == 12
    assert 30 < np.mean([len(title) for title in made["title"].to_pylist()]) < 50
    changes = np.count_nonzero(np.diff(made["flag"].to_numpy(zero_copy_only=False).astype(np.int8)))
    assert 5 < changes < 60
    assert made["vector"].type == pa.list_(pa.float32(), DIMENSION)


def test_ranges_keep_what_they_should() -> None:
    ids = catalogue(3000)["id"].to_numpy()
    for low, high in id_ranges(3000, 100, 5):
        assert np.count_nonzero((ids >= low) & (ids < high)) == 100


@pytest.mark.parametrize("name", catalogue(1).column_names)
def test_a_wrong_value_in_any_column_is_noticed(name: str) -> None:
    right = catalogue(300)
    where = right.column_names.index(name)
    order = np.arange(300)
    other = next(i for i in range(1, 300) if right[name][i].as_py() != right[name][0].as_py())
    order[0] = other
    wrong = right.set_column(where, right.field(where), right[name].take(pa.array(order)))
    assert difference(right, right) == ""
    assert name in difference(wrong, right)
    assert difference(right.slice(1), right)
    assert difference(right.drop_columns([name]), right)


def test_values_are_compared_across_widths_and_bit_for_bit() -> None:
    right = pa.table({"s": ["a", None, "c"], "x": [0.0, float("nan"), None]})
    wider = right.set_column(0, "s", right["s"].cast(pa.large_string()))
    assert difference(wider, right) == ""
    for index, value in ((0, -0.0), (2, 0.0)):
        values = right["x"].to_pylist()
        values[index] = value
        assert difference(right.set_column(1, "x", pa.array(values)), right)


class Broken(Engine):
    name = "broken"

    def read(self, columns: list[str] | None = None) -> Routes:
        return {
            "shifted": lambda given: given.slice(1),
            "raises": lambda given: given["no such column"],
            "right": lambda given: given,
        }


def test_a_route_that_is_wrong_is_reported_and_another_taken() -> None:
    source = catalogue(50)
    result = timing.empty(Measure("readall", "", "ms", ".1f"))
    call = timing.choose(Broken(), Broken().read(), [(source,)], lambda given: given, result)
    assert call is not None
    assert result.routes == {"broken": "right"}
    assert "49 rows" in result.wrong["broken (shifted)"]
    assert "KeyError" in result.wrong["broken (raises)"]
    routes = {"shifted": Broken().read()["shifted"]}
    assert timing.choose(Broken(), routes, [(source,)], lambda given: given, result) is None


def test_rounds_keep_the_best() -> None:
    result = timing.empty(Measure("x", "", "s", ".1f"))
    timing.rounds(result, {"one": lambda: None}, {"one": [()]}, 3, scale=1.0)
    assert len(result.rounds["one"]) == 3
    assert result.figures["one"] == min(result.rounds["one"])


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target(30), False),
        (Target(40), True),
        (Target(0.6, ("slow",)), True),
        (Target(0.6, ("fast",)), False),
        (Target(0.6, ("slow", "fast")), False),
        (Target(0.6, ("absent", "slow")), True),
        (Target(0.6, ("absent",)), None),
    ],
)
def test_targets(target: Target, met: bool | None) -> None:
    figures = {"lance_fmt": 40.0, "fast": 50.0, "slow": 100.0}
    assert target.met(40.0, figures) is met
    result = Result(Measure("x", "", "us", ".1f", (target,)), figures)
    assert result.verdict("lance_fmt") == {True: "met", False: "MISSED", None: "no peer"}[met]
    assert result.verdict("fast") == ""


def test_columns_are_aligned() -> None:
    lines = aligned([["a", "1", "x"], ["long", "22", ""]]).splitlines()
    assert lines == ["a      1  x", "long  22"]


def test_real_tables_are_found_where_they_are(tmp_path: Path) -> None:
    import lzma

    import pyarrow.parquet as pq

    assert list(data.real_tables(folder=tmp_path)) == []
    (tmp_path / "strings").mkdir()
    (tmp_path / "tabular").mkdir()
    (tmp_path / "strings" / "words.txt.xz").write_bytes(lzma.compress(b"eins\nzwei\n"))
    folded = pa.table({"d": pa.array(["x", "y", "x"]).dictionary_encode(), "n": pa.nulls(3)})
    pq.write_table(folded, tmp_path / "tabular" / "t.parquet")
    found = dict(data.real_tables(folder=tmp_path))
    assert found["words"].to_pydict() == {"text": ["eins", "zwei"]}
    assert found["t"].to_pydict() == {"d": ["x", "y", "x"], "n": [None] * 3}
    assert found["t"].schema.types == [pa.string(), pa.string()]
