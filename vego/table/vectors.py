"""The vectors of a collection in slot order, where they lie: mapped segments, then the write buffer.

A chunk is an array of consecutive slots. Nothing of a mapped chunk is read when it is made: its blocks are settled
when they are first needed, which holds them against their checksums and computes the inverse norms of their rows.
Kernels get a table of addresses (see `vego/index/kernels/rows.py`) and say when they met a block that is not settled.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector
from vego.vector_type import Element, VectorType

# States of a block. Kernels write ASKED, and only there where they found UNSETTLED.
UNSETTLED, SETTLED, ASKED = 0, 1, 2
WIDTH = 4  # of the kernels' table: first slot, address of the vectors, address of the states, shift
_WHOLE = 62  # a shift at which all rows are one block
_STEP = 1 << 16  # rows that are settled in one step
_DONE = np.ones(1, np.uint8)

Check = Callable[[int, int], None]


def inverse_norms_of(vectors: Vector) -> NDArray[np.float32]:
    """1/|x| per row, 0 for zero vectors; float32 (n,), computed in float64 where float32 squares overflow."""
    vectors = vectors.astype(np.float32, copy=False)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    if (
        len(squares) == 1 and 1e-30 <= squares.item() < np.inf
    ):  # the usual write; the same number in fewer steps
        return np.asarray(1.0 / np.sqrt(squares))
    bad = ~np.isfinite(squares) | (squares < 1e-30)
    norms = np.sqrt(squares)
    if bad.any():
        norms[bad] = np.linalg.norm(vectors[bad].astype(np.float64), axis=1)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(norms > 0, 1.0 / norms, 0.0).astype(np.float32)
    inverse[~np.isfinite(inverse)] = 0.0
    return inverse


def address_of(array: NDArray[Any]) -> int:
    """Where the first byte of an array lies."""
    found: int = array.__array_interface__["data"][0]
    return found


class Chunk:
    """Vectors (n, width), as stored, of consecutive slots, some of which may not have been looked at yet.

    `norms` float32 (n,) holds the inverse norms of settled rows, (0,) where they are not needed. `states` uint8 has
    one entry per `2^shift` rows. `check(first, last)` raises where the blocks `first..last` are damaged.
    """

    __slots__ = ("_check", "_lock", "marks", "norms", "settled", "shift", "states", "vectors")

    def __init__(self, vectors: Vector, norms: NDArray[np.float32], shift: int, check: Check | None) -> None:
        self.vectors = vectors
        self.norms = norms
        self.settled = check is None
        self.shift = _WHOLE if check is None else shift
        self.states = _DONE if check is None else np.zeros(-(-len(vectors) >> shift), np.uint8)
        # Single items come faster from it.
        self.marks: memoryview[int] = memoryview(self.states)  # type: ignore[arg-type]
        self._check = check
        self._lock = Lock()

    @classmethod
    def mapped(cls, vectors: Vector, shift: int, check: Check, *, with_norms: bool) -> Chunk:
        """Vectors in a mapped file, in blocks of `2^shift` rows that `check` holds against their checksums."""
        return cls(vectors, np.zeros(len(vectors) if with_norms else 0, np.float32), shift, check)

    @classmethod
    def loaded(cls, vectors: Vector, *, with_norms: bool) -> Chunk:
        """Vectors in memory, checked by whoever read them."""
        norms = inverse_norms_of(vectors) if with_norms else np.empty(0, np.float32)
        return cls(vectors, norms, 0, None)

    def settle(self, first: int, last: int) -> None:
        """Settle the blocks `first..last` (last included); raises CorruptionError."""
        if self.settled:
            return
        step = max(_STEP >> self.shift, 1)
        for low in range(first, last + 1, step):
            high = min(low + step, last + 1)
            todo = np.flatnonzero(self.states[low:high] != SETTLED) + low
            if len(todo) == high - low:
                self._settle(low, high - 1)
            else:
                self.settle_blocks(todo)
        if first == 0 and last == len(self.states) - 1:
            self.settled = True

    def settle_blocks(self, blocks: NDArray[np.int64]) -> None:
        """Settle these blocks, ascending without repeats."""
        for block in blocks.tolist():
            if self.states[block] != SETTLED:
                try:
                    self._settle(block, block)
                except BaseException:
                    self.states[block] = UNSETTLED  # who asks for others must not meet this one
                    raise

    def _settle(self, first: int, last: int) -> None:
        assert self._check is not None
        with self._lock:
            self._check(first, last)
            low, high = first << self.shift, (last + 1) << self.shift
            if len(self.norms):
                self.norms[low:high] = inverse_norms_of(self.vectors[low:high])
            self.states[first : last + 1] = SETTLED  # last: who reads it takes the norms to be there


class Frozen:
    """Chunks whose rows do not change any more, of the slots from 0 on."""

    __slots__ = ("chunks", "firsts", "lines", "norms", "rows")

    def __init__(
        self,
        chunks: tuple[Chunk, ...],
        firsts: list[int],
        lines: NDArray[np.int64],
        norms: NDArray[np.int64],
    ) -> None:
        self.chunks = chunks
        self.firsts = firsts  # of each chunk, and the first slot behind all
        self.rows = firsts[-1]
        # Of each chunk, its line of the kernels' table, and the address of its norms.
        self.lines = lines
        self.norms = norms

    def and_also(self, chunks: Sequence[Chunk]) -> Frozen:
        """These chunks and those behind them."""
        firsts = list(self.firsts)
        for chunk in chunks:
            firsts.append(firsts[-1] + len(chunk.vectors))
        lines = [
            [first, address_of(chunk.vectors), address_of(chunk.states), chunk.shift]
            for first, chunk in zip(firsts[len(self.chunks) :], chunks, strict=False)
        ]
        norms = [address_of(chunk.norms) for chunk in chunks]
        return Frozen(
            (*self.chunks, *chunks),
            firsts,
            np.concatenate([self.lines, np.array(lines, np.int64).reshape(-1, WIDTH)]),
            np.concatenate([self.norms, np.array(norms, np.int64)]),
        )


class Vectors:
    """The vectors of the slots [0, rows) as one reader sees them: `frozen` chunks, then `tail` (n, width), as stored.

    `tail_norms` float32 (n,), or (0,) where inverse norms are not needed. `element` None: what the type of `tail` says.
    """

    __slots__ = (
        "_frozen", "_tables", "_tail", "_tail_norms", "dimension", "element", "row_bytes", "rows", "width"
    )  # fmt: skip

    def __init__(
        self, frozen: Frozen, tail: Vector, tail_norms: NDArray[np.float32], element: Element | None = None
    ) -> None:
        self.element = Element.of(tail) if element is None else element
        self._frozen = frozen
        self._tail = tail
        self._tail_norms = tail_norms
        self.width: int = tail.shape[1]
        self.dimension = VectorType(self.element).dimension_of(self.width)
        self.row_bytes: int = self.width * tail.itemsize
        self.rows = frozen.rows + len(tail)
        self._tables: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @classmethod
    def of(
        cls, vectors: Vector, norms: NDArray[np.float32] | None, element: Element | None = None
    ) -> Vectors:
        """Vectors (n, width) in memory, C-contiguous; `norms` (>= n,) where they are needed."""
        return cls(NOTHING_FROZEN, vectors, np.empty(0, np.float32) if norms is None else norms, element)

    def __len__(self) -> int:
        return self.rows

    def row(self, slot: int) -> Vector:
        """The vector (width,) of one slot, as stored, not a copy; raises CorruptionError."""
        frozen = self._frozen
        if slot >= frozen.rows:
            return self._tail[slot - frozen.rows]  # type: ignore[no-any-return]
        position = bisect_right(frozen.firsts, slot) - 1
        chunk = frozen.chunks[position]
        place = slot - frozen.firsts[position]
        block = place >> chunk.shift
        if chunk.marks[block] != SETTLED:
            chunk.settle(block, block)
        return chunk.vectors[place]  # type: ignore[no-any-return]

    def take(self, slots: NDArray[np.integer[Any]]) -> Vector:
        """The vectors (m, width) of some slots, as stored, a copy; raises CorruptionError."""
        frozen = self._frozen
        if frozen.rows:
            self.settle(slots)
        else:
            gathered: Vector = self._tail[slots]
            return gathered
        out = np.empty((len(slots), self.width), self._tail.dtype)
        for first, array, inside in self._parts(slots):
            out[inside] = array[slots[inside] - first]
        return out

    def floats(self, slots: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """`take` as float32 (m, d); not of bits."""
        return self.take(slots).astype(np.float32, copy=False)

    def pieces(self, start: int, stop: int, most: int = _STEP) -> Iterator[Vector]:
        """The vectors of [start, stop) in order, as stored, arrays of at most `most` rows, not copies."""
        for first, chunk in self._within(start, stop):
            low, high = max(start - first, 0), min(stop - first, len(chunk.vectors))
            for begin in range(low, high, most):
                end = min(begin + most, high)
                chunk.settle(begin >> chunk.shift, (end - 1) >> chunk.shift)
                yield chunk.vectors[begin:end]
        low = max(start, self._frozen.rows)
        for begin in range(low, stop, most):
            yield self._tail[begin - self._frozen.rows : min(begin + most, stop) - self._frozen.rows]

    def inverse_norms(self, slots: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """The inverse norms (m,) of some slots."""
        self.settle(slots)
        out = np.empty(len(slots), np.float32)
        for first, chunk in zip(self._frozen.firsts, self._frozen.chunks, strict=False):
            inside = (slots >= first) & (slots < first + len(chunk.vectors))
            out[inside] = chunk.norms[slots[inside] - first]
        inside = slots >= self._frozen.rows
        out[inside] = self._tail_norms[slots[inside] - self._frozen.rows]
        return out

    def behind(self, start: int) -> Vectors:
        """The vectors of the slots from `start` on, numbered from 0; the same chunks, so what is settled stays so."""
        frozen = self._frozen
        if start == 0:
            return self
        if start >= frozen.rows:
            first = start - frozen.rows
            return Vectors(NOTHING_FROZEN, self._tail[first:], self._tail_norms[first:], self.element)
        skip = bisect_right(frozen.firsts, start) - 1  # slots of the first chunk may be below 0
        lines = frozen.lines[skip:].copy()
        lines[:, 0] -= start
        firsts = [first - start for first in frozen.firsts[skip:]]
        moved = Frozen(frozen.chunks[skip:], firsts, lines, frozen.norms[skip:])
        return Vectors(moved, self._tail, self._tail_norms, self.element)

    # -- for kernels -----------------------------------------------------------------------------

    def kernel_tables(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What kernels take for vectors and for inverse norms; valid while this object lives.

        The first, int64 (c + 1, 4), is of one call: `unsettled` says of it whether the call is to be repeated.
        """
        table, norms = self._tables or self._made_tables()
        return table.copy(), norms

    def _made_tables(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        frozen = self._frozen
        last = [
            frozen.rows,
            address_of(self._tail),
            _DONE_AT,
            _WHOLE,
            self.rows,
            0,
            self.element.code,
            self.row_bytes,
        ]
        table = np.array(last, np.int64).reshape(2, WIDTH)
        norms = np.array([address_of(self._tail_norms)], np.int64)
        if frozen.chunks:
            table = np.concatenate([frozen.lines, table])
            norms = np.concatenate([frozen.norms, norms])
        self._tables = table, norms
        return self._tables

    def unsettled(self, table: NDArray[np.int64]) -> bool:
        """Whether a kernel met blocks that were not settled; they are now, so that it can be called anew.

        What it returned is of no use then. Raises CorruptionError where one of them is damaged.
        """
        if not table[-1, 1]:
            return False
        for chunk in self._frozen.chunks:
            if not chunk.settled:
                chunk.settle_blocks(np.flatnonzero(chunk.states == ASKED))
        return True

    def settle_range(self, start: int, stop: int) -> None:
        """Settle the slots [start, stop) before a kernel that does not look at states; raises CorruptionError."""
        for first, chunk in self._within(start, stop):
            low, high = max(start - first, 0), min(stop - first, len(chunk.vectors))
            if not chunk.settled:
                chunk.settle(low >> chunk.shift, (high - 1) >> chunk.shift)

    def settle(self, slots: NDArray[np.integer[Any]]) -> None:
        """Settle these slots before a kernel that does not look at states; raises CorruptionError."""
        for first, chunk in zip(self._frozen.firsts, self._frozen.chunks, strict=False):
            if chunk.settled:
                continue
            inside = slots[(slots >= first) & (slots < first + len(chunk.vectors))]
            blocks = (inside.astype(np.int64) - first) >> chunk.shift
            todo = blocks[chunk.states[blocks] != SETTLED]
            if len(todo):
                chunk.settle_blocks(np.unique(todo))

    def _within(self, start: int, stop: int) -> Iterator[tuple[int, Chunk]]:
        """First slot and chunk of those that have rows in [start, stop)."""
        for first, chunk in zip(self._frozen.firsts, self._frozen.chunks, strict=False):
            if first < stop and start < first + len(chunk.vectors):
                yield first, chunk

    def _parts(self, slots: NDArray[np.integer[Any]]) -> Iterator[tuple[int, Vector, NDArray[np.bool_]]]:
        chunks = [chunk.vectors for chunk in self._frozen.chunks]
        for first, array in zip(self._frozen.firsts, [*chunks, self._tail], strict=True):
            inside = (slots >= first) & (slots < first + len(array))
            if inside.any():
                yield first, array, inside


NOTHING_FROZEN = Frozen((), [0], np.empty((0, WIDTH), np.int64), np.empty(0, np.int64))
_DONE_AT = address_of(_DONE)
