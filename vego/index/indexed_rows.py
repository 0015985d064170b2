"""Rows and the graph over them, kept in step: what a collection reads and writes.

A search sees one `State`: a row snapshot and a graph that covers a prefix of its slots. The graph of a state
is never changed; catching up extends a copy of its links (I5). Slots behind the graph are scanned exactly, so
an answer is complete at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock, RLock
from typing import Any

import numpy as np

from lance_fmt import CorruptFileError
from vego import names
from vego.document import Document
from vego.errors import (
    CollectionNotFoundError,
    CommitConflictError,
    CorruptionError,
    NotFoundError,
    StorageError,
    VegoError,
)
from vego.index.accepted import AcceptedByFilter
from vego.index.compaction_report import CompactionReport, report_of, summed
from vego.index.index_file import at_rest, load_index, write_index
from vego.index.kinds import empty_index
from vego.index.metrics import Metric
from vego.index.stats import stats_of
from vego.index.vector_index import Progress, VectorIndex
from vego.maintenance import Maintenance
from vego.options import AUTO_ROWS, DURABLE, Durability
from vego.store import Store
from vego.table.batch import RowBatch
from vego.table.compaction import Compaction, choose, rewrite, runs_there, steps_of
from vego.table.filter_columns import FilterColumns
from vego.table.garbage import Collected, Garbage, Retention
from vego.table.manifest import IndexEntry, SegmentEntry, load_latest, newest_version
from vego.table.opening import OpenFiles, open_files
from vego.table.partition import Partition
from vego.table.rowstore import DIRECT_ROWS, RowStore
from vego.table.snapshot import RowSnapshot
from vego.table.turns import Turns

MIN_BATCH = 1_024  # slots without links before the graph is extended; fewer are scanned in microseconds


@dataclass(frozen=True, slots=True)
class State:
    """What one reader sees. `index` covers slots 0 to index.rows; None where there is no graph.

    `filters` are the metadata columns in memory, which grow with the slots; `accepted` is what filters found in them.
    """

    snapshot: RowSnapshot
    index: VectorIndex | None
    filters: FilterColumns
    accepted: AcceptedByFilter = field(default_factory=AcceptedByFilter)


class _StoppedError(Exception):
    """A compaction is to end early."""


class IndexedRows:
    """A RowStore with its graph. One thread at a time may call what changes something; any may read `state`."""

    def __init__(
        self,
        store: Store,
        collection: str,
        files: OpenFiles,
        *,
        garbage: Garbage | None = None,
        durability: Durability = DURABLE,
        shared: bool = False,
        lock: RLock | None = None,
        maintenance: Maintenance | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.store = store
        self._durability = durability
        self.shared = shared
        self.lock = RLock() if lock is None else lock
        self._compacting = Lock()  # taken before `lock`
        self.turns = turns or Turns(store, collection, shared=shared)  # taken after `lock`
        self._maintenance = maintenance or Maintenance(background=False)
        self._metric = Metric.parse(files.manifest.metric)
        index = None
        if files.index is not None:
            try:
                index = load_index(files.index, self._metric, files.manifest)
            except (CorruptFileError, CorruptionError) as error:
                command = f"vego repair {store.name} --collection {collection} --drop-index"
                way_out = f"The rows are whole: `{command}` drops the index, which can be built again"
                raise CorruptionError(error.path, error.offset, error.what, way_out) from None
        self.rows = RowStore(store, collection, files, garbage=garbage, durability=durability, shared=shared)
        self._saved_rows = 0 if index is None else index.rows
        self._state = State(self.rows.snapshot(), index, FilterColumns())
        # Why something that follows writes was put off.
        self.maintenance_error: str | None = None
        self._compacted: tuple[SegmentEntry, ...] = ()  # the segments that were last looked at

    @property
    def state(self) -> State:
        """What readers see now. Any thread may ask."""
        snapshot, state = self.rows.publication.snapshot, self._state
        if snapshot is not state.snapshot:
            with self.rows.publication.lock:
                snapshot, state = self.rows.snapshot(), self._state
                # Whoever gives slots new numbers shows rows and graph together.
                if snapshot is not state.snapshot and snapshot.numbering is state.snapshot.numbering:
                    self._state = state = State(snapshot, state.index, state.filters)
        return state

    def newest(self, name: str) -> Document | None:
        """A document as the writer sees it, writes that are not durable yet included."""
        snapshot = self.rows.newest()
        slot = snapshot.slot_of.get(name)
        if slot is None:
            return None
        return Document(name, snapshot.view.vectors.row(slot).copy(), snapshot.metadata(slot))

    def put(self, batch: RowBatch, progress: Progress | None = None, deleted: Sequence[str] = ()) -> None:
        """Insert or replace `batch`, and delete other live ids with it; durable and visible after `wait`."""
        self.rows.put(batch, deleted)
        self._after_write(progress, large=len(batch) >= DIRECT_ROWS)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete live ids; durable and visible after `wait`."""
        self.rows.delete(ids)
        self._after_write(None, large=False)

    def wait(self, lsn: int) -> None:
        """Return once every write up to `lsn`, a former `rows.last_lsn`, is durable and visible.

        Needs no lock. Raises CommitUncertainError.
        """
        self.rows.wait(lsn)
        if self._waiting():
            self._maintenance.due(self)

    def _after_write(self, progress: Progress | None, *, large: bool) -> None:
        """What may follow a write. That is in the log already, so a full disk or a damaged graph is no failure of it.

        Whether the graph is to be extended is seen in `wait`, when the rows are visible.
        """
        try:
            if self.rows.buffered_bytes >= self.rows.options.flush_bytes:
                self.flush()
            if large and self._holes_behind_graph() < MIN_BATCH:
                self.catch_up(progress)
            self.maintenance_error = None
        except (StorageError, CorruptionError) as error:
            self.maintenance_error = str(error)
        if self._segments_to_merge() or self._worth_saving():
            self._maintenance.due(self)

    def maintain(self, stopped: Callable[[], bool]) -> None:
        """Do what is due: extend the graph, save it, merge segments. Writers wait for none of it for long."""
        try:
            self.catch_up(cancel=stopped)
            if not stopped() and self._segments_to_merge():
                self._compact_unless_somebody_does(stopped)
            self.maintenance_error = None
        except CommitConflictError:
            pass  # somebody else was faster
        except VegoError as error:
            self.maintenance_error = str(error)

    def _compact_unless_somebody_does(self, stopped: Callable[[], bool]) -> None:
        # Whoever is compacting may wait for the writers' lock, which our caller may hold: never wait for them.
        if self._compacting.acquire(blocking=False):
            try:
                self._compacted = self.rows.manifest.segments
                self._compact(full=False, progress=None, stopped=stopped)
            finally:
                self._compacting.release()

    @property
    def _indexed(self) -> int:
        index = self._state.index
        return 0 if index is None else index.rows

    @property
    def _partitioned(self) -> bool:
        return self.rows.options.partition_by is not None

    def _holes_behind_graph(self) -> int:
        """Slots of dropped partitions over which the graph would grow."""
        if self.rows.options.index == "flat" or not self._partitioned:
            return 0
        stop, found, covered = 0, 0, self._indexed
        for entry in self.rows.manifest.segments:
            stop += entry.rows
            if entry.dropped and stop > covered:
                found += entry.rows
        return found

    def _waiting(self) -> bool:
        """Whether so many slots lack a graph that they cost searches more than extending it costs.

        Where there are partitions, a flush moves the slots of the write buffer: they get none.
        """
        covered = self._indexed
        slots = self.rows.flushed_slots if self._partitioned else self.rows.slots
        waiting = slots - covered
        if waiting < MIN_BATCH or not self._wants_graph(slots):
            return False
        return waiting >= min(covered // 64, 8_192)

    def _worth_saving(self) -> bool:
        index = self._state.index
        return index is not None and index.rows >= self._saved_rows + max(MIN_BATCH, self._saved_rows // 4)

    def _segments_to_merge(self) -> bool:
        segments = self.rows.manifest.segments
        if segments is self._compacted:
            return False
        found = bool(choose(self.rows.manifest, indexed=self._indexed))
        if not found:
            self._compacted = segments
        return found

    def catch_up(
        self,
        progress: Progress | None = None,
        *,
        all_rows: bool = False,
        cancel: Callable[[], bool] | None = None,
    ) -> None:
        """Extend the graph where enough slots wait for it (`all_rows`: where any does), and save it now and then."""
        if all_rows:
            if self._partitioned:
                with self.lock, self.turns.ours():
                    self.flush()
            self.rows.wait(self.rows.last_lsn)
        # Not after a write, which must not fail because somebody else commits meanwhile.
        if (all_rows or cancel is not None) and self._holes_behind_graph() >= MIN_BATCH:
            self._compact_unless_somebody_does(cancel or (lambda: False))
        state = self.state
        view, index = state.snapshot.view, state.index
        stop = state.snapshot.flushed_rows if self._partitioned else view.rows
        covered = 0 if index is None else index.rows
        due = self._waiting() or (all_rows and self._wants_graph(stop))
        if due and covered < stop:
            extended = self._empty_index() if index is None else index.copy()
            extended.extend(view.vectors, None, stop, progress=progress, cancel=cancel)
            extended.calibrate(view.vectors, None, self._now(), cancel)
            with self.lock, self.rows.publication.lock:  # who waits for a sync changes it, too
                now = self.state
                covered = 0 if now.index is None else now.index.rows
                if now.snapshot.numbering is not state.snapshot.numbering or covered >= extended.rows:
                    return  # slots have moved, or somebody was faster
                self._state = State(now.snapshot, extended, now.filters, now.accepted)
            if covered < extended.rows < stop and not (cancel is not None and cancel()):
                self.save_index()  # as much as is built in memory at a time
                self.catch_up(progress, all_rows=all_rows, cancel=cancel)
        if self._worth_saving():
            self.save_index()

    def _wants_graph(self, rows: int) -> bool:
        kind = self.rows.options.index
        return kind != "flat" and (kind != "auto" or rows >= AUTO_ROWS)

    def _now(self) -> str:
        return datetime.fromtimestamp(self.store.now_us() / 1e6, UTC).isoformat(timespec="seconds")

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return self.store.monotonic()

    def _empty_index(self) -> VectorIndex:
        return empty_index(self.rows.options, self._metric, self.rows.manifest.dimension)

    def save_index(self) -> None:
        """Write the graph to a file and commit it; flushes the write buffer, whose slots the graph may cover."""
        state = self.state
        index = state.index
        if index is None or index.rows == self._saved_rows:
            return
        with self.rows.garbage.unfinished() as unfinished:
            entry = self._written(index, unfinished)
            rested = at_rest(self.store, self.rows.collection, index, entry)
            try:
                with self.lock, self.turns.ours():
                    if (
                        self.advanced() is not self
                        or self.state.snapshot.numbering is not state.snapshot.numbering
                    ):
                        raise CommitConflictError(f"slots of {self.rows.collection!r} have moved")
                    self.rows.flush("index", entry)
                    self._saved_rows = index.rows
                    with self.rows.publication.lock:
                        now = self.state
                        if now.index is index:
                            self._state = State(now.snapshot, rested, now.filters, now.accepted)
            except CommitConflictError:  # whoever was faster has a graph of its own
                self._remove(unfinished)

    def _remove(self, paths: Iterable[str]) -> None:
        with suppress(VegoError):  # what cannot be removed now is collected later
            for path in paths:
                self.store.delete(path)

    def drop_partition(self, partition: Partition) -> int:
        """Drop all documents of a partition and return how many there were."""
        dropped = self.rows.drop_partition(partition)
        if self._segments_to_merge():
            self._maintenance.due(self)
        return dropped

    def flush(self) -> None:
        """Turn the write buffer into segments."""
        self.rows.flush("flush")

    def compact(self, *, full: bool = False, progress: Progress | None = None) -> CompactionReport:
        """Merge small segments and drop dead rows; `full`: all that can be.

        The writers' lock is held at the beginning and the end only: reads and writes go on meanwhile. Raises
        StorageError, CorruptionError, or CommitConflictError where the collection went back to another version
        meanwhile; what was finished by then stays.
        """
        with self._compacting:
            if full and self._partitioned and self._indexed:
                self.catch_up(all_rows=True)  # see `choose`
            return self._compact(full, progress)

    def _compact(
        self, full: bool, progress: Progress | None, stopped: Callable[[], bool] = lambda: False
    ) -> CompactionReport:
        """Compact in steps, each of them committed; `stopped` is asked after every run."""
        with self.lock, self.turns.ours():
            self.flush()
            manifest = self.rows.manifest
        before = manifest.segments
        runs = choose(manifest, indexed=self._indexed, full=full)
        graph = 0 if manifest.index is None else manifest.index.length
        total = sum(before[position].rows for run in runs for position in run)
        done, reports = 0, [report_of(before, before, 0)]

        def report(rows: int, _: int) -> None:
            if stopped():
                raise _StoppedError
            if progress is not None:
                progress(done + rows, total)

        with suppress(_StoppedError):
            for step in steps_of(before, runs, graph):
                files = [tuple(before[position].file for position in run) for run in step]
                reports.append(self._compact_step(files, report))
                done += sum(before[position].rows for run in step for position in run)
        return summed(reports)

    def _compact_step(self, files: Sequence[tuple[str, ...]], progress: Progress) -> CompactionReport:
        """Rewrite the segments `files`, run by run, and commit that. Runs that are there no more are left out."""
        rows = self.rows
        with self.lock:
            segments, before, state = rows.segments, rows.manifest.segments, self.state
        runs = runs_there(before, files, 0 if state.index is None else state.index.rows)
        if not runs:
            return report_of(before, before, 0)
        view = state.snapshot.view
        with rows.garbage.unfinished() as unfinished:
            index, entry = state.index, None
            try:
                compaction = rewrite(self.store, rows.collection, segments, view, runs, unfinished, progress)
                if compaction.moves_slots and index is not None:
                    index = _moved(index, compaction)
                    entry = self._written(index, unfinished)
                    index = at_rest(self.store, rows.collection, index, entry)
            except BaseException:
                self._remove(unfinished)
                raise
            try:
                with self.lock, self.turns.ours():
                    if self.advanced() is not self:
                        raise CommitConflictError(f"collection {rows.collection!r} was compacted elsewhere")
                    before = rows.manifest.segments
                    rows.adopt(compaction, entry, "compact", lambda: self._adopted(compaction, index, entry))
                    return report_of(before, rows.manifest.segments, compaction.dropped_rows)
            except CommitConflictError:
                self._remove(unfinished)
                raise

    def _written(self, index: VectorIndex, unfinished: set[str]) -> IndexEntry | None:
        if not index.rows:
            return None
        name = names.index_file(self.store.new_id())
        unfinished.add(names.index_path(self.rows.collection, name))
        return write_index(self.store, self.rows.collection, index, name)

    def _adopted(self, compaction: Compaction, index: VectorIndex | None, entry: IndexEntry | None) -> None:
        """Show the rows after a compaction. Where slots have moved, the graph and the filters move with them."""
        if not compaction.moves_slots:
            return
        if index is not None and not index.rows:
            index = None
        self._saved_rows = 0 if entry is None else entry.rows
        self._state = State(self.rows.snapshot(), index, self._state.filters.renumbered())

    def vacuum(self, retain_versions: int | None = None) -> Collected:
        """Delete files that no kept version needs; `retain_versions` (at least 2) instead of the retention options.

        Files that only the version before needs go as well, by one more version that is like the newest.
        """
        rows = self.rows
        retention = None if retain_versions is None else Retention(retain_versions, 0)
        if retention is not None:
            rows.commit([], "vacuum")
        return rows.collect_garbage(retention)

    def advanced(self) -> IndexedRows:
        """These rows as of the newest version that any process has committed, or others in their place.

        Only where several processes write is there anything to do. The caller holds the lock. Raises
        CollectionNotFoundError where the collection was dropped, CorruptionError, StorageError.
        """
        store, rows = self.store, self.rows
        while self.shared and newest_version(store, rows.collection) != rows.manifest.version:
            newest = load_latest(store, rows.collection)
            if newest is None:
                raise CollectionNotFoundError(
                    f"collection {rows.collection!r} was dropped by another process"
                )
            try:
                if not rows.advance(newest):
                    return self.reopened()
            except NotFoundError:
                if newest_version(store, rows.collection) == newest.version:
                    return self.reopened()  # not collected but lost, which it says
                continue
            if newest.index is not None:
                self._saved_rows = newest.index.rows
        return self

    def back_off(self, attempt: int) -> None:
        """Wait a random time before trying once more, up to twice as long each time: 1 to 32 ms."""
        share = int(self.store.new_id()[:8], 16) / 2**32
        self.store.sleep(share * 0.001 * 2 ** min(attempt, 5))

    def reopened(self) -> IndexedRows:
        """The rows of the newest version, opened anew; these are to be closed. Raises as `advanced` does."""
        rows = self.rows
        files = open_files(self.store, rows.collection)
        if files is None:
            raise CollectionNotFoundError(f"collection {rows.collection!r} was dropped by another process")
        return IndexedRows(
            self.store,
            rows.collection,
            files,
            garbage=rows.garbage,
            durability=self._durability,
            shared=self.shared,
            lock=self.lock,
            maintenance=self._maintenance,
            turns=self.turns,
        )

    def stats(self) -> dict[str, Any]:
        """Counts and sizes; bytes are of the files the newest manifest names."""
        state = self.state
        error = {"maintenance_error": self.maintenance_error}
        return stats_of(self.rows, state.snapshot, state.index) | error

    def close(self) -> None:
        """Save what is worth saving and close; acknowledged rows are safe with or without this."""
        try:
            index = self.state.index
            if not self.store.read_only and index is not None and index.rows - self._saved_rows >= MIN_BATCH:
                with suppress(VegoError):  # the graph can be built again; the rows are safe
                    self.save_index()
        finally:
            self.rows.close()


def _moved(index: VectorIndex, compaction: Compaction) -> VectorIndex:
    """The index over the slots that there are after a compaction."""
    removed = ~compaction.kept[: index.rows]
    order = compaction.order
    if order is not None:  # what the graph covers comes first before and after: see `choose`
        order = order[: len(removed) - int(np.count_nonzero(removed))]
    return index.without(removed, order=order)
