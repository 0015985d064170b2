"""A hole: the slots of a segment that was dropped with its partition. They have no file and no live row.

They stay so that all other slots keep their numbers; the next compaction takes them out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vego.document import Vector
from vego.store import Store
from vego.table.manifest import SegmentEntry
from vego.table.segment import Deletes, Segment


class Hole(Segment):
    """Stands for a segment without a file; every row of it is dead."""

    def __init__(self, entry: SegmentEntry, dimension: int) -> None:
        self.entry = entry
        self.rows = entry.rows
        self.path = ""
        self.fields = {}
        self._dimension = dimension

    def vectors(self) -> Vector:
        """Zeros, float32 (rows, d)."""
        return np.zeros((self.rows, self._dimension), np.float32)

    def ids(self) -> list[str]:
        """No ids, one a row."""
        return [""] * self.rows

    def metadata(self, row: int) -> dict[str, Any]:
        """There is none."""
        raise IndexError(row)

    def close(self) -> None:
        """Nothing is open."""


def open_segment(store: Store, collection: str, entry: SegmentEntry, dimension: int) -> Segment:
    """What an entry of a manifest names, open."""
    return Hole(entry, dimension) if entry.dropped else Segment(store, collection, entry, dimension)


def dead_rows(store: Store, collection: str, entry: SegmentEntry) -> NDArray[np.bool_]:
    """The dead rows of what an entry of a manifest names, bool (rows,)."""
    if entry.deletes is None:
        return np.full(entry.rows, entry.dropped, np.bool_)
    deletes = Deletes(store, collection, entry.deletes, entry.rows)
    try:
        return deletes.mask()
    finally:
        deletes.close()
