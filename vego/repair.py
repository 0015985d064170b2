"""Repairs of a damaged database that delete no rows (DESIGN.md, section 6).

A damaged graph is dropped, for it can be built again. For a damaged manifest the collection goes back to an
earlier version, and everything that version does not need moves to `set-aside/<number>/` of the collection:
newer manifests, a parent that is not the one it was made from, and the files only those name. A repair that
is cut short is finished by the next one: the manifests move last, the newest before the others. Of a damaged log
what comes before the damage is kept, in a segment that replaces the others. A backup is never repaired: what its
record says of it would be true no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vego import names
from vego.errors import (
    CollectionNotFoundError,
    CorruptionError,
    InvalidArgumentError,
    NotADatabaseError,
    NotFoundError,
    ReadOnlyError,
)
from vego.store import LocalStore, Store
from vego.table.commit import SetIndex, commit
from vego.table.garbage import files_of_none
from vego.table.manifest import Manifest, files_of, load_version, versions
from vego.table.marker import create_marker, load_marker
from vego.table.opening import log_of
from vego.table.versions import newest_manifest
from vego.wal import Batch, Log, read_wal, salvage_wal, sealed_copy


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done: the version that is the newest now, and the files that moved, relative to the database.

    manifests: the versions set aside. files: segments, row masks and indexes that no version left names; what
    is in them is missing from the collection unless the write-ahead log has it as well. And segments of the log, where
    it does not follow the version gone back to.
    """

    version: int
    manifests: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogCut:
    """What was done to a log: the batches that are kept, and the segments that moved.

    cut: whether anything is lost: the first damaged batch, and `lost` that are known to have followed it.
    """

    kept: int
    cut: bool
    lost: int
    moved: tuple[str, ...]


def set_aside_versions_after(path: str | Path, collection: str, version: int) -> Repaired:
    """Make `version` the newest of the collection `collection` in the database at `path`.

    Raises NotADatabaseError, DatabaseLockedError, CollectionNotFoundError, NotFoundError (no such version;
    the message lists those there are) and CorruptionError where that version is damaged itself or lacks
    files. Nothing has been moved then.
    """
    with exclusive(path) as store:
        manifest = _load(store, collection, version)
        manifests, files = _not_needed(store, collection, manifest)
        files += _log_without_beginning(store, collection, manifest)
        return _set_aside(store, collection, version, manifests, files)


def set_aside_versions(path: str | Path, collection: str, unwanted: Sequence[int]) -> Repaired:
    """Take versions that are not the newest out of the way, with the files that only they name.

    Raises as `set_aside_versions_after` does, and InvalidArgumentError for the newest version.
    """
    with exclusive(path) as store:
        there = versions(store, collection)
        if not there:
            raise CollectionNotFoundError(f"{store.name}: no collection {collection!r}")
        newest = there[-1]
        if newest in unwanted:
            raise InvalidArgumentError(
                f"{store.name}: version {newest} is the newest of {collection!r}; --to-version goes back to another"
            )
        for version in unwanted:
            if version not in there:
                raise NotFoundError(_no_version(store, collection, version, there))
        kept = _sound(store, collection, [version for version in there if version not in unwanted])
        if newest not in {manifest.version for manifest in kept}:
            load_version(store, collection, newest)  # says what is wrong with it
        manifests = tuple(
            names.manifest_path(collection, version) for version in sorted(unwanted, reverse=True)
        )
        files = tuple(files_of_none(store, collection, kept))
        return _set_aside(store, collection, newest, manifests, files)


def drop_index(path: str | Path, collection: str) -> int:
    """Commit a version of the collection without its graph, and return its number.

    The graph is derived from the rows, which stay: searches scan them until `Collection.build_index`, or the
    next large insert, has built another. Raises as `set_aside_versions_after` does.
    """
    with exclusive(path) as store:
        manifest = newest_manifest(store, collection)
        if manifest.index is None:
            return manifest.version
        return commit(store, collection, manifest, [SetIndex(None)], summary="drop index").version


def cut_log(path: str | Path, collection: str) -> LogCut:
    """Keep of a damaged log what comes before the damage; the segments read move to `set-aside/<number>/`.

    Where the newest version's log is sound, only the damaged segments that it does not need move. Raises as
    `set_aside_versions_after` does.
    """
    with exclusive(path) as store:
        manifest = newest_manifest(store, collection)
        directory = names.wal_directory(collection)
        parsed = (names.parse_wal(file) for file in store.list(directory))
        numbers = sorted(number for number in parsed if number is not None)
        with suppress(CorruptionError):
            log = log_of(store, collection, manifest)
            read = {segment.end.number for segment in log.segments}
            others = [number for number in numbers if number not in read]
            damaged = [number for number in others if not _readable(store, collection, number, manifest)]
            return LogCut(len(log.batches), False, 0, _move_log(store, collection, damaged))
        numbers = [number for number in numbers if number >= manifest.first_wal]
        kept: list[Batch] = []
        next_lsn = last_lsn = manifest.flushed_lsn + 1
        for number in numbers:
            for batch in salvage_wal(store, collection, number, collection_id=manifest.collection_id):
                last_lsn = max(last_lsn, batch.lsn + 1)
                if batch.lsn == next_lsn:
                    kept.append(batch)
                    next_lsn += 1
        log = Log((), tuple(kept), numbers[-1] + 1, next_lsn)
        data = sealed_copy(log, manifest.collection_id, store.new_id())
        store.put_if_absent(names.wal_path(collection, log.next_number), data)
        moved, _ = _move(
            store, collection, tuple(names.wal_path(collection, number) for number in numbers), ()
        )
        return LogCut(len(kept), True, max(0, last_lsn - next_lsn - 1), moved)


