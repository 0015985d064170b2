"""4-bit product codes in blocks of 32 rows; see vego/index/kernels/product_codes.py and fastscan.py.

Every two components of the residual to the centroid make a group with 16 codewords of its own.
"""

# ruff: noqa: ARG003 (all codes are trained and restored by one signature)

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from vego.index.codes.coder import Arrays, Call
from vego.index.metrics import Metric
from vego.index.views import aligned_empty, kernel_view

Array = npt.NDArray[Any]

BLOCK = 32  # rows
LINE_GROUPS = 4  # groups that fill a cache line of a block
SAMPLE = 16_384
ROUNDS = 12
FACTORS = ("weight", "bias", "error")


class ProductCoder:
    """Product codes with codewords learned from residuals.

    `codebooks` is float32 (groups, components, 16). `signs` float32 (rounds, d) turns residuals first, not at all
    without rounds.
    """

    kind: ClassVar[str] = "pq"
    unit_rows: ClassVar[int] = BLOCK
    components: ClassVar[int] = 2  # of a group
    epsilon: ClassVar[float] = 2.4  # standard deviations by which an estimate may be too large

    def __init__(self, metric: Metric, codebooks: Array, signs: Array) -> None:
        self.metric = metric
        self.codebooks = kernel_view(np.ascontiguousarray(codebooks, np.float32))
        self.codewords = np.ascontiguousarray(self.codebooks.transpose(1, 2, 0))  # as tables are made
        self.signs = kernel_view(signs)
        self.groups = len(codebooks)
        self.block_bytes = 16 * -(-self.groups // LINE_GROUPS) * LINE_GROUPS

    @classmethod
    def train(cls, metric: Metric, residuals: Array, sample: Array, seed: int) -> Self:
        """k-means of every group over the residuals of a sample; the first codewords are rows of it."""
        from vego.index.kernels.product_codes import train_codebooks  # numba loads on first use

        dimension = residuals.shape[1]
        size = cls.components
        groups = -(-dimension // size)
        residuals = np.ascontiguousarray(residuals[:SAMPLE])
        picks = np.random.PCG64(seed).random_raw(16 * groups).reshape(groups, 16) % np.uint64(len(residuals))
        padded = np.zeros((len(residuals), groups * size), np.float32)
        padded[:, :dimension] = residuals
        grouped = padded.reshape(-1, groups, size)
        first = grouped[picks.astype(np.int64), np.arange(groups)[:, None]]  # (groups, 16, size)
        codebooks = np.ascontiguousarray(first.transpose(0, 2, 1))
        train_codebooks(residuals, codebooks, 0, groups, ROUNDS)
        return cls(metric, codebooks, np.empty((0, dimension), np.float32))

    def columns(self) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
        """Two codes to a byte, and the factors of the estimate."""
        packed = {"codes": (np.uint8, (-(-self.groups // 2),))}
        return packed | dict.fromkeys(FACTORS, (np.float32, ()))

    def encode(self, points: Array, centroids: Array, lists: Array) -> Arrays:
        """Codes and factors of the residuals."""
        from vego.index.kernels.product_codes import encode_residuals  # numba loads on first use
        from vego.index.kernels.rotation import rotate_rows

        if len(self.signs):
            points, centroids = points.copy(), centroids.copy()
            rotate_rows(points, self.signs)
            rotate_rows(centroids, self.signs)
        count = len(points)
        codes = np.empty((count, self.groups), np.uint8)
        weight, bias, error = (np.empty(count, np.float32) for _ in FACTORS)
        encode_residuals(
            self.metric.code, points, centroids, lists, self.codebooks, codes, weight, bias, error
        )
        return {"codes": _packed(codes), "weight": weight, "bias": bias, "error": error}

    def room(self, units: int) -> Arrays:
        """Blocks of nothing: an infinite bias keeps a row from being found."""
        arrays = {"blocks": aligned_empty((units, self.block_bytes), np.uint8)}
        arrays["blocks"][...] = 0
        for name in FACTORS:
            arrays[name] = aligned_empty((units, BLOCK), np.float32)
            arrays[name][...] = np.inf if name == "bias" else 0
        return arrays

    def put(self, arrays: Arrays, places: Array, columns: Mapping[str, Array]) -> None:
        """Write columns to places that hold nothing yet."""
        for name in FACTORS:
            arrays[name].reshape(-1)[places] = columns[name]
        codes = _unpacked(columns["codes"], self.groups)
        blocks = arrays["blocks"].reshape(len(arrays["blocks"]), -1, 16)
        for shift in (0, 4):
            chosen = (places & 16 != 0) == (shift != 0)
            unit, byte = places[chosen] // BLOCK, places[chosen] & 15
            blocks[unit, : self.groups, byte] |= codes[chosen] << np.uint8(shift)

    def take(self, arrays: Arrays, places: Array) -> Arrays:
        """The columns of the rows at some places."""
        blocks = arrays["blocks"].reshape(len(arrays["blocks"]), -1, 16)
        found = blocks[places // BLOCK, : self.groups, places & 15]
        shift = np.where(places & 16, np.uint8(4), np.uint8(0))[:, None]
        columns = {"codes": _packed(found >> shift & np.uint8(15))}
        return columns | {name: arrays[name].reshape(-1)[places] for name in FACTORS}

    def trained(self) -> npt.NDArray[np.float32]:
        """The codebooks."""
        return self.codebooks.reshape(-1)

    @classmethod
    def trained_size(cls, dimension: int) -> int:
        """Length of the codebooks."""
        return -(-dimension // cls.components) * cls.components * 16

    @classmethod
    def restore(cls, metric: Metric, dimension: int, values: npt.NDArray[np.float32], seed: int) -> Self:
        """The code of those codebooks."""
        codebooks = values.reshape(-1, cls.components, 16)
        return cls(metric, codebooks, np.empty((0, dimension), np.float32))

    def default_rerank(self, k: int) -> int:
        """A bound on how far down the list of estimates the k best may be; most searches stop before."""
        return 4 * k + 10

    def search(self, call: Call, arrays: Arrays, queries: Array, slots: Array, distances: Array) -> None:
        """Write the nearest slots of each query."""
        from vego.index.kernels.ivf_search import search_blocks  # numba loads on first use

        factors = [kernel_view(arrays[name]) for name in FACTORS]
        search_blocks(
            call.metric, call.vectors, call.inverse_norms, *call.probing, self.codewords, self.signs,
            kernel_view(arrays["blocks"]), *factors, call.members.reshape(-1, BLOCK), queries,
            call.nprobe, call.rerank, np.float32(self.epsilon), call.accept, slots, distances,
            np.empty(len(queries), np.int64),
        )  # fmt: skip


def _packed(codes: Array) -> npt.NDArray[np.uint8]:
    """(n, groups) codes below 16, two to a byte: the even group in the low four bits."""
    count, groups = codes.shape
    packed = np.zeros((count, -(-groups // 2)), np.uint8)
    packed |= codes[:, ::2]
    packed[:, : groups // 2] |= codes[:, 1::2] << np.uint8(4)
    return packed


def _unpacked(packed: npt.NDArray[np.uint8], groups: int) -> npt.NDArray[np.uint8]:
    """Inverse of `_packed`."""
    codes = np.empty((len(packed), groups), np.uint8)
    codes[:, ::2] = packed & np.uint8(15)
    codes[:, 1::2] = packed[:, : groups // 2] >> np.uint8(4)
    return codes
