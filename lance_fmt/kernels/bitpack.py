"""Bit-packing in 16 interleaved lanes (FORMAT.md, "Integers").

Value i lies in lane i % 16 as number i // 16 of that lane's bit stream; word k of all lanes is adjacent, so
one row of 16 values needs the same shift everywhere and becomes a few vector instructions.
"""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def unpack(words, width, base, out):
    """Decode `out.size` (a multiple of 16) values of `width` (1..64) bits plus `base` into uint64 `out`."""
    rows = out.size // np.uint64(16)
    mask = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - width)
    last = np.uint64(width * rows + np.uint64(63)) // np.uint64(64) - np.uint64(1)
    for row in range(rows):
        bit = np.uint64(row) * np.uint64(width)
        word = bit >> np.uint64(6)
        shift = bit & np.uint64(63)
        # Past the last word the high half only carries bits the mask drops.
        above = min(word + np.uint64(1), last)
        low = words[word * np.uint64(16) : word * np.uint64(16) + np.uint64(16)]
        high = words[above * np.uint64(16) : above * np.uint64(16) + np.uint64(16)]
        target = out[np.uint64(row) * np.uint64(16) : np.uint64(row) * np.uint64(16) + np.uint64(16)]
        for lane in range(16):
            value = (low[lane] >> shift) | ((high[lane] << np.uint64(1)) << (np.uint64(63) - shift))
            target[lane] = (value & mask) + base
