"""The demo runs, its answers are the right ones, and its sample is what its README says."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
import vego
from vego.cli import main
from vego_tools import terminal
from vego_tools.demo import make_sample, tour
from vego_tools.demo.sample import DIMENSION, PACKAGES, PACKAGES_SCHEMA, QUERIES, QUERIES_SCHEMA

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT.parent / "shared/data/debian-packages"


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str]:
    """A directory with the demo's database, and what the demo printed."""
    directory = tmp_path_factory.mktemp("demo") / "database"
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert main(["demo", str(directory)]) == 0
    return directory, out.getvalue()


def sample() -> tuple[lance_fmt.Table, lance_fmt.Table]:
    with lance_fmt.open(PACKAGES) as packages, lance_fmt.open(QUERIES) as queries:
        return packages.read(), queries.read()


def best(table: lance_fmt.Table, query: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list[str]:
    """The ids of the k rows of highest cosine similarity, by the definition."""
    vectors = np.asarray(table["vector"].to_numpy(), np.float64)
    scores = vectors @ query / np.linalg.norm(vectors, axis=1)
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    ids = table["id"].to_pylist()
    return [ids[row] for row in np.argsort(-scores, kind="stable")[:k]]


# -- the sample ----------------------------------------------------------------------------------------


def test_sample_is_whole_and_small():
    for path in (PACKAGES, QUERIES):
        with lance_fmt.open(path) as file:
            file.verify()
    assert PACKAGES.stat().st_size + QUERIES.stat().st_size <= 6_000_000


def test_sample_has_the_rows_and_columns_it_promises():
    packages, queries = sample()
    assert packages.schema == PACKAGES_SCHEMA
    assert queries.schema == QUERIES_SCHEMA
    assert packages.num_rows == make_sample.ROWS == 5_000
    assert queries.num_rows == len(make_sample.CHOSEN) == 40
    for table in (packages, queries):
        vectors = np.asarray(table["vector"].to_numpy(), np.float32)
        assert vectors.shape == (table.num_rows, DIMENSION)
        assert np.isfinite(vectors).all()
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-2)
    ids = packages["id"].to_pylist()
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(queries["package"].to_pylist())  # held out
    assert max(map(len, packages["description"].to_pylist())) <= make_sample.DESCRIPTION_LENGTH
    assert not [name for name in packages["maintainer"].to_pylist() if "@" in name and "<" in name]


@pytest.mark.skipif(not SOURCE.is_dir(), reason="needs the source data beside the checkout")
def test_sample_is_what_its_script_makes(tmp_path):
    """The values, that is: which encodings a writer chooses for them may change from version to version.

    Which packages are nearest to a query is decided by products of float32 matrices, whose last bits differ from
    processor to processor: a few of the choice may differ, the values of those chosen may not.
    """
    assert make_sample.main([str(SOURCE), "--to", str(tmp_path)]) == 0
    for shipped, path in zip(sample(), (PACKAGES, QUERIES), strict=True):
        with lance_fmt.open(tmp_path / path.name) as file:
            made = file.read()
        assert made.schema == shipped.schema
        key = "id" if "id" in shipped else "text"
        ours = {name: row for row, name in enumerate(made[key].to_pylist())}
        rows = [row for row, name in enumerate(shipped[key].to_pylist()) if name in ours]
        assert made.num_rows == shipped.num_rows
        assert len(rows) >= 0.99 * shipped.num_rows
        same = [ours[name] for name in shipped[key].take(rows).to_pylist()]
        assert all(made[name].take(same).equals(shipped[name].take(rows)) for name in shipped)


# -- the tour ------------------------------------------------------------------------------------------


def test_every_answer_shown_is_the_right_one(demo):
    _, text = demo
    packages, queries = sample()
    vectors = dict(zip(queries["text"].to_pylist(), queries["vector"].to_numpy(), strict=True))
    section = np.array(packages["section"].to_pylist())
    installed = np.array(packages["installed_kib"].to_pylist())
    conditions = [None] * 3 + [section == "games", (section != "x11") & (installed < 2000)]
    asked = [*tour.BY_MEANING, *(question for question, _ in tour.FILTERED)]
    for question, allowed in zip(asked, conditions, strict=True):
        _, _, after = text.partition(f'"{question}"')
        shown = [line.split()[2] for line in after.splitlines()[2:7]]
        assert shown == best(packages, vectors[question], 5, allowed)


def test_output_is_plain_narrow_and_complete(demo):
    directory, text = demo
    assert "\x1b" not in text
    lines = [line for line in text.splitlines() if str(directory) not in line]
    assert max(map(terminal.display_width, lines)) <= terminal.WIDTH
    for part in (
        "5,000 rows, 12 columns",
        "documents a second",
        "recall@10",
        "first answer",
        "vego inspect",
        "VEGO",
    ):
        assert part in text


def test_the_graph_agrees_with_the_exact_scan(demo):
    _, text = demo
    line = next(line for line in text.splitlines() if "recall@10" in line)
    assert float(line.split()[3].rstrip("%")) >= 95


def test_the_database_stays_and_answers(demo):
    directory, _ = demo
    with vego.open(directory, read_only=True) as database:
        packages = database.collection("packages")
        assert len(packages) == 5_000
        found = packages.get("passwordsafe")
        assert found is not None
        assert found.metadata["section"] == "utils"
        assert found.metadata["tags"] == ["uitoolkit::wxwidgets"]
        assert packages.search(found.vector, 1)[0].id == "passwordsafe"


def test_a_second_demo_replaces_the_first(demo, monkeypatch):
    directory, _ = demo
    monkeypatch.setattr(tour, "ROUNDS", 1)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert main(["demo", str(directory)]) == 0
    assert len(list((directory / "collections/packages/data").iterdir())) == 1


def test_the_demo_leaves_other_things_alone(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    vego.open(tmp_path / "mine").close()
    (tmp_path / "file").write_text("x")
    for name in (".", "mine", "file"):
        before = sorted(tmp_path.rglob("*"))
        assert main(["demo", str(tmp_path / name)]) == 2
        assert "vego demo ./my-demo" in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before


def test_a_demo_in_use_is_not_replaced(demo, capsys):
    directory, _ = demo
    with vego.open(directory):
        assert main(["demo", str(directory)]) == 2
    assert "open for writing" in capsys.readouterr().err
    assert (directory / "VEGO").exists()
