"""Runs of blocks of integers decoded in one call: those whose streams are of the common kinds (FORMAT.md, "Streams").

`words` are the bytes of a page, or of some of it, as uint64, and `lanes` the same bytes as unsigned integers of the
width T of the values. All places and sizes count words.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from lance_fmt.kernels.packing import unpack_rows
from lance_fmt.kernels.runs import expand_runs
from lance_fmt.kernels.sums import running_sum

# Stream ids; numba would compile for each plain number anew.
_PLAIN, _CONSTANT, _PACKED, _FRAME, _DELTA = (np.uint64(code) for code in range(1, 6))
_RUN_LENGTH, _DICTIONARY = np.uint64(7), np.uint64(8)
# What `mode` says the values are; the last are the low words of decimals none of which is negative.
UNSIGNED, LOW_WORDS = 0, 2  # 1: signed
_ROW_WORDS = 16  # of 1024 bits, which packed values come in
_WIDEST_LOW_WORD = 62
_SLACK = 16  # of `expand_runs`


@kernel
def _header(code, payload_bytes):
    return code | (np.uint64(payload_bytes) << np.uint64(32))


@kernel
def _unpack_stream(words, lanes, start, stop, count, mode, out):
    """Decode the stream `words[start:stop]` of `count` values into `out`, which has room for whole rows of them.

    Returns False if the stream is none of those below, or not whole, or some low word may be negative.
    """
    bits = np.int64(np.iinfo(out.dtype).bits)
    top = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits)
    in_word = 64 // bits
    in_row = _ROW_WORDS * in_word
    if stop - start < 2 or count < 1:
        return False
    payload = 8 * (stop - start) - 8
    head, base = words[start], words[start + 1]
    if head == _header(_CONSTANT, bits // 8) and stop - start == 2:
        value = lanes[(start + 1) * in_word]
        for j in range(count):
            out[j] = value
        return mode != LOW_WORDS or base >> np.uint64(63) == 0
    size = count * bits // 8
    if head == _header(_PLAIN, size) and payload == (size + 7) // 8 * 8:
        values = lanes[(start + 1) * in_word : stop * in_word]
        for j in range(count):
            out[j] = values[j]
        return mode != LOW_WORDS
    child, first, packed_count = start, np.uint64(0), count
    if head == _header(_DELTA, payload) and stop - start > 4 and mode != LOW_WORDS:
        first, base = base, words[start + 2]
        child = start + 3
        packed_count = count - 1
    elif head == _header(_FRAME, payload) and stop - start > 3:
        child = start + 2
    elif mode != UNSIGNED:
        return False
    else:
        base = np.uint64(0)
    if first > top or base > top or packed_count < 1:
        return False
    if child == start + 3 and words[child] == _header(_CONSTANT, bits // 8) and stop - child == 2:
        # Differences that are all the same: the first value and its multiples.
        step = base + np.uint64(lanes[(child + 1) * in_word])
        for j in range(count):
            out[j] = first + np.uint64(j) * step
        return True
    width = np.int64(words[child + 1])
    if width < 1 or width > bits:
        return False
    rows = (packed_count + in_row - 1) // in_row
    packed = (rows * width + bits - 1) // bits * _ROW_WORDS
    if stop - child != packed + 2 or words[child] != _header(_PACKED, 8 + 8 * packed):
        return False
    if mode == LOW_WORDS and (width > _WIDEST_LOW_WORD or base >> np.uint64(_WIDEST_LOW_WORD)):
        return False  # else no sum of base and residual reaches bit 63
    unpack_rows(lanes[(child + 2) * in_word : stop * in_word], width, np.int64(base), out[: rows * in_row])
    if child == start + 3:
        running_sum(np.int64(first), out[:count])
    return True


@kernel
def unpack_blocks(words, lanes, starts, stops, rows, mode, slot, high, out):
    """Decode blocks `words[starts[i]:stops[i]]` of `rows[i]` values one after the other into `out`.

    Returns the number of the first block that is anything else, or not whole: that and those behind it are left,
    for readers that know every stream, and what is wrong with one. With a `slot` that is not negative the values
    are codes of the dictionary there; with `high` 1 a stream of high words, all 0, must follow. Starts and stops
    ascend within `words`. `words` is uint64, `lanes` and `out` are of the width T, the others int64.
    """
    in_row = _ROW_WORDS * (64 // np.int64(np.iinfo(out.dtype).bits))
    at = np.int64(0)
    for i in range(len(starts)):
        start, stop, count = starts[i], stops[i], rows[i]
        if high:
            stop -= 2
            if stop < start or words[stop] != _header(_CONSTANT, np.int64(8)) or words[stop + 1] != 0:
                return i
        if slot >= 0:
            if stop - start < 2 or words[start] != _header(_DICTIONARY, 8 * (stop - start) - 8):
                return i
            if words[start + 1] != np.uint64(slot):
                return i
            start += 2
        if count % in_row:
            return i
        if not _unpack_stream(words, lanes, start, stop, count, mode, out[at : at + count]):
            return i
        at += count
    return len(starts)


@kernel
def unpack_runs(words, lanes, halves, starts, stops, rows, mode, values, lengths, last, out):
    """Like `unpack_blocks`, of blocks whose values are run-length encoded; no slot and no high words.

    `halves` are the bytes as uint32. `values`, uint32 `lengths` and `last` are scratch space: for the runs of a
    block, 128 more, as they come in rows, and for the rows of a block and 16 more.
    """
    at = np.int64(0)
    for i in range(len(starts)):
        start, stop, count = starts[i], stops[i], rows[i]
        if stop - start < 4 or words[start] != _header(_RUN_LENGTH, 8 * (stop - start) - 8):
            return i
        runs = np.int64(words[start + 1])  # above them zeros, as the values are no bools
        if runs < 1 or runs > count:
            return i
        start += 2
        middle = start + 1 + np.int64(((words[start] >> np.uint64(32)) + np.uint64(7)) >> np.uint64(3))
        if middle >= stop:
            return i
        if not _unpack_stream(words, lanes, start, middle, runs, mode, values):
            return i
        if not _unpack_stream(words, halves, middle, stop, runs, np.int64(UNSIGNED), lengths):
            return i
        # What is written too much may reach into the next block, but not behind the last.
        inside = at + count + _SLACK <= len(out)
        room = out[at : at + count + _SLACK] if inside else last
        if not expand_runs(values[:runs], lengths[:runs], count, room):
            return i
        if not inside:
            for j in range(count):
                out[at + j] = last[j]
        at += count
    return len(starts)
