"""Stamp arrays of searches in progress, reused: a search must not pay for clearing one byte per row.

Each thread takes one for the time of a call; list append and pop are atomic, so no lock is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

KEEP = 64  # arrays kept for reuse; more threads at once still work, they allocate


class StampPool:
    """Stamp arrays (uint8, one byte per row and one for the last stamp used) shared by threads."""

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []

    @contextmanager
    def borrow(self, rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        """A stamp array for slots below `rows`, given back at the end of the block."""
        stamps = self.take(rows)
        try:
            yield stamps
        finally:
            self.give(stamps)

    def take(self, rows: int) -> npt.NDArray[np.uint8]:
        """`borrow` without the context manager, for the hot path; pair with `give`."""
        try:
            stamps = self._free.pop()
        except IndexError:
            stamps = np.zeros(0, np.uint8)
        if len(stamps) <= rows:
            stamps = np.zeros(rows + rows // 4 + 64, np.uint8)
        return stamps

    def give(self, stamps: npt.NDArray[np.uint8]) -> None:
        """Return an array obtained from `take`."""
        if len(self._free) < KEEP:
            self._free.append(stamps)
