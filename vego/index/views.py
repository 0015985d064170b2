"""Arrays in the one form kernels are compiled for: exact dtype, C-contiguous, flagged writable.

Numba compiles a kernel anew for a read-only array, and a mapped file is read-only: without this each kernel
would be compiled, cached and loaded twice. Kernels never write to an array that came through `kernel_view`
unless the caller made it; writing to a mapped file would end the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.errors import DimensionMismatchError, InvalidArgumentError, InvalidVectorError
from vego.index.metrics import Metric
from vego.table.vectors import Vectors
from vego.vector_type import BITS, Element

CACHE_LINE = 64  # bytes
LARGEST = (1 << 63) - 1

Array = npt.NDArray[Any]

FLOAT32, UINT32 = np.dtype(np.float32), np.dtype(np.uint32)
NOTHING = np.empty(0, np.float32)
ALL = np.empty(0, np.bool_)


class _Alias:
    """The memory of an array through the array interface, flagged writable; keeps the array alive."""

    def __init__(self, array: Array) -> None:
        self.array = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def kernel_view(array: Array) -> Array:
    """The same memory, flagged writable; the array itself when it is already."""
    return array if array.flags.writeable else np.asarray(_Alias(array))


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """An uninitialised array that starts on a cache line, so that rows of whole lines stay whole."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    raw = np.empty(size + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + size].view(kind).reshape(shape)


