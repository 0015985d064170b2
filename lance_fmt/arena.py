"""Memory for the results of one read, in few large pieces.

A fresh page of memory costs the system more than decoding into it does. So the columns of a read share large
pieces, and a piece that no array looks at any more serves the next read: some are kept for that.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]

PIECE = 8 << 20
_ALIGNMENT = 64
# Below this the allocator finds pages that are there already.
_OWN = 32 << 10
KEPT = 8
_free: deque[Bytes] = deque()


def _lease() -> Bytes:
    """A piece of memory that comes back to `_free` when the last array over it is gone."""
    try:
        memory = _free.pop()
    except IndexError:
        memory = np.empty(PIECE + _ALIGNMENT, np.uint8)
    # Every array over the piece holds this object, however it was sliced or viewed; nothing else does.
    holder = (ctypes.c_ubyte * len(memory)).from_buffer(memory.data)
    weakref.finalize(holder, _give_back, memory).atexit = False
    return np.frombuffer(memoryview(holder), np.uint8)


def _give_back(memory: Bytes) -> None:
    # Runs wherever the last reference goes, also within garbage collection: no lock may be taken here.
    if len(_free) < KEPT:
        _free.append(memory)


class Arena:
    """Hands out bytes for one read. Not for several threads."""

    def __init__(self) -> None:
        self._piece = np.empty(0, np.uint8)
        self._used = 0

    def join(self, arrays: Sequence[Array]) -> Array:
        """`np.concatenate(arrays)` along the first axis; small results in memory of their own."""
        size = sum(array.nbytes for array in arrays)
        if size < _OWN:
            return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        first = arrays[0]
        out = self.take(size).view(first.dtype).reshape(-1, *first.shape[1:])
        return np.concatenate(arrays, out=out)

    def take(self, size: int) -> Bytes:
        """`size` bytes of uninitialised memory, aligned for any dtype."""
        if size > PIECE:
            return np.empty(size, np.uint8)
        start = self._used + -self._used % _ALIGNMENT
        if start + size > len(self._piece):
            self._piece = _lease()
            start = -self._piece.ctypes.data % _ALIGNMENT
        self._used = start + size
        return self._piece[start : start + size]
