"""Product quantisation with 16 codewords for each group of components: training, encoding, tables of queries.

Jegou, Douze and Schmid, "Product quantization for nearest neighbor search" (2011), and for the weights and bounds
Gao and Long, "RaBitQ" (2024). `codebooks` is float32 (groups, size, 16): component t of codeword j of group m is
codebooks[m, t, j]; components past the dimension are 0. A residual r = x - c is stored as its code r^ with

  weight = <r, r> / <r, r^>             so that <r, weight r^> = <r, r>: no bias along r
  error  = |r - weight r^|
  bias   = <r, r> + 2 weight <c, r^>    under L2, 0 under inner product
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel
from vego.index.kernels.distance import INNER_PRODUCT

WIDTH = 128  # rows taken together, so that the innermost loops run over rows
CODEWORDS = 16


@distance_kernel
def nearest_codeword(rows, codebook, best, picked):
    """Write the nearest codeword of each of rows (size, WIDTH) to `picked`, and its distance to `best`.

    The first and infinity where no distance is finite.
    """
    best[:] = np.inf
    picked[:] = 0
    for j in range(CODEWORDS):
        if rows.shape[0] == 2:
            first, second = codebook[0, j], codebook[1, j]
            x, y = rows[0], rows[1]
            for i in range(WIDTH):
                distance = (x[i] - first) * (x[i] - first) + (y[i] - second) * (y[i] - second)
                nearer = distance < best[i]
                best[i] = distance if nearer else best[i]
                picked[i] = np.int32(j) if nearer else picked[i]
            continue
        total = np.zeros(WIDTH, np.float32)
        for t in range(rows.shape[0]):
            component, row = codebook[t, j], rows[t]
            for i in range(WIDTH):
                total[i] += (row[i] - component) * (row[i] - component)
        for i in range(WIDTH):
            nearer = total[i] < best[i]
            best[i] = total[i] if nearer else best[i]
            picked[i] = np.int32(j) if nearer else picked[i]


@distance_kernel
def train_codebooks(residuals, codebooks, start, stop, rounds):
    """Lloyd's iterations for the groups [start, stop), from the codewords that are there; residuals (n, d) float32.

    A codeword that no row is nearest to is put on the row that is furthest from its own.
    """
    count, dimension = residuals.shape
    size = codebooks.shape[1]
    rows = np.zeros((size, WIDTH), np.float32)
    best = np.empty(WIDTH, np.float32)
    picked = np.empty(WIDTH, np.int32)
    for m in range(start, stop):
        codebook = codebooks[m]
        used = min(size, dimension - m * size)
        for _ in range(rounds):
            totals = np.zeros((CODEWORDS, size), np.float64)
            members = np.zeros(CODEWORDS, np.int64)
            furthest, row_of_it = np.float32(-1), 0
            for low in range(0, count, WIDTH):
                width = min(WIDTH, count - low)
                for t in range(used):
                    for i in range(width):
                        rows[t, i] = residuals[np.uint32(low + i), np.uint32(m * size + t)]
                nearest_codeword(rows, codebook, best, picked)
                for i in range(width):
                    j = picked[i]
                    members[j] += 1
                    for t in range(used):
                        totals[j, t] += rows[t, i]
                    if best[i] > furthest:
                        furthest, row_of_it = best[i], low + i
            for j in range(CODEWORDS):
                for t in range(used):
                    if members[j]:
                        codebook[t, j] = totals[j, t] / members[j]
                    elif furthest > np.float32(0):
                        codebook[t, j] = residuals[row_of_it, m * size + t]
                if not members[j]:
                    furthest = np.float32(0)  # one row takes one codeword


@distance_kernel
def encode_residuals(metric, points, centroids, lists, codebooks, codes, weight, bias, error):
    """Encode points (n, d) as residuals to centroids[lists]; codes u8 (n, groups) has one in each byte."""
    count, dimension = points.shape
    size = codebooks.shape[1]
    rows = np.zeros((size, WIDTH), np.float32)
    near = np.zeros((size, WIDTH), np.float32)
    best = np.empty(WIDTH, np.float32)
    picked = np.empty(WIDTH, np.int32)
    for low in range(0, count, WIDTH):
        width = min(WIDTH, count - low)
        squares = np.zeros(WIDTH, np.float64)
        along = np.zeros(WIDTH, np.float64)
        across = np.zeros(WIDTH, np.float64)
        lengths = np.zeros(WIDTH, np.float64)
        for m in range(codebooks.shape[0]):
            for t in range(size):
                component = np.uint32(m * size + t)
                rows[t] = np.float32(0)
                near[t] = np.float32(0)
                if component < dimension:
                    for i in range(width):
                        centre = centroids[np.uint32(lists[low + i]), component]
                        near[t, i] = centre
                        rows[t, i] = points[np.uint32(low + i), component] - centre
            codebook = codebooks[m]
            nearest_codeword(rows, codebook, best, picked)
            for i in range(width):
                codes[np.uint32(low + i), np.uint32(m)] = picked[i]
            for t in range(size):
                for i in range(width):
                    value = codebook[t, picked[i]]
                    squares[i] += rows[t, i] * rows[t, i]
                    along[i] += rows[t, i] * value
                    across[i] += near[t, i] * value
                    lengths[i] += value * value
        for i in range(width):
            factor = squares[i] / along[i] if along[i] > 1e-30 else 0.0
            if not factor < 1e30:
                factor = 0.0
            place = low + i
            weight[place] = factor
            bias[place] = 0.0 if metric == INNER_PRODUCT else squares[i] + 2 * factor * across[i]
            error[place] = np.sqrt(
                max(0.0, squares[i] - 2 * factor * along[i] + factor * factor * lengths[i])
            )


@distance_kernel
def query_table(query, factor, codewords, products, table):
    """Write factor * <query, codeword> of every group as bytes to `table`; returns (low, step).

    A sum of entries, one of each group, stands for low + step * sum. `codewords` float32 (size, 16, groups) are the
    codebooks with groups last, so that loops run over groups; `products` float32 (18, groups) is scratch.
    """
    size, groups = codewords.shape[0], codewords.shape[2]
    dimension = query.shape[0]
    values, least = products[16], products[17]
    products[:CODEWORDS] = np.float32(0)
    for t in range(size):
        values[:] = np.float32(0)
        for m in range((dimension - t + size - 1) // size):
            values[m] = query[np.uint32(m * size + t)] * factor
        for j in range(CODEWORDS):
            row, column = products[j], codewords[t, j]
            for m in range(groups):
                row[m] += values[m] * column[m]
    most = values
    for m in range(groups):
        least[m] = products[0, m]
        most[m] = products[0, m]
    for j in range(1, CODEWORDS):
        row = products[j]
        for m in range(groups):
            least[m] = row[m] if row[m] < least[m] else least[m]
            most[m] = row[m] if row[m] > most[m] else most[m]
    low, widest, total = np.float32(0), np.float32(0), np.float32(0)
    for m in range(groups):
        low += least[m]
        total += most[m] - least[m]
        widest = max(widest, most[m] - least[m])
    # No entry above 255, and no sum above 65,535 though every entry may be rounded up by one half.
    step = max(widest / np.float32(255), total / np.float32(65535 - groups))
    inverse = np.float32(1) / step if step > np.float32(1e-30) else np.float32(0)
    for j in range(CODEWORDS):
        row = products[j]
        for m in range(groups):
            level = (row[m] - least[m]) * inverse + np.float32(0.5)
            table[np.uint32(CODEWORDS * m + j)] = np.uint8(
                np.int32(level if level < np.float32(255) else np.float32(255))
            )
    table[CODEWORDS * groups :] = np.uint8(0)
    return low, step
