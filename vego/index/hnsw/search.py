"""Running the search kernels: scratch, threads, and scans where a walk under a mask would cost too much.

A walk under a mask may take as much as a scan of the accepted slots' codes would, and is finished by that scan where it
would take more: so k results come whenever k slots are accepted, at twice the cost of the scan at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vego.index.accepted import Accepted
from vego.index.flat import exact_search
from vego.index.hnsw.graph import HnswGraph
from vego.index.kernels.filter_costs import CONFIDENCE, PAST_NODES, SCAN, walk_budget
from vego.index.metrics import Metric
from vego.index.scratch import StampPool
from vego.index.threads import in_pieces
from vego.index.views import kernel_view
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]

Outcome = TypeVar("Outcome")

SCANNED = 64  # candidates of a scan of codes that are scored exactly, at least
DEEPER = 4  # times as many, where the codes are on axes and those could not tell the nearest apart


class Snapshot(NamedTuple):
    """A graph in the order the kernels take it, every array a kernel view."""

    codes: Array
    bias: Array
    links: Array
    upper: Array
    upper_start: Array
    frame: tuple[Array, Array, Array]
    inverse_step: np.float32
    rows: int
    entry: int
    top: int

    @classmethod
    def of(cls, graph: HnswGraph) -> Snapshot:
        """The snapshot of a graph."""
        return cls(
            codes=kernel_view(graph.codes),
            bias=kernel_view(graph.bias),
            links=kernel_view(graph.links),
            upper=kernel_view(graph.upper),
            upper_start=kernel_view(graph.upper_start),
            frame=graph.scale.frame,
            inverse_step=graph.scale.inverse_step,
            rows=graph.rows,
            entry=graph.entry,
            top=graph.top,
        )

    @property
    def code_width(self) -> int:
        """Bytes of the code of one row."""
        return int(self.codes.shape[1]) * self.codes.itemsize

    @property
    def on_axes(self) -> bool:
        """Whether the codes leave out dimensions."""
        return len(self.frame[2]) > 0

    def depth(self, ef: int, rerank: int) -> int:
        """How many candidates of a walk to score exactly where `rerank` were asked for."""
        # The longer the walk, the more of its order is up to the axes left out.
        return max(rerank, ef // 4) if self.on_axes else rerank


class Search(NamedTuple):
    """One call: where it looks and how hard. The queries, and where the results go, come with the method.

    `vectors` and `inverse_norms` are the kernels' tables of `known`.
    """

    known: Vectors
    metric: Metric
    vectors: Array
    inverse_norms: Array
    snapshot: Snapshot
    stamps: StampPool
    ef: int
    rerank: int

    def settled(self, answer: Callable[[Search], Outcome]) -> Outcome:
        """What `answer` returns of this call, made anew for as long as it meets blocks of vectors that are not settled.

        Raises CorruptionError where one of them is damaged.
        """
        search = self
        while True:
            outcome = answer(search)
            if not search.known.unsettled(search.vectors):
                return outcome
            table, norms = search.known.kernel_tables()
            search = search._replace(vectors=table, inverse_norms=norms)

    def walk(self, queries: Array, slots: Array, distances: Array, threads: int) -> None:
        """Write the nearest slots of each query by the graph.

        Where it would hold all rows as candidates, or finds fewer than asked for, all rows are scanned instead.
        """
        rows = self.snapshot.rows
        if rows <= self.ef:
            self._scan_each(queries, np.arange(len(queries)), np.arange(rows), slots, distances, threads)
            return

        def task(first: int, last: int) -> None:
            self.walked(queries[first:last], slots[first:last], distances[first:last])

        at = min(slots.shape[1], rows) - 1
        if len(queries) == 1:  # every microsecond counts
            self.walked(queries, slots, distances)
            if slots[0, at] >= 0:
                return
        else:
            in_pieces(task, len(queries), threads)
        short = np.flatnonzero(slots[:, at] < 0)
        if len(short):
            self._scan_each(queries, short, np.arange(rows), slots, distances, threads)

    def walked(self, queries: Array, slots: Array, distances: Array) -> int:
        """Write what walks of the graph find for each query; returns how many nodes were scored."""
        from vego.index.kernels.hnsw_search import search_graph  # numba loads on first use

        scored: int = search_graph(
            self.metric.code, self.vectors, self.inverse_norms, *self.snapshot, queries,
            self.ef, self.rerank, slots, distances,
        )  # fmt: skip
        return scored

    def walk_one(self, query: Array, k: int, ef: int, rerank: int) -> tuple[Array, Array]:
        """`walk` for one query (d,), with its own ef and rerank, in the fewest steps: slots and distances (k,)."""
        from vego.index.kernels.hnsw_search import search_graph

        slots, distances = np.empty((1, k), np.int64), np.empty((1, k), np.float32)
        rerank = self.snapshot.depth(ef, rerank)
        search_graph(
            self.metric.code, self.vectors, self.inverse_norms, *self.snapshot, query[None],
            ef, rerank, slots, distances,
        )  # fmt: skip
        if slots[0, k - 1] < 0:
            everything = np.arange(self.snapshot.rows)
            found = self._replace(ef=ef, rerank=rerank)
            found._scan_each(query[None], np.zeros(1, np.int64), everything, slots, distances, 1)
        return slots[0], distances[0]

    def filtered(
        self, queries: Array, slots: Array, distances: Array, threads: int, accept: Accepted
    ) -> tuple[Array, Array]:
        """Write the nearest accepted slots of each query, by walk or scan, whichever is cheaper.

        Returns how each was answered (PAST, THROUGH or SCAN of `kernels/filter_costs.py`) and how many were scored.
        """
        rows = self.snapshot.rows
        accepted = accept.count_below(rows)
        budget = walk_budget(accepted, self.snapshot.code_width, self.ef)
        how, scored = self.walk_filtered(queries, slots, distances, threads, accept.mask, accepted, budget)
        left = (how == SCAN).nonzero()[0]
        if len(left):
            scored[left] += accepted
            self._scan_each(queries, left, accept.slots(0, rows), slots, distances, threads)
        return how, scored

    def walk_filtered(
        self,
        queries: Array,
        slots: Array,
        distances: Array,
        threads: int,
        accept: Array,
        accepted: int,
        budget: int,
    ) -> tuple[Array, Array]:
        """`filtered` without the scans: a query marked SCAN has no answer, as that would take more than `budget`."""
        from vego.index.kernels.hnsw_filtered import search_filtered

        how = np.empty(len(queries), np.uint8)
        how.fill(SCAN)
        scored = np.zeros(len(queries), np.int64)
        if not PAST_NODES * self.ef <= CONFIDENCE * budget:
            return how, scored

        def task(first: int, last: int) -> None:
            stamps = self.stamps.take(self.snapshot.rows)
            search_filtered(
                self.metric.code, self.vectors, self.inverse_norms, *self.snapshot, queries[first:last],
                self.ef, self.rerank, accept, accepted, budget, stamps,
                slots[first:last], distances[first:last], scored[first:last], how[first:last],
            )  # fmt: skip
            self.stamps.give(stamps)

        in_pieces(task, len(queries), threads)
        return how, scored

    def scan(self, query: Array, candidates: Array, rerank: int, slots: Array, distances: Array) -> None:
        """Write the nearest of `candidates` (uint32 slots) to one query: by codes; exactly, where those cannot tell.

        `rerank` of them are scored exactly, or some times as many.
        """
        from vego.index.kernels.code_scan import scan_slots

        s = self.snapshot
        for depth in (rerank, DEEPER * rerank) if s.on_axes else (rerank,):
            if scan_slots(
                self.metric.code, self.vectors, self.inverse_norms, s.codes, s.bias, s.frame, s.inverse_step,
                candidates, query, depth, slots, distances,
            ):  # fmt: skip
                return
        found = exact_search(self.metric, self.known, None, query[None], len(slots), rows=candidates)
        slots[:], distances[:] = found[0][0], found[1][0]

    def _scan_each(
        self, queries: Array, which: Array, candidates: Array, slots: Array, distances: Array, threads: int
    ) -> None:
        """`scan` for the queries numbered `which`, with as many scored exactly as a scan needs."""
        candidates = candidates.astype(np.uint32, copy=False)
        rerank = max(self.rerank, 4 * slots.shape[1], SCANNED)

        def task(first: int, last: int) -> None:
            for i in which[first:last]:
                self.scan(queries[i], candidates, rerank, slots[i], distances[i])

        in_pieces(task, len(which), threads)
