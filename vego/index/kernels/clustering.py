"""k-means on 8-bit codes: choosing the first centres, and the nearest centre of each row.

Distances of two codes are those of vego/index/kernels/distance.py under L2, in integers: the same on every machine
and for any number of threads.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel, kernel
from vego.index.kernels.intrinsics import dot_codes
from vego.index.kernels.walk import insert, pool_key, slot_of

WEIGHED = 4  # centres nearest by code that are compared in float32


@kernel
def lower_distances(codes, bias, centre, offset, start, stop, nearest):
    """nearest[i] = min(nearest[i], squared code distance of row i to centre[0]) for rows [start, stop)."""
    for i in range(start, stop):
        distance = np.int64(bias[i]) - 2 * np.int64(dot_codes(codes, i, centre, 0)) + offset
        nearest[i] = min(nearest[i], distance)


@distance_kernel
def nearest_centroids(points, codes, centres, offsets, centroids, start, stop, lists):
    """Write the nearest centroid of the rows [start, stop): by code first, then in float32 among the best few.

    points (n, d) float32 and their codes u8; centres i8, the signed codes of the centroids (lists, d) float32, and
    offsets int32 their `offset`.
    """
    count = centroids.shape[0]
    weighed = min(WEIGHED, count)
    pool = np.empty(weighed, np.int64)
    for i in range(start, stop):
        held = 0
        worst = np.int64(0x7FFFFFFFFFFFFFFF)
        for c in range(count):
            distance = np.int64(offsets[c]) - 2 * np.int64(dot_codes(codes, i, centres, c))
            key = pool_key(distance, c)
            if key < worst:
                insert(pool, held, weighed, key)
                held = min(held + 1, weighed)
                if held == weighed:
                    worst = pool[weighed - 1]
        row = points[np.uint32(i)]
        best, chosen = np.float32(np.inf), slot_of(pool[0])
        for j in range(held):
            number = slot_of(pool[j])
            centroid = centroids[np.uint32(number)]
            total = np.float32(0)
            for t in range(row.shape[0]):
                total += (row[t] - centroid[t]) * (row[t] - centroid[t])
            if total < best or (total == best and number < chosen):
                best, chosen = total, number
        lists[i] = chosen


@distance_kernel
def add_members(points, lists, start, stop, totals, members):
    """Add the rows [start, stop) to the totals (lists, d) float64 and members (lists,) int64 of their lists."""
    for i in range(start, stop):
        row, total = points[np.uint32(i)], totals[np.uint32(lists[i])]
        for t in range(row.shape[0]):
            total[t] += row[t]
        members[lists[i]] += 1
