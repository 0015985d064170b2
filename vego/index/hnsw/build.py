"""Adding rows to a graph in batches, deterministic for any number of threads.

The nodes of a batch each search the graph as it was before the batch and see the batch's earlier nodes by
brute force, so the result is close to adding them one by one; then the reverse edges are merged per target.
Both steps only read what other tasks of the same step do not write, so threads change nothing but the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.hnsw.encoding import encode
from vego.index.hnsw.graph import HnswGraph, bias_room, code_rows, with_room
from vego.index.hnsw.params import HnswParams, levels_of
from vego.index.links import NONE, slots_of
from vego.index.quantize import train_scale
from vego.index.threads import in_pieces, thread_count
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]

FIRST_BATCH = 256
LARGEST_BATCH = 1024
SCALE_SETTLES = 16_384  # rows after which the scale of codes of all dimensions is final
DRIFT = 1.5  # times as much left out by the axes as of the rows they were chosen for: they are chosen anew


def grow(
    graph: HnswGraph,
    params: HnswParams,
    vectors: Vectors,
    stop: int,
    threads: int | None,
) -> Iterator[HnswGraph]:
    """Index the rows [graph.rows, stop), yielding the graph after each batch; each is complete in itself.

    In the end, if an eighth of the rows came since the last time, nodes that nothing leads to get a link.

    `vectors` are at least `stop` rows.
    """
    graph = with_room(graph, levels_of(params, graph.rows, stop))
    graph = _with_codes(graph, params, vectors, stop)
    workers = thread_count(threads)
    while graph.rows < stop:
        size = min(max(FIRST_BATCH, graph.rows // 4), LARGEST_BATCH, stop - graph.rows)
        graph = _add_batch(graph, params, graph.rows + size, workers)
        yield graph
    if graph.rows - graph.checked >= graph.rows // 8:
        yield with_all_reachable(graph, params)


def _with_codes(graph: HnswGraph, params: HnswParams, vectors: Vectors, stop: int) -> HnswGraph:
    """Encode the rows to come; the scale is trained again when rows double, or those to come are unlike the others."""
    unsettled = graph.scale_rows < SCALE_SETTLES or graph.scale.axes is not None
    if not (unsettled and stop >= 2 * graph.scale_rows):
        lost = encode(graph, params, vectors, graph.rows, stop)
        if lost <= DRIFT * graph.scale.lost + 0.01 or stop < graph.scale_rows * 5 // 4:
            return graph
    scale = train_scale(params.metric, vectors, stop, params.widest_code)
    graph = replace(
        graph,
        scale=scale,
        scale_rows=stop,
        codes=code_rows(params.metric, scale, graph.capacity),
        bias=bias_room(scale, graph.capacity),
    )
    encode(graph, params, vectors, 0, stop)
    return graph


def with_all_reachable(graph: HnswGraph, params: HnswParams) -> HnswGraph:
    """The graph with a link to every node that no other leads to; its own arrays are written to."""
    from vego.index.kernels.repair import attach_unreachable

    attach_unreachable(
        graph.codes, graph.bias, graph.links, graph.upper_start,
        graph.rows, np.uint32(graph.entry), 2 * params.m, params.ef_construction,
        np.zeros(graph.rows, np.bool_), np.empty(graph.rows, np.uint32),
    )  # fmt: skip
    return replace(graph, checked=graph.rows)


def _add_batch(graph: HnswGraph, params: HnswParams, stop: int, threads: int) -> HnswGraph:
    from vego.index.kernels.hnsw_build import link_batch, merge_links

    start = graph.rows
    codes, bias = graph.codes, graph.bias

    def link(first: int, last: int) -> None:
        link_batch(
            codes, bias, graph.links, graph.upper, graph.upper_start, graph.levels,
            start, graph.entry, graph.top, start + first, start + last,
            params.m, params.strictness, params.ef_construction,
        )  # fmt: skip

    def merge(table: Array, cap: int, edges: tuple[Array, Array, Array]) -> None:
        rows, targets, sources = edges
        order = np.argsort(rows, kind="stable")
        rows, targets, sources = rows[order], targets[order], sources[order]
        heads = np.flatnonzero(np.diff(rows, prepend=-1))
        bounds = np.append(heads, len(rows))
        rows, targets = rows[heads], targets[heads]

        def task(first: int, last: int) -> None:
            merge_links(
                codes, bias, table, cap, params.strictness, rows, targets, bounds, sources, first, last
            )  # fmt: skip

        in_pieces(task, len(rows), threads)

    in_pieces(link, stop - start, threads)
    merge(graph.links, 2 * params.m, _reverse_edges(graph, stop))
    merge(graph.upper, params.m, _reverse_upper_edges(graph, stop))
    best = start + int(np.argmax(graph.levels[start:stop]))
    if start == 0 or graph.levels[best] > graph.top:
        return replace(graph, rows=stop, entry=best, top=int(graph.levels[best]))
    return replace(graph, rows=stop)


def _reverse_edges(graph: HnswGraph, stop: int) -> tuple[Array, Array, Array]:
    """Link rows to add to, the nodes they belong to, the nodes to add: what the batch chose, turned round."""
    chosen = slots_of(graph.links[graph.rows : stop])
    source, column = np.nonzero(chosen != NONE)
    targets = chosen[source, column].astype(np.int64)
    return targets, targets, (source + graph.rows).astype(np.uint32)


def _reverse_upper_edges(graph: HnswGraph, stop: int) -> tuple[Array, Array, Array]:
    """`_reverse_edges` for the layers above 0."""
    first, last = int(graph.upper_start[graph.rows]), int(graph.upper_start[stop])
    nodes = np.repeat(np.arange(graph.rows, stop), graph.levels[graph.rows : stop])
    layers = np.arange(first, last) - graph.upper_start[nodes]
    chosen = slots_of(graph.upper[first:last])
    source, column = np.nonzero(chosen != NONE)
    targets = chosen[source, column].astype(np.int64)
    return graph.upper_start[targets] + layers[source], targets, nodes[source].astype(np.uint32)
