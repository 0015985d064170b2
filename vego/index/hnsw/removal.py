"""A graph without some of its nodes, its neighbourhoods repaired; deterministic for any number of threads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.hnsw.build import with_all_reachable
from vego.index.hnsw.graph import HnswGraph, empty_graph
from vego.index.hnsw.params import HnswParams
from vego.index.links import NONE, WORD, empty_links, link_bytes, links_of, slots_of
from vego.index.scratch import StampPool
from vego.index.threads import in_pieces, thread_count
from vego.index.views import aligned_empty, kernel_view

Array = npt.NDArray[Any]


def without(
    graph: HnswGraph,
    params: HnswParams,
    removed: npt.NDArray[np.bool_],
    threads: int | None,
    stamps: StampPool,
    order: npt.NDArray[np.int64] | None = None,
) -> HnswGraph:
    """`graph` without the nodes that `removed`, bool (rows,), marks; the others move up and keep their order.

    Every node that loses a link gets its links chosen anew, with what lay behind the removed ones to choose from.
    `order` has the nodes that stay, int64, in the order in which they are numbered instead.
    """
    kept = ~removed
    nodes = np.flatnonzero(kept)
    if not len(nodes):
        return empty_graph(params)
    rows = graph.rows
    links = empty_links(rows, params.link_width, graph.links.shape[2])
    used = int(graph.upper_start[rows])
    upper = empty_links(used, params.m, WORD)
    workers = thread_count(threads)
    for layer in range(graph.top + 1):
        there = nodes if layer == 0 else nodes[graph.levels[nodes] >= layer]
        _heal(graph, params, removed, layer, there, upper if layer else links, stamps, workers)
    nodes = nodes if order is None else order
    # Where a node went; NONE for those removed and for the end of a row, which comes last.
    place = np.full(rows + 1, NONE, np.uint32)
    place[nodes] = np.arange(len(nodes), dtype=np.uint32)
    levels = graph.levels[nodes]
    starts = graph.upper_start[:rows].astype(np.int64)
    upper_rows = np.repeat(starts[nodes], levels) + _counted(levels)
    best = int(np.argmax(levels))
    smaller = replace(
        graph,
        codes=_aligned(graph.codes[nodes]),
        bias=graph.bias if graph.scale.bias_in_rows else graph.bias[nodes],
        levels=levels,
        links=links_of(place[np.minimum(slots_of(links[nodes]), rows)], link_bytes(len(nodes))),
        upper=links_of(place[np.minimum(slots_of(upper[upper_rows]), rows)], WORD),
        upper_start=np.concatenate([[0], np.cumsum(levels, dtype=np.int64)]).astype(np.uint32),
        rows=len(nodes),
        entry=best,
        top=int(levels[best]),
        checked=0,
        shared=False,
    )
    return with_all_reachable(smaller, params)


def _heal(
    graph: HnswGraph,
    params: HnswParams,
    removed: npt.NDArray[np.bool_],
    layer: int,
    nodes: Array,
    healed: Array,
    stamps: StampPool,
    threads: int,
) -> None:
    from vego.index.kernels.removal import bypass  # numba loads on first use

    table = graph.upper if layer else graph.links
    read = [kernel_view(array) for array in (graph.codes, graph.bias, table, graph.upper_start)]
    marks = kernel_view(removed)
    cap = params.m if layer else 2 * params.m
    weighed = max(params.ef_construction, cap)  # a row that had more links than are weighed keeps as many

    def task(first: int, last: int) -> None:
        with stamps.borrow(graph.capacity) as mine:
            bypass(
                *read, layer, marks, nodes, first, last,
                cap, params.strictness, weighed, mine, healed,
            )  # fmt: skip

    in_pieces(task, len(nodes), threads)


def _counted(lengths: Array) -> npt.NDArray[np.int64]:
    """0, 1, .., lengths[0] - 1, 0, 1, .., lengths[1] - 1, .."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - lengths, lengths)


def _aligned(rows: Array) -> Array:
    out = aligned_empty(rows.shape, rows.dtype)
    out[...] = rows
    return out
