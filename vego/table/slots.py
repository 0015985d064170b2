"""Slots: the dense row numbers 0..n-1 of a collection, and what is addressed by them.

A document occupies a new slot whenever it is written; an update leaves a dead slot behind. Slots follow the
order of the segments and then of the write buffer, so a reopened collection has the same ones.

Vectors and ids of segments stay in their files; those of the write buffer are in memory, in the `tail`. One writer
appends; readers hold a `SlotView`, which never changes (I5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector
from vego.errors import CorruptionError
from vego.table.ids import IdColumn, Ids, SlotMap, SlotTable, hashes_of
from vego.table.live import Liveness, LiveView, Mask
from vego.table.vectors import NOTHING_FROZEN, Chunk, Vectors, inverse_norms_of
from vego.vector_type import VectorType

Content = tuple[Sequence[Chunk], IdColumn]  # of a segment: vectors and ids
Order = NDArray[np.int64]


class SlotView:
    """The slots as one reader sees them; `rows` of them, `live_count` of which are live."""

    __slots__ = ("_live", "ids", "live_count", "rows", "vectors")

    def __init__(self, vectors: Vectors, ids: Ids, live: LiveView, live_count: int) -> None:
        self.rows = vectors.rows
        self.vectors = vectors
        self.ids = ids
        self.live_count = live_count
        self._live = live

    @property
    def live(self) -> Mask:
        """Bool (rows,), False where a slot's document was deleted or replaced; not to be changed."""
        return self._live.mask

    def is_live(self, slot: int) -> bool:
        """Whether the document of a slot below `rows` is there; costs less than looking into `live`."""
        return self._live.is_live(slot)


