"""Rows split by partition: what is written of a batch or of the write buffer, and what is merged later.

Every segment has rows of one partition. A batch whose shares are small goes through the write buffer, which has rows of
all partitions, so that not each of its shares becomes a file; a flush makes one segment a partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lance_fmt
from lance_fmt import Column
from vego import names
from vego.errors import InvalidArgumentError, InvalidMetadataError, StorageError
from vego.store import Store
from vego.table.attributes import means_none, python_values
from vego.table.batch import RowBatch
from vego.table.commit import Action, AddSegment, SetDeletes
from vego.table.manifest import SegmentEntry
from vego.table.memtable import MemTable
from vego.table.partition import MAX_PARTITIONS, Partition, refusal
from vego.table.segment import Segment, write_deletes, write_segment

LEAST_SHARE = 128  # rows of a batch in each of its partitions, so that they are worth a file each
_INTEGERS = (lance_fmt.int64(), lance_fmt.int32(), lance_fmt.int16(), lance_fmt.int8())
MOST_BUFFERED = 32 << 20  # bytes of a batch that passes through the log, which takes no more than twice that

Order = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shares:
    """The partitions of a batch in order of first appearance, and of each row the number of its own, int64 (n,)."""

    partitions: list[Partition]
    codes: NDArray[np.int64]

    @property
    def order(self) -> Order | None:
        """The rows partition by partition, each in its order; None where they lie so already."""
        if len(self.codes) < 2 or not (self.codes[1:] < self.codes[:-1]).any():
            return None
        return np.argsort(self.codes, kind="stable")

    @property
    def bounds(self) -> list[int]:
        """Where each partition begins in that order, and the number of rows."""
        counts = np.bincount(self.codes, minlength=len(self.partitions))
        return [0, *map(int, np.cumsum(counts))]


@dataclass(frozen=True, slots=True)
class Written:
    """Segments that were written for rows, which have slots in this `order` (None: that of the rows)."""

    entries: tuple[SegmentEntry, ...]
    order: Order | None


def shares_of(batch: RowBatch, key: str, where: str) -> Shares:
    """How a batch is partitioned. Raises InvalidMetadataError naming the row whose value cannot be one."""
    columns = batch.columns or {}
    if batch.rows is None and key not in columns:
        values: Iterable[Any] = [None] * len(batch)
    elif batch.rows is None:
        column = columns[key][1]
        if column.validity is None and column.type in _INTEGERS:
            found, first, inverse = np.unique(column.array, return_index=True, return_inverse=True)
            rank = np.empty(len(found), np.int64)
            by_first = np.argsort(first)
            rank[by_first] = np.arange(len(found))
            return Shares([Partition(int(value)) for value in found[by_first]], rank[inverse])
        values = python_values(column)
    else:
        values = [row.get(key) for row in batch.rows]
    numbers: dict[tuple[type, Any], int] = {}
    partitions: list[Partition] = []
    codes = np.empty(len(batch), np.int64)
    for row, value in enumerate(values):
        kind = type(value)
        number = numbers.get((kind, value)) if value is None or kind in (str, int, bool) else None
        if number is None:
            what = refusal(value)
            if what:
                raise InvalidMetadataError(
                    f"{where}, row {row} (id {batch.ids[row]!r}): metadata {key!r}, which the collection is "
                    f"partitioned by: {what}"
                )
            number = numbers[kind, value] = len(partitions)
            partitions.append(Partition(value))
        codes[row] = number
    return Shares(partitions, codes)


def check_partition(metadata: Mapping[str, Any], key: str | None, where: str) -> None:
    """Raise InvalidMetadataError where a document's value of `key` (None: there is no such key) cannot be one."""
    what = "" if key is None else refusal(metadata.get(key))
    if what:
        raise InvalidMetadataError(
            f"{where}: metadata {key!r}, which the collection is partitioned by: {what}"
        )


class Partitions:
    """The partitions of one collection, as far as they have been seen; there may not be too many."""

    def __init__(self, key: str, collection: str) -> None:
        self._key = key
        self._collection = collection
        self._seen: set[Partition] | None = None

    def admitted(self, batch: RowBatch, segments: Sequence[Segment], memtable: MemTable) -> Shares:
        """How a batch is partitioned that comes to these rows.

        Raises InvalidMetadataError as `shares_of`, InvalidArgumentError where there would be too many partitions.
        """
        shares = shares_of(batch, self._key, self._collection)
        if self._seen is not None and self._seen.issuperset(shares.partitions):
            return shares
        if self._seen is None or len(self._seen.union(shares.partitions)) > MAX_PARTITIONS:
            self._seen = {
                found
                for segment in segments
                if (found := segment.entry.partition) is not None and not segment.entry.dropped
            }
            self._seen.update(Partition(row.get(self._key)) for row in memtable.rows())
        both = self._seen.union(shares.partitions)
        if len(both) > MAX_PARTITIONS:
            raise InvalidArgumentError(
                f"collection {self._collection!r}: {len(both):,} partitions by {self._key!r}, {MAX_PARTITIONS:,} at "
                "most; drop some (drop_partition), or partition by a key with fewer values"
            )
        self._seen = both
        return shares


def write_rows(store: Store, collection: str, batch: RowBatch, key: str | None) -> Written:
    """Write a batch as segments, one a partition (`key` None: as one); durable except for their directory entries.

    After an error none of the files is left, as far as the system lets us remove them.
    """
    if key is None:
        return Written((write_segment(store, collection, batch),), None)
    shares = shares_of(batch, key, collection)
    order, bounds = shares.order, shares.bounds
    entries: list[SegmentEntry] = []
    try:
        for partition, start, stop in zip(shares.partitions, bounds, bounds[1:], strict=False):
            rows = np.arange(start, stop) if order is None else order[start:stop]
            part = batch if len(rows) == len(batch) else rows_of(batch, rows)
            entries.append(write_segment(store, collection, part, partition=partition))
    except BaseException:
        with suppress(StorageError):
            for entry in entries:
                store.delete(names.data_path(collection, entry.file))
        raise
    return Written(tuple(entries), order)


def write_buffer(
    store: Store, collection: str, batch: RowBatch, dead: NDArray[np.bool_], key: str | None
) -> tuple[Written, list[Action]]:
    """Write the write buffer, whose rows `dead`, bool (n,), are deleted; the actions add it to a manifest."""
    written = write_rows(store, collection, batch, key)
    dead = dead if written.order is None else dead[written.order]
    actions: list[Action] = []
    first = 0
    for entry in written.entries:
        actions.append(AddSegment(entry))
        rows = np.flatnonzero(dead[first : first + entry.rows])
        if len(rows):
            actions.append(SetDeletes(entry.file, write_deletes(store, collection, rows)))
        first += entry.rows
    return written, actions


def rows_of(batch: RowBatch, rows: Order) -> RowBatch:
    """Some of the rows of a batch; columns keep their types, and go where none of the rows has a value."""
    ids, vectors = [batch.ids[row] for row in rows.tolist()], batch.vectors[rows]
    if batch.rows is not None:
        return RowBatch(ids, vectors, rows=[batch.rows[row] for row in rows.tolist()])
    columns = {}
    for name, (field, column) in (batch.columns or {}).items():
        part: Column = column.take(rows)
        if part.null_count < len(part) or means_none(field):
            columns[name] = (field, part)
    return RowBatch(ids, vectors, columns=columns)


def in_order(written: Written, ids: Sequence[str]) -> Sequence[str]:
    """The ids of a batch in the order in which its rows get slots."""
    return ids if written.order is None else [ids[row] for row in written.order.tolist()]
