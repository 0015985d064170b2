"""XXH64 with seed 0 of many values at once (the xxHash specification, "XXH64 algorithm description")."""

import numpy as np

from lance_fmt.kernels.decorator import kernel

P1 = np.uint64(0x9E3779B185EBCA87)
P2 = np.uint64(0xC2B2AE3D27D4EB4F)
P3 = np.uint64(0x165667B19E3779F9)
P4 = np.uint64(0x85EBCA77C2B2AE63)
P5 = np.uint64(0x27D4EB2F165667C5)
ONE = np.uint64(1)
FOUR = np.uint64(4)
EIGHT = np.uint64(8)


@kernel
def _rotate(value, bits):
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@kernel
def _round(state, lane):
    return _rotate(state + lane * P2, 31) * P1


@kernel
def _avalanche(state):
    state = (state ^ (state >> np.uint64(33))) * P2
    state = (state ^ (state >> np.uint64(29))) * P3
    return state ^ (state >> np.uint64(32))


@kernel
def _word(data, at):
    # One load on little-endian machines: the compiler sees through the shifts.
    low = np.uint64(data[at]) | np.uint64(data[at + ONE]) << np.uint64(8)
    low |= np.uint64(data[at + np.uint64(2)]) << np.uint64(16) | np.uint64(
        data[at + np.uint64(3)]
    ) << np.uint64(24)
    low |= np.uint64(data[at + FOUR]) << np.uint64(32) | np.uint64(data[at + np.uint64(5)]) << np.uint64(40)
    low |= np.uint64(data[at + np.uint64(6)]) << np.uint64(48) | np.uint64(
        data[at + np.uint64(7)]
    ) << np.uint64(56)
    return low


@kernel
def _stripes(data, at, stop):
    """State after the 32-byte stripes of `data[at:stop]`, of which there is at least one."""
    a, b, c, d = P1 + P2, P2, np.uint64(0), np.uint64(0) - P1
    while at < stop:
        a = _round(a, _word(data, at))
        b = _round(b, _word(data, at + EIGHT))
        c = _round(c, _word(data, at + np.uint64(16)))
        d = _round(d, _word(data, at + np.uint64(24)))
        at += np.uint64(32)
    state = _rotate(a, 1) + _rotate(b, 7) + _rotate(c, 12) + _rotate(d, 18)
    for lane in (a, b, c, d):
        state = (state ^ _round(np.uint64(0), lane)) * P1 + P4
    return state


@kernel
def hash_strings(data, offsets, out):
    """Set uint64 `out[i]` to the XXH64 of uint8 `data[offsets[i]:offsets[i + 1]]`."""
    for i in range(out.size):
        at = np.uint64(offsets[np.uint64(i)])
        stop = np.uint64(offsets[np.uint64(i) + ONE])
        size = stop - at
        state = P5
        if size >= np.uint64(32):
            striped = at + (size & ~np.uint64(31))
            state = _stripes(data, at, striped)
            at = striped
        state += size
        while at + EIGHT <= stop:
            state = _rotate(state ^ _round(np.uint64(0), _word(data, at)), 27) * P1 + P4
            at += EIGHT
        if at + FOUR <= stop:
            half = np.uint64(data[at]) | np.uint64(data[at + ONE]) << np.uint64(8)
            half |= np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
            half |= np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
            state = _rotate(state ^ (half * P1), 23) * P2 + P3
            at += FOUR
        while at < stop:
            state = _rotate(state ^ (np.uint64(data[at]) * P5), 11) * P1
            at += ONE
        out[np.uint64(i)] = _avalanche(state)


@kernel
def hash_words(words):
    """Replace each of uint64 `words` by the XXH64 of its 8 bytes."""
    for i in range(words.size):
        state = (P5 + EIGHT) ^ _round(np.uint64(0), words[np.uint64(i)])
        words[np.uint64(i)] = _avalanche(_rotate(state, 27) * P1 + P4)
