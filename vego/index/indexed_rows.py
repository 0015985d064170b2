"""Rows and the graph over them, kept in step: what a collection reads and writes.

A search sees one `State`: a row snapshot and a graph that covers a prefix of its slots. The graph of a state
is never changed; catching up extends a copy of its links (I5). Slots behind the graph are scanned exactly, so
an answer is complete at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import lance_fmt
from lance_fmt import CorruptFileError
from vego import names
from vego.errors import CorruptionError, StorageError
from vego.index.hnsw import HnswIndex
from vego.index.metrics import Metric
from vego.store import Store
from vego.table.batch import RowBatch
from vego.table.manifest import IndexEntry, Manifest
from vego.table.opening import OpenFiles
from vego.table.rowstore import RowSnapshot, RowStore

Progress = Callable[[int, int], None]

MIN_BATCH = 1_024  # slots without links before the graph is extended; fewer are scanned in microseconds


@dataclass(frozen=True, slots=True)
class State:
    """What one reader sees. `index` covers slots 0 to index.rows; None where there is no graph."""

    snapshot: RowSnapshot
    index: HnswIndex | None


class IndexedRows:
    """A RowStore with its graph. One thread at a time may call what changes something; any may read `state`."""

    def __init__(self, store: Store, collection: str, files: OpenFiles, *, durable: bool = True) -> None:
        self._store = store
        self._metric = Metric.parse(files.manifest.metric)
        index = None
        if files.index is not None:
            try:
                index = load_index(files.index, self._metric, files.manifest)
            except (CorruptFileError, CorruptionError) as error:
                command = f"vego repair {store.name} --collection {collection} --drop-index"
                way_out = f"The rows are whole: `{command}` drops the index, which can be built again"
                raise CorruptionError(error.path, error.offset, error.what, way_out) from None
        self.rows = RowStore(store, collection, files, durable=durable)
        self._saved_rows = 0 if index is None else index.rows
        self.state = State(self.rows.snapshot(), index)
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
        self.state = State(self.state.snapshot, extended)
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
        self.state = State(self.rows.snapshot(), self.state.index)


def write_index(store: Store, collection: str, index: HnswIndex) -> IndexEntry:
    """Write the graph as an `.lfmt` file, durable except for its directory entry (the commit syncs that)."""
    columns, metadata = index.to_columns()
    name = names.index_file(store.new_id())
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
