"""What a code must offer to the lists of an index, and which codes there are.

Codes lie in units: one row each, or a block of 32. Arrays have one entry for each unit; `put` and `take` speak
of places, of which a unit has `unit_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vego.index.metrics import Metric

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


class Probing(NamedTuple):
    """How the kernels find the lists near a query: centroids, their 8-bit codes, where each list begins, in units.

    `frame` is that of the codes (`CodeScale.frame`).
    `sizes` (lists,) int64 are the rows of each list that may be found.
    """

    centroids: Array
    centre_codes: Array
    centre_bias: Array
    frame: tuple[Array, Array, Array]
    inverse_step: np.float32
    starts: Array
    sizes: Array


class Call(NamedTuple):
    """One search: the vectors behind the slots, and how hard to look.

    `vectors` and `inverse_norms` are tables of addresses: the caller keeps what they were made from.
    """

    metric: int
    vectors: Array
    inverse_norms: Array
    probing: Probing
    members: Array
    nprobe: int
    rerank: int
    accept: Array


class Coder(Protocol):
    """A trained code; immutable. Points are rows (n, d) float32, of length 1 under cosine."""

    kind: ClassVar[str]
    unit_rows: ClassVar[int]

    @classmethod
    def train(cls, metric: Metric, residuals: Array, sample: Array, seed: int) -> Coder:
        """The code for rows like `sample`, of which `residuals` are left of the centroids, both (n, d)."""

    def encode(self, points: Array, centroids: Array, lists: Array) -> Arrays:
        """Columns of codes, one entry for each point, as `put` takes them and files hold them."""

    def room(self, units: int) -> Arrays:
        """Arrays of `units` units that hold nothing."""

    def put(self, arrays: Arrays, places: Array, columns: Mapping[str, Array]) -> None:
        """Write columns to places that hold nothing yet."""

    def take(self, arrays: Arrays, places: Array) -> Arrays:
        """The columns of the rows at some places."""

    def columns(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Type and shape of one entry of each column."""

    def trained(self) -> npt.NDArray[np.float32]:
        """All that `restore` needs besides metric, dimension and seed, as float32 (n,)."""

    @classmethod
    def trained_size(cls, dimension: int) -> int:
        """Length of `trained`."""

    @classmethod
    def restore(cls, metric: Metric, dimension: int, values: npt.NDArray[np.float32], seed: int) -> Coder:
        """The code that `trained` describes; ValueError for values that describe none."""

    def default_rerank(self, k: int) -> int:
        """Rows to score exactly for k results."""

    def search(self, call: Call, arrays: Arrays, queries: Array, slots: Array, distances: Array) -> None:
        """Write the nearest slots of each query; see vego/index/kernels/ivf_search.py."""


# kind -> what it is; the names of options and files
CODE_KINDS = ("flat", "f16", "bf16", "sq8", "pq", "rabitq")


def coder_class(kind: str) -> type[Coder]:
    """The class of a kind of CODE_KINDS."""
    from vego.index.codes.halves import BFloat16Coder, Float16Coder
    from vego.index.codes.plain import PlainCoder
    from vego.index.codes.product import ProductCoder
    from vego.index.codes.rabitq import RaBitQCoder
    from vego.index.codes.scalar import ScalarCoder

    classes: dict[str, type[Coder]] = {
        "flat": PlainCoder,
        "f16": Float16Coder,
        "bf16": BFloat16Coder,
        "sq8": ScalarCoder,
        "pq": ProductCoder,
        "rabitq": RaBitQCoder,
    }
    return classes[kind]
