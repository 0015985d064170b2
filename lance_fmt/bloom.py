"""Bloom filters of a page's values (FORMAT.md, "Bloom filters").

A filter says of a hash that it is certainly not among those it was built from, or that it may be. The layout
is the split-block Bloom filter of the Parquet specification ("Bloom Filter"; after Putze, Sanders, Singler:
Cache-, Hash- and Space-Efficient Bloom Filters, 2007): a hash looks at one block of 32 bytes. Filters are
asked without numba.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lance_fmt.errors import InvalidDataError
from lance_fmt.kernels import loader
from lance_fmt.wire import Cursor

BLOCK_SIZE = 32
SALTS = (0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31)
_SALTS = np.array(SALTS, np.uint32)
_PLACED = tuple(zip(SALTS, range(0, 256, 32), strict=True))
_FEW = 8  # up to here a loop in Python beats the overhead of NumPy


def build(hashes: NDArray[np.uint64], bits_per_value: float = 10) -> bytes:
    """A filter of uint64 `hashes`; about 1 in 100 other hashes passes it at 10 bits a value.

    The size goes by the number of hashes: pass each value once where that is known. Raises InvalidDataError
    unless `bits_per_value` is in 1..64.
    """
    if not 1 <= bits_per_value <= 64:
        raise InvalidDataError(f"{bits_per_value} bits for each value of a Bloom filter, expected 1 to 64")
    count = max(1, -int(-len(hashes) * bits_per_value // (8 * BLOCK_SIZE)))
    blocks = np.zeros((count, 8), np.uint32)
    loader.fill_bloom()(hashes, _SALTS, blocks)
    return blocks.astype("<u4", copy=False).tobytes()


def read(cursor: Cursor, length: int) -> memoryview:
    """The next `length` bytes as a filter; CorruptFileError unless they are whole blocks, at least one."""
    if length < BLOCK_SIZE or length % BLOCK_SIZE:
        raise cursor.fail(f"Bloom filter: {length} bytes, expected a positive multiple of {BLOCK_SIZE}")
    return cursor.take(length, "Bloom filter")


def may_contain(data: memoryview | bytes, hash: int) -> bool:  # noqa: A002
    """False if `hash` was certainly not among those the filter was built from."""
    at = ((hash >> 32) * (len(data) // BLOCK_SIZE) >> 32) * BLOCK_SIZE
    mask = 0
    for salt, place in _PLACED:
        mask |= 1 << place + ((hash * salt & 0xFFFFFFFF) >> 27)
    return int.from_bytes(data[at : at + BLOCK_SIZE], "little") & mask == mask


def may_contain_any(data: memoryview | bytes, hashes: NDArray[np.uint64]) -> bool:
    """False if none of uint64 `hashes` was among those the filter was built from."""
    if len(hashes) <= _FEW:
        return any(may_contain(data, value) for value in hashes.tolist())
    blocks = np.frombuffer(data, "<u4").reshape(-1, 8)
    rows = blocks[(hashes >> np.uint64(32)) * np.uint64(len(blocks)) >> np.uint64(32)]
    bits = np.uint32(1) << (hashes.astype(np.uint32)[:, None] * _SALTS >> np.uint32(27))
    return bool((rows & bits == bits).all(axis=1).any())
