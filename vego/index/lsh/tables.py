"""Tables of buckets: the rows by some of their bits, as arrays that never change.

A table takes `bits` of the bits of a row as its key. Which ones is a permutation of all, by the seed alone, cut into
pieces, so that tables share no bit as long as there are enough (Norouzi, Punjani and Fleet 2012: rows that differ in
few bits then agree in one of the pieces, or nearly so), and begun anew where there are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vego.table.vectors import Vectors

Array = npt.NDArray[Any]

LEAST_BITS, MOST_BITS = 4, 16  # of a key, which is a uint16
MOST_TABLES = 16
ROWS_OF_A_BUCKET = 8  # on average, where bits are even
AT_ONCE = 8192  # rows of which keys are made together


def shape_for(dimension: int, rows: int) -> tuple[int, int]:
    """Tables, and bits of a key, for so many rows: the number of buckets grows with them."""
    wanted = int(np.log2(max(rows, 1) / ROWS_OF_A_BUCKET)) if rows > ROWS_OF_A_BUCKET else 0
    bits = min(max(wanted, LEAST_BITS), MOST_BITS, dimension)
    return min(max(dimension // bits, LEAST_BITS), MOST_TABLES), bits


def positions_of(dimension: int, tables: int, bits: int, seed: int) -> npt.NDArray[np.int64]:
    """Which bits of a row are those of the keys, (tables, bits)."""
    needed = tables * bits
    random = np.random.Generator(np.random.PCG64(seed))
    parts = [random.permutation(dimension) for _ in range(-(-needed // dimension))]
    return np.concatenate(parts)[:needed].reshape(tables, bits)


def keys_of(vectors: Vectors, start: int, stop: int, positions: Array) -> npt.NDArray[np.uint16]:
    """The keys (stop - start, tables) of rows; raises CorruptionError."""
    tables, bits = positions.shape
    keys = np.empty((stop - start, tables), np.uint16)
    weights = (1 << np.arange(bits)).astype(np.uint16)
    done = 0
    for piece in vectors.pieces(start, stop, AT_ONCE):
        taken = np.unpackbits(piece, axis=1)[:, positions.reshape(-1)].reshape(len(piece), tables, bits)
        keys[done : done + len(piece)] = (taken * weights).sum(axis=2, dtype=np.uint16)
        done += len(piece)
    return keys


@dataclass(frozen=True)
class Tables:
    """The rows [0, len(keys)) by their keys, uint16 (rows, tables), made of the bits `positions`, (tables, bits)."""

    positions: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint16]

    @property
    def bits(self) -> int:
        """Bits of a key."""
        return int(self.positions.shape[1])

    @cached_property
    def slots(self) -> npt.NDArray[np.uint32]:
        """The slots (tables, rows) of each table, bucket by bucket, ascending in a bucket."""
        return np.ascontiguousarray(np.argsort(self.keys, axis=0, kind="stable").T, np.uint32)

    @cached_property
    def starts(self) -> npt.NDArray[np.uint32]:
        """Where in its row of `slots` each bucket begins, (tables, 2^bits + 1)."""
        found = np.zeros((self.keys.shape[1], (1 << self.bits) + 1), np.uint32)
        for table, keys in zip(found, self.keys.T, strict=True):
            np.cumsum(np.bincount(keys, minlength=1 << self.bits), out=table[1:])
        return found

    @cached_property
    def masks(self) -> npt.NDArray[np.uint32]:
        """What a key is changed by to get to the other buckets, nearest first (2^bits,)."""
        every = np.arange(1 << self.bits, dtype=np.uint32)
        return every[np.argsort(np.bitwise_count(every), kind="stable")]

    def laid_out(self) -> Tables:
        """The same, its buckets and the order in which they are looked at made."""
        _ = self.slots, self.starts, self.masks
        return self

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(a.nbytes for a in (self.positions, self.keys, self.slots, self.starts, self.masks))
