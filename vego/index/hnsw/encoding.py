"""The codes of a graph's rows, by metric: what they are made of, and their `bias` (kernels/distance.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.hnsw.graph import HnswGraph
from vego.index.hnsw.params import HnswParams
from vego.index.metrics import Metric
from vego.index.projection import LOST_SHARE
from vego.table.vectors import Vectors
from vego.vector_type import Element

Array = npt.NDArray[Any]
ENCODED_AT_ONCE = 4096


def encode(graph: HnswGraph, params: HnswParams, vectors: Vectors, start: int, stop: int) -> float:
    """Write codes and bias of the rows [start, stop); returns the share of squared length left out."""
    if graph.scale.axes is not None:
        return _encode_on_axes(graph, params, vectors, start, stop)
    if params.metric is Metric.L1:
        _encode_levels(graph, vectors, start, stop)
    elif params.metric is Metric.HAMMING:
        _encode_bits(graph, vectors, start, stop)
    else:
        _encode_products(graph, params, vectors, start, stop)
    return 0.0


def _encode_products(graph: HnswGraph, params: HnswParams, vectors: Vectors, start: int, stop: int) -> None:
    from vego.index.kernels.distance import encode_rows  # numba loads on first use

    scale, code = graph.scale, params.metric.code
    if vectors.element is Element.FLOAT32:
        vectors.settle_range(start, stop)
        table, norms = vectors.kernel_tables()
        encode_rows(
            code, table, norms, start, stop, scale.centre, scale.inverse_step,
            graph.codes, graph.bias,
        )  # fmt: skip
        return
    for part, rows in _pieces(vectors, start, stop):
        inverse = (
            vectors.inverse_norms(np.arange(part.start, part.stop))
            if params.metric is Metric.COSINE
            else None
        )
        table, norms = Vectors.of(rows, inverse).kernel_tables()
        encode_rows(
            code, table, norms, 0, len(rows), scale.centre, scale.inverse_step,
            graph.codes[part], graph.bias[part],
        )  # fmt: skip


def _pieces(vectors: Vectors, start: int, stop: int) -> Iterator[tuple[slice, Array]]:
    """The vectors of [start, stop) a few at a time, float32 (n, d) or bits as bytes, and their slots."""
    for piece in vectors.pieces(start, stop, ENCODED_AT_ONCE):
        part = slice(start, start + len(piece))
        start = part.stop
        yield part, piece if vectors.element is Element.BIT else piece.astype(np.float32, copy=False)


def _encode_levels(graph: HnswGraph, vectors: Vectors, start: int, stop: int) -> None:
    """Under l1: the signed codes."""
    scale = graph.scale
    width = len(scale.centre)
    for part, piece in _pieces(vectors, start, stop):
        with np.errstate(over="ignore"):
            levels = np.rint((piece - scale.centre) * scale.inverse_step)
        graph.codes[part, :width] = np.clip(levels, -128, 127)
        graph.codes[part, width:] = 0
        graph.bias[part] = graph.codes[part].sum(axis=1, dtype=np.int32)


def _encode_bits(graph: HnswGraph, vectors: Vectors, start: int, stop: int) -> None:
    """Under hamming: the rows themselves."""
    whole = graph.codes.view(np.uint8)
    for part, piece in _pieces(vectors, start, stop):
        whole[part, : vectors.width] = piece
        whole[part, vectors.width :] = 0
        graph.bias[part] = np.bitwise_count(piece).sum(axis=1, dtype=np.int32)


def _encode_on_axes(graph: HnswGraph, params: HnswParams, vectors: Vectors, start: int, stop: int) -> float:
    from vego.index.kernels.distance import encode_reduced  # numba loads on first use

    scale = graph.scale
    lost = kept = 0.0
    for part, piece in _pieces(vectors, start, stop):
        rows = piece
        if params.metric is Metric.COSINE:
            rows = piece * vectors.inverse_norms(np.arange(part.start, part.stop))[:, None]
        short, left_out = scale.reduced(rows)
        bias = np.empty(len(rows), np.int32)
        encode_reduced(short, LOST_SHARE * left_out, scale.inverse_step, graph.codes[part], bias)
        graph.biases[part] = bias
        lost += float(left_out.sum(dtype=np.float64))
        kept += float(np.square(short, dtype=np.float64).sum())
    return lost / max(lost + kept, 1e-300)
