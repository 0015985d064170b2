"""Fewer dimensions for the codes of the walk: the principal axes of the data, where those tell neighbours apart.

A walk over codes of 64 or 128 bytes reads a fraction of the memory, and what the axes leave out is made good by the
float re-ranking of more candidates (the two-phase search of LeanVec, Tepper et al., arXiv 2312.16335). Energy alone
would be a poor judge: clusters far apart put most of it into their centres, whatever separates the rows within one.
So the width is chosen by what matters, how many true neighbours are among the nearest by the shorter rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rows = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]

STEP = 64  # dimensions in a cache line of codes
BIAS_BYTES = 4  # that a row of codes on axes may have for something else: see kernels/agreement.py
FAR_ROWS = 1 << 18  # so many biases, in an array of their own, do not stay in the second-level cache
WIDEST = 256
LEAST_ROWS = 8192  # below, every walk is short and few rows say little about their axes
SAMPLE_VALUES = 1 << 22  # of the rows the axes are fitted to
TRIED_VALUES = 1 << 24  # of the rows among which neighbours are looked for
TRIED_ROWS = 1 << 14
TRIED_QUERIES = 96
BLOCK = 4096
ROUNDS = 3  # of subspace iteration
NEIGHBOURS, LOOKED_AT = 10, 13
ENOUGH = 0.96  # share of the true neighbours that must be among those looked at
LOST_SHARE = np.float32(0.5)
"""What counts of the squared length that the axes leave out of a row, in its distance to any other.

Between rows that have nothing in common there it would be all of both, between the nearest it is next to none.
"""


def principal_axes(rows: Array, width: int) -> Array:
    """The `width` leading right singular vectors (d, width) of `rows` (n, d), by subspace iteration.

    Halko, Martinsson and Tropp, arXiv 0909.4061, algorithm 4.4. The start is the same each time.
    """
    dimension = rows.shape[1]
    start = np.random.Generator(np.random.PCG64(7)).standard_normal((dimension, min(width + 16, dimension)))
    basis = np.linalg.qr(start)[0].astype(np.float32)
    for _ in range(ROUNDS):
        basis = np.linalg.qr((rows.T @ (rows @ basis)).astype(np.float64))[0].astype(np.float32)
    within = (rows @ basis).astype(np.float64)
    order = np.linalg.eigh(within.T @ within)[1][:, ::-1]
    axes: Array = (basis.astype(np.float64) @ order[:, :width]).astype(np.float16).astype(np.float32)
    return axes


def choose_axes(rows_at: Rows, count: int, centre: Array, widest: int = 0) -> Array | None:
    """The axes (d, width) to keep, exact in float16, or None where all dimensions are needed.

    They are whole cache lines of codes, from FAR_ROWS on with BIAS_BYTES more: a walk that waits for memory gains more
    by those than it loses by four axes less.

    `rows_at(slots)` gives rows (len(slots), d) as float32, of length 1 under cosine; `count` is how many there are.
    Where `widest` is not 0, codes are of no more bytes, also where their axes do not tell neighbours apart.
    """
    dimension = len(centre)
    lines = -(-dimension // STEP) * STEP
    widths = [width for width in range(STEP, WIDEST + 1, STEP) if 2 * width <= lines]
    if widest:
        widths = [width for width in range(STEP, widest + 1, STEP) if width < lines]
    if count < LEAST_ROWS or not widths:
        return None
    fitted = rows_at(_even(count, SAMPLE_VALUES // dimension)) - centre
    for some in (widths[:2], widths[2:]):  # half the work where the narrow ones are enough
        if some:
            kept = [width - (BIAS_BYTES if count >= FAR_ROWS else 0) for width in some]
            axes = principal_axes(fitted, min(kept[-1], dimension))
            if not np.isfinite(axes).all():
                return None
            shares = neighbours_kept(rows_at, count, centre, axes, kept)
            for width, number, share in zip(some, kept, shares, strict=True):
                if share >= ENOUGH or width == widest:
                    return np.ascontiguousarray(axes[:, :number])
    return None


def neighbours_kept(rows_at: Rows, count: int, centre: Array, axes: Array, widths: list[int]) -> list[float]:
    """For the first axes of each width: the share of ten true neighbours among the nearest LOOKED_AT by those axes."""
    queries = rows_at(_even(count, TRIED_QUERIES)) - centre
    asked = queries @ axes
    exact: list[Array] = []
    estimated: list[list[Array]] = [[] for _ in widths]
    slots = _even(count, min(TRIED_ROWS, TRIED_VALUES // len(centre)))
    for block in np.array_split(slots, -(-len(slots) // BLOCK)):
        rows = rows_at(block) - centre
        squares = np.einsum("ij,ij->i", rows, rows)
        exact.append(squares - 2 * (queries @ rows.T))
        short = rows @ axes
        for found, width in zip(estimated, widths, strict=True):
            part = short[:, :width]
            kept = np.einsum("ij,ij->i", part, part)
            found.append(kept + LOST_SHARE * (squares - kept) - 2 * (asked[:, :width] @ part.T))
    truth = np.concatenate(exact, axis=1)
    limit = np.partition(truth, NEIGHBOURS, axis=1)[
        :, NEIGHBOURS : NEIGHBOURS + 1
    ]  # a query finds itself first
    shares = []
    for found in estimated:
        near = np.argpartition(np.concatenate(found, axis=1), LOOKED_AT, axis=1)[:, : LOOKED_AT + 1]
        hits = (np.take_along_axis(truth, near, 1) <= limit).sum(axis=1) - 1
        shares.append(float(np.minimum(hits / NEIGHBOURS, 1).mean()))
    return shares


def _even(count: int, size: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, count - 1, max(1, min(size, count))).astype(np.int64)
