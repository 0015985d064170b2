"""Walking one layer of the graph by codes: shared by search and construction.

A pool is a sorted int64 array of keys `distance << 32 | expanded << 31 | slot`: one compare orders by
distance and then by slot, one shift inserts. `stamps[v] == stamp` marks v as seen. Link rows end at the first
NONE. Slots not below `rows` are skipped: another thread may be adding them to the same arrays.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.agreement import agreement
from vego.index.kernels.intrinsics import prefetch, shift_up

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
    distance = np.int64(bias[np.uint32(slot)]) - 2 * np.int64(agreement(codes, slot, queries, query_row))
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
    shift_up(pool, low, np.uint64(min(count, limit - 1)))
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
def count_below(pool, count, key):
    """How many of pool[:count] are less than `key`; without a branch, for a pool of a few hundred keys."""
    total = np.int64(0)
    for i in range(np.uint64(count)):
        total += np.int64(pool[i] < key)
    return total


@kernel
def take_fresh(row, rows, stamps, stamp, fresh):
    """Mark the slots of a link row as seen and write those that were not to `fresh`; returns how many.

    What is no slot below `rows` is taken for the last entry of `stamps`, which holds the stamp itself.
    """
    last = np.uint32(stamps.shape[0] - 1)
    bound = np.uint32(rows)
    found = np.uint64(0)
    for j in range(row.shape[0]):
        slot = row[j]
        place = slot if slot < bound else last
        unseen = stamps[place] != stamp
        stamps[place] = stamp
        fresh[found] = slot
        found += np.uint64(unseen)
    return found


@kernel
def walk(
    codes, bias, links, upper_start, level, rows, queries, query_row, seed, limit, stamps, stamp, pool, fresh
):
    """Best-first search of one layer from `seed`; leaves the `limit` nearest in `pool`, returns how many.

    `fresh` (> link width,) int64 is scratch. Whether a link is new, and whether its node is near enough, is no better
    to guess than a coin, so both are counted instead of branched on.
    """
    pool[0] = key_of(codes, bias, seed, queries, query_row)
    stamps[seed] = stamp
    count = 1
    current = 0
    while current < count:
        node = np.uint32(pool[current] & SLOT_MASK)
        pool[current] |= EXPANDED
        row = links[np.uint32(upper_start[node] + np.uint32(level - 1)) if level > 0 else node]
        found = take_fresh(row, rows, stamps, stamp, fresh)
        for j in range(found):
            prefetch(bias, np.uint32(fresh[j]))
            prefetch(codes, np.uint32(fresh[j]))
        worst = pool[count - 1] if count == limit else WORST
        least = WORST
        near = np.uint64(0)
        for j in range(found):
            key = key_of(codes, bias, np.uint32(fresh[j]), queries, query_row)
            fresh[near] = key
            near += np.uint64(key < worst)
            least = min(least, key)
        for j in range(near):
            key = fresh[j]
            if count == limit and key >= pool[limit - 1]:
                continue
            if level == 0:
                prefetch(links, np.uint32(key & SLOT_MASK))
            low = count_below(pool, count, key)
            shift_up(pool, low, min(count, limit - 1))
            pool[low] = key
            count = min(count + 1, limit)
        current += 1
        if least < worst:
            current = min(count_below(pool, count, least), current)
        while current < count and pool[current] & EXPANDED:
            current += 1
    return count
