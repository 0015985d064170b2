"""Gathering byte strings: the loop under `take` on strings and under dictionary decoding."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def gather_bytes(source, offsets, indices, out_offsets, out):
    """Copy string `indices[i]` of (`source`, `offsets`) to `out[out_offsets[i]:out_offsets[i + 1]]`.

    Offsets and indices are int64; the caller has checked that they are in range.
    """
    for i in range(indices.size):
        index = np.uint64(indices[np.uint64(i)])
        start = np.uint64(offsets[index])
        size = np.uint64(offsets[index + np.uint64(1)]) - start
        target = np.uint64(out_offsets[np.uint64(i)])
        for j in range(size):
            out[target + np.uint64(j)] = source[start + np.uint64(j)]
