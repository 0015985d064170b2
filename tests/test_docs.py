"""What the documents show works, and what they list is all there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import vego
from vego.options import CollectionOptions
from vego.query import parse_filter

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((?!http)([^)#]+)[^)]*\)")


def test_the_first_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(tmp_path)
    exec(compile(code[1], "README.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["a", "c"]


def test_the_filters_of_the_guide_parse() -> None:
    for line in (ROOT / "docs" / "filters.md").read_text().splitlines():
        cells = re.findall(r"`([^`]+)`", line) if line.startswith("| `field") else []
        if len(cells) == 3:
            python, text, _ = cells
            built = eval(python, {"field": vego.field})
            assert parse_filter(text) == built, line


def test_every_option_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "tuning.md").read_text()
    for option in fields(CollectionOptions):
        default = f'"{option.default}"' if isinstance(option.default, str) else f"{option.default}"
        default = f"{option.default:,}" if isinstance(option.default, int) else default
        row = re.search(rf"^\| `{option.name}` \| `?([^|`]+)`? \|", guide, re.MULTILINE)
        assert row is not None, f"{option.name} is not in docs/tuning.md"
        assert row[1].strip() == default, f"{option.name}: the guide says {row[1]}, the default is {default}"


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_error_is_in_the_tree_of_its_module() -> None:
    tree = vego.errors.__doc__ or ""
    for name, thing in vars(vego.errors).items():
        if isinstance(thing, type) and issubclass(thing, Exception):
            assert re.search(rf"\b{name}\b", tree), name
