"""Counts and sizes of a collection."""

from __future__ import annotations

from typing import Any

from vego.index.vector_index import VectorIndex
from vego.table.rowstore import RowStore
from vego.table.snapshot import RowSnapshot


def stats_of(rows: RowStore, snapshot: RowSnapshot, index: VectorIndex | None) -> dict[str, Any]:
    """Counts and sizes; bytes are of the files the newest manifest names."""
    manifest = rows.manifest
    view = snapshot.view
    return {
        "documents": view.live_count,
        "dimension": manifest.dimension,
        "metric": manifest.metric,
        "version": manifest.version,
        "dead_slots": view.rows - view.live_count,
        "partition_by": manifest.partition_by,
        "partitions": len({e.partition for e in manifest.segments if e.partition and not e.dropped}),
        "segments": sum(not entry.dropped for entry in manifest.segments),
        "segment_bytes": sum(entry.length for entry in manifest.segments),
        "buffered_rows": view.rows - snapshot.sources[-1][0],  # those under way are not there yet
        "buffered_bytes": rows.buffered_bytes,
        "index": rows.options.index,
        "indexed_slots": 0 if index is None else index.rows,
        "index_bytes": 0 if manifest.index is None else manifest.index.length,
        "metadata_keys": sorted(rows.keys),
        "options": rows.options.to_json(),
    }
