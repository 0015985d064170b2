"""The rows of one collection: manifest, segments, WAL and write buffer, kept as one durable whole.

Write path and invariants I1..I6 are in `vego/DESIGN.md`. One thread at a time may call the methods that
change something (the collection holds a lock); `snapshot()` may be called by any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from vego import names
from vego.document import Vector
from vego.errors import (
    ClosedError,
    CommitConflictError,
    CorruptionError,
    PoisonedError,
    StorageError,
    VegoError,
)
from vego.options import DURABLE, CollectionOptions, Durability
from vego.store import Store
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
from vego.table.hole import dead_rows, open_segment
from vego.table.journal import Journal
from vego.table.manifest import IndexEntry, Manifest
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
from vego.table.publication import Publication
from vego.table.replay import replayed
from vego.table.segment import Segment, write_deletes
from vego.table.slots import Slots
from vego.table.snapshot import RowSnapshot
from vego.table.values import dump_metadata
from vego.wal import Log, encode_deletes, encode_puts

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
        self._slots = Slots(manifest.dimension)
        self._memtable = MemTable()
        key = self.options.partition_by
        self._partitions = None if key is None else Partitions(key, collection)
        self._segments: list[Segment] = []
        self._keys: set[str] = set()
        self._bases: list[int] = []
        self._at_odds = False
        self._ended: tuple[type[VegoError], str] | None = None  # why nothing more is done here, in good order
        self._stale_deletes: set[int] = set()  # segments whose deletes file lacks a kill
        self._numbering = object()
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
        self.publication = Publication(self._capture())

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
            dead = np.ones(segment.rows, np.bool_) if segment.entry.dropped else None
            if deletes is not None:
                dead = deletes.mask()
                deletes.close()
            self._slots.append(segment.ids(), None, dead)
            self._segments.append(segment)
            self._bases.append(first)
            self._keys.update(segment.fields)
        self._check_ids()

    def _check_ids(self) -> None:
        if len(self._slots.slot_of) != self._slots.live_count:
            place = f"{self._store.name}/{names.collection_path(self.collection)}"
            raise CorruptionError(place, 0, "an id is live in two rows")

    def _replay(self, log: Log) -> None:
        place = f"{self._store.name}/{names.wal_directory(self.collection)}"
        for change in replayed(log, self.manifest.dimension, place):
            if isinstance(change, str):
                self._kill([change])
            else:
                batch, size = change
                self._buffer(batch.ids, batch.vectors, batch.metadata_rows(), size)

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

    # -- reading ---------------------------------------------------------------------------------

    def snapshot(self) -> RowSnapshot:
        """What is there now; a finished write is in it, an unfinished one is not."""
        return self.publication.snapshot

    def find(self, name: str) -> tuple[RowSnapshot, int] | None:
        """What readers see, and the slot in it of a document; None if there is none. Any thread may call it."""
        return self.publication.find(name)

    def slot_of(self, name: str) -> int | None:
        """The slot of a live id as the writer sees it, in `newest`."""
        return self._slots.slot_of.get(name)

    def newest(self) -> RowSnapshot:
        """What the writer sees, writes that are not durable yet included."""
        return self._capture()

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

    def put(self, batch: RowBatch, deleted: Sequence[str] = ()) -> None:
        """Insert or replace `batch`, through the WAL or as a segment; durable and visible after `wait`.

        Live ids `deleted`, none of them in the batch, go in the same moment.
        """
        most = self._most_buffered(batch)
        if self._shared or batch.vectors.nbytes >= most:
            self._put_segment(batch, deleted)
            return
        rows = batch.metadata_rows()
        encoded = [dump_metadata(row) for row in rows]
        size = batch.vectors.nbytes + sum(map(len, encoded))
        if size >= most:
            self._put_segment(batch, deleted)
            return
        payload = encode_puts(batch.ids, batch.vectors, encoded, deleted)
        with self._whole():
            lsn = self._journal.append(payload, len(batch) + len(deleted))
            with self.publication.lock:
                touched = self._take([*batch.ids, *deleted] if deleted else batch.ids)
                self._buffer(batch.ids, batch.vectors, rows, size)
                if deleted:
                    self._bury(deleted)
                self._enter(lsn, touched)

    def _most_buffered(self, batch: RowBatch) -> int:
        """From how many bytes on a batch is not for the write buffer; 0 where it has too many rows for that."""
        large = len(batch) >= DIRECT_ROWS or batch.vectors.nbytes >= DIRECT_BYTES
        if self._partitions is not None:
            shares = self._partitions.admitted(batch, self._segments, self._memtable)
            if len(batch) < LEAST_SHARE * len(shares.partitions):
                return min(self.options.flush_bytes, MOST_BUFFERED)
        return 0 if large else DIRECT_BYTES

    def _put_segment(self, batch: RowBatch, deleted: Sequence[str] = ()) -> None:
        """Insert or replace as segments of its own, committed at once; for many rows cheaper than the WAL."""
        replaced = self._slots_of([*batch.ids, *deleted])
        with self._whole():
            flushed, actions = self._flush_actions(replaced)
            try:
                written = write_rows(self._store, self.collection, batch, self.options.partition_by)
            except Exception:
                self._discard(new_files(self.collection, actions))
                raise
            actions += [AddSegment(entry) for entry in written.entries]
            self._commit(actions, f"insert {len(batch):,} rows", flushed)
            with self._landed(), self.publication.lock:
                replaced = self._slots_of([*batch.ids, *deleted])  # the flush may have moved them
                self._add_segments(written)
                self._slots.append(*in_order(written, batch))
                self._slots.kill(replaced)
                self._publish()

    def delete(self, ids: Sequence[str]) -> None:
        """Delete live ids; durable and visible after `wait`."""
        if self._shared:
            self._delete_committed(ids)
            return
        payload = encode_deletes(ids)
        with self._whole():
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
        with self._whole():
            flushed, actions = self._flush_actions(slots)
            self._commit(actions, f"delete {len(ids):,} rows", flushed)
            with self._landed(), self.publication.lock:
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
            if entry.deletes != before.deletes or entry.dropped != before.dropped:
                dead = dead_rows(self._store, self.collection, entry)
                here = live[first : first + entry.rows]
                if not (here | dead).all():
                    return (
                        False  # a row that was dead is alive: the collection went back to an earlier version
                    )
                killed += (np.flatnonzero(here & dead) + first).tolist()
        place, dimension = (self._store, self.collection), self.manifest.dimension
        added = [
            (open_segment(*place, entry, dimension), dead_rows(*place, entry)) for entry in new[len(old) :]
        ]
        with self._whole(), self._landed(), self.publication.lock:
            self._slots.kill(killed)
            self._segments = [
                open_segment(*place, entry, dimension) if entry.dropped else segment
                for entry, segment in zip(new, self._segments, strict=False)
            ]
            for segment, dead in added:
                self._segments.append(segment)
                self._bases.append(self._slots.rows)
                self._keys.update(segment.fields)
                self._slots.append(segment.ids(), segment.vectors(), dead)
            self._memtable_base = self._slots.rows
            self.manifest = manifest
            self.options = CollectionOptions.of(manifest.options)
            self._check_ids()
            self._publish()
        return True

    def flush(self, reason: str, index: IndexEntry | None = None) -> None:
        """Turn the write buffer into a segment and commit, with `index` as the new index where given."""
        with self._whole():
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
        with self._whole():
            self._commit([DropPartition(partition)], f"drop partition {partition}", None)
            with self._landed(), self.publication.lock:
                live, gone = self._slots.view().live, list[int]()
                for position in positions:
                    first, entry = self._bases[position], self.manifest.segments[position]
                    gone += (np.flatnonzero(live[first : first + entry.rows]) + first).tolist()
                    self._segments[position] = open_segment(
                        self._store, self.collection, entry, self.manifest.dimension
                    )
                self._slots.kill(gone)
                self._publish()
        return len(gone)

    def commit(self, actions: Sequence[Action], reason: str, *, reopen: bool = False) -> None:
        """Flush the write buffer and commit `actions`, which say nothing of rows: else `reopen`, and only close these.

        Raises as `vego.table.commit.commit` does.
        """
        with self._whole():
            flushed, first = self._flush_actions([])
            self._commit([*first, *actions], reason, flushed)
            if reopen:
                what = "went back to an earlier version meanwhile; nothing was changed, compact again"
                self._ended = CommitConflictError, f"collection {self.collection!r} {what}"
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
        with self._whole():
            runs = [self._run_of(one.files) for one in compaction.rewritten]
            moved = {position for run in runs for position in run}
            flushed, actions = self._flush_actions([], without=moved)
            live = self._slots.view().live
            for run, one in zip(runs, compaction.rewritten, strict=True):
                actions.append(ReplaceSegments(one.files, one.entry))
                parts = [slice(self._bases[i], self._bases[i] + self._segments[i].rows) for i in run]
                dead = np.flatnonzero(~np.concatenate([live[part][compaction.kept[part]] for part in parts]))
                if one.entry is not None and len(dead):
                    deletes = write_deletes(self._store, self.collection, dead)
                    actions.append(SetDeletes(one.entry.file, deletes))
            if index is not None:
                actions.append(SetIndex(index))
            self._commit(actions, reason, flushed)
            with self._landed():
                self._reopen_segments()
                slots = self._slots
                if compaction.moves_slots:
                    behind = np.arange(len(compaction.kept), slots.rows)
                    slots = slots.taking(np.concatenate([compaction.order, behind]))
                    self._numbering = object()
                with self.publication.lock:
                    self._slots = slots
                    self._memtable_base = slots.rows
                    self._publish()
                    shown()

    def _run_of(self, files: Sequence[str]) -> list[int]:
        there = {segment.entry.file: position for position, segment in enumerate(self._segments)}
        for file in files:
            if file not in there:
                raise CommitConflictError(
                    f"collection {self.collection!r}: segment {file} is gone; compact again"
                )
        return [there[file] for file in files]

    def _reopen_segments(self) -> None:
        """Open what the newest manifest names that is not open yet. Old segments live as long as readers need them."""
        there = {segment.entry.file: segment for segment in self._segments}
        dimension = self.manifest.dimension
        self._segments = [
            there.get(entry.file) or open_segment(self._store, self.collection, entry, dimension)
            for entry in self.manifest.segments
        ]
        self._bases = np.cumsum([0, *(segment.rows for segment in self._segments)]).tolist()[:-1]

    def close(self) -> None:
        """Seal the log and close every file."""
        self._ended = ClosedError, f"collection {self.collection!r} is closed; open the database again"
        try:
            self._journal.close()
        finally:
            for segment in self._segments:
                segment.close()

    # -- inside ----------------------------------------------------------------------------------

    def _take(self, ids: Sequence[str]) -> list[str]:
        """Say that a write is about to take the slots of `ids`, where readers still find them."""
        return self.publication.take(ids, self._slots.slot_of) if self._journal.waits else []

    def _enter(self, lsn: int, touched: list[str]) -> None:
        """A write is in slots and buffer; `touched` is what `_take` returned."""
        if self._journal.waits:
            self.publication.wait(lsn, self._capture(), touched)
        else:
            self.publication.show(self._capture())

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A change of disk and memory. An interrupt inside leaves them at odds: nothing more is written then (I7)."""
        if self._ended is not None:
            kind, what = self._ended
            raise kind(what)
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

    def _buffer(self, ids: Sequence[str], vectors: Vector, rows: Sequence[dict[str, Any]], size: int) -> None:
        replaced = self._slots_of(ids)
        self._memtable.extend(rows, size)
        self._keys.update(*rows)
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
        self._slots.kill(slots)
        self._stale_deletes.update(self._segments_of(slots))

    def _segments_of(self, slots: Sequence[int]) -> set[int]:
        if not slots or not self._segments:
            return set()
        inside = np.asarray([slot for slot in slots if slot < self._memtable_base], np.int64)
        return set((np.searchsorted(self._bases, inside, side="right") - 1).tolist())

    def _flush_actions(
        self, replaced: Sequence[int], *, without: Collection[int] = ()
    ) -> tuple[Written | None, list[Action]]:
        """The segments that the buffer became, and the actions that put them and the deletes into files.

        `replaced` are slots about to die as well. The deletes of the segments at the positions `without` are left to
        the caller.
        """
        view = self._slots.view()
        dead = ~view.live
        dead[np.asarray(replaced, np.int64)] = True
        actions: list[Action] = []
        flushed = None
        stale = (self._stale_deletes | self._segments_of(replaced)).difference(without)
        if len(self._memtable):
            first = self._memtable_base
            buffered = RowBatch(view.ids[first:].tolist(), view.vectors[first:], rows=self._memtable.rows())
            key = self.options.partition_by
            flushed, actions = write_buffer(self._store, self.collection, buffered, dead[first:], key)
        for index in sorted(stale):
            segment = self._segments[index]
            rows = np.flatnonzero(dead[self._bases[index] : self._bases[index] + segment.rows])
            actions.append(SetDeletes(segment.entry.file, write_deletes(self._store, self.collection, rows)))
        journal = self._journal
        if journal.last_lsn != self.manifest.flushed_lsn:
            journal.end()
            actions.append(AdvanceWal(flushed_lsn=journal.last_lsn, first_wal=journal.next_number))
        return flushed, actions

    def _commit(self, actions: Sequence[Action], summary: str, flushed: Written | None) -> None:
        """Commit, then make memory agree: the buffer is the segments `flushed` now and its WAL is done with."""
        try:
            self.manifest = commit(
                self._store, self.collection, self.manifest, actions, summary=summary, shared=self._shared
            )
        except CommitConflictError:
            self._discard(new_files(self.collection, actions))
            raise
        with self._landed():
            if flushed is not None:
                if flushed.order is not None:  # what readers hold stays as it is
                    flushed_rows = np.arange(self._memtable_base)
                    behind = flushed.order + self._memtable_base
                    self._slots = self._slots.taking(np.concatenate([flushed_rows, behind]))
                self._add_segments(flushed)
            self._memtable = MemTable()
            self._stale_deletes.clear()
            self.collect_garbage()

    def _add_segments(self, written: Written) -> None:
        """Open segments whose rows have the slots from `_memtable_base` on."""
        for entry in written.entries:
            segment = open_segment(self._store, self.collection, entry, self.manifest.dimension)
            self._segments.append(segment)
            self._bases.append(self._memtable_base)
            self._keys.update(segment.fields)
            self._memtable_base += segment.rows

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

    def _capture(self) -> RowSnapshot:
        sources: list[tuple[int, Segment | MemTable]] = list(zip(self._bases, self._segments, strict=True))
        sources.append((self._memtable_base, self._memtable))
        slots = self._slots
        return RowSnapshot(
            self.manifest.version, slots.view(), slots.slot_of, tuple(sources), self._numbering
        )
