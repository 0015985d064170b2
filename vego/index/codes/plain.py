"""No code: lists hold slots, and rows are scored in float32 from the caller's vectors."""

# ruff: noqa: ARG003 (all codes are restored by one signature)

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from vego.index.codes.coder import Arrays, Call
from vego.index.codes.rows import RowCoder
from vego.index.codes.untrained import Untrained
from vego.index.metrics import Metric

Array = npt.NDArray[Any]


class PlainCoder(Untrained, RowCoder):
    """Exact distances of every row of the lists looked at; no memory but 4 bytes a row for the slot."""

    kind: ClassVar[str] = "flat"

    def encode(self, points: Array, centroids: Array, lists: Array) -> Arrays:  # noqa: ARG002
        """No columns."""
        return {}

    @classmethod
    def restore(cls, metric: Metric, dimension: int, values: npt.NDArray[np.float32], seed: int) -> Self:
        """There is one."""
        return cls()

    def default_rerank(self, k: int) -> int:
        """The k best are exact already."""
        return k

    def search(self, call: Call, arrays: Arrays, queries: Array, slots: Array, distances: Array) -> None:  # noqa: ARG002
        """Write the nearest slots of each query."""
        from vego.index.kernels.ivf_search import search_halves  # numba loads on first use

        search_halves(
            call.metric, call.vectors, call.inverse_norms, *call.probing[1:], 0, np.empty((0, 0), np.uint16),
            call.members, queries, call.nprobe, call.rerank, call.accept, slots, distances,
        )  # fmt: skip
