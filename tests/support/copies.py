"""Copies of a directory in which somebody works, as the power's going would leave it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def copy_of_one_moment(source: Path, target: Path) -> None:
    """Copy a tree to `target`, which is empty or not there, as it was at one moment, whatever goes on in it."""
    while True:
        before = _state(source)
        try:
            shutil.copytree(source, target, dirs_exist_ok=True)
        except (shutil.Error, FileNotFoundError):  # a file went away
            same = False
        else:
            same = before is not None and _state(source) == before
        if same:
            return
        shutil.rmtree(target)


def _state(directory: Path) -> set[tuple[str, int, int, int]] | None:
    """What says whether anything has changed; None where something changed while this was looked at."""
    found = set()
    try:
        for place, _, files in os.walk(directory):
            for name in files:
                path = os.path.join(place, name)
                about = os.stat(path)
                found.add((path, about.st_ino, about.st_size, about.st_mtime_ns))
    except FileNotFoundError:
        return None
    return found
