"""Which slots are live: a mask, and what died since it was made.

A delete costs the same however many slots there are: it appends to a list that the views of all readers share, each
of which counts the entries up to its own moment. The mask is copied when a reader needs it whole, or when the list
has become long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_MOST_DEATHS = 1_024  # in the list before the mask is copied


def _marks(mask: Mask) -> memoryview[bool]:
    """The mask as something that single marks come faster from."""
    return memoryview(mask)  # type: ignore[arg-type]


class Deaths:
    """Slots that died after a mask was made, in order, and the place of each in that order. Only appended to."""

    __slots__ = ("order", "place")

    def __init__(self) -> None:
        self.order: list[int] = []
        self.place: dict[int, int] = {}


class Liveness:
    """The live slots as the writer sees them."""

    __slots__ = ("_deaths", "_marks", "_mask", "rows")

    def __init__(self) -> None:
        self._mask = np.empty(0, np.bool_)
        self._marks = _marks(self._mask)
        self._deaths = Deaths()
        self.rows = 0

    def is_live(self, slot: int) -> bool:
        """Whether a slot is live."""
        return self._marks[slot] and slot not in self._deaths.place

    def append(self, first: int, count: int, dead: Mask | None = None) -> None:
        """New slots from `first` on, live but for those that `dead`, bool (count,), marks."""
        stop = first + count
        if stop > len(self._mask):
            grown = np.empty(max(stop, len(self._mask) * 3 // 2, 256) if first else stop, np.bool_)
            grown[:first] = self._mask[:first]
            self._mask, self._marks = grown, _marks(grown)
        self._mask[first:stop] = True if dead is None else ~dead
        self.rows = stop

    def kill(self, slots: Sequence[int]) -> None:
        """Slots that are live no more."""
        if len(slots) + len(self._deaths.order) > _MOST_DEATHS:
            self.kill_many(np.asarray(slots, np.int64))
            return
        for slot in slots:
            # The place first: who sees it in the list finds it here.
            self._deaths.place[slot] = len(self._deaths.order)
            self._deaths.order.append(slot)

    def kill_many(self, slots: NDArray[np.int64]) -> None:
        """The same, in a copy of the mask."""
        mask = self._mask.copy()
        mask[self._deaths.order] = False
        mask[slots] = False
        # A reader in between takes slots that have just died for live ones; its own view says better.
        self._mask, self._marks, self._deaths = mask, _marks(mask), Deaths()

    def view(self, rows: int | None = None) -> LiveView:
        """The live slots now, for a reader; of the first `rows` where given."""
        rows = self.rows if rows is None else rows
        return LiveView(self._mask, self._marks, self._deaths, len(self._deaths.order), rows)


class LiveView:
    """The live slots as one reader sees them."""

    __slots__ = ("_count", "_deaths", "_marks", "_mask", "_rows", "_whole")

    def __init__(self, mask: Mask, marks: memoryview[bool], deaths: Deaths, count: int, rows: int) -> None:
        self._mask = mask
        self._marks = marks
        self._deaths = deaths
        self._count = count
        self._rows = rows
        self._whole: Mask | None = None

    def is_live(self, slot: int) -> bool:
        """Whether a slot below the number of slots is live."""
        return self._marks[slot] and self._deaths.place.get(slot, self._count) >= self._count

    @property
    def mask(self) -> Mask:
        """Bool (rows,), not to be changed; made when first asked for."""
        whole = self._whole
        if whole is None:
            whole = self._mask[: self._rows]
            if self._count:
                whole = whole.copy()
                whole[self._deaths.order[: self._count]] = False
            self._whole = whole
        return whole
