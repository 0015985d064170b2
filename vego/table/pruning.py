"""A filter over a partitioned collection: what the partition of a segment decides is decided without its columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vego.query import Expr, evaluate, fields_of, residual
from vego.table.filter_columns import SourceColumns
from vego.table.memtable import MemTable
from vego.table.partition import Partition, PartitionInfo
from vego.table.segment import Segment
from vego.table.snapshot import RowSnapshot

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How a filter falls on the partitions: of how many it can match no row, and of how many it matches every row."""

    partitions: int
    none: int
    all: int


class PartitionFilter:
    """A filter, and what is left of it in each partition by `key`."""

    def __init__(self, expr: Expr, key: str) -> None:
        self._expr = expr
        self._key = key
        self._rest: dict[Partition, Expr | bool] = {}

    def rest(self, partition: Partition) -> Expr | bool:
        """The filter for the rows of one partition; True and False where it matches all of them or none."""
        found = self._rest.get(partition)
        if found is None:
            found = self._rest[partition] = residual(self._expr, {self._key: partition.value})
        return found

    def mask(self, snapshot: RowSnapshot, columns: SourceColumns) -> Mask:
        """Which rows match, bool (rows,). Of a segment, only columns that the rest of the filter names are read."""
        matching = np.zeros(snapshot.view.rows, np.bool_)
        starts = [first for first, _ in snapshot.sources]
        for (first, source), stop in zip(snapshot.sources, [*starts[1:], len(matching)], strict=True):
            rest: Expr | bool = self._expr  # of the write buffer, which has rows of every partition
            if isinstance(source, Segment):
                partition = source.entry.partition
                assert partition is not None
                rest = not source.entry.dropped and self.rest(partition)
            if isinstance(rest, Expr):
                found = columns.get(fields_of(rest), source, stop - first)
                matching[first:stop] = evaluate(rest, found, stop - first)
            elif rest:
                matching[first:stop] = True
        return matching

    def pruned(self, snapshot: RowSnapshot) -> Pruned:
        """What became of the partitions that segments have."""
        partitions = {
            source.entry.partition
            for _, source in snapshot.sources
            if isinstance(source, Segment) and not source.entry.dropped
        }
        rests = [self.rest(partition) for partition in partitions if partition is not None]
        return Pruned(len(rests), sum(rest is False for rest in rests), sum(rest is True for rest in rests))


def partitions_of(snapshot: RowSnapshot, key: str) -> list[PartitionInfo]:
    """What is in each partition, those in the write buffer included; sorted by value."""
    live = snapshot.view.live
    documents: Counter[Partition] = Counter()
    segments: Counter[Partition] = Counter()
    size: Counter[Partition] = Counter()
    starts = [first for first, _ in snapshot.sources]
    for (first, source), stop in zip(snapshot.sources, [*starts[1:], len(live)], strict=True):
        if isinstance(source, MemTable):
            rows = np.flatnonzero(live[first:stop]).tolist()
            buffered = source.rows()
            documents.update(Partition(buffered[row].get(key)) for row in rows)
        elif not source.entry.dropped and source.entry.partition is not None:
            documents[source.entry.partition] += int(np.count_nonzero(live[first:stop]))
            segments[source.entry.partition] += 1
            size[source.entry.partition] += source.entry.length
    return [
        PartitionInfo(one.value, documents[one], segments[one], size[one])
        for one in sorted(documents, key=lambda one: one.order)
    ]
