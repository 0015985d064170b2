"""The rows of one collection: manifest, segments, WAL and write buffer, kept as one durable whole.

Write path and invariants I1..I6 are in `vego/DESIGN.md`. One thread at a time may call the methods that
change something (the collection holds a lock); `snapshot()` may be called by any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    ReplaceSegments,
    SetDeletes,
    SetIndex,
    commit,
    new_files,
)
from vego.table.compaction import Compaction
from vego.table.garbage import Collected, Garbage, Retention
from vego.table.journal import Journal
from vego.table.manifest import IndexEntry, Manifest, SegmentEntry
from vego.table.memtable import MemTable
from vego.table.opening import OpenFiles
from vego.table.publication import Mark, Publication
from vego.table.segment import Deletes, Segment, write_deletes, write_segment
from vego.table.slots import Slots, SlotView
from vego.table.values import dump_metadata
from vego.wal import Delete, Log, Put, encode_deletes, encode_puts

DIRECT_ROWS = 1_024  # a batch of so many rows becomes a segment at once instead of passing through the WAL
DIRECT_BYTES = 4_000_000
_PENDING = 256  # rows written one by one that enter the slots together, where nobody looks before


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
        self._all_slots = Slots(manifest.dimension)
        # Rows that have a slot, but are not in `_all_slots` yet: slot, id, vector of shape (1, d).
        self._pending: list[tuple[int, str, Vector]] = []
        self._memtable = self._new_memtable()
        self._segments: list[Segment] = []
        self._keys: set[str] = set()
        self._bases: list[int] = []
        self._at_odds = False
        self._ended: tuple[type[VegoError], str] | None = None  # why nothing more is done here, in good order
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
        self.publication = Publication(self._capture(), self._capture)

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
        self._check_ids()

    def _check_ids(self) -> None:
        if len(self._slots.slot_of) != self._slots.live_count:
            place = f"{self._store.name}/{names.collection_path(self.collection)}"
            raise CorruptionError(place, 0, "an id is live in two rows")

    def _replay(self, log: Log) -> None:
        puts: dict[str, Put] = {}  # in a row, all different
        for batch in log.batches:
            for operation in batch.operations:
                if isinstance(operation, Delete) or operation.id in puts or len(puts) == DIRECT_ROWS:
                    self._replay_puts(puts)
                    puts = {}
                if isinstance(operation, Delete):
                    self._kill([operation.id])
                else:
                    puts[operation.id] = operation
        self._replay_puts(puts)

    def _replay_puts(self, puts: Mapping[str, Put]) -> None:
        if not puts:
            return
        width = self.manifest.dimension
        vectors = np.frombuffer(b"".join([put.vector for put in puts.values()]), "<f4")
        if {len(put.vector) for put in puts.values()} != {4 * width} or not np.isfinite(vectors).all():
            raise self._impossible(f"one of the documents {', '.join(puts)[:200]!r} has an impossible vector")
        size = vectors.nbytes + sum(len(put.metadata) for put in puts.values())
        ids = list(puts)
        replaced = self._slots_of(ids)
        self._memtable.extend_from_log([(put.id, put.metadata) for put in puts.values()], size)
        self._slots.append(ids, vectors.reshape(-1, width))
        self._kill_slots(replaced)

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

    def _new_memtable(self) -> MemTable:
        return MemTable(f"{self._store.name}/{names.wal_directory(self.collection)}")

    def _impossible(self, what: str) -> CorruptionError:
        return CorruptionError(f"{self._store.name}/{names.wal_directory(self.collection)}", 0, what)

    # -- reading ---------------------------------------------------------------------------------

    def snapshot(self) -> RowSnapshot:
        """What is there now; a finished write is in it, an unfinished one is not."""
        return self.publication.snapshot

    def find(self, name: str) -> tuple[RowSnapshot, int] | None:
        """What readers see, and the slot in it of a document; None if there is none. Any thread may call it."""
        return self.publication.find(name)

    def slot_of(self, name: str) -> int | None:
        """The slot of a live id as the writer sees it, in `newest`."""
        return self._all_slots.slot_of.get(name)

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
        return self._all_slots.rows + len(self._pending)

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
        if self._shared or len(batch) >= DIRECT_ROWS or batch.vectors.nbytes >= DIRECT_BYTES:
            self._put_segment(batch, deleted)
            return
        rows = batch.metadata_rows()
        encoded = [dump_metadata(row) for row in rows] if batch.encoded is None else batch.encoded
        size = batch.vectors.nbytes + sum(map(len, encoded))
        if size >= DIRECT_BYTES:
            self._put_segment(batch, deleted)
            return
        payload = encode_puts(batch.ids, batch.vectors, encoded, deleted)
        self._check_writable()
        try:
            lsn = self._journal.append(payload, len(batch) + len(deleted))
            with self.publication.lock:
                if len(batch) == 1 and not deleted and batch.ids[0] not in self._all_slots.slot_of:
                    self._put_new(lsn, batch, size)
                    return
                touched = self._take([*batch.ids, *deleted] if deleted else batch.ids)
                self._buffer(batch.ids, batch.vectors, rows, size)
                if deleted:
                    self._bury(deleted)
                self._enter(lsn, touched)
        except VegoError:
            raise
        except BaseException:  # as in `_whole`
            self._at_odds = True
            raise

    def _put_new(self, lsn: int, batch: RowBatch, size: int) -> None:
        """One row of an id that is not live. It enters the slots with others, when somebody looks at them."""
        rows = batch.metadata_rows()
        self._memtable.extend(rows, size)
        if not self._keys.issuperset(rows[0]):
            self._keys.update(rows[0])
        slots, pending, name = self._all_slots, self._pending, batch.ids[0]
        if pending and pending[0][0] < slots.rows:  # an interrupt came when they had just entered
            self._pending = pending = []
        slot = slots.rows + len(pending)
        slots.slot_of[name] = slot
        pending.append((slot, name, batch.vectors))
        shown = Mark(slots.rows + len(pending), slots.live_count + len(pending))
        if len(pending) == _PENDING:
            self._absorb()
        if self._journal.waits:
            self.publication.wait(lsn, shown, [])
        else:
            self.publication.show(shown)

    @property
    def _slots(self) -> Slots:
        """The slots, with all rows in them."""
        if self._pending:
            self._absorb()
        return self._all_slots

    def _absorb(self) -> None:
        with self.publication.lock:
            pending, slots = self._pending, self._all_slots
            if pending and pending[0][0] == slots.rows:  # else they have entered, as in `_put_new`
                _, ids, vectors = zip(*pending, strict=True)
                slots.append(ids, np.concatenate(vectors))
            self._pending = []

    def _put_segment(self, batch: RowBatch, deleted: Sequence[str] = ()) -> None:
        """Insert or replace as a segment of its own, committed at once; for many rows cheaper than the WAL."""
        replaced = self._slots_of([*batch.ids, *deleted])
        with self._whole():
            flushed, actions = self._flush_actions(replaced)
            try:
                entry = write_segment(self._store, self.collection, batch)
            except Exception:
                self._discard(new_files(self.collection, actions))
                raise
            self._commit([*actions, AddSegment(entry)], f"insert {len(batch):,} rows", flushed)
            with self._landed(), self.publication.lock:
                self._add_segment(entry)
                self._slots.append(batch.ids, batch.vectors)
                self._slots.kill(replaced)
                self._memtable_base = self._slots.rows
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
        with self._whole(), self._landed(), self.publication.lock:
            self._slots.kill(killed)
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
        with self._whole():
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
                first = self._bases[run.start]
                kept = compaction.kept[first : first + sum(self._segments[i].rows for i in run)]
                dead = np.flatnonzero(~live[first : first + len(kept)][kept])
                if one.entry is not None and len(dead):
                    deletes = write_deletes(self._store, self.collection, dead)
                    actions.append(SetDeletes(one.entry.file, deletes))
            if index is not None:
                actions.append(SetIndex(index))
            self._commit(actions, reason, flushed)
            with self._landed():
                self._reopen_segments()
                slots = self._slots
                if compaction.dropped_rows:
                    kept = np.ones(slots.rows, np.bool_)
                    kept[: len(compaction.kept)] = compaction.kept
                    slots = slots.keeping(kept)
                with self.publication.lock:
                    self._all_slots = slots
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
        self._ended = ClosedError, f"collection {self.collection!r} is closed; open the database again"
        try:
            self._journal.close()
        finally:
            for segment in self._segments:
                segment.close()

    # -- inside ----------------------------------------------------------------------------------

    def _take(self, ids: Sequence[str]) -> list[str]:
        """Say that a write is about to take the slots of `ids`, where readers still find them; those that have one."""
        slot_of = self._all_slots.slot_of
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

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A change of disk and memory. An interrupt inside leaves them at odds: nothing more is written then (I7)."""
        self._check_writable()
        try:
            yield
        except VegoError:
            raise
        except BaseException:
            self._at_odds = True
            raise

    def _check_writable(self) -> None:
        if self._ended is not None:
            kind, what = self._ended
            raise kind(what)
        if self._at_odds:
            raise PoisonedError(
                f"collection {self.collection!r}: an earlier write was cut short, so what is on the disk and what is "
                "in memory may differ; close the database and open it again"
            )

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
            buffered = RowBatch(view.ids[first:].tolist(), view.vectors[first:], rows=self._memtable.rows())
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
                self._store, self.collection, self.manifest, actions, summary=summary, shared=self._shared
            )
        except CommitConflictError:
            self._discard(new_files(self.collection, actions))
            raise
        with self._landed():
            if flushed is not None:
                self._add_segment(flushed)
                self._memtable_base += len(self._memtable)
            self._memtable = self._new_memtable()
            self._stale_deletes.clear()
            self.collect_garbage()

    def _add_segment(self, entry: SegmentEntry) -> None:
        """Open a segment whose rows have the slots from `_memtable_base` on."""
        segment = Segment(self._store, self.collection, entry, self.manifest.dimension)
        self._segments.append(segment)
        self._bases.append(self._memtable_base)
        self._keys.update(segment.fields)

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
