"""Running the search kernels: scratch, threads, and what happens when a walk under a mask costs too much.

A walk that keeps only accepted slots visits about 1 / (accepted share) times as many nodes. Where a scan of
the accepted slots' codes is cheaper it is done instead, and a walk that meets its budget is finished by that
scan: so k results come whenever k slots are accepted, at about twice the cost of the cheaper way at most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vego.index.hnsw.graph import HnswGraph
from vego.index.scratch import StampPool
from vego.index.threads import in_pieces
from vego.index.views import kernel_view
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]

# Rows that a scan gets through in the time that a walk past nothing takes, for each candidate held. Measured by
# `python -m benchmarks.planner`.
WALK_COST = 64


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


class Search(NamedTuple):
    """One call: where it looks and how hard. The queries, and where the results go, come with the method.

    `vectors` and `inverse_norms` are tables of addresses: the caller keeps what they were made from.
    """

    metric: int
    vectors: Array
    inverse_norms: Array
    snapshot: Snapshot
    stamps: StampPool
    ef: int
    rerank: int

    def again(self, vectors: Vectors) -> Search:
        """The same call once more, now that blocks it met are settled."""
        table, norms = vectors.kernel_tables()
        return self._replace(vectors=table, inverse_norms=norms)

    def walk(self, queries: Array, slots: Array, distances: Array, threads: int) -> None:
        """Write the nearest slots of each query by the graph.

        Where it would hold all rows as candidates, or finds fewer than asked for, all rows are scanned instead.
        """
        from vego.index.kernels.hnsw_search import search_graph  # numba loads on first use

        rows = self.snapshot.rows
        if rows <= self.ef:
            self._scan_each(queries, np.arange(len(queries)), np.arange(rows), slots, distances, threads)
            return

        def some(queries: Array, slots: Array, distances: Array) -> None:
            stamps = self.stamps.take(rows)
            search_graph(
                self.metric, self.vectors, self.inverse_norms, *self.snapshot, queries,
                self.ef, self.rerank, stamps, slots, distances,
            )  # fmt: skip
            self.stamps.give(stamps)

        def task(first: int, last: int) -> None:
            some(queries[first:last], slots[first:last], distances[first:last])

        at = min(slots.shape[1], rows) - 1
        if len(queries) == 1:  # every microsecond counts
            some(queries, slots, distances)
            if slots[0, at] >= 0:
                return
        else:
            in_pieces(task, len(queries), threads)
        short = np.flatnonzero(slots[:, at] < 0)
        if len(short):
            self._scan_each(queries, short, np.arange(rows), slots, distances, threads)

    def walk_accepted(
        self, queries: Array, slots: Array, distances: Array, threads: int, accept: Array, budget: int
    ) -> npt.NDArray[np.bool_]:
        """`walk` among the accepted slots; returns which queries stayed within `budget` scored nodes."""
        from vego.index.kernels.hnsw_search import search_accepted

        complete = np.empty(len(queries), np.bool_)

        def task(first: int, last: int) -> None:
            stamps = self.stamps.take(self.snapshot.rows)
            search_accepted(
                self.metric, self.vectors, self.inverse_norms, *self.snapshot, queries[first:last],
                self.ef, self.rerank, accept, budget, stamps,
                slots[first:last], distances[first:last], complete[first:last],
            )  # fmt: skip
            self.stamps.give(stamps)

        in_pieces(task, len(queries), threads)
        return complete

    def scan(self, query: Array, candidates: Array, slots: Array, distances: Array) -> None:
        """Write the nearest of `candidates` (uint32 slots) to one query, by their codes."""
        from vego.index.kernels.hnsw_search import scan_slots

        s = self.snapshot
        scan_slots(
            self.metric, self.vectors, self.inverse_norms, s.codes, s.bias, s.frame, s.inverse_step,
            candidates, query, self.rerank, slots, distances,
        )  # fmt: skip

    def accepted(self, queries: Array, slots: Array, distances: Array, threads: int, accept: Array) -> None:
        """Write the nearest accepted slots of each query, by walk or scan, whichever is cheaper."""
        rows = self.snapshot.rows
        accepted = int(np.count_nonzero(accept[:rows]))
        if scan_is_cheaper(accepted, rows, self.ef):
            left = np.arange(len(queries))
        else:
            budget = min(max(WALK_COST * self.ef, accepted), rows)
            complete = self.walk_accepted(queries, slots, distances, threads, accept, budget)
            complete &= slots[:, min(slots.shape[1], accepted) - 1] >= 0
            left = np.flatnonzero(~complete)
        if len(left):
            self._scan_each(queries, left, np.flatnonzero(accept[:rows]), slots, distances, threads)

    def _scan_each(
        self, queries: Array, which: Array, candidates: Array, slots: Array, distances: Array, threads: int
    ) -> None:
        """`scan` for the queries numbered `which`."""
        candidates = candidates.astype(np.uint32)

        def task(first: int, last: int) -> None:
            for i in which[first:last]:
                self.scan(queries[i], candidates, slots[i], distances[i])

        in_pieces(task, len(which), threads)


def scan_is_cheaper(accepted: int, rows: int, ef: int) -> bool:
    """Whether scanning `accepted` of `rows` nodes costs less than a walk, which visits rows / accepted as many."""
    return accepted * accepted <= WALK_COST * ef * rows
