"""Slow, obvious twins of the format's kernels."""

from __future__ import annotations

from collections.abc import Sequence


def pack(values: Sequence[int], width: int, base: int) -> list[int]:
    """Words of `values` (a multiple of 16) minus `base`: lane by lane, bit by bit."""
    rows = len(values) // 16
    words = [0] * (-(-rows * width // 64) * 16)
    for i, value in enumerate(values):
        row, lane = divmod(i, 16)
        delta = (value - base) % 2**64
        for bit in range(width):
            position = row * width + bit
            words[position // 64 * 16 + lane] |= (delta >> bit & 1) << position % 64
    return words


def unpack(words: Sequence[int], width: int, base: int, count: int) -> list[int]:
    """The first `count` values of `words`."""
    found = []
    for i in range(count):
        row, lane = divmod(i, 16)
        value = 0
        for bit in range(width):
            position = row * width + bit
            value |= (words[position // 64 * 16 + lane] >> position % 64 & 1) << bit
        found.append((value + base) % 2**64)
    return found


def gather(strings: Sequence[bytes], indices: Sequence[int]) -> bytes:
    """The strings at `indices`, joined."""
    return b"".join(strings[i] for i in indices)
