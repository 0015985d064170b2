"""A program on a terminal of its own: what it shows, and what is typed."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>]|\r")
_DEADLINE = 60.0  # seconds until a program that shows nothing new is given up


class Terminal:
    """A process whose standard streams are a terminal of 24 lines; a context manager that ends it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], columns: int = 80) -> None:
        self.raw = ""
        self._pid, self._fd = pty.fork()
        if not self._pid:
            os.execvpe(command[0], list(command), {**environment, "COLUMNS": str(columns), "LINES": "24"})

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._fd)

    @property
    def text(self) -> str:
        """All that was shown, without control sequences."""
        return _CONTROL.sub("", self.raw)

    def type(self, text: str) -> None:
        """Send keys."""
        os.write(self._fd, text.encode())

    def wait_for(self, text: str, *, after: int = 0, seconds: float = _DEADLINE) -> int:
        """Read until `text` is shown beyond character `after` of all that was shown; where it ends."""
        end = time.monotonic() + seconds
        while (found := self.text.find(text, after)) < 0:
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{text!r} was never shown; shown was {self.text[after:]!r}")
        return found + len(text)

    def ended(self) -> int:
        """Read until the program ends, and return its exit status."""
        end = time.monotonic() + _DEADLINE
        while self._read(max(end - time.monotonic(), 0)):
            pass
        while time.monotonic() < end:
            found, status = os.waitpid(self._pid, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        raise AssertionError(f"it never ended; shown was {self.text!r}")

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # what Linux says of a terminal that nobody has open any more
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)
