"""Walks of the graph under a mask: past rejected nodes, and through accepted ones only (two hops).

`walk_past` visits all nodes in order of distance and keeps the accepted ones: right where most are accepted.
`walk_through` scores accepted nodes only; where a neighbour is rejected, its own neighbours are looked at in its place
(ACORN-1: Patel et al., arXiv 2403.04871), so that the accepted nodes stay connected down to a share of about 1 / (2 m).
It starts from several accepted nodes besides the one the upper layers lead to, as the accepted ones may lie elsewhere.
Both count what they do in scored nodes, and give up, with -1, where a scan of the accepted codes would cost as much.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.agreement import query_rows
from vego.index.kernels.distance import encode_query
from vego.index.kernels.filter_costs import (
    CONFIDENCE,
    HOP_NODES,
    LEAST_SHARE,
    PAST,
    PAST_NODES,
    SCAN,
    THROUGH,
    THROUGH_NODES,
    WIDEN,
)
from vego.index.kernels.hnsw_search import rerank_pool
from vego.index.kernels.intrinsics import prefetch
from vego.index.kernels.links import NONE, link_at
from vego.index.kernels.walk import (
    EXPANDED,
    WORST,
    descend,
    insert,
    key_of,
    next_stamp,
    slot_of,
)

BLOCK = 4096  # mask entries counted at a time
SEEDS = 12  # accepted nodes that `walk_through` starts from
SAMPLE = 256  # nodes near the query that are looked at to learn the share of accepted ones there


@kernel
def sample_accepted(accept, rows, accepted, seeds):
    """Write evenly spaced ones of the `accepted` marked slots below `rows` to seeds; returns how many."""
    wanted = min(seeds.shape[0], accepted)
    taken = 0
    passed = 0
    for first in range(0, rows, BLOCK):
        last = min(first + BLOCK, rows)
        total = np.int64(0)
        for slot in range(first, last):
            total += np.int64(accept[np.uint64(slot)])
        slot = first
        seen = passed
        while taken < wanted and (2 * taken + 1) * accepted // (2 * wanted) < passed + total:
            place = (2 * taken + 1) * accepted // (2 * wanted)
            while True:
                if accept[np.uint64(slot)]:
                    seen += 1
                slot += 1
                if seen > place:
                    break
            seeds[taken] = slot - 1
            taken += 1
        passed += total
        if taken == wanted:
            break
    return taken


@kernel
def mark_unseen(row, rows, stamps, stamp, fresh):
    """Mark the slots of a link row and write those below `rows` that were not to `fresh`; returns how many.

    The last entry of `stamps` stands for what is no slot.
    """
    last = np.uint32(stamps.shape[0] - 1)
    bound = np.uint32(rows)
    found = np.int64(0)
    for j in range(row.shape[0]):
        slot = link_at(row, j)
        place = slot if slot < bound else last
        fresh[np.uint64(found)] = slot
        found += np.int64((stamps[place] != stamp) & (slot < bound))
        stamps[place] = stamp
    return found


@kernel
def walk_past(
    codes, bias, links, rows, code, seed, accept, budget, stamps, stamp, pool, fresh, best
):  # fmt: skip
    """`walk` of layer 0 through all nodes that keeps only accepted ones, in `best`.

    Returns how many those are, or -1 when more than `budget` nodes would be scored, and how many were scored; `pool`
    has room for `budget` keys, `fresh` (int64) for those of a row of links and one more. As in `walk`, whether a link
    is new and whether its node is near enough is counted instead of branched on.
    """
    limit = best.shape[0]
    taken = 0
    pool[0] = key_of(codes, bias, seed, code)
    stamps[seed] = stamp
    if accept[seed]:
        best[0] = pool[0]
        taken = 1
    scored = 1
    count = 1
    current = 0
    while current < count:
        node = np.uint32(slot_of(pool[current]))
        pool[current] |= EXPANDED
        found = mark_unseen(links[node], rows, stamps, stamp, fresh)
        if scored + found > budget:
            return -1, scored
        scored += found
        for j in range(found):
            if bias.shape[0] > 0:
                prefetch(bias, np.uint32(fresh[j]))
            prefetch(codes, np.uint32(fresh[j]))
        worst = best[limit - 1] if taken == limit else WORST
        near = np.uint64(0)
        for j in range(found):
            key = key_of(codes, bias, np.uint32(fresh[j]), code)
            fresh[near] = key
            near += np.uint64(key < worst)
        lowest = count
        for j in range(near):
            key = fresh[j]
            if taken == limit and key >= best[limit - 1]:
                continue
            slot = np.uint32(slot_of(key))
            prefetch(links, slot)
            lowest = min(lowest, insert(pool, count, budget, key))
            count += 1
            if accept[slot]:
                insert(best, taken, limit, key)
                taken = min(taken + 1, limit)
        if taken == limit:  # what is behind the worst need not be looked at
            while pool[count - 1] > best[limit - 1] and count > 1:
                count -= 1
        current = min(lowest, current + 1)
        while current < count and pool[current] & EXPANDED:
            current += 1
    return taken, scored


@kernel
def look_around(links, rows, accept, node, stamps, stamp, hops, fresh, room):
    """Accepted nodes one or two links from `node` that are not marked yet, marked now.

    Writes them to `fresh`, as many as there is room for, and returns how many, and through how many rejected
    neighbours (marked as well) it looked; `hops` is scratch for one row of links.
    """
    found = 0
    rejected = 0
    row = links[np.uint32(node)]
    for j in range(row.shape[0]):
        slot = link_at(row, j)
        if slot == NONE:
            break
        if slot < rows and stamps[slot] != stamp:
            if accept[slot]:
                stamps[slot] = stamp
                fresh[found] = slot
                found += 1
            else:
                hops[rejected] = slot
                rejected += 1
                prefetch(links, slot)
    looked = 0
    while looked < rejected and found < room:
        through = hops[looked]
        stamps[through] = stamp
        looked += 1
        row = links[through]
        for j in range(row.shape[0]):
            slot = link_at(row, j)
            if slot == NONE or found == room:
                break
            if slot < rows and accept[slot] and stamps[slot] != stamp:
                stamps[slot] = stamp
                fresh[found] = slot
                found += 1
    return found, looked


@kernel
def walk_through(
    codes, bias, links, rows, code, entry, seeds, accept, budget, stamps, stamp, hops, fresh, pool, room
):  # fmt: skip
    """Best-first search among accepted nodes from `seeds` and what lies around `entry`; the nearest are in `pool`.

    Returns how many those are, or -1 when the work would exceed `budget`, and the work done, both in scored nodes.
    """
    limit = pool.shape[0]
    stamps[entry] = stamp
    found, looked = look_around(links, rows, accept, entry, stamps, stamp, hops, fresh, fresh.shape[0])
    if accept[entry] and found < fresh.shape[0]:
        fresh[found] = entry
        found += 1
    for i in range(seeds.shape[0]):
        if stamps[seeds[i]] != stamp and found < fresh.shape[0]:
            stamps[seeds[i]] = stamp
            fresh[found] = seeds[i]
            found += 1
    count = np.int64(0)
    current = 0
    work = 0
    while True:
        work += HOP_NODES * looked + found
        if work > budget:
            return -1, work
        for j in range(found):
            prefetch(codes, fresh[j])
        worst = pool[count - 1] if count == limit else WORST
        lowest = count
        for j in range(found):
            key = key_of(codes, bias, fresh[j], code)
            if key < worst:
                position = insert(pool, count, limit, key)
                count = min(count + 1, limit)
                lowest = min(lowest, position)
                if count == limit:
                    worst = pool[count - 1]
        current = min(lowest, current)
        while current < count and pool[current] & EXPANDED:
            current += 1
        if current >= count:
            return count, work
        node = np.uint32(slot_of(pool[current]))
        pool[current] |= EXPANDED
        found, looked = look_around(links, rows, accept, node, stamps, stamp, hops, fresh, room)


@kernel
def local_share(links, rows, accept, entry):
    """Share of accepted nodes among about SAMPLE that lie one or two links from `entry`."""
    seen = 1
    accepted = np.int64(accept[np.uint32(entry)])
    near = links[np.uint32(entry)]
    for i in range(near.shape[0]):
        slot = link_at(near, i)
        if slot == NONE or seen >= SAMPLE:
            break
        if slot >= rows:
            continue
        prefetch(links, slot)
        seen += 1
        accepted += np.int64(accept[slot])
    for i in range(near.shape[0]):
        slot = link_at(near, i)
        if slot == NONE or seen >= SAMPLE:
            break
        if slot >= rows:
            continue
        row = links[slot]
        for j in range(row.shape[0]):
            behind = link_at(row, j)
            if behind == NONE:
                break
            if behind < rows:
                seen += 1
                accepted += np.int64(accept[behind])
    return accepted / seen


@kernel
def search_filtered(
    metric, vectors, inverse_norms, codes, bias, links, upper, upper_start, frame, inverse_step,
    rows, entry, top, queries, ef, rerank, accept, accepted, budget, stamps, slots, distances, scored, how,
):  # fmt: skip
    """`search_graph` among the `accepted` slots with accept[slot], where that takes at most `budget` scored nodes.

    What a walk would take is judged by the share of accepted nodes around the query. scored[i] is the work that was
    done and how[i] the way: PAST, THROUGH, or SCAN where nothing was found and the accepted slots are to be scanned.
    """
    code = query_rows(codes, 1)
    best = np.empty(ef, np.int64)
    pool = np.empty(max(budget, np.int64(ef * (1 + WIDEN / LEAST_SHARE))), np.int64)
    hops = np.empty(links.shape[1], np.uint32)
    fresh = np.empty(2 * links.shape[1] + SEEDS, np.uint32)
    keys = np.empty(links.shape[1] + 1, np.int64)
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    seeds = np.empty(SEEDS, np.int64)
    begin = seeds[:0]
    # Where fewer are accepted near the query than elsewhere, the nearest ones are on the rim: badly connected.
    least = max(LEAST_SHARE, 0.7 * accepted / rows)
    for i in range(queries.shape[0]):
        query = queries[i]
        inverse = encode_query(metric, query, frame, inverse_step, code[0])
        nearest = descend(codes, bias, upper, upper_start, rows, code, entry, top, 0)
        share = max(local_share(links, rows, accept, nearest), 1 / SAMPLE)
        wider = np.int64(ef * (1 + WIDEN / share))
        past, through = PAST_NODES * ef / share, THROUGH_NODES * wider
        scored[i] = 0
        how[i] = SCAN
        count = -1
        stamp = next_stamp(stamps)
        found = best
        if past <= CONFIDENCE * budget and (past <= through or share < least):
            how[i] = PAST
            count, scored[i] = walk_past(
                codes, bias, links, rows, code, nearest, accept, budget, stamps, stamp, pool, keys, best
            )  # fmt: skip
        elif through <= CONFIDENCE * budget and share >= least:
            how[i] = THROUGH
            if begin.shape[0] == 0:
                begin = seeds[: sample_accepted(accept, rows, accepted, seeds)]
            found = pool[:wider]
            count, scored[i] = walk_through(
                codes, bias, links, rows, code, nearest, begin, accept, budget, stamps, stamp, hops, fresh,
                found, links.shape[1],
            )  # fmt: skip
        if count < min(slots.shape[1], accepted):
            how[i] = SCAN
            continue
        rerank_pool(
            metric, vectors, inverse_norms, query, inverse, np.float64(0), found, min(count, rerank),
            slots[i], distances[i], exact, order,
        )  # fmt: skip
