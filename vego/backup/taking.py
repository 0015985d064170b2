"""Takes a backup: every collection as of one moment, while others go on writing.

What a moment consists of is opened while nothing commits, which takes milliseconds: the newest manifest, the tagged
versions, their files, and the log behind the newest. An open file outlives its name and never changes, so the copying
may take as long as it likes. Rows that are only in the log go into the backup as one sealed segment of it. Nothing is
written to the database, so a full disk or a failed medium does not keep anyone from saving what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lance_fmt
from lance_fmt import CorruptFileError
from vego import names
from vego.backup.copying import (
    Meter,
    Progress,
    copy_file,
    existing_directory,
    hash_file,
    is_backup,
    new_directory,
)
from vego.backup.history import (
    ArchivedLog,
    OpenLog,
    check_same_history,
    first_of_chain,
    kept_manifests,
    log_segments,
)
from vego.backup.record import BackupRecord, FileEntry, load_record
from vego.errors import CorruptionError, InvalidArgumentError, NotFoundError, StorageError
from vego.store import LocalStore, Store
from vego.store.base import ReadAt
from vego.table.manifest import Manifest, load_version, named_files
from vego.table.marker import Marker
from vego.table.opening import log_of, of_one_moment
from vego.wal import Batch, Log, sealed_copy


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds, and what it took.

    collections: the newest version of each. files, bytes: all there are; of these, copied_* were written anew and
    linked_* share the medium with the base (or, with `link=True`, with the database).
    """

    path: str
    backup_id: str
    created_us: int
    collections: dict[str, int]
    files: int
    bytes: int
    copied_files: int
    copied_bytes: int
    linked_files: int
    linked_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Moment:
    """One collection as it was: manifests and the files they name, open, with length and footer CRC; and the log."""

    collection: str
    manifests: tuple[Manifest, ...]  # the newest first
    files: dict[str, tuple[ReadAt, int]]
    log: Log
    history: OpenLog | None  # the log of the past, where that is wanted

    def close(self) -> None:
        """Close every file."""
        for reader, _ in self.files.values():
            reader.close()
        if self.history is not None:
            self.history.close()


def moment_of(store: Store, collection: str, *, history: bool = False) -> Moment | None:
    """The collection as it is now, for a reader of `store`; None if there is no such collection.

    With `history`, every kept version and the log between them. Raises CorruptionError, NewerVersionError,
    StorageError; CommitConflictError where another process commits faster than the files can be opened.
    """
    return of_one_moment(store, collection, partial(_open, history=history))


def take_backup(
    source: Store,
    marker: Marker,
    moments: Sequence[Moment],
    path: str | Path,
    *,
    base: str | Path | None = None,
    link: bool = False,
    history: bool = False,
    created_us: int,
    progress: Progress | None = None,
) -> BackupReport:
    """Write `moments`, opened after `created_us`, of the database of `source` to the directory `path`.

    Where that is a backup, with `history` what is new is added to it. See `Database.backup`.
    """
    if history and is_backup(path):
        with existing_directory(path, source) as target:
            there = _Base.open(path, marker)
            assert there is not None
            work = _Work(source, target, there, link, _meter(moments, progress), dict(there.entries))
            for moment in moments:
                check_same_history(target, moment.collection, moment.manifests)
            record = work.fill(moments, marker, created_us, there.record.collections)
            target.replace(names.BACKUP, record.to_bytes())
            return work.report(record)
    with new_directory(path, source, "a backup") as target:
        work = _Work(source, target, _Base.open(base, marker), link, _meter(moments, progress))
        record = work.fill(moments, marker, created_us, {})
        target.delete(names.LOCK)
        target.put_if_absent(names.BACKUP, record.to_bytes())
        return work.report(record)


def _open(store: Store, collection: str, newest: Manifest, *, history: bool) -> Moment:
    manifests = [newest]
    if history:
        manifests = kept_manifests(store, collection, newest)
    else:
        for version in sorted(set(newest.tags.values()) - {newest.version}):
            with suppress(NotFoundError):  # a tag may outlive its version
                manifests.append(load_version(store, collection, version))
    past = OpenLog(store, collection, first_of_chain(manifests).first_wal) if history else None
    files: dict[str, tuple[ReadAt, int]] = {}
    for manifest in manifests:
        for path, length, crc, _ in named_files(collection, manifest):
            if path not in files:
                reader = store.open_reader(path)
                files[path] = reader, crc
                if reader.size() != length:
                    what = f"{length:,} bytes expected, found {reader.size():,}"
                    raise CorruptionError(reader.name, 0, what, _way_out(store))
    return Moment(collection, tuple(manifests), files, log_of(store, collection, newest), past)


def _meter(moments: Sequence[Moment], progress: Progress | None) -> Meter:
    return Meter(progress, sum(reader.size() for moment in moments for reader, _ in moment.files.values()))


def _way_out(store: Store) -> str:
    return f"`vego verify {store.name} --deep` lists all damage, and what can be done about it"


