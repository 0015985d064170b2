"""Runs a plan on a snapshot: the graph for what is indexed, exact scans for the rest, merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector
from vego.index import Metric, VectorIndex, exact_search
from vego.planner import Plan, choose
from vego.table.slots import SlotView

Slots = NDArray[np.int64]
Distances = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Searcher:
    """Everything one search needs: arrays, graph (or None), metric. `index.rows` <= `view.rows`."""

    view: SlotView
    index: VectorIndex | None
    metric: Metric

    def plan(self, ef: int, matching: Mask | None, exact: bool) -> tuple[Plan, Mask | None]:
        """The plan, and the mask of rows to accept (None: all); `matching` is the filter's mask."""
        view = self.view
        if matching is None:
            accept = None if view.live_count == view.rows else view.live
            matches = view.live_count
        else:
            accept = matching if view.live_count == view.rows else matching & view.live
            matches = int(np.count_nonzero(accept))
        indexed = self.index.rows if self.index is not None else 0
        plan = choose(
            slots=view.rows, rows=view.live_count, matches=matches, indexed=indexed, ef=ef, exact=exact
        )
        return plan, accept

    def run(self, query: Vector, k: int, plan: Plan, accept: Mask | None) -> tuple[Slots, Distances]:
        """The k nearest accepted slots of one query (d,), nearest first; fewer only where fewer match."""
        view, index = self.view, self.index
        if plan.strategy == "empty":
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if plan.strategy in ("exact", "gather") or index is None:
            return _found(*self._exact(query[None], k, 0, accept))
        if plan.strategy == "codes":
            rows = _accepted(accept, 0, index.rows)
            slots, distances = index.scan_codes(view.vectors, None, query, k, max(4 * k, 64), rows)
        else:
            ef = max(plan.ef, k)
            mask = None if plan.strategy == "graph" else accept
            slots, distances = index.search(view.vectors, None, query, k, ef, rerank_depth(k, ef), mask)
        if index.rows == view.rows:
            return slots, distances
        behind = self._exact(query[None], k, index.rows, accept)
        return _found(*_merge((slots[None], distances[None]), behind, k))

    def run_batch(
        self, queries: Vector, k: int, plan: Plan, accept: Mask | None, threads: int | None
    ) -> tuple[Slots, Distances]:
        """The k nearest of each of m queries: slots (m, k) padded with -1, distances (m, k) padded with infinity."""
        view, index = self.view, self.index
        if plan.strategy in ("empty", "codes"):
            slots = np.full((len(queries), k), -1, np.int64)
            distances = np.full((len(queries), k), np.inf, np.float32)
            for row, query in enumerate(queries):
                found, near = self.run(query, k, plan, accept)
                slots[row, : len(found)] = found
                distances[row, : len(found)] = near
            return slots, distances
        if plan.strategy in ("exact", "gather") or index is None:
            return self._exact(queries, k, 0, accept)
        ef = max(plan.ef, k)
        mask = None if plan.strategy == "graph" else accept
        indexed = index.search_batch(view.vectors, None, queries, k, ef, rerank_depth(k, ef), mask, threads)
        if index.rows == view.rows:
            return indexed
        return _merge(indexed, self._exact(queries, k, index.rows, accept), k)

    def _exact(self, queries: Vector, k: int, start: int, accept: Mask | None) -> tuple[Slots, Distances]:
        """Float scan of the accepted slots from `start` on: slots (m, k) and distances (m, k), padded."""
        view = self.view
        rows = None if accept is None else _accepted(accept, start, view.rows)
        return exact_search(self.metric, view.vectors, None, queries, k, start=start, rows=rows)


def rerank_depth(k: int, ef: int) -> int:
    """How many of the best by 8-bit distance are scored again in float32."""
    return min(ef, max(2 * k, k + 10))


def _accepted(accept: Mask | None, start: int, stop: int) -> NDArray[np.uint32]:
    if accept is None:
        return np.arange(start, stop, dtype=np.uint32)
    return (np.flatnonzero(accept[start:stop]) + start).astype(np.uint32)


def _found(slots: Slots, distances: Distances) -> tuple[Slots, Distances]:
    """One row of padded results without the padding."""
    count = int(np.count_nonzero(slots[0] >= 0))
    return slots[0, :count], distances[0, :count]


def _merge(some: tuple[Slots, Distances], others: tuple[Slots, Distances], k: int) -> tuple[Slots, Distances]:
    """The k nearest of both, row by row; padding (-1, infinity) sorts last."""
    slots = np.concatenate([some[0], others[0]], axis=1)
    distances = np.concatenate([some[1], others[1]], axis=1)
    order = np.lexsort((slots, distances), axis=1)[:, :k]
    return np.take_along_axis(slots, order, 1), np.take_along_axis(distances, order, 1)
