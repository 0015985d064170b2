"""Distances in float32, and the 8-bit codes that stand for vectors on the walk.

A code is a = clip(rint((x - centre) / step) + 128, 0, 255), with x the normalised vector under cosine; the
signed code is b = a - 128. For every metric the walk ranks by `bias[v] - 2 * dot(a_v, b_q)`, in exact int32
up to 32,768 dimensions; adding `offset[q]` makes it comparable between different q:
  l2, cosine   bias = sum a (a - 256),  offset = sum a^2:         the squared distance of the two codes
  ip           bias = 0,                offset = 256 * sum b:     -2 * sum b_v b_q    (its centre is 0)
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel
from vego.index.kernels.scoring import row_address, row_sum

L2, COSINE, INNER_PRODUCT = 0, 1, 2


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
    total = row_sum(metric != L2, row_address(vectors, np.uint32(slot)), query)
    if metric == L2:
        return total
    if metric == COSINE:
        return np.float32(1) - total * (inverse_norms[np.uint32(slot)] * query_inverse)
    return -total


@distance_kernel
def reported_distance(metric, value):
    """The distance users see: the square root under l2, the rank value itself otherwise."""
    return np.sqrt(value) if metric == L2 else value


@distance_kernel
def encode_query(metric, query, centre, inverse_step, out):
    """Write the signed code of one query to `out` (i8, padded with 0) and return its inverse norm."""
    inverse = np.float32(1)
    if metric == COSINE:
        inverse = inverse_norm(query)
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
