"""Which files nothing needs any more."""

from __future__ import annotations

from vego import names
from vego.errors import CorruptionError, NotFoundError, StorageError
from vego.store import Store
from vego.table.manifest import Manifest, load_version


def collect_garbage(store: Store, directory: str, manifest: Manifest) -> None:
    """Delete files of a collection that neither its newest manifest nor the one before names (I6).

    The one before is kept whole, its log included, so that a damaged newest manifest can be set aside without
    losing anything. A failure to delete is no error: the next collection tries again.
    """
    kept = [manifest]
    if manifest.parent is not None:
        try:
            kept.append(load_version(store, directory, manifest.parent.version))
        except (CorruptionError, NotFoundError, StorageError):
            return  # what the damaged one needs is not known
    needed = {path for one in kept for path in _files_of(one)}
    first_wal = min(one.first_wal for one in kept)
    doomed = []
    for place in names.COLLECTION_DIRECTORIES:
        for file in _listed(store, f"{directory}/{place}"):
            path = f"{place}/{file}"
            if place == names.WAL:
                number = names.parse_wal(file)
                old = number is not None and number < first_wal
            elif place == names.MANIFESTS:
                version = names.parse_manifest(file)
                old = names.is_temporary(file) or (version is not None and version < kept[-1].version)
            else:
                old = path not in needed and (names.directory_of(path) is not None or names.is_temporary(file))
            if old:
                doomed.append(f"{directory}/{path}")
    for path in doomed:
        try:
            store.delete(path)
        except StorageError:
            return


def _listed(store: Store, directory: str) -> list[str]:
    try:
        return store.list(directory)
    except NotFoundError:
        return []


def _files_of(manifest: Manifest) -> list[str]:
    paths = []
    for entry in manifest.segments:
        paths.append(entry.file)
        if entry.deletes is not None:
            paths.append(entry.deletes.file)
    if manifest.index is not None:
        paths.append(manifest.index.file)
    return paths
