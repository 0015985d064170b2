"""The smallest and the largest of byte strings."""

import numpy as np

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.unaligned import load64


@kernel
def _order(data, start, size, begin, length):
    """Sign of the `size` bytes from `data[start]` on against the `length` from `data[begin]` on, all uint64."""
    eight = np.uint64(8)
    shorter = min(size, length)
    at = np.uint64(0)
    while at + eight <= shorter and load64(data, start + at) == load64(data, begin + at):
        at += eight
    while at < shorter:
        left = data[start + at]
        right = data[begin + at]
        if left != right:
            return -1 if left < right else 1
        at += np.uint64(1)
    return -1 if size < length else (1 if size > length else 0)


@kernel
def extreme_strings(data, offsets, keys, valid, out):
    """Set int64 `out[0]` and `out[1]` to the rows of a smallest and a largest string; False if no row counts.

    `keys` (uint64) are their `prefix_numbers`. `valid` (bool) says which rows count, all if it is empty.
    """
    low = high = np.int64(-1)
    for i in range(keys.size):
        row = np.uint64(i)
        if valid.size and not valid[row]:
            continue
        if low < 0:
            low = high = i
            continue
        key = keys[row]
        least, most = keys[np.uint64(low)], keys[np.uint64(high)]
        if least < key < most:
            continue
        start = np.uint64(offsets[row])
        size = np.uint64(offsets[row + np.uint64(1)]) - start
        if key <= least:
            begin = np.uint64(offsets[np.uint64(low)])
            length = np.uint64(offsets[np.uint64(low) + np.uint64(1)]) - begin
            if key < least or _order(data, start, size, begin, length) < 0:
                low = i
        if key >= most:
            begin = np.uint64(offsets[np.uint64(high)])
            length = np.uint64(offsets[np.uint64(high) + np.uint64(1)]) - begin
            if key > most or _order(data, start, size, begin, length) > 0:
                high = i
    out[0] = low
    out[1] = high
    return low >= 0
