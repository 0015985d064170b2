"""The scale of the 8-bit codes: one centre per dimension, one step for all.

A common shift per dimension changes no distance, so the centre is free and spares the levels that a dimension
with a large mean would cost. Under inner product it would change the order, so there the centre is 0.
The formulas that use the scale are in vego/index/kernels/distance.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vego.index.metrics import Metric
from vego.table.vectors import Vectors

SAMPLE_ROWS = 2048
SAMPLE_VALUES = 1 << 19
CLIPS = 2.0 ** (-np.arange(12) / 2)  # candidate ranges, as fractions of the largest value


@dataclass(frozen=True)
class CodeScale:
    """A code is clip(rint((x - centre) / step) + 128, 0, 255), with x normalised under cosine."""

    centre: npt.NDArray[np.float32]  # (d,)
    step: float

    @property
    def inverse_step(self) -> np.float32:
        """1 / step as kernels take it."""
        return np.float32(1 / self.step)


def train_scale(metric: Metric, vectors: Vectors, rows: int) -> CodeScale:
    """The scale with the least squared error over an even sample of the first `rows` rows."""
    dimension = vectors.dimension
    size = max(1, min(SAMPLE_ROWS, SAMPLE_VALUES // dimension, rows))
    picks = np.linspace(0, rows - 1, size).astype(np.int64)
    sample = vectors.take(picks)
    if metric is Metric.COSINE:
        sample = sample * vectors.inverse_norms(picks)[:, None]
    centre = np.zeros(dimension, np.float32)
    if metric is not Metric.INNER_PRODUCT:
        centre = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = sample - centre
    peak = float(np.abs(spread).max())
    if not 1e-30 < peak < 1e30:  # all rows equal, or so large that no scale holds them: codes say nothing
        return CodeScale(centre, 1.0)
    errors = []
    for step in peak * CLIPS / 127:
        codes = np.clip(np.rint(spread / step), -128, 127)
        errors.append(float(np.square(codes * step - spread).sum(dtype=np.float64)))
    return CodeScale(centre, float(peak * CLIPS[int(np.argmin(errors))] / 127))
