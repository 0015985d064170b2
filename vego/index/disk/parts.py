"""A run of consecutive slots with a graph of their own: on the disk, or in memory until it is saved.

Slots of a part are numbered from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.disk.records import RecordLayout, Records
from vego.index.hnsw.graph import HnswGraph, with_room
from vego.index.hnsw.index import HnswIndex
from vego.index.hnsw.params import HnswParams, levels_of
from vego.index.hnsw.search import SCANNED, Snapshot
from vego.index.kernels.filter_costs import scan_beats_reads
from vego.index.links import WORD, empty_links, slots_of
from vego.index.metrics import Metric
from vego.index.scratch import StampPool
from vego.index.threads import in_pieces
from vego.index.views import ALL, marked_slots, result_arrays
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
Source = Callable[[npt.NDArray[np.int64]], tuple[Array, Array]]

BEAM = 8  # records asked for at once
DEEPER = 8  # times as many scored exactly, where the codes could not tell the nearest apart
MOST_READ = 4096  # records of one scan, after which its answer stands
EXPECTED = (
    0.5  # share of the accepted nodes that a walk under a mask expects to meet, below which it was misled
)


def layout_of(params: HnswParams, *, blocks: bool = True) -> RecordLayout:
    """The layout of the records of a graph."""
    return RecordLayout(params.dimension, 2 * params.m, blocks)


def source_of(vectors: Vectors, metric: Metric) -> Source:
    """Vectors (m, d) and inverse norms (m,) of slots of `vectors`."""

    def rows_at(slots: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        cosine = metric is Metric.COSINE
        norms = vectors.inverse_norms(slots) if cosine else np.ones(len(slots), np.float32)
        return vectors.floats(slots), norms

    return rows_at


@dataclass(frozen=True)
class FreshPart:
    """A graph in memory. The vector of its slot i is that of `source` at `places[i]`, or at i where None."""

    index: HnswIndex
    source: Source
    places: npt.NDArray[np.int64] | None = None

    @property
    def rows(self) -> int:
        """Slots of the part."""
        return self.index.rows

    @property
    def params(self) -> HnswParams:
        """What the graph was built with."""
        return self.index.params

    @property
    def graph(self) -> HnswGraph:
        """The graph."""
        return self.index.graph

    def memory(self) -> dict[str, int]:
        """Bytes by part."""
        return self.index.memory()

    def records(self, first: int, stop: int) -> npt.NDArray[np.uint32]:
        """The records (n, words) of the slots [first, stop); raises CorruptionError where vectors are damaged."""
        slots = np.arange(first, stop)
        vectors, norms = self.source(slots if self.places is None else self.places[first:stop])
        return layout_of(self.params).filled(slots_of(self.graph.links[first:stop]), vectors, norms, first)

    def without(self, removed: Array, order: Array | None, threads: int | None) -> FreshPart:
        """The part without some slots; see `VectorIndex.without`."""
        kept = np.flatnonzero(~removed) if order is None else order
        places = kept if self.places is None else self.places[kept]
        return FreshPart(self.index.without(removed, order=order, threads=threads), self.source, places)

    def search(
        self, vectors: Vectors, queries: Array, k: int, ef: int, rerank: int, accept: Array, threads: int
    ) -> Found:
        """The k nearest of each query (m, d), padded; `accept` bool (>= rows,), or of length 0 for all."""
        mask = accept if len(accept) else None
        return self.index.search_batch(vectors, None, queries, k, ef, rerank, mask, threads)

    def scan(self, vectors: Vectors, query: Array, k: int, rerank: int, candidates: Array) -> Found:
        """The k nearest of one query (d,) among some slots (uint32, no repeats), by a scan of their codes."""
        return self.index.scan_codes(vectors, None, query, k, rerank, candidates)

    def visited(self, vectors: Vectors, query: Array, k: int, ef: int, rerank: int) -> int:
        """Nodes that a search of one query (d,) scores."""
        return self.index.visited(vectors, None, query, k, ef, rerank)


@dataclass(frozen=True)
class StoredPart:
    """A graph whose nodes are `stored` records; of `graph` all is in memory but the links on layer 0."""

    params: HnswParams
    graph: HnswGraph
    stored: Records
    snapshot: Snapshot
    stamps: StampPool

    @classmethod
    def of(cls, params: HnswParams, graph: HnswGraph, stored: Records) -> StoredPart:
        """The part of a graph without links and its records."""
        return cls(params, graph, stored, Snapshot.of(graph), StampPool())

    @property
    def rows(self) -> int:
        """Slots of the part."""
        return self.graph.rows

    def memory(self) -> dict[str, int]:
        """Bytes by part; "records" are in the file."""
        graph = self.graph
        codes, links = int(graph.codes.nbytes), int(graph.upper.nbytes)
        other = graph.nbytes - codes - links
        return {"codes": codes, "links": links, "other": other, "records": int(self.stored.array.nbytes)}

    def records(self, first: int, stop: int) -> npt.NDArray[np.uint32]:
        """The records (n, words) of the slots [first, stop), as they are written today; raises CorruptionError."""
        # Those of files of version 1 end with zeros, which count for nothing in their checksums.
        return np.ascontiguousarray(self.stored.run(first, stop)[:, : layout_of(self.params).words])

    def in_memory(self, stop: int) -> HnswIndex:
        """The graph with its links in memory, with room for `stop` rows; reads all records, raises CorruptionError."""
        graph = replace(
            self.graph,
            links=empty_links(self.rows, 0, WORD),  # they are read to where they stay
            shared=True,
        )
        if stop > self.rows:
            graph = with_room(graph, levels_of(self.params, self.rows, stop))
        return HnswIndex.of(self.params, replace(graph, links=self.stored.links(stop)))

    def without(self, removed: Array, order: Array | None, threads: int | None) -> FreshPart:
        """The part without some slots; see `VectorIndex.without`. Raises CorruptionError."""
        kept = np.flatnonzero(~removed) if order is None else order
        smaller = self.in_memory(self.rows).without(removed, order=order, threads=threads)
        return FreshPart(smaller, self.stored.vectors, kept)

    def search(
        self, vectors: Vectors, queries: Array, k: int, ef: int, rerank: int, accept: Array, threads: int
    ) -> Found:
        """The k nearest of each query (m, d), padded; `accept` bool (>= rows,), or of length 0 for all.

        Every node of the walk is scored exactly; `rerank` are, at least, where codes are scanned instead: where few are
        accepted, or fewer were met than to be expected if they lay anywhere. Raises CorruptionError.
        """
        slots, distances = result_arrays(len(queries), k)
        rows = self.rows
        accepted = int(np.count_nonzero(accept[:rows])) if len(accept) else rows
        slots[:], distances[:] = -1, np.inf
        if accepted == 0:
            return slots, distances
        left = np.arange(len(queries))
        width = self.graph.scale.code_width
        if rows > ef and not (accepted < rows and scan_beats_reads(accepted, rows, width, ef)):
            wide = min(ef * rows // accepted, rows)
            _, met = self._walk(queries, wide, accept, threads, slots, distances)
            short = slots[:, min(k, accepted) - 1] < 0
            if accepted < rows:
                short |= met < EXPECTED * min(ef, accepted)
            left = np.flatnonzero(short)
        if len(left):
            candidates = marked_slots(accept, 0, rows) if len(accept) else np.arange(rows, dtype=np.uint32)
            depth = max(rerank, rows) if rows <= ef else rerank  # a walk would have read as many
            for i in left:
                found, near = self.scan(vectors, queries[i], k, depth, candidates)
                slots[i, : len(found)], distances[i, : len(near)] = found, near
        return slots, distances

    def _walk(
        self, queries: Array, ef: int, accept: Array, threads: int, slots: Array, distances: Array
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Write the nearest slots of each query by the graph; returns records read and accepted nodes met, of each."""
        from vego.index.kernels.record_search import search_records  # numba loads on first use

        reads, met = np.empty(len(queries), np.int64), np.empty(len(queries), np.int64)
        s = self.snapshot

        def task(first: int, last: int) -> None:
            part = slice(first, last)
            with self.stamps.borrow(self.rows) as stamps:
                damaged = search_records(
                    self.params.metric.code, *self.stored.place, s.codes, s.bias, s.upper, s.upper_start, s.frame,
                    s.inverse_step, s.rows, s.entry, s.top, queries[part], ef, BEAM, accept, stamps,
                    slots[part], distances[part], reads[part], met[part],
                )  # fmt: skip
            if damaged >= 0:
                raise self.stored.damaged(damaged)

        in_pieces(task, len(queries), threads)
        return reads, met

    def scan(self, vectors: Vectors, query: Array, k: int, rerank: int, candidates: Array) -> Found:  # noqa: ARG002
        """The k nearest of one query (d,) among some slots (uint32, no repeats), by a scan of their codes.

        As many are scored exactly as it takes to tell the nearest from the rest, but no more than MOST_READ, or
        `rerank`. Raises CorruptionError.
        """
        from vego.index.kernels.record_search import scan_records  # numba loads on first use

        s = self.snapshot
        slots, distances = np.empty(k, np.int64), np.empty(k, np.float32)
        depth = max(rerank, 4 * k, SCANNED)
        most = max(depth, MOST_READ)
        while True:
            depth = max(1, min(depth, len(candidates)))
            damaged, told = scan_records(
                self.params.metric.code, *self.stored.place, s.codes, s.bias, s.frame, s.inverse_step,
                candidates, query, depth, slots, distances,
            )  # fmt: skip
            if damaged >= 0:
                raise self.stored.damaged(damaged)
            if told or depth >= most:
                break
            depth = min(DEEPER * depth, most)
        count = int(np.count_nonzero(slots >= 0))
        return slots[:count], distances[:count]

    def visited(self, vectors: Vectors, query: Array, k: int, ef: int, rerank: int) -> int:  # noqa: ARG002
        """Records that a search of one query (d,) reads."""
        slots, distances = result_arrays(1, k)
        reads, _ = self._walk(query[None], min(ef, self.rows), ALL, 1, slots, distances)
        return int(reads[0])


Part = FreshPart | StoredPart
