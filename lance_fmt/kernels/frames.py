"""Blocks of 64-bit integers, each a frame of reference over packed residuals, decoded in one call."""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.packing import unpack_rows

# Stream ids, and values in a row of 1024 bits.
_FRAME = 4
_PACKED = 3
_LANES = 16


@kernel
def unpack_frames(words, starts, stops, rows, out):
    """Decode blocks `words[starts[i]:stops[i]]` of `rows[i]` values one after the other into `out`.

    Returns the number of the first block that is anything else, or not whole: that and those behind it are left.
    `words` and `out` are uint64, the others int64.
    """
    at = 0
    for i in range(len(starts)):
        start, size, count = starts[i], stops[i] - starts[i], rows[i]
        if size < 4 or count % _LANES:
            return i
        width = np.int64(words[start + 3])
        if width < 1 or width > 64:
            return i
        packed = (count // _LANES * width + 63) // 64 * _LANES
        stream = np.uint64(_FRAME) | (np.uint64(8 * size - 8) << np.uint64(32))
        child = np.uint64(_PACKED) | (np.uint64(8 + 8 * packed) << np.uint64(32))
        if size != packed + 4 or words[start] != stream or words[start + 2] != child:
            return i
        base = np.int64(words[start + 1])
        unpack_rows(words[start + 4 : start + 4 + packed], width, base, out[at : at + count])
        at += count
    return len(starts)
