"""Search by codes and exact re-ranking: the graph walk. Under a mask: hnsw_filtered.py; a scan of codes: code_scan.py.

One call answers any number of queries: it encodes the query, descends, walks layer 0, scores the `rerank`
nearest in float32 and writes the k best, ascending by (distance, slot), padded with -1 and infinity.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel, kernel
from vego.index.kernels.agreement import query_rows
from vego.index.kernels.distance import COSINE, encode_queries, operation_of, rank_value, reported_distance
from vego.index.kernels.rows import (
    address_in,
    array_with,
    kind_of,
    norm_at,
    prefetch_norm,
    prefetch_row,
    row_bytes,
)
from vego.index.kernels.scoring import row_sum
from vego.index.kernels.walk import (
    OLDEST_FIRST,
    descend,
    seen_table,
    slot_of,
    walk,
)

ENCODED = 16  # queries at a time
AHEAD = 6  # rows asked for ahead of the one being scored


@distance_kernel
def write_found(metric, exact, order, count, slots, distances):
    """Turn ascending rank values and their slots into results, padded with -1 and infinity."""
    for i in range(slots.shape[0]):
        if i < count:
            slots[i] = order[i]
            distances[i] = reported_distance(metric, exact[i])
        else:
            slots[i] = -1
            distances[i] = np.inf


@distance_kernel
def rerank_pool(
    metric, vectors, inverse_norms, query, query_inverse, scale, pool, count, slots, distances, exact, order
):
    """Score pool[:count] in float32 and write the best len(slots); exact and order are scratch.

    Returns the standard deviation of the rank values, times `scale`, from those of the pool.
    """
    size, kind, operation = row_bytes(vectors), kind_of(vectors), operation_of(metric)
    chunk = ahead = np.uint64(0)  # the arrays that the last rows were in
    summed = squares = np.float64(0)
    for i in range(-AHEAD, count):
        if i + AHEAD < count:
            slot = slot_of(pool[np.uint64(i + AHEAD)])
            ahead = array_with(vectors, ahead, slot)
            prefetch_row(vectors, ahead, slot, size)
            if metric == COSINE:
                prefetch_norm(vectors, inverse_norms, ahead, slot)
        if i < 0:
            continue
        slot = slot_of(pool[np.uint64(i)])
        chunk = array_with(vectors, chunk, slot)
        # No kernel of its own: see kernels/scoring.py for what a call with arrays costs.
        total = row_sum(operation, kind, address_in(vectors, chunk, slot, size), query)
        inverse = norm_at(vectors, inverse_norms, chunk, slot) if metric == COSINE else np.float32(1)
        value = rank_value(metric, total, inverse, query_inverse)
        off = np.float64(value) * scale - np.float64(pool[np.uint64(i)] >> 32)
        summed += off
        squares += off * off
        place = i
        while place > 0 and (
            exact[place - 1] > value or (exact[place - 1] == value and order[place - 1] > slot)
        ):
            exact[place] = exact[place - 1]
            order[place] = order[place - 1]
            place -= 1
        exact[place] = value
        order[place] = slot
    write_found(metric, exact, order, count, slots, distances)
    mean = summed / max(count, 1)
    return np.sqrt(max(squares / max(count, 1) - mean * mean, 0))


@kernel
def search_graph(
    metric, vectors, inverse_norms, codes, bias, links, upper, upper_start, frame, inverse_step,
    rows, entry, top, queries, ef, rerank, slots, distances,
):  # fmt: skip
    """k nearest of each query by the graph, to slots int64 (m, k) and distances float32 (m, k).

    Returns how many nodes of layer 0 were scored for all of them.
    """
    encoded = query_rows(codes, ENCODED)
    inverses = np.empty(ENCODED, np.float32)
    pool = np.empty(ef, np.int64)
    fresh = np.empty(links.shape[1] + 1, np.int64)
    seen = seen_table(ef)
    total = 0
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    for i in range(queries.shape[0]):
        place = i % ENCODED
        if place == 0:
            encode_queries(metric, queries[i : i + ENCODED], frame, inverse_step, encoded, inverses)
        code = encoded[place : place + 1]
        seed = descend(codes, bias, upper, upper_start, rows, code, entry, top, 0)
        count, scored = walk(
            codes, bias, links, upper_start, 0, rows, code, seed, ef, OLDEST_FIRST, seen, pool, fresh
        )
        total += scored
        count = min(count, rerank)
        rerank_pool(
            metric, vectors, inverse_norms, queries[i], inverses[place], np.float64(0), pool, count, slots[i],
            distances[i], exact, order,
        )  # fmt: skip
    return total
