"""Slots: the dense row numbers 0..n-1 of a collection in memory, and the arrays addressed by them.

A document occupies a new slot whenever it is written; an update leaves a dead slot behind. Slots follow the
order of the segments and then of the write buffer, so a reopened collection has the same ones.

One writer appends; readers hold a `SlotView`, whose arrays never change below its `rows` (I5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector


def inverse_norms_of(vectors: Vector) -> NDArray[np.float32]:
    """1/|x| per row, 0 for zero vectors; float32 (n,), computed in float64 where float32 squares overflow."""
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


@dataclass(frozen=True, slots=True)
class SlotView:
    """The slots as one reader sees them.

    rows: number of slots. vectors: float32 (rows, d). inverse_norms: float32 (rows,).
    live: bool (rows,), False where a slot's document was deleted or replaced; live_count: how many are True.
    ids: object array (rows,) of str.
    """

    rows: int
    vectors: Vector
    inverse_norms: NDArray[np.float32]
    live: NDArray[np.bool_]
    live_count: int
    ids: NDArray[np.object_]

    @classmethod
    def empty(cls) -> SlotView:
        """No slots."""
        return Slots(1).view()


_ARRAYS = ("_vectors", "_inverse_norms", "_live", "_ids")


class Slots:
    """Growable arrays in slot order; see the module docstring for who may touch what."""

    def __init__(self, dimension: int) -> None:
        self.rows = 0
        self.live_count = 0
        self.slot_of: dict[str, int] = {}
        self._vectors = np.empty((0, dimension), np.float32)
        self._inverse_norms = np.empty(0, np.float32)
        self._live = np.empty(0, np.bool_)
        self._ids = np.empty(0, object)

    def _reserve(self, rows: int) -> None:
        capacity = len(self._live)
        if rows <= capacity:
            return
        # The first batch gets exactly its size: most collections are loaded once.
        capacity = rows if capacity == 0 else max(rows, capacity + capacity // 2, 256)
        for name in _ARRAYS:
            old = getattr(self, name)
            new = np.empty((capacity, *old.shape[1:]), old.dtype)
            new[: self.rows] = old[: self.rows]
            setattr(self, name, new)

    def adopt(self, vectors: Vector) -> None:
        """Use `vectors` (C-contiguous, owned by nobody else) as the array; the rows appended next are in it already."""
        assert self.rows == 0
        self._reserve(len(vectors))
        self._vectors = vectors

    def append(
        self, ids: Sequence[str], vectors: Vector | None, dead: NDArray[np.bool_] | None = None
    ) -> None:
        """Give `ids` the next slots. `vectors` None: they were adopted. `dead` marks rows deleted already."""
        first, count = self.rows, len(ids)
        stop = first + count
        self._reserve(stop)
        if vectors is not None:
            self._vectors[first:stop] = vectors
        self._inverse_norms[first:stop] = inverse_norms_of(self._vectors[first:stop])
        if count == 1 and dead is None:  # the usual write, in fewer steps
            self._ids[first], self._live[first] = ids[0], True
            self.slot_of[ids[0]] = first
            self.live_count += 1
            self.rows = stop
            return
        self._ids[first:stop] = np.array(ids, dtype=object)
        live = self._live.copy() if dead is not None else self._live
        live[first:stop] = True if dead is None else ~dead
        self._live = live
        slots = range(first, stop)
        if dead is None:
            self.slot_of.update(zip(ids, slots, strict=True))
            self.live_count += count
        else:
            alive = {name: slot for name, slot in zip(ids, slots, strict=True) if live[slot]}
            self.slot_of.update(alive)
            self.live_count += len(alive)
        self.rows = stop

    def kill(self, slots: Sequence[int]) -> None:
        """Mark slots dead, in a copy: a reader's view keeps the mask it has."""
        if not slots:
            return
        live, gone = self._live.copy(), np.asarray(slots, np.int64)
        live[gone] = False
        self._live = live
        self.live_count -= len(slots)
        slot_of = self.slot_of
        for name, slot in zip(self._ids[gone].tolist(), slots, strict=True):
            if slot_of.get(name) == slot:
                del slot_of[name]

    def taking(self, order: NDArray[np.int64]) -> Slots:
        """The slots `order`, int64 (n,), none twice, numbered anew in that order; live ones must be among them."""
        n = self.rows
        fewer = Slots(self._vectors.shape[1])
        for name in _ARRAYS:
            setattr(fewer, name, getattr(self, name)[:n][order])
        fewer.rows, fewer.live_count = len(order), self.live_count
        live = np.flatnonzero(fewer._live)
        fewer.slot_of = dict(zip(fewer._ids[live].tolist(), live.tolist(), strict=True))
        return fewer

    def view(self) -> SlotView:
        """What is there now, for a reader."""
        n = self.rows
        return SlotView(
            n, self._vectors[:n], self._inverse_norms[:n], self._live[:n], self.live_count, self._ids[:n]
        )
