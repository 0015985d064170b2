"""The scan of given slots by their codes, the best re-ranked exactly, and whether the codes could tell them apart."""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.agreement import query_rows
from vego.index.kernels.distance import COSINE, HAMMING, INNER_PRODUCT, L1, encode_query
from vego.index.kernels.hnsw_search import rerank_pool
from vego.index.kernels.intrinsics import prefetch
from vego.index.kernels.walk import WORST, insert, key_of

AHEAD = 8  # rows asked for ahead of the one being scored
ERRORS = 4  # standard errors that the worst of the pool must be behind the k-th


@kernel
def marked_rows(accept, start, stop, rows):
    """Write the numbers from `start` to `stop` that `accept` marks to `rows`, which has room for one more."""
    count = np.uint64(0)
    words = (stop - start) // 8
    eights = accept[start : start + 8 * words].view(np.uint64)
    for i in range(words):
        if eights[np.uint64(i)] == 0:
            continue
        first = np.uint64(start + 8 * i)
        for j in range(8):
            slot = first + np.uint64(j)
            rows[count] = slot  # without a branch: which rows match cannot be foretold
            count += np.uint64(accept[slot])
    for slot in range(start + 8 * words, stop):
        rows[count] = slot
        count += np.uint64(accept[np.uint64(slot)])


@kernel
def code_error(metric, code, dimension, key):
    """Standard error of a distance by codes, from rounding both vectors: sigma^2 = 1/12 in each component of each.

    The square of the two together has a variance of 7/180 of its own, which is all there is where codes are equal.
    Their absolute difference has at most that of the difference, 1/6.
    """
    if metric == HAMMING:
        return np.float64(0)
    if metric == L1:
        return np.sqrt(dimension / 6)
    total = np.float64(0)
    for j in range(dimension):
        level = np.float64(code[j]) + (0 if metric == INNER_PRODUCT else 128)
        total += level * level
    if (
        metric == INNER_PRODUCT
    ):  # of 2 dot; the rows' own squares are not at hand, so half the range stands for them
        return 2 * np.sqrt((total + 4096 * dimension) / 12)
    return np.sqrt(max(np.float64(key >> 32) + total, 0) * (2 / 3) + dimension * (7 / 180))


@kernel
def steps_in(metric, inverse_step):
    """How many squared steps of the codes a unit of rank value is."""
    return np.float64(inverse_step) * np.float64(inverse_step) * (2 if metric == COSINE else 1)


@kernel
def best_codes(codes, bias, code, candidates, pool):
    """Fill the pool with the nearest of `candidates` (uint32, no repeats) by their codes; returns how many it holds."""
    total, limit = candidates.shape[0], pool.shape[0]
    for i in range(min(AHEAD, total)):
        prefetch(codes, candidates[i])
    count = np.int64(0)
    worst = WORST
    for i in range(total):
        if i + AHEAD < total:
            prefetch(codes, candidates[i + AHEAD])
        key = key_of(codes, bias, candidates[i], code)
        if key < worst:
            insert(pool, count, limit, key)
            count = min(count + 1, limit)
            if count == limit:
                worst = pool[count - 1]
    return count


@kernel
def scan_slots(
    metric, vectors, inverse_norms, codes, bias, frame, inverse_step,
    candidates, query, rerank, slots, distances,
):  # fmt: skip
    """k nearest of one query among `candidates` (uint32, no repeats): all by code, the best in float32.

    Returns whether the codes set the best apart from the rest. Where they do not, as for a query that is far from all
    candidates, the k nearest may not be among those that were scored exactly.
    """
    code = query_rows(codes, 1)
    pool = np.empty(rerank, np.int64)
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    inverse = encode_query(metric, query, frame, inverse_step, code[0])
    count = best_codes(codes, bias, code, candidates, pool)
    measured = rerank_pool(
        metric, vectors, inverse_norms, query, inverse, steps_in(metric, inverse_step), pool, count,
        slots, distances, exact, order,
    )  # fmt: skip
    if count == candidates.shape[0]:
        return True
    last = pool[min(slots.shape[0], count) - 1]
    on_axes = frame[1].shape[0]
    error = code_error(metric, code[0], on_axes if on_axes > 0 else query.shape[0], last)
    if on_axes > 0:  # what those left out of row and query has in common is no rounding, so it is measured
        error = max(error, measured)
    return (pool[count - 1] >> 32) - (last >> 32) >= ERRORS * error
