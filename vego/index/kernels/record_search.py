"""Search of a graph whose nodes are records in a mapped file: codes in memory say where to go, records what is there.

Every node that is expanded is scored exactly, as its vector came with its links. Of the candidates the nearest `beam`
are asked for at once and then looked at, so that the disk works on several (Subramanya et al., DiskANN, 2019). A link
past the last node is not followed, whatever a file says. Distances are as in the exact scan.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.code_scan import ERRORS, best_codes, code_error, steps_in
from vego.index.kernels.distance import encode_query
from vego.index.kernels.hnsw_search import write_found
from vego.index.kernels.intrinsics import prefetch
from vego.index.kernels.records import COUNT, HEADER_WORDS, ask_for, intact, record_at, record_distance
from vego.index.kernels.walk import EXPANDED, WORST, descend, insert, key_of, next_stamp, slot_of

ASKED = 64  # records asked for ahead of the one being scored, in a scan


@kernel
def offer(value, node, exact, order, count):
    """Insert into the sorted exact[:count] and order[:count], ties by node; returns the new count."""
    limit = exact.shape[0]
    place = count
    if count == limit:
        if value > exact[limit - 1] or (value == exact[limit - 1] and node > order[limit - 1]):
            return count
        place = limit - 1
    while place > 0 and (exact[place - 1] > value or (exact[place - 1] == value and order[place - 1] > node)):
        exact[place] = exact[place - 1]
        order[place] = order[place - 1]
        place -= 1
    exact[place] = value
    order[place] = node
    return min(count + 1, limit)


@kernel
def take_beam(pool, count, current, nodes):
    """Mark the nearest candidates of pool[current:count] as expanded and write them to `nodes`, as many as it holds.

    Returns how many, and where to go on.
    """
    asked = 0
    while current < count and asked < nodes.shape[0]:
        if not pool[current] & EXPANDED:
            pool[current] |= EXPANDED
            nodes[asked] = np.uint32(slot_of(pool[current]))
            asked += 1
        current += 1
    return asked, current


@kernel
def take_links(record, width, rows, stamps, stamp, codes, fresh):
    """Mark the links of a record as seen and write those that were not, and are nodes, to `fresh`; returns how many."""
    found = 0
    for j in range(min(np.int64(record[COUNT]), width)):
        slot = record[np.uint32(HEADER_WORDS + j)]
        if slot < np.uint32(rows) and stamps[slot] != stamp:
            stamps[slot] = stamp
            fresh[found] = slot
            found += 1
            prefetch(codes, slot)
    return found


@kernel
def pool_links(codes, bias, code, fresh, found, pool, count, current):
    """Insert the nodes fresh[:found] into the pool; returns its count, and the least of the places and `current`."""
    limit = pool.shape[0]
    worst = pool[count - 1] if count == limit else WORST
    for j in range(found):
        key = key_of(codes, bias, fresh[j], code)
        if key < worst:
            current = min(current, insert(pool, count, limit, key))
            count = min(count + 1, limit)
            if count == limit:
                worst = pool[count - 1]
    return count, current


@kernel
def search_records(
    metric, place, words, width, keys, codes, bias, upper, upper_start, frame, inverse_step,
    rows, entry, top, queries, ef, beam, accept, stamps, slots, distances, reads, accepted,
):  # fmt: skip
    """k nearest of each query by the graph, to slots int64 (m, k) and distances float32 (m, k).

    Results are nodes with accept[node]; of length 0 it accepts all. reads[i] is the number of records read for a query,
    accepted[i] how many of those were accepted. Returns -1, or the number of a node whose record is damaged.
    """
    code = np.empty((1, codes.shape[1]), np.int8)
    pool = np.empty(ef, np.int64)
    fresh = np.empty(width, np.uint32)
    nodes = np.empty(beam, np.uint32)
    exact = np.empty(slots.shape[1], np.float32)
    order = np.empty(slots.shape[1], np.int64)
    every = accept.shape[0] == 0
    for i in range(queries.shape[0]):
        query = queries[i]
        inverse = encode_query(metric, query, frame, inverse_step, code[0])
        seed = descend(codes, bias, upper, upper_start, rows, code, entry, top, 0)
        stamp = next_stamp(stamps)
        pool[0] = key_of(codes, bias, seed, code)
        stamps[seed] = stamp
        count, current, taken = np.int64(1), np.int64(0), np.int64(0)
        reads[i] = accepted[i] = 0
        while True:
            asked, current = take_beam(pool, count, current, nodes)
            if asked == 0:
                break
            for j in range(asked):
                ask_for(place, words, nodes[j], 1)
            for j in range(asked):
                node = nodes[j]
                record = record_at(place, words, node)
                if not intact(record, keys, node):
                    return np.int64(node)
                if every or accept[node]:
                    value = record_distance(metric, place, width, node, query, inverse)
                    taken = offer(value, np.int64(node), exact, order, taken)
                    accepted[i] += 1
                found = take_links(record, width, rows, stamps, stamp, codes, fresh)
                count, current = pool_links(codes, bias, code, fresh, found, pool, count, current)
            reads[i] += asked
        write_found(metric, exact, order, taken, slots[i], distances[i])
    return np.int64(-1)


@kernel
def scan_records(
    metric, place, words, width, keys, codes, bias, frame, inverse_step,
    candidates, query, rerank, slots, distances,
):  # fmt: skip
    """k nearest of one query among `candidates` (uint32, no repeats): all by code, the best `rerank` by their records.

    Returns -1, or the number of a node whose record is damaged, and whether the codes set the best apart from the rest;
    see `scan_slots` in vego/index/kernels/code_scan.py.
    """
    code = np.empty((1, codes.shape[1]), np.int8)
    pool = np.empty(rerank, np.int64)
    exact = np.empty(slots.shape[0], np.float32)
    order = np.empty(slots.shape[0], np.int64)
    inverse = encode_query(metric, query, frame, inverse_step, code[0])
    count = best_codes(codes, bias, code, candidates, pool)
    for i in range(min(ASKED, count)):
        ask_for(place, words, slot_of(pool[i]), 1)
    scale = steps_in(metric, inverse_step)
    mean = squares = np.float64(0)
    taken = np.int64(0)
    for i in range(count):
        if i + ASKED < count:
            ask_for(place, words, slot_of(pool[i + ASKED]), 1)
        node = slot_of(pool[i])
        if not intact(record_at(place, words, node), keys, node):
            return np.int64(node), False
        value = record_distance(metric, place, width, node, query, inverse)
        taken = offer(value, node, exact, order, taken)
        off = np.float64(value) * scale - np.float64(pool[i] >> 32)
        before = off - mean  # Welford, Technometrics 4 (1962)
        mean += before / (i + 1)
        squares += before * (off - mean)
    write_found(metric, exact, order, taken, slots, distances)
    if count == candidates.shape[0]:
        return np.int64(-1), True
    last = pool[min(slots.shape[0], count) - 1]
    on_axes = frame[1].shape[0]
    error = code_error(metric, code[0], on_axes if on_axes > 0 else query.shape[0], last)
    if on_axes > 0:  # what those left out is no rounding, so it is measured
        error = max(error, np.sqrt(squares / count))
    return np.int64(-1), (pool[count - 1] >> 32) - (last >> 32) >= ERRORS * error
