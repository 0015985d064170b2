"""Metadata columns in memory, in slot order, for filters: read from the segments when a filter first names them."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from vego.query import FilterColumn
from vego.table.memtable import MemTable
from vego.table.publication import RowSnapshot


class FilterColumns:
    """Loads and extends one FilterColumn a key. Any thread may call `get`."""

    def __init__(self) -> None:
        self._columns: dict[str, FilterColumn] = {}
        self._lock = Lock()

    def get(self, keys: Iterable[str], snapshot: RowSnapshot) -> dict[str, FilterColumn]:
        """The columns of `keys`, each at least `snapshot.view.rows` long."""
        rows = snapshot.view.rows
        found: dict[str, FilterColumn] = {}
        for key in keys:
            column = self._columns.get(key)
            if column is None or len(column) < rows:
                with self._lock:
                    column = self._columns.setdefault(key, FilterColumn())
                    _extend(column, key, snapshot)
            found[key] = column
        return found


def _extend(column: FilterColumn, key: str, snapshot: RowSnapshot) -> None:
    rows = snapshot.view.rows
    starts = [first for first, _ in snapshot.sources]
    for (first, source), stop in zip(snapshot.sources, [*starts[1:], rows], strict=True):
        skip = len(column) - first  # rows of this source that are there already
        if stop <= len(column):
            continue
        if isinstance(source, MemTable):
            column.extend(source.values(key, skip, stop - first))
        elif key not in source.fields:
            column.extend_missing(stop - first - skip)
        else:
            values = source.values(key)
            if isinstance(values, list):
                column.extend(values[skip:])
            else:
                column.extend_column(values.slice(skip, stop - first))
