"""Search of tables of buckets: the buckets nearest to a query's keys, all their rows scored exactly.

`slots` (tables, rows) are the slots of each table bucket by bucket, starts[t, b] .. starts[t, b + 1] those of bucket
b. Buckets are taken in the order of `masks`, which a key is changed by: nearest first, in all tables at once.
`vectors` is the table of vego/index/kernels/rows.py; blocks that are not settled are noted there.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import kernel
from vego.index.kernels.code_scan import AHEAD
from vego.index.kernels.distance import HAMMING, operation_of
from vego.index.kernels.flat import UNFILLED, in_order, sift_down
from vego.index.kernels.rows import address_in, array_with, kind_of, prefetch_row, row_bytes
from vego.index.kernels.scoring import row_sum
from vego.index.kernels.walk import next_stamp


@kernel
def keys_of_query(query, positions, keys):
    """Write the key of each table to `keys`: bit j of it is bit positions[t, j] of the query, uint8 (d / 8,)."""
    for t in range(positions.shape[0]):
        key = np.uint32(0)
        for j in range(positions.shape[1]):
            place = np.uint64(positions[t, j])
            bit = (
                query[place >> np.uint64(3)] >> np.uint8(np.uint64(7) - (place & np.uint64(7)))
            ) & np.uint8(1)
            key |= np.uint32(bit) << np.uint32(j)
        keys[t] = key


@kernel
def search_buckets(
    vectors, positions, members, starts, masks, queries, ef, accept, stamps, slots, distances, scored
):  # fmt: skip
    """k nearest of each query among the rows of `ef` buckets of each table, or of more where those have fewer than k.

    `accept` of length 0 allows all. Results as of `exact_scan`; scored[i] is how many rows were scored.
    """
    k = slots.shape[1]
    size, kind = row_bytes(vectors), kind_of(vectors)
    chunk = ahead = np.uint64(0)  # the arrays that the last rows were in
    keys = np.empty(positions.shape[0], np.uint32)
    distances[:] = np.inf
    slots[:] = UNFILLED
    for i in range(queries.shape[0]):
        query = queries[i]
        best, of_best = distances[i], slots[i]
        keys_of_query(query, positions, keys)
        stamp = next_stamp(stamps)
        found = 0
        for probe in range(masks.shape[0]):
            if probe >= ef and found >= k:
                break
            for t in range(keys.shape[0]):
                bucket = np.uint32(keys[t] ^ masks[probe])
                row = members[t]
                first, last = np.int64(starts[t, bucket]), np.int64(starts[t, bucket + np.uint32(1)])
                for place in range(first - AHEAD, last):
                    if place + AHEAD < last:
                        slot = np.int64(row[np.uint64(place + AHEAD)])
                        ahead = array_with(vectors, ahead, slot)
                        prefetch_row(vectors, ahead, slot, size)
                    if place < first:
                        continue
                    slot = np.int64(row[np.uint64(place)])
                    if stamps[np.uint64(slot)] == stamp:
                        continue
                    stamps[np.uint64(slot)] = stamp
                    if accept.shape[0] and not accept[slot]:
                        continue
                    found += 1
                    chunk = array_with(vectors, chunk, slot)
                    value = row_sum(
                        operation_of(HAMMING), kind, address_in(vectors, chunk, slot, size), query
                    )
                    if value < best[0] or (value == best[0] and slot < of_best[0]):
                        sift_down(best, of_best, k, value, slot)
        scored[i] = found
    in_order(HAMMING, slots, distances)
