"""What an HNSW graph is built with, and the layer every slot belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vego.errors import InvalidArgumentError
from vego.index.metrics import Metric
from vego.vector_type import BITS, Element, VectorType

MAX_DIMENSION = 32_768  # the int32 distances of codes are exact up to here
MAX_LEVEL = 15
LINKS_PER_LINE = 16  # uint32 in a cache line; link rows of a file are whole lines


@dataclass(frozen=True, kw_only=True)
class HnswParams:
    """Construction parameters; raises InvalidArgumentError for one out of its bounds.

    `m` links per node and layer are chosen (2 m may be kept on layer 0); `ef_construction` candidates are
    looked at to choose them; `seed` decides the layers. `widest_code`: codes of so many bytes are the widest, whatever
    that loses, where the metric lets dimensions be left out at all; 0: as wide as neighbours need.
    """

    metric: Metric
    dimension: int
    m: int = 16
    ef_construction: int = 128
    seed: int = 0
    widest_code: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "dimension": (1, MAX_DIMENSION),
            "m": (2, 512),
            "ef_construction": (1, 65_536),
            "seed": (0, (1 << 64) - 1),
            "widest_code": (0, MAX_DIMENSION),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise InvalidArgumentError(
                    f"{name}: expected a whole number, {low} to {high}, found {value!r}"
                )
        if self.metric is Metric.HAMMING:
            VectorType(Element.BIT, self.dimension).checked()

    @property
    def strictness(self) -> int:
        """Sixteenths in the choice of links (kernels/hnsw_build.py), of squared distances under l2 and cosine.

        Products have signs and get no slack; at 16 the constant that their distances lack does not count either.
        """
        return {Metric.INNER_PRODUCT: 16, Metric.L1: 15, Metric.HAMMING: 15}.get(self.metric, 14)

    @property
    def row_width(self) -> int:
        """Items of a stored row: components, or bytes of bits."""
        return self.dimension // BITS if self.metric is Metric.HAMMING else self.dimension

    @property
    def link_width(self) -> int:
        """Entries of one layer-0 link row: 2 m, in whole cache lines of the file."""
        return -(-2 * self.m // LINKS_PER_LINE) * LINKS_PER_LINE


def levels_of(params: HnswParams, start: int, stop: int) -> npt.NDArray[np.uint8]:
    """Top layers of the slots [start, stop): geometric with ratio 1 / m, by a hash of seed and slot alone.

    The hash is the finaliser of splitmix64 (Steele, Lea and Flood, 2014).
    """
    x = np.arange(start, stop, dtype=np.uint64) + np.uint64(params.seed)
    x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    uniform = ((x >> np.uint64(11)).astype(np.float64) + 0.5) / (1 << 53)
    levels: npt.NDArray[np.float64] = np.minimum(-np.log(uniform) / np.log(params.m), MAX_LEVEL)
    return levels.astype(np.uint8)
