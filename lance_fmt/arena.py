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
# Of the pieces that no array looks at, up to so many bytes are kept for later reads.
KEPT = 160 << 20
_LARGEST = 128 << 20
_free: dict[int, deque[Bytes]] = {PIECE << i: deque() for i in range((_LARGEST // PIECE).bit_length())}


def lease(size: int) -> Bytes:
    """`size` bytes of uninitialised memory; it serves again when the last array over it is gone."""
    if size > _LARGEST:
        return np.empty(size, np.uint8)
    piece = PIECE << (max(size - 1, 0) // PIECE).bit_length()
    try:
        memory = _free[piece].pop()
    except IndexError:
        memory = np.empty(piece + _ALIGNMENT, np.uint8)
    # Every array over the piece holds this object, however it was sliced or viewed; nothing else does.
    holder = (ctypes.c_ubyte * len(memory)).from_buffer(memory.data)
    weakref.finalize(holder, _give_back, piece, memory).atexit = False
    start = -memory.ctypes.data % _ALIGNMENT
    return np.frombuffer(memoryview(holder), np.uint8)[start : start + size]


def _give_back(piece: int, memory: Bytes) -> None:
    # Runs wherever the last reference goes, also within garbage collection: no lock may be taken here.
    if piece + kept() <= KEPT:
        _free[piece].append(memory)


def kept() -> int:
    """Bytes of the pieces that wait for later reads."""
    return sum(piece * len(waiting) for piece, waiting in _free.items())


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
        start = self._used + -self._used % _ALIGNMENT
        if size > PIECE:
            return lease(size)
        if start + size > len(self._piece):
            self._piece, start = lease(PIECE), 0
        self._used = start + size
        return self._piece[start : start + size]
