"""Walking one layer of the graph by codes: shared by search and construction.

A pool is a sorted int64 array of keys `distance << 32 | expanded << 31 | slot`: one compare orders by
distance and then by slot, one shift inserts. `stamps[v] == stamp` marks v as seen. Link rows end at the first
NONE. Slots not below `rows` are skipped: another thread may be adding them to the same arrays.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.intrinsics import dot_codes, prefetch

NONE = 0xFFFFFFFF
EXPANDED = 1 << 31
SLOT_MASK = EXPANDED - 1
WORST = (1 << 63) - 1


@kernel
def next_stamp(stamps):
    """A stamp no entry carries; the last entry remembers the one before, and after 255 all are cleared."""
    last = stamps.shape[0] - 1
    if stamps[last] == 255:
        stamps[:] = 0
    stamps[last] += 1
    return stamps[last]


@kernel
def key_of(codes, bias, slot, queries, query_row):
    """Pool key of one slot for the query in `queries[query_row]`."""
    distance = np.int64(bias[np.uint32(slot)]) - 2 * np.int64(dot_codes(codes, slot, queries, query_row))
    return (distance << 32) | np.int64(slot)


@kernel
def insert(pool, count, limit, key):
    """Insert into the sorted pool[:count], dropping the last when `limit` are held; returns the position."""
    low, high = np.uint64(0), np.uint64(count)
    while low < high:
        middle = (low + high) >> np.uint64(1)
        if pool[middle] < key:
            low = middle + np.uint64(1)
        else:
            high = middle
    end = np.uint64(min(count, limit - 1))
    while end > low:
        pool[end] = pool[end - np.uint64(1)]
        end -= np.uint64(1)
    pool[low] = key
    return np.int64(low)


@kernel
def descend(codes, bias, upper, upper_start, rows, queries, query_row, entry, top, level):
    """Greedy walk from `entry` through the layers top .. level + 1; returns where to start the next layer."""
    current = np.uint32(entry)
    best = key_of(codes, bias, current, queries, query_row)
    for layer in range(top, level, -1):
        moved = True
        while moved:
            moved = False
            links = upper[np.uint32(upper_start[current] + np.uint32(layer - 1))]
            for j in range(links.shape[0]):
                if links[j] == NONE:
                    break
                if links[j] < rows:
                    prefetch(codes, links[j])
            for j in range(links.shape[0]):
                slot = links[j]
                if slot == NONE:
                    break
                if slot < rows:
                    key = key_of(codes, bias, slot, queries, query_row)
                    if key < best:
                        best = key
                        current = slot
                        moved = True
    return current


@kernel
def walk(
    codes, bias, links, upper_start, level, rows, queries, query_row, seed, limit, stamps, stamp, pool, fresh
):
    """Best-first search of one layer from `seed`; leaves the `limit` nearest in `pool`, returns how many."""
    pool[0] = key_of(codes, bias, seed, queries, query_row)
    stamps[seed] = stamp
    count = 1
    current = 0
    while current < count:
        node = np.uint32(pool[current] & SLOT_MASK)
        pool[current] |= EXPANDED
        row = links[np.uint32(upper_start[node] + np.uint32(level - 1)) if level > 0 else node]
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
        worst = pool[count - 1] if count == limit else WORST
        lowest = count
        for j in range(found):
            key = key_of(codes, bias, fresh[j], queries, query_row)
            if key < worst:
                position = insert(pool, count, limit, key)
                count = min(count + 1, limit)
                lowest = min(lowest, position)
                if count == limit:
                    worst = pool[count - 1]
        current = min(lowest, current + 1)
        while current < count and pool[current] & EXPANDED:
            current += 1
    return count
