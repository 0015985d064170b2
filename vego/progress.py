"""A progress bar for work that takes longer than a second, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WIDTH = 30


@contextmanager
def progress_of(
    wanted: bool | Callable[[int, int], None], what: str
) -> Iterator[Callable[[int, int], None] | None]:
    """The report function for an option `progress`: None, the caller's own, or a bar labelled `what`."""
    if wanted is False:
        yield None
    elif callable(wanted):
        yield wanted
    else:
        bar = ProgressBar(what)
        try:
            yield bar
        finally:
            bar.close()


class ProgressBar:
    """Called with (done, total). Redraws in place on a terminal; elsewhere prints one line at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = -1
        self._last = (0, 0)
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are finished."""
        self._last = (done, total)
        filled = _WIDTH * done // max(total, 1)
        percent = 100 * done // max(total, 1)
        if self._terminal and percent != self._shown:
            self._shown = percent
            bar = "█" * filled + "░" * (_WIDTH - filled)
            sys.stderr.write(f"\r{self._what:<12} {bar} {percent:>3}%  {done:,} of {total:,} ")
            sys.stderr.flush()

    def close(self) -> None:
        """End the line."""
        done, total = self._last
        if self._terminal and self._shown >= 0:
            sys.stderr.write("\n")
        elif total:
            sys.stderr.write(f"{self._what}: {done:,} of {total:,}\n")
