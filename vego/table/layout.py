"""The open segments of a collection in slot order, and which slots each of them has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vego.errors import CommitConflictError
from vego.store import Store
from vego.table.hole import open_segment
from vego.table.ids import IdColumn
from vego.table.manifest import Manifest, SegmentEntry
from vego.table.memtable import MemTable
from vego.table.segment import Segment
from vego.table.vectors import Chunk


class Layout:
    """Segments have the slots below `rows`, in their order; those of the write buffer come behind them.

    `stale` are positions of segments whose newest deletes file lacks a row that has died. One thread changes it.
    """

    def __init__(self, store: Store, collection: str, manifest: Manifest) -> None:
        self._store = store
        self._collection = collection
        self._vectors = manifest.vectors
        self._with_norms = manifest.metric == "cosine"
        self.segments: list[Segment] = []
        self.bases: list[int] = []  # of each segment, its first slot
        self.rows = 0
        self.stale: set[int] = set()

    def opened(self, entry: SegmentEntry) -> Segment:
        """The segment of an entry, which is not among these yet. Raises as `Segment` does."""
        return open_segment(self._store, self._collection, entry, self._vectors)

    def append(self, segment: Segment) -> None:
        """A segment whose rows have the next slots."""
        self.segments.append(segment)
        self.bases.append(self.rows)
        self.rows += segment.rows

    def append_opened(self, entries: Sequence[SegmentEntry]) -> list[Segment]:
        """Open the segments of new entries, whose rows have the next slots."""
        found = [self.opened(entry) for entry in entries]
        for segment in found:
            self.append(segment)
        return found

    def reopen(self, entries: Sequence[SegmentEntry]) -> None:
        """Be what these entries name, opened where it is not yet. Old segments live as long as readers need them."""
        there = {(segment.entry.file, segment.entry.dropped): segment for segment in self.segments}
        self.segments = [there.get((entry.file, entry.dropped)) or self.opened(entry) for entry in entries]
        bases = np.cumsum([0, *(segment.rows for segment in self.segments)]).tolist()
        self.bases, self.rows = bases[:-1], bases[-1]

    def content(self, segment: Segment) -> tuple[Sequence[Chunk], IdColumn]:
        """Vectors and ids of a segment as slots take them."""
        return segment.chunks(with_norms=self._with_norms), segment.id_column

    def contents(self) -> list[tuple[Sequence[Chunk], IdColumn]]:
        """Those of all segments."""
        return [self.content(segment) for segment in self.segments]

    def slots_of(self, position: int) -> slice:
        """The slots of the segment at a position."""
        return slice(self.bases[position], self.bases[position] + self.segments[position].rows)

    def containing(self, slots: Sequence[int]) -> set[int]:
        """The positions of the segments that have any of these slots."""
        if not slots or not self.segments:
            return set()
        inside = np.asarray([slot for slot in slots if slot < self.rows], np.int64)
        return set((np.searchsorted(self.bases, inside, side="right") - 1).tolist())

    def positions_of(self, files: Sequence[str]) -> list[int]:
        """Where the segments of these files are. Raises CommitConflictError where one is there no more."""
        there = {segment.entry.file: position for position, segment in enumerate(self.segments)}
        for file in files:
            if file not in there:
                raise CommitConflictError(
                    f"collection {self._collection!r}: segment {file} is gone; compact again"
                )
        return [there[file] for file in files]

    def sources(self, memtable: MemTable) -> tuple[tuple[int, Segment | MemTable], ...]:
        """First slot and rows of each segment and, last, of the write buffer."""
        return (*zip(self.bases, self.segments, strict=True), (self.rows, memtable))

    def dead_rows(self, position: int, live: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of a segment that are dead by the mask of live slots."""
        return np.flatnonzero(~live[self.slots_of(position)])

    def close(self) -> None:
        """Close every file."""
        for segment in self.segments:
            segment.close()
