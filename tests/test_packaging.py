"""What is installed is what is in the tree."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"lance_fmt": "lance_fmt", "vego": "vego", "vego_tools": "tools"}


def test_every_package_is_listed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = []
    for name, folder in FOLDERS.items():
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            found.append(".".join((name, *init.parent.relative_to(ROOT / folder).parts)))
    assert sorted(found) == sorted(listed)


def test_the_version_is_written_once_more_in_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'__version__ = "{project["version"]}"' in (ROOT / "vego" / "__init__.py").read_text()
