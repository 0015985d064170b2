"""Where results go: standard output, or a file that appears whole when it is finished, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from vego_tools.shell.errors import StatementError


class FileOutput:
    """A file that is written under another name beside its own, and takes its own in `finish`."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        if path.is_dir() or (path.exists() and not overwrite):
            way_out = "name a file" if path.is_dir() else "`.output FILE --overwrite` replaces it"
            raise StatementError(f"{path} exists already; {way_out}")
        self.path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self.stream: TextIO = self._partial.open("w", encoding="utf-8", newline="")

    def finish(self) -> int:
        """Give the file its name, and return its bytes."""
        try:
            self.stream.close()
            size = self._partial.stat().st_size
            self._partial.replace(self.path)
        except BaseException:
            self.discard()
            raise
        return size

    def discard(self) -> None:
        """Leave nothing behind."""
        try:
            self.stream.close()
        finally:
            self._partial.unlink(missing_ok=True)
