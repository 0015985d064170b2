"""Runs a plan on a snapshot: the graph for what is indexed, exact scans for the rest, merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector
from vego.index import HnswIndex, Metric, exact_search
from vego.planner import Plan, choose
from vego.table.slots import SlotView

Slots = NDArray[np.int64]
Distances = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Searcher:
    """Everything one search needs: arrays, graph (or None), metric. `index.rows` <= `view.rows`."""

    view: SlotView
    index: HnswIndex | None
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
        index = self.index
        if plan.strategy == "empty":
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if plan.strategy in ("exact", "gather") or index is None:
            return self._exact(query, k, 0, accept)
        slots, distances = self._indexed(index, query, k, plan, accept)
        if index.rows == self.view.rows:
            return slots, distances
        more_slots, more_distances = self._exact(query, k, index.rows, accept)
        return _merge(np.concatenate([slots, more_slots]), np.concatenate([distances, more_distances]), k)

    def run_batch(
        self, queries: Vector, k: int, plan: Plan, accept: Mask | None, threads: int | None
    ) -> tuple[Slots, Distances]:
        """The k nearest of each of m queries: slots (m, k) padded with -1, distances (m, k) padded with infinity."""
        index, view = self.index, self.view
        if plan.strategy in ("graph", "filtered graph") and index is not None and index.rows == view.rows:
            ef = max(plan.ef, k)
            slots, distances = index.search_batch(
                view.vectors,
                view.inverse_norms,
                queries,
                k,
                ef,
                rerank_depth(k, ef),
                None if plan.strategy == "graph" else accept,
                threads,
            )
            short = np.flatnonzero(slots[:, min(k, plan.matches) - 1] < 0)
        else:
            slots = np.full((len(queries), k), -1, np.int64)
            distances = np.full((len(queries), k), np.inf, np.float32)
            short = np.arange(len(queries))
        for row in short:
            found, near = self.run(queries[row], k, plan, accept)
            slots[row, : len(found)] = found
            distances[row, : len(found)] = near
        return slots, distances

    def _indexed(
        self, index: HnswIndex, query: Vector, k: int, plan: Plan, accept: Mask | None
    ) -> tuple[Slots, Distances]:
        view = self.view
        if plan.strategy in ("graph", "filtered graph"):
            ef = max(plan.ef, k)
            mask = None if plan.strategy == "graph" else accept
            slots, distances = index.search(
                view.vectors, view.inverse_norms, query, k, ef, rerank_depth(k, ef), mask
            )
            if len(slots) >= k:
                return slots, distances
        rows = _accepted(accept, 0, index.rows)
        return index.scan_codes(view.vectors, view.inverse_norms, query, k, max(4 * k, 64), rows)

    def _exact(self, query: Vector, k: int, start: int, accept: Mask | None) -> tuple[Slots, Distances]:
        view = self.view
        rows = None
        if accept is not None:
            rows = _accepted(accept, start, view.rows)
        slots, distances = exact_search(
            self.metric, view.vectors, view.inverse_norms, query[None], k, start=start, rows=rows
        )
        found = slots[0] >= 0
        return slots[0][found], distances[0][found]


def rerank_depth(k: int, ef: int) -> int:
    """How many of the best by 8-bit distance are scored again in float32."""
    return min(ef, max(2 * k, k + 10))


def _accepted(accept: Mask | None, start: int, stop: int) -> NDArray[np.uint32]:
    if accept is None:
        return np.arange(start, stop, dtype=np.uint32)
    return (np.flatnonzero(accept[start:stop]) + start).astype(np.uint32)


def _merge(slots: Slots, distances: Distances, k: int) -> tuple[Slots, Distances]:
    order = np.lexsort((slots, distances))[:k]
    return slots[order], distances[order]
