"""Which versions of a collection are kept, and which files nothing needs any more.

The newest version and the one before it are always kept, the log included, so that a damaged newest manifest can
be set aside without losing anything (I6). Of the others, retention decides: so many of the newest, those that were
the newest at some moment of the last seconds, those with a tag, and those that somebody in this process holds. Kept
versions keep their files. Those that follow one another up to the newest keep the log as well, so that every moment
from the first of them on can be gone back to (`vego.table.point_in_time`).

Where several processes write, a file that no manifest names may be on its way into one: it goes when it is old.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock

from vego import names
from vego.errors import CorruptionError, NotFoundError, StorageError
from vego.store import Store
from vego.table.manifest import Manifest, files_of, load_version, versions
from vego.table.versions import oldest_of_chain

GRACE_US = 3_600_000_000  # from the last write to a file until nobody can be about to commit it
# Where several processes write, younger versions stay: whoever has just committed one looks whether it landed.
LANDING_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Retention:
    """Versions kept besides the newest two, the tagged and the held: the `newest`, and those that were the newest at
    some moment of the last `seconds`.
    """

    newest: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection of garbage removed."""

    versions: int = 0
    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Needs:
    """What of a manifest counts here."""

    created_us: int
    first_wal: int
    files: frozenset[str]


class _Removed:
    """Deletes files and counts them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.files = self.bytes = 0

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            with suppress(NotFoundError):
                length = self._store.size(path)
                self._store.delete(path)
                self.files, self.bytes = self.files + 1, self.bytes + length


class Garbage:
    """Deletes files of one collection that no kept version needs. Any thread may hold versions and files."""

    def __init__(self, store: Store, collection: str, *, shared: bool = False) -> None:
        self._store = store
        self._shared = shared
        self._collection = collection
        self._held: Counter[int] = Counter()
        self._unfinished: list[set[str]] = []
        self._lock = Lock()
        self._swept = False
        self._there: list[int] | None = None  # the versions that there are, where that is known
        self._needs: dict[int, _Needs] = {}  # manifests never change, so each is read once

    @contextmanager
    def held(self, version: int) -> Iterator[None]:
        """Keep a version, which is there, and all its files until the block ends."""
        with self._lock:
            self._held[version] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[version] -= 1

    @contextmanager
    def unfinished(self) -> Iterator[set[str]]:
        """A set to put the paths of files into that no manifest names yet; they stay until the block ends."""
        mine: set[str] = set()
        with self._lock:
            self._unfinished.append(mine)
        try:
            yield mine
        finally:
            with self._lock:
                self._unfinished.remove(mine)

    def collect(
        self, manifest: Manifest, retention: Retention, *, superseded: Collection[int] = ()
    ) -> Collected:
        """Delete what no kept version needs; `manifest` is the newest.

        All that the log segments `superseded` hold is in later ones. Where a kept manifest cannot be read, nothing is
        deleted: what it needs is not known. A failure to delete is no error: the next collection tries again.
        """
        removed, outdated = _Removed(self._store), list[int]()
        with suppress(CorruptionError, NotFoundError, StorageError):
            there = self._versions(manifest.version)
            outdated = self._outdated(manifest, there, retention)
            gone = set(outdated)
            kept = [version for version in there if version < manifest.version and version not in gone]
            # While no version goes, no file does, but for those that a process left when it died.
            if outdated or not self._swept:
                self._there = None  # until it is known that all went well
                self._sweep(manifest, kept, outdated, removed)
                self._swept = True
                for version in outdated:
                    self._needs.pop(version, None)
                self._there = [*kept, manifest.version]
            removed.delete(self._old_log(manifest, kept, superseded))
        return Collected(len(outdated) if removed.files else 0, removed.files, removed.bytes)

    def _versions(self, newest: int) -> list[int]:
        """The versions that there are. Who writes alone makes and deletes all of them, and need not look each time."""
        there = self._there
        if self._shared or there is None or newest < there[-1]:
            there = versions(self._store, self._collection)
        elif newest == there[-1] + 1:
            there.append(newest)
        elif newest != there[-1]:
            there = versions(self._store, self._collection)
        self._there = there or None
        return there

    def _sweep(
        self, manifest: Manifest, kept: Sequence[int], outdated: Sequence[int], removed: _Removed
    ) -> None:
        store, collection = self._store, self._collection
        unnamed = None if self._shared else self._unneeded(manifest, kept, outdated)
        needed = set(files_of(collection, manifest)) | (self._files_of(kept) if self._shared else set())
        named = self._files_of(outdated) if self._shared else set()
        # Manifests go first: one that is there has its files. Whoever goes back to one of these, or tags it,
        # looks afterwards whether it still is there; so a later version seen now is the last to need its files.
        removed.delete([names.manifest_path(collection, version) for version in outdated])
        if unnamed is None:
            needed |= self._files_of([v for v in versions(store, collection) if v > manifest.version])
            with self._lock:
                needed.update(*self._unfinished)
            unnamed = self._unnamed(needed, named)
        if outdated and unnamed:  # a power cut must not bring back a manifest whose files are gone
            store.sync_dir(names.manifest_directory(collection))
        removed.delete(unnamed)

    def _unneeded(self, manifest: Manifest, kept: Sequence[int], outdated: Sequence[int]) -> list[str]:
        """Files that no kept version needs, where nobody else writes.

        The first time that is whatever else there is, later on what the outdated versions name. Kept versions are
        only looked at until each of these files is found in one, as most are in the newest or the oldest.
        """
        unnamed = set[str]()
        whatever = not self._swept
        if not whatever:
            try:
                unnamed = self._files_of(outdated)
            except (CorruptionError, NotFoundError):
                whatever = True
        if whatever:
            unnamed.update(self._unnamed(set(), set()))
        unnamed.difference_update(files_of(self._collection, manifest))
        with self._lock:
            unnamed.difference_update(*self._unfinished)
        for version in kept:
            if not unnamed:
                break
            unnamed -= self._load(version).files
        return sorted(unnamed)

    def _files_of(self, numbers: Sequence[int]) -> set[str]:
        files: set[str] = set()
        for version in numbers:
            try:
                files |= self._load(version).files
            except NotFoundError:
                if not self._shared:  # else another process collected it
                    raise
        return files

    def _unnamed(self, needed: set[str], outdated: set[str]) -> list[str]:
        """Files that are not `needed`; where others write, those that outdated versions name, and old ones."""
        store, collection = self._store, self._collection
        directory = names.manifest_directory(collection)
        paths = [f"{directory}/{file}" for file in store.list(directory) if names.is_temporary(file)]
        paths += _others(store, collection, needed)
        if not self._shared:
            return paths
        before = store.now_us() - GRACE_US
        surely = []
        for path in paths:
            with suppress(NotFoundError):
                if path in outdated or store.modified_us(path) < before:
                    surely.append(path)
        return surely

    def _old_log(self, manifest: Manifest, kept: Sequence[int], superseded: Collection[int]) -> list[str]:
        """Segments from before the first of the kept versions that follow one another up to the newest."""
        directory = names.wal_directory(self._collection)
        files = self._store.list(directory)
        if not files:
            return []
        oldest = oldest_of_chain([*kept, manifest.version])
        first_wal = manifest.first_wal if oldest == manifest.version else self._load(oldest).first_wal
        return [
            f"{directory}/{file}"
            for file in files
            if names.is_temporary(file)
            or (
                (number := names.parse_wal(file)) is not None and (number < first_wal or number in superseded)
            )
        ]

    def _outdated(self, manifest: Manifest, there: Sequence[int], retention: Retention) -> list[int]:
        """The versions before the newest that are not kept, oldest first."""
        with self._lock:
            wanted = {version for version, holders in self._held.items() if holders}
        wanted.update(manifest.tags.values())
        earlier = there[: bisect_left(there, manifest.version)]
        older = earlier[: -(max(retention.newest, 2) - 1)]  # than those kept for their number
        seconds = max(retention.seconds, LANDING_SECONDS if self._shared else 0)
        if seconds > 0:  # times grow with versions
            since = self._store.now_us() - int(seconds * 1e6)
            first = bisect_left(older, since, key=lambda version: self._load(version).created_us)
            if retention.seconds > 0 and first > 0:
                # Where a user wants the last seconds, also the version that was the newest when they began.
                ended = self._load(earlier[first]) if first < len(earlier) else manifest
                first -= ended.created_us >= since
            older = older[:first]
        return [version for version in older if version not in wanted]

    def _load(self, version: int) -> _Needs:
        if version not in self._needs:
            manifest = load_version(self._store, self._collection, version)
            self._needs[version] = _needs_of(self._collection, manifest)
        return self._needs[version]


def files_of_none(store: Store, collection: str, manifests: Sequence[Manifest]) -> list[str]:
    """Paths of the segments, row masks and indexes that none of `manifests` names."""
    needed = {path for manifest in manifests for path in files_of(collection, manifest)}
    return _others(store, collection, needed)


def _needs_of(collection: str, manifest: Manifest) -> _Needs:
    return _Needs(manifest.created_us, manifest.first_wal, frozenset(files_of(collection, manifest)))


def _others(store: Store, collection: str, needed: set[str]) -> list[str]:
    return [
        path
        for directory in names.file_directories(collection)
        for path in (f"{directory}/{file}" for file in store.list(directory))
        if path not in needed
    ]
