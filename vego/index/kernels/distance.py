"""Distances in float32, and the 8-bit codes that stand for vectors on the walk.

A code is a = clip(rint(y / step) + 128, 0, 255) of y = x - centre, or y = (x - centre) @ axes where only the axes
that matter are kept (vego/index/projection.py), with x the normalised vector under cosine; the signed code is
b = a - 128. For every metric the walk ranks by `bias[v] - 2 * dot(a_v, b_q)`, in exact int32
up to 32,768 dimensions; adding `offset[q]` makes it comparable between different q:
  l2, cosine   bias = sum a (a - 256),  offset = sum a^2:         the squared distance of the two codes
  ip           bias = 0,                offset = 256 * sum b:     -2 * sum b_v b_q    (its centre is 0)
Where axes are left out, a share of the squared length left out of a row is part of both its bias and its offset.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel

L2, COSINE, INNER_PRODUCT = 0, 1, 2
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


@distance_kernel
def exact_distance(metric, vectors, inverse_norms, slot, query, query_inverse):
    """Rank value of one row: squared distance (l2), 1 - cosine, or -dot; see `reported_distance`."""
    row = vectors[np.uint32(slot)]
    total = np.float32(0)
    if metric == L2:
        for j in range(query.shape[0]):
            difference = row[j] - query[j]
            total += difference * difference
        return total
    for j in range(query.shape[0]):
        total += row[j] * query[j]
    if metric == COSINE:
        return np.float32(1) - total * (inverse_norms[np.uint32(slot)] * query_inverse)
    return -total


@distance_kernel
def reported_distance(metric, value):
    """The distance users see: the square root under l2, the rank value itself otherwise."""
    return np.sqrt(value) if metric == L2 else value


@distance_kernel
def project(queries, start, stop, frame, out):
    """Write queries[start:stop] @ frame[1:] to out[: stop - start] (float32), each row of the frame read once for all.

    Four rows at a time, so that sums are read and written a quarter as often.
    """
    dimension = queries.shape[1]
    out[:] = np.float32(0)
    whole = dimension & ~3
    for i in range(0, whole, 4):
        at = np.uint32(i)
        a, b = frame[at + np.uint32(1)], frame[at + np.uint32(2)]
        c, d = frame[at + np.uint32(3)], frame[at + np.uint32(4)]
        for n in range(stop - start):
            query, row = queries[np.uint32(start + n)], out[np.uint32(n)]
            q, r, s, t = (
                query[at],
                query[at + np.uint32(1)],
                query[at + np.uint32(2)],
                query[at + np.uint32(3)],
            )
            for j in range(row.shape[0]):
                row[j] += q * a[j] + r * b[j] + s * c[j] + t * d[j]
    for i in range(whole, dimension):
        a = frame[np.uint32(i + 1)]
        for n in range(stop - start):
            row = out[np.uint32(n)]
            q = queries[np.uint32(start + n), np.uint32(i)]
            for j in range(row.shape[0]):
                row[j] += q * a[j]


@distance_kernel
def encode_projected(metric, query, projected, frame, inverse_step, out):
    """`encode_query` of a query that `project` has put on the axes."""
    inverse = inverse_norm(query) if metric == COSINE else np.float32(1)
    centre = frame[0]
    for j in range(out.shape[0]):
        level = np.rint((projected[j] * inverse - centre[j]) * inverse_step)
        out[j] = np.int8(min(max(level, np.float32(-128)), np.float32(127)))
    return inverse


@distance_kernel
def encode_query(metric, query, frame, inverse_step, out):
    """Write the signed code of one query to `out` (i8, padded with 0) and return its inverse norm.

    `frame` is `CodeScale.frame`: a centre (1, d), or the centre on the axes and the axes (1 + d, width).
    """
    if frame.shape[0] > 1:
        projected = np.empty((1, frame.shape[1]), np.float32)
        project(query.reshape(1, query.shape[0]), 0, 1, frame, projected)
        return encode_projected(metric, query, projected[0], frame, inverse_step, out)
    inverse = np.float32(1)
    if metric == COSINE:
        inverse = inverse_norm(query)
    scale = inverse_step
    centre = frame[0]
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
    return inverse


@distance_kernel
def encode_rows(metric, vectors, inverse_norms, start, stop, centre, inverse_step, codes, bias, offset):
    """Write codes (u8, padded with 0), bias and offset (int32) of the slots [start, stop)."""
    dimension = vectors.shape[1]
    for slot in range(start, stop):
        row = vectors[np.uint32(slot)]
        code = codes[np.uint32(slot)]
        inverse = inverse_norms[np.uint32(slot)] if metric == COSINE else np.float32(1)
        for j in range(dimension):
            level = np.rint((row[j] * inverse - centre[j]) * inverse_step) + np.float32(128)
            code[j] = np.uint8(min(max(level, np.float32(0)), np.float32(255)))
        for j in range(dimension, code.shape[0]):
            code[j] = np.uint8(0)
        total = np.int64(0)
        squares = np.int64(0)
        for j in range(dimension):
            total += np.int64(code[j])
            squares += np.int64(code[j]) * np.int64(code[j])
        if metric == INNER_PRODUCT:
            bias[slot] = 0
            offset[slot] = 256 * total - 32768 * dimension
        else:
            bias[slot] = squares - 256 * total
            offset[slot] = squares


@distance_kernel
def encode_reduced(reduced, left_out, inverse_step, codes, bias, offset):
    """`encode_rows` of rows that are on the axes already (n, width), as `CodeScale.reduced` gives them.

    `left_out` (n,) is what counts of the squared length that the axes left out.
    """
    for slot in range(reduced.shape[0]):
        row = reduced[np.uint32(slot)]
        code = codes[np.uint32(slot)]
        for j in range(row.shape[0]):
            level = np.rint(row[j] * inverse_step) + np.float32(128)
            code[j] = np.uint8(min(max(level, np.float32(0)), np.float32(255)))
        total = np.int64(0)
        squares = np.int64(0)
        for j in range(row.shape[0]):
            total += np.int64(code[j])
            squares += np.int64(code[j]) * np.int64(code[j])
        rest = min(left_out[slot] * inverse_step * inverse_step, np.float32(MOST_LEFT_OUT))
        squares += np.int64(np.rint(rest))
        bias[slot] = squares - 256 * total
        offset[slot] = squares
