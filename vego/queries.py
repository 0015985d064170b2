"""The arguments of a search, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vego.document import Vector, check_vectors
from vego.errors import InvalidVectorError, UnknownOptionError
from vego.options import MAX_EF, MAX_K


def check_k(k: object, where: str) -> None:
    """k is an integer from 1 to MAX_K."""
    _check_integer("k", k, MAX_K, where)


def check_ef(ef: object, default: int, k: int, where: str) -> int:
    """The candidates to keep: `ef`, or `default` where it is None; at least k."""
    if ef is None:
        return max(default, k)
    return max(_check_integer("ef", ef, MAX_EF, where), k)


def check_queries(value: ArrayLike, ndim: int, dimension: int | None, where: str) -> Vector:
    """Queries as float32 (m, d); `ndim` is 1 for one query (d,), 2 for a batch. `dimension` None allows any d."""
    array = np.asarray(value)
    if array.ndim != ndim:
        shape = "(d,)" if ndim == 1 else "(m, d)"
        raise InvalidVectorError(f"{where}: expected a query of shape {shape}, got {array.shape}")
    width = array.shape[-1] if dimension is None else dimension
    return check_vectors(array[None] if ndim == 1 else array, width, where, [])


def _check_integer(name: str, value: object, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= high:
        raise UnknownOptionError(f"{where}: {name} must be an integer from 1 to {high:,}, got {value!r}")
    return int(value)
