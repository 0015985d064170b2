"""The kernels of `vego.index` written plainly, over NumPy and lists: what the compiled ones must equal."""

from __future__ import annotations

import numpy as np

NONE = 0xFFFFFFFF


def rank_values(metric, vectors, inverse_norms, query):
    """What exact search orders by, for every row, in float64."""
    vectors, query = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "l2":
        return np.sqrt(((vectors - query) ** 2).sum(axis=1))
    if metric == "l1":
        return np.abs(vectors - query).sum(axis=1)
    products = vectors @ query
    if metric == "ip":
        return -products
    length = np.linalg.norm(query)
    return 1 - products * inverse_norms * (1 / length if length else 0.0)


def exact_search(metric, vectors, inverse_norms, query, k, slots):
    """(slot, distance) of the k nearest of `slots`, ties to the smaller slot."""
    values = rank_values(metric, vectors, inverse_norms, query)
    order = sorted(slots, key=lambda slot: (values[slot], slot))[:k]
    return [(slot, values[slot]) for slot in order]


def dot(codes, row, queries, query_row):
    return int((codes[row].astype(np.int64) * queries[query_row].astype(np.int64)).sum())


def agreement(code, query):
    """What a code and a query have in common, by the type of the codes."""
    if code.dtype == np.uint64:
        return int(np.bitwise_count(code & query).sum())
    if code.dtype == np.int8:
        return int(np.minimum(code, query).sum(dtype=np.int64))
    return int((code.astype(np.int64) * query.astype(np.int64)).sum())


def encode(metric, vectors, inverse_norms, centre, inverse_step, width):
    """Codes, bias and offset of all rows."""
    x = vectors * inverse_norms[:, None] if metric == "cosine" else vectors
    levels = np.clip(np.rint((x - centre) * inverse_step) + np.float32(128), 0, 255).astype(np.int64)
    codes = np.zeros((len(x), width), np.uint8)
    codes[:, : x.shape[1]] = levels
    if metric == "ip":
        return codes, np.zeros(len(x), np.int64), 256 * (levels - 128).sum(axis=1)
    return codes, (levels * (levels - 256)).sum(axis=1), (levels**2).sum(axis=1)


def offsets(codes, bias):
    """What makes distances to the query that a row is comparable with those to others, of all rows."""
    return bias + 256 * codes.sum(axis=1, dtype=np.int64) if codes.dtype == np.uint8 else bias


def signed(codes, slot):
    """The code of a slot in the role of a query."""
    if codes.dtype != np.uint8:
        return codes[slot].copy()
    return (codes[slot].astype(np.int64) - 128).astype(np.int8)


def distance(codes, bias, slot, query):
    return int(bias[slot]) - 2 * agreement(codes[slot], query)


def neighbours(links, row):
    """The slots of a row of links, each of some little-endian bytes that are not all ones."""
    found = [int.from_bytes(link.tobytes(), "little") for link in links[row]]
    return [slot for slot in found if slot != 256 ** links.shape[2] - 1]


def walk(codes, bias, links, rows_of, query, seed, limit, newest=False):
    """What best-first search finds, nearest first, and how many it met; `rows_of` maps slots to rows of links.

    Of equally near slots the lowest come first, or the highest.
    """

    def ranked(slots):
        return sorted(slots, key=lambda v: (distance(codes, bias, v, query), -v if newest else v))

    pool, seen, expanded = [seed], {seed}, set()
    while True:
        waiting = [slot for slot in pool if slot not in expanded]
        if not waiting:
            return pool, len(seen)
        expanded.add(waiting[0])
        fresh = [slot for slot in neighbours(links, rows_of(waiting[0])) if slot not in seen]
        seen.update(fresh)
        pool = ranked(pool + fresh)[:limit]


def walk_accepted(codes, bias, links, query, seed, limit, accept):
    """`walk` on layer 0 that passes all nodes and keeps accepted ones, without a budget."""
    waiting, seen, best = [(distance(codes, bias, seed, query), seed)], {seed}, []
    if accept[seed]:
        best = list(waiting)
    while waiting:
        waiting.sort()
        item = waiting.pop(0)
        if len(best) == limit and item > best[-1]:
            break
        for slot in neighbours(links, item[1]):
            if slot in seen:
                continue
            seen.add(slot)
            found = (distance(codes, bias, slot, query), slot)
            if len(best) == limit and found > best[-1]:
                continue
            waiting.append(found)
            if accept[slot]:
                best = sorted([*best, found])[:limit]
    return [slot for _, slot in best]


def look_around(links, accept, node, seen, room):
    """Accepted nodes one or two links from `node`, at most `room` by two; and how many were passed."""
    found, rejected = [], []
    for slot in neighbours(links, node):
        if slot not in seen:
            (found if accept[slot] else rejected).append(slot)
    seen.update(found)
    looked = 0
    for through in rejected:
        if len(found) >= room:
            break
        seen.add(through)
        looked += 1
        for slot in neighbours(links, through):
            if len(found) < room and accept[slot] and slot not in seen:
                seen.add(slot)
                found.append(slot)
    return found, looked


