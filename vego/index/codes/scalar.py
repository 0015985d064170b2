"""8-bit codes as the graph walks them (vego/index/quantize.py), in list order."""

# ruff: noqa: ARG003 (all codes are trained and restored by one signature)

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from vego.index.codes.coder import Arrays, Call
from vego.index.codes.rows import RowCoder
from vego.index.metrics import Metric
from vego.index.quantize import CodeScale, train_scale
from vego.index.views import kernel_view
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]


class ScalarCoder(RowCoder):
    """One byte a component, a common step for all."""

    kind: ClassVar[str] = "sq8"

    def __init__(self, metric: Metric, scale: CodeScale) -> None:
        self.metric, self.scale = metric, scale
        self.width = -(-len(scale.centre) // 64) * 64

    @classmethod
    def train(cls, metric: Metric, residuals: Array, sample: Array, seed: int) -> Self:
        """The scale of the sample, which is normalised already."""
        plain = Metric.L2 if metric is Metric.COSINE else metric
        return cls(metric, train_scale(plain, Vectors.of(sample, None), len(sample), all_dimensions=True))

    def columns(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Codes in whole cache lines, and what distances add."""
        return {"codes": (np.uint8, (self.width,)), "bias": (np.int32, ())}

    def encode(self, points: Array, centroids: Array, lists: Array) -> Arrays:  # noqa: ARG002
        """Codes and biases; points are normalised already."""
        from vego.index.kernels.distance import encode_rows  # numba loads on first use

        count = len(points)
        codes, bias = np.empty((count, self.width), np.uint8), np.empty(count, np.int32)
        plain = Metric.L2 if self.metric is Metric.COSINE else self.metric
        known = Vectors.of(points, None)  # holds what the tables point to
        encode_rows(
            plain.code, *known.kernel_tables(), 0, count, kernel_view(self.scale.centre), self.scale.inverse_step,
            codes, bias,
        )  # fmt: skip
        return {"codes": codes, "bias": bias}

    def trained(self) -> npt.NDArray[np.float32]:
        """The centre, then the step."""
        return np.append(self.scale.centre, np.float32(self.scale.step)).astype(np.float32)

    @classmethod
    def trained_size(cls, dimension: int) -> int:
        """The centre and the step."""
        return dimension + 1

    @classmethod
    def restore(cls, metric: Metric, dimension: int, values: npt.NDArray[np.float32], seed: int) -> Self:
        """The code of that scale."""
        step = float(values[-1])
        if not 1e-38 < step < 1e38:
            raise ValueError(f"step of the codes: {step}")
        return cls(metric, CodeScale(values[:-1].copy(), step))

    def default_rerank(self, k: int) -> int:
        """As the graph does."""
        return 2 * k + 10

    def search(self, call: Call, arrays: Arrays, queries: Array, slots: Array, distances: Array) -> None:
        """Write the nearest slots of each query."""
        from vego.index.kernels.ivf_search import search_bytes  # numba loads on first use

        search_bytes(
            call.metric, call.vectors, call.inverse_norms, *call.probing[1:],
            self.scale.frame, self.scale.inverse_step,
            kernel_view(arrays["codes"]), kernel_view(arrays["bias"]),
            call.members, queries, call.nprobe, call.rerank, call.accept, slots, distances,
        )  # fmt: skip
