"""Product codes, tables and 16-bit floats written plainly, over NumPy in float64."""

from __future__ import annotations

import numpy as np


def block_sums(block, table):
    """The 32 sums of one block of 4-bit codes."""
    sums = [0] * 32
    for m in range(len(block) // 16):
        for i in range(16):
            byte = int(block[16 * m + i])
            sums[i] += int(table[16 * m + byte % 16])
            sums[16 + i] += int(table[16 * m + byte // 16])
    return sums


def codewords_of(codebooks, codes, dimension):
    """The vectors (n, d) that codes (n, groups) stand for."""
    groups, size, _ = codebooks.shape
    found = np.stack([codebooks[m].T[codes[:, m]] for m in range(groups)], axis=1)
    return found.reshape(len(codes), groups * size)[:, :dimension].astype(np.float64)


def encode(residuals, codebooks):
    """Squared distances (n, groups, 16) of the parts of residuals to all codewords."""
    groups, size, _ = codebooks.shape
    padded = np.zeros((len(residuals), groups * size))
    padded[:, : residuals.shape[1]] = residuals
    parts = padded.reshape(len(residuals), groups, size, 1)
    return ((parts - codebooks[None].astype(np.float64)) ** 2).sum(axis=2)


def hadamard(size):
    """The orthonormal Hadamard matrix."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.sqrt(size)


def rotation(signs):
    """The matrix that turns a row vector (row @ matrix) as the kernel does."""
    dimension = signs.shape[1]
    span = 1 << (dimension.bit_length() - 1)
    matrix = np.eye(dimension)
    for turn, flips in enumerate(signs):
        step = np.eye(dimension)
        low = dimension - span if turn % 2 else 0
        step[low : low + span, low : low + span] = hadamard(span)
        matrix = matrix @ np.diag(flips) @ step
    return matrix


def bfloat16(values):
    """Rounded to nearest, ties to even, as bits; finite stays finite."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    sign, magnitude = bits >> 16 & 0x8000, bits & 0x7FFFFFFF
    lower, upper = magnitude >> 16, magnitude & 0xFFFF
    up = (upper > 0x8000) | ((upper == 0x8000) & (lower & 1 == 1))
    return (sign | np.minimum(lower + up, 0x7F7F)).astype(np.uint16)


def float16(values):
    """NumPy's rounding, with the largest finite value for what is larger."""
    with np.errstate(over="ignore"):
        return np.clip(values.astype(np.float16), -65504, 65504).view(np.uint16)
