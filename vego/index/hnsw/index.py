"""HnswIndex: the graph index as the database uses it. Vectors stay with the caller; a slot is a position.

Searches may run in any number of threads, also while one thread extends: each works on the snapshot it
began with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from lance_fmt import Column
from vego.errors import DimensionMismatchError, InvalidArgumentError
from vego.index.hnsw.build import grow
from vego.index.hnsw.graph import HnswGraph, empty_graph
from vego.index.hnsw.params import MAX_ROWS, HnswParams
from vego.index.hnsw.removal import without
from vego.index.hnsw.search import Search, Snapshot
from vego.index.hnsw.storage import read_graph, write_graph
from vego.index.metrics import Metric
from vego.index.scratch import StampPool
from vego.index.threads import thread_count
from vego.index.views import accept_mask, candidate_rows, result_arrays, trimmed, vector_rows, vectors_of
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
DEFAULT_EF = 48
DEFAULT_RERANK = 20

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]


class HnswIndex:
    """Approximate nearest neighbours by a hierarchical navigable small world graph over 8-bit codes.

    Malkov and Yashunin, arXiv 1603.09320. The walk and the construction use the codes; the nearest `rerank`
    candidates are scored in float32 from the caller's vectors, so distances returned are exact.
    """

    kind: ClassVar[str] = "hnsw"

    def __init__(
        self, metric: Metric | str, dimension: int, m: int = 16, ef_construction: int = 128, seed: int = 0
    ) -> None:
        self.params = HnswParams(
            metric=Metric.parse(metric), dimension=dimension, m=m, ef_construction=ef_construction, seed=seed
        )
        self._stamps = StampPool()
        self._extending = threading.Lock()
        self._adopt(empty_graph(self.params))

    def _adopt(self, graph: HnswGraph) -> None:
        self._graph = graph
        self._snapshot = Snapshot.of(graph)

    def copy(self) -> HnswIndex:
        """An index of the same rows; arrays are shared until one of the two is extended."""
        p = self.params
        other = HnswIndex(p.metric, p.dimension, p.m, p.ef_construction, p.seed)
        with self._extending:
            self._adopt(replace(self._graph, shared=True))
            other._adopt(self._graph)
        return other

    def to_columns(self) -> tuple[dict[str, Column], dict[str, str]]:
        """Columns (one row per slot) and metadata for `lance_fmt.write`; see vego/index/hnsw/storage.py."""
        return write_graph(self._graph, self.params)

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Column], metadata: Mapping[str, str], path: str = "index"
    ) -> HnswIndex:
        """The index that `to_columns` gave; its arrays may be read-only views of a file.

        Raises CorruptionError naming `path` where columns and metadata contradict each other or lead outside
        the graph, NewerVersionError for a later version.
        """
        params, graph = read_graph(columns, metadata, path)
        index = cls(params.metric, params.dimension, params.m, params.ef_construction, params.seed)
        index._adopt(graph)
        return index

    def __repr__(self) -> str:
        p = self.params
        return f"HnswIndex({p.metric.value}, dimension={p.dimension}, m={p.m}, rows={self.rows:,})"

    @property
    def rows(self) -> int:
        """Slots [0, rows) are indexed."""
        return self._graph.rows

    @property
    def metric(self) -> Metric:
        """The metric the graph was built for."""
        return self.params.metric

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self.params.dimension

    @property
    def nbytes(self) -> int:
        """Bytes of memory or mapped file the index holds."""
        return self._graph.nbytes

    def extend(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        stop: int,
        *,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancel: Callable[[], bool] | threading.Event | None = None,
    ) -> int:
        """Index the slots [rows, stop) of `vectors` (n >= stop, d) float32; returns `rows` afterwards.

        `progress(done, total)` is called after each batch of up to 1,024 rows. When `cancel` says so the call
        returns early, with all finished batches indexed. The graph does not depend on `threads`.
        """
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        if not self.rows <= stop <= len(known):
            raise InvalidArgumentError(f"stop: expected {self.rows} to {len(known)} rows, found {stop}")
        if stop > MAX_ROWS:
            raise InvalidArgumentError(f"stop: an index holds at most {MAX_ROWS:,} rows, found {stop:,}")
        stopped = cancel.is_set if isinstance(cancel, threading.Event) else cancel
        with self._extending:
            if stop <= self.rows:
                return self.rows
            for graph in grow(self._graph, self.params, known, stop, threads, self._stamps):
                self._adopt(graph)
                if progress is not None:
                    progress(graph.rows, stop)
                if stopped is not None and stopped():
                    break
        return self.rows

    def without(self, removed: Array, *, threads: int | None = None) -> HnswIndex:
        """An index of the slots that `removed`, bool (rows,), does not mark, in the same order; this one stays.

        Neighbours of removed nodes are linked with what lay behind those, so that recall stays that of a graph
        built anew. Raises InvalidArgumentError for a mask of another length.
        """
        removed = np.ascontiguousarray(removed, np.bool_)
        graph = self._graph
        if removed.shape != (graph.rows,):
            raise InvalidArgumentError(f"removed: expected {graph.rows} marks, found shape {removed.shape}")
        p = self.params
        other = HnswIndex(p.metric, p.dimension, p.m, p.ef_construction, p.seed)
        other._adopt(without(graph, p, removed, threads, self._stamps))
        return other

    def search(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = DEFAULT_RERANK,
        accept: Array | None = None,
    ) -> Found:
        """The k nearest indexed slots of one query (d,), nearest first: slots int64, distances float32.

        `ef` candidates are held on the walk and the best `rerank` scored exactly (both at least k). With
        `accept` (bool, one per slot) only accepted slots are returned, k of them whenever k are indexed.
        Raises DimensionMismatchError, InvalidVectorError, InvalidArgumentError.
        """
        query = np.asarray(query, np.float32)
        slots, distances = self.search_batch(
            vectors, inverse_norms, query.reshape(1, -1), k, ef, rerank, accept
        )
        return trimmed(slots[0], distances[0])

    def search_batch(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        queries: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = DEFAULT_RERANK,
        accept: Array | None = None,
        threads: int | None = 1,
    ) -> Found:
        """`search` for each of `queries` (m, d): slots (m, k) padded with -1, distances with infinity."""
        queries = vector_rows(queries, self.params.dimension, "queries")
        slots, distances = result_arrays(len(queries), k)
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        search = self._search(known, max(ef, k), max(rerank, k))
        rows = search.snapshot.rows
        while True:
            if rows == 0:
                slots[:], distances[:] = -1, np.inf
            elif accept is None:
                search.walk(queries, slots, distances, thread_count(threads))
            else:
                search.accepted(queries, slots, distances, thread_count(threads), accept_mask(accept, rows))
            if not known.unsettled(search.vectors):
                return slots, distances
            search = search.again(known)

    def scan_codes(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        rerank: int,
        rows: Array,
    ) -> Found:
        """`search` among the given indexed slots (uint32, no repeats), by a scan of all their codes."""
        query = vector_rows(np.asarray(query, np.float32).reshape(1, -1), self.params.dimension, "query")
        slots, distances = result_arrays(1, k)
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        search = self._search(known, 1, max(rerank, k))
        candidates = candidate_rows(rows, search.snapshot.rows)
        while True:
            search.scan(query[0], candidates, slots[0], distances[0])
            if not known.unsettled(search.vectors):
                return trimmed(slots[0], distances[0])
            search = search.again(known)

    def _search(self, vectors: Vectors, ef: int, rerank: int) -> Search:
        """The inputs of a search, checked; the snapshot is the one it will see to its end."""
        snapshot = self._snapshot
        if len(vectors) < snapshot.rows:
            raise DimensionMismatchError(f"vectors: {snapshot.rows} rows are indexed, found {len(vectors)}")
        ef = min(ef, max(1, snapshot.rows))
        if (
            self._graph.scale.axes is not None
        ):  # the longer the walk, the more of its order is up to what they left out
            rerank = max(rerank, ef // 8)
        return Search(self.params.metric.code, *vectors.kernel_tables(), snapshot, self._stamps, ef, rerank)
