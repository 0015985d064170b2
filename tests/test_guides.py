"""The guides do what they say: their Python runs, and their commands end well, in the order they stand in."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import pytest

from vego.cli import main

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GUIDES = {  # and the libraries they are about
    "getting-started.md": (),
    "format-guide.md": (),
    "performance.md": (),
    "searching.md": (),
    "vectors.md": (),
    "versions.md": (),
    "partitions.md": (),
    "disk-index.md": (),
    "sharing.md": (),
    "migrate-from-parquet.md": ("pyarrow",),
    "migrate-from-chroma.md": ("chromadb",),
    "migrate-from-lancedb.md": ("lancedb", "pyarrow"),
    "migrate-from-faiss.md": ("faiss",),
}


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / name).read_text()
    with warnings.catch_warnings():
        if GUIDES[name]:
            warnings.simplefilter("ignore")  # what other libraries warn about is theirs
        for library in GUIDES[name]:
            pytest.importorskip(library)
        run(name, text)
    assert capsys.readouterr().out


def run(name: str, text: str) -> None:
    """All blocks, each at its own line numbers, with one set of names."""
    names: dict[str, object] = {"__name__": "guide"}
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(2))
        if block[1] == "python":
            exec(compile("\n" * line + block[2], name, "exec"), names)
            continue
        for offset, command in enumerate(block[2].splitlines()):
            if command.startswith("vego "):
                assert main(shlex.split(command)[1:]) == 0, f"{name}:{line + offset + 1}: {command}"


def test_no_guide_is_forgotten() -> None:
    assert {path.name for path in DOCS.glob("migrate-*.md")} <= set(GUIDES)
    for name in GUIDES:
        assert BLOCK.search((DOCS / name).read_text()), name


def test_a_guide_that_is_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="page:5: vego verify"):
        run("page", "# T\n\n```sh\nvego version\nvego verify nowhere.lfmt\n```\n")
    with pytest.raises(NameError):
        run("page", "```python\nx = 1\n```\n\n```python\nprint(x + y)\n```\n")
