"""Compaction: adjacent segments become one, without the rows that are dead.

Size-tiered, as in log-structured merge trees (O'Neil et al., 1996): a run of neighbours is merged once its largest
member is no more than half of the whole, so that a row is rewritten O(log n) times; a segment with many dead rows is
rewritten by itself. Neighbours only: rows keep their order, and what is behind a run only moves up. Where there
are partitions, neighbours are segments of one partition, whatever lies between them: rows change places, and the
graph's nodes with them.

Choosing and writing need no lock; `RowStore.adopt` puts the outcome in place and sees to what died meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lance_fmt import Column, CorruptFileError, Field
from vego import names
from vego.store import Store
from vego.table.attributes import MISSING, NONE, NULL_MEANING, build_column, means_none, python_values
from vego.table.batch import RowBatch, RowPieces
from vego.table.manifest import Manifest, SegmentEntry
from vego.table.partition import Partition
from vego.table.segment import Segment, corruption, write_segment
from vego.table.slots import SlotView

LEAST_RUN = 4  # segments that are merged for their number alone
DEAD_SHARE = 5  # a segment is rewritten when a fifth of its rows is dead
MOST_BYTES = 256 << 20  # of the segments of one run; vectors of more are rewritten piece by piece
PIECE_BYTES = 64 << 20

Mask = NDArray[np.bool_]
Run = Sequence[int]  # positions of segments that become one, ascending
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The segments `files` were rewritten as `entry`; None where none of their rows was alive."""

    files: tuple[str, ...]
    entry: SegmentEntry | None


@dataclass(frozen=True, slots=True)
class Compaction:
    """What was written. `kept`, bool (rows of all segments,), says which slots there still are, and `order`, int64, in
    which order they come then; None where that is the one they were in.
    """

    rewritten: tuple[Rewritten, ...]
    kept: Mask
    order: NDArray[np.int64] | None

    @property
    def moves_slots(self) -> bool:
        """Whether any slot gets another number."""
        return self.order is not None or self.dropped_rows > 0

    def in_order(self) -> NDArray[np.int64]:
        """The slots that there still are, int64, in the order in which they come then."""
        return np.flatnonzero(self.kept) if self.order is None else self.order

    @property
    def dropped_rows(self) -> int:
        """Rows left behind because they were dead."""
        return len(self.kept) - int(np.count_nonzero(self.kept))


def choose(manifest: Manifest, *, indexed: int, full: bool = False) -> Sequence[Run]:
    """Positions of the segments to rewrite together, in order; where there are partitions, those of one partition.

    What a graph over the slots below `indexed` covers and what it does not are not merged, unless they are neighbours:
    the graph covers the first slots after that, too.
    """
    entries = manifest.segments
    if manifest.partition_by is None:
        return choose_runs(entries, full=full)
    covered = _covered(entries, indexed)
    groups = [[position] for position, entry in enumerate(entries) if entry.dropped]
    alike: dict[tuple[Partition | None, bool], list[int]] = {}
    for position, entry in enumerate(entries):
        if not entry.dropped:
            alike.setdefault((entry.partition, position < covered), []).append(position)
    for positions in alike.values():
        runs = choose_runs([entries[position] for position in positions], full=full)
        groups += [positions[run.start : run.stop] for run in runs]
    return sorted(groups)


def _covered(entries: Sequence[SegmentEntry], indexed: int) -> int:
    """How many segments have no slots but those below `indexed`."""
    stops = np.cumsum([entry.rows for entry in entries])
    return int(np.searchsorted(stops, indexed, side="right"))


def runs_there(
    entries: Sequence[SegmentEntry], files: Sequence[Sequence[str]], indexed: int
) -> list[list[int]]:
    """The positions of runs that were chosen before, as files, without those that cannot be merged any more.

    That is where a segment is gone, and where a graph over the slots below `indexed` covers some of a run by now: see
    `choose`.
    """
    covered, places = _covered(entries, indexed), {entry.file: place for place, entry in enumerate(entries)}
    found = [[places.get(file, -1) for file in run] for run in files]
    return [
        run
        for run in found
        if -1 not in run
        and run == sorted(run)
        and (_are_neighbours(run) or (entries[run[0]].partition is not None and _on_one_side(run, covered)))
    ]


