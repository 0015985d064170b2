"""Restores a backup: copies it to a new directory, checking every hash on the way, and makes that a database last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vego import names
from vego.backup.copying import Meter, copy_file, new_directory
from vego.backup.past import PastState, states_at
from vego.backup.record import BackupRecord, FileEntry, load_record
from vego.errors import CorruptionError, NotFoundError
from vego.progress import progress_of
from vego.store import LocalStore, Store


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored: the directory, when the backup was taken, the newest version of each collection, files and
    bytes.
    """

    path: str
    backup_id: str
    created_us: int
    collections: dict[str, int]
    files: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def restore(
    backup: str | Path,
    path: str | Path,
    *,
    until: datetime | str | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> RestoreReport:
    """Copy the database in the directory `backup` to the new or empty directory `path`, checking every byte.

    The new directory is a database only when all of it is there, durably; after an error nothing is left in it.
    until: a moment (a datetime or ISO 8601 text, UTC where it does not say); every collection is as it was then, and
    those that came later are left out. For that the backup needs the past (`Database.backup(history=True)`).
    progress: True for a bar on stderr, or a function of (bytes done, bytes in all).

    Raises NotADatabaseError (no backup, or one that was cut short), CorruptionError naming the damaged file,
    InvalidArgumentError (the directory is not empty), NotFoundError (a moment before what the backup has, or after it
    was taken; it names what can be reached), NewerVersionError, StorageError.
    """
    source = LocalStore(Path(backup).expanduser(), read_only=True)
    try:
        record = load_record(source)
        with new_directory(path, source, "restoring") as target, progress_of(progress, "restoring") as report:
            past = None if until is None else states_at(source, record, until)
            entries = _entries(record, past)
            collections = record.collections if past is None else {one.collection: 0 for one in past}
            for entry in entries:
                _check_length(source, entry)
            size = sum(entry.length for entry in entries)
            marker = _copy(source, collections, entries, target, Meter(report, size))
            versions = dict(record.collections)
            if past is not None:
                versions = {one.collection: one.write(source, target) for one in past}
            target.put_if_absent(names.MARKER, marker)
            return RestoreReport(
                path=target.name,
                backup_id=record.backup_id,
                created_us=record.created_us,
                collections=versions,
                files=len(entries),
                bytes=size,
            )
    finally:
        source.close()


def damaged(source: Store, entry: FileEntry, what: str) -> CorruptionError:
    """The error for a file of a backup that is not what its record says."""
    way_out = (
        f"Restore another backup; `vego verify {source.name} --deep` lists what is damaged in this one, and "
        "vego.open(..., read_only=True) opens it to copy what can still be read"
    )
    return CorruptionError(f"{source.name}/{entry.path}", 0, what, way_out)


def _check_length(source: Store, entry: FileEntry) -> None:
    try:
        found = source.size(entry.path)
    except NotFoundError:
        raise damaged(source, entry, "the file is missing") from None
    if found != entry.length:
        raise damaged(source, entry, f"{entry.length:,} bytes expected, found {found:,}")


def _entries(record: BackupRecord, past: Sequence[PastState] | None) -> Sequence[FileEntry]:
    """Files to copy: all, or what a moment of the past needs."""
    if past is None:
        return record.files
    wanted = {names.MARKER}.union(*(one.paths for one in past))
    return [entry for entry in record.files if entry.path in wanted]


def _copy(
    source: Store, collections: Iterable[str], entries: Sequence[FileEntry], target: Store, meter: Meter
) -> bytes:
    """Copy everything but the marker, durably, and return that."""
    for name in collections:
        target.make_dirs(
            *names.file_directories(name), names.wal_directory(name), names.manifest_directory(name)
        )
    marker = b""
    for entry in entries:
        if entry.path == names.MARKER:
            marker = _checked_marker(source, entry)
            meter.add(len(marker))
            continue
        reader = source.open_reader(entry.path)
        copied = copy_file(reader, target, entry.path, meter)
        reader.close()
        if copied != entry:
            raise damaged(source, entry, f"SHA-256 {entry.sha256} expected, found {copied.sha256}")
    for directory in sorted({names.parent(entry.path) for entry in entries} - {""}):
        target.sync_dir(directory)
    return marker


def _checked_marker(source: Store, entry: FileEntry) -> bytes:
    data = source.read(entry.path)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise damaged(source, entry, "its SHA-256 does not match")
    return data
