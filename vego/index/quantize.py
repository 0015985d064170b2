"""The scale of the 8-bit codes: one centre per dimension, one step for all, and the axes that are kept.

A common shift per dimension changes no distance, so the centre is free and spares the levels that a dimension
with a large mean would cost. Under inner product it would change the order, so there the centre is 0 and all
dimensions are kept, as they are under l1, whose distances a rotation changes. The formulas that use the scale are
in vego/index/kernels/distance.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.metrics import Metric
from vego.index.projection import STEP, choose_axes
from vego.index.views import aligned_empty, kernel_view
from vego.table.vectors import Vectors

SAMPLE_ROWS = 2048
SAMPLE_VALUES = 1 << 19
CLIPS = 2.0 ** (-np.arange(12) / 2)  # candidate ranges, as fractions of the largest value

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CodeScale:
    """A code is clip(rint(y / step) + 128, 0, 255) of y = x - centre, or y = (x - centre) @ axes where there are axes.

    Under cosine x is normalised. `lost` is the share of squared length that the axes left out of the rows they were
    chosen for.
    """

    centre: npt.NDArray[np.float32]  # (d,)
    step: float
    axes: npt.NDArray[np.float32] | None = None  # (d, width), orthonormal
    lost: float = 0.0

    @property
    def inverse_step(self) -> np.float32:
        """1 / step as kernels take it."""
        return np.float32(1 / self.step)

    @property
    def code_width(self) -> int:
        """Bytes of one code row: its dimensions, in whole cache lines."""
        return -(-(len(self.centre) if self.axes is None else self.axes.shape[1]) // 64) * 64

    @property
    def bias_in_rows(self) -> bool:
        """Whether a code row ends with its bias, as the axes leave room for it."""
        return self.axes is not None and self.axes.shape[1] < self.code_width

    @cached_property
    def frame(self) -> tuple[Array, Array, Array]:
        """How kernels encode queries: the centre (d,), and the axes in 8 bits.

        Those are uint8 as vego/index/kernels/on_axes.py has them, an axis being (bytes - 128) * step by the steps
        (width,) float32; no rows where all dimensions are kept.
        """
        if self.axes is None:
            return kernel_view(self.centre), np.empty(0, np.float32), aligned_empty((0, 4 * STEP), np.uint8)
        dimension, width = self.axes.shape
        steps = np.maximum(np.abs(self.axes).max(axis=0), np.float32(1e-30)) / np.float32(127)
        strips, groups = -(-width // STEP), -(-dimension // STEP) * STEP // 4
        whole = np.zeros((strips * STEP, 4 * groups), np.uint8)
        whole[:width, :dimension] = np.rint(self.axes / steps).T + 128
        packed = aligned_empty((strips * groups, 4 * STEP), np.uint8)
        packed.reshape(strips, groups, STEP, 4)[...] = whole.reshape(strips, STEP, groups, 4).swapaxes(1, 2)
        return kernel_view(self.centre), steps.astype(np.float32), packed

    def reduced(self, rows: Array) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`rows` (n, d), normalised under cosine, on the axes (n, width), and the squared length left out (n,)."""
        assert self.axes is not None
        spread = rows - self.centre
        short = spread @ self.axes
        lost = np.einsum("ij,ij->i", spread, spread) - np.einsum("ij,ij->i", short, short)
        return short, np.maximum(lost, np.float32(0))


def train_scale(
    metric: Metric, vectors: Vectors, rows: int, widest: int = 0, *, all_dimensions: bool = False
) -> CodeScale:
    """The scale with the least squared error over an even sample of the first `rows` rows.

    With `all_dimensions` no axes are chosen; `widest` is that of `choose_axes`. Under hamming there is nothing to
    scale: the centre has one zero a byte.
    """
    if metric is Metric.HAMMING:
        return CodeScale(np.zeros(vectors.width, np.float32), 1.0)

    def rows_at(slots: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        picked = vectors.floats(slots)
        return picked * vectors.inverse_norms(slots)[:, None] if metric is Metric.COSINE else picked

    dimension = vectors.dimension
    size = max(1, min(SAMPLE_ROWS, SAMPLE_VALUES // dimension, rows))
    sample = rows_at(np.linspace(0, rows - 1, size).astype(np.int64))
    centre = np.zeros(dimension, np.float32)
    if metric is not Metric.INNER_PRODUCT:
        centre = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = sample - centre
    if not _codes_hold(spread):
        return CodeScale(centre, 1.0)
    axes = None
    if metric in (Metric.L2, Metric.COSINE) and not all_dimensions:
        axes = choose_axes(rows_at, rows, centre, widest)
    lost = 0.0
    if axes is not None:
        whole = float(np.square(spread, dtype=np.float64).sum())
        spread = spread @ axes
        lost = max(0.0, 1 - float(np.square(spread, dtype=np.float64).sum()) / whole)
        if not _codes_hold(spread):
            return CodeScale(centre, 1.0)
    peak = float(np.abs(spread).max())
    errors = []
    for step in peak * CLIPS / 127:
        codes = np.clip(np.rint(spread / step), -128, 127)
        errors.append(float(np.square(codes * step - spread).sum(dtype=np.float64)))
    return CodeScale(centre, float(peak * CLIPS[int(np.argmin(errors))] / 127), axes, lost)


def _codes_hold(spread: Array) -> bool:
    """Whether codes can say anything of such values: not if all rows are equal, or too large for any scale."""
    return bool(1e-30 < float(np.abs(spread).max()) < 1e30)
