"""Where a destination is written before it takes its name."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vego.errors import InvalidArgumentError
from vego_tools.convert.registry import is_lance


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises InvalidArgumentError unless `path` may be written."""
    if not path.parent.is_dir():
        raise InvalidArgumentError(f"{path}: the directory {path.parent} does not exist")
    if not (path.exists() or path.is_symlink()):
        return
    if not overwrite:
        raise InvalidArgumentError(f"{path}: exists already; --overwrite replaces it")
    # Only what a conversion could have made is ever removed.
    if path.is_dir() and not is_lance(path):
        raise InvalidArgumentError(f"{path}: a directory that is not a Lance dataset is not overwritten")
    if not (path.is_dir() or path.is_file()):
        raise InvalidArgumentError(f"{path}: not a regular file; choose another destination")


@contextmanager
def new_place(path: Path) -> Iterator[Path]:
    """A path with the name of `path` in a directory of its own beside it.

    When the block ends, what is there takes the place of `path`; after an error nothing is left.
    """
    room = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    room.mkdir()
    try:
        yield room / path.name
        _replace(room / path.name, path, room / "replaced")
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _replace(new: Path, path: Path, aside: Path) -> None:
    if not path.is_dir() and not new.is_dir():
        new.replace(path)
        return
    # Directories are not replaced in one step: the old one steps aside, and comes back if that fails.
    existed = path.exists()
    if existed:
        path.rename(aside)
    try:
        new.rename(path)
    except BaseException:
        if existed:
            aside.rename(path)
        raise
