"""Vectors as 16-bit floats: half the bytes of float32, distances from them directly."""

# ruff: noqa: ARG003 (all codes are restored by one signature)

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from vego.index.codes.coder import Arrays, Call
from vego.index.codes.rows import RowCoder
from vego.index.codes.untrained import Untrained
from vego.index.metrics import Metric
from vego.index.views import kernel_view

Array = npt.NDArray[Any]


class Float16Coder(Untrained, RowCoder):
    """IEEE half precision: 11 significant bits, values up to 65,504, larger ones become that."""

    kind: ClassVar[str] = "f16"
    number: ClassVar[int] = 0  # of kernels/halves.py

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def columns(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """The values as bits."""
        return {"halves": (np.uint16, (self.dimension,))}

    def encode(self, points: Array, centroids: Array, lists: Array) -> Arrays:  # noqa: ARG002
        """The values rounded."""
        from vego.index.kernels.halves import round_rows  # numba loads on first use

        halves = np.empty(points.shape, np.uint16)
        round_rows(self.number, points, halves)
        return {"halves": halves}

    @classmethod
    def restore(cls, metric: Metric, dimension: int, values: npt.NDArray[np.float32], seed: int) -> Self:
        """The code of that dimension."""
        return cls(dimension)

    def default_rerank(self, k: int) -> int:
        """A few more than k: rounding changes the order of near ones."""
        return k + 10

    def search(self, call: Call, arrays: Arrays, queries: Array, slots: Array, distances: Array) -> None:
        """Write the nearest slots of each query."""
        from vego.index.kernels.ivf_search import search_halves  # numba loads on first use

        search_halves(
            call.metric, call.vectors, call.inverse_norms, *call.probing[1:],
            self.number, kernel_view(arrays["halves"]),
            call.members, queries, call.nprobe, call.rerank, call.accept, slots, distances,
        )  # fmt: skip


class BFloat16Coder(Float16Coder):
    """The upper half of a float32: 8 significant bits, every magnitude."""

    kind: ClassVar[str] = "bf16"
    number = 1

    def default_rerank(self, k: int) -> int:
        """As for 8-bit codes."""
        return 2 * k + 10
