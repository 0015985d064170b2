"""A random rotation in n log n steps: signs flipped, then a Hadamard transform, four times over.

The transform spans the largest power of two that fits, in turn the first and the last so many components, so every
component mixes with every other. The result is orthogonal: lengths and products stay.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.kernels.decorator import distance_kernel


@distance_kernel
def hadamard(vector):
    """Multiply in place by the orthonormal Hadamard matrix; the length is a power of two."""
    size = vector.shape[0]
    half = 1
    while half < size:
        for low in range(0, size, 2 * half):
            left, right = vector[low : low + half], vector[low + half : low + 2 * half]
            for i in range(half):
                a, b = left[i], right[i]
                left[i] = a + b
                right[i] = a - b
        half *= 2
    scale = np.float32(1) / np.sqrt(np.float32(size))
    for i in range(size):
        vector[i] *= scale


@distance_kernel
def rotate_rows(rows, signs):
    """Rotate rows (n, d) float32 in place, once for each row of signs (rounds, d), which are 1 and -1."""
    dimension = rows.shape[1]
    span = 1
    while 2 * span <= dimension:
        span *= 2
    for i in range(rows.shape[0]):
        row = rows[np.uint32(i)]
        for turn in range(signs.shape[0]):
            flips = signs[turn]
            for j in range(dimension):
                row[j] *= flips[j]
            hadamard(row[dimension - span :] if turn & 1 else row[:span])
