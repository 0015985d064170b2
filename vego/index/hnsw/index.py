"""HnswIndex: the graph index as the database uses it. Vectors stay with the caller; a slot is a position.

Searches may run in any number of threads, also while one thread extends: each works on the snapshot it
began with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from lance_fmt import Column
from vego.index.accepted import Accept, Accepted
from vego.index.calibration import Calibration
from vego.index.hnsw.build import grow
from vego.index.hnsw.graph import HnswGraph, empty_graph
from vego.index.hnsw.params import HnswParams
from vego.index.hnsw.removal import without
from vego.index.hnsw.search import Outcome, Search, Snapshot
from vego.index.hnsw.storage import read_graph, write_graph
from vego.index.kernels.filter_costs import PAST, SCAN, THROUGH, scan_beats_walk, walk_may_pay
from vego.index.metrics import Metric
from vego.index.scratch import StampPool
from vego.index.threads import thread_count
from vego.index.vector_index import Cancel, Progress, asked_of, check_known, check_removed, check_stop
from vego.index.views import (
    FLOAT32,
    candidate_rows,
    kernel_view,
    result_arrays,
    rows_for,
    trimmed,
    vectors_of,
)
from vego.index.walked import ALL_MATCH, Walked
from vego.index.way import GATHER_ROWS, Way
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
DEFAULT_EF = 48
DEFAULT_RERANK = 20

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

WALKS = {
    PAST: ("graph past", "so many rows near the query match that walking past the others costs least"),
    THROUGH: (
        "graph through",
        "few rows near the query match: only those are scored, links are followed two at a time",
    ),
    SCAN: (
        "codes",
        "hardly any row near the query matches, or the walk took too long: the matches were scanned",
    ),
}  # strategy and reason of a search under a mask, by how it was answered


class _Ready(NamedTuple):
    """A search prepared for arrays that were given; a view of the rows gives the same ones time and again."""

    vectors: Array | Vectors | None
    norms: Array | None
    search: Search


class HnswIndex(Walked):
    """Approximate nearest neighbours by a hierarchical navigable small world graph over 8-bit codes.

    Malkov and Yashunin, arXiv 1603.09320. The walk and the construction use the codes; the nearest `rerank`
    candidates are scored in float32 from the caller's vectors, so distances returned are exact.
    """

    kind: ClassVar[str] = "hnsw"
    metrics: ClassVar[Collection[Metric]] = tuple(Metric)
    on_disk: ClassVar[bool] = False
    gather_rows: ClassVar[int] = GATHER_ROWS

    def __init__(
        self, metric: Metric | str, dimension: int, m: int = 16, ef_construction: int = 128, seed: int = 0
    ) -> None:
        params = HnswParams(
            metric=Metric.parse(metric), dimension=dimension, m=m, ef_construction=ef_construction, seed=seed
        )
        self._begin(params, empty_graph(params))

    def _begin(self, params: HnswParams, graph: HnswGraph) -> None:
        self.params = params
        # As a query of one is given by those who look for no time to be lost.
        self._query_type = np.dtype(np.uint8) if self.metric is Metric.HAMMING else FLOAT32
        self._query_shape = (self.params.row_width,)
        self._stamps = StampPool()
        self._extending = threading.Lock()
        self._adopt(graph)

    @classmethod
    def of(cls, params: HnswParams, graph: HnswGraph | None = None) -> HnswIndex:
        """An index of a graph that was built with these parameters; None: of no rows."""
        index = cls.__new__(cls)
        index._begin(params, empty_graph(params) if graph is None else graph)
        return index

    @property
    def graph(self) -> HnswGraph:
        """The graph as it is now."""
        return self._graph

    def _adopt(self, graph: HnswGraph) -> None:
        self._graph = graph
        self._snapshot = Snapshot.of(graph)
        self._ready: _Ready | None = None

    def copy(self) -> HnswIndex:
        """An index of the same rows; arrays are shared until one of the two is extended."""
        with self._extending:
            self._adopt(replace(self._graph, shared=True))
            other = HnswIndex.of(self.params, self._graph)
        other.calibration = self.calibration
        return other

    def to_columns(self) -> tuple[dict[str, Column], dict[str, str]]:
        """Columns (one row per slot) and metadata for `lance_fmt.write`; see vego/index/hnsw/storage.py."""
        columns, metadata = write_graph(self._graph, self.params)
        return columns, metadata | self.measured()

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Column], metadata: Mapping[str, str], path: str = "index"
    ) -> HnswIndex:
        """The index that `to_columns` gave; its arrays may be read-only views of a file.

        Raises CorruptionError naming `path` where columns and metadata contradict each other or lead outside
        the graph, NewerVersionError for a later version.
        """
        index = cls.of(*read_graph(columns, metadata, path))
        index.calibration = Calibration.stored_in(metadata, path)
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
    def code_width(self) -> int:
        """Bytes of the code of one row."""
        return self._graph.scale.code_width

    @property
    def nbytes(self) -> int:
        """Bytes of memory or mapped file the index holds."""
        return self._graph.nbytes

    def memory(self) -> dict[str, int]:
        """`nbytes` by part: "codes", "links", and "other"."""
        graph = self._graph
        codes, links = int(graph.codes.nbytes), int(graph.links.nbytes + graph.upper.nbytes)
        return {"codes": codes, "links": links, "other": graph.nbytes - codes - links}

    def parameters(self) -> dict[str, int]:
        """How it was built, by name."""
        p = self.params
        return {"m": p.m, "ef_construction": p.ef_construction, "seed": p.seed}

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
        """Index the slots [rows, stop) of `vectors` (n >= stop, d) float32; returns `rows` afterwards.

        `progress(done, total)` is called after each batch of up to 1,024 rows. When `cancel` says so the call
        returns early, with all finished batches indexed. The graph does not depend on `threads`.
        """
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        check_stop(self.rows, stop, len(known))
        stopped = asked_of(cancel)
        with self._extending:
            if stop <= self.rows:
                return self.rows
            for graph in grow(self._graph, self.params, known, stop, threads):
                self._adopt(graph)
                if progress is not None:
                    progress(graph.rows, stop)
                if stopped():
                    break
        return self.rows

    def without(self, removed: Array, *, order: Array | None = None, threads: int | None = None) -> HnswIndex:
        """An index of the slots that `removed`, bool (rows,), does not mark, in the same order; this one stays.

        Neighbours of removed nodes are linked with what lay behind those, so that recall stays that of a graph
        built anew. `order`, int64: the slots that stay, each once, in the order in which they come instead. Raises
        InvalidArgumentError for a mask of another length, or an order of other slots.
        """
        graph = self._graph
        removed = check_removed(removed, order, graph.rows)
        other = HnswIndex.of(self.params, without(graph, self.params, removed, threads, self._stamps, order))
        other.calibration = self.calibration
        return other

    @staticmethod
    def bounded(k: int, ef: int, rerank: int) -> tuple[int, int]:
        """A walk holds all that it finds, and what it holds is all there is to score."""
        ef = max(ef, k)
        return ef, min(rerank, ef)

    def way(self, slots: int, accepted: int, ef: int) -> Way:
        """A walk, or a scan of codes where no walk can cost less; under a mask each query decides between them."""
        width = self.code_width
        if accepted == slots:
            if scan_beats_walk(accepted, width, ef):
                return Way("codes", "scanning all codes costs less than a walk with so many candidates", ef)
            return Way("graph", ALL_MATCH, ef)
        if not walk_may_pay(accepted, width, ef):
            return Way("codes", "scanning the codes of the matches costs less than a walk", ef)
        return Way("filtered graph", "so many rows match that a walk may cost less than a scan of them", ef)

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
        """`way`, a walk, after it has been gone: which walk it was under a mask, and how many nodes it scored."""
        if accept is None:
            scored = self.visited(vectors, inverse_norms, query, k, way.ef, rerank)
            return way._replace(visited=scored)
        _, how, scored = self.search_accepted(vectors, inverse_norms, query, k, way.ef, rerank, accept)
        return Way(*WALKS[how], way.ef, scored)

    def search(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = DEFAULT_RERANK,
        accept: Accept | None = None,
    ) -> Found:
        """The k nearest indexed slots of one query (d,), nearest first: slots int64, distances float32.

        `ef` candidates are held on the walk and the best `rerank` scored exactly (both at least k). With
        `accept` (bool, one per slot) only accepted slots are returned, k of them whenever k are indexed.
        Raises DimensionMismatchError, InvalidVectorError, InvalidArgumentError.
        """
        if accept is None and k >= 1 and type(query) is np.ndarray and query.dtype is self._query_type:
            width = max(ef, k)
            if self._snapshot.rows > width and query.shape == self._query_shape:
                query, depth = kernel_view(np.ascontiguousarray(query)), max(rerank, k)
                return self._answered(
                    vectors, inverse_norms, lambda search: search.walk_one(query, k, width, depth)
                )
        query = np.asarray(query)
        slots, distances = self.search_batch(
            vectors, inverse_norms, query.reshape(1, -1), k, ef, rerank, accept
        )
        return trimmed(slots[0], distances[0])

    def _answered(
        self, vectors: Array | Vectors, inverse_norms: Array | None, answer: Callable[[Search], Outcome]
    ) -> Outcome:
        """`Search.settled` of one query, with what was kept of the call before."""
        ready = self._ready
        if (
            ready is None
            or ready.vectors is not vectors
            or ready.norms is not inverse_norms
            or ready.search.snapshot is not self._snapshot
        ):
            ready = self._prepared(vectors, inverse_norms)
        while True:
            outcome = answer(ready.search)
            if not ready.search.known.unsettled(ready.search.vectors):
                return outcome
            # Other threads may have the same table: the mark that it was of no use stays in it.
            ready = self._prepared(vectors, inverse_norms)

    def _prepared(self, vectors: Array | Vectors, inverse_norms: Array | None) -> _Ready:
        """What a search of one query needs of those arrays and of the graph there is; kept for the next one."""
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        ready = _Ready(vectors, inverse_norms, self._search(known, 1, 1))
        self._ready = ready
        return ready

    def search_batch(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        queries: Array,
        k: int,
        ef: int = DEFAULT_EF,
        rerank: int = DEFAULT_RERANK,
        accept: Accept | None = None,
        threads: int | None = 1,
    ) -> Found:
        """`search` for each of `queries` (m, d): slots (m, k) padded with -1, distances with infinity."""
        queries = rows_for(self.metric, queries, self.params.dimension, "queries")
        slots, distances = result_arrays(len(queries), k)
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        search = self._search(known, max(ef, k), max(rerank, k))
        rows = search.snapshot.rows
        if rows == 0:
            slots[:], distances[:] = -1, np.inf
        elif accept is None:
            search.settled(lambda one: one.walk(queries, slots, distances, thread_count(threads)))
        else:
            those = Accepted.of(accept, rows)
            search.settled(lambda one: one.filtered(queries, slots, distances, thread_count(threads), those))
        return slots, distances

    def search_accepted(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int,
        rerank: int,
        accept: Accept,
    ) -> tuple[Found, int, int]:
        """`search` of one query under a mask, with the way it was answered and how many nodes were scored for it.

        Ways: PAST, THROUGH and SCAN of vego/index/kernels/filter_costs.py.
        """
        queries = rows_for(self.metric, np.asarray(query).reshape(1, -1), self.params.dimension, "query")
        slots, distances = result_arrays(1, k)
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        search = self._search(known, max(ef, k), max(rerank, k))
        those = Accepted.of(accept, search.snapshot.rows)
        how, scored = search.settled(lambda one: one.filtered(queries, slots, distances, 1, those))
        return trimmed(slots[0], distances[0]), int(how[0]), int(scored[0])

    def visited(
        self,
        vectors: Array | Vectors,
        inverse_norms: Array | None,
        query: Array,
        k: int,
        ef: int,
        rerank: int,
    ) -> int:
        """How many nodes of layer 0 `search` scores for one query (d,)."""
        known = vectors_of(vectors, inverse_norms, self.params.dimension, self.metric)
        search = self._search(known, max(ef, k), max(rerank, k))
        rows = search.snapshot.rows
        if rows <= search.ef:
            return rows
        queries = rows_for(self.metric, np.asarray(query).reshape(1, -1), self.params.dimension, "query")
        return search.settled(lambda one: one.walked(queries, *result_arrays(1, k)))

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
        query = rows_for(self.metric, np.asarray(query).reshape(1, -1), self.params.dimension, "query")[0]
        slots, distances = result_arrays(1, k)
        found = slots[0], distances[0]
        candidates = candidate_rows(rows, self._snapshot.rows)
        self._answered(
            vectors, inverse_norms, lambda search: search.scan(query, candidates, max(rerank, k), *found)
        )
        return trimmed(*found)

    def _search(self, vectors: Vectors, ef: int, rerank: int) -> Search:
        """The inputs of a search, checked; the snapshot is the one it will see to its end."""
        snapshot = self._snapshot
        check_known(snapshot.rows, vectors)
        ef = min(ef, max(1, snapshot.rows))
        tables = vectors.kernel_tables()
        depth = snapshot.depth(ef, rerank)
        return Search(vectors, self.params.metric, *tables, snapshot, self._stamps, ef, depth)
