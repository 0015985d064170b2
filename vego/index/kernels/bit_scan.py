"""Exact search of vectors of bits: eight rows against a query at a time, the k best of each query kept in a heap.

The eight counts of differing bits are added up in one tree of shuffles instead of eight, and one comparison tells
whether any of them matters. Where rows are is written down once for a block, whatever arrays they lie in, and
serves all queries.
"""

from __future__ import annotations

import ctypes

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.distance import HAMMING
from vego.index.kernels.flat import BLOCK_BYTES, UNFILLED, in_order, sift_down
from vego.index.kernels.intrinsics import INT8, INT32, INT64, called, load_at, row_pointer
from vego.index.kernels.rows import address_in, array_with, chunk_of, row_bytes

ROWS = 8  # compared at once
MOST_ROWS = 2048  # of a block: their addresses stay in the first-level cache
WORDS, HALF, COUNTS = ir.VectorType(INT64, ROWS), ir.VectorType(INT64, ROWS // 2), ir.VectorType(INT32, ROWS)
WHOLE = 8 * ROWS  # bytes of a vector of words


def differing_bits_loop(addresses, first, size, query, counts):
    """How many bits differ between `query` (size,) uint8 and each of the eight rows from addresses[first] on.

    They are written to `counts`, int32 (8,); returns the least.
    """
    for i in range(ROWS):
        start = int(addresses[int(first) + i])
        row = np.ctypeslib.as_array((ctypes.c_uint8 * int(size)).from_address(start))
        counts[i] = np.unpackbits(row ^ query).sum()
    return counts.min()


def _below(builder, kind, words):
    """Which places of a vector come before `words`."""
    several = ir.Constant(ir.VectorType(INT32, kind.count), [0] * kind.count)
    limit = builder.insert_element(ir.Constant(kind, ir.Undefined), words, INT32(0))
    limit = builder.shuffle_vector(limit, limit, several)
    return builder.icmp_unsigned("<", ir.Constant(kind, list(range(kind.count))), limit)


def _loaded(builder, row, place, kind, mask):
    """The words of a row from a byte on, those that `mask` allows where there is one, else 0."""
    if mask is None:
        return load_at(builder, row, place, kind)
    start = builder.bitcast(builder.gep(row, [place]), kind.as_pointer())
    nothing = ir.Constant(kind, [0] * kind.count)
    return called(builder, f"llvm.masked.load.v{kind.count}i64.p0", kind, start, INT32(1), mask, nothing)


def _joined(builder, low, high):
    """One vector of two halves."""
    return builder.shuffle_vector(low, high, ir.Constant(COUNTS, list(range(ROWS))))


def _count_into(builder, total, bits):
    """Add the bits that are set, word by word."""
    builder.store(builder.add(builder.load(total), called(builder, "llvm.ctpop.v8i64", WORDS, bits)), total)


def _added_up(builder, totals):
    """Of eight vectors the vector of their sums, neighbours first, then pairs, then fours.

    Of four vectors that of the sums of their lower halves and then their upper ones.
    """
    width = 1
    while len(totals) > 1:
        low = [
            side + base + lane
            for base in range(0, ROWS, 2 * width)
            for side in (0, ROWS)
            for lane in range(width)
        ]
        halves = [ir.Constant(COUNTS, [place + off for place in low]) for off in (0, width)]
        totals = [
            builder.add(*(builder.shuffle_vector(a, b, half) for half in halves))
            for a, b in zip(totals[::2], totals[1::2], strict=True)
        ]
        width *= 2
    return totals[0]


def _add_vectors(builder, rows, query, whole, left, sums):
    """Count the first `whole` bytes, and the `left` words behind them in a vector that is not full."""
    zeros = ir.Constant(WORDS, [0] * ROWS)
    totals = [cgutils.alloca_once_value(builder, zeros) for _ in rows]

    def add(place, mask):
        asked = _loaded(builder, query, place, WORDS, mask)
        for row, total in zip(rows, totals, strict=True):
            _count_into(builder, total, builder.xor(_loaded(builder, row, place, WORDS, mask), asked))

    with cgutils.for_range(builder, builder.udiv(whole, INT64(WHOLE))) as loop:
        add(builder.mul(loop.index, INT64(WHOLE)), None)
    with builder.if_then(builder.icmp_unsigned(">", left, INT64(0))):
        add(whole, _below(builder, WORDS, left))
    builder.store(_added_up(builder, [builder.load(total) for total in totals]), sums)


def _add_half(builder, rows, query, place, words, sums):
    """Count the last words, at most half a vector of them, of two rows in one vector."""
    mask = _below(builder, HALF, words)
    asked = _loaded(builder, query, place, HALF, mask)
    asked = _joined(builder, asked, asked)
    totals = []
    for low, high in zip(rows[: ROWS // 2], rows[ROWS // 2 :], strict=True):
        pair = _joined(builder, *(_loaded(builder, row, place, HALF, mask) for row in (low, high)))
        totals.append(called(builder, "llvm.ctpop.v8i64", WORDS, builder.xor(pair, asked)))
    builder.store(builder.add(builder.load(sums), _added_up(builder, totals)), sums)


def _add_byte(builder, rows, query, place, sums):
    """Count one byte of each row."""
    asked = builder.load(builder.gep(query, [place]))
    found = builder.load(sums)
    for number, row in enumerate(rows):
        differing = builder.xor(builder.load(builder.gep(row, [place])), asked)
        bits = builder.zext(called(builder, "llvm.ctpop.i8", INT8, differing), INT64)
        so_far = builder.extract_element(found, INT32(number))
        found = builder.insert_element(found, builder.add(so_far, bits), INT32(number))
    builder.store(found, sums)


def _least_of_eight(context, builder, signature, args):
    """`differing_bits_loop`: by vectors of words, then the last words of two rows at a time, then bytes."""
    kinds = signature.args
    _, places = row_pointer(context, builder, kinds[0], args[0], kinds[1], args[1])
    _, query = row_pointer(context, builder, kinds[3], args[3], types.uint64, INT64(0))
    _, counts = row_pointer(context, builder, kinds[4], args[4], types.uint64, INT64(0))
    starts = builder.bitcast(places, INT64.as_pointer())
    rows = [
        builder.inttoptr(builder.load(builder.gep(starts, [INT64(number)])), INT8.as_pointer())
        for number in range(ROWS)
    ]
    sums = cgutils.alloca_once_value(builder, ir.Constant(WORDS, [0] * ROWS))
    size = args[2]
    whole = builder.and_(size, INT64(-WHOLE))
    words = builder.udiv(builder.sub(size, whole), INT64(8))
    few = builder.icmp_unsigned("<=", words, INT64(ROWS // 2))
    left = builder.select(few, INT64(0), words)
    with builder.if_then(builder.icmp_unsigned(">", builder.add(whole, left), INT64(0))):
        _add_vectors(builder, rows, query, whole, left, sums)
    with builder.if_then(builder.and_(few, builder.icmp_unsigned(">", words, INT64(0)))):
        _add_half(builder, rows, query, whole, words, sums)
    done = builder.and_(size, INT64(-8))
    with cgutils.for_range(builder, builder.sub(size, done)) as loop:
        _add_byte(builder, rows, query, builder.add(done, loop.index), sums)
    found = builder.trunc(builder.load(sums), COUNTS)
    builder.store(found, builder.bitcast(counts, COUNTS.as_pointer()), align=4)
    return called(builder, "llvm.vector.reduce.smin.v8i32", INT32, found)


@intrinsic
def _differing_bits(typingctx, addresses, first, size, query, counts):  # noqa: ARG001
    """`differing_bits_loop` from vector instructions."""
    return types.int32(addresses, types.uint64, types.int64, query, counts), _least_of_eight


differing_bits = differing_bits_loop if config.DISABLE_JIT else _differing_bits


@kernel
def find_rows(vectors, candidates, listed, low, high, addresses):
    """Write the addresses of the rows [low, high), or of those of `candidates`; eights are filled up with the last."""
    size = row_bytes(vectors)
    chunk = np.uint64(0)
    if listed:
        for j in range(low, high):
            slot = np.int64(candidates[np.uint64(j)])
            chunk = array_with(vectors, chunk, slot)
            addresses[np.uint64(j - low)] = address_in(vectors, chunk, slot, size)
    else:
        done = low
        while done < high:
            chunk = chunk_of(vectors, done)
            stop = min(high, vectors[chunk + np.uint64(1), 0])
            start = address_in(vectors, chunk, done, size)
            for j in range(stop - done):
                addresses[np.uint64(done - low + j)] = start + j * size
            done = stop
    for j in range(high - low, -(-(high - low) // ROWS) * ROWS):
        addresses[np.uint64(j)] = addresses[np.uint64(j - 1)]


@kernel
def scan_bits(vectors, queries, start, stop, candidates, listed, slots, distances):
    """`exact_scan` of vectors of bits: queries uint8 (m, d / 8), distances of Hamming."""
    k = slots.shape[1]
    distances[:] = np.inf
    slots[:] = UNFILLED
    first = 0 if listed else start
    last = candidates.shape[0] if listed else stop
    size = row_bytes(vectors)
    block = min(max(ROWS, BLOCK_BYTES // size), MOST_ROWS)
    addresses = np.empty(-(-block // ROWS) * ROWS, np.int64)
    counts = np.empty(ROWS, np.int32)
    for low in range(first, last, block):
        high = min(low + block, last)
        find_rows(vectors, candidates, listed, low, high, addresses)
        for i in range(queries.shape[0]):
            best, of_best = distances[i], slots[i]
            query = queries[i]
            for j in range(0, high - low, ROWS):
                least = np.float32(differing_bits(addresses, np.uint64(j), size, query, counts))
                if least > best[0] or (least == best[0] and not listed):
                    continue  # slots that are not listed ascend: of two as near the first stays
                for place in range(low + j, min(low + j + ROWS, high)):
                    slot = np.int64(candidates[np.uint64(place)]) if listed else np.int64(place)
                    value = np.float32(counts[np.uint64(place - low - j)])
                    if value < best[0] or (value == best[0] and slot < of_best[0]):
                        sift_down(best, of_best, k, value, slot)
    in_order(HAMMING, slots, distances)