class Slots:
    """All slots of a collection; see the module docstring for who may touch what.

    `with_norms`: whether inverse norms of vectors are needed, as they are for the cosine metric. `place` is for
    messages.
    """

    def __init__(self, kind: VectorType, *, with_norms: bool = True, place: str = "") -> None:
        self.rows = 0
        self.live_count = 0
        self._with_norms = with_norms
        self._place = place
        self._frozen = NOTHING_FROZEN
        # Columns of ids, the first slot of each and the first behind them, the ids of the tail: changed at once.
        self._names: tuple[tuple[IdColumn, ...], tuple[int, ...], list[str]] = (), (0,), []
        self._live = Liveness()
        self._kind = kind
        self._tail = kind.empty()
        self._tail_norms = np.empty(0, np.float32)
        self.slot_of = SlotMap(self, self._table)

    # -- segments --------------------------------------------------------------------------------

    def append_opened(
        self, chunks: Sequence[Chunk], column: IdColumn, dead: NDArray[np.bool_] | None = None
    ) -> None:
        """Give the rows of a segment the next slots; the tail is empty. `dead` marks rows deleted already.

        Raises CorruptionError where an id is live already, as far as that is known: else `slot_of` does.
        """
        first = self.rows
        self._freeze(chunks, column)
        self._live.append(first, column.rows, dead)
        self.rows += column.rows
        self.live_count += column.rows - (0 if dead is None else int(np.count_nonzero(dead)))
        if self.slot_of.cover(self.rows) or (dead is not None and dead.all()):
            return
        for low, names in column.pieces(column.rows):
            slots = [slot for slot in range(first + low, first + low + len(names)) if self.is_live(slot)]
            alive = [names[slot - first - low] for slot in slots]
            for name in alive:
                if name in self.slot_of:
                    raise self._twice(name)
            self.slot_of.add(alive, slots)
        self.slot_of.tidy(self.rows)

    def append_written(self, ids: Sequence[str], chunks: Sequence[Chunk], column: IdColumn) -> None:
        """Give the rows of a segment the next slots; the tail is empty. Their `ids` are at hand, and all are live."""
        first = self.rows
        self._freeze(chunks, column)
        self._live.append(first, len(ids))
        self.rows += len(ids)
        self.live_count += len(ids)
        self.slot_of.add(ids, range(first, self.rows))
        self.slot_of.tidy(self.rows)

    def freeze(self, segments: Sequence[Content], order: Order | None = None) -> Slots:
        """The tail is segments now; self, whose slots keep their numbers.

        Where the rows of the tail, of which there are n, lie there in another `order`, int64 (n,): new slots, of which
        only those of the tail have other numbers. Readers of these find in them what they did.
        """
        first = self._frozen.rows
        assert sum(column.rows for _, column in segments) == len(self._names[2])
        if order is None:
            for chunks, column in segments:
                self._freeze(chunks, column)
            self._tail = self._kind.empty()
            self._tail_norms = np.empty(0, np.float32)
            return self
        other = self._like()
        other._frozen = self._frozen
        other._names = (*self._names[:2], [])
        for chunks, column in segments:
            other._freeze(chunks, column)
        live = self._live.view().mask
        other._live.append(0, self.rows, ~np.concatenate([live[:first], live[first:][order]]))
        other.rows, other.live_count = self.rows, self.live_count
        number = np.empty(len(order), np.int64)
        number[order] = np.arange(first, self.rows)
        other.slot_of = self.slot_of.renumbered_behind(other, other._table, number, self.rows)
        return other

    def _like(self) -> Slots:
        """No slots, of the same kind."""
        return Slots(self._kind, with_norms=self._with_norms, place=self._place)

    def _freeze(self, chunks: Sequence[Chunk], column: IdColumn) -> None:
        columns, firsts, _ = self._names
        self._frozen = self._frozen.and_also(chunks)
        self._names = (*columns, column), (*firsts, firsts[-1] + column.rows), []

    def rewritten(self, segments: Sequence[Content], order: Order | None = None) -> Slots:
        """The same rows in other segments, the tail being empty; or the slots `order`, int64, numbered anew in it.

        Live ones must be among them. Without an order, `slot_of` is the same object.
        """
        other = self._like()
        live = self._live.view().mask
        live = live if order is None else live[order]
        for chunks, column in segments:
            other._freeze(chunks, column)
        other._live.append(0, len(live), ~live)
        other.rows, other.live_count = len(live), self.live_count
        if order is None:
            other.slot_of = self.slot_of.moved_to(other, other._table)
        else:
            number = np.full(self.rows, -1, np.int64)
            number[order] = np.arange(len(order))
            other.slot_of = self.slot_of.renumbered(other, other._table, number, other.rows)
        return other

    # -- the write buffer ------------------------------------------------------------------------

    def append(self, ids: Sequence[str], vectors: Vector) -> None:
        """Give `ids` the next slots, in the tail. An interrupt may come in between: doing it again is the same."""
        names = self._names[2]
        count, low = len(ids), self.rows - self._frozen.rows
        high = low + count
        if high > len(self._tail):
            self._grow(high, low)
        self._tail[low:high] = vectors
        if self._with_norms:
            self._tail_norms[low:high] = inverse_norms_of(self._tail[low:high])
        self._live.append(self.rows, count)
        names[low:] = ids
        self.slot_of.add(ids, range(self.rows, self.rows + count))
        self.live_count, self.rows = self.live_count + count, self.rows + count
        self.slot_of.tidy(self.rows)

    def _grow(self, rows: int, used: int) -> None:
        capacity = max(rows, len(self._tail) * 3 // 2, 64)
        vectors = self._kind.empty(capacity)
        vectors[:used] = self._tail[:used]
        self._tail = vectors
        if self._with_norms:
            norms = np.empty(capacity, np.float32)
            norms[:used] = self._tail_norms[:used]
            self._tail_norms = norms

    def buffered(self) -> tuple[list[str], Vector]:
        """Ids and vectors (n, width) of the tail."""
        names = self._names[2]
        return list(names), self._tail[: len(names)]

    def kill(self, slots: Sequence[int]) -> None:
        """Mark slots dead; a reader's view keeps what it has."""
        if not slots:
            return
        self._live.kill(slots)
        self.live_count -= len(slots)

    def kill_many(self, slots: NDArray[np.int64]) -> None:
        """The same for many at once."""
        if len(slots):
            self._live.kill_many(slots)
            self.live_count -= len(slots)

    # -- looking ---------------------------------------------------------------------------------

    def is_live(self, slot: int) -> bool:
        """Whether the document of a slot is there as the writer sees it; one that has not entered yet is."""
        return slot >= self.rows or self._live.is_live(slot)

    def has(self, slot: int, name: str) -> bool:
        """Whether the document of a slot is there and has this id; raises CorruptionError."""
        if not self._live.is_live(slot):
            return False
        columns, firsts, names = self._names
        if slot >= firsts[-1]:
            return names[slot - firsts[-1]] == name
        if len(columns) == 1:
            return columns[0].has(slot, name)
        position = bisect_right(firsts, slot) - 1
        return columns[position].has(slot - firsts[position], name)

    def id_at(self, slot: int) -> str:
        """The id of a slot; raises CorruptionError."""
        return Ids(*self._names, self.rows).at(slot)

    def _table(self, rows: int) -> SlotTable:
        live, ids = self._live.view().mask, Ids(*self._names, self.rows)
        hashes, slots = [np.empty(0, np.uint32)], [np.empty(0, np.uint32)]
        for first, names in ids.pieces(live[:rows]):
            here = np.flatnonzero(live[first : first + len(names)])
            hashes.append(hashes_of(names)[here])
            slots.append((here + first).astype(np.uint32))
        table = SlotTable(np.concatenate(hashes), np.concatenate(slots))
        twice = table.twice(self)
        if twice is not None:
            raise self._twice(twice)
        return table

    def _twice(self, name: str) -> CorruptionError:
        return CorruptionError(self._place, 0, f"an id is live in two rows: {name!r}")

    def view(self, rows: int | None = None, live_count: int | None = None) -> SlotView:
        """What is there now, for a reader; or what was when there were `rows`, if none has died since."""
        rows = self.rows if rows is None else rows
        live_count = self.live_count if live_count is None else live_count
        used = rows - self._frozen.rows
        vectors = Vectors(self._frozen, self._tail[:used], self._tail_norms[:used], self._kind.element)
        return SlotView(vectors, Ids(*self._names, rows), self._live.view(rows), live_count)