def vector_rows(vectors: Array, dimension: int, what: str) -> Array:
    """`vectors` as float32 (n, dimension), C-contiguous, for a kernel; copies only if it must.

    Raises DimensionMismatchError for another shape, InvalidVectorError for values that are not numbers.
    """
    if (
        type(vectors) is np.ndarray
        and vectors.dtype is FLOAT32
        and vectors.ndim == 2
        and vectors.shape[1] == dimension
        and vectors.flags.carray
    ):  # the usual ones
        return vectors
    if not isinstance(vectors, np.ndarray) or vectors.dtype is not FLOAT32 or not vectors.flags.c_contiguous:
        try:
            vectors = np.ascontiguousarray(vectors, np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidVectorError(f"{what}: expected numbers, {error}") from error
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise DimensionMismatchError(f"{what}: expected shape (n, {dimension}), found {vectors.shape}")
    return kernel_view(vectors)


def bit_rows(vectors: Array, dimension: int, what: str) -> Array:
    """`vectors` as uint8 (n, dimension / 8), C-contiguous, for a kernel. Raises as `vector_rows` does."""
    vectors = np.asarray(vectors)
    if vectors.dtype != np.uint8:
        raise InvalidVectorError(f"{what}: expected bits as bytes (uint8), found {vectors.dtype}")
    if vectors.ndim != 2 or vectors.shape[1] * BITS != dimension:
        raise DimensionMismatchError(
            f"{what}: expected shape (n, {dimension // BITS}), found {vectors.shape}"
        )
    return kernel_view(np.ascontiguousarray(vectors))


def rows_for(metric: Metric, vectors: Array, dimension: int, what: str) -> Array:
    """`vectors` as kernels of the metric are given them: `bit_rows` under hamming, else `vector_rows`."""
    return (bit_rows if metric is Metric.HAMMING else vector_rows)(vectors, dimension, what)


def vectors_of(
    vectors: Array | Vectors, inverse_norms: Array | None, dimension: int, metric: Metric
) -> Vectors:
    """Vectors as kernels are given them: (n, dimension) in memory with their inverse norms (n,), or a collection's.

    Raises DimensionMismatchError, InvalidVectorError; InvalidArgumentError for norms that are missing.
    """
    if isinstance(vectors, Vectors):
        if vectors.dimension != dimension:
            raise DimensionMismatchError(
                f"vectors: expected dimension {dimension}, found {vectors.dimension}"
            )
        if (vectors.element is Element.BIT) != (metric is Metric.HAMMING):
            raise InvalidArgumentError(
                f"vectors: metric {metric.value!r} does not compare vectors of {vectors.element.value}"
            )
        return vectors
    rows = rows_for(metric, vectors, dimension, "vectors")
    element = Element.BIT if metric is Metric.HAMMING else Element.FLOAT32
    return Vectors.of(rows, norms_row(inverse_norms, len(rows), metric is Metric.COSINE), element)


def norms_row(inverse_norms: Array | None, rows: int, needed: bool) -> Array:
    """`inverse_norms` as float32 (>= rows,) for a kernel; not looked at unless the metric needs them."""
    if not needed:
        return NOTHING
    if inverse_norms is None:
        raise InvalidArgumentError(
            "inverse_norms: the cosine metric needs 1 / |x| of each vector, found None"
        )
    if inverse_norms.dtype != np.float32 or not inverse_norms.flags.c_contiguous:
        inverse_norms = np.ascontiguousarray(inverse_norms, np.float32)
    if inverse_norms.ndim != 1 or len(inverse_norms) < rows:
        raise DimensionMismatchError(
            f"inverse_norms: expected {rows} values, found shape {inverse_norms.shape}; pass one per vector"
        )
    return kernel_view(inverse_norms)


def candidate_rows(rows: Array, total: int) -> Array:
    """`rows` as uint32 slots below `total` for a kernel; raises InvalidArgumentError for any other."""
    if (
        type(rows) is np.ndarray
        and rows.dtype is UINT32
        and rows.ndim == 1
        and rows.flags.carray
        and (not rows.size or int(np.maximum.reduce(rows)) < total)
    ):  # the usual ones
        return rows
    slots = np.asarray(rows)
    if slots.ndim != 1 or (slots.size and slots.dtype.kind not in "iu"):
        raise InvalidArgumentError(f"rows: expected a list of slots, found {slots.dtype} {slots.shape}")
    if slots.size and not 0 <= int(slots.min()) <= int(slots.max()) < total:
        raise InvalidArgumentError(
            f"rows: expected slots below {total}, found {slots.min()} to {slots.max()}"
        )
    return kernel_view(np.ascontiguousarray(slots, np.uint32))


def accept_mask(accept: Array | None, total: int) -> Array:
    """`accept` as bool (>= total,) for a kernel, or an empty array for None, which accepts all."""
    if accept is None:
        return ALL
    if accept.dtype != np.bool_ or accept.ndim != 1 or len(accept) < total:
        raise InvalidArgumentError(
            f"accept: expected a bool array of {total} slots, found {accept.dtype} {accept.shape}"
        )
    return kernel_view(np.ascontiguousarray(accept))


def marked_slots(accept: Array, start: int, stop: int, count: int | None = None) -> npt.NDArray[np.uint32]:
    """The slots from `start` to `stop` that `accept`, bool (>= stop,), marks, ascending; `count` of them."""
    from vego.index.kernels.code_scan import marked_rows  # numba loads on first use

    if count is None:
        count = int(np.count_nonzero(accept[start:stop]))
    rows = np.empty(count + 1, np.uint32)
    marked_rows(kernel_view(accept), start, stop, rows)
    return rows[:count]


def result_arrays(queries: int, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Uninitialised slots (queries, k) and distances (queries, k); raises InvalidArgumentError for k < 1."""
    if k < 1:
        raise InvalidArgumentError(f"k: expected at least 1, found {k}")
    return np.empty((queries, k), np.int64), np.empty((queries, k), np.float32)


def padding(queries: int, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """`result_arrays` of nothing found: slots -1, distances infinity."""
    slots, distances = result_arrays(queries, k)
    slots[:], distances[:] = -1, np.inf
    return slots, distances


def trimmed(
    slots: npt.NDArray[np.int64], distances: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The results of one query without the padding at the end."""
    if slots[-1] >= 0:
        return slots, distances
    size = int(np.count_nonzero(slots >= 0))
    return slots[:size], distances[:size]


def merged(
    found: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The k nearest of all results, row by row; padding (-1, infinity) comes last, behind slots at infinity."""
    if len(found) == 1:
        return found[0]
    slots = np.concatenate([part[0] for part in found], axis=1)
    distances = np.concatenate([part[1] for part in found], axis=1)
    order = np.lexsort((slots & LARGEST, distances), axis=1)[:, :k]
    return np.take_along_axis(slots, order, 1), np.take_along_axis(distances, order, 1)
