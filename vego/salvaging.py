"""Makes a collection whole again whose segments are damaged: with the rows that can still be read.

A row is lost with its id or its vector; of a damaged metadata column only the values in damaged blocks are. The
damaged files stay as long as an earlier version names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lance_fmt import Column, CorruptFileError, Field
from vego import names
from vego.errors import CorruptionError, NotFoundError
from vego.repair import exclusive
from vego.store import Store
from vego.table.attributes import build_column
from vego.table.batch import RowBatch
from vego.table.commit import ReplaceSegments, commit
from vego.table.manifest import Manifest, SegmentEntry
from vego.table.segment import ID, VECTOR, Deletes, Segment, open_checked, write_segment
from vego.table.versions import newest_manifest

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was done: the version made, the segments rewritten, and what is lost of them.

    lost_rows: rows that are gone. lost_values: (segment, metadata key) of which some values are gone: they are null.
    lost_masks: segments of which it is not known any more which rows were deleted; those are back.
    """

    version: int
    segments: tuple[str, ...]
    lost_rows: int
    lost_values: tuple[tuple[str, str], ...]
    lost_masks: tuple[str, ...]


@dataclass(slots=True)
class _Rest:
    """What is left of a segment: columns that can be read, the rows to keep, and what is lost."""

    entry: SegmentEntry
    columns: dict[str, tuple[Field, Column]]
    keep: Mask
    lost_rows: int
    lost_keys: list[str]
    lost_mask: bool


def salvage_segments(path: str | Path, collection: str) -> Salvaged:
    """Commit a version in which every damaged segment is replaced by what can be read of it.

    A graph whose rows are lost is dropped with them, and can be built again. Where no segment is damaged, nothing is
    done. Raises NotADatabaseError, DatabaseLockedError, CollectionNotFoundError, StorageError; CorruptionError where
    the newest manifest is damaged itself.
    """
    with exclusive(path) as store:
        manifest = newest_manifest(store, collection)
        segments = [entry for entry in manifest.segments if not entry.dropped]
        rests = [_rest_of(store, collection, entry) for entry in segments]
        damaged = [rest for rest in rests if rest is not None]
        if not damaged:
            return Salvaged(manifest.version, (), 0, (), ())
        if any(rest.lost_mask for rest in damaged):
            _drop_replaced(store, collection, manifest, segments, rests)
        key = manifest.partition_by
        actions = [
            ReplaceSegments((rest.entry.file,), _rewritten(store, collection, rest, key)) for rest in damaged
        ]
        made = commit(store, collection, manifest, actions, summary="salvage damaged segments")
        return Salvaged(
            made.version,
            tuple(rest.entry.file for rest in damaged),
            sum(rest.lost_rows for rest in damaged),
            tuple((rest.entry.file, key) for rest in damaged for key in rest.lost_keys),
            tuple(rest.entry.file for rest in damaged if rest.lost_mask),
        )


def _rest_of(store: Store, collection: str, entry: SegmentEntry) -> _Rest | None:
    """None where segment and row mask are whole."""
    live, lost_mask = _live(store, collection, entry)
    path = names.data_path(collection, entry.file)
    try:
        file = open_checked(store, path, entry.length, entry.crc, entry.rows)
    except (CorruptionError, NotFoundError):
        return _Rest(entry, {}, np.zeros(entry.rows, np.bool_), int(live.sum()), [], lost_mask)
    with file:
        places = file.damage()
        if not places and not lost_mask:
            return None
        columns: dict[str, tuple[Field, Column]] = {}
        hurt = {place.column for place in places if place.column is not None and place.rows}
        for field in file.schema:
            try:
                columns[field.name] = field, file.read([field.name], on_damage="null")[field.name]
            except CorruptFileError:
                hurt.add(field.name)
    keep = live.copy()
    for name in (ID, VECTOR):
        keep &= _present(columns[name][1]) if name in columns else False
    keys = sorted(key for key in hurt if key not in (ID, VECTOR))
    return _Rest(entry, columns, keep, int((live & ~keep).sum()), keys, lost_mask)


def _live(store: Store, collection: str, entry: SegmentEntry) -> tuple[Mask, bool]:
    """Which rows live, and whether that is not known any more (all of them, then)."""
    if entry.deletes is None:
        return np.ones(entry.rows, np.bool_), False
    try:
        deletes = Deletes(store, collection, entry.deletes, entry.rows)
        dead = deletes.mask()
        deletes.close()
    except (CorruptionError, NotFoundError):
        return np.ones(entry.rows, np.bool_), True
    return ~dead, False


def _present(column: Column) -> Mask:
    return np.ones(len(column), np.bool_) if column.validity is None else column.validity


def _drop_replaced(
    store: Store,
    collection: str,
    manifest: Manifest,
    segments: Sequence[SegmentEntry],
    rests: Sequence[_Rest | None],
) -> None:
    """Rows that came back with a lost mask go where a later row has the same id (I4)."""
    seen: set[str] = set()
    for entry, rest in zip(reversed(segments), reversed(rests), strict=True):
        if rest is None:
            segment = Segment(store, collection, entry, manifest.vectors)
            live, _ = _live(store, collection, entry)
            ids = segment.ids()
            segment.close()
            seen.update(ids[row] for row in np.flatnonzero(live))
            continue
        kept = np.flatnonzero(rest.keep)
        for row, name in zip(kept, _ids(rest, kept), strict=True):
            rest.keep[row] = name not in seen
            seen.add(name)


def _rewritten(store: Store, collection: str, rest: _Rest, key: str | None) -> SegmentEntry | None:
    rows = np.flatnonzero(rest.keep)
    if not len(rows):
        return None
    vectors = np.ascontiguousarray(rest.columns[VECTOR][1].take(rows).to_numpy())
    columns = {
        name: (field, column.take(rows))
        for name, (field, column) in rest.columns.items()
        if name not in (ID, VECTOR)
    }
    partition = rest.entry.partition
    if key is not None and partition is not None and partition.value is not None:
        # What all rows have is known, however damaged the column is.
        columns[key] = build_column(key, [partition.value] * len(rows))
    batch = RowBatch(_ids(rest, rows), vectors, columns=columns)
    return write_segment(store, collection, batch, partition=partition)


def _ids(rest: _Rest, rows: NDArray[np.int64]) -> list[str]:
    return [str(name) for name in rest.columns[ID][1].take(rows).to_pylist()] if len(rows) else []
