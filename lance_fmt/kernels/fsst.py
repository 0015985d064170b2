"""FSST in loops: bytes to codes, codes to bytes, and the counts that symbol tables are trained from.

P. Boncz, T. Neumann, V. Leis, "FSST: Fast Random Access String Compression", PVLDB 13(11), 2020. Written from
the paper. A symbol is 1 to 8 bytes, kept as the little-endian number of its bytes.

The longest symbol at a place is found in two tables, whose entries are a length times 256 plus a code. `short`
(uint16, by the next two bytes) has the longest symbol of at most two bytes, or 256 + 255, an escape of one byte;
its last 256 entries are for a single byte with none behind it. `long` has two symbols of three bytes and more,
the longer first, for each value of a hash of the next three bytes: `words`, `masks` (of the bytes that count)
and `long`; where there is none the word is 1 and the mask 0, which match nothing.
"""

import numpy as np

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.unaligned import load64, store64

ESCAPE = 255


@kernel
def compress(data, size, short, words, masks, long, out):
    """Write the codes of `data[:size]` to uint8 `out`, which holds at least 2 * `size`; return how many.

    `data` has 8 bytes more than `size`.
    """
    at = np.uint64(0)
    end = np.uint64(size)
    written = np.uint64(0)
    one, low = np.uint64(1), np.uint64(0xFF)
    while at < end:
        word = load64(data, at)
        row = (
            (((word & np.uint64(0xFFFFFF)) * np.uint64(0x9E3779B1)) >> np.uint64(15)) & np.uint64(2047)
        ) << one
        left = end - at
        if (word & masks[row]) == words[row] and np.uint64(long[row]) >> np.uint64(8) <= left:
            found = np.uint64(long[row])
        elif (word & masks[row + one]) == words[row + one] and np.uint64(long[row + one]) >> np.uint64(
            8
        ) <= left:
            found = np.uint64(long[row + one])
        elif left > one:
            found = np.uint64(short[word & np.uint64(0xFFFF)])
        else:
            found = np.uint64(short[np.uint64(65536) + (word & low)])
        out[written] = found & low
        out[written + one] = word & low
        written += one + np.uint64(found & low == np.uint64(ESCAPE))
        at += found >> np.uint64(8)
    return np.int64(written)


@kernel
def count_symbols(codes, lengths, firsts, singles, pairs, seen):
    """Count in uint32 `singles` (512) and `pairs` (512 * 512) what `codes`, as `compress` wrote them, are.

    Numbers 0 to 254 are codes, 256 + b is the byte b: itself where it is escaped, and also as the first byte
    (`firsts`, uint8 by code) of each symbol of more than one byte (`lengths`), so that short symbols can win
    back what long ones took. Pair (a, b) is number 512 * a + b; those counted twice or more are listed in
    uint32 `seen`, and their number is returned.
    """
    at = np.uint64(0)
    end = np.uint64(codes.size)
    before = np.uint64(512)
    one = np.uint64(1)
    listed = np.uint64(0)
    while at < end:
        number = np.uint64(codes[at])
        first = np.uint64(256) + np.uint64(firsts[number])
        longer = lengths[number] > 1
        if number == np.uint64(ESCAPE):
            at += one
            number = np.uint64(256) + np.uint64(codes[at])
        at += one
        singles[number] += np.uint32(1)
        if longer:
            singles[first] += np.uint32(1)
        if before < np.uint64(512):
            pair = before * np.uint64(512) + number
            pairs[pair] += np.uint32(1)
            if pairs[pair] == np.uint32(2):
                seen[listed] = pair
                listed += one
            if longer:
                pair = before * np.uint64(512) + first
                pairs[pair] += np.uint32(1)
                if pairs[pair] == np.uint32(2):
                    seen[listed] = pair
                    listed += one
        before = number
    return np.int64(listed)


@kernel
def decompress(codes, symbols, lengths, total, out):
    """Write the symbols of uint8 `codes` to uint8 `out`, which is 64 bytes longer than `total`.

    `symbols` (uint64) and `lengths` (uint8, at most 8) have 256 rows. Returns how many bytes the codes stand
    for, or -1: an escape at the end, or more than `total`.
    """
    at = np.uint64(0)
    end = np.uint64(codes.size)
    place = np.uint64(0)
    limit = np.uint64(total)
    one, eight = np.uint64(1), np.uint64(8)
    # Up to `limit` there is room for the 64 bytes that eight stores may touch.
    while at < end and place <= limit:
        if at + eight <= end:
            word = load64(codes, at)
            # A byte of 255 is a zero byte of the complement.
            if (~word - np.uint64(0x0101010101010101)) & word & np.uint64(0x8080808080808080) == np.uint64(0):
                at += eight
                for _ in range(8):
                    code = word & np.uint64(255)
                    word >>= eight
                    store64(out, place, symbols[code])
                    place += np.uint64(lengths[code])
                continue
        code = np.uint64(codes[at])
        at += one
        if code != np.uint64(ESCAPE):
            store64(out, place, symbols[code])
            place += np.uint64(lengths[code])
        else:
            if at == end:
                return np.int64(-1)
            out[place] = codes[at]
            place += one
            at += one
    return np.int64(place) if place <= limit else np.int64(-1)


@kernel
def knows_codes(codes, count):
    """Whether each of uint8 `codes` that is not escaped is below `count` or an escape."""
    at = np.uint64(0)
    while at < np.uint64(codes.size):
        code = codes[at]
        if code == ESCAPE:
            at += np.uint64(1)
        elif code >= count:
            return False
        at += np.uint64(1)
    return True
