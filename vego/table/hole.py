"""A hole: the slots of a segment that was dropped with its partition. They have no file and no live row.

They stay so that all other slots keep their numbers; the next compaction takes them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lance_fmt
from lance_fmt import Column
from vego.document import Vector
from vego.store import Store
from vego.table.manifest import SegmentEntry
from vego.table.segment import ID, Deletes, Segment
from vego.table.vectors import Chunk
from vego.vector_type import VectorType

_BLOCK_BYTES = 64 << 20  # of addresses: nothing is written there, so no memory is taken


class Hole(Segment):
    """Stands for a segment without a file; every row of it is dead, so nobody looks at ids, which are all empty."""

    def __init__(self, entry: SegmentEntry, kind: VectorType) -> None:
        self.entry = entry
        self.rows = entry.rows
        self.path = ""
        self.fields = {}
        self._kind = kind
        self._chunks = None

    def vectors(self) -> Vector:
        """Zeros, (rows, width)."""
        return np.zeros((self.rows, self._kind.width), self._kind.element.stored)

    def chunks(self, *, with_norms: bool) -> Sequence[Chunk]:
        """Zeros, which lie in the same block again and again."""
        if self._chunks is None:
            most = min(max(_BLOCK_BYTES // self._kind.row_bytes, 1), self.rows)
            zeros = np.zeros((most, self._kind.width), self._kind.element.stored)
            norms = np.zeros(most if with_norms else 0, np.float32)
            whole, rest = divmod(self.rows, most)
            sizes = [most] * whole + [rest] * (rest > 0)
            self._chunks = [Chunk(zeros[:size], norms[:size], 0, None) for size in sizes]
        return self._chunks

    def metadata(self, row: int) -> dict[str, Any]:
        """There is none."""
        raise IndexError(row)

    def _column(self, name: str) -> Column:
        assert name == ID
        return Column.from_pylist([""] * self.rows, lance_fmt.string())

    def close(self) -> None:
        """Nothing is open."""


def open_segment(store: Store, collection: str, entry: SegmentEntry, kind: VectorType) -> Segment:
    """What an entry of a manifest names, open."""
    return Hole(entry, kind) if entry.dropped else Segment(store, collection, entry, kind)


def dead_rows(store: Store, collection: str, entry: SegmentEntry) -> NDArray[np.bool_]:
    """The dead rows of what an entry of a manifest names, bool (rows,)."""
    if entry.deletes is None:
        return np.full(entry.rows, entry.dropped, np.bool_)
    deletes = Deletes(store, collection, entry.deletes, entry.rows)
    try:
        return deletes.mask()
    finally:
        deletes.close()
