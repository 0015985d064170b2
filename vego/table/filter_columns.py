"""Metadata columns in memory, in slot order, for filters: read from the segments when a filter first names them."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from weakref import WeakKeyDictionary

from vego.query import FilterColumn
from vego.table.memtable import MemTable
from vego.table.segment import Segment
from vego.table.snapshot import RowSnapshot


class FilterColumns:
    """Loads and extends one FilterColumn a key. Any thread may call `get`."""

    def __init__(self, by_source: SourceColumns | None = None) -> None:
        self._columns: dict[str, FilterColumn] = {}
        self._lock = Lock()
        self.by_source = by_source or SourceColumns()

    def renumbered(self) -> FilterColumns:
        """The same after slots got other numbers: what is in slot order is read again."""
        return FilterColumns(self.by_source)

    def get(self, keys: Iterable[str], snapshot: RowSnapshot) -> dict[str, FilterColumn]:
        """The columns of `keys`, each at least `snapshot.view.rows` long."""
        rows = snapshot.view.rows
        found: dict[str, FilterColumn] = {}
        for key in keys:
            column = self._columns.get(key)
            if column is None or column.rows.count < rows:
                with self._lock:
                    column = self._columns.setdefault(key, FilterColumn())
                    _extend(column, key, snapshot)
            found[key] = column
        return found


class SourceColumns:
    """One FilterColumn a key for each segment, and for the write buffer, by itself. Any thread may call `get`."""

    def __init__(self) -> None:
        self._columns: WeakKeyDictionary[Segment | MemTable, dict[str, FilterColumn]] = WeakKeyDictionary()
        self._lock = Lock()

    def get(self, keys: Iterable[str], source: Segment | MemTable, rows: int) -> dict[str, FilterColumn]:
        """The columns of `keys` of a source, each at least `rows` long."""
        with self._lock:
            columns = self._columns.setdefault(source, {})
            for key in keys:
                column = columns.setdefault(key, FilterColumn())
                if len(column) < rows:
                    _extend_from(column, key, source, len(column), rows)
            return {key: columns[key] for key in keys}


def _extend(column: FilterColumn, key: str, snapshot: RowSnapshot) -> None:
    rows = snapshot.view.rows
    starts = [first for first, _ in snapshot.sources]
    for (first, source), stop in zip(snapshot.sources, [*starts[1:], rows], strict=True):
        if stop > len(column):
            _extend_from(column, key, source, len(column) - first, stop - first)


def _extend_from(column: FilterColumn, key: str, source: Segment | MemTable, skip: int, stop: int) -> None:
    """Append the rows `skip` to `stop` of a source."""
    if isinstance(source, MemTable):
        column.extend(source.values(key, skip, stop))
    elif key not in source.fields:
        column.extend_missing(stop - skip)
    else:
        values = source.values(key)
        if isinstance(values, list):
            column.extend(values[skip:])
        else:
            column.extend_column(values.slice(skip, stop))
