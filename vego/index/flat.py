"""Exact search over rows: what every index is measured against, and the path for rows not indexed yet."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vego.errors import InvalidArgumentError
from vego.index.metrics import Metric
from vego.index.views import accept_mask, candidate_rows, marked_slots, result_arrays, rows_for, vectors_of
from vego.table.vectors import Vectors
from vego.vector_type import BITS, Element

Array = npt.NDArray[Any]

NO_ROWS = np.empty(0, np.uint32)


def exact_search(
    metric: Metric,
    vectors: Array | Vectors,
    inverse_norms: Array | None,
    queries: Array,
    k: int,
    *,
    start: int = 0,
    stop: int | None = None,
    rows: Array | None = None,
    accept: Array | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The k nearest slots of each query, all scored in float32; ties go to the smaller slot.

    `vectors` (n, d) and `queries` (m, d) are float32, under hamming bits as uint8 (n, d / 8); `inverse_norms` (n,)
    float32 under cosine, not looked at where `vectors` are a collection's, which bring their own. Considered are the
    slots [start, stop), or `rows` (uint32, no repeats) if given, of those the ones with accept[slot]. Returns slots
    int64 (m, k) padded with -1 and distances float32 (m, k) padded with infinity, nearest first.
    Raises InvalidArgumentError (also for slots out of range), DimensionMismatchError, CorruptionError.
    """
    queries = queries if type(queries) is np.ndarray else np.asarray(queries)
    if queries.ndim != 2:
        raise InvalidArgumentError(f"queries: expected shape (m, dimension), found {queries.shape}")
    dimension = queries.shape[1] * (BITS if metric is Metric.HAMMING else 1)
    known = vectors_of(vectors, inverse_norms, dimension, metric)
    queries = rows_for(metric, queries, dimension, "queries")
    total = len(known)
    stop = total if stop is None else stop
    if not 0 <= start <= stop <= total:
        raise InvalidArgumentError(
            f"start, stop: expected 0 <= start <= stop <= {total}, found {start}, {stop}"
        )
    candidates = NO_ROWS if rows is None else candidate_rows(rows, total)
    listed = rows is not None or accept is not None
    if accept is not None:
        mask = accept_mask(accept, total)
        candidates = marked_slots(mask, start, stop) if rows is None else candidates[mask[candidates]]
    slots, distances = result_arrays(len(queries), k)
    if listed:
        known.settle(candidates)
    else:
        known.settle_range(start, stop)
    table, norms = known.kernel_tables()
    if metric is Metric.HAMMING:
        from vego.index.kernels.bit_scan import scan_bits  # numba loads on first use

        scan_bits(table, queries, start, stop, candidates, listed, slots, distances)
        return slots, distances
    from vego.index.kernels.flat import exact_scan  # numba loads on first use

    usual = known.element is Element.FLOAT32 and metric is not Metric.L1
    exact_scan(
        metric.code, None if usual else known.element.code, table, norms, queries,
        start, stop, candidates, listed, slots, distances,
    )  # fmt: skip
    return slots, distances
