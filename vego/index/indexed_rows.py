"""Rows and the graph over them, kept in step: what a collection reads and writes.

A search sees one `State`: a row snapshot and a graph that covers a prefix of its slots. The graph of a state
is never changed; catching up extends a copy of its links (I5). Slots behind the graph are scanned exactly, so
an answer is complete at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import lance_fmt
from lance_fmt import CorruptFileError
from vego import names
from vego.errors import ClosedError, CommitConflictError, CorruptionError, StorageError, VegoError
from vego.index.hnsw import HnswIndex
from vego.index.metrics import Metric
from vego.store import Store
from vego.table.batch import RowBatch
from vego.table.commit import SetContents, SetTag
from vego.table.compaction import Compaction, choose_runs, discard, rewrite
from vego.table.filter_columns import FilterColumns
from vego.table.garbage import Collected, Garbage, Retention
from vego.table.manifest import IndexEntry, Manifest, SegmentEntry
from vego.table.opening import OpenFiles, open_files, open_version
from vego.table.rowstore import RowSnapshot, RowStore
from vego.table.versions import Version, find_version, list_versions

Progress = Callable[[int, int], None]

MIN_BATCH = 1_024  # slots without links before the graph is extended; fewer are scanned in microseconds


@dataclass(frozen=True, slots=True)
class State:
    """What one reader sees. `index` covers slots 0 to index.rows; None where there is no graph.

    `filters` are the metadata columns in memory, which grow with the slots.
    """

    snapshot: RowSnapshot
    index: HnswIndex | None
    filters: FilterColumns


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a compaction did: segments and their bytes before and after, and dead rows that are gone."""

    segments_before: int
    segments_after: int
    bytes_before: int
    bytes_after: int
    dropped_rows: int


