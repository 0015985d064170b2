"""Making every node reachable: pruning can leave one that no link leads to, which no search would see."""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.agreement import as_query, query_rows
from vego.index.kernels.links import NONE, link_at, put_link
from vego.index.kernels.walk import OLDEST_FIRST, seen_table, slot_of, walk

ROUNDS = 4


@kernel
def reach(links, start, seen, queue):
    """Mark in `seen` (bool) all nodes that `start` leads to on layer 0; `queue` (rows,) uint32 is scratch."""
    seen[start] = True
    queue[0] = start
    head, tail = 0, 1
    while head < tail:
        row = links[queue[head]]
        head += 1
        for j in range(row.shape[0]):
            slot = link_at(row, j)
            if slot == NONE:
                break
            if not seen[slot]:
                seen[slot] = True
                queue[tail] = slot
                tail += 1


@kernel
def append_link(links, node, slot, cap):
    """Add a link where the row of `node` has room; returns whether there is one now."""
    row = links[np.uint32(node)]
    for j in range(cap):
        if link_at(row, j) == NONE:
            put_link(row, j, slot)
        if link_at(row, j) == slot:
            return True
    return False


@kernel
def attach(codes, bias, links, upper_start, rows, entry, cap, node, code, met, pool, fresh):
    """Link `node` from the nearest node that has room, of as many as `pool` holds.

    Where none has room, the node is put into the last link v -> w of the nearest: v -> node -> w, so that
    w stays reachable. The walk begins at the entry, as what upper layers lead to may itself be cut off.
    """
    as_query(codes, bias, node, code[0])
    ef = pool.shape[0]
    count, _ = walk(codes, bias, links, upper_start, 0, rows, code, entry, ef, OLDEST_FIRST, met, pool, fresh)
    for i in range(count):
        if append_link(links, np.uint32(slot_of(pool[i])), node, cap):
            return
    row = links[np.uint32(slot_of(pool[0]))]
    after = link_at(row, cap - 1)
    put_link(row, cap - 1, node)
    if not append_link(links, node, after, cap):
        put_link(links[node], cap - 1, after)


@kernel
def attach_unreachable(codes, bias, links, upper_start, rows, entry, cap, ef, seen, queue):
    """Link every node that `entry` does not reach on layer 0; returns how many the last round found.

    `seen` (rows,) bool and `queue` (rows,) uint32 are scratch.
    """
    code = query_rows(codes, 1)
    pool = np.empty(ef, np.int64)
    fresh = np.empty(links.shape[1] + 1, np.int64)
    met = seen_table(ef)
    missing = 0
    for _ in range(ROUNDS):  # a link replaced on the way may cut another node off
        seen[:] = False
        reach(links, entry, seen, queue)
        missing = rows - np.sum(seen)
        if missing == 0:
            break
        for number in range(rows):
            if not seen[number]:
                node = np.uint32(number)
                attach(codes, bias, links, upper_start, rows, entry, cap, node, code, met, pool, fresh)
                reach(links, node, seen, queue)
    return missing
