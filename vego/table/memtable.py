"""The write buffer: rows that are in the WAL but not yet in a segment."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from vego.errors import CorruptionError
from vego.table.values import load_metadata

_ROW_BYTES = 64  # of a row, besides its vector and metadata, or of a delete, besides its id


class MemTable:
    """Metadata of buffered rows, in slot order; ids and vectors are in `Slots`.

    `size` is the bytes the rows took in the WAL, the measure for flushing. Rows are only appended, so a reader
    that knows a row number may look it up without a lock. Rows read from the log, which `place` names, are kept as
    they were there until somebody looks: whoever then finds one that makes no sense raises CorruptionError.
    """

    def __init__(self, place: str) -> None:
        self.size = 0
        self._place = place
        self._rows: list[Any] = []  # metadata, or an id and its metadata as it is in the log
        self._unread = 0  # no row from here on is as in the log

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def unread(self) -> bool:
        """Whether there may be rows that are still as they were in the log."""
        return self._unread > 0

    def extend(self, rows: Sequence[dict[str, Any]], size: int) -> None:
        """Add rows whose ids, vectors and metadata take `size` bytes."""
        self._rows.extend(rows)
        self.size += size + _ROW_BYTES * len(rows)

    def extend_from_log(self, rows: Sequence[tuple[str, bytes]], size: int) -> None:
        """Add rows as they are in the log: ids, and metadata as `dump_metadata` writes it."""
        self._rows.extend(rows)
        self._unread = len(self._rows)
        self.size += size + _ROW_BYTES * len(rows)

    def note_deletes(self, ids: Sequence[str]) -> None:
        """Count deleted ids: they take room in the log, too."""
        self.size += sum(map(len, ids)) + _ROW_BYTES * len(ids)

    def metadata(self, row: int) -> dict[str, Any]:
        """A copy of one row's metadata."""
        return deepcopy(self._read(row))

    def rows(self) -> list[dict[str, Any]]:
        """All rows; not copied."""
        for row in range(self._unread):
            self._read(row)
        self._unread = 0
        return self._rows

    def values(self, name: str, start: int, stop: int) -> list[Any]:
        """One key of the rows `start` to `stop`; None where it is missing."""
        return [row.get(name) for row in self.rows()[start:stop]]

    def _read(self, row: int) -> dict[str, Any]:
        found = self._rows[row]
        if type(found) is tuple:
            name, text = found
            try:
                found = load_metadata(text)
            except ValueError as error:
                raise CorruptionError(self._place, 0, f"document {name!r}: {error}") from None
            self._rows[row] = found
        metadata: dict[str, Any] = found
        return metadata
