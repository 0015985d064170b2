"""Unsigned 64-bit integers with a frame of reference, bit-packed (FORMAT.md, "Integers").

The primitive under every other encoding: lengths of strings and lists, dictionary codes, integer columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lance_fmt.constants import LANES
from lance_fmt.kernels import loader
from lance_fmt.wire import Cursor

Words = NDArray[np.uint64]


def packed_size(count: int, width: int) -> int:
    """Bytes of the packed words of `count` values."""
    rows = -(-count // LANES)
    return -(-rows * width // 64) * LANES * 8


def read_integers(cursor: Cursor, count: int) -> Words:
    """The next `count` values; the cursor stops right behind their words."""
    if not count:
        return np.empty(0, np.uint64)
    base, width = cursor.u64_pair("integers")
    if width > 64:
        raise cursor.fail(f"bit width {width} is more than 64")
    if not width:
        return np.full(count, base, np.uint64)
    words = np.frombuffer(cursor.take(packed_size(count, width), "packed integers"), "<u8")
    if not words.flags.aligned:
        words = words.copy()
    out = np.empty(-(-count // LANES) * LANES, np.uint64)
    loader.unpack()(words, width, np.uint64(base), out)
    return out[:count]


def read_lengths(cursor: Cursor, rows: int, limit: int) -> NDArray[np.int64]:
    """Offsets `(rows + 1,)` from 0 of the next `rows` lengths, whose sum may not exceed `limit`."""
    lengths = read_integers(cursor, rows)
    offsets = np.zeros(rows + 1, np.int64)
    if rows:
        if int(lengths.max()) > limit:
            raise cursor.fail(f"length {int(lengths.max())} is more than the {limit} possible here")
        np.cumsum(lengths.view(np.int64), out=offsets[1:])
        if offsets[-1] > limit:
            raise cursor.fail(f"lengths sum to {offsets[-1]}, more than the {limit} possible here")
    return offsets
