"""Opens all that the kept versions of a collection name, of one moment, and notes what cannot be opened.

As in `vego.table.opening`, only opening must happen between two commits: an open file outlives its name. Where
something is wrong and the versions have changed meanwhile, it was another process at work, and all is opened anew.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

import lance_fmt
from vego import names
from vego.errors import CommitConflictError, CorruptionError, NewerVersionError, NotFoundError, StorageError
from vego.store import Store
from vego.table.manifest import Manifest, NamedFile, load_version, named_files, versions
from vego.table.opening import log_of
from vego.table.segment import open_checked
from vego.table.versions import oldest_of_chain
from vego.wal import Log, read_wal

_ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a byte of a path, which is relative to the database."""

    path: str
    offset: int
    what: str


@dataclass(slots=True)
class OpenCollection:
    """What is there: sound manifests by version, open files by path (relative), the log of the newest version.

    `broken` are versions whose manifest is damaged or does not fit the others, with what is wrong.
    """

    store: Store
    name: str
    there: list[int]
    manifests: dict[int, Manifest] = field(default_factory=dict)
    broken: dict[int, Problem] = field(default_factory=dict)
    files: dict[str, lance_fmt.File] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    log: Log | None = None
    log_problems: list[Problem] = field(default_factory=list)

    @property
    def newest(self) -> Manifest | None:
        """The newest manifest; None where it is damaged."""
        return self.manifests.get(self.there[-1])

    @property
    def first_wal(self) -> int:
        """The oldest log segment that is needed: by the version before the newest, or for moments of the past."""
        oldest = min(oldest_of_chain(self.there), self.there[-2:][0])
        needing = (self.manifests[v].first_wal for v in self.there if v >= oldest and v in self.manifests)
        return min(needing, default=0)

    @property
    def size(self) -> int:
        """Bytes of the open files."""
        return sum(file.length for file in self.files.values())

    def note(self, path: str, error: Exception) -> None:
        """Something is wrong with a file."""
        self.problems.append(problem(path, error))

    def close(self) -> None:
        """Close every file."""
        for file in self.files.values():
            file.close()


def problem(path: str, error: Exception) -> Problem:
    """What an error says of the file at `path`. Want of descriptors says nothing of it and is raised again."""
    if isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.EMFILE, errno.ENFILE):
        raise error
    if isinstance(error, NotFoundError):
        return Problem(path, 0, "the file is missing")
    if isinstance(error, CorruptionError):
        return Problem(path, error.offset, error.what)
    return Problem(path, 0, str(error))


def open_collection(store: Store, name: str) -> OpenCollection | None:
    """Everything of the collection `name`; None if there is no such collection.

    Raises NewerVersionError; CommitConflictError where commits come faster than the files can be opened.
    """
    for _ in range(_ATTEMPTS):
        there, log = versions(store, name), _log_files(store, name)
        if not there:
            return None
        found = OpenCollection(store, name, there)
        _load_manifests(found)
        _open_files(found)
        _read_log(found)
        # A log is carried over without a new version, so where something is wrong with one, it must be the same, too.
        if versions(store, name) == there and not (found.log_problems and _log_files(store, name) != log):
            return found
        found.close()
    raise CommitConflictError(
        f"collection {name!r} of {store.name} changed {_ATTEMPTS} times while it was being opened; try again"
    )


def _load_manifests(found: OpenCollection) -> None:
    for version in found.there:
        path = names.manifest_path(found.name, version)
        try:
            found.manifests[version] = load_version(found.store, found.name, version)
        except (CorruptionError, NotFoundError, StorageError) as error:
            found.broken[version] = problem(path, error)
    for version in reversed(found.there):
        manifest = found.manifests.get(version)
        if manifest is None or manifest.parent is None:
            continue
        before = found.manifests.get(version - 1)
        if before is not None and before.checksum != manifest.parent.crc:
            what = f"version {version} was made from another version {version - 1} than this one"
            found.broken[version - 1] = Problem(names.manifest_path(found.name, version - 1), 0, what)
            del found.manifests[version - 1]
    newest = found.newest
    for version, manifest in list(found.manifests.items()):
        if newest is not None and manifest.collection_id != newest.collection_id:
            what = f"of collection {manifest.collection_id}, not of {newest.collection_id}: a file of another place"
            found.broken[version] = Problem(names.manifest_path(found.name, version), 0, what)
            del found.manifests[version]


def _open_files(found: OpenCollection) -> None:
    seen: set[NamedFile] = set()
    for manifest in found.manifests.values():
        for entry in named_files(found.name, manifest):
            if entry in seen:
                continue
            seen.add(entry)
            path, length, crc, rows = entry
            try:
                found.files[path] = open_checked(found.store, path, length, crc, rows)
            except lance_fmt.UnsupportedVersionError as error:
                raise NewerVersionError(str(error)) from error
            except (CorruptionError, NotFoundError, StorageError) as error:
                if isinstance(error.__cause__, OSError) and error.__cause__.errno in (
                    errno.EMFILE,
                    errno.ENFILE,
                ):
                    raise  # says nothing of the file
                found.note(path, error)


def _read_log(found: OpenCollection) -> None:
    newest = found.newest
    if newest is None:
        return
    try:
        found.log = log_of(found.store, found.name, newest)
    except (CorruptionError, NotFoundError, StorageError) as error:
        path = error.path.removeprefix(f"{found.store.name}/") if isinstance(error, CorruptionError) else ""
        found.log_problems.append(problem(path or names.wal_directory(found.name), error))
    else:
        _read_older_log(found, newest.collection_id)


def _read_older_log(found: OpenCollection, collection_id: str) -> None:
    """What only versions before the newest need of the log."""
    assert found.log is not None
    read = {segment.end.number for segment in found.log.segments}
    first = found.first_wal
    for number in map(names.parse_wal, _log_files(found.store, found.name)):
        if number is None or number < first or number in read:
            continue
        try:
            read_wal(found.store, found.name, number, collection_id=collection_id)
        except NotFoundError:
            continue  # another process has just removed it
        except (CorruptionError, StorageError) as error:
            found.log_problems.append(problem(names.wal_path(found.name, number), error))


def _log_files(store: Store, name: str) -> list[str]:
    try:
        return store.list(names.wal_directory(name))
    except NotFoundError:
        return []
