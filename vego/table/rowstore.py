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

from vego import names
from vego.document import Vector
from vego.errors import (
    ClosedError,
    CommitConflictError,
    CorruptionError,
    StorageError,
)
from vego.options import DURABLE, CollectionOptions, Durability
from vego.store import Store
from vego.table.agreement import Agreement
from vego.table.batch import RowBatch
from vego.table.commit import (
    Action,
    AddSegment,
    AdvanceWal,
    DropPartition,
    ReplaceSegments,
    SetDeletes,
    SetIndex,
    commit,
    new_files,
)
from vego.table.compaction import Compaction
from vego.table.garbage import Collected, Garbage, Retention
from vego.table.hole import dead_rows
from vego.table.incoming import Incoming
from vego.table.journal import Journal
from vego.table.layout import Layout
from vego.table.manifest import IndexEntry, Manifest, SegmentEntry
from vego.table.memtable import MemTable
from vego.table.opening import OpenFiles
from vego.table.partition import Partition
from vego.table.partitioned import (
    LEAST_SHARE,
    MOST_BUFFERED,
    Partitions,
    Written,
    in_order,
    write_buffer,
    write_rows,
)
from vego.table.publication import Mark, Publication
from vego.table.replay import runs_of, vectors_of
from vego.table.segment import Segment, write_deletes
from vego.table.slots import Slots
from vego.table.snapshot import RowSnapshot
from vego.table.values import dump_metadata
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
        place = f"{store.name}/{names.collection_path(collection)}"
        slots = Slots(manifest.vectors, with_norms=manifest.metric == "cosine", place=place)
        lock = RLock()
        self._incoming = Incoming(slots, lock)
        self._memtable = MemTable(self._log_place)
        key = self.options.partition_by
        self._partitions = None if key is None else Partitions(key, collection)
        self._layout = Layout(store, collection, manifest)
        self._keys: set[str] = set()
        self._agreement = Agreement(f"collection {collection!r}")
        self._numbering = object()
        self._load_segments(files)
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
            dead = np.ones(segment.rows, np.bool_) if segment.entry.dropped else None
            if deletes is not None:
                dead = deletes.mask()
                deletes.close()
            self._slots.append_opened(*self._layout.content(segment), dead)
            self._layout.append(segment)
            self._keys.update(segment.fields)

    def _replay(self, log: Log) -> None:
        for puts, deleted in runs_of(log, DIRECT_ROWS):
            if puts:
                self._replay_puts(puts)
            if deleted is not None:
                self._kill([deleted])

    def _replay_puts(self, puts: Mapping[str, Put]) -> None:
        try:
            vectors = vectors_of(puts, self.manifest.vectors)
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
    def flushed_slots(self) -> int:
        """How many slots segments have; those of the write buffer come behind them."""
        return self._layout.rows

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
        most = DIRECT_BYTES if count < DIRECT_ROWS and size < DIRECT_BYTES else 0
        if self._partitions is not None:
            most = self._most_buffered(self._partitions, batch, most)
        if self._shared or size >= most:
            self._put_segment(batch, deleted)
            return
        rows = batch.metadata_rows()
        encoded = [dump_metadata(row) for row in rows] if batch.encoded is None else batch.encoded
        size += sum(map(len, encoded))
        if size >= most:
            self._put_segment(batch, deleted)
            return
        payload = encode_puts(batch.ids, batch.vectors, encoded, deleted)
        self._agreement.check()
        lsn = 0
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
        except BaseException as error:
            self._agreement.cut_short(error, logged=lsn > 0)
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

    def _most_buffered(self, partitions: Partitions, batch: RowBatch, usual: int) -> int:
        """From how many bytes on a batch is not for the write buffer; 0 where it has too many rows for that."""
        shares = partitions.admitted(batch, self._layout.segments, self._memtable)
        small = len(batch) < LEAST_SHARE * len(shares.partitions)
        return min(self.options.flush_bytes, MOST_BUFFERED) if small else usual

    @property
    def _slots(self) -> Slots:
        """The slots, with all rows in them."""
        return self._incoming.slots()

    def _put_segment(self, batch: RowBatch, deleted: Sequence[str] = ()) -> None:
        """Insert or replace as segments of its own, committed at once; for many rows cheaper than the WAL."""
        replaced = self._slots_of([*batch.ids, *deleted])
        with self._agreement.whole():
            flushed, actions = self._flush_actions(replaced)
            try:
                written = write_rows(self._store, self.collection, batch, self.options.partition_by)
            except Exception:
                self._discard(new_files(self.collection, actions))
                raise
            actions += [AddSegment(entry) for entry in written.entries]
            self._commit(actions, f"insert {len(batch):,} rows", flushed)
            with self._agreement.landed(), self.publication.lock:
                if flushed is not None and flushed.order is not None:  # it has moved some of them
                    replaced = self._slots_of([*batch.ids, *deleted])
                ids, first = in_order(written, batch.ids), 0
                # All is read before anything is changed, so that readers go on where that fails.
                for chunks, column in [self._layout.content(one) for one in self._add_segments(written)]:
                    stop = first + column.rows
                    self._slots.append_written(ids[first:stop], chunks, column)
                    first = stop
                self._slots.kill(replaced)
                self._publish()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete live ids; durable and visible after `wait`."""
        if self._shared:
            self._delete_committed(ids)
            return
        payload = encode_deletes(ids)
        self._agreement.check()
        lsn = 0
        try:
            lsn = self._journal.append(payload, len(ids))
            with self.publication.lock:
                touched = self._take(ids)
                self._bury(ids)
                self._enter(lsn, touched)
        except BaseException as error:
            self._agreement.cut_short(error, logged=lsn > 0)
            raise

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
        layout = self._layout
        live, killed = self._slots.view().live, [np.empty(0, np.int64)]
        for first, entry, before in zip(layout.bases, new, old, strict=False):
            if entry.deletes != before.deletes or entry.dropped != before.dropped:
                dead = dead_rows(self._store, self.collection, entry)
                here = live[first : first + entry.rows]
                if not (here | dead).all():
                    return (
                        False  # a row that was dead is alive: the collection went back to an earlier version
                    )
                killed.append(np.flatnonzero(here & dead) + first)
        opened = [layout.opened(entry) for entry in new[len(old) :]]
        added = [
            (segment, layout.content(segment), dead_rows(self._store, self.collection, segment.entry))
            for segment in opened
        ]
        with self._agreement.whole(), self._agreement.landed(), self.publication.lock:
            if any(entry.dropped != before.dropped for entry, before in zip(new, old, strict=False)):
                self._slots.kill_many(np.concatenate(killed))
                self._close_dropped(new[: len(old)])
            else:
                self._slots.kill(np.concatenate(killed).tolist())
            for segment, content, dead in added:
                layout.append(segment)
                self._keys.update(segment.fields)
                self._slots.append_opened(*content, dead)
            self.manifest = manifest
            self.options = CollectionOptions.of(manifest.options)
            self._publish()
        return True

    def flush(self, reason: str, index: IndexEntry | None = None) -> None:
        """Turn the write buffer into a segment and commit, with `index` as the new index where given."""
        with self._agreement.whole():
            flushed, actions = self._flush_actions([])
            if index is not None:
                actions.append(SetIndex(index))
            if actions:
                self._commit(actions, reason, flushed)
                self._publish()

    def drop_partition(self, partition: Partition) -> int:
        """Drop the documents of a partition in one commit that touches no row on disk; how many there were."""
        self.flush("flush")
        positions = [
            position
            for position, entry in enumerate(self.manifest.segments)
            if entry.partition == partition and not entry.dropped
        ]
        if not positions:
            return 0
        with self._agreement.whole():
            self._commit([DropPartition(partition)], f"drop partition {partition}", None)
            with self._agreement.landed(), self.publication.lock:
                live, parts = self._slots.view().live, map(self._layout.slots_of, positions)
                gone = np.concatenate([np.flatnonzero(live[part]) + part.start for part in parts])
                self._slots.kill_many(gone)
                self._close_dropped(self.manifest.segments)
                self._publish()
        return len(gone)

    def _close_dropped(self, entries: Sequence[SegmentEntry]) -> None:
        """Segments that `entries` say were dropped, all their rows dead, are held by readers only from now on."""
        self._layout.reopen(entries)
        self._incoming.replace(self._slots.rewritten(self._layout.contents()))

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
        """The open segments, in slot order: those of the manifest; not to be changed.

        Raises as a write does where they are no longer, as after going back to an earlier version.
        """
        self._agreement.check()
        return tuple(self._layout.segments)

    def adopt(
        self, compaction: Compaction, index: IndexEntry | None, reason: str, shown: Callable[[], None]
    ) -> None:
        """Put the outcome of a compaction in place of the segments it was made from, and flush the write buffer.

        `index` is one over the slots as they are then; without it an index whose slots have moved is gone. Rows that
        died since are dead in the new segments as well. `shown` is called at the moment at which readers get the new
        slots. Raises CommitConflictError where a segment is there no more.
        """
        with self._agreement.whole():
            layout = self._layout
            runs = [layout.positions_of(one.files) for one in compaction.rewritten]
            moved = {position for run in runs for position in run}
            flushed, actions = self._flush_actions([], without=moved)
            live = self._slots.view().live
            for run, one in zip(runs, compaction.rewritten, strict=True):
                actions.append(ReplaceSegments(one.files, one.entry))
                parts = [layout.slots_of(position) for position in run]
                dead = np.flatnonzero(~np.concatenate([live[part][compaction.kept[part]] for part in parts]))
                if one.entry is not None and len(dead):
                    deletes = write_deletes(self._store, self.collection, dead)
                    actions.append(SetDeletes(one.entry.file, deletes))
            if index is not None:
                actions.append(SetIndex(index))
            self._commit(actions, reason, flushed)
            with self._agreement.landed():
                layout.reopen(self.manifest.segments)
                order = None
                if compaction.moves_slots:
                    behind = np.arange(len(compaction.kept), self._slots.rows)
                    order = np.concatenate([compaction.in_order(), behind])
                    self._numbering = object()
                slots = self._slots.rewritten(layout.contents(), order)
                with self.publication.lock:
                    self._incoming.replace(slots)
                    self._publish()
                    shown()

    def close(self) -> None:
        """Seal the log and close every file."""
        self._agreement.end(ClosedError, f"collection {self.collection!r} is closed; open the database again")
        try:
            self._journal.close()
        finally:
            self._layout.close()

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
        self._layout.stale.update(self._layout.containing(slots))

    def _flush_actions(
        self, replaced: Sequence[int], *, without: Collection[int] = ()
    ) -> tuple[Written | None, list[Action]]:
        """The segments that the buffer became, and the actions that put them and the deletes into files.

        `replaced` are slots about to die as well. The deletes of the segments at the positions `without` are left to
        the caller.
        """
        self.publication.settle()
        layout, live = self._layout, self._slots.view().live.copy()
        live[np.asarray(replaced, np.int64)] = False
        actions: list[Action] = []
        flushed = None
        stale = (layout.stale | layout.containing(replaced)).difference(without)
        if len(self._memtable):
            buffered = RowBatch(*self._slots.buffered(), rows=self._memtable.rows())
            dead, key = ~live[layout.rows :], self.options.partition_by
            flushed, actions = write_buffer(self._store, self.collection, buffered, dead, key)
        for position in sorted(stale):
            deletes = write_deletes(self._store, self.collection, layout.dead_rows(position, live))
            actions.append(SetDeletes(layout.segments[position].entry.file, deletes))
        journal = self._journal
        if journal.last_lsn != self.manifest.flushed_lsn:
            journal.end()
            actions.append(AdvanceWal(flushed_lsn=journal.last_lsn, first_wal=journal.next_number))
        return flushed, actions

    def _commit(self, actions: Sequence[Action], summary: str, flushed: Written | None) -> None:
        """Commit, then make memory agree: the buffer is the segments `flushed` now and its WAL is done with."""
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
                contents = [self._layout.content(segment) for segment in self._add_segments(flushed)]
                with self.publication.lock:
                    self._incoming.replace(self._slots.freeze(contents, flushed.order))
            self._memtable = MemTable(self._log_place)
            self._layout.stale.clear()
            self.collect_garbage()

    def _add_segments(self, written: Written) -> list[Segment]:
        """Open segments whose rows have the slots behind those of all others."""
        found = self._layout.append_opened(written.entries)
        for segment in found:
            self._keys.update(segment.fields)
        return found

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
        sources = self._layout.sources(self._memtable)
        return RowSnapshot(self.manifest.version, view, self._slots.slot_of, sources, self._numbering)