def _are_neighbours(run: Run) -> bool:
    return run[-1] - run[0] == len(run) - 1


def _on_one_side(run: Run, place: int) -> bool:
    return run[-1] < place or run[0] >= place


def choose_runs(entries: Sequence[SegmentEntry], *, full: bool = False) -> list[range]:
    """Disjoint runs of positions in `entries` to rewrite, in order.

    `full`: everything that can be merged and every dead row, whatever it costs.
    """
    if full:
        return [run for run in _filled(entries) if len(run) > 1 or entries[run.start].deletes is not None]
    chosen = list(_runs(entries, range(len(entries))))
    taken = {position for run in chosen for position in run}
    for position, entry in enumerate(entries):
        if position not in taken and entry.dead * DEAD_SHARE >= entry.rows:
            chosen.append(range(position, position + 1))
    return sorted(chosen, key=lambda run: run.start)


def steps_of(entries: Sequence[SegmentEntry], runs: Sequence[Run], least: int) -> list[list[Run]]:
    """`runs` in steps to be committed one by one: each rewrites at least `least` bytes, but for the last.

    So what an interrupted compaction has finished stays. With the size of the graph as `least`, healing and writing
    that once a step costs no more than the rewriting.
    """
    steps: list[list[Run]] = []
    size = least
    for run in runs:
        if size >= least:
            steps.append([])
            size = 0
        steps[-1].append(run)
        size += sum(entries[position].length for position in run)
    return steps


def _filled(entries: Sequence[SegmentEntry]) -> Iterator[range]:
    """All segments in runs as large as may be, by what is alive in them: what comes out does not fit together."""
    start, size = 0, 0
    for position, entry in enumerate(entries):
        alive = entry.length * (entry.rows - entry.dead) // entry.rows
        if position > start and size + alive > MOST_BYTES:
            yield range(start, position)
            start, size = position, 0
        size += alive
    if entries:
        yield range(start, len(entries))


def _runs(entries: Sequence[SegmentEntry], within: range) -> Iterator[range]:
    """The longest run that is worth merging, and what is left and right of it by the same rule."""
    best = range(0)
    for start in within:
        if within.stop - start <= len(best):
            break
        size = largest = 0
        for stop in range(start + 1, within.stop + 1):
            length = entries[stop - 1].length
            size, largest = size + length, max(largest, length)
            if size > MOST_BYTES:
                break
            if stop - start >= max(LEAST_RUN, len(best) + 1) and 2 * largest <= size:
                best = range(start, stop)
    if best:
        yield from _runs(entries, range(within.start, best.start))
        yield best
        yield from _runs(entries, range(best.stop, within.stop))


def rewrite(
    store: Store,
    collection: str,
    segments: Sequence[Segment],
    view: SlotView,
    runs: Sequence[Run],
    unfinished: set[str],
    progress: Progress | None = None,
) -> Compaction:
    """Write the live rows of each run as one new segment, durable except for its directory entry.

    `segments` have the slots of `view` from 0 on; a run comes where its first segment is. The paths of new files are
    put into `unfinished` before they are created. Raises StorageError, CorruptionError; what was written by then is
    the caller's to remove.
    """
    bases = np.cumsum([0, *(segment.rows for segment in segments)]).tolist()
    kept = np.ones(bases[-1], np.bool_)
    rewritten: list[Rewritten] = []
    total, done = sum(segments[position].rows for run in runs for position in run), 0
    for run in runs:
        slots = _slots_of(bases, run)
        kept[slots] = view.live[slots]
        files = tuple(segments[position].entry.file for position in run)
        entry = None
        if kept[slots].any():
            name = names.segment_file(store.new_id())
            unfinished.add(names.data_path(collection, name))
            batch = _merged(view, bases, segments, run, kept)
            entry = write_segment(store, collection, batch, name, segments[run[0]].entry.partition)
        rewritten.append(Rewritten(files, entry))
        done += len(slots)
        if progress is not None:
            progress(done, total)
    order = None
    if not all(map(_are_neighbours, runs)):
        order = order_after(bases, runs)
        order = order[kept[order]]
    return Compaction(tuple(rewritten), kept, order)