class IndexedRows:
    """A RowStore with its graph. One thread at a time may call what changes something; any may read `state`."""

    def __init__(
        self,
        store: Store,
        collection: str,
        files: OpenFiles,
        *,
        garbage: Garbage | None = None,
        durable: bool = True,
    ) -> None:
        self._store = store
        self._durable = durable
        self._metric = Metric.parse(files.manifest.metric)
        index = None
        if files.index is not None:
            try:
                index = load_index(files.index, self._metric, files.manifest)
            except (CorruptFileError, CorruptionError) as error:
                command = f"vego repair {store.name} --collection {collection} --drop-index"
                way_out = f"The rows are whole: `{command}` drops the index, which can be built again"
                raise CorruptionError(error.path, error.offset, error.what, way_out) from None
        self.rows = RowStore(store, collection, files, garbage=garbage, durable=durable)
        self._saved_rows = 0 if index is None else index.rows
        self.state = State(self.rows.snapshot(), index, FilterColumns())
        # Why flushing, or saving the graph, after a write was put off.
        self.maintenance_error: str | None = None

    def put(self, batch: RowBatch, progress: Progress | None = None) -> None:
        """Insert or replace `batch`; durable and visible when this returns."""
        self.rows.put(batch)
        self._publish()
        self._maintain(progress)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete live ids; durable and visible when this returns."""
        self.rows.delete(ids)
        self._publish()
        self._maintain(None)

    def _maintain(self, progress: Progress | None) -> None:
        """What may follow a write. The write is durable already, so a full disk here is no failure of it."""
        try:
            if self.rows.buffered_bytes >= self.rows.options.flush_bytes:
                self.flush()
            self.catch_up(progress)
            self.maintenance_error = None
        except StorageError as error:
            self.maintenance_error = str(error)

    def catch_up(self, progress: Progress | None = None, *, all_rows: bool = False) -> None:
        """Extend the graph where enough slots wait for it (`all_rows`: where any does), and save it now and then."""
        view = self.state.snapshot.view
        index = self.state.index
        covered = 0 if index is None else index.rows
        least = 1 if all_rows else max(MIN_BATCH, min(covered // 64, 8_192))
        if self.rows.options.index == "flat" or view.rows - covered < least:
            return
        extended = self._empty_index() if index is None else index.copy()
        extended.extend(view.vectors, view.inverse_norms, view.rows, progress=progress)
        self.state = State(self.state.snapshot, extended, self.state.filters)
        if extended.rows >= self._saved_rows + self._saved_rows // 4 and self.rows.buffered_rows == 0:
            self.save_index()

    def _empty_index(self) -> HnswIndex:
        options = self.rows.options
        dimension = self.rows.manifest.dimension
        return HnswIndex(self._metric, dimension, m=options.m, ef_construction=options.ef_construction)

    def save_index(self) -> None:
        """Write the graph to a file and commit it; flushes the write buffer, whose slots the graph may cover."""
        index = self.state.index
        if index is None or index.rows == self._saved_rows:
            return
        entry = write_index(self._store, self.rows.collection, index)
        self.rows.flush("index", entry)
        self._saved_rows = index.rows
        self._publish()

    def flush(self) -> None:
        """Turn the write buffer into a segment."""
        self.rows.flush("flush")
        self._publish()

    def compact(
        self, lock: AbstractContextManager[object], *, full: bool = False, progress: Progress | None = None
    ) -> CompactionReport:
        """Merge small segments and drop dead rows; `full`: all that can be. `lock` is the writers'.

        It is held at the beginning and the end only: reads and writes go on meanwhile. Raises StorageError,
        CorruptionError, or CommitConflictError where another compaction was faster; nothing is changed then.
        """
        rows = self.rows
        with lock:
            self.flush()
            before, state = rows.manifest.segments, self.state
            runs, segments = choose_runs(before, full=full), rows.segments
        if not runs:
            return _report(before, before, 0)
        view = state.snapshot.view
        with rows.garbage.unfinished() as unfinished:
            compaction = rewrite(self._store, rows.collection, segments, view, runs, unfinished, progress)
            index, entry = state.index, None
            try:
                if compaction.dropped_rows and index is not None:
                    index = index.without(~compaction.kept[: index.rows])
                    entry = self._written(index, unfinished)
                with lock:
                    before = rows.manifest.segments
                    rows.adopt(compaction, entry, "compact")
                    self._adopted(compaction, index, entry)
                    return _report(before, rows.manifest.segments, compaction.dropped_rows)
            except (CommitConflictError, ClosedError):
                with suppress(VegoError):
                    discard(self._store, rows.collection, compaction.rewritten)
                raise

    def _written(self, index: HnswIndex, unfinished: set[str]) -> IndexEntry | None:
        if not index.rows:
            return None
        name = names.index_file(self._store.new_id())
        unfinished.add(names.index_path(self.rows.collection, name))
        return write_index(self._store, self.rows.collection, index, name)

    def _adopted(self, compaction: Compaction, index: HnswIndex | None, entry: IndexEntry | None) -> None:
        """Show the rows after a compaction. Where slots have moved, the graph and the filters move with them."""
        if not compaction.dropped_rows:
            self._publish()
            return
        if index is not None and not index.rows:
            index = None
        self._saved_rows = 0 if entry is None else entry.rows
        self.state = State(self.rows.snapshot(), index, FilterColumns())

    def vacuum(self, retain_versions: int | None = None) -> Collected:
        """Delete files that no kept version needs; `retain_versions` (at least 2) instead of the retention options.

        Files that only the version before needs go as well, by one more version that is like the newest.
        """
        rows = self.rows
        retention = None if retain_versions is None else Retention(retain_versions, 0)
        if retention is not None:
            rows.commit([], "vacuum")
            self._publish()
        return rows.collect_garbage(retention)

    def versions(self) -> list[Version]:
        """The versions that are kept, oldest first."""
        return list_versions(self._store, self.rows.collection)

    def at(
        self, version: int | None, timestamp: datetime | str | None = None, tag: str | None = None
    ) -> IndexedRows:
        """The rows of an earlier version, for reading. Raises NotFoundError, CorruptionError, StorageError."""
        store, collection = self._store.for_reading(), self.rows.collection
        manifest = find_version(store, collection, version=version, timestamp=timestamp, tag=tag)
        return IndexedRows(store, collection, open_version(store, collection, manifest))

    def tag(self, name: str, version: int | None) -> int:
        """Commit a tag; `version` None means all that is there now."""
        if version is None:
            self.flush()
            version = self.rows.manifest.version
        else:
            find_version(self._store, self.rows.collection, version=version)
        self.rows.commit([SetTag(name, version)], f"tag {name}")
        self._publish()
        return version

    def untag(self, name: str) -> None:
        """Commit that a tag is gone; NotFoundError where it is not there."""
        find_version(self._store, self.rows.collection, tag=name)
        self.rows.commit([SetTag(name, None)], f"untag {name}")
        self._publish()

    def restored(
        self, version: int | None, timestamp: datetime | str | None = None, tag: str | None = None
    ) -> IndexedRows:
        """Commit the contents of an earlier version anew and open the outcome; these rows are to be closed."""
        self.flush()
        rows, store = self.rows, self._store
        old = find_version(store, rows.collection, version=version, timestamp=timestamp, tag=tag)
        rows.commit([SetContents(old.segments, old.index)], f"restore version {old.version}", reopen=True)
        files = open_files(store, rows.collection)
        assert files is not None
        return IndexedRows(store, rows.collection, files, garbage=rows.garbage, durable=self._durable)

    def stats(self) -> dict[str, Any]:
        """Counts and sizes; bytes are of the files the newest manifest names."""
        rows, view, manifest = self.rows, self.state.snapshot.view, self.rows.manifest
        return {
            "documents": view.live_count,
            "dimension": manifest.dimension,
            "metric": manifest.metric,
            "version": manifest.version,
            "dead_slots": view.rows - view.live_count,
            "segments": len(manifest.segments),
            "segment_bytes": sum(entry.length for entry in manifest.segments),
            "buffered_rows": rows.buffered_rows,
            "buffered_bytes": rows.buffered_bytes,
            "index": rows.options.index,
            "indexed_slots": 0 if self.state.index is None else self.state.index.rows,
            "index_bytes": 0 if manifest.index is None else manifest.index.length,
            "metadata_keys": sorted(rows.keys),
            "options": rows.options.to_json(),
            "maintenance_error": self.maintenance_error,
        }

    def close(self) -> None:
        """Save what is worth saving and close; acknowledged rows are safe with or without this."""
        try:
            index = self.state.index
            if not self._store.read_only and index is not None and index.rows - self._saved_rows >= MIN_BATCH:
                with suppress(StorageError):  # the graph can be built again; the rows are safe
                    self.save_index()
        finally:
            self.rows.close()

    def _publish(self) -> None:
        self.state = State(self.rows.snapshot(), self.state.index, self.state.filters)


def _report(before: Sequence[SegmentEntry], after: Sequence[SegmentEntry], dropped: int) -> CompactionReport:
    old, new = (sum(entry.length for entry in entries) for entries in (before, after))
    return CompactionReport(len(before), len(after), old, new, dropped)


def write_index(store: Store, collection: str, index: HnswIndex, name: str | None = None) -> IndexEntry:
    """Write the graph as an `.lfmt` file, durable except for its directory entry (the commit syncs that).

    `name` is the file's, from `names.index_file`; None for a fresh one.
    """
    columns, metadata = index.to_columns()
    name = name or names.index_file(store.new_id())
    with store.create(names.index_path(collection, name)) as file:
        summary = lance_fmt.write(file, columns, metadata=metadata, level="speed")
        file.commit()
    return IndexEntry(file=name, rows=index.rows, length=summary.length, crc=summary.footer_crc, kind="hnsw")


def load_index(file: lance_fmt.File, metric: Metric, manifest: Manifest) -> HnswIndex:
    """Read a graph and close the file; every byte and every link is checked.

    Raises CorruptFileError or CorruptionError.
    """
    with file:
        index = HnswIndex.from_columns(file.read(), dict(file.metadata), path=file.path)
    if (index.metric, index.dimension) != (metric, manifest.dimension) or index.rows > manifest.rows:
        what = f"an index of {index.rows} rows, {index.metric.value}, dimension {index.dimension}"
        raise CorruptionError(file.path, 0, f"{what} does not belong to this collection")
    return index