def write_marker(path: str | Path) -> str:
    """Write a new marker where it is damaged or missing, and return the database's id, a new one then.

    Nothing hangs on that id but which backups may be the base of others. Raises NotADatabaseError where there is no
    collection either, DatabaseLockedError.
    """
    store = LocalStore(path)
    try:
        _refuse_backup(store)
        with suppress(CorruptionError, NotADatabaseError):
            found = load_marker(store)
            assert found is not None
            return found.database_id
        stored = store.list(names.COLLECTIONS) if store.exists(names.COLLECTIONS) else []
        if not any(names.is_collection(name) and versions(store, name) for name in stored):
            raise NotADatabaseError(
                f"{store.name}: not a Vego database: there is no collection in it, either"
            )
        store.lock(names.LOCK)
        if store.exists(names.MARKER):
            _move_to(store, names.SET_ASIDE, [names.MARKER])
        return create_marker(store).database_id
    finally:
        store.close()


@contextmanager
def exclusive(path: str | Path) -> Iterator[Store]:
    """The store of a database that nobody else writes to until the block ends."""
    store = LocalStore(path)
    try:
        load_marker(store)
        _refuse_backup(store)
        store.lock(names.LOCK)
        yield store
    finally:
        store.close()


def _refuse_backup(store: Store) -> None:
    if store.exists(names.BACKUP):
        raise ReadOnlyError(
            f"{store.name}: this is a backup, and a repair would spoil it; copy the directory, remove the copy's file "
            f"{names.BACKUP}, and repair the copy"
        )


def _readable(store: Store, collection: str, number: int, manifest: Manifest) -> bool:
    try:
        read_wal(store, collection, number, collection_id=manifest.collection_id)
    except CorruptionError:
        return False
    return True


def _move_log(store: Store, collection: str, numbers: Sequence[int]) -> tuple[str, ...]:
    paths = tuple(names.wal_path(collection, number) for number in numbers)
    return _move(store, collection, paths, ())[0] if paths else ()


def _no_version(store: Store, collection: str, version: int, there: Sequence[int]) -> str:
    return f"{store.name}: {collection!r} has no version {version}; there are {', '.join(map(str, there))}"


def _load(store: Store, collection: str, version: int) -> Manifest:
    found = versions(store, collection)
    if not found:
        raise CollectionNotFoundError(f"{store.name}: no collection {collection!r}")
    if version not in found:
        raise NotFoundError(_no_version(store, collection, version, found))
    manifest = load_version(store, collection, version)
    for path in files_of(collection, manifest):
        if not store.exists(path):
            what = f"version {version} needs this file, and it is missing"
            raise CorruptionError(f"{store.name}/{path}", 0, what, "Restore the collection from a backup")
    return manifest


def _not_needed(store: Store, collection: str, manifest: Manifest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Manifests, newest first, and files that neither `manifest` nor a sound version before it names."""
    there = versions(store, collection)
    manifests = [number for number in there if number > manifest.version]
    kept = _sound(store, collection, [number for number in there if number <= manifest.version])
    parent = manifest.parent
    if parent is not None and parent.version in there:
        before = next((one for one in kept if one.version == parent.version), None)
        if before is None or before.checksum != parent.crc:
            manifests.append(parent.version)
            kept = [one for one in kept if one.version != parent.version]
    files = files_of_none(store, collection, kept)
    paths = [names.manifest_path(collection, number) for number in sorted(manifests, reverse=True)]
    return tuple(paths), tuple(files)


def _log_without_beginning(store: Store, collection: str, manifest: Manifest) -> tuple[str, ...]:
    """The log where it does not follow `manifest`: only the newest version and the one before have theirs for sure."""
    newest = versions(store, collection)[-1]
    if manifest.version >= newest - 1:
        return ()
    try:
        log_of(store, collection, manifest)
    except CorruptionError:
        directory = names.wal_directory(collection)
        return tuple(
            f"{directory}/{file}" for file in store.list(directory) if names.parse_wal(file) is not None
        )
    return ()


def _sound(store: Store, collection: str, wanted: Sequence[int]) -> list[Manifest]:
    """Those of the versions whose manifests can be read."""
    found = []
    for version in wanted:
        with suppress(CorruptionError):
            found.append(load_version(store, collection, version))
    return found


def _set_aside(
    store: Store, collection: str, version: int, manifests: tuple[str, ...], files: tuple[str, ...]
) -> Repaired:
    if manifests or files:
        manifests, files = _move(store, collection, manifests, files)
    return Repaired(version, manifests, files)


def _move(
    store: Store, collection: str, manifests: tuple[str, ...], files: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Move everything, durably, and return the new paths."""
    moved = _move_to(store, names.set_aside_directory(collection), [*files, *manifests])
    return tuple(moved[path] for path in manifests), tuple(moved[path] for path in files)


def _move_to(store: Store, place: str, paths: Sequence[str]) -> dict[str, str]:
    """Move files to a new directory in `place`, durably and in this order; their new paths by the old ones."""
    store.make_dirs(place)
    directory = f"{place}/{len(store.list(place)) + 1}"
    store.make_dirs(directory)
    moved = {path: f"{directory}/{path.rpartition('/')[2]}" for path in paths}
    for path, new in moved.items():
        store.rename(path, new)
    for changed in dict.fromkeys([directory, *map(names.parent, moved)]):
        store.sync_dir(changed)
    return moved
