"""What backing up and restoring share: a directory that is filled whole or not at all, and copying with a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vego import names
from vego.backup.record import FileEntry, load_record
from vego.errors import InvalidArgumentError, NotFoundError, VegoError
from vego.store import LocalStore, Store
from vego.store.base import ReadAt

Progress = Callable[[int, int], None]

_CHUNK = 4 << 20


class Meter:
    """Bytes done of a total, for whoever wants to know."""

    def __init__(self, report: Progress | None, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def add(self, count: int) -> None:
        """`count` more bytes are done."""
        self._done += count
        if self._report is not None:
            self._report(self._done, self._total)


def is_backup(path: str | Path) -> bool:
    """Whether a directory is a backup."""
    store = LocalStore(Path(path).expanduser(), read_only=True)
    try:
        return store.exists(names.BACKUP)
    finally:
        store.close()


@contextmanager
def new_directory(path: str | Path, source: Store, what: str) -> Iterator[LocalStore]:
    """A store on a new or empty directory outside of `source`. Whatever error ends the block empties it again.

    Raises InvalidArgumentError for a directory with something in it, DatabaseLockedError where another process
    fills it just now, StorageError.
    """
    target = LocalStore(Path(path).expanduser())
    _check_outside(target, source, what)
    try:
        _check_empty(target, what)
        made = not target.exists("")
        target.make_dirs("")
        target.lock(names.LOCK)  # two at once would take each other's files for remains
        _check_empty(target, what)
        try:
            yield target
        except BaseException:
            _remove(target.name, root=made)
            raise
    finally:
        target.close()


@contextmanager
def existing_directory(path: str | Path, source: Store) -> Iterator[LocalStore]:
    """A store on a directory that is a backup already, for adding to it. An error takes away what was added.

    Raises DatabaseLockedError where another process does so just now, CorruptionError, StorageError.
    """
    target = LocalStore(Path(path).expanduser())
    _check_outside(target, source, "a backup")
    try:
        target.lock(names.LOCK)
        _sweep(target)
        yield target
    except BaseException:
        target.close()
        again = LocalStore(target.root)  # the one that failed may write no more
        with suppress(VegoError):
            again.lock(names.LOCK)
            _sweep(again)
        again.close()
        raise
    finally:
        target.close()


def _check_outside(target: Store, source: Store, what: str) -> None:
    if Path(target.name).resolve().is_relative_to(Path(source.name).resolve()):
        raise InvalidArgumentError(f"{target.name}: {what} needs a directory outside of {source.name}")


def _sweep(target: Store) -> None:
    """Remove what the record of a backup does not name: remains of an addition that was cut short."""
    named = {entry.path for entry in load_record(target).files}
    for name in target.list(""):
        if names.is_temporary(name):
            target.delete(name)
    for collection in target.list(names.COLLECTIONS):
        for directory in target.list(f"{names.COLLECTIONS}/{collection}"):
            place = f"{names.COLLECTIONS}/{collection}/{directory}"
            for file in target.list(place):
                if f"{place}/{file}" not in named:
                    target.delete(f"{place}/{file}")


def copy_file(source: ReadAt, target: Store, path: str, meter: Meter) -> FileEntry:
    """Copy a file, durable except for its directory entry, and hash it on the way."""
    digest = hashlib.sha256()
    with target.create(path) as file:
        for data in _chunks(source, meter):
            digest.update(data)
            file.write(data)
        file.commit()
    return FileEntry(path, source.size(), digest.hexdigest())


def hash_file(source: ReadAt, meter: Meter) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for data in _chunks(source, meter):
        digest.update(data)
    return digest.hexdigest()


def _chunks(source: ReadAt, meter: Meter) -> Iterator[bytes]:
    size = source.size()
    for offset in range(0, size, _CHUNK):
        data = source.read_at(offset, min(_CHUNK, size - offset))
        yield data
        meter.add(len(data))


def _check_empty(target: Store, what: str) -> None:
    try:
        found = [name for name in target.list("") if name != names.LOCK]
    except NotFoundError:
        found = ["a file"] if target.exists("") else []
    if found:
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise InvalidArgumentError(
            f"{target.name}: {what} needs a new or an empty directory, found {shown}; give another path, or remove "
            "what an earlier attempt left there"
        )


def _remove(path: str, *, root: bool) -> None:
    """Best effort: what stays behind has no BACKUP and no marker, so nobody takes it for whole."""
    store = LocalStore(path)  # the one that failed may write no more
    with suppress(VegoError):
        for name in (names.BACKUP, names.MARKER):
            store.delete(name)
        store.sync_dir("")
        store.remove_tree(names.COLLECTIONS)
        for name in store.list(""):
            store.delete(name)
        if root:
            store.remove_tree("")
    store.close()
