"""Which files nothing needs any more."""

from __future__ import annotations

from collections.abc import Sequence

from vego import names
from vego.errors import CorruptionError, NotFoundError, StorageError
from vego.store import Store
from vego.table.manifest import Manifest, load_version


def collect_garbage(store: Store, collection: str, manifest: Manifest, *, log_start: int = 0) -> None:
    """Delete files of a collection that neither its newest manifest nor the one before names (I6).

    The one before is kept whole, its log included, so that a damaged newest manifest can be set aside without
    losing anything. Of the log, segments before `log_start` are not needed by either. A failure to delete is no
    error: the next collection tries again.
    """
    kept = [manifest]
    if manifest.parent is not None:
        try:
            kept.append(load_version(store, collection, manifest.parent.version))
        except (CorruptionError, NotFoundError, StorageError):
            return  # what the damaged one needs is not known
    try:
        for path in _garbage(store, collection, kept, log_start):
            store.delete(path)
    except (NotFoundError, StorageError):
        return


def _garbage(store: Store, collection: str, kept: list[Manifest], log_start: int) -> list[str]:
    found = files_of_none(store, collection, kept)
    first_wal = max(log_start, min(manifest.first_wal for manifest in kept))
    for file in store.list(names.wal_directory(collection)):
        number = names.parse_wal(file)
        if names.is_temporary(file) or (number is not None and number < first_wal):
            found.append(f"{names.wal_directory(collection)}/{file}")
    for file in store.list(names.manifest_directory(collection)):
        version = names.parse_manifest(file)
        if names.is_temporary(file) or (version is not None and version < kept[-1].version):
            found.append(f"{names.manifest_directory(collection)}/{file}")
    return found


def files_of_none(store: Store, collection: str, manifests: Sequence[Manifest]) -> list[str]:
    """Paths of the segments, row masks and indexes that none of `manifests` names."""
    needed = {path for manifest in manifests for path in files_of(collection, manifest)}
    return [
        path
        for directory in names.file_directories(collection)
        for path in (f"{directory}/{file}" for file in store.list(directory))
        if path not in needed
    ]


def files_of(collection: str, manifest: Manifest) -> list[str]:
    """Paths of the files that a manifest names."""
    paths = []
    for entry in manifest.segments:
        paths.append(names.data_path(collection, entry.file))
        if entry.deletes is not None:
            paths.append(names.deletes_path(collection, entry.deletes.file))
    if manifest.index is not None:
        paths.append(names.index_path(collection, manifest.index.file))
    return paths
