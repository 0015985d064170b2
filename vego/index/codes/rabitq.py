"""RaBitQ: one bit a component after a random rotation (Gao and Long, SIGMOD 2024).

The code of a turned residual is the signs of its components; the estimate of a product with it has no bias and a
known spread, whatever the data. Four signs make one 4-bit code, so that the fast scan of product codes does for
these as well, with codewords that are all vectors of four signs.
"""

# ruff: noqa: ARG003 (all codes are restored by one signature)

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from vego.index.codes.product import ProductCoder
from vego.index.codes.untrained import Untrained
from vego.index.metrics import Metric

TURNS = 4


class RaBitQCoder(Untrained, ProductCoder):
    """Signs of the components of a turned residual; nothing is learned but the seed of the rotation."""

    kind: ClassVar[str] = "rabitq"
    components: ClassVar[int] = 4

    @classmethod
    def restore(cls, metric: Metric, dimension: int, values: npt.NDArray[np.float32], seed: int) -> Self:
        """The code of that dimension and seed."""
        groups = -(-dimension // cls.components)
        bits = np.arange(16) >> np.arange(cls.components)[:, None] & 1
        codebooks = np.repeat((2 * bits - 1).astype(np.float32)[None], groups, axis=0)
        past = np.arange(groups * cls.components).reshape(groups, -1) >= dimension
        codebooks[past] = 0
        raw = np.random.PCG64(seed).random_raw(TURNS * dimension).reshape(TURNS, dimension)
        signs = np.where(raw >> np.uint64(63), np.float32(1), np.float32(-1))
        return cls(metric, codebooks, signs)

    def default_rerank(self, k: int) -> int:
        """A bound on how far down the list of estimates the k best may be; most searches stop before."""
        return 8 * k + 20