def order_after(bases: Sequence[int], runs: Sequence[Run]) -> NDArray[np.int64]:
    """All slots in the order in which their segments come when each run stands where its first one was."""
    first_of = {run[0]: run for run in runs}
    later = {position for run in runs for position in run[1:]}
    order: list[int] = []
    for position in range(len(bases) - 1):
        if position not in later:
            order += first_of.get(position, (position,))
    return _slots_of(bases, order)


def _slots_of(bases: Sequence[int], positions: Run) -> NDArray[np.int64]:
    parts = [np.arange(bases[position], bases[position + 1]) for position in positions]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _merged(
    view: SlotView, bases: Sequence[int], segments: Sequence[Segment], run: Run, kept: Mask
) -> RowBatch | RowPieces:
    slots = _slots_of(bases, run)
    slots = slots[kept[slots]]
    parts = [
        (segments[position], np.flatnonzero(kept[bases[position] : bases[position + 1]])) for position in run
    ]
    parts = [(segment, rows) for segment, rows in parts if len(rows)]
    keys = dict.fromkeys(key for segment, _ in parts for key in segment.fields)
    columns = {}
    for key in keys:
        field, column = _column(key, parts)
        if column.null_count < len(column) or means_none(field):
            columns[key] = (field, column)
    size = view.vectors.row_bytes
    if len(slots) * size <= MOST_BYTES:
        return RowBatch(view.ids.take(slots), view.vectors.take(slots), columns=columns)
    step = max(PIECE_BYTES // size, 1)
    parts_of = (slots[first : first + step] for first in range(0, len(slots), step))
    pieces = ((view.ids.take(some), view.vectors.take(some)) for some in parts_of)
    return RowPieces(len(slots), view.vectors.take(slots[:0]), pieces, columns)


def _column(key: str, parts: Sequence[tuple[Segment, NDArray[np.int64]]]) -> tuple[Field, Column]:
    """One metadata key of the rows of several segments, so that every document stays what it was."""
    read = [(_taken(segment, key, rows), segment.fields.get(key), len(rows)) for segment, rows in parts]
    types = {field.type for _, field, _ in read if field is not None}
    absent = any(
        column is None or (column.null_count and field is not None and not means_none(field))
        for column, field, _ in read
    )
    none = any(
        column is not None and column.null_count and field is not None and means_none(field)
        for column, field, _ in read
    )
    if len(types) == 1 and not (absent and none):
        (kind,) = types
        flags = {NULL_MEANING: NONE} if none else {}
        whole = [Column.nulls(kind, rows) if column is None else column for column, _, rows in read]
        return Field(key, kind, nullable=True, metadata=flags), Column.concat(whole)
    values: list[object] = []
    for column, field, rows in read:
        if column is None or field is None:
            values += [MISSING] * rows
            continue
        null = None if means_none(field) else MISSING
        present = [True] * rows if column.validity is None else column.validity.tolist()
        plain = python_values(column)
        values += [value if there else null for value, there in zip(plain, present, strict=True)]
    return build_column(key, values)


def _taken(segment: Segment, key: str, rows: NDArray[np.int64]) -> Column | None:
    if key not in segment.fields:
        return None
    try:
        column = segment.file.read([key])[key]
    except CorruptFileError as error:
        raise corruption(error) from None
    return column if len(rows) == segment.rows else column.take(rows)
