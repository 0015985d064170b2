"""The past of a collection: opening an earlier version or a moment, naming it, going back to it, branching from it.

Functions of `IndexedRows`, called as its methods are: what changes something by one thread at a time.
"""

from __future__ import annotations

from datetime import datetime

from vego import names
from vego.errors import CommitUncertainError, NotFoundError, ReadOnlyError, StorageError
from vego.index.indexed_rows import IndexedRows
from vego.table.branching import branch as write_branch
from vego.table.commit import SetContents, SetTag, commit
from vego.table.opening import open_version
from vego.table.point_in_time import NEWEST, contents_of, open_moment
from vego.table.versions import Version, find_version, list_versions, moment_of, version_of_tag


def versions(rows: IndexedRows) -> list[Version]:
    """The versions that are kept, oldest first."""
    return list_versions(rows.store, rows.rows.collection)


def at(
    rows: IndexedRows,
    version: int | None,
    timestamp: datetime | str | None = None,
    tag: str | None = None,
) -> IndexedRows:
    """The rows of an earlier version, or of a moment, for reading.

    Raises NotFoundError, CorruptionError, StorageError; CommitUncertainError where it is not known what of the
    log is durable.
    """
    store, collection = rows.store.for_reading(), rows.rows.collection
    if timestamp is None or version is not None or tag is not None:
        manifest = find_version(store, collection, version=version, timestamp=timestamp, tag=tag)
        return IndexedRows(store, collection, open_version(store, collection, manifest))
    upto_lsn = NEWEST
    if not rows.store.read_only:  # nobody sees what is not durable
        upto_lsn = rows.rows.last_lsn
        rows.rows.wait(upto_lsn)
    files = open_moment(store, collection, timestamp, upto_lsn=upto_lsn)
    return IndexedRows(store, collection, files)


def tag(rows: IndexedRows, name: str, version: int | None) -> int:
    """Commit a tag; `version` None means all that is there now."""
    if version is None:
        rows.flush()
        version = rows.rows.manifest.version
    else:
        find_version(rows.store, rows.rows.collection, version=version)
    rows.rows.commit([SetTag(name, version)], f"tag {name}")
    if not _is_there(rows, version):
        rows.rows.commit([SetTag(name, None)], f"untag {name}")
        raise NotFoundError(f"version {version} of {rows.rows.collection!r} was collected by another process")
    return version


def untag(rows: IndexedRows, name: str) -> None:
    """Commit that a tag is gone; NotFoundError where it is not there. Its version may be damaged."""
    version_of_tag(rows.rows.manifest, rows.rows.collection, name)
    rows.rows.commit([SetTag(name, None)], f"untag {name}")


def restored(
    rows: IndexedRows,
    version: int | None,
    timestamp: datetime | str | None = None,
    tag: str | None = None,
) -> IndexedRows:
    """Commit the contents of an earlier version, or of a moment, anew and open the outcome; these rows are to be
    closed.
    """
    store, rowstore = rows.store, rows.rows
    # Before the flush, which makes a version and may let this one go. What cannot be read is not gone back to.
    past = at(rows, version, timestamp, tag)
    old = past.rows.manifest
    try:
        past.rows.slot_of("")  # makes the map of ids, which reads all of them
        with rowstore.garbage.held(old.version):
            rows.flush()
            now = rowstore.manifest
            contents = contents_of(store, rowstore.collection, past.rows)
            name = f"version {old.version}" if timestamp is None else moment_of(timestamp).isoformat()
            rowstore.commit([contents], f"restore {name}", reopen=True)
    finally:
        past.close()
    if not _is_there(rows, old.version):  # its files may be gone as well
        undo = [SetContents(now.segments, now.index)]
        commit(store, rowstore.collection, rowstore.manifest, undo, summary="undo", shared=True)
    try:
        return rows.reopened()
    except (StorageError, ReadOnlyError) as error:
        raise CommitUncertainError(
            f"collection {rowstore.collection!r} went back to version {old.version}, but that could not be opened: "
            f"{error}; close the database and open it again"
        ) from error


def branch(
    rows: IndexedRows,
    name: str,
    version: int | None,
    timestamp: datetime | str | None,
    tag: str | None,
) -> None:
    """Make the collection `name` of an earlier version, of a moment, or of what is there now."""
    if version is None and timestamp is None and tag is None:
        rows.flush()
        version = rows.rows.manifest.version
    past = at(rows, version, timestamp, tag)
    try:
        with rows.rows.garbage.held(past.rows.manifest.version):
            what = past.rows.manifest.version if timestamp is None else moment_of(timestamp).isoformat()
            write_branch(rows.store, name, past.rows, f"{rows.rows.collection}@{what}")
    finally:
        past.close()


def _is_there(rows: IndexedRows, version: int) -> bool:
    """Whether a version that was just made use of has not been collected by another process before."""
    path = names.manifest_path(rows.rows.collection, version)
    return not rows.shared or rows.store.exists(path)
