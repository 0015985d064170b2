"""The arguments of a search, checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Event

import numpy as np
from numpy.typing import ArrayLike

from vego.document import Vector, check_vectors, type_of_first
from vego.errors import (
    InvalidArgumentError,
    InvalidVectorError,
    SearchCancelledError,
    SearchTimeoutError,
    UnknownOptionError,
)
from vego.index import HnswIndex, VectorIndex
from vego.index.vector_index import Cancel, asked_of
from vego.options import MAX_EF, MAX_K, CollectionOptions, check_target
from vego.planner import Effort
from vego.vector_type import Element, VectorType

SCANNED = 64  # candidates of a scan of codes that are scored exactly, at least
FLOAT32 = np.dtype(np.float32)


def check_k(k: object, where: str) -> None:
    """k is an integer from 1 to MAX_K."""
    if type(k) is not int or not 1 <= k <= MAX_K:
        _check_integer("k", k, MAX_K, where)


def check_effort(
    options: CollectionOptions,
    index: VectorIndex | None,
    k: int,
    where: str,
    *,
    ef: object = None,
    rerank: object = None,
    exact: bool = False,
    target_recall: object = None,
) -> Effort:
    """How hard to try: what the call says, then what the collection's options say, then what was measured.

    ef and rerank are at least k, but of lists ef is how many are looked at. Without an index they are what a graph
    would be searched with. Raises UnknownOptionError, also where `ef` and `target_recall` are both given.
    """
    target = options.target_recall
    if target_recall is not None:
        target = check_target(target_recall, f"{where}: target_recall")
        if ef is not None:
            raise UnknownOptionError(f"{where}: target_recall chooses ef; leave one of the two out")
    if index is None:
        (width, depth), bounded = HnswIndex.usual_effort(k), HnswIndex.bounded
    else:
        (width, depth), bounded = index.effort(k, target) or index.usual_effort(k), index.bounded
    if ef is not None:
        width = _check_integer("ef", ef, MAX_EF, where)
    elif options.ef_search is not None and target_recall is None:
        width = options.ef_search
    scanned = max(4 * k, SCANNED)
    if rerank is not None:
        scanned = depth = max(_check_integer("rerank", rerank, MAX_EF, where), k)
    return Effort(*bounded(k, width, depth), scanned, exact or target == 1)


def check_query(value: ArrayLike, kind: VectorType, where: str) -> tuple[Vector, bool]:
    """One query, and whether it is all zeros; as `check_queries`."""
    # The usual call, in fewer steps: by its squared length it is not all zeros, and all of it is finite.
    if (
        type(value) is np.ndarray
        and value.dtype is FLOAT32
        and value.shape == (kind.dimension,)
        and kind.element is Element.FLOAT32
        and value.flags.c_contiguous
        and 0 < float(np.vdot(value, value)) < math.inf
    ):
        return value, False
    query = check_queries(value, 1, kind, where)[0]
    return query, not query.any()


def check_queries(value: ArrayLike, ndim: int, kind: VectorType, where: str) -> Vector:
    """Queries as kernels take them: float32 (m, d), or bits as uint8 (m, d / 8).

    `ndim` is 1 for one query (d,), 2 for a batch. Without a dimension any d is right. Integers must be whole and within
    the bounds of those stored; what is asked of float16 is not rounded to it.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InvalidVectorError(f"{where}: expected numbers of one length, {error}") from None
    if array.ndim != ndim:
        shape = "(d,)" if ndim == 1 else "(m, d)"
        raise InvalidVectorError(f"{where}: expected a query of shape {shape}, got {array.shape}")
    if kind.dimension is None:
        kind = type_of_first(kind, array)
    if kind.element is Element.FLOAT16:
        kind = VectorType(Element.FLOAT32, kind.dimension)
    found = check_vectors(array[None] if ndim == 1 else array, kind, where, [])
    return found if kind.element is Element.BIT else found.astype(np.float32, copy=False)


def check_distance(value: object, where: str) -> float:
    """A largest distance: any number but NaN."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.floating | np.integer)
        or math.isnan(value)
    ):
        raise InvalidArgumentError(f"{where}: max_distance must be a number, got {value!r}")
    return float(value)


class Limit:
    """When a search is to stop before its end: `check` raises once the time is up, or `cancel` says so."""

    __slots__ = ("_cancel", "_clock", "_end", "_timeout", "_where")

    def __init__(self, clock: Callable[[], float], timeout: float | None, cancel: Cancel, where: str) -> None:
        self._clock, self._timeout, self._where = clock, timeout, where
        self._end = math.inf if timeout is None else clock() + timeout
        self._cancel = asked_of(cancel)

    @classmethod
    def of(cls, clock: Callable[[], float], timeout: object, cancel: Cancel, where: str) -> Limit | None:
        """The limit that `timeout` (seconds) and `cancel` (a callable or an Event) make; None where both are None."""
        if timeout is None and cancel is None:
            return None
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0
        ):
            raise UnknownOptionError(
                f"{where}: timeout must be a positive number of seconds, got {timeout!r}"
            )
        if cancel is not None and not callable(cancel) and not isinstance(cancel, Event):
            raise UnknownOptionError(
                f"{where}: cancel must be a callable or a threading.Event, got {cancel!r}"
            )
        return cls(clock, None if timeout is None else float(timeout), cancel, where)

    def check(self) -> None:
        """Return, or raise SearchTimeoutError or SearchCancelledError."""
        if self._cancel():
            raise SearchCancelledError(f"{self._where}: cancelled; there is no answer")
        if self._clock() > self._end:
            raise SearchTimeoutError(
                f"{self._where}: not done after timeout={self._timeout} s; there is no answer. "
                "A smaller ef, or no exact=True, takes less time"
            )


def _check_integer(name: str, value: object, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= high:
        raise UnknownOptionError(f"{where}: {name} must be an integer from 1 to {high:,}, got {value!r}")
    return int(value)
