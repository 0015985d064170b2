"""The examples run as they are, far from the repository's folder, and what they print is what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def output(name: str, folder: Path, *arguments: str) -> str:
    """What an example prints; it must print nothing to standard error but progress, and leave nothing behind."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        capture_output=True, text=True, cwd=folder, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_every_example_is_tested() -> None:
    tested = set(re.findall(r'output\("(\w+\.py)"', Path(__file__).read_text()))
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_quickstart(tmp_path: Path) -> None:
    lines = output("quickstart.py", tmp_path).splitlines()
    assert [line.split()[1] for line in lines] == ["dune", "solaris"]


def test_rolling_window(tmp_path: Path) -> None:
    lines = output("rolling_window.py", tmp_path).splitlines()
    dropped = [re.search(r"2,000 events of 2026-11-(\d\d) dropped", line) for line in lines[:3]]
    assert [found and found[1] for found in dropped] == ["17", "18", "19"]
    assert lines[3:] == [
        "6,000 events of 2026-11-20, 2026-11-21, 2026-11-22",
        "found 3, all of 2026-11-22",
        "2 of 3 partitions pruned, 1 taken whole",
    ]


def test_semantic_search(tmp_path: Path) -> None:
    text = output("semantic_search.py", tmp_path, str(tmp_path / "db"))
    assert text.count("?\n") == 3
    assert "small games like gnome-chess\n" in text
    again = output("semantic_search.py", tmp_path, str(tmp_path / "db"))
    assert again == text, "a database that is there is used as it is"


def test_rag_retrieval(tmp_path: Path) -> None:
    text = output("rag_retrieval.py", tmp_path)
    found = re.search(r"among the first three for (\d) of (\d)", text)
    assert found is not None
    assert int(found[1]) >= int(found[2]) - 2  # the documents change
    assert "[1] " in text
    assert "README.md, " not in text.partition("Answer from these passages")[2], "the filter leaves it out"
    asked = output("rag_retrieval.py", tmp_path, "Which metrics are there?")
    assert asked.rstrip().endswith("Question: Which metrics are there?")
    assert "getting-started.md, " in asked
    assert list(tmp_path.iterdir()) == []


def test_recommendations(tmp_path: Path) -> None:
    text = output("recommendations.py", tmp_path)
    for genre in ("western", "cooking"):
        assert len(re.findall(rf"^  0\.\d\d .* {genre}, (?:199\d|20\d\d)$", text, re.MULTILINE)) == 5
    vectors, popularity = (float(one) for one in re.findall(r"by \w+ +([\d.]+)%", text))
    assert vectors > 1.5 * popularity
