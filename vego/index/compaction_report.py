"""What a compaction did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vego.table.manifest import SegmentEntry


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did: segments and their bytes before and after, and dead rows that are gone."""

    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int
    dropped_rows: int


def summed(reports: Sequence[CompactionReport]) -> CompactionReport:
    """One after the other: what there is after the last, and before it what all of them took away."""
    last = reports[-1]
    return CompactionReport(
        last.segments_after + sum(one.segments_before - one.segments_after for one in reports),
        last.segments_after,
        last.bytes_after + sum(one.bytes_before - one.bytes_after for one in reports),
        last.bytes_after,
        sum(one.dropped_rows for one in reports),
    )


def report_of(
    before: Sequence[SegmentEntry], after: Sequence[SegmentEntry], dropped: int
) -> CompactionReport:
    """What became of the segments `before`, without `dropped` rows. Slots of dropped partitions are no segments."""
    old, new = (sum(entry.length for entry in entries) for entries in (before, after))
    there = [sum(not entry.dropped for entry in entries) for entries in (before, after)]
    return CompactionReport(there[0], there[1], old, new, dropped)
