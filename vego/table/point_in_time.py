"""A collection as of a moment: a version, and what the log adds to it up to then.

The moment lies in the version that was the newest then. Every batch of the log that was written behind it, and not
later than the moment, is replayed on top. What is not in the log (a large batch, a transaction as large, everything
where several processes write) is a version of its own, and happened when that was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from vego.errors import CommitConflictError, CorruptionError, NotFoundError
from vego.store import Store
from vego.table.batch import RowBatch
from vego.table.commit import SetContents
from vego.table.manifest import Manifest, load_version, newest_version, versions
from vego.table.opening import OpenFiles, log_of, open_version
from vego.table.partitioned import write_rows
from vego.table.rowstore import RowStore
from vego.table.segment import write_deletes
from vego.table.versions import find_version, microseconds, moment_of, reachable_since
from vego.wal import Batch, read_history, segment_numbers

_ATTEMPTS = 100
NEWEST = 2**63 - 1  # an LSN that is never reached


def open_moment(
    store: Store, collection: str, timestamp: datetime | str, *, upto_lsn: int = NEWEST
) -> OpenFiles:
    """What there was at a time, opened for reading; batches of the log after `upto_lsn` are left out.

    A batch of which it is not known when it was written (a Vego before 0.2 did so) counts from the next moment that is
    known: that of the next batch or version, at last the present. Raises NotFoundError naming the earliest moment
    that can be reached, CorruptionError, StorageError.
    """
    moment_us = microseconds(moment_of(timestamp))
    for _ in range(_ATTEMPTS):
        before = _listed(store, collection)
        try:
            manifest = find_version(store, collection, timestamp=timestamp)
            following = _following(store, collection, manifest)
            batches = [
                batch
                for batch in _until(store, collection, manifest, following, moment_us)
                if batch.lsn <= upto_lsn
            ]
            files = open_version(store, collection, manifest, batches)
        except (NotFoundError, CorruptionError):
            if _listed(store, collection) == before:
                raise
            continue  # another process committed, or carried the log over
        if following is not None or newest_version(store, collection) == manifest.version:
            return files
        files.close()
    raise CommitConflictError(
        f"collection {collection!r} of {store.name} changed {_ATTEMPTS} times while it was being opened; try again"
    )


def contents_of(store: Store, collection: str, rows: RowStore) -> SetContents:
    """What makes `rows`, a version with what the log adds to it, the contents of a collection.

    Dead rows and the write buffer are written to files by `store`, durable except for their directory entries.
    """
    snapshot, first = rows.snapshot(), 0
    view, entries = snapshot.view, []
    for segment in rows.segments:
        entry = segment.entry
        dead = np.flatnonzero(~view.live[first : first + entry.rows])
        if len(dead) != entry.dead:
            entry = replace(entry, deletes=write_deletes(store, collection, dead))
        entries.append(entry)
        first += entry.rows
    slots = np.flatnonzero(view.live[first : view.rows]) + first
    if len(slots):
        documents = [snapshot.metadata(slot) for slot in slots.tolist()]
        batch = RowBatch(view.ids.take(slots), view.vectors.take(slots), rows=documents)
        entries += write_rows(store, collection, batch, rows.options.partition_by).entries
    return SetContents(tuple(entries), rows.manifest.index)


def _listed(store: Store, collection: str) -> tuple[list[int], list[int]]:
    return versions(store, collection), segment_numbers(store, collection)


def _following(store: Store, collection: str, manifest: Manifest) -> Manifest | None:
    """The version after; None where there is none yet, or where it does not matter, as the log ended with it."""
    if newest_version(store, collection) == manifest.version:
        return None
    try:
        return load_version(store, collection, manifest.version + 1)
    except NotFoundError:
        return replace(manifest, created_us=manifest.created_us + 1)  # the moment is that of the version


def _until(
    store: Store, collection: str, manifest: Manifest, following: Manifest | None, moment_us: int
) -> Sequence[Batch]:
    """The batches behind `manifest` up to a moment before `following`."""
    found: list[Batch] = []
    if following is None:
        found = list(log_of(store, collection, manifest).batches)
    else:
        for _, batches in read_history(
            store,
            collection,
            collection_id=manifest.collection_id,
            first=manifest.first_wal,
            after_lsn=manifest.flushed_lsn,
            upto_lsn=following.flushed_lsn,
        ):
            found += batches
        if manifest.flushed_lsn + len(found) < following.flushed_lsn:
            if moment_us == manifest.created_us:
                return []
            raise NotFoundError(
                f"collection {collection!r}: what was written between the versions {manifest.version} and "
                f"{following.version} one by one is not kept, so no moment between them can be gone back to; "
                f"{reachable_since(store, collection)}"
            )
    time_us = store.now_us() if following is None else following.created_us
    for position in reversed(range(len(found))):
        time_us = found[position].time_us or time_us
        if time_us <= moment_us:
            return found[: position + 1]
    return []