def walk_through(codes, bias, links, query, entry, seeds, limit, accept, first_room, room):
    """(the `limit` nearest accepted slots found by links of accepted and rejected nodes, the work)."""
    seen, expanded, pool = {entry}, set(), []
    found, looked = look_around(links, accept, entry, seen, first_room)
    for slot in ([entry] if accept[entry] else []) + [seed for seed in seeds if seed not in seen]:
        if len(found) < first_room:
            seen.add(slot)
            found.append(slot)
    work = 0
    while True:
        work += looked + len(found)
        pool = sorted([*pool, *((distance(codes, bias, slot, query), slot) for slot in found)])[:limit]
        waiting = [item for item in pool if item not in expanded]
        if not waiting:
            return [slot for _, slot in pool], work
        expanded.add(waiting[0])
        found, looked = look_around(links, accept, waiting[0][1], seen, room)


def descend(codes, bias, upper, upper_start, query, entry, top, level):
    current = entry
    for layer in range(top, level, -1):
        while True:
            row = int(upper_start[current]) + layer - 1
            best = min([current, *neighbours(upper, row)], key=lambda v: (distance(codes, bias, v, query), v))
            if best == current:
                break
            current = best
    return current


def select(codes, bias, own, candidates, limit, strictness):
    """The links chosen of `candidates` (slots, nearest first) for node `own`."""
    picked, offset = [], offsets(codes, bias)
    for slot in candidates:
        to_node = distance(codes, bias, slot, signed(codes, own)) + int(offset[own])
        between = [distance(codes, bias, slot, signed(codes, p)) + int(offset[p]) for p in picked]
        if all(16 * d >= strictness * to_node for d in between):
            picked.append(slot)
            if len(picked) == limit:
                break
    return picked


def own_links(graph, params, node, first):
    """The links per layer that `node` of the batch from `first` on chooses; `graph` is without the batch."""
    codes, bias, query = graph.codes, graph.bias, signed(graph.codes, node)
    level = int(graph.levels[node])
    seed = graph.entry
    if first:
        seed = descend(
            codes, bias, graph.upper, graph.upper_start, query, seed, graph.top, min(level, graph.top)
        )
    result = {}
    for layer in range(level, -1, -1):
        found = []
        if first and layer <= graph.top:
            table = graph.upper if layer else graph.links
            rows_of = (lambda v, up=layer - 1: int(graph.upper_start[v]) + up) if layer else (lambda v: v)
            found, _ = walk(codes, bias, table, rows_of, query, seed, params.ef_construction, newest=True)
            seed = found[0]
        found += [other for other in range(first, node) if graph.levels[other] >= layer]
        found.sort(key=lambda v: (distance(codes, bias, v, query), -v))
        found = found[: params.ef_construction]
        result[layer] = select(codes, bias, node, found, params.m, params.strictness)
    return result


def merged_links(codes, bias, own, old, new, cap, strictness):
    """The links of `own` after the reverse edges `new` are added to `old`."""
    if len(old) + len(new) <= cap:
        return old + new
    query = signed(codes, own)
    candidates = sorted(old + new, key=lambda v: (distance(codes, bias, v, query), v))
    return select(codes, bias, own, candidates, cap, strictness)


def reachable(links, rows, entry):
    """How many nodes `entry` leads to on layer 0."""
    seen, waiting = {entry}, [entry]
    while waiting:
        for slot in neighbours(links, waiting.pop()):
            if slot not in seen:
                seen.add(slot)
                waiting.append(slot)
    return len(seen)


def record(links, width, vector, inverse_norm, words, keys, node):
    """The words of the record of a node, in a list."""
    bits = np.asarray(vector, np.float32).view(np.uint32).tolist()
    norm = int(np.float32(inverse_norm).view(np.uint32))
    body = [norm, len(links), *links, *[0] * (width - len(links)), *bits]
    body += [0] * (words - 2 - len(body))
    keys = [int(key) for key in keys]
    total = keys[0] * (node + 1) + sum(key * word for key, word in zip(keys[2:], body, strict=True))
    return [total % 2**32, total // 2**32 % 2**32, *body]


def walk_records(codes, bias, links_of, query, seed, limit, beam):
    """The nodes of layer 0 that a walk expands, `beam` at a time, in their order."""
    pool, seen, expanded = [(distance(codes, bias, seed, query), seed)], {seed}, []
    while True:
        asked = [slot for _, slot in pool if slot not in expanded][:beam]
        if not asked:
            return expanded
        expanded += asked
        for node in asked:
            fresh = [slot for slot in links_of(node) if slot < len(bias) and slot not in seen]
            seen.update(fresh)
            pool = sorted([*pool, *((distance(codes, bias, slot, query), slot) for slot in fresh)])[:limit]
