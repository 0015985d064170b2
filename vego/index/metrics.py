"""The metrics: names, kernel codes, and what a distance and a score mean under each.

Distances ascend (nearest first): l2 is the Euclidean distance, l1 the sum of absolute differences, cosine is
1 - cos, ip is -dot, hamming the number of bits that differ (of vectors of bits, which have no other metric). Scores
descend (best first) and are what a distance says: l2, l1 and hamming 1 / (1 + d), cosine 1 - d = cos, ip -d = dot.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from vego.errors import InvalidArgumentError

# The numbers of vego/index/kernels/distance.py, repeated here so that naming a metric does not import numba.
_CODES = {"l2": 0, "cosine": 1, "ip": 2, "l1": 3, "hamming": 4}


class Metric(Enum):
    """A way to compare two vectors; the value is the name on disk."""

    L2 = "l2"
    COSINE = "cosine"
    INNER_PRODUCT = "ip"
    L1 = "l1"
    HAMMING = "hamming"

    def __init__(self, name: str) -> None:
        self.code = _CODES[name]  # the number kernels know this metric by

    @classmethod
    def parse(cls, name: str | Metric) -> Metric:
        """The metric of that name or alias, in any case; raises InvalidArgumentError for another."""
        if isinstance(name, Metric):
            return name
        found = _ALIASES.get(name.lower()) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(sorted(_ALIASES))
            raise InvalidArgumentError(f"unknown metric {name!r}; known are {known}")
        return found

    def scores(self, distances: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Scores (higher is better) of distances, element by element."""
        one = np.float32(1)
        if self in (Metric.L2, Metric.L1, Metric.HAMMING):
            return one / (one + distances)
        return one - distances if self is Metric.COSINE else -distances


_ALIASES = {
    "l2": Metric.L2,
    "euclidean": Metric.L2,
    "cosine": Metric.COSINE,
    "cos": Metric.COSINE,
    "ip": Metric.INNER_PRODUCT,
    "dot": Metric.INNER_PRODUCT,
    "inner_product": Metric.INNER_PRODUCT,
    "l1": Metric.L1,
    "manhattan": Metric.L1,
    "hamming": Metric.HAMMING,
}
