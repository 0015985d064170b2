"""Runs a plan on a snapshot: the index for what is indexed, exact scans for the rest, merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector
from vego.index import Metric, VectorIndex, Way, exact_search, marked_slots
from vego.index.views import merged
from vego.planner import Effort, Plan, choose
from vego.queries import Limit
from vego.table.slots import SlotView

Slots = NDArray[np.int64]
Distances = NDArray[np.float32]
Mask = NDArray[np.bool_]
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

    def plan(self, effort: Effort, matching: Mask | None) -> tuple[Plan, Mask | None]:
        """The plan, and the mask of rows to accept (None: all); `matching` is the filter's mask."""
        view, index = self.view, self.index
        if matching is None:
            accept = None if view.live_count == view.rows else view.live
            matches = view.live_count
        else:
            accept = matching if view.live_count == view.rows else matching & view.live
            matches = int(np.count_nonzero(accept))
        plan = choose(
            slots=view.rows,
            rows=view.live_count,
            matches=matches,
            effort=effort,
            index=index,
        )
        return plan, accept

    def run(
        self, query: Vector, k: int, plan: Plan, accept: Mask | None, limit: Limit | None = None
    ) -> Found:
        """The k nearest accepted slots of one query (d,), nearest first; fewer only where fewer match."""
        view, index = self.view, self.index
        if plan.strategy == "graph" and index is not None and index.rows == view.rows:
            return index.search(view.vectors, None, query, k, plan.ef, plan.rerank)
        if plan.strategy == "empty":
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if plan.strategy in ("exact", "gather") or index is None:
            return _found(*self._exact(query[None], k, 0, accept, limit))
        if plan.strategy == "codes":
            slots, distances = self._codes(index, query, k, plan, accept, limit)
        else:
            mask = None if plan.strategy == "graph" else accept
            slots, distances = index.search(view.vectors, None, query, k, plan.ef, plan.rerank, mask)
        if index.rows == view.rows:
            return slots, distances
        behind = self._exact(query[None], k, index.rows, accept, limit)
        return _found(*merged(((slots[None], distances[None]), behind), k))

    def explained(self, query: Vector, k: int, plan: Plan, accept: Mask | None) -> Plan:
        """The plan with what it did for one query: how many rows were visited, and which walk it was."""
        view, index = self.view, self.index
        if plan.exact or plan.strategy == "codes" or index is None:
            return plan._replace(visited=plan.matches)
        mask = None if plan.strategy == "graph" else accept
        way = Way(plan.strategy, plan.reason, plan.ef)
        way = index.explained(view.vectors, None, query, k, way, plan.rerank, mask)
        behind = view.rows - index.rows if accept is None else int(np.count_nonzero(accept[index.rows :]))
        visited = None if way.visited is None else way.visited + behind
        return plan._replace(strategy=way.strategy, reason=way.reason, visited=visited)

    def run_batch(
        self,
        queries: Vector,
        k: int,
        plan: Plan,
        accept: Mask | None,
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
        mask = None if plan.strategy == "graph" else accept
        parts = []
        step = len(queries) if limit is None else PIECE_QUERIES
        for first in range(0, len(queries), step) if len(queries) else (0,):
            if limit is not None:
                limit.check()
            some = queries[first : first + step]
            arguments = view.vectors, None, some, k, plan.ef, plan.rerank, mask, threads
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
        matching: Mask | None,
        limit: Limit | None,
    ) -> Found:
        """All accepted slots of one query (d,) up to `radius` away, the nearest `most` of them, nearest first.

        The graph is asked for more and more neighbours until the last is farther away; where that are many, all
        matches are scanned.
        """
        k = min(FIRST_WITHIN, most)
        while True:
            plan, accept = self.plan(effort_of(k), matching)
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
        self, index: VectorIndex, query: Vector, k: int, plan: Plan, accept: Mask | None, limit: Limit | None
    ) -> Found:
        """Scan of the codes of the accepted slots that are indexed."""
        view = self.view
        rows = _accepted(accept, 0, index.rows)
        parts = []
        for part in (rows,) if limit is None else _pieces(rows, PIECE // view.vectors.dimension):
            if limit is not None:
                limit.check()
            parts.append(index.scan_codes(view.vectors, None, query, k, plan.rerank, part))
        if len(parts) == 1:
            return parts[0]
        slots, distances = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        order = np.lexsort((slots, distances))[:k]
        return slots[order], distances[order]

    def _exact(
        self, queries: Vector, k: int, start: int, accept: Mask | None, limit: Limit | None = None
    ) -> Found:
        """Float scan of the accepted slots from `start` on: slots (m, k) and distances (m, k), padded."""
        view = self.view
        rows = None if accept is None else _accepted(accept, start, view.rows)
        if limit is None:
            return exact_search(self.metric, view.vectors, None, queries, k, start=start, rows=rows)
        limit.check()
        best: Found | None = None
        rows = _accepted(None, start, view.rows) if rows is None else rows
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


def _accepted(accept: Mask | None, start: int, stop: int) -> NDArray[np.uint32]:
    if accept is None:
        return np.arange(start, stop, dtype=np.uint32)
    return marked_slots(accept, start, stop)


def _found(slots: Slots, distances: Distances) -> Found:
    """One row of padded results without the padding."""
    count = int(np.count_nonzero(slots[0] >= 0))
    return slots[0, :count], distances[0, :count]


def up_to(radius: float, slots: Slots, distances: Distances) -> Found:
    """Those of ascending distances that are at most `radius`."""
    count = int(np.searchsorted(distances, np.float32(radius), side="right"))
    return slots[:count], distances[:count]


def _stacked(parts: list[Found]) -> Found:
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
