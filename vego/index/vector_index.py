"""What a vector index is to the database: slots in, slots and exact distances out, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from threading import Event
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lance_fmt import Column
from vego.errors import DimensionMismatchError, InvalidArgumentError
from vego.index.accepted import Accept
from vego.index.calibration import Calibration, Searchable
from vego.index.metrics import Metric
from vego.index.way import Way
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
MAX_ROWS = (1 << 31) - 1  # a slot shares an int64 with its distance and one mark
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
Progress = Callable[[int, int], None]  # rows done, and in all
Cancel = Callable[[], bool] | Event | None


def asked_of(cancel: Cancel) -> Callable[[], bool]:
    """What says whether to stop, however it was given; None never does."""
    if cancel is None:
        return lambda: False
    return cancel.is_set if isinstance(cancel, Event) else cancel


def check_stop(rows: int, stop: int, available: int) -> None:
    """Refuse to extend an index of `rows` to `stop`, of `available` vectors; InvalidArgumentError."""
    if not rows <= stop <= available:
        raise InvalidArgumentError(f"stop: expected {rows} to {available} rows, found {stop}")
    if stop > MAX_ROWS:
        raise InvalidArgumentError(f"stop: an index holds at most {MAX_ROWS:,} rows, found {stop:,}")


def check_removed(removed: Array, order: Array | None, rows: int) -> npt.NDArray[np.bool_]:
    """`removed` as bool (rows,), with `order` None or each slot that it does not mark once; InvalidArgumentError."""
    removed = np.ascontiguousarray(removed, np.bool_)
    if removed.shape != (rows,):
        raise InvalidArgumentError(f"removed: expected {rows} marks, found shape {removed.shape}")
    if order is not None and not np.array_equal(np.sort(order), np.flatnonzero(~removed)):
        raise InvalidArgumentError(f"order: each of the slots that stay expected once, found {order}")
    return removed


def kept_slots(removed: Array, order: Array | None, rows: int) -> npt.NDArray[np.int64]:
    """The slots that stay, in the order in which they come; raises as `check_removed` does."""
    removed = check_removed(removed, order, rows)
    return np.flatnonzero(~removed) if order is None else np.asarray(order, np.int64)


def check_known(rows: int, vectors: Vectors) -> None:
    """Refuse to search an index of `rows` with fewer vectors; DimensionMismatchError."""
    if len(vectors) < rows:
        raise DimensionMismatchError(f"vectors: {rows} rows are indexed, found {len(vectors)}")


@runtime_checkable
class VectorIndex(Searchable, Protocol):
    """Covers the slots [0, rows) of vectors that stay with the caller; see HnswIndex and IvfIndex.

    Searches may run in any number of threads, also while one thread extends. `ef` is how hard to look, in
    candidates of a graph walk or in lists; `rerank` is how many rows are scored in float32, of which
    a kind may need more.

    kind: the name in manifests. metrics: those it can be built for. on_disk: whether it is searched in its file, once
    that is written. gather_rows: so many accepted rows, or fewer, are compared exactly without asking for the `way`.
    """

    kind: ClassVar[str]
    metrics: ClassVar[Collection[Metric]]
    on_disk: ClassVar[bool]
    gather_rows: ClassVar[int]

    @property
    def nbytes(self) -> int:
        """Bytes of memory or mapped file the index holds."""

    @property
    def calibration(self) -> Calibration | None:
        """What recall it reaches at what effort; None: not measured."""

    def memory(self) -> dict[str, int]:
        """`nbytes` by part."""

    def parameters(self) -> dict[str, int]:
        """How it was built, by name."""

    def copy(self) -> VectorIndex:
        """An index of the same rows; the two grow apart."""

    def extend(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        stop: int,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel = None,
    ) -> int:
        """Index the slots [rows, stop) of `vectors` (n >= stop, d) float32; returns `rows` afterwards."""

    def without(
        self, removed: Array, *, order: Array | None = None, threads: int | None = None
    ) -> VectorIndex:
        """An index of the slots that `removed`, bool (rows,), does not mark, in the same order; this one stays.

        `order`, int64: the slots that stay, each once, in the order in which they come instead.
        """

    def calibrate(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        when: str,
        cancel: Callable[[], bool] | None = None,
    ) -> bool:
        """Measure recall where that is of use to the kind and due; whether it was. `when`: ISO 8601."""

    def effort(self, k: int, target: float) -> tuple[int, int] | None:
        """The ef that reaches a recall of `target`, and how many to score exactly; None where nobody measured."""

    def usual_effort(self, k: int) -> tuple[int, int]:
        """`effort` where nobody has measured."""

    def bounded(self, k: int, ef: int, rerank: int) -> tuple[int, int]:
        """`ef` raised to what can find k, and `rerank` lowered to what such a search has to score."""

    def way(self, slots: int, accepted: int, ef: int) -> Way:
        """The cheapest way to answer a search that accepts `accepted` (more than 0) of `slots` slots, as hard as `ef`.

        Slots that are not indexed count. With it k of them come whenever k are accepted.
        """

    def explained(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        way: Way,
        rerank: int,
        accept: Accept | None = None,
    ) -> Way:
        """`way`, which is one of this index's own, after `search` of one query: with what the query decided."""

    def search(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int = ...,
        rerank: int = ...,
        accept: Accept | None = None,
    ) -> Found:
        """The k nearest indexed slots of one query (d,), nearest first; k of them whenever k are accepted."""

    def scan_codes(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        rerank: int,
        rows: Array,
    ) -> Found:
        """`search` among the given indexed slots (uint32, no repeats), all of them looked at."""

    def to_columns(self) -> tuple[dict[str, Column], dict[str, str]]:
        """Columns (one row per slot) and metadata for `lance_fmt.write`."""

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Column], metadata: Mapping[str, str], path: str = "index"
    ) -> VectorIndex:
        """The index that `to_columns` gave; CorruptionError, NewerVersionError for what cannot be one."""
