"""Search of inverted lists: which lists to look at, the scan of each by its codes, exact re-ranking.

Rows lie list after list: `slots[p]` is the slot of place p, and list l has the places starts[l] .. starts[l + 1].
One call answers any number of queries, ascending by (distance, slot), padded with -1 and infinity. A list with
`sizes[l] == 0` has nothing to find and is passed over, so that under a filter only lists with accepted rows count.
`vectors` and `inverse_norms` are the tables of vego/index/kernels/rows.py; blocks that are not settled are noted there.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel, kernel
from vego.index.kernels.code_scan import AHEAD
from vego.index.kernels.distance import (
    COSINE,
    INNER_PRODUCT,
    L2,
    encode_query,
    inverse_norm,
    operation_of,
    rank_value,
    reported_distance,
)
from vego.index.kernels.fastscan import sum_block
from vego.index.kernels.hnsw_search import rerank_pool
from vego.index.kernels.product_codes import query_table
from vego.index.kernels.rotation import rotate_rows
from vego.index.kernels.rows import (
    address_at,
    address_in,
    array_with,
    kind_of,
    norm_at,
    prefetch_row,
    prefetch_vector,
    row_bytes,
)
from vego.index.kernels.scoring import half_sum, row_address, row_sum
from vego.index.kernels.walk import WORST, insert, key_of, pool_key, slot_of

BLOCK = 32  # rows of a block of 4-bit codes


@kernel
def ordered(value, slot):
    """Pool key of a float32 value, which may be negative, and a slot."""
    bits = np.int64(np.float32(value).view(np.int32))
    if bits < 0:
        bits ^= 0x7FFFFFFF
    return pool_key(bits, slot)


@kernel
def value_of(key):
    """The float32 value of a key that `ordered` made."""
    bits = key >> 32
    if bits < 0:
        bits ^= 0x7FFFFFFF
    return np.int32(bits).view(np.float32)


@distance_kernel
def nearest_lists(metric, query, centre_codes, centre_bias, frame, inverse_step, sizes, code, pool):
    """Fill `pool` with keys of the lists nearest by the codes of their centroids; returns how many."""
    encode_query(INNER_PRODUCT if metric == INNER_PRODUCT else L2, query, frame, inverse_step, code[0])
    count, limit = 0, pool.shape[0]
    worst = WORST
    for number in range(sizes.shape[0]):
        if sizes[number] == 0:
            continue
        key = key_of(centre_codes, centre_bias, number, code)
        if key < worst:
            insert(pool, count, limit, key)
            count = min(count + 1, limit)
            if count == limit:
                worst = pool[limit - 1]
    return count


@distance_kernel
def list_distance(metric, centroids, number, query):
    """What a row at the centroid would rank by: squared distance, or -dot under inner product."""
    centroid = centroids[np.uint32(number)]
    total = np.float32(0)
    if metric == INNER_PRODUCT:
        for j in range(query.shape[0]):
            total += query[j] * centroid[j]
        return -total
    for j in range(query.shape[0]):
        total += (query[j] - centroid[j]) * (query[j] - centroid[j])
    return total


@distance_kernel
def normalised(metric, query, out):
    """Write the query, of length 1 under cosine, to `out`; returns its inverse norm."""
    inverse = inverse_norm(query) if metric == COSINE else np.float32(1)
    for j in range(query.shape[0]):
        out[j] = query[j] * inverse
    return inverse


@distance_kernel
def rerank_bounded(
    metric, vectors, inverse_norms, query, query_inverse, pool, count, slots, distances, order
):
    """Score candidates in float32 by rising lower bound, until the next bound is above the k-th best.

    Returns how many were scored. `order` int64 (k,) is scratch.
    """
    k = slots.shape[0]
    scale = np.float32(0.5) if metric == COSINE else np.float32(1)  # half the squared distance is 1 - cos
    found = 0
    scored = count
    size, kind, operation = row_bytes(vectors), kind_of(vectors), operation_of(metric)
    chunk = ahead = np.uint64(0)  # the arrays that the last rows were in
    for i in range(-AHEAD, count):
        if i + AHEAD < count:
            slot = slot_of(pool[np.uint64(i + AHEAD)])
            ahead = array_with(vectors, ahead, slot)
            prefetch_row(vectors, ahead, slot, size)
        if i < 0:
            continue
        if found == k and value_of(pool[np.uint64(i)]) * scale > distances[k - 1]:
            scored = i
            break
        slot = slot_of(pool[np.uint64(i)])
        chunk = array_with(vectors, chunk, slot)
        # No kernel of its own: see kernels/scoring.py for what a call with arrays costs.
        total = row_sum(operation, kind, address_in(vectors, chunk, slot, size), query)
        inverse = norm_at(vectors, inverse_norms, chunk, slot) if metric == COSINE else np.float32(1)
        value = rank_value(metric, total, inverse, query_inverse)
        if np.isnan(value):
            value = np.float32(np.inf)
        place = min(found, k - 1)
        if found == k and not (
            value < distances[place] or (value == distances[place] and slot < order[place])
        ):
            continue
        while place > 0 and (
            distances[place - 1] > value or (distances[place - 1] == value and order[place - 1] > slot)
        ):
            distances[place] = distances[place - 1]
            order[place] = order[place - 1]
            place -= 1
        distances[place] = value
        order[place] = slot
        found = min(found + 1, k)
    for i in range(k):
        slots[i] = order[i] if i < found else -1
        distances[i] = reported_distance(metric, distances[i]) if i < found else np.float32(np.inf)
    return scored


@distance_kernel
def scan_blocks(
    blocks, weight, bias, error, slots, first, last, table, low, step, base, slack, accept, pool, count, values, sums
):  # fmt: skip
    """Keep in `pool` the rows of the blocks [first, last) with the least lower bounds; returns how many it holds.

    The bound of a row is base + bias + weight (low + step sum) - slack error; padding has an infinite bias.
    """
    limit = pool.shape[0]
    worst = value_of(pool[limit - 1]) if count == limit else np.float32(np.inf)
    for block in range(first, last):
        sum_block(blocks, block, table, sums)
        factors, terms, errors = weight[np.uint32(block)], bias[np.uint32(block)], error[np.uint32(block)]
        below = 0
        for i in range(BLOCK):
            total = np.float32(np.int32(sums[i]))
            bound = base + terms[i] + factors[i] * (low + step * total) - slack * errors[i]
            values[i] = bound
            below += 1 if bound < worst else 0
        if below == 0:
            continue
        members = slots[np.uint32(block)]
        for i in range(BLOCK):
            if values[i] < worst and (accept.shape[0] == 0 or accept[members[i]]):
                insert(pool, count, limit, ordered(values[i], members[i]))
                count = min(count + 1, limit)
                if count == limit:
                    worst = value_of(pool[limit - 1])
    return count


@distance_kernel
def search_blocks(
    metric, vectors, inverse_norms, centroids, centre_codes, centre_bias, frame, inverse_step, starts, sizes,
    codewords, signs, blocks, weight, bias, error, members, queries, nprobe, rerank, epsilon, accept,
    slots, distances, scored,
):  # fmt: skip
    """k nearest of each query in lists of 4-bit codes; scored[i] is how many rows were scored in float32.

    `starts` counts blocks. A row is left out where even its true distance less `epsilon` standard deviations of
    the estimate does not bring it among the `rerank` best.
    """
    dimension = queries.shape[1]
    point = np.empty((1, dimension), np.float32)
    code = np.empty((1, centre_codes.shape[1]), np.int8)
    lists = np.empty(nprobe, np.int64)
    pool = np.empty(rerank, np.int64)
    order = np.empty(slots.shape[1], np.int64)
    products = np.empty((18, codewords.shape[2]), np.float32)
    table = np.empty(blocks.shape[1], np.uint8)
    values = np.empty(BLOCK, np.float32)
    sums = np.empty(BLOCK, np.uint16)
    factor = np.float32(-1) if metric == INNER_PRODUCT else np.float32(-2)
    deviation = np.float32(epsilon) / np.sqrt(np.float32(max(dimension - 1, 1)))
    for i in range(queries.shape[0]):
        inverse = normalised(metric, queries[i], point[0])
        length = np.float32(0)
        for j in range(dimension):
            length += point[0, j] * point[0, j]
        near = nearest_lists(
            metric, point[0], centre_codes, centre_bias, frame, inverse_step, sizes, code, lists
        )
        for j in range(near):
            lists[j] = ordered(
                list_distance(metric, centroids, slot_of(lists[j]), point[0]), slot_of(lists[j])
            )
        rotate_rows(point, signs)
        low, step = query_table(point[0], factor, codewords, products, table)
        low -= np.float32(epsilon) * step * np.sqrt(np.float32(codewords.shape[2]) / np.float32(12))
        count = np.int64(0)
        for j in range(near):
            number = slot_of(lists[j])
            base = value_of(lists[j])
            spread = np.sqrt(length) if metric == INNER_PRODUCT else np.float32(2) * np.sqrt(base)
            count = scan_blocks(
                blocks, weight, bias, error, members, starts[number], starts[number + 1], table, low, step,
                base, deviation * spread, accept, pool, count, values, sums,
            )  # fmt: skip
        scored[i] = rerank_bounded(
            metric, vectors, inverse_norms, queries[i], inverse, pool, count, slots[i], distances[i], order
        )


@distance_kernel
def search_bytes(
    metric, vectors, inverse_norms, centre_codes, centre_bias, frame, inverse_step, starts, sizes,
    row_frame, row_inverse_step, codes, bias, members, queries, nprobe, rerank, accept, slots, distances,
):  # fmt: skip
    """k nearest of each query in lists of 8-bit codes (kernels/distance.py), the `rerank` best scored in float32."""
    point = np.empty(queries.shape[1], np.float32)
    centre_code = np.empty((1, centre_codes.shape[1]), np.int8)
    code = np.empty((1, codes.shape[1]), np.int8)
    lists = np.empty(nprobe, np.int64)
    pool = np.empty(rerank, np.int64)
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    for i in range(queries.shape[0]):
        normalised(metric, queries[i], point)
        near = nearest_lists(
            metric, point, centre_codes, centre_bias, frame, inverse_step, sizes, centre_code, lists
        )
        inverse = encode_query(metric, queries[i], row_frame, row_inverse_step, code[0])
        count, worst = np.int64(0), WORST
        for j in range(near):
            number = slot_of(lists[j])
            for place in range(starts[number], starts[number + 1]):
                slot = members[np.uint32(place)]
                if accept.shape[0] and not accept[slot]:
                    continue
                key = pool_key(key_of(codes, bias, np.uint32(place), code) >> 32, slot)
                if key < worst:
                    insert(pool, count, rerank, key)
                    count = min(count + 1, rerank)
                    if count == rerank:
                        worst = pool[rerank - 1]
        rerank_pool(
            metric, vectors, inverse_norms, queries[i], inverse, np.float64(0), pool, count, slots[i], distances[i],
            exact, order,
        )  # fmt: skip


@kernel
def ask(vectors, members, first, last, accept):
    """Ask for the rows of the accepted members [first, last) ahead of their use; see `prefetch_vector`."""
    for place in range(first, last):
        slot = members[np.uint32(place)]
        if accept.shape[0] == 0 or accept[slot]:
            prefetch_vector(vectors, np.int64(slot))


@distance_kernel
def scan_halves(metric, kind, halves, members, first, last, point, accept, pool, count):
    """Keep in `pool` the nearest of the places [first, last) by their 16-bit floats; returns how many it holds."""
    limit = pool.shape[0]
    worst = pool[limit - 1] if count == limit else WORST
    for place in range(first, last):
        slot = members[np.uint32(place)]
        if accept.shape[0] and not accept[slot]:
            continue
        value = half_sum(metric != L2, kind, row_address(halves, np.uint32(place)), point)
        if metric != L2:
            value = -value
        if np.isnan(value):
            value = np.float32(np.inf)
        key = ordered(value, slot)
        if key < worst:
            insert(pool, count, limit, key)
            count = min(count + 1, limit)
            if count == limit:
                worst = pool[limit - 1]
    return count


@distance_kernel
def scan_members(metric, vectors, inverse_norms, members, first, last, point, accept, pool, count):
    """`scan_halves` by the rows of `vectors` themselves."""
    limit = pool.shape[0]
    worst = pool[limit - 1] if count == limit else WORST
    chunk = np.uint64(0)  # the array that the last row was in
    ask(vectors, members, first, min(first + AHEAD, last), accept)
    for place in range(first, last):
        ask(vectors, members, place + AHEAD, min(place + AHEAD + 1, last), accept)
        slot = members[np.uint32(place)]
        if accept.shape[0] and not accept[slot]:
            continue
        chunk = array_with(vectors, chunk, np.int64(slot))
        value = row_sum(operation_of(metric), kind_of(vectors), address_at(vectors, chunk, slot), point)
        if metric == COSINE:
            value *= norm_at(vectors, inverse_norms, chunk, slot)
        if metric != L2:
            value = -value
        if np.isnan(value):
            value = np.float32(np.inf)
        key = ordered(value, slot)
        if key < worst:
            insert(pool, count, limit, key)
            count = min(count + 1, limit)
            if count == limit:
                worst = pool[limit - 1]
    return count


@distance_kernel
def search_halves(
    metric, vectors, inverse_norms, centre_codes, centre_bias, frame, inverse_step, starts, sizes,
    kind, halves, members, queries, nprobe, rerank, accept, slots, distances,
):  # fmt: skip
    """k nearest of each query in lists of 16-bit floats, or of rows of `vectors` where `halves` has no columns."""
    point = np.empty(queries.shape[1], np.float32)
    code = np.empty((1, centre_codes.shape[1]), np.int8)
    lists = np.empty(nprobe, np.int64)
    pool = np.empty(rerank, np.int64)
    exact = np.empty(rerank, np.float32)
    order = np.empty(rerank, np.int64)
    for i in range(queries.shape[0]):
        inverse = normalised(metric, queries[i], point)
        near = nearest_lists(
            metric, point, centre_codes, centre_bias, frame, inverse_step, sizes, code, lists
        )
        count = np.int64(0)
        for j in range(near):
            number = slot_of(lists[j])
            first, last = starts[number], starts[number + 1]
            if halves.shape[1]:
                count = scan_halves(
                    metric, kind, halves, members, first, last, point, accept, pool, count
                )  # fmt: skip
            else:
                count = scan_members(
                    metric, vectors, inverse_norms, members, first, last, point, accept, pool, count
                )  # fmt: skip
        rerank_pool(
            metric, vectors, inverse_norms, queries[i], inverse, np.float64(0), pool, count, slots[i], distances[i],
            exact, order,
        )  # fmt: skip
