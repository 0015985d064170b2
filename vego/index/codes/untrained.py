"""What codes have in common that learn nothing of the rows they stand for."""

# ruff: noqa: ARG003 (all codes are trained by one signature)

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from vego.index.metrics import Metric

Array = npt.NDArray[Any]


class Untrained(ABC):
    """A code that metric, dimension and seed say all of."""

    @classmethod
    @abstractmethod
    def restore(cls, metric: Metric, dimension: int, values: npt.NDArray[np.float32], seed: int) -> Self:
        """The code for that metric, dimension and seed; `values` is empty."""

    @classmethod
    def train(cls, metric: Metric, residuals: Array, sample: Array, seed: int) -> Self:
        """The code for rows (n, d) like `sample`."""
        return cls.restore(metric, sample.shape[1], np.empty(0, np.float32), seed)

    def trained(self) -> npt.NDArray[np.float32]:
        """Nothing."""
        return np.empty(0, np.float32)

    @classmethod
    def trained_size(cls, dimension: int) -> int:
        """0."""
        return 0
