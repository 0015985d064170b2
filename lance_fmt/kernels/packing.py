"""Bit-packing in rows of 128 bytes (FORMAT.md, "Bit-packed").

T is the width in bits of the words, which are the values' own unsigned type, and 1024 / T the number of lanes.
Value i is number i // lanes of lane i % lanes, and word k of all lanes is adjacent: a row of values needs one
shift, and becomes a few vector instructions for every T.
"""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def unpack_rows(words, width, base, out):
    """Decode `out.size` (whole rows) values of `width` (1 to T) bits plus `base` into `out`, modulo 2^T.

    `words` holds ceil(rows * width / T) rows; it, `base` and `out` are of one unsigned type.
    """
    bits = np.uint64(np.iinfo(words.dtype).bits)
    lanes = np.uint64(1024 // np.iinfo(words.dtype).bits)
    rows = np.uint64(out.size) // lanes
    step = np.uint64(width)
    top = bits - np.uint64(1)
    one = words.dtype.type(1)
    mask = words.dtype.type(np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - step))
    last = np.uint64(words.size) // lanes - np.uint64(1)
    for row in range(rows):
        bit = np.uint64(row) * step
        word = bit // bits
        shift = words.dtype.type(bit % bits)
        rest = words.dtype.type(top - bit % bits)
        # Past the last word the high half only carries bits the mask drops.
        above = min(word + np.uint64(1), last)
        low = words[word * lanes : word * lanes + lanes]
        high = words[above * lanes : above * lanes + lanes]
        target = out[np.uint64(row) * lanes : np.uint64(row) * lanes + lanes]
        for lane in range(lanes):
            value = (low[lane] >> shift) | ((high[lane] << one) << rest)
            target[lane] = (value & mask) + base


@kernel
def match_rows(words, width, first, span, out):
    """Set bool `out[i]` to `value i - first <= span` modulo 2^T; else like `unpack_rows`."""
    bits = np.uint64(np.iinfo(words.dtype).bits)
    lanes = np.uint64(1024 // np.iinfo(words.dtype).bits)
    rows = np.uint64(out.size) // lanes
    step = np.uint64(width)
    top = bits - np.uint64(1)
    one = words.dtype.type(1)
    mask = words.dtype.type(np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64) - step))
    last = np.uint64(words.size) // lanes - np.uint64(1)
    for row in range(rows):
        bit = np.uint64(row) * step
        word = bit // bits
        shift = words.dtype.type(bit % bits)
        rest = words.dtype.type(top - bit % bits)
        above = min(word + np.uint64(1), last)
        low = words[word * lanes : word * lanes + lanes]
        high = words[above * lanes : above * lanes + lanes]
        target = out[np.uint64(row) * lanes : np.uint64(row) * lanes + lanes]
        for lane in range(lanes):
            value = (low[lane] >> shift) | ((high[lane] << one) << rest)
            target[lane] = words.dtype.type((value & mask) - first) <= span


@kernel
def pack_rows(values, width, words):
    """Encode `values` (whole rows, each below 2^`width`) into the zeroed `words` of the same unsigned type."""
    bits = np.uint64(np.iinfo(words.dtype).bits)
    lanes = np.uint64(1024 // np.iinfo(words.dtype).bits)
    rows = np.uint64(values.size) // lanes
    step = np.uint64(width)
    for row in range(rows):
        bit = np.uint64(row) * step
        word = bit // bits
        shift = bit % bits
        source = values[np.uint64(row) * lanes : np.uint64(row) * lanes + lanes]
        low = words[word * lanes : word * lanes + lanes]
        for lane in range(lanes):
            low[lane] |= source[lane] << shift
        if shift + step > bits:
            above = word + np.uint64(1)
            high = words[above * lanes : above * lanes + lanes]
            for lane in range(lanes):
                high[lane] |= source[lane] >> (bits - shift)
