"""Opens everything one manifest names, all of the same moment, also while another process commits.

Files are immutable and an open file outlives its name, so only opening them must happen between two commits:
that takes milliseconds, reading them may take longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import lance_fmt
from vego import names
from vego.errors import CommitConflictError, CorruptionError, NotFoundError, ReadOnlyError
from vego.store import Store
from vego.table.hole import open_segment
from vego.table.manifest import Manifest, load_latest, newest_version
from vego.table.segment import Deletes, Segment, open_checked
from vego.wal import Batch, Log, read_log

_ATTEMPTS = 100
_SAME_FAILURES = 3  # a failure that comes back while no commit happens is not the writer's doing


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """A manifest and what it names, open; the log is read already."""

    manifest: Manifest
    segments: list[Segment]
    deletes: list[Deletes | None]
    index: lance_fmt.File | None
    log: Log

    def close(self) -> None:
        """Close every file."""
        for file in (*self.segments, *self.deletes, self.index):
            if file is not None:
                file.close()


class _Openable(Protocol):
    def close(self) -> None: ...


_Opened = TypeVar("_Opened", bound=_Openable)


def open_version(
    store: Store, collection: str, manifest: Manifest, batches: Sequence[Batch] = ()
) -> OpenFiles:
    """The files of an earlier version, and of what was in the log behind it `batches`: a version is what was committed.

    Raises CorruptionError, StorageError; NotFoundError where it has been collected meanwhile.
    """
    if not store.read_only:
        raise ReadOnlyError(f"version {manifest.version} of {collection!r} can be opened for reading only")
    log = Log((), tuple(batches), manifest.first_wal, manifest.flushed_lsn + 1 + len(batches))
    return _open(store, collection, manifest, log)


def open_files(store: Store, collection: str) -> OpenFiles | None:
    """The files of the newest version; None if there is no such collection.

    Raises CorruptionError, NewerVersionError, StorageError; CommitConflictError where commits come faster
    than the files can be opened.
    """
    if not store.read_only and store.exists(names.manifest_directory(collection)):
        # A manifest that is there may not be durable: its writer may have died between link and sync.
        store.sync_dir(names.manifest_directory(collection))
    return of_one_moment(store, collection, _open)


def of_one_moment(
    store: Store, collection: str, opener: Callable[[Store, str, Manifest], _Opened]
) -> _Opened | None:
    """What `opener` opens of the newest version, all of the same moment; None if there is no collection.

    It is called again where another process committed meanwhile. Raises as `open_files` does.
    """
    failures = 0
    for _ in range(_ATTEMPTS):
        manifest = load_latest(store, collection)
        if manifest is None:
            return None
        try:
            files = opener(store, collection, manifest)
        except (NotFoundError, CorruptionError):
            if not store.read_only or newest_version(store, collection) == manifest.version:
                failures += 1
            if not store.read_only or failures >= _SAME_FAILURES:
                raise
            continue
        if not store.read_only or newest_version(store, collection) == manifest.version:
            return files
        files.close()
    raise CommitConflictError(
        f"collection {collection!r} of {store.name} changed {_ATTEMPTS} times while it was being opened; try again"
    )


def _open(store: Store, collection: str, manifest: Manifest, log: Log | None = None) -> OpenFiles:
    """Everything `manifest` names; `log` None: read it."""
    segments: list[Segment] = []
    deletes: list[Deletes | None] = []
    for entry in manifest.segments:
        segments.append(open_segment(store, collection, entry, manifest.vectors))
        deletes.append(
            None if entry.deletes is None else Deletes(store, collection, entry.deletes, entry.rows)
        )
    index = None
    if manifest.index is not None:
        entry_of_index = manifest.index
        path = names.index_path(collection, entry_of_index.file)
        index = open_checked(store, path, entry_of_index.length, entry_of_index.crc, entry_of_index.rows)
    return OpenFiles(manifest, segments, deletes, index, log or log_of(store, collection, manifest))


def log_of(store: Store, collection: str, manifest: Manifest) -> Log:
    """What is in the log behind a version. Raises as `read_log` does."""
    return read_log(
        store,
        collection,
        collection_id=manifest.collection_id,
        first=manifest.first_wal,
        flushed_lsn=manifest.flushed_lsn,
    )
