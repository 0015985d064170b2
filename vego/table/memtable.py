"""The write buffer: rows that are in the WAL but not yet in a segment."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

_ROW_BYTES = 64  # of a row, besides its vector and metadata, or of a delete, besides its id


class MemTable:
    """Metadata of buffered rows, in slot order; ids and vectors are in `Slots`.

    `size` is the bytes the rows took in the WAL, the measure for flushing. Rows are only appended, so a reader
    that knows a row number may look it up without a lock.
    """

    def __init__(self) -> None:
        self.size = 0
        self._rows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def extend(self, rows: Sequence[dict[str, Any]], size: int) -> None:
        """Add rows whose ids, vectors and metadata take `size` bytes."""
        self._rows.extend(rows)
        self.size += size + _ROW_BYTES * len(rows)

    def note_deletes(self, ids: Sequence[str]) -> None:
        """Count deleted ids: they take room in the log, too."""
        self.size += sum(map(len, ids)) + _ROW_BYTES * len(ids)

    def metadata(self, row: int) -> dict[str, Any]:
        """A copy of one row's metadata."""
        return deepcopy(self._rows[row])

    def rows(self) -> list[dict[str, Any]]:
        """All rows; not copied."""
        return self._rows

    def values(self, name: str, start: int, stop: int) -> list[Any]:
        """One key of the rows `start` to `stop`; None where it is missing."""
        return [row.get(name) for row in self._rows[start:stop]]