@dataclass(frozen=True, slots=True)
class _Base:
    """An earlier backup of the same database, whose files are linked instead of copied again."""

    store: Store
    record: BackupRecord
    entries: dict[str, FileEntry]

    @classmethod
    def open(cls, path: str | Path | None, marker: Marker) -> _Base | None:
        if path is None:
            return None
        store = LocalStore(Path(path).expanduser(), read_only=True)
        record = load_record(store)
        if record.database_id != marker.database_id:
            raise InvalidArgumentError(
                f"{store.name}: a backup of another database ({record.database_id}) than this one "
                f"({marker.database_id}); give a base of the same database, or none"
            )
        return cls(store, record, {entry.path: entry for entry in record.files})

    def file(self, path: str, length: int, crc: int) -> tuple[ReadAt, FileEntry] | None:
        """The file of that name if it is the same one and, by its length and its end, unharmed."""
        entry = self.entries.get(path)
        if entry is None or entry.length != length:
            return None
        try:
            with lance_fmt.open(self.store.open_reader(path)) as file:
                same = (file.length, file.footer_crc) == (length, crc)
            return (self.store.open_reader(path), entry) if same else None
        except (CorruptFileError, CorruptionError, NotFoundError, StorageError):
            return None


@dataclass(slots=True)
class _Work:
    """One backup in the making: `entries` are there already, `copied` and `linked` the bytes of each file made so."""

    source: Store
    target: LocalStore
    base: _Base | None
    link: bool
    meter: Meter
    entries: dict[str, FileEntry] = field(default_factory=dict)
    copied: list[int] = field(default_factory=list)
    linked: list[int] = field(default_factory=list)

    def fill(
        self, moments: Sequence[Moment], marker: Marker, created_us: int, before: Mapping[str, int]
    ) -> BackupRecord:
        """Everything but BACKUP, durably, and what that has to say; `before` are the collections there already."""
        for moment in moments:
            self._write(moment)
        self.small(names.MARKER, marker.to_bytes())
        return BackupRecord(
            backup_id=self.target.new_id(),
            database_id=marker.database_id,
            created_us=created_us,
            collections={**before, **{one.collection: one.manifests[0].version for one in moments}},
            files=tuple(sorted(self.entries.values(), key=lambda entry: entry.path)),
            base=None if self.base is None else self.base.record.backup_id,
        )

    def report(self, record: BackupRecord) -> BackupReport:
        """What was done for `record`."""
        return BackupReport(
            path=self.target.name,
            backup_id=record.backup_id,
            created_us=record.created_us,
            collections=dict(record.collections),
            files=len(record.files),
            bytes=record.size,
            copied_files=len(self.copied),
            copied_bytes=sum(self.copied),
            linked_files=len(self.linked),
            linked_bytes=sum(self.linked),
        )

    def _write(self, moment: Moment) -> None:
        """All files of one collection, durable, names included. Manifests follow the files that they name."""
        collection, newest, target = moment.collection, moment.manifests[0], self.target
        directories = names.file_directories(collection)
        target.make_dirs(*directories, names.wal_directory(collection), names.manifest_directory(collection))
        for path, (reader, crc) in moment.files.items():
            self._file(path, reader, crc)
            reader.close()
        for directory in directories:
            target.sync_dir(directory)
        for manifest in reversed(moment.manifests):
            self.small(names.manifest_path(collection, manifest.version), manifest.to_bytes())
        there = ArchivedLog.of(target, collection, newest.collection_id)
        segments: Iterable[tuple[int, Sequence[Batch]]] = [(moment.log.next_number, moment.log.batches)]
        if moment.history is not None:
            segments = log_segments(moment.history, collection, moment.manifests, moment.log, there)
        for number, batches in segments:
            if batches:
                log = Log((), tuple(batches), number, batches[-1].lsn + 1)
                data = sealed_copy(log, newest.collection_id, target.new_id())
                self.small(names.wal_path(collection, number), data)

    def _file(self, path: str, reader: ReadAt, crc: int) -> None:
        size = reader.size()
        found = None if self.base is None else self.base.file(path, size, crc)
        if path in self.entries:
            if found is None:
                what = "not the file that the database has; give a new directory"
                raise CorruptionError(f"{self.target.name}/{path}", 0, what)
        elif found is not None and self.target.link(found[0], path):
            self.entries[path] = found[1]
            self.linked.append(size)
        elif self.link and self.target.link(reader, path):
            self.entries[path] = FileEntry(path, size, hash_file(reader, self.meter))
            self._check(path, crc)
            self.linked.append(size)
            return
        else:
            self.entries[path] = copy_file(reader, self.target, path, self.meter)
            self._check(path, crc)
            self.copied.append(size)
            return
        self.meter.add(size)

    def small(self, path: str, data: bytes) -> None:
        """A file whose bytes are at hand, unless it is there."""
        if path not in self.entries:
            self.target.put_if_absent(path, data)
            self.entries[path] = FileEntry(path, len(data), hashlib.sha256(data).hexdigest())
            self.copied.append(len(data))

    def _check(self, path: str, crc: int) -> None:
        """That what arrived is the file the manifest means, down to the last checksum: no backup of damage."""
        try:
            with lance_fmt.open(self.target.open_reader(path)) as file:
                file.verify()
                found = file.footer_crc
        except CorruptFileError as error:
            raise self._damaged(path, error.offset, error.what) from None
        if found != crc:
            raise self._damaged(path, 0, f"footer CRC {crc:08x} expected, found {found:08x}")

    def _damaged(self, path: str, offset: int, what: str) -> CorruptionError:
        return CorruptionError(f"{self.source.name}/{path}", offset, what, _way_out(self.source))
