"""The first eight bytes of byte strings as numbers that sort as the strings do."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def prefix_numbers(data, offsets, out):
    """Set uint64 `out[i]` to the first 8 bytes of string i, zero padded, read as a big-endian number."""
    for i in range(out.size):
        start = np.uint64(offsets[np.uint64(i)])
        size = np.uint64(offsets[np.uint64(i) + np.uint64(1)]) - start
        number = np.uint64(0)
        for j in range(min(size, np.uint64(8))):
            number |= np.uint64(data[start + j]) << (np.uint64(56) - np.uint64(8) * j)
        out[np.uint64(i)] = number
