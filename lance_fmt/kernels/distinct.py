"""Distinct values by open addressing, and the code of every value among them.

One kernel finds new values and looks known ones up: `known` has room for as many values as there may be, and
the table of uint32 (a power of two, 0 for free, else code + 1) stays at most half full.
"""

import numpy as np

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.unaligned import load64

# Odd, of random bits: 2^64 divided by the golden ratio.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@kernel
def code_numbers(values, known, count, table, codes):
    """Set uint32 `codes` to the places of uint64 `values` in `known`; unknown ones are appended to it.

    `count` values are known already. Returns how many are then, or -1 if `known` would have to hold more
    than `known.size`.
    """
    mask = np.uint64(table.size - 1)
    found = np.uint64(count)
    room = np.uint64(known.size)
    for i in range(values.size):
        value = values[np.uint64(i)]
        mixed = value * _MULTIPLIER
        slot = (mixed ^ (mixed >> np.uint64(32))) & mask
        while True:
            entry = np.uint64(table[slot])
            if entry == np.uint64(0):
                if found == room:
                    return np.int64(-1)
                known[found] = value
                found += np.uint64(1)
                table[slot] = found
                codes[np.uint64(i)] = found - np.uint64(1)
                break
            if known[entry - np.uint64(1)] == value:
                codes[np.uint64(i)] = entry - np.uint64(1)
                break
            slot = (slot + np.uint64(1)) & mask
    return np.int64(found)


@kernel
def code_strings(data, offsets, known_data, known_starts, known_sizes, count, table, codes):
    """Like `code_numbers` for byte strings, known ones given by where in `known_data` they start and their sizes.

    New ones are noted by their start in `data`, so then `known_data` must be the same array. Both arrays end
    in 8 bytes that belong to no string: strings are read in words.
    """
    mask = np.uint64(table.size - 1)
    found = np.uint64(count)
    room = np.uint64(known_starts.size)
    eight = np.uint64(8)
    for i in range(codes.size):
        start = np.uint64(offsets[np.uint64(i)])
        size = np.uint64(offsets[np.uint64(i) + np.uint64(1)]) - start
        tail = size & np.uint64(7)
        whole = size - tail
        keep = (np.uint64(1) << (tail * eight)) - np.uint64(1)
        mixed = size * _MULTIPLIER
        at = np.uint64(0)
        while at < whole:
            mixed = (mixed ^ load64(data, start + at)) * _MULTIPLIER
            mixed ^= mixed >> np.uint64(32)
            at += eight
        mixed = (mixed ^ (load64(data, start + whole) & keep)) * _MULTIPLIER
        slot = (mixed ^ (mixed >> np.uint64(32))) & mask
        while True:
            entry = np.uint64(table[slot])
            if entry == np.uint64(0):
                if found == room:
                    return np.int64(-1)
                known_starts[found] = start
                known_sizes[found] = size
                found += np.uint64(1)
                table[slot] = found
                codes[np.uint64(i)] = found - np.uint64(1)
                break
            known = entry - np.uint64(1)
            if np.uint64(known_sizes[known]) == size:
                other = np.uint64(known_starts[known])
                at = np.uint64(0)
                while at < whole and load64(data, start + at) == load64(known_data, other + at):
                    at += eight
                difference = load64(data, start + whole) ^ load64(known_data, other + whole)
                if at >= whole and (difference & keep) == np.uint64(0):
                    codes[np.uint64(i)] = known
                    break
            slot = (slot + np.uint64(1)) & mask
    return np.int64(found)
