"""Construction of the graph in batches, on codes alone.

`link_batch` searches the graph as it stood before the batch for each of some nodes of the batch, adds the
nodes of the batch before it as candidates, and writes the node's own links. `merge_links` then adds the
reverse edges, all those of one target together. A call writes only to the rows it is given, so any number may
run at once.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.agreement import agreement, as_query, bias_of, query_rows
from vego.index.kernels.links import NONE, end_links, link_at, put_link
from vego.index.kernels.walk import NEWEST_FIRST, descend, insert, key_of, seen_table, slot_of, walk


@kernel
def select(codes, bias, own, pool, count, limit, strictness, chosen, offsets, links):
    """Pick `limit` of the sorted candidates pool[:count] of a node of offset `own` to a row of links; returns how many.

    A candidate clearly nearer to one already picked than to the node is passed over: its distance to that
    one is below strictness / 16 of that to the node (16: Malkov and Yashunin, algorithm 4; less keeps more
    links, as DiskANN does). `chosen` (>= limit, width) receives the codes of those picked in the role of queries,
    `offsets` int64 (>= limit,) their offsets.
    """
    return select_more(codes, bias, own, pool, count, limit, strictness, chosen, offsets, links, np.int64(0))


@kernel
def select_more(codes, bias, own, pool, count, limit, strictness, chosen, offsets, links, picked):
    """`select` where links[:picked] are there already, with their codes and offsets."""
    for i in range(count):
        if picked == limit:
            break
        slot = np.uint32(slot_of(pool[i]))
        to_node = (pool[i] >> 32) + own
        keep = True
        for j in range(picked):
            between = (
                bias_of(codes, bias, slot) - 2 * np.int64(agreement(codes, slot, chosen, j)) + offsets[j]
            )
            if between * 16 < to_node * strictness:
                keep = False
                break
        if keep:
            put_link(links, picked, slot)
            offsets[picked] = as_query(codes, bias, slot, chosen[picked])
            picked += 1
    return picked


@kernel
def link_batch(
    codes, bias, links, upper, upper_start, levels, rows, entry, top,
    start, stop, degree, strictness, ef,
):  # fmt: skip
    """Write the own links of the nodes [start, stop) of the batch that begins at slot `rows`.

    Of equally near nodes the newest are taken: were it the oldest, all copies of a row would have links to the same
    few, and none would be left to lead to the others.
    """
    code = query_rows(codes, 1)
    pool = np.empty(ef, np.int64)
    fresh = np.empty(max(links.shape[1], upper.shape[1]) + 1, np.int64)
    seen = seen_table(ef)
    chosen = query_rows(codes, degree)
    offsets = np.empty(degree, np.int64)
    for node in range(start, stop):
        own = as_query(codes, bias, node, code[0])
        level = np.int64(levels[node])
        seed = np.uint32(entry)
        if rows > 0:
            seed = descend(codes, bias, upper, upper_start, rows, code, entry, top, min(level, top))
        for layer in range(level, -1, -1):
            count = np.int64(0)
            table = links if layer == 0 else upper
            if rows > 0 and layer <= top:
                count, _ = walk(
                    codes, bias, table, upper_start, layer, rows, code, seed, ef, NEWEST_FIRST, seen, pool, fresh
                )  # fmt: skip
                seed = np.uint32(slot_of(pool[0] ^ NEWEST_FIRST))
            for other in range(rows, node):
                if levels[other] >= layer:
                    key = key_of(codes, bias, np.uint32(other), code) ^ NEWEST_FIRST
                    if count < ef or key < pool[count - 1]:
                        insert(pool, count, ef, key)
                        count = min(count + 1, ef)
            for i in range(count):
                pool[i] ^= NEWEST_FIRST
            row = table[np.uint32(upper_start[node] + np.uint32(layer - 1)) if layer > 0 else np.uint32(node)]
            picked = select(codes, bias, own, pool, count, degree, strictness, chosen, offsets, row)
            end_links(row, picked)


@kernel
def merge_links(
    codes, bias, links, cap, strictness, target_rows, targets, bounds, sources, start, stop
):  # fmt: skip
    """Add edges to link rows: group g adds sources[bounds[g]:bounds[g + 1]] to links[target_rows[g]].

    A row that would exceed `cap` is chosen anew from old and new links together, once.
    """
    code = query_rows(codes, 1)
    chosen = query_rows(codes, cap)
    offsets = np.empty(cap, np.int64)
    for group in range(start, stop):
        row = links[np.uint32(target_rows[group])]
        degree = 0
        while degree < cap and link_at(row, degree) != NONE:
            degree += 1
        first, last = bounds[group], bounds[group + 1]
        if degree + last - first <= cap:
            for i in range(first, last):
                put_link(row, degree + i - first, sources[i])
            continue
        target = targets[group]
        own = as_query(codes, bias, target, code[0])
        limit = degree + last - first
        pool = np.empty(limit, np.int64)
        for i in range(degree):
            insert(pool, i, limit, key_of(codes, bias, link_at(row, i), code))
        for i in range(first, last):
            insert(pool, degree + i - first, limit, key_of(codes, bias, sources[i], code))
        picked = select(codes, bias, own, pool, limit, cap, strictness, chosen, offsets, row)
        end_links(row, picked)
