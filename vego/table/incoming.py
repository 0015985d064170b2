"""Slots of a writer that adds rows one by one: they enter the arrays together, when somebody looks at them."""

from __future__ import annotations

from threading import RLock

import numpy as np

from vego.document import Vector
from vego.table.ids import SlotMap
from vego.table.slots import Slots

_TOGETHER = 256  # rows that enter at once where nobody looks before


class Incoming:
    """Slots, and rows that have one but are not in the arrays yet. `lock` guards both."""

    def __init__(self, slots: Slots, lock: RLock) -> None:
        self._slots = slots
        self._lock = lock
        self._rows: list[tuple[int, str, Vector]] = []  # slot, id, vector of shape (1, d)

    @property
    def slot_of(self) -> SlotMap:
        """The slot of every live id, of rows that have not entered yet as well."""
        return self._slots.slot_of

    @property
    def count(self) -> int:
        """How many slots there are."""
        return self._slots.rows + len(self._rows)

    def slots(self) -> Slots:
        """The slots, with all rows in them."""
        if self._rows:
            with self._lock:
                rows, slots = self._rows, self._slots
                if rows and rows[0][0] == slots.rows:  # else they have entered, as in `add`
                    _, ids, vectors = zip(*rows, strict=True)
                    slots.append(ids, np.concatenate(vectors))
                self._rows = []
        return self._slots

    def add(self, name: str, vector: Vector) -> tuple[int, int]:
        """Give the next slot to a row, (1, width), whose id has none; how many slots and live rows there are.

        The caller holds `lock`.
        """
        slots, rows = self._slots, self._rows
        if rows and rows[0][0] < slots.rows:  # an interrupt came when they had just entered
            self._rows = rows = []
        slot = slots.rows + len(rows)
        slots.slot_of.add((name,), (slot,))
        rows.append((slot, name, vector.copy()))  # it may be the caller's, who may change it
        counts = slot + 1, slots.live_count + len(rows)
        if len(rows) == _TOGETHER:
            self.slots()
        return counts

    def replace(self, slots: Slots) -> None:
        """Go on with other slots, made from these with all rows in them."""
        self._slots = slots
