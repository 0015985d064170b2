"""Runs a plan on a snapshot: the index for what is indexed, exact scans for the rest, merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector
from vego.index import Accepted, Metric, VectorIndex, Way, exact_search
from vego.index.views import merged, trimmed
from vego.planner import Effort, Plan, choose
from vego.queries import Limit
from vego.table.slots import SlotView

Slots = NDArray[np.int64]
Distances = NDArray[np.float32]
Found = tuple[Slots, Distances]
EffortOf = Callable[[int], Effort]

PIECE = (
    1 << 22
)  # vector components scanned, for all queries together, before a limit is looked at: milliseconds
PIECE_QUERIES = 256  # queries walked before a limit is looked at
FIRST_WITHIN = 64  # neighbours a range search asks the graph for first; four times as many each time after
MOST_WITHIN = 1_024  # from here on it scans


class Searcher:
    """Everything one search needs: arrays, index (or None), metric. `index.rows` <= `view.rows`."""

    __slots__ = ("index", "metric", "view")

    def __init__(self, view: SlotView, index: VectorIndex | None, metric: Metric) -> None:
        self.view, self.index, self.metric = view, index, metric

    def plan(self, effort: Effort, accept: Accepted | None) -> Plan:
        """How to search the rows that a filter accepts; None: all slots there are, none of which is dead."""
        view = self.view
        matches = view.live_count if accept is None else accept.count
        return choose(view.rows, view.live_count, matches, effort, self.index)

    def run(
        self, query: Vector, k: int, plan: Plan, accept: Accepted | None, limit: Limit | None = None
    ) -> Found:
        """The k nearest accepted slots of one query (d,), nearest first; fewer only where fewer match."""
        view, index, strategy = self.view, self.index, plan.strategy
        if strategy == "empty":
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if strategy in ("exact", "gather") or index is None:
            return _found(*self._exact(query[None], k, 0, accept, limit))
        if strategy == "codes":
            found = self._codes(index, query, k, plan, accept, limit)
        else:
            among = None if strategy == "graph" else accept
            found = index.search(view.vectors, None, query, k, plan.ef, plan.rerank, among)
        if plan.indexed == view.rows:
            return found
        slots, distances = found
        behind = self._exact(query[None], k, plan.indexed, accept, limit)
        return _found(*merged(((slots[None], distances[None]), behind), k))

    def explained(self, query: Vector, k: int, plan: Plan, accept: Accepted | None) -> Plan:
        """The plan with what it did for one query: how many rows were visited, and which walk it was."""
        view, index = self.view, self.index
        if plan.exact or plan.strategy == "codes" or index is None:
            return plan._replace(visited=plan.matches)
        among = None if plan.strategy == "graph" else accept
        way = Way(plan.strategy, plan.reason, plan.ef)
        way = index.explained(view.vectors, None, query, k, way, plan.rerank, among)
        behind = view.rows - index.rows
        if accept is not None:
            behind = accept.count - accept.count_below(index.rows)
        visited = None if way.visited is None else way.visited + behind
        return plan._replace(strategy=way.strategy, reason=way.reason, visited=visited)

    def run_batch(
        self,
        queries: Vector,
        k: int,
        plan: Plan,
        accept: Accepted | None,
        threads: int | None,
        limit: Limit | None = None,
    ) -> Found:
        """The k nearest of each of m queries: slots (m, k) padded with -1, distances (m, k) padded with infinity."""
        view, index = self.view, self.index
        if plan.strategy in ("empty", "codes"):
            slots = np.full((len(queries), k), -1, np.int64)
            distances = np.full((len(queries), k), np.inf, np.float32)
            for row, query in enumerate(queries):
                found, near = self.run(query, k, plan, accept, limit)
                slots[row, : len(found)] = found
                distances[row, : len(found)] = near
            return slots, distances
        if plan.strategy in ("exact", "gather") or index is None:
            return self._exact(queries, k, 0, accept, limit)
        among = None if plan.strategy == "graph" else accept
        parts = []
        step = len(queries) if limit is None else PIECE_QUERIES
        for first in range(0, len(queries), step) if len(queries) else (0,):
            if limit is not None:
                limit.check()
            some = queries[first : first + step]
            arguments = view.vectors, None, some, k, plan.ef, plan.rerank, among, threads
            parts.append(index.search_batch(*arguments))
        indexed = parts[0] if len(parts) == 1 else _stacked(parts)
        if index.rows == view.rows:
            return indexed
        return merged((indexed, self._exact(queries, k, index.rows, accept, limit)), k)

    def within(
        self,
        query: Vector,
        radius: float,
        most: int,
        effort_of: EffortOf,
        accept: Accepted | None,
        limit: Limit | None,
    ) -> Found:
        """All accepted slots of one query (d,) up to `radius` away, the nearest `most` of them, nearest first.

        The graph is asked for more and more neighbours until the last is farther away; where that are many, all
        matches are scanned.
        """
        k = min(FIRST_WITHIN, most)
        while True:
            plan = self.plan(effort_of(k), accept)
            if plan.exact or k > MOST_WITHIN:
                break
            slots, distances = self.run(query, k, plan, accept, limit)
            if len(slots) < k or k == most or distances[-1] > radius:
                return up_to(radius, slots, distances)
            k = min(4 * k, most)
        k = min(max(k, MOST_WITHIN), most, max(1, plan.matches))
        while True:
            slots, distances = _found(*self._exact(query[None], k, 0, accept, limit))
            if len(slots) < k or k == min(most, plan.matches) or distances[-1] > radius:
                return up_to(radius, slots, distances)
            k = min(8 * k, most, plan.matches)

    def _codes(
        self,
        index: VectorIndex,
        query: Vector,
        k: int,
        plan: Plan,
        accept: Accepted | None,
        limit: Limit | None,
    ) -> Found:
        """Scan of the codes of the accepted slots that are indexed."""
        vectors = self.view.vectors
        rows = np.arange(plan.indexed, dtype=np.uint32) if accept is None else accept.slots(0, plan.indexed)
        if limit is None:
            return index.scan_codes(vectors, None, query, k, plan.rerank, rows)
        parts = []
        for part in _pieces(rows, PIECE // vectors.dimension):
            limit.check()
            parts.append(index.scan_codes(vectors, None, query, k, plan.rerank, part))
        slots, distances = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        order = np.lexsort((slots, distances))[:k]
        return slots[order], distances[order]

    def _exact(
        self, queries: Vector, k: int, start: int, accept: Accepted | None, limit: Limit | None = None
    ) -> Found:
        """Float scan of the accepted slots from `start` on: slots (m, k) and distances (m, k), padded."""
        view = self.view
        rows = None if accept is None else accept.slots(start, view.rows)
        if limit is None:
            return exact_search(self.metric, view.vectors, None, queries, k, start=start, rows=rows)
        limit.check()
        best: Found | None = None
        rows = np.arange(start, view.rows, dtype=np.uint32) if rows is None else rows
        step = PIECE // (view.vectors.dimension * max(1, len(queries)))
        for part in _pieces(rows, step):
            limit.check()
            found = exact_search(self.metric, view.vectors, None, queries, k, rows=part)
            best = found if best is None else merged((best, found), k)
        assert best is not None
        return best


def _pieces(rows: NDArray[np.uint32], step: int) -> Iterator[NDArray[np.uint32]]:
    """`rows` in parts of `step`, at least 1,024; one part where there are none."""
    step = max(1_024, step)
    for first in range(0, max(1, len(rows)), step):
        yield rows[first : first + step]


def _found(slots: Slots, distances: Distances) -> Found:
    """One row of padded results without the padding."""
    return trimmed(slots[0], distances[0])


def up_to(radius: float, slots: Slots, distances: Distances) -> Found:
    """Those of ascending distances that are at most `radius`."""
    count = int(np.searchsorted(distances, np.float32(radius), side="right"))
    return slots[:count], distances[:count]


def _stacked(parts: list[Found]) -> Found:
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
