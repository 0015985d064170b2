"""Walking one layer of the graph by codes: shared by search and construction.

A pool is a sorted int64 array of keys `distance << 32 | slot << 1 | expanded`: one compare orders by
distance and then by slot, one shift inserts. Link rows (links.py) end at the first NONE. Slots not below `rows` are
skipped: another thread may be adding them to the same arrays.

What a walk of all links has seen is in a table that it may forget: slot v is in `seen[place_of(v)]` until another takes
its place, and a node that is met again after that is scored again and found to be in the pool. So the table can stay in
the first-level cache, where a mark for each row of a large graph does not fit into the second (a fifth of the time of a
walk of a million rows). Walks that must know (`stamps[v] == stamp` marks v as seen) have a mark for each row.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.agreement import agreement, bias_of
from vego.index.kernels.intrinsics import prefetch, shift_up
from vego.index.kernels.links import NONE, link_at

EXPANDED = 1
WORST = (1 << 63) - 1
SEEN_PLACES = 64  # of the table, for each candidate held; a walk meets about 20 nodes for each
MOST_PLACES = 1 << 20
# Flipped in the keys of a walk: which of equally near slots come first.
OLDEST_FIRST, NEWEST_FIRST = 0, 0xFFFFFFFE
MULTIPLIER = 2_654_435_769  # 2^32 / golden ratio: Knuth, The Art of Computer Programming 3, 6.4


@kernel
def next_stamp(stamps):
    """A stamp no entry carries; the last entry remembers the one before, and after 255 all are cleared."""
    last = stamps.shape[0] - 1
    if stamps[last] == 255:
        stamps[:] = 0
    stamps[last] += 1
    return stamps[last]


@kernel
def seen_table(limit):
    """A table of what was seen for walks that hold `limit` candidates: uint32, a power of two of places."""
    places = 256
    while places < SEEN_PLACES * limit and places < MOST_PLACES:
        places *= 2
    return np.empty(places, np.uint32)


@kernel
def unused_bits(seen):
    """How many of the 32 bits of a product are too many for a place in `seen`."""
    bits, places = np.uint64(32), seen.shape[0]
    while places > 1:
        places >>= 1
        bits -= np.uint64(1)
    return bits


@kernel
def place_of(slot, unused):
    """The place of a slot (uint32) in a table of `unused_bits`."""
    return ((np.uint64(slot) * np.uint64(MULTIPLIER)) & np.uint64(0xFFFFFFFF)) >> unused


@kernel
def pool_key(distance, slot):
    """The key of a slot below 2^31."""
    return (np.int64(distance) << 32) | (np.int64(slot) << 1)


@kernel
def slot_of(key):
    """The slot of a pool's key, int64."""
    return (key & 0xFFFFFFFF) >> 1


@kernel
def key_of(codes, bias, slot, code):
    """Pool key of one slot for the query whose code is the one row of `code`."""
    distance = np.int64(bias_of(codes, bias, slot)) - 2 * np.int64(agreement(codes, slot, code, np.int64(0)))
    return pool_key(distance, slot)


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
def descend(codes, bias, upper, upper_start, rows, code, entry, top, level):
    """Greedy walk from `entry` through the layers top .. level + 1; returns where to start the next layer."""
    current = np.uint32(entry)
    best = key_of(codes, bias, current, code)
    for layer in range(top, level, -1):
        moved = True
        while moved:
            moved = False
            links = upper[np.uint32(upper_start[current] + np.uint32(layer - 1))]
            for j in range(links.shape[0]):
                slot = link_at(links, j)
                if slot == NONE:
                    break
                if slot < rows:
                    prefetch(codes, slot)
            for j in range(links.shape[0]):
                slot = link_at(links, j)
                if slot == NONE:
                    break
                if slot < rows:
                    key = key_of(codes, bias, slot, code)
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
def take_fresh(row, rows, seen, unused, fresh):
    """Put the slots of a link row into `seen`, and write those below `rows` that were not there to `fresh`.

    Returns how many those are.
    """
    bound = np.uint32(rows)
    found = np.uint64(0)
    for j in range(row.shape[0]):
        slot = link_at(row, j)
        place = place_of(slot, unused)
        unseen = (seen[place] != slot) & (slot < bound)
        seen[place] = slot
        fresh[found] = slot
        found += np.uint64(unseen)
    return found


@kernel
def walk(codes, bias, links, upper_start, level, rows, code, seed, limit, ties, seen, pool, fresh):
    """Best-first search of one layer from `seed`; leaves the `limit` nearest in `pool`.

    Returns how many those are, and how many nodes were scored. `ties` is OLDEST_FIRST or NEWEST_FIRST, and is still in
    the keys of the pool. `seen` of `seen_table`, whatever is in it, and `fresh`
    (> link width,) int64 are scratch. Whether a link is new, and whether its node is near enough, is no better
    to guess than a coin, so both are counted instead of branched on.
    """
    seen[:] = NONE
    unused = unused_bits(seen)
    pool[0] = key_of(codes, bias, seed, code) ^ ties
    seen[place_of(np.uint32(seed), unused)] = seed
    scored = 1
    count = 1
    current = 0
    while current < count:
        node = np.uint32(slot_of(pool[current] ^ ties))
        pool[current] |= EXPANDED
        row = links[np.uint32(upper_start[node] + np.uint32(level - 1)) if level > 0 else node]
        found = take_fresh(row, rows, seen, unused, fresh)
        scored += np.int64(found)
        for j in range(found):
            if bias.shape[0] > 0:
                prefetch(bias, np.uint32(fresh[j]))
            prefetch(codes, np.uint32(fresh[j]))
        worst = pool[count - 1] if count == limit else WORST
        least = WORST
        near = np.uint64(0)
        for j in range(found):
            key = key_of(codes, bias, np.uint32(fresh[j]), code) ^ ties
            fresh[near] = key
            near += np.uint64(key < worst)
            least = min(least, key)
        for j in range(near):
            key = fresh[j]
            if count == limit and key >= pool[limit - 1]:
                continue
            if level == 0:
                prefetch(links, np.uint32(slot_of(key ^ ties)))
            low = count_below(pool, count, key)
            if low < count and pool[low] | EXPANDED == key | EXPANDED:
                continue  # seen before, and forgotten
            shift_up(pool, low, min(count, limit - 1))
            pool[low] = key
            count = min(count + 1, limit)
        current += 1
        if least < worst:
            current = min(count_below(pool, count, least), current)
        while current < count and pool[current] & EXPANDED:
            current += 1
    return count, scored
