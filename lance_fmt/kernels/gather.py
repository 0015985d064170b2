"""Gathering byte strings: the loop under `take` on strings and under dictionary decoding."""

import numpy as np

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.unaligned import copy16


@kernel
def gather_bytes(source, offsets, indices, out_offsets, out):
    """Copy string `indices[i]` of (`source`, `offsets`) to `out[out_offsets[i]:out_offsets[i + 1]]`.

    Offsets and indices are int64; the caller has checked that they are in range. `out_offsets` ascend without
    gaps: a short string is copied with the bytes behind it, which the strings after it then overwrite.
    """
    wide = np.uint64(16)
    source_size = np.uint64(source.size)
    out_size = np.uint64(out.size)
    for i in range(indices.size):
        index = np.uint64(indices[np.uint64(i)])
        start = np.uint64(offsets[index])
        size = np.uint64(offsets[index + np.uint64(1)]) - start
        target = np.uint64(out_offsets[np.uint64(i)])
        if size <= wide:
            if start + wide <= source_size and target + wide <= out_size:
                copy16(source, start, out, target)
            else:
                for j in range(size):
                    out[target + np.uint64(j)] = source[start + np.uint64(j)]
        else:
            # The last 16 bytes overlap those before them, so nothing is touched outside the string.
            last = size - wide
            done = np.uint64(0)
            while done < last:
                copy16(source, start + done, out, target + done)
                done += wide
            copy16(source, start + last, out, target + last)


@kernel
def offsets_of_indices(offsets, indices, limit, out):
    """Set int64 `out` to the offsets of the strings `indices` (int64) laid end to end; return their sum.

    Returns -1 if an index is outside `offsets`, and -2 as soon as the sum is more than `limit`.
    """
    count = np.uint64(offsets.size - 1)
    total = np.int64(0)
    out[0] = 0
    for i in range(indices.size):
        index = np.uint64(indices[np.uint64(i)])
        if index >= count:
            return np.int64(-1)
        total += offsets[index + np.uint64(1)] - offsets[index]
        if total > limit:
            return np.int64(-2)
        out[np.uint64(i) + np.uint64(1)] = total
    return total


@kernel
def take_numbers(values, codes, out):
    """Set `out[i]` to `values[codes[i]]`; return the largest of the unsigned codes.

    Nothing is set if that is no place in `values`.
    """
    largest = codes[0]
    for i in range(codes.size):
        code = codes[i]
        largest = code if code > largest else largest
    if np.uint64(largest) < np.uint64(values.size):
        for i in range(codes.size):
            out[np.uint64(i)] = values[np.uint64(codes[np.uint64(i)])]
    return np.int64(largest)
