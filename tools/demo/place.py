"""Where the demo may build its database: nowhere, in an empty directory, or over an earlier demo."""

from __future__ import annotations

import shutil
from pathlib import Path

import vego
from vego import names
from vego.errors import DatabaseLockedError, InvalidArgumentError, VegoError

SIGN = "DEMO.txt"
_TEXT = "Made by `vego demo`, which replaces everything in this directory when it runs again.\n"
_OURS = {SIGN, names.MARKER, names.LOCK, names.COLLECTIONS}


def prepare(directory: Path) -> None:
    """Make room: remove an earlier demo, leave everything else alone.

    Raises InvalidArgumentError where something else lies there, DatabaseLockedError where the demo is in use.
    """
    if not directory.is_dir():
        if directory.exists() or directory.is_symlink():
            raise InvalidArgumentError(
                f"{directory} is not a directory; name one, as in `vego demo ./my-demo`"
            )
        return
    found = {entry.name for entry in directory.iterdir()}
    if not found:
        return
    if SIGN not in found or not found <= _OURS:
        others = ", ".join(sorted(found - _OURS)[:3]) or "a database that is no demo"
        raise InvalidArgumentError(
            f"{directory} holds {others}, which the demo does not touch; name another directory, as in "
            "`vego demo ./my-demo`"
        )
    _check_unused(directory)
    for name in found:
        path = directory / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def sign(directory: Path) -> None:
    """Mark the directory as the demo's."""
    (directory / SIGN).write_text(_TEXT, encoding="utf-8")


def _check_unused(directory: Path) -> None:
    try:
        vego.open(directory, create=False).close()
    except DatabaseLockedError:
        raise
    except VegoError:
        return  # damaged, and about to be replaced
