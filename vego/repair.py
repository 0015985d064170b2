"""Repairs of a damaged collection that delete no rows (DESIGN.md, section 6).

A damaged graph is dropped, for it can be built again. For a damaged manifest the collection goes back to an
earlier version, and everything that version does not need moves to `set-aside/<number>/` of the collection:
newer manifests, a parent that is not the one it was made from, and the files only those name. A repair that
is cut short is finished by the next one: the manifests move last, the newest before the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vego import names
from vego.errors import CollectionNotFoundError, CorruptionError, NotFoundError
from vego.store import LocalStore, Store
from vego.table.commit import SetIndex, commit
from vego.table.garbage import files_of_none
from vego.table.manifest import Manifest, files_of, load_latest, load_version, versions
from vego.table.marker import load_marker


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done: the version that is the newest now, and the files that moved, relative to the database.

    manifests: the versions set aside. files: segments, row masks and indexes that no version left names; what
    is in them is missing from the collection unless the write-ahead log has it as well.
    """

    version: int
    manifests: tuple[str, ...]
    files: tuple[str, ...]


def set_aside_versions_after(path: str | Path, collection: str, version: int) -> Repaired:
    """Make `version` the newest of the collection `collection` in the database at `path`.

    Raises NotADatabaseError, DatabaseLockedError, CollectionNotFoundError, NotFoundError (no such version;
    the message lists those there are) and CorruptionError where that version is damaged itself or lacks
    files. Nothing has been moved then.
    """
    store = LocalStore(path)
    try:
        load_marker(store)
        store.lock(names.LOCK)
        manifest = _load(store, collection, version)
        manifests, files = _not_needed(store, collection, manifest)
        if manifests or files:
            manifests, files = _move(store, collection, manifests, files)
        return Repaired(version, manifests, files)
    finally:
        store.close()


def drop_index(path: str | Path, collection: str) -> int:
    """Commit a version of the collection without its graph, and return its number.

    The graph is derived from the rows, which stay: searches scan them until `Collection.build_index`, or the
    next large insert, has built another. Raises as `set_aside_versions_after` does.
    """
    store = LocalStore(path)
    try:
        load_marker(store)
        store.lock(names.LOCK)
        manifest = load_latest(store, collection)
        if manifest is None:
            raise CollectionNotFoundError(f"{store.name}: no collection {collection!r}")
        if manifest.index is None:
            return manifest.version
        return commit(store, collection, manifest, [SetIndex(None)], summary="drop index").version
    finally:
        store.close()


def _load(store: Store, collection: str, version: int) -> Manifest:
    found = versions(store, collection)
    if not found:
        raise CollectionNotFoundError(f"{store.name}: no collection {collection!r}")
    if version not in found:
        listed = ", ".join(map(str, found))
        raise NotFoundError(f"{store.name}: {collection!r} has no version {version}; there are {listed}")
    manifest = load_version(store, collection, version)
    for path in files_of(collection, manifest):
        if not store.exists(path):
            what = f"version {version} needs this file, and it is missing"
            raise CorruptionError(f"{store.name}/{path}", 0, what, "Restore the collection from a backup")
    return manifest


def _not_needed(store: Store, collection: str, manifest: Manifest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Manifests, newest first, and files that neither `manifest` nor a sound parent of it names."""
    kept = [manifest]
    manifests = [number for number in versions(store, collection) if number > manifest.version]
    parent = manifest.parent
    if parent is not None and parent.version in versions(store, collection):
        before = _sound_parent(store, collection, parent.version, parent.crc)
        if before is None:
            manifests.append(parent.version)
        else:
            kept.append(before)
    files = files_of_none(store, collection, kept)
    paths = [names.manifest_path(collection, number) for number in sorted(manifests, reverse=True)]
    return tuple(paths), tuple(files)


def _sound_parent(store: Store, collection: str, version: int, crc: int) -> Manifest | None:
    try:
        parent = load_version(store, collection, version)
    except CorruptionError:
        return None
    return parent if parent.checksum == crc else None


def _move(
    store: Store, collection: str, manifests: tuple[str, ...], files: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Move everything, durably, and return the new paths."""
    place = names.set_aside_directory(collection)
    store.make_dirs(place)
    directory = f"{place}/{len(store.list(place)) + 1}"
    store.make_dirs(directory)
    moved = {path: f"{directory}/{path.rpartition('/')[2]}" for path in (*files, *manifests)}
    for path, new in moved.items():
        store.rename(path, new)
    for changed in dict.fromkeys([directory, *map(names.parent, moved)]):
        store.sync_dir(changed)
    return tuple(moved[path] for path in manifests), tuple(moved[path] for path in files)
