"""Centroids by k-means, and the list that each row belongs to; the same for any number of threads.

The first centres are chosen on a part of the sample, half of the chances as k-means++ has them (Arthur and
Vassilvitskii, 2007) and half equal: by k-means++ alone outliers get lists of their own, and searches find less. Lloyd's
iterations follow on parts of it that double (nested mini-batches: Newling and Fleuret, 2016) until all of it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.metrics import Metric
from vego.index.quantize import CodeScale, train_scale
from vego.index.views import aligned_empty, kernel_view
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
Run = Callable[..., Iterable[Any]]

SEED_ROWS = 16  # of the sample for each list, that the first centres are chosen from
SHARES = (8, 8, 4, 4, 2, 2, 1, 1, 1)  # each iteration looks at so small a part of the sample
TASK_ROWS = 1024


@dataclass(frozen=True)
class Codes:
    """8-bit codes of some rows, as vego/index/kernels/distance.py has them."""

    rows: npt.NDArray[np.uint8]
    bias: npt.NDArray[np.int32]

    @classmethod
    def of(cls, metric: Metric, points: Array, scale: CodeScale) -> Codes:
        """The codes of points (n, d), C-contiguous, under l2 or inner product."""
        from vego.index.kernels.distance import encode_rows  # numba loads on first use

        count, width = len(points), -(-points.shape[1] // 64) * 64
        rows = aligned_empty((count, width), np.uint8)
        bias = np.empty(count, np.int32)
        known = Vectors.of(points, None)  # holds what the tables point to
        encode_rows(
            metric.code, *known.kernel_tables(), 0, count, kernel_view(scale.centre), scale.inverse_step,
            rows, bias,
        )  # fmt: skip
        return cls(rows, bias)

    @property
    def offset(self) -> npt.NDArray[np.int32]:
        """What makes distances to one of the rows comparable with those to another."""
        offset: npt.NDArray[np.int64] = self.bias + 256 * self.rows.sum(axis=1, dtype=np.int64)
        return offset.astype(np.int32)

    @property
    def signed(self) -> npt.NDArray[np.int8]:
        """The rows in the role of queries."""
        signed: npt.NDArray[np.int8] = (self.rows ^ np.uint8(128)).view(np.int8)
        return signed


def nearest(points: Array, centroids: Array, scale: CodeScale, run: Run) -> npt.NDArray[np.uint32]:
    """The number of the nearest centroid of each of points (n, d)."""
    if len(centroids) == 1:
        return np.zeros(len(points), np.uint32)
    return _nearest(points, Codes.of(Metric.L2, points, scale).rows, centroids, scale, run)


def _nearest(
    points: Array, codes: Array, centroids: Array, scale: CodeScale, run: Run
) -> npt.NDArray[np.uint32]:
    from vego.index.kernels.clustering import nearest_centroids

    centres = Codes.of(Metric.L2, centroids, scale)
    signed = centres.signed
    lists = np.empty(len(points), np.uint32)

    def task(first: int) -> None:
        last = min(first + TASK_ROWS, len(points))
        nearest_centroids(points, codes, signed, centres.offset, centroids, first, last, lists)

    for _ in run(task, range(0, len(points), TASK_ROWS)):
        pass
    return lists


def train_centroids(sample: Array, lists: int, seed: int, run: Run) -> tuple[Array, CodeScale]:
    """Centroids (lists, d) float32 of a sample (n >= lists, d) in random order, and the scale of codes for both.

    Fewer than `lists` come where the sample has fewer different rows.
    """
    from vego.index.kernels.clustering import add_members

    scale = train_scale(Metric.L2, Vectors.of(sample, None), len(sample), all_dimensions=True)
    if lists == 1:
        return sample.mean(axis=0, dtype=np.float64).astype(np.float32)[None], scale
    codes = Codes.of(Metric.L2, sample, scale)
    centroids = sample[_first_centres(codes, lists, seed)]
    lists = len(centroids)
    for share in SHARES:
        count = max(min(len(sample), SEED_ROWS * lists), len(sample) // share)
        assigned = _nearest(sample[:count], codes.rows, centroids, scale, run)
        totals, members = np.zeros(centroids.shape, np.float64), np.zeros(lists, np.int64)
        add_members(sample, assigned, 0, count, totals, members)
        centroids = centroids.copy()  # an empty list keeps its centroid
        used = members > 0
        centroids[used] = (totals[used] / members[used, None]).astype(np.float32)
    return centroids, scale


def _first_centres(codes: Codes, lists: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows chosen one after the other: the chance of one is its squared distance from those before, plus the mean."""
    from vego.index.kernels.clustering import lower_distances

    count = min(len(codes.rows), SEED_ROWS * lists)
    codes = Codes(codes.rows[:count], codes.bias[:count])
    signed, offset = codes.signed, codes.offset
    chances = (np.random.PCG64(seed).random_raw(lists) >> np.uint64(11)).astype(np.float64) / (1 << 53)
    near = np.full(count, np.iinfo(np.int64).max)
    chosen = [int(chances[0] * count)]
    for chance in chances[1:]:
        last = chosen[-1]
        lower_distances(codes.rows, codes.bias, signed[last : last + 1], int(offset[last]), 0, count, near)
        ends = np.cumsum(np.where(near > 0, near + near.mean(), 0.0))
        if ends[-1] <= 0:
            break  # every row is one of those chosen
        chosen.append(min(int(np.searchsorted(ends, chance * ends[-1], side="right")), count - 1))
    return np.array(chosen, np.int64)
