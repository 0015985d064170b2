"""Taking nodes out of the graph: whoever had a link to one gets links to what lay behind it."""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.agreement import as_query, query_rows
from vego.index.kernels.hnsw_build import select_more
from vego.index.kernels.links import NONE, end_links, link_at, put_link
from vego.index.kernels.walk import insert, key_of, next_stamp

BEHIND = 64  # removed nodes looked behind for one that stays


@kernel
def bypass(
    codes, bias, links, upper_start, layer, removed, nodes, start, stop, cap, strictness, ef, stamps, healed
):  # fmt: skip
    """Write the link rows that nodes[start:stop] have on one layer once `removed` (bool, a node) are gone.

    A row keeps its links to nodes that stay: one that is pruned now may be the only way into a far cluster. In the
    room it has, links are chosen from what lies behind the removed, through chains of removed nodes as well: `ef`
    candidates, `cap` links in all. Reads `links`, writes `healed`.
    """
    code = query_rows(codes, 1)
    chosen = query_rows(codes, cap)
    offsets = np.empty(cap, np.int64)
    pool = np.empty(ef, np.int64)
    behind = np.empty(BEHIND, np.uint32)
    for i in range(start, stop):
        node = np.uint32(nodes[i])
        place = np.uint32(upper_start[node] + np.uint32(layer - 1)) if layer > 0 else node
        row = links[place]
        target = healed[place]
        picked, lost = np.int64(0), False
        for j in range(row.shape[0]):
            slot = link_at(row, j)
            if slot == NONE:
                break
            if removed[slot]:
                lost = True
            else:
                put_link(target, picked, slot)
                picked += 1
        end_links(target, picked)
        if not lost or picked == cap:
            continue
        own = as_query(codes, bias, node, code[0])
        stamp = next_stamp(stamps)
        stamps[node] = stamp
        for j in range(picked):
            slot = link_at(target, j)
            stamps[slot] = stamp
            offsets[j] = as_query(codes, bias, slot, chosen[j])
        count, head, tail = np.int64(0), -1, 0
        while head < tail:
            if head >= 0:
                far = behind[head]
                row = links[np.uint32(upper_start[far] + np.uint32(layer - 1)) if layer > 0 else far]
            head += 1
            for j in range(row.shape[0]):
                slot = link_at(row, j)
                if slot == NONE:
                    break
                if stamps[slot] == stamp:
                    continue
                stamps[slot] = stamp
                if not removed[slot]:
                    key = key_of(codes, bias, slot, code)
                    if count < ef or key < pool[count - 1]:
                        insert(pool, count, ef, key)
                        count = min(count + 1, ef)
                elif tail < BEHIND:
                    behind[tail] = slot
                    tail += 1
        select_more(codes, bias, own, pool, count, cap, strictness, chosen, offsets, target, picked)
