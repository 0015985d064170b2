"""The rows of one collection: manifest, segments, WAL and write buffer, kept as one durable whole.

Write path and invariants I1..I6 are in `vego/DESIGN.md`. One thread at a time may call the methods that
change something (the collection holds a lock); `snapshot()` may be called by any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vego import names
from vego.document import Vector
from vego.errors import (
    CommitConflictError,
    CorruptionError,
    PoisonedError,
    StorageError,
    VegoError,
)
from vego.options import CollectionOptions
from vego.store import Store
from vego.table.batch import RowBatch
from vego.table.commit import (
    Action,
    AddSegment,
    AdvanceWal,
    ReplaceSegments,
    SetDeletes,
    SetIndex,
    commit,
)
from vego.table.compaction import Compaction
from vego.table.garbage import Collected, Garbage, Retention
from vego.table.journal import Journal
from vego.table.manifest import IndexEntry, Manifest, SegmentEntry
from vego.table.memtable import MemTable, row_size
from vego.table.opening import OpenFiles
from vego.table.segment import Segment, write_deletes, write_segment
from vego.table.slots import Slots, SlotView
from vego.table.values import dump_metadata, load_metadata
from vego.wal import Delete, Log, Put

DIRECT_ROWS = 1_024  # a batch of so many rows becomes a segment at once instead of passing through the WAL
DIRECT_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class RowSnapshot:
    """The rows as of one moment: arrays in slot order and where each slot's metadata lies.

    `slot_of` is the writer's map from live ids to slots: it may be ahead of `view`, but its slots mean the same.
    """

    version: int
    view: SlotView
    slot_of: Mapping[str, int]
    sources: tuple[tuple[int, Segment | MemTable], ...]  # first slot, rows from there on

    def metadata(self, slot: int) -> dict[str, Any]:
        """The metadata of one slot, as it was inserted."""
        for first, source in reversed(self.sources):
            if slot >= first:
                return source.metadata(slot - first)
        raise IndexError(slot)


class RowStore:
    """See the module docstring. `durable` False leaves the WAL to the operating system's write-back."""

    def __init__(
        self,
        store: Store,
        collection: str,
        files: OpenFiles,
        *,
        garbage: Garbage | None = None,
        durable: bool = True,
    ) -> None:
        manifest = files.manifest
        self._store = store
        self.garbage = garbage or Garbage(store, collection)
        self.collection = collection
        self.manifest = manifest
        self.options = CollectionOptions.of(manifest.options)
        self._slots = Slots(manifest.dimension)
        self._memtable = MemTable()
        self._segments: list[Segment] = []
        self._keys: set[str] = set()
        self._bases: list[int] = []
        self._at_odds = False
        self._stale_deletes: set[int] = set()  # segments whose deletes file lacks a kill
        self._load_segments(files)
        self._memtable_base = self._slots.rows
        self._replay(files.log)
        self._journal = Journal(store, collection, manifest, files.log, durable=durable)
        if not store.read_only:
            self.collect_garbage()
        self._publish()

    # -- opening ---------------------------------------------------------------------------------

    def _load_segments(self, files: OpenFiles) -> None:
        total = files.manifest.rows
        vectors: Vector | None = None
        for segment, deletes in zip(files.segments, files.deletes, strict=True):
            part = segment.vectors()
            if vectors is None:
                vectors = part if len(part) == total else np.empty((total, part.shape[1]), np.float32)
                self._slots.adopt(vectors)
            first = self._slots.rows
            if vectors is not part:
                vectors[first : first + len(part)] = part
            dead = None
            if deletes is not None:
                dead = deletes.mask()
                deletes.close()
            self._slots.append(segment.ids(), None, dead)
            self._segments.append(segment)
            self._bases.append(first)
            self._keys.update(segment.fields)
        if len(self._slots.slot_of) != self._slots.live_count:
            place = f"{self._store.name}/{names.collection_path(self.collection)}"
            raise CorruptionError(place, 0, "an id is live in two rows")

    def _replay(self, log: Log) -> None:
        for batch in log.batches:
            for operation in batch.operations:
                if isinstance(operation, Delete):
                    self._kill([operation.id])
                else:
                    vector, metadata = self._decoded(operation)
                    self._buffer([operation.id], vector, [metadata], [operation.metadata])

    def collect_garbage(self, retention: Retention | None = None) -> Collected:
        """Delete what no kept version needs; `retention` None is that of the options."""
        options = self.options
        usual = Retention(options.retain_versions, options.retain_seconds)
        return self.garbage.collect(self.manifest, retention or usual, log_start=self._journal.first_needed)

    @contextmanager
    def pinned(self) -> Iterator[Manifest]:
        """The newest manifest; none of its files is collected before the block ends."""
        manifest = self.manifest
        with self.garbage.held(manifest.version):
            yield manifest

    def _decoded(self, operation: Put) -> tuple[Vector, dict[str, Any]]:
        where = f"{self._store.name}/{names.wal_directory(self.collection)}"
        vector = np.frombuffer(operation.vector, "<f4")
        if len(vector) != self.manifest.dimension or not np.isfinite(vector).all():
            raise CorruptionError(where, 0, f"document {operation.id!r} has an impossible vector")
        try:
            return vector.reshape(1, -1), load_metadata(operation.metadata)
        except ValueError as error:
            raise CorruptionError(where, 0, f"document {operation.id!r}: {error}") from None

    # -- reading ---------------------------------------------------------------------------------

    def snapshot(self) -> RowSnapshot:
        """What is there now; a finished write is in it, an unfinished one is not."""
        return self._snapshot

    def slot_of(self, name: str) -> int | None:
        """The slot of a live id. Exact only for the writer; a reader checks it against its snapshot."""
        return self._slots.slot_of.get(name)

    @property
    def keys(self) -> set[str]:
        """Every metadata key that has occurred; not to be changed."""
        return self._keys

    @property
    def buffered_bytes(self) -> int:
        """Size of the write buffer."""
        return self._memtable.size

    @property
    def buffered_rows(self) -> int:
        """Rows in the write buffer."""
        return len(self._memtable)

    # -- writing ---------------------------------------------------------------------------------

    def put(self, batch: RowBatch) -> None:
        """Insert or replace `batch`, through the WAL or as a segment; durable and visible when this returns."""
        if len(batch) >= DIRECT_ROWS or batch.vectors.nbytes >= DIRECT_BYTES:
            self._put_segment(batch)
            return
        rows = batch.metadata_rows()
        encoded = [dump_metadata(row) for row in rows]
        if batch.vectors.nbytes + sum(map(len, encoded)) >= DIRECT_BYTES:
            self._put_segment(batch)
            return
        operations = tuple(
            Put(name, vector.tobytes(), text)
            for name, vector, text in zip(batch.ids, batch.vectors, encoded, strict=True)
        )
        with self._whole():
            self._journal.append(operations)
            self._buffer(batch.ids, batch.vectors, rows, encoded)
            self._publish()

    def _put_segment(self, batch: RowBatch) -> None:
        """Insert or replace as a segment of its own, committed at once; for many rows cheaper than the WAL."""
        replaced = [slot for slot in map(self._slots.slot_of.get, batch.ids) if slot is not None]
        with self._whole():
            entries, actions = self._flush_actions(replaced)
            try:
                entry = write_segment(self._store, self.collection, batch)
            except Exception:
                self._discard(entries)
                raise
            self._commit([*actions, AddSegment(entry)], f"insert {len(batch):,} rows", [*entries, entry])
            with self._landed():
                self._add_segment(entry)
                self._slots.append(batch.ids, batch.vectors)
                self._slots.kill(replaced)
                self._memtable_base = self._slots.rows
                self._publish()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete live ids."""
        with self._whole():
            self._journal.append(tuple(Delete(name) for name in ids))
            self._kill(ids)
            self._memtable.size += sum(map(len, ids)) + 64 * len(ids)
            self._publish()

    def flush(self, reason: str, index: IndexEntry | None = None) -> None:
        """Turn the write buffer into a segment and commit, with `index` as the new index where given."""
        with self._whole():
            entries, actions = self._flush_actions([])
            if index is not None:
                actions.append(SetIndex(index))
            if actions:
                self._commit(actions, reason, entries)
                self._publish()

    def commit(self, actions: Sequence[Action], reason: str, *, reopen: bool = False) -> None:
        """Flush the write buffer and commit `actions`, which say nothing of rows: else `reopen`, and only close these.

        Raises as `vego.table.commit.commit` does.
        """
        with self._whole():
            entries, flushed = self._flush_actions([])
            self._commit([*flushed, *actions], reason, entries)
            if reopen:
                self._at_odds = True
                self._journal.close()
            self._publish()

    @property
    def segments(self) -> Sequence[Segment]:
        """The open segments, in slot order; not to be changed."""
        return tuple(self._segments)

    def adopt(self, compaction: Compaction, index: IndexEntry | None, reason: str) -> None:
        """Put the outcome of a compaction in place of the segments it was made from, and flush the write buffer.

        `index` is one over the slots as they are then; without it an index whose slots have moved is gone. Rows that
        died since are dead in the new segments as well. Raises CommitConflictError where a segment is there no more.
        """
        with self._whole():
            runs = [self._run_of(one.files) for one in compaction.rewritten]
            moved = {position for run in runs for position in run}
            entries, actions = self._flush_actions([], without=moved)
            live = self._slots.view().live
            for run, one in zip(runs, compaction.rewritten, strict=True):
                actions.append(ReplaceSegments(one.files, one.entry))
                first = self._bases[run.start]
                kept = compaction.kept[first : first + sum(self._segments[i].rows for i in run)]
                dead = np.flatnonzero(~live[first : first + len(kept)][kept])
                if one.entry is not None and len(dead):
                    deletes = write_deletes(self._store, self.collection, dead)
                    actions.append(SetDeletes(one.entry.file, deletes))
            if index is not None:
                actions.append(SetIndex(index))
            self._commit(actions, reason, entries)
            with self._landed():
                self._reopen_segments()
                if compaction.dropped_rows:
                    kept = np.ones(self._slots.rows, np.bool_)
                    kept[: len(compaction.kept)] = compaction.kept
                    self._slots = self._slots.keeping(kept)
                self._memtable_base = self._slots.rows
                self._publish()

    def _run_of(self, files: Sequence[str]) -> range:
        there = [segment.entry.file for segment in self._segments]
        if files[0] not in there:
            raise CommitConflictError(
                f"collection {self.collection!r}: segment {files[0]} is gone; compact again"
            )
        first = there.index(files[0])
        return range(first, first + len(files))

    def _reopen_segments(self) -> None:
        """Open what the newest manifest names that is not open yet. Old segments live as long as readers need them."""
        there = {segment.entry.file: segment for segment in self._segments}
        dimension = self.manifest.dimension
        self._segments = [
            there.get(entry.file) or Segment(self._store, self.collection, entry, dimension)
            for entry in self.manifest.segments
        ]
        self._bases = np.cumsum([0, *(segment.rows for segment in self._segments)]).tolist()[:-1]

    def close(self) -> None:
        """Seal the log and close every file."""
        try:
            self._journal.close()
        finally:
            for segment in self._segments:
                segment.close()

    # -- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A change of disk and memory. An interrupt inside leaves them at odds: nothing more is written then (I7)."""
        if self._at_odds:
            raise PoisonedError(
                f"collection {self.collection!r}: an earlier write was cut short, so what is on the disk and what is "
                "in memory may differ; close the database and open it again"
            )
        try:
            yield
        except VegoError:
            raise
        except BaseException:
            self._at_odds = True
            raise

    @contextmanager
    def _landed(self) -> Iterator[None]:
        """Follows a commit: whatever goes wrong here, the disk is ahead of memory."""
        try:
            yield
        except BaseException:
            self._at_odds = True
            raise

    def _buffer(
        self,
        ids: Sequence[str],
        vectors: Vector,
        rows: Sequence[dict[str, Any]],
        encoded: Sequence[bytes] | None = None,
    ) -> None:
        replaced = [slot for slot in map(self._slots.slot_of.get, ids) if slot is not None]
        for position, row in enumerate(rows):
            text = encoded[position] if encoded is not None else dump_metadata(row)
            self._memtable.append(row, row_size(vectors[position], text))
            self._keys.update(row)
        self._slots.append(ids, vectors)
        self._kill_slots(replaced)

    def _kill(self, ids: Sequence[str]) -> None:
        self._kill_slots([slot for slot in map(self._slots.slot_of.get, ids) if slot is not None])

    def _kill_slots(self, slots: Sequence[int]) -> None:
        self._slots.kill(slots)
        self._stale_deletes.update(self._segments_of(slots))

    def _segments_of(self, slots: Sequence[int]) -> set[int]:
        if not slots or not self._segments:
            return set()
        inside = np.asarray([slot for slot in slots if slot < self._memtable_base], np.int64)
        return set((np.searchsorted(self._bases, inside, side="right") - 1).tolist())

    def _flush_actions(
        self, replaced: Sequence[int], *, without: Collection[int] = ()
    ) -> tuple[list[SegmentEntry], list[Action]]:
        """The actions that put buffer and deletes into files; `replaced` are slots about to die as well.

        The deletes of the segments at the positions `without` are left to the caller.
        """
        view = self._slots.view()
        dead = ~view.live
        dead[np.asarray(replaced, np.int64)] = True
        actions: list[Action] = []
        entries: list[SegmentEntry] = []
        stale = (self._stale_deletes | self._segments_of(replaced)).difference(without)
        if len(self._memtable):
            first = self._memtable_base
            buffered = RowBatch(view.ids[first:].tolist(), view.vectors[first:], rows=self._memtable.rows())
            entries.append(write_segment(self._store, self.collection, buffered))
            actions.append(AddSegment(entries[0]))
            if dead[first:].any():
                rows = np.flatnonzero(dead[first:])
                actions.append(SetDeletes(entries[0].file, write_deletes(self._store, self.collection, rows)))
        for index in sorted(stale):
            segment = self._segments[index]
            rows = np.flatnonzero(dead[self._bases[index] : self._bases[index] + segment.rows])
            actions.append(SetDeletes(segment.entry.file, write_deletes(self._store, self.collection, rows)))
        journal = self._journal
        if journal.last_lsn != self.manifest.flushed_lsn:
            journal.end()
            actions.append(AdvanceWal(flushed_lsn=journal.last_lsn, first_wal=journal.next_number))
        return entries, actions

    def _commit(self, actions: Sequence[Action], summary: str, entries: Sequence[SegmentEntry]) -> None:
        """Commit, then make memory agree: the buffer is a segment now and its WAL is done with."""
        try:
            self.manifest = commit(self._store, self.collection, self.manifest, actions, summary=summary)
        except CommitConflictError:
            self._discard(entries)
            raise
        with self._landed():
            if len(self._memtable):
                self._add_segment(entries[0])
                self._memtable_base += len(self._memtable)
            self._memtable = MemTable()
            self._stale_deletes.clear()
            self.collect_garbage()

    def _add_segment(self, entry: SegmentEntry) -> None:
        """Open a segment whose rows have the slots from `_memtable_base` on."""
        segment = Segment(self._store, self.collection, entry, self.manifest.dimension)
        self._segments.append(segment)
        self._bases.append(self._memtable_base)
        self._keys.update(segment.fields)

    def _discard(self, entries: Sequence[SegmentEntry]) -> None:
        """Best effort: what stays behind is collected when the database is opened next."""
        for entry in entries:
            try:
                self._store.delete(names.data_path(self.collection, entry.file))
            except StorageError:
                return

    def _publish(self) -> None:
        sources: list[tuple[int, Segment | MemTable]] = list(zip(self._bases, self._segments, strict=True))
        sources.append((self._memtable_base, self._memtable))
        self._snapshot = RowSnapshot(
            self.manifest.version, self._slots.view(), self._slots.slot_of, tuple(sources)
        )
