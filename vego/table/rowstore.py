"""The rows of one collection: manifest, segments, WAL and write buffer, kept as one durable whole.

Write path and invariants I1..I6 are in `vego/DESIGN.md`. One thread at a time may call the methods that
change something (the collection holds a lock); `snapshot()` may be called by any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vego import names
from vego.document import Vector
from vego.errors import (
    ClosedError,
    CommitConflictError,
    CorruptionError,
    StorageError,
    VegoError,
)
from vego.options import DURABLE, CollectionOptions, Durability
from vego.store import Store
from vego.table.agreement import Agreement
from vego.table.batch import RowBatch
from vego.table.commit import (
    Action,
    AddSegment,
    AdvanceWal,
    ReplaceSegments,
    SetDeletes,
    SetIndex,
    commit,
    new_files,
)
from vego.table.compaction import Compaction
from vego.table.garbage import Collected, Garbage, Retention
from vego.table.ids import IdColumn
from vego.table.incoming import Incoming
from vego.table.journal import Journal
from vego.table.manifest import IndexEntry, Manifest, SegmentEntry
from vego.table.memtable import MemTable
from vego.table.opening import OpenFiles
from vego.table.publication import Mark, Publication, RowSnapshot
from vego.table.replay import runs_of, vectors_of
from vego.table.segment import Deletes, Segment, write_deletes, write_segment
from vego.table.slots import Slots
from vego.table.values import dump_metadata
from vego.table.vectors import Chunk
from vego.wal import Log, Put, encode_deletes, encode_puts

DIRECT_ROWS = 1_024  # a batch of so many rows becomes a segment at once instead of passing through the WAL
DIRECT_BYTES = 4_000_000


class RowStore:
    """See the module docstring."""

    def __init__(
        self,
        store: Store,
        collection: str,
        files: OpenFiles,
        *,
        garbage: Garbage | None = None,
        durability: Durability = DURABLE,
        shared: bool = False,
    ) -> None:
        manifest = files.manifest
        self._store = store
        self._shared = shared
        self.garbage = garbage or Garbage(store, collection, shared=shared)
        self.collection = collection
        self.manifest = manifest
        self.options = CollectionOptions.of(manifest.options)
        self._log_place = f"{store.name}/{names.wal_directory(collection)}"
        self._with_norms = manifest.metric == "cosine"
        place = f"{store.name}/{names.collection_path(collection)}"
        slots = Slots(manifest.dimension, with_norms=self._with_norms, place=place)
        lock = RLock()
        self._incoming = Incoming(slots, lock)
        self._memtable = MemTable(self._log_place)
        self._segments: list[Segment] = []
        self._keys: set[str] = set()
        self._bases: list[int] = []
        self._agreement = Agreement(f"collection {collection!r}")
        self._stale_deletes: set[int] = set()  # segments whose deletes file lacks a kill
        self._load_segments(files)
        self._memtable_base = self._slots.rows
        log = files.log
        if shared:
            # Nothing is in it: who shares first flushes it, alone. What is left of it is for the version before.
            assert not log.batches
            log = replace(log, segments=())
        self._replay(log)
        self._journal = Journal(store, collection, manifest, log, durability)
        if not store.read_only:
            self.collect_garbage()
        self.publication = Publication(self._capture(), self._capture, lock)

    # -- opening ---------------------------------------------------------------------------------

    def _load_segments(self, files: OpenFiles) -> None:
        for segment, deletes in zip(files.segments, files.deletes, strict=True):
            dead = None
            if deletes is not None:
                dead = deletes.mask()
                deletes.close()
            self._bases.append(self._slots.rows)
            self._slots.append_opened(*self._content(segment), dead)
            self._segments.append(segment)
            self._keys.update(segment.fields)

    def _content(self, segment: Segment) -> tuple[Sequence[Chunk], IdColumn]:
        """Vectors and ids of a segment as slots take them."""
        return segment.chunks(with_norms=self._with_norms), segment.id_column

    def _replay(self, log: Log) -> None:
        for puts, deleted in runs_of(log, DIRECT_ROWS):
            if puts:
                self._replay_puts(puts)
            if deleted is not None:
                self._kill([deleted])

    def _replay_puts(self, puts: Mapping[str, Put]) -> None:
        try:
            vectors = vectors_of(puts, self.manifest.dimension)
        except ValueError as error:
            raise CorruptionError(self._log_place, 0, str(error)) from None
        ids = list(puts)
        replaced = self._slots_of(ids)
        size = vectors.nbytes + sum(len(put.metadata) for put in puts.values())
        self._memtable.extend_from_log([(put.id, put.metadata) for put in puts.values()], size)
        self._slots.append(ids, vectors)
        self._kill_slots(replaced)

    def collect_garbage(self, retention: Retention | None = None) -> Collected:
        """Delete what no kept version needs; `retention` None is that of the options."""
        options = self.options
        usual = Retention(options.retain_versions, options.retain_seconds)
        return self.garbage.collect(self.manifest, retention or usual, superseded=self._journal.superseded)

    @contextmanager
    def pinned(self) -> Iterator[Manifest]:
        """The newest manifest; none of its files is collected before the block ends."""
        manifest = self.manifest
        with self.garbage.held(manifest.version):
            yield manifest

    # -- reading ---------------------------------------------------------------------------------

    def snapshot(self) -> RowSnapshot:
        """What is there now; a finished write is in it, an unfinished one is not."""
        return self.publication.snapshot

    def find(self, name: str) -> tuple[RowSnapshot, int] | None:
        """What readers see, and the slot in it of a document; None if there is none. Any thread may call it."""
        return self.publication.find(name)

    def slot_of(self, name: str) -> int | None:
        """The slot of a live id as the writer sees it, in `newest`."""
        return self._incoming.slot_of.get(name)

    def newest(self) -> RowSnapshot:
        """What the writer sees, writes that are not durable yet included."""
        return self._capture()

    @property
    def keys(self) -> set[str]:
        """Every metadata key that has occurred; not to be changed. CorruptionError where the log makes no sense."""
        memtable = self._memtable
        if memtable.unread:
            self._keys.update(*memtable.rows())
        return self._keys

    @property
    def known_keys(self) -> set[str]:
        """Metadata keys that have occurred, perhaps without those of rows read from the log; not to be changed."""
        return self._keys

    @property
    def slots(self) -> int:
        """How many slots there are, those of writes that are not durable yet included."""
        return self._incoming.count

    @property
    def buffered_bytes(self) -> int:
        """Size of the write buffer."""
        return self._memtable.size

    # -- writing ---------------------------------------------------------------------------------

    def put(self, batch: RowBatch, deleted: Sequence[str] = ()) -> None:
        """Insert or replace `batch`, through the WAL or as a segment; durable and visible after `wait`.

        Live ids `deleted`, none of them in the batch, go in the same moment.
        """
        count, size = len(batch.ids), batch.vectors.nbytes
        if self._shared or count >= DIRECT_ROWS or size >= DIRECT_BYTES:
            self._put_segment(batch, deleted)
            return
        rows = batch.metadata_rows()
        encoded = [dump_metadata(row) for row in rows] if batch.encoded is None else batch.encoded
        size += sum(map(len, encoded))
        if size >= DIRECT_BYTES:
            self._put_segment(batch, deleted)
            return
        payload = encode_puts(batch.ids, batch.vectors, encoded, deleted)
        self._agreement.check()
        try:
            lsn = self._journal.append(payload, count + len(deleted))
            with self.publication.lock:
                if count == 1 and not deleted and batch.ids[0] not in self._incoming.slot_of:
                    self._put_new(lsn, batch, size)
                    return
                touched = self._take([*batch.ids, *deleted] if deleted else batch.ids)
                self._buffer(batch.ids, batch.vectors, rows, size)
                if deleted:
                    self._bury(deleted)
                self._enter(lsn, touched)
        except VegoError:
            raise
        except BaseException:  # as in `whole`, of which this is the fast form
            self._agreement.broken()
            raise

    def _put_new(self, lsn: int, batch: RowBatch, size: int) -> None:
        """One row of an id that is not live. It enters the slots with others, when somebody looks at them."""
        rows = batch.metadata_rows()
        self._memtable.extend(rows, size)
        if not self._keys.issuperset(rows[0]):
            self._keys.update(rows[0])
        shown = Mark(*self._incoming.add(batch.ids[0], batch.vectors))
        if self._journal.waits:
            self.publication.wait(lsn, shown, [])
        else:
            self.publication.show(shown)

    @property
    def _slots(self) -> Slots:
        """The slots, with all rows in them."""
        return self._incoming.slots()

    def _put_segment(self, batch: RowBatch, deleted: Sequence[str] = ()) -> None:
        """Insert or replace as a segment of its own, committed at once; for many rows cheaper than the WAL."""
        replaced = self._slots_of([*batch.ids, *deleted])
        with self._agreement.whole():
            flushed, actions = self._flush_actions(replaced)
            try:
                entry = write_segment(self._store, self.collection, batch)
            except Exception:
                self._discard(new_files(self.collection, actions))
                raise
            self._commit([*actions, AddSegment(entry)], f"insert {len(batch):,} rows", flushed)
            with self._agreement.landed(), self.publication.lock:
                segment = self._add_segment(entry)
                self._slots.append_written(batch.ids, *self._content(segment))
                self._slots.kill(replaced)
                self._memtable_base = self._slots.rows
                self._publish()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete live ids; durable and visible after `wait`."""
        if self._shared:
            self._delete_committed(ids)
            return
        payload = encode_deletes(ids)
        with self._agreement.whole():
            lsn = self._journal.append(payload, len(ids))
            with self.publication.lock:
                touched = self._take(ids)
                self._bury(ids)
                self._enter(lsn, touched)

    @property
    def last_lsn(self) -> int:
        """What to `wait` for: the number of the last write."""
        return self._journal.last_lsn

    def wait(self, lsn: int) -> None:
        """Return once every write up to `lsn` is durable and visible, unless the collection is not to be durable.

        Needs no lock. Raises CommitUncertainError where a sync failed; nothing of what it covered becomes visible.
        """
        if self._journal.waits:
            self._journal.wait(lsn)
            self.publication.show_through(lsn)

    def _delete_committed(self, ids: Sequence[str]) -> None:
        """Delete without the log, which several processes cannot write."""
        slots = [self._slots.slot_of[name] for name in ids]
        with self._agreement.whole():
            flushed, actions = self._flush_actions(slots)
            self._commit(actions, f"delete {len(ids):,} rows", flushed)
            with self._agreement.landed(), self.publication.lock:
                self._slots.kill(slots)
                self._publish()

    def advance(self, manifest: Manifest) -> bool:
        """Show a later version, which another process committed.

        That is possible where it only adds segments and deletes rows, and slots keep their numbers; else nothing is
        done and False returned. Raises NotFoundError where a file has been collected meanwhile, CorruptionError.
        """
        old, new = self.manifest.segments, manifest.segments
        if [entry.file for entry in new[: len(old)]] != [entry.file for entry in old] or len(self._memtable):
            return False
        live, killed = self._slots.view().live, list[int]()
        for first, entry, before in zip(self._bases, new, old, strict=False):
            if entry.deletes != before.deletes:
                dead = self._mask(entry)
                here = live[first : first + entry.rows]
                if not (here | dead).all():
                    return (
                        False  # a row that was dead is alive: the collection went back to an earlier version
                    )
                killed += (np.flatnonzero(here & dead) + first).tolist()
        dimension = self.manifest.dimension
        added = [
            (Segment(self._store, self.collection, entry, dimension), self._mask(entry))
            for entry in new[len(old) :]
        ]
        with self._agreement.whole(), self._agreement.landed(), self.publication.lock:
            self._slots.kill(killed)
            for segment, dead in added:
                self._segments.append(segment)
                self._bases.append(self._slots.rows)
                self._keys.update(segment.fields)
                self._slots.append_opened(*self._content(segment), dead)
            self._memtable_base = self._slots.rows
            self.manifest = manifest
            self.options = CollectionOptions.of(manifest.options)
            self._publish()
        return True

    def _mask(self, entry: SegmentEntry) -> NDArray[np.bool_]:
        """The dead rows of a segment by its newest deletes file."""
        if entry.deletes is None:
            return np.zeros(entry.rows, np.bool_)
        deletes = Deletes(self._store, self.collection, entry.deletes, entry.rows)
        try:
            return deletes.mask()
        finally:
            deletes.close()

    def flush(self, reason: str, index: IndexEntry | None = None) -> None:
        """Turn the write buffer into a segment and commit, with `index` as the new index where given."""
        with self._agreement.whole():
            flushed, actions = self._flush_actions([])
            if index is not None:
                actions.append(SetIndex(index))
            if actions:
                self._commit(actions, reason, flushed)
                self._publish()

    def commit(self, actions: Sequence[Action], reason: str, *, reopen: bool = False) -> None:
        """Flush the write buffer and commit `actions`, which say nothing of rows: else `reopen`, and only close these.

        Raises as `vego.table.commit.commit` does.
        """
        with self._agreement.whole():
            flushed, first = self._flush_actions([])
            self._commit([*first, *actions], reason, flushed)
            if reopen:
                what = "went back to an earlier version meanwhile; nothing was changed, compact again"
                self._agreement.end(CommitConflictError, f"collection {self.collection!r} {what}")
                self._journal.close()
            self._publish()

    @property
    def segments(self) -> Sequence[Segment]:
        """The open segments, in slot order; not to be changed."""
        return tuple(self._segments)

    def adopt(
        self, compaction: Compaction, index: IndexEntry | None, reason: str, shown: Callable[[], None]
    ) -> None:
        """Put the outcome of a compaction in place of the segments it was made from, and flush the write buffer.

        `index` is one over the slots as they are then; without it an index whose slots have moved is gone. Rows that
        died since are dead in the new segments as well. `shown` is called at the moment at which readers get the new
        slots. Raises CommitConflictError where a segment is there no more.
        """
        with self._agreement.whole():
            runs = [self._run_of(one.files) for one in compaction.rewritten]
            moved = {position for run in runs for position in run}
            flushed, actions = self._flush_actions([], without=moved)
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
            self._commit(actions, reason, flushed)
            with self._agreement.landed():
                self._reopen_segments()
                mask = None
                if compaction.dropped_rows:
                    mask = np.ones(self._slots.rows, np.bool_)
                    mask[: len(compaction.kept)] = compaction.kept
                slots = self._slots.rewritten([self._content(segment) for segment in self._segments], mask)
                with self.publication.lock:
                    self._incoming.replace(slots)
                    self._memtable_base = slots.rows
                    self._publish()
                    shown()

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
        self._agreement.end(ClosedError, f"collection {self.collection!r} is closed; open the database again")
        try:
            self._journal.close()
        finally:
            for segment in self._segments:
                segment.close()

    # -- inside ----------------------------------------------------------------------------------

    def _take(self, ids: Sequence[str]) -> list[str]:
        """Say that a write is about to take the slots of `ids`, where readers still find them; those that have one."""
        slot_of = self._incoming.slot_of
        touched = [name for name in ids if name in slot_of]
        if touched:
            self.publication.settle()
            if self._journal.waits:
                self.publication.take(touched, slot_of)
        return touched

    def _enter(self, lsn: int, touched: list[str]) -> None:
        """A write is in slots and buffer; `touched` is what `_take` returned."""
        slots = self._slots
        shown = self._capture() if touched else Mark(slots.rows, slots.live_count)
        if self._journal.waits:
            self.publication.wait(lsn, shown, touched)
        else:
            self.publication.show(shown)

    def _buffer(self, ids: Sequence[str], vectors: Vector, rows: Sequence[dict[str, Any]], size: int) -> None:
        replaced = self._slots_of(ids)
        self._memtable.extend(rows, size)
        for row in rows:
            if not self._keys.issuperset(row):
                self._keys.update(row)
        self._slots.append(ids, vectors)
        self._kill_slots(replaced)

    def _slots_of(self, ids: Sequence[str]) -> list[int]:
        """The slots of those ids that are live."""
        return [slot for slot in map(self._slots.slot_of.get, ids) if slot is not None]

    def _kill(self, ids: Sequence[str]) -> None:
        self._kill_slots(self._slots_of(ids))

    def _bury(self, ids: Sequence[str]) -> None:
        """A delete that is in the log."""
        self._kill(ids)
        self._memtable.note_deletes(ids)

    def _kill_slots(self, slots: Sequence[int]) -> None:
        if not slots:
            return
        self._slots.kill(slots)
        self._stale_deletes.update(self._segments_of(slots))

    def _segments_of(self, slots: Sequence[int]) -> set[int]:
        if not slots or not self._segments:
            return set()
        inside = np.asarray([slot for slot in slots if slot < self._memtable_base], np.int64)
        return set((np.searchsorted(self._bases, inside, side="right") - 1).tolist())

    def _flush_actions(
        self, replaced: Sequence[int], *, without: Collection[int] = ()
    ) -> tuple[SegmentEntry | None, list[Action]]:
        """The segment that the buffer became, and the actions that put it and the deletes into files.

        `replaced` are slots about to die as well. The deletes of the segments at the positions `without` are left to
        the caller.
        """
        self.publication.settle()
        view = self._slots.view()
        dead = ~view.live
        dead[np.asarray(replaced, np.int64)] = True
        actions: list[Action] = []
        flushed = None
        stale = (self._stale_deletes | self._segments_of(replaced)).difference(without)
        if len(self._memtable):
            first = self._memtable_base
            buffered = RowBatch(*self._slots.buffered(), rows=self._memtable.rows())
            flushed = write_segment(self._store, self.collection, buffered)
            actions.append(AddSegment(flushed))
            if dead[first:].any():
                rows = np.flatnonzero(dead[first:])
                actions.append(SetDeletes(flushed.file, write_deletes(self._store, self.collection, rows)))
        for index in sorted(stale):
            segment = self._segments[index]
            rows = np.flatnonzero(dead[self._bases[index] : self._bases[index] + segment.rows])
            actions.append(SetDeletes(segment.entry.file, write_deletes(self._store, self.collection, rows)))
        journal = self._journal
        if journal.last_lsn != self.manifest.flushed_lsn:
            journal.end()
            actions.append(AdvanceWal(flushed_lsn=journal.last_lsn, first_wal=journal.next_number))
        return flushed, actions

    def _commit(self, actions: Sequence[Action], summary: str, flushed: SegmentEntry | None) -> None:
        """Commit, then make memory agree: the buffer is the segment `flushed` now and its WAL is done with."""
        try:
            self.manifest = commit(
                self._store, self.collection, self.manifest, actions, summary=summary, shared=self._shared,
                after_us=self._journal.time_us,
            )  # fmt: skip
            self._journal.time_us = self.manifest.created_us
        except CommitConflictError:
            self._discard(new_files(self.collection, actions))
            raise
        with self._agreement.landed():
            if flushed is not None:
                segment = self._add_segment(flushed)
                with self.publication.lock:
                    self._slots.freeze(*self._content(segment))
                self._memtable_base += len(self._memtable)
            self._memtable = MemTable(self._log_place)
            self._stale_deletes.clear()
            self.collect_garbage()

    def _add_segment(self, entry: SegmentEntry) -> Segment:
        """Open a segment whose rows have the slots from `_memtable_base` on."""
        segment = Segment(self._store, self.collection, entry, self.manifest.dimension)
        self._segments.append(segment)
        self._bases.append(self._memtable_base)
        self._keys.update(segment.fields)
        return segment

    def _discard(self, paths: Sequence[str]) -> None:
        """Best effort: what stays behind is collected when the database is opened next."""
        for path in paths:
            try:
                self._store.delete(path)
            except StorageError:
                return

    def _publish(self) -> None:
        """Show everything there is; what is not durable yet becomes so first (I1)."""
        self.wait(self.last_lsn)
        self.publication.show(self._capture())

    def _capture(self, mark: Mark | None = None) -> RowSnapshot:
        """What is there, or was when the mark was made: only rows have been added since."""
        view = self._slots.view() if mark is None else self._slots.view(mark.rows, mark.live_count)
        sources: list[tuple[int, Segment | MemTable]] = list(zip(self._bases, self._segments, strict=True))
        sources.append((self._memtable_base, self._memtable))
        return RowSnapshot(self.manifest.version, view, self._slots.slot_of, tuple(sources))
