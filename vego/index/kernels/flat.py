"""Exact search: every row scored in float32, the k best of each query kept in a heap as they come.

Rows are taken in blocks that stay in the second-level cache while all queries pass over them. Ties go to the
smaller slot. The heap of a query lies in its row of the results: greatest (distance, slot) at index 0.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel, kernel
from vego.index.kernels.distance import COSINE, inverse_norm, operation_of, rank_value, reported_distance
from vego.index.kernels.rows import address_in, array_with, norm_at, row_bytes
from vego.index.kernels.scoring import streamed_sum

BLOCK_BYTES = 1 << 18
AHEAD = 2048  # bytes of rows that are asked for before they are read: the processor alone is late by a third
UNFILLED = (1 << 63) - 1


@kernel
def sift_down(distances, slots, size, distance, slot):
    """Put (distance, slot) in place of the top of the heap [:size]."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            distances[other] > distances[child]
            or (distances[other] == distances[child] and slots[other] > slots[child])
        ):
            child = other
        if distance > distances[child] or (distance == distances[child] and slot > slots[child]):
            break
        distances[place] = distances[child]
        slots[place] = slots[child]
        place = child
    distances[place] = distance
    slots[place] = slot


@distance_kernel
def in_order(metric, slots, distances):
    """Make ascending rows of heaps, with -1 where nothing was found, and of rank values the distances users see."""
    count, k = slots.shape
    for i in range(count):
        for size in range(k - 1, 0, -1):
            distance, slot = distances[i, size], slots[i, size]
            distances[i, size], slots[i, size] = distances[i, 0], slots[i, 0]
            sift_down(distances[i], slots[i], size, distance, slot)
        for j in range(k):
            if slots[i, j] == UNFILLED:
                slots[i, j] = -1
            else:
                distances[i, j] = reported_distance(metric, distances[i, j])


@distance_kernel
def exact_scan(
    metric, kind, vectors, inverse_norms, queries, start, stop, candidates, listed, slots, distances
):
    """k nearest of each query among the slots [start, stop), or `candidates` if `listed`.

    `kind` is that of the rows, or None, as `row_sum` takes it. Results: slots int64 (m, k), -1 where there are none,
    and distances float32 (m, k), infinite there; ascending by (distance, slot). `vectors` and `inverse_norms` are the
    tables of vego/index/kernels/rows.py, all blocks settled.
    """
    count, k = slots.shape
    inverses = np.ones(count, np.float32)
    if metric == COSINE:
        for i in range(count):
            inverses[i] = inverse_norm(queries[i])
    distances[:] = np.inf
    slots[:] = UNFILLED
    first = 0 if listed else start
    last = candidates.shape[0] if listed else stop
    chunk = np.uint64(0)  # the array that the last row was in
    size = row_bytes(vectors)
    ahead = np.int64(AHEAD)
    later = 1 + AHEAD // size
    block = max(16, BLOCK_BYTES // size)
    for low in range(first, last, block):
        high = min(low + block, last)
        for i in range(count):
            heap_distances = distances[i]
            heap_slots = slots[i]
            query = queries[i]
            for j in range(low, high):
                slot = np.int64(candidates[j]) if listed else np.int64(j)
                chunk = array_with(vectors, chunk, slot)
                # No kernel of its own: see kernels/scoring.py for what a call with arrays costs.
                address = address_in(vectors, chunk, slot, size)
                if listed:
                    ahead = (np.int64(candidates[min(j + later, last - 1)]) - slot) * size
                total = streamed_sum(operation_of(metric), kind, address, query, ahead)
                inverse = norm_at(vectors, inverse_norms, chunk, slot) if metric == COSINE else np.float32(1)
                value = rank_value(metric, total, inverse, inverses[i])
                if value > heap_distances[0]:
                    continue
                if np.isnan(value):  # a sum that overflowed is as far as can be
                    value = np.float32(np.inf)
                if value < heap_distances[0] or slot < heap_slots[0]:
                    sift_down(heap_distances, heap_slots, k, value, slot)
    in_order(metric, slots, distances)
