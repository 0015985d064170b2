"""The codes of a graph's rows, by metric: what they are made of, and `bias` and `offset` (kernels/distance.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vego.index.hnsw.graph import HnswGraph
from vego.index.hnsw.params import HnswParams
from vego.index.metrics import Metric
from vego.index.projection import LOST_SHARE
from vego.table.vectors import Vectors

Array = npt.NDArray[Any]
ENCODED_AT_ONCE = 4096


def encode(graph: HnswGraph, params: HnswParams, vectors: Vectors, start: int, stop: int) -> float:
    """Write codes, bias and offset of the rows [start, stop); returns the share of squared length left out."""
    if params.metric is Metric.L1:
        _encode_levels(graph, vectors, start, stop)
        return 0.0
    if graph.scale.axes is not None:
        return _encode_on_axes(graph, params, vectors, start, stop)
    from vego.index.kernels.distance import encode_rows  # numba loads on first use

    vectors.settle_range(start, stop)
    table, norms = vectors.kernel_tables()
    encode_rows(
        params.metric.code, table, norms, start, stop, graph.scale.centre, graph.scale.inverse_step,
        graph.codes, graph.bias, graph.offset,
    )  # fmt: skip
    return 0.0


def _encode_levels(graph: HnswGraph, vectors: Vectors, start: int, stop: int) -> None:
    """Under l1: the signed codes."""
    scale = graph.scale
    width = len(scale.centre)
    first = start
    for piece in vectors.pieces(start, stop, ENCODED_AT_ONCE):
        part = slice(first, first + len(piece))
        with np.errstate(over="ignore"):
            levels = np.rint((piece - scale.centre) * scale.inverse_step)
        graph.codes[part, :width] = np.clip(levels, -128, 127)
        graph.codes[part, width:] = 0
        graph.bias[part] = graph.codes[part].sum(axis=1, dtype=np.int32)
        first = part.stop
    graph.offset[start:stop] = graph.bias[start:stop]


def _encode_on_axes(graph: HnswGraph, params: HnswParams, vectors: Vectors, start: int, stop: int) -> float:
    from vego.index.kernels.distance import encode_reduced  # numba loads on first use

    scale = graph.scale
    lost = kept = 0.0
    first = start
    for piece in vectors.pieces(start, stop, ENCODED_AT_ONCE):
        part = slice(first, first + len(piece))
        rows = piece
        if params.metric is Metric.COSINE:
            rows = piece * vectors.inverse_norms(np.arange(part.start, part.stop))[:, None]
        short, left_out = scale.reduced(rows)
        encode_reduced(
            short, LOST_SHARE * left_out, scale.inverse_step,
            graph.codes[part], graph.bias[part], graph.offset[part],
        )  # fmt: skip
        lost += float(left_out.sum(dtype=np.float64))
        kept += float(np.square(short, dtype=np.float64).sum())
        first = part.stop
    return lost / max(lost + kept, 1e-300)


def offsets_of_codes(graph: HnswGraph, params: HnswParams) -> npt.NDArray[np.int32]:
    """The `offset` of every code row; see kernels/distance.py."""
    if params.metric is Metric.L1:
        return graph.bias[: graph.rows].copy()
    totals = 256 * graph.codes[: graph.rows].sum(axis=1, dtype=np.int64)
    product = params.metric is Metric.INNER_PRODUCT
    offset: npt.NDArray[np.int64] = totals + (
        -32_768 * params.dimension if product else graph.bias[: graph.rows]
    )
    return offset.astype(np.int32)
