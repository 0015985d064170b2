"""Distances in float32, and the 8-bit codes that stand for vectors on the walk.

A code is a = clip(rint(y / step) + 128, 0, 255) of y = x - centre, or y = (x - centre) @ axes where only the axes
that matter are kept (vego/index/projection.py), with x the normalised vector under cosine; the signed code is
b = a - 128. For every metric the walk ranks by `bias[v] - 2 * agreement` (vego/index/kernels/agreement.py), in exact
int32 up to 32,768 dimensions; adding an offset of q makes it comparable between different q:
  l2, cosine   bias = sum a (a - 256),  offset = sum a^2:         the squared distance of the two codes
  ip           bias = 0,                offset = 256 * sum a:     -2 * sum b_v b_q and a constant  (its centre is 0)
  l1           bias = offset = sum b:                             the distance of the two codes; rows hold b
  hamming      bias = offset = bits that are set:                 the distance; a code is the row in words of 64 bits
Where axes are left out, a share of the squared length left out of a row is part of both its bias and its offset.
So the offset is bias + 256 * sum a where codes are a, and the bias where they are not: it is not kept.

`vectors` and `inverse_norms` are the tables of vego/index/kernels/rows.py.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel, kernel
from vego.index.kernels.on_axes import STRIP, TOGETHER, axis_products
from vego.index.kernels.rows import chunk_of, norm_at, vector_at
from vego.index.kernels.scoring import ABSOLUTES, PRODUCTS, SQUARES, as_written

L2, COSINE, INNER_PRODUCT, L1, HAMMING = 0, 1, 2, 3, 4
MOST_LEFT_OUT = 1 << 28  # in squared steps: a bias stays an int32


@distance_kernel
def inverse_norm(vector):
    """1 / |vector| as float32, and 0 for a zero vector."""
    total = np.float32(0)
    for j in range(vector.shape[0]):
        total += vector[j] * vector[j]
    if total > np.float32(0):
        return np.float32(1) / np.sqrt(total)
    return np.float32(0)


@kernel
def operation_of(metric):
    """What `row_sum` is to sum."""
    if metric == L2:
        return np.int64(SQUARES)
    return np.int64(ABSOLUTES) if metric == L1 else np.int64(PRODUCTS)


@kernel
def rank_value(metric, total, inverse_norm, query_inverse):
    """What a row ranks by, of `row_sum`: the same bits from the same numbers, whatever kernel this becomes part of.

    Three factors would be multiplied in one order here and in another there.
    """
    if metric == L2:
        return total
    if metric == COSINE:
        return np.float32(1) - total * as_written(inverse_norm * query_inverse)
    return -total if metric == INNER_PRODUCT else total


@distance_kernel
def reported_distance(metric, value):
    """The distance users see: the square root under l2, the rank value (the distance, or -dot) itself otherwise."""
    return np.sqrt(value) if metric == L2 else value


@distance_kernel
def encode_whole(metric, query, inverse, centre, inverse_step, out):
    """`encode_queries` of one query where all dimensions are kept."""
    if metric == HAMMING:
        bits = out.view(np.uint8)
        for j in range(query.shape[0]):
            bits[j] = np.uint8(query[j])
        for j in range(query.shape[0], bits.shape[0]):
            bits[j] = np.uint8(0)
        return
    scale = inverse_step
    if metric == INNER_PRODUCT:  # only the order matters, so the query brings a scale of its own
        peak = np.float32(0)
        for j in range(query.shape[0]):
            peak = max(peak, abs(query[j]))
        scale = np.float32(127) / peak if peak > np.float32(0) else np.float32(0)
    for j in range(query.shape[0]):
        level = np.rint((query[j] * inverse - centre[j]) * scale)
        out[j] = np.int8(min(max(level, np.float32(-128)), np.float32(127)))
    for j in range(query.shape[0], out.shape[0]):
        out[j] = np.int8(0)


@distance_kernel
def encode_on_axes(queries, inverses, frame, inverse_step, codes):
    """`encode_queries` where axes are kept, by products of 8-bit axes with queries in 8 bits.

    What that rounds away is about as much as the rounding of the code to come.
    """
    centre, steps, axes = frame
    width = steps.shape[0]
    strips = -(-width // STRIP)
    together = TOGETHER if queries.shape[0] > 1 else 1
    levels = np.zeros((together, 4 * axes.shape[0] // strips), np.int8)
    products = np.empty((together, STRIP * strips), np.int32)
    totals = np.empty(together, np.int32)
    scales = np.empty(together, np.float32)
    for first in range(0, queries.shape[0], TOGETHER):
        count = min(TOGETHER, queries.shape[0] - first)
        for i in range(count):
            query, inverse, row = queries[first + i], inverses[first + i], levels[i]
            # The bits of what is not negative are in the order of its values, and vectors have a maximum.
            bits = np.int32(0)
            for j in range(query.shape[0]):
                bits = max(bits, np.float32(abs(query[j] * inverse - centre[j])).view(np.int32))
            peak = np.int32(bits).view(np.float32)
            scale = np.float32(127) / peak if peak > np.float32(0) else np.float32(0)
            total = np.int32(0)
            for j in range(query.shape[0]):
                row[j] = np.int8(np.rint((query[j] * inverse - centre[j]) * scale))
                total += np.int32(row[j])
            totals[i] = 128 * total
            scales[i] = inverse_step / scale if scale > np.float32(0) else np.float32(0)
        for strip in range(strips):
            axis_products(axes, strip, levels, products)
        for i in range(count):
            found, code = products[i], codes[first + i]
            for j in range(width):
                level = np.rint(np.float32(found[j] - totals[i]) * (steps[j] * scales[i]))
                code[j] = np.int8(min(max(level, np.float32(-128)), np.float32(127)))
            for j in range(width, code.shape[0]):
                code[j] = np.int8(0)


@distance_kernel
def encode_queries(metric, queries, frame, inverse_step, codes, inverses):
    """Write the codes of queries (m, d), in that role, to codes[:m], padded with 0; inverse norms to inverses[:m].

    `frame` is `CodeScale.frame`. Under hamming a query is its own code: uint8 (n,) in words of 64 bits.
    """
    for i in range(queries.shape[0]):
        inverses[i] = inverse_norm(queries[i]) if metric == COSINE else np.float32(1)
    if frame[2].shape[0] > 0:
        encode_on_axes(queries, inverses, frame, inverse_step, codes)
        return
    for i in range(queries.shape[0]):
        encode_whole(metric, queries[i], inverses[i], frame[0], inverse_step, codes[i])


@distance_kernel
def encode_query(metric, query, frame, inverse_step, out):
    """`encode_queries` of one query (d,) to `out`; returns its inverse norm."""
    inverses = np.empty(1, np.float32)
    encode_queries(metric, query.reshape(1, -1), frame, inverse_step, out.reshape(1, -1), inverses)
    return inverses[0]


@kernel
def bias_of_levels(code, width):
    """The sum of a (a - 256) over the first `width` levels a of a code (u8)."""
    total = np.int64(0)
    for j in range(width):
        total += np.int64(code[j]) * (np.int64(code[j]) - 256)
    return total


@distance_kernel
def encode_rows(metric, vectors, inverse_norms, start, stop, centre, inverse_step, codes, bias):
    """Write codes (u8, padded with 0) and bias (int32) of the slots [start, stop)."""
    dimension = centre.shape[0]
    for slot in range(start, stop):
        chunk = chunk_of(vectors, slot)
        row = vector_at(vectors, chunk, slot, dimension)
        code = codes[np.uint32(slot)]
        inverse = norm_at(vectors, inverse_norms, chunk, slot) if metric == COSINE else np.float32(1)
        for j in range(dimension):
            level = np.rint((row[j] * inverse - centre[j]) * inverse_step) + np.float32(128)
            code[j] = np.uint8(min(max(level, np.float32(0)), np.float32(255)))
        for j in range(dimension, code.shape[0]):
            code[j] = np.uint8(0)
        bias[slot] = 0 if metric == INNER_PRODUCT else bias_of_levels(code, dimension)


@distance_kernel
def encode_reduced(reduced, left_out, inverse_step, codes, bias):
    """`encode_rows` of rows that are on the axes already (n, width), as `CodeScale.reduced` gives them.

    `left_out` (n,) is what counts of the squared length that the axes left out. What codes have behind `width` stays.
    """
    for slot in range(reduced.shape[0]):
        row = reduced[np.uint32(slot)]
        code = codes[np.uint32(slot)]
        for j in range(row.shape[0]):
            level = np.rint(row[j] * inverse_step) + np.float32(128)
            code[j] = np.uint8(min(max(level, np.float32(0)), np.float32(255)))
        rest = min(left_out[slot] * inverse_step * inverse_step, np.float32(MOST_LEFT_OUT))
        bias[slot] = bias_of_levels(code, row.shape[0]) + np.int64(np.rint(rest))
