"""LshIndex: tables of buckets as the database uses them. Vectors stay with the caller; a slot is a position."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lance_fmt import Column
from vego.index.accepted import Accept, mask_of
from vego.index.calibration import Calibrated, Calibration, ladder
from vego.index.flat import exact_search
from vego.index.lsh.storage import FORMAT, read_tables, write_tables
from vego.index.lsh.tables import Tables, keys_of, positions_of, shape_for
from vego.index.metrics import Metric
from vego.index.scratch import StampPool
from vego.index.threads import in_pieces, thread_count
from vego.index.vector_index import Cancel, Progress, asked_of, check_known, check_stop, kept_slots
from vego.index.views import (
    bit_rows,
    candidate_rows,
    padding,
    trimmed,
    vectors_of,
)
from vego.index.way import GATHER_ROWS, Way
from vego.table.vectors import Vectors
from vego.vector_type import Element, VectorType

Array = npt.NDArray[Any]
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

DEFAULT_EF = 64
LEAST_SHARE = (
    0.9  # of the slots that has to be accepted for buckets to have what a search without a mask finds
)
MORE_BITS = 2  # that so many rows want: keys are made anew of all


class LshIndex(Calibrated):
    """Approximate nearest neighbours of vectors of bits by hashing: some of the bits are the key of a table.

    Indyk and Motwani 1998 (sampled bits); Norouzi, Punjani and Fleet 2012 (disjoint ones). A search scores all rows
    of the `ef` buckets of each table that are nearest to its keys, exactly. Building is sorting. Searches may run in
    any number of threads, also while one thread extends.
    """

    kind: ClassVar[str] = "lsh"
    format: ClassVar[str] = FORMAT
    metrics: ClassVar[Collection[Metric]] = (Metric.HAMMING,)
    on_disk: ClassVar[bool] = False
    gather_rows: ClassVar[int] = GATHER_ROWS
    metric: ClassVar[Metric] = Metric.HAMMING

    def __init__(self, dimension: int, seed: int = 0) -> None:
        VectorType(Element.BIT, dimension).checked()
        self._dimension = dimension
        self.seed = seed
        self._stamps = StampPool()
        self._extending = threading.Lock()
        self._tables: Tables | None = None

    def copy(self) -> LshIndex:
        """An index of the same rows; nothing is copied, as tables are never changed."""
        other = LshIndex(self.dimension, self.seed)
        other._tables, other.calibration = self._tables, self.calibration
        return other

    def to_columns(self) -> tuple[dict[str, Column], dict[str, str]]:
        """Columns (one row per slot) and metadata for `lance_fmt.write`; see vego/index/lsh/storage.py."""
        columns, metadata = write_tables(self._tables, self.dimension, self.seed)
        return columns, metadata | self.measured()

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Column], metadata: Mapping[str, str], path: str = "index"
    ) -> LshIndex:
        """The index that `to_columns` gave.

        Raises CorruptionError naming `path` where columns and metadata contradict each other, NewerVersionError
        for a later version.
        """
        dimension, seed, tables = read_tables(columns, metadata, path)
        index = cls(dimension, seed)
        index._tables = tables
        index.calibration = Calibration.stored_in(metadata, path)
        return index

    def __repr__(self) -> str:
        made = ", ".join(f"{name}={value}" for name, value in self.parameters().items())
        return f"LshIndex(dimension={self.dimension}, {made}, rows={self.rows:,})"

    @property
    def tables(self) -> Tables | None:
        """The tables; None where there are no rows."""
        return self._tables

    @property
    def dimension(self) -> int:
        """Length of the vectors, in bits."""
        return self._dimension

    @property
    def rows(self) -> int:
        """Slots [0, rows) are indexed."""
        return 0 if self._tables is None else len(self._tables.keys)

    @property
    def nbytes(self) -> int:
        """Bytes of memory the index holds."""
        return 0 if self._tables is None else self._tables.nbytes

    def memory(self) -> dict[str, int]:
        """`nbytes` by part: "codes", which are the keys, and "other"."""
        keys = 0 if self._tables is None else int(self._tables.keys.nbytes)
        return {"codes": keys, "other": self.nbytes - keys}

    def parameters(self) -> dict[str, int]:
        """How it was built, by name."""
        tables, bits = (0, 0) if self._tables is None else self._tables.positions.shape
        return {"tables": tables, "bits": bits, "seed": self.seed}

    def extend(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        stop: int,
        *,
        threads: int | None = None,  # noqa: ARG002
        progress: Progress | None = None,
        cancel: Cancel = None,
    ) -> int:
        """Index the slots [rows, stop) of `vectors`, bits as uint8 (n >= stop, d / 8); returns `rows` afterwards.

        Buckets are laid out anew, and so are keys where there are four times as many rows as when they were made.
        When `cancel` says so before it begins, nothing is done.
        """
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        check_stop(self.rows, stop, len(known))
        stopped = asked_of(cancel)
        with self._extending:
            old = self._tables
            if stop <= self.rows or stopped():
                return self.rows
            shape = shape_for(self.dimension, stop)
            if old is None or shape[1] >= old.bits + MORE_BITS:
                positions = positions_of(self.dimension, *shape, self.seed)
                old = Tables(positions, np.empty((0, len(positions)), np.uint16))
            keys = keys_of(known, len(old.keys), stop, old.positions)
            # Laid out here, and not by the first search.
            self._tables = Tables(old.positions, np.concatenate([old.keys, keys])).laid_out()
            if progress is not None:
                progress(stop, stop)
        return self.rows

    def without(
        self,
        removed: Array,
        *,
        order: Array | None = None,
        threads: int | None = None,  # noqa: ARG002
    ) -> LshIndex:
        """An index of the slots that `removed`, bool (rows,), does not mark, in the same order; this one stays.

        `order`, int64: the slots that stay, each once, in the order in which they come instead. Raises
        InvalidArgumentError for a mask of another length, or an order of other slots.
        """
        kept = kept_slots(removed, order, self.rows)
        other = self.copy()
        if self._tables is not None:
            other._tables = Tables(self._tables.positions, self._tables.keys[kept]) if len(kept) else None
        return other

    def efforts(self, k: int) -> list[int]:  # noqa: ARG002
        """The numbers of buckets at which recall is measured."""
        return ladder(1 << self.parameters()["bits"])

    def deepest(self, k: int, ef: int) -> int:  # noqa: ARG002
        """Every row of a bucket is scored exactly anyway."""
        return k

    def effort(self, k: int, target: float) -> tuple[int, int] | None:
        """The buckets of a table that reach a recall of `target`, and k; None where nobody measured."""
        return None if self.calibration is None else (self.calibration.effort(k, target)[0], k)

    def usual_effort(self, k: int) -> tuple[int, int]:
        """`effort` where nobody has measured."""
        return DEFAULT_EF, k

    def bounded(self, k: int, ef: int, rerank: int) -> tuple[int, int]:  # noqa: ARG002
        """Any: further buckets are looked at where the first have too few rows."""
        return ef, rerank

    def way(self, slots: int, accepted: int, ef: int) -> Way:
        """The nearest buckets, or an exact scan where many of their rows are not accepted."""
        if accepted < LEAST_SHARE * slots:
            reason = "what matches is farther away than the nearest buckets, and bits are soon compared"
            return Way("gather", reason, ef)
        return Way("buckets", f"rows of the {ef:,} nearest buckets of each table are scored", ef)

    def explained(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        way: Way,
        rerank: int,  # noqa: ARG002
        accept: Accept | None = None,
    ) -> Way:
        """`way`, of buckets, with the rows that were scored."""
        return way._replace(visited=self.scored(vectors, inverse_norms, query, k, way.ef, accept))

    def search(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = 1,
        accept: Accept | None = None,
    ) -> Found:
        """The k nearest indexed slots of one query, uint8 (d / 8,), nearest first: slots int64, distances float32.

        Rows of `ef` buckets of each table are scored, or of more until there are k. With `accept` (bool, one per slot)
        only accepted slots are returned, k of them whenever k are indexed.
        """
        found = self.search_batch(vectors, inverse_norms, np.asarray(query)[None], k, ef, rerank, accept)
        return trimmed(found[0][0], found[1][0])

    def search_batch(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        queries: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = 1,  # noqa: ARG002
        accept: Accept | None = None,
        threads: int | None = 1,
    ) -> Found:
        """`search` for each of `queries` (m, d / 8): slots (m, k) padded with -1, distances with infinity."""
        return self._search(vectors, inverse_norms, queries, k, ef, accept, threads)[0]

    def scored(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int,
        accept: Accept | None = None,
    ) -> int:
        """How many rows `search` scores for one query."""
        found = self._search(vectors, inverse_norms, np.asarray(query)[None], k, ef, accept, 1)
        return int(found[1][0])

    def _search(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        queries: Array,
        k: int,
        ef: int,
        accept: Accept | None,
        threads: int | None,
    ) -> tuple[Found, npt.NDArray[np.int64]]:
        from vego.index.kernels.lsh_search import search_buckets  # numba loads on first use

        queries = bit_rows(queries, self.dimension, "queries")
        slots, distances = padding(len(queries), k)
        scored = np.zeros(len(queries), np.int64)
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        tables = self._tables
        if tables is None:
            return (slots, distances), scored
        rows = len(tables.keys)
        check_known(rows, known)
        mask = mask_of(accept, rows)

        def task(first: int, last: int) -> None:
            with self._stamps.borrow(rows) as stamps:
                search_buckets(
                    table, tables.positions, tables.slots, tables.starts, tables.masks,
                    queries[first:last], ef, mask, stamps,
                    slots[first:last], distances[first:last], scored[first:last],
                )  # fmt: skip

        while True:
            table, _ = known.kernel_tables()
            in_pieces(task, len(queries), thread_count(threads))
            if not known.unsettled(table):
                return (slots, distances), scored

    def scan_codes(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        rerank: int,  # noqa: ARG002
        rows: Array,
    ) -> Found:
        """`search` among the given indexed slots (uint32, no repeats), all of them scored."""
        known = vectors_of(vectors, inverse_norms, self.dimension, self.metric)
        candidates = candidate_rows(rows, self.rows)
        found = exact_search(self.metric, known, None, np.asarray(query)[None], k, rows=candidates)
        return trimmed(found[0][0], found[1][0])
