"""Search by codes and exact re-ranking: the graph walk, the walk under a mask, and the scan of given slots.

One call answers any number of queries: it encodes the query, descends, walks layer 0, scores the `rerank`
nearest in float32 and writes the k best, ascending by (distance, slot), padded with -1 and infinity.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel, kernel
from vego.index.kernels.distance import encode_query, exact_distance, reported_distance
from vego.index.kernels.intrinsics import prefetch
from vego.index.kernels.rows import prefetch_vector
from vego.index.kernels.walk import (
    EXPANDED,
    NONE,
    SLOT_MASK,
    WORST,
    descend,
    insert,
    key_of,
    next_stamp,
    walk,
)

AHEAD = 8  # rows asked for ahead of the one being scored


@distance_kernel
def rerank_pool(
    metric, vectors, inverse_norms, query, query_inverse, pool, count, slots, distances, exact, order
):
    """Score pool[:count] in float32 and write the best len(slots); exact and order are scratch."""
    for i in range(count):
        prefetch_vector(vectors, pool[i] & SLOT_MASK, query.shape[0])
    for i in range(count):
        slot = pool[i] & SLOT_MASK
        value = exact_distance(metric, vectors, inverse_norms, slot, query, query_inverse)
        place = i
        while place > 0 and (
            exact[place - 1] > value or (exact[place - 1] == value and order[place - 1] > slot)
        ):
            exact[place] = exact[place - 1]
            order[place] = order[place - 1]
            place -= 1
        exact[place] = value
        order[place] = slot
    for i in range(slots.shape[0]):
        if i < count:
            slots[i] = order[i]
            distances[i] = reported_distance(metric, exact[i])
        else:
            slots[i] = -1
            distances[i] = np.inf


@kernel
def search_graph(
    metric, vectors, inverse_norms, codes, bias, links, upper, upper_start, frame, inverse_step,
    rows, entry, top, queries, ef, rerank, stamps, slots, distances,
):  # fmt: skip
    """k nearest of each query by the graph, to slots int64 (m, k) and distances float32 (m, k)."""
    code = np.empty((1, codes.shape[1]), np.int8)
    pool = np.empty(ef, np.int64)
    fresh = np.empty(links.shape[1] + 1, np.int64)
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    for i in range(queries.shape[0]):
        query = queries[i]
        inverse = encode_query(metric, query, frame, inverse_step, code[0])
        seed = descend(codes, bias, upper, upper_start, rows, code, 0, entry, top, 0)
        stamp = next_stamp(stamps)
        count = walk(codes, bias, links, upper_start, 0, rows, code, 0, seed, ef, stamps, stamp, pool, fresh)
        count = min(count, rerank)
        rerank_pool(
            metric, vectors, inverse_norms, query, inverse, pool, count, slots[i], distances[i], exact, order
        )


@kernel
def walk_accepted(
    codes, bias, links, rows, queries, query_row, seed, accept, budget, stamps, stamp, pool, fresh, best
):  # fmt: skip
    """`walk` of layer 0 through all nodes that keeps only accepted ones, in `best`; returns how many.

    Returns -1 when more than `budget` nodes would be scored; `pool` has room for so many keys.
    """
    limit = best.shape[0]
    taken = 0
    pool[0] = key_of(codes, bias, seed, queries, query_row)
    stamps[seed] = stamp
    if accept[seed]:
        best[0] = pool[0]
        taken = 1
    count = 1
    current = 0
    while current < count and (taken < limit or pool[current] <= best[limit - 1]):
        node = np.uint32(pool[current] & SLOT_MASK)
        pool[current] |= EXPANDED
        row = links[node]
        found = 0
        for j in range(row.shape[0]):
            slot = row[j]
            if slot == NONE:
                break
            if slot < rows and stamps[slot] != stamp:
                stamps[slot] = stamp
                fresh[found] = slot
                found += 1
                prefetch(codes, slot)
        if count + found > budget:
            return -1
        lowest = count
        for j in range(found):
            key = key_of(codes, bias, fresh[j], queries, query_row)
            if taken < limit or key < best[limit - 1]:
                lowest = min(lowest, insert(pool, count, budget, key))
                count += 1
                if accept[fresh[j]]:
                    insert(best, taken, limit, key)
                    taken = min(taken + 1, limit)
        current = min(lowest, current + 1)
        while current < count and pool[current] & EXPANDED:
            current += 1
    return taken


@kernel
def search_accepted(
    metric, vectors, inverse_norms, codes, bias, links, upper, upper_start, frame, inverse_step,
    rows, entry, top, queries, ef, rerank, accept, budget, stamps, slots, distances, complete,
):  # fmt: skip
    """`search_graph` among the slots with accept[slot]; complete[i] is False where the budget ran out."""
    code = np.empty((1, codes.shape[1]), np.int8)
    pool = np.empty(budget, np.int64)
    best = np.empty(ef, np.int64)
    fresh = np.empty(links.shape[1], np.uint32)
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    for i in range(queries.shape[0]):
        query = queries[i]
        inverse = encode_query(metric, query, frame, inverse_step, code[0])
        seed = descend(codes, bias, upper, upper_start, rows, code, 0, entry, top, 0)
        stamp = next_stamp(stamps)
        count = walk_accepted(
            codes, bias, links, rows, code, 0, seed, accept, budget, stamps, stamp, pool, fresh, best
        )
        complete[i] = count >= 0
        count = min(max(count, 0), rerank)
        rerank_pool(
            metric, vectors, inverse_norms, query, inverse, best, count, slots[i], distances[i], exact, order
        )


@kernel
def scan_slots(
    metric, vectors, inverse_norms, codes, bias, frame, inverse_step,
    candidates, query, rerank, slots, distances,
):  # fmt: skip
    """k nearest of one query among `candidates` (uint32, no repeats): all by code, the best in float32."""
    code = np.empty((1, codes.shape[1]), np.int8)
    pool = np.empty(rerank, np.int64)
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    inverse = encode_query(metric, query, frame, inverse_step, code[0])
    total = candidates.shape[0]
    for i in range(min(AHEAD, total)):
        prefetch(codes, candidates[i])
    count = 0
    worst = WORST
    for i in range(total):
        if i + AHEAD < total:
            prefetch(codes, candidates[i + AHEAD])
        key = key_of(codes, bias, candidates[i], code, 0)
        if key < worst:
            insert(pool, count, rerank, key)
            count = min(count + 1, rerank)
            if count == rerank:
                worst = pool[count - 1]
    rerank_pool(metric, vectors, inverse_norms, query, inverse, pool, count, slots, distances, exact, order)
