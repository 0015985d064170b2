"""Tests of byte strings: order, membership in a sorted set, text within."""

import numpy as np

from lance_fmt.kernels.decorator import kernel


@kernel
def _order(data, start, size, text, begin, length):
    """Sign of `data[start:start + size]` against `text[begin:begin + length]`, all uint64."""
    for j in range(min(size, length)):
        left = data[start + j]
        right = text[begin + j]
        if left != right:
            return -1 if left < right else 1
    return -1 if size < length else (1 if size > length else 0)


@kernel
def strings_between(data, offsets, low, high, bounded, out):
    """Set bool `out[i]` to `low <= string i`, and `string i < high` where `bounded`."""
    zero = np.uint64(0)
    for i in range(out.size):
        start = np.uint64(offsets[np.uint64(i)])
        size = np.uint64(offsets[np.uint64(i) + np.uint64(1)]) - start
        inside = _order(data, start, size, low, zero, np.uint64(low.size)) >= 0
        if inside and bounded:
            inside = _order(data, start, size, high, zero, np.uint64(high.size)) < 0
        out[np.uint64(i)] = inside


@kernel
def strings_in(data, offsets, texts, bounds, out):
    """Set bool `out[i]` to whether string i is one of `texts[bounds[j]:bounds[j + 1]]`, which ascend."""
    for i in range(out.size):
        start = np.uint64(offsets[np.uint64(i)])
        size = np.uint64(offsets[np.uint64(i) + np.uint64(1)]) - start
        low = 0
        high = bounds.size - 1
        found = False
        while low < high and not found:
            middle = (low + high) // 2
            begin = np.uint64(bounds[np.uint64(middle)])
            length = np.uint64(bounds[np.uint64(middle) + np.uint64(1)]) - begin
            sign = _order(data, start, size, texts, begin, length)
            if sign == 0:
                found = True
            elif sign < 0:
                high = middle
            else:
                low = middle + 1
        out[np.uint64(i)] = found


@kernel
def strings_with(data, offsets, text, at_end, out):
    """Set bool `out[i]` to whether string i has `text` (not empty) at its end, or else anywhere."""
    length = np.uint64(text.size)
    for i in range(out.size):
        start = np.uint64(offsets[np.uint64(i)])
        stop = np.uint64(offsets[np.uint64(i) + np.uint64(1)])
        found = False
        if stop - start >= length:
            first = stop - length if at_end else start
            for place in range(first, stop - length + np.uint64(1)):
                j = np.uint64(0)
                while j < length and data[np.uint64(place) + j] == text[j]:
                    j += np.uint64(1)
                if j == length:
                    found = True
                    break
        out[np.uint64(i)] = found
