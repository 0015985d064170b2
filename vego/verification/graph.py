"""Samples of a graph against the rows it stands for: its codes, and what its searches find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_fmt import Column
from vego.index import VectorIndex, exact_search
from vego.index.hnsw.graph import HnswGraph
from vego.index.hnsw.storage import read_graph
from vego.index.lsh import LshIndex
from vego.index.lsh.tables import keys_of
from vego.index.metrics import Metric
from vego.index.projection import LOST_SHARE
from vego.table.vectors import Vectors, inverse_norms_of
from vego.vector_type import Element

_CODES = 256  # rows whose codes are computed anew
_SEARCHES = 32
_K = 10
_EF = 64


def sampled_codes(
    columns: Mapping[str, Column],
    metadata: Mapping[str, str],
    vectors: NDArray[Any],
    known: NDArray[np.int64],
    path: str,
) -> str:
    """What is wrong with the codes of a sample of rows; "" if nothing is.

    `vectors` is as stored, (rows, width); `known` are the rows of which it is there still.
    """
    params, graph = read_graph(columns, metadata, path)
    picks = known[_sample(len(known), _CODES)] if len(known) else known
    if params.metric is Metric.HAMMING:
        wrong = _wrong_bits(graph, vectors[picks], picks)
        return _said(wrong, picks)
    rows = vectors[picks].astype(np.float32, copy=False)
    if params.metric is Metric.COSINE:
        rows = rows * inverse_norms_of(rows)[:, None]
    scale = graph.scale
    left_out = np.zeros(len(picks), np.float32)
    if scale.axes is None:
        short = rows - scale.centre
    else:
        short, left_out = scale.reduced(rows)
    zero = 0 if params.metric is Metric.L1 else 128
    levels = np.rint(short * scale.inverse_step) + np.float32(zero)
    expected = np.clip(levels, zero - 128, zero + 127).astype(np.int64)
    found = graph.levels_of_codes[picks].astype(np.int64)
    # A compiler may fuse multiplication and subtraction, so a value halfway between two levels may go either way.
    wrong = (np.abs(found[:, : short.shape[1]] - expected) > 1).any(axis=1)
    wrong |= found[:, short.shape[1] :].any(axis=1)
    bias = np.zeros(len(picks), np.int64)
    if params.metric is Metric.L1:
        bias = found.sum(axis=1)
    elif params.metric is not Metric.INNER_PRODUCT:
        bias = (found * (found - 256)).sum(axis=1)
    # What the axes left out is a difference of sums; a last bit of those is not an error.
    rest = np.minimum(LOST_SHARE * left_out * scale.inverse_step**2, float(1 << 28))
    slack = 0 if scale.axes is None else 2 + 1e-3 * rest + 1e-4 * np.abs(bias)
    wrong |= np.abs(graph.biases[picks] - bias - rest) > slack
    return _said(wrong, picks)


def _wrong_bits(graph: HnswGraph, rows: NDArray[np.uint8], picks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Under hamming: where codes are not the rows (n, width)."""
    found = graph.codes[picks].view(np.uint8)
    wrong: NDArray[np.bool_] = (found[:, : rows.shape[1]] != rows).any(axis=1) | found[
        :, rows.shape[1] :
    ].any(axis=1)
    wrong |= graph.bias[picks] != np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
    return wrong


def sampled_keys(index: LshIndex, vectors: NDArray[np.uint8], known: NDArray[np.int64]) -> str:
    """`sampled_codes` of hash tables, whose codes are their keys."""
    if index.tables is None or not len(known):
        return ""
    picks = known[_sample(len(known), _CODES)]
    rows = Vectors.of(np.ascontiguousarray(vectors[picks]), None, Element.BIT)
    expected = keys_of(rows, 0, len(picks), index.tables.positions)
    return _said((index.tables.keys[picks] != expected).any(axis=1), picks)


def _said(wrong: NDArray[np.bool_], picks: NDArray[np.int64]) -> str:
    if not wrong.any():
        return ""
    count = f"{np.count_nonzero(wrong):,} of {len(picks):,} sampled rows"
    return f"the codes of {count} are not those of their vectors, first of row {picks[wrong][0]:,}"


def sampled_recall(index: VectorIndex, vectors: NDArray[Any], live: NDArray[np.bool_]) -> float | None:
    """The share of the true 10 nearest that the graph finds for a sample of live rows; None if none is live."""
    slots = np.flatnonzero(live).astype(np.uint32)
    if not len(slots):
        return None
    k = min(_K, len(slots))
    queries = np.ascontiguousarray(vectors[slots[_sample(len(slots), _SEARCHES)]])
    norms = inverse_norms_of(vectors) if index.metric is Metric.COSINE else None
    _, exact = exact_search(index.metric, vectors, norms, queries, k, rows=slots)
    accept = None if live.all() else live
    _, found = index.search_batch(vectors, norms, queries, k, _EF, _EF, accept)
    limit = exact[:, -1:]
    return float(np.mean(found <= limit + np.abs(limit) * 1e-5 + 1e-6))


def _sample(count: int, size: int) -> NDArray[np.int64]:
    """At most `size` of `count` positions, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, size)).astype(np.int64))
