"""Commits: how one version of a collection becomes the next.

A commit is a list of actions, which are values. `apply` is pure and checks what an action requires; the
commit itself is the exclusive creation of the next manifest (`Store.put_if_absent`). So there are three ends:
it landed; CommitConflictError, it did not; CommitUncertainError, nobody knows before the database is opened
again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from vego import names
from vego.errors import CommitConflictError, CommitUncertainError, NotFoundError
from vego.store import Store
from vego.table.manifest import (
    DeletesEntry,
    IndexEntry,
    Manifest,
    Parent,
    SegmentEntry,
    files_of,
    load_version,
    newest_version,
    versions,
)
from vego.table.partition import Partition


@dataclass(frozen=True, slots=True)
class AddSegment:
    """Append a segment; its rows get the next slots. Requires that no file of that name is there."""

    segment: SegmentEntry


@dataclass(frozen=True, slots=True)
class SetDeletes:
    """Replace the row mask of segment `file`. Requires the segment, and that no delete is taken back."""

    file: str
    deletes: DeletesEntry


@dataclass(frozen=True, slots=True)
class SetIndex:
    """Replace the index; None drops it. Requires the rows that it covers."""

    index: IndexEntry | None


@dataclass(frozen=True, slots=True)
class AdvanceWal:
    """Say that operations up to `flushed_lsn` are in segments, and log segments before `first_wal` not
    needed.

    Requires that neither goes back.
    """

    flushed_lsn: int
    first_wal: int


@dataclass(frozen=True, slots=True)
class SetOptions:
    """Replace the options, a JSON object."""

    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReplaceSegments:
    """Put `new` (None: nothing) where the first of the segments `files` is. Requires that they follow one another,
    others between them only where all are of one partition.

    Where slots move by that, an index that knows them is dropped.
    """

    files: tuple[str, ...]
    new: SegmentEntry | None


@dataclass(frozen=True, slots=True)
class DropPartition:
    """Drop all rows of a partition: its segments lose their files and keep their slots, dead ones."""

    partition: Partition


@dataclass(frozen=True, slots=True)
class SetTag:
    """Name a version; None takes the name away. Requires that the version is not a later one."""

    name: str
    version: int | None


@dataclass(frozen=True, slots=True)
class SetContents:
    """Replace all segments and the index, as going back to an earlier version does."""

    segments: tuple[SegmentEntry, ...]
    index: IndexEntry | None


Action = (
    AddSegment
    | SetDeletes
    | SetIndex
    | AdvanceWal
    | SetOptions
    | ReplaceSegments
    | DropPartition
    | SetTag
    | SetContents
)


def apply(action: Action, manifest: Manifest) -> Manifest:
    """`manifest` after `action`. Raises CommitConflictError if what the action requires does not hold."""
    match action:
        case AddSegment(segment):
            if any(entry.file == segment.file for entry in manifest.segments):
                raise _conflict(manifest, f"segment {segment.file} is there already")
            return replace(manifest, segments=(*manifest.segments, segment))
        case SetDeletes(file, deletes):
            return replace(manifest, segments=_with_deletes(manifest, file, deletes))
        case SetIndex(index):
            if index is not None and index.rows > manifest.rows:
                raise _conflict(manifest, f"the index covers {index.rows} rows, there are {manifest.rows}")
            return replace(manifest, index=index)
        case AdvanceWal(flushed_lsn, first_wal):
            if flushed_lsn < manifest.flushed_lsn or first_wal < manifest.first_wal:
                raise _conflict(
                    manifest,
                    f"LSN {flushed_lsn} and log segment {first_wal} lie before LSN {manifest.flushed_lsn} "
                    f"and log segment {manifest.first_wal}",
                )
            return replace(manifest, flushed_lsn=flushed_lsn, first_wal=first_wal)
        case SetOptions(options):
            return replace(manifest, options=options)
        case ReplaceSegments(files, new):
            return _with_replaced(manifest, files, new)
        case DropPartition(partition):
            segments = tuple(
                entry.without_rows() if entry.partition == partition else entry for entry in manifest.segments
            )
            return replace(manifest, segments=segments)
        case SetTag(name, version):
            if version is not None and version > manifest.version:
                raise _conflict(manifest, f"tag {name!r} cannot name the later version {version}")
            others = {tag: named for tag, named in manifest.tags.items() if tag != name}
            return replace(manifest, tags=others if version is None else others | {name: version})
        case SetContents(segments, index):
            return replace(manifest, segments=segments, index=index)
        case _:
            assert_never(action)


def commit(
    store: Store,
    collection: str,
    base: Manifest,
    actions: Sequence[Action],
    *,
    summary: str = "",
    writer: str = "vego",
    shared: bool = False,
    after_us: int = 0,
) -> Manifest:
    """Make `base` with `actions` applied the next version, durably, and return it.

    The files that the actions name must be synced; their directory entries are synced here. Raises
    CommitConflictError (another commit took the version, or a requirement does not hold; nothing was
    changed), StorageError (nothing was changed) or CommitUncertainError (unknown; nothing may be deleted).
    `shared` says that other processes may commit and collect garbage meanwhile. The version is later than `after_us`.
    """
    manifest = base
    for action in actions:
        manifest = apply(action, manifest)
    manifest = replace(
        manifest,
        version=base.version + 1,
        commit_id=store.new_id(),
        # Time goes on, whatever the clock does.
        created_us=max(store.now_us(), base.created_us + 1, after_us + 1),
        parent=Parent(version=base.version, crc=base.checksum),
        writer=writer,
        summary=summary,
    )
    new = set(files_of(collection, manifest)).difference(files_of(collection, base))
    for directory in sorted({names.parent(path) for path in new}):
        store.sync_dir(directory)
    # The base may be of a process that died before its own sync: a child must not outlive its parent.
    store.sync_dir(names.manifest_directory(collection))
    # Who writes alone does not list all versions each time.
    if shared or store.exists(names.manifest_path(collection, manifest.version + 1)):
        _refuse_late(store, collection, manifest)
    _publish(store, collection, manifest)
    if shared:
        _check_landed(store, collection, manifest)
    return manifest


def new_files(collection: str, actions: Sequence[Action]) -> list[str]:
    """Paths of the files that were written for `actions`."""
    paths = []
    for action in actions:
        match action:
            case AddSegment(segment):
                paths.append(names.data_path(collection, segment.file))
            case ReplaceSegments(_, new) if new is not None:
                paths.append(names.data_path(collection, new.file))
            case SetDeletes(_, deletes):
                paths.append(names.deletes_path(collection, deletes.file))
            case SetIndex(index) if index is not None:
                paths.append(names.index_path(collection, index.file))
    return paths


def create_collection(
    store: Store,
    collection: str,
    *,
    dimension: int,
    metric: str,
    options: Mapping[str, Any],
    writer: str = "vego",
    summary: str = "create collection",
    contents: SetContents | None = None,
) -> Manifest:
    """Make the directories and version 1 of a collection; CommitConflictError if there is such a one.

    The files of `contents` are there already, durably.
    """
    manifest = Manifest(
        version=1,
        collection_id=store.new_id(),
        commit_id=store.new_id(),
        created_us=store.now_us(),
        dimension=dimension,
        metric=metric,
        options=options,
        writer=writer,
        summary=summary,
    )
    if contents is not None:
        manifest = apply(contents, manifest)
    store.make_dirs(
        *names.file_directories(collection),
        names.wal_directory(collection),
        names.manifest_directory(collection),
    )
    _refuse_late(store, collection, manifest)
    _publish(store, collection, manifest)
    return manifest


def _refuse_late(store: Store, collection: str, manifest: Manifest) -> None:
    newest = newest_version(store, collection)
    if newest > manifest.version:  # the one with our number may have been collected since
        raise CommitConflictError(
            f"collection {collection!r}: version {newest} is there already, so {manifest.version} comes too "
            "late; nothing was changed. Read the newest version and try again"
        )


def _publish(store: Store, collection: str, manifest: Manifest) -> None:
    try:
        store.put_if_absent(names.manifest_path(collection, manifest.version), manifest.to_bytes())
    except FileExistsError:
        # A store that repeats a request whose answer was lost meets its own first attempt.
        try:
            winner = load_version(store, collection, manifest.version)
        except NotFoundError:  # collected by now
            winner = None
        if winner is None or winner.commit_id != manifest.commit_id:
            who = (
                ""
                if winner is None
                else f" ({winner.summary or 'no summary'}, by {winner.writer or 'unknown'})"
            )
            raise CommitConflictError(
                f"collection {collection!r}: version {manifest.version} was taken by another commit{who}; nothing was "
                "changed. Read the newest version and try again"
            ) from None


def _check_landed(store: Store, collection: str, manifest: Manifest) -> None:
    """See that a version that was just created continues the chain.

    A process that slept between looking and linking may create a version that the others have had and collected
    long ago. Later versions are there then, so nobody ever takes this one for the newest; it is removed.
    """
    version = manifest.version
    if newest_version(store, collection) == version:
        return
    there = versions(store, collection)
    try:
        child = load_version(store, collection, version + 1)
    except NotFoundError:
        child = None
    if child is not None and child.parent == Parent(version=version, crc=manifest.checksum):
        return
    if version not in there:
        raise CommitUncertainError(
            f"collection {collection!r}: version {version} was committed and collected before it could be seen that "
            "it continues the one before; read the newest version to find out"
        )
    store.delete(names.manifest_path(collection, version))
    raise CommitConflictError(
        f"collection {collection!r}: version {there[-1]} is there already, so {version} comes too late; nothing was "
        "changed. Read the newest version and try again"
    )


def _with_deletes(manifest: Manifest, file: str, deletes: DeletesEntry) -> tuple[SegmentEntry, ...]:
    for position, entry in enumerate(manifest.segments):
        if entry.file == file:
            if entry.deletes is not None and deletes.count < entry.deletes.count:
                raise _conflict(
                    manifest, f"segment {file} has {entry.deletes.count} deletes, not {deletes.count}"
                )
            if deletes.count > entry.rows:
                raise _conflict(manifest, f"segment {file} has {entry.rows} rows, not {deletes.count}")
            if entry.dropped:
                raise _conflict(manifest, f"segment {file} was dropped with its partition")
            changed = replace(entry, deletes=deletes)
            return (*manifest.segments[:position], changed, *manifest.segments[position + 1 :])
    raise _conflict(manifest, f"segment {file} is not there")


def _with_replaced(manifest: Manifest, files: tuple[str, ...], new: SegmentEntry | None) -> Manifest:
    place = {entry.file: position for position, entry in enumerate(manifest.segments)}
    positions = [place.get(file, -1) for file in files]
    first = min(positions, default=-1)
    neighbours = positions == list(range(first, first + len(files)))
    gone = [manifest.segments[position] for position in positions if position >= 0]
    partitions = {entry.partition for entry in (*gone, *([] if new is None else [new]))}
    together = len(partitions) == 1 and (neighbours or None not in partitions)
    if first < 0 or positions != sorted(set(positions)) or not together:
        raise _conflict(manifest, f"segments {', '.join(files)} do not follow one another")
    away = set(files)
    behind = [entry for entry in manifest.segments[first:] if entry.file not in away]
    segments = (*manifest.segments[:first], *((new,) if new is not None else ()), *behind)
    index = manifest.index
    moved = not neighbours or sum(entry.rows for entry in gone) != (0 if new is None else new.rows)
    if moved and index is not None and index.rows > sum(entry.rows for entry in manifest.segments[:first]):
        index = None
    return replace(manifest, segments=segments, index=index)


def _conflict(manifest: Manifest, what: str) -> CommitConflictError:
    return CommitConflictError(f"version {manifest.version} of the collection: {what}; nothing was changed")
