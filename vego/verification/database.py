"""Verifies a database or a backup: reads only, takes no lock, and lists everything that is wrong."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from vego import names
from vego.backup.copying import Meter, hash_file
from vego.backup.record import BackupRecord, load_record
from vego.errors import CorruptionError, NotADatabaseError, NotFoundError, StorageError
from vego.progress import progress_of
from vego.store import LocalStore, Store
from vego.table.marker import load_marker
from vego.verification.collection import CollectionCheck, leftovers
from vego.verification.opened import open_collection, problem
from vego.verification.report import CollectionReport, Finding, VerifyReport
from vego.verification.ways_out import RESTORE


def verify(
    path: str | Path, *, deep: bool = False, progress: bool | Callable[[int, int], None] = False
) -> VerifyReport:
    """Everything that is wrong with the database, or the backup, in the directory `path`.

    Checked are the marker, every kept manifest and their chain, length and end of every file they name, the log, row
    masks, ids and the links of the graph; of a backup also that its files are there. With `deep` every byte is read and
    compared with its checksum, and samples of the graph's codes and answers with the rows (recall is reported, and no
    damage). Nothing is written and no lock is taken: another process may be writing.
    progress: True for a bar on stderr, or a function of (bytes done, bytes in all).

    Raises NotADatabaseError, NewerVersionError, StorageError (the directory cannot be read at all).
    """
    store = LocalStore(Path(path).expanduser(), read_only=True)
    try:
        findings, record = _frame(store)
        opened = [
            found for name in _collections(store) if (found := open_collection(store, name)) is not None
        ]
        size = sum(found.size for found in opened)
        rest = [path for found in opened for path in leftovers(store, found)]
        if record is not None:
            rest = sorted(set(rest).difference(entry.path for entry in record.files))
        rest += _other_leftovers(store, {found.name for found in opened}, record)
        reports: list[CollectionReport] = []
        with progress_of(progress, "checking") as report:
            to_read = size + (record.size if record is not None and deep else 0)
            meter = Meter(report, to_read)
            for found in opened:
                one, wrong = CollectionCheck(found, deep=deep, read=meter.add).run()
                reports.append(one)
                findings += wrong
            if record is not None:
                findings = _backup_findings(store, record, findings, meter if deep else None)
        return VerifyReport(
            store.name, deep, record is not None, size, tuple(reports), tuple(findings), tuple(sorted(rest))
        )
    finally:
        store.close()


def _frame(store: Store) -> tuple[list[Finding], BackupRecord | None]:
    """What is wrong with the marker and with the BACKUP where there is one, and what that says."""
    findings = []
    root = shlex.quote(store.name)
    record = None
    is_backup = store.exists(names.BACKUP)
    if is_backup:
        try:
            record = load_record(store)
        except CorruptionError as error:
            way_out = f"`vego backup {root} NEW_DIR` makes another backup of this one, if all else is whole"
            findings.append(Finding(error.path, error.offset, error.what, way_out))
    try:
        load_marker(store)
    except CorruptionError as error:
        way_out = RESTORE if is_backup else f"`vego repair {root} --marker` writes a new one"
        findings.append(Finding(error.path, error.offset, error.what, way_out))
    except NotADatabaseError as error:
        if record is None:
            if not _collections(store):
                raise
            hint = (
                f"if it was lost, `vego repair {root} --marker` writes a new one; if a restore or a backup was cut "
                "short here, remove the directory"
            )
            raise NotADatabaseError(f"{error}; {hint}") from None
    return findings, record


def _collections(store: Store) -> list[str]:
    try:
        return [name for name in store.list(names.COLLECTIONS) if names.is_collection(name)]
    except NotFoundError:
        return []


def _other_leftovers(store: Store, known: set[str], record: BackupRecord | None) -> Iterator[str]:
    expected = {names.MARKER, names.LOCK, names.COLLECTIONS} | (
        {names.BACKUP} if record is not None else set()
    )
    yield from (name for name in store.list("") if name not in expected)
    if store.exists(names.COLLECTIONS):
        for name in store.list(names.COLLECTIONS):
            if name not in known:
                yield f"{names.COLLECTIONS}/{name}"


def _backup_findings(
    store: Store, record: BackupRecord, findings: list[Finding], meter: Meter | None
) -> list[Finding]:
    """`findings` of a backup: those of its files, with a way out that leaves it as it is, and what its record says."""
    found: dict[str, Finding] = {}
    for finding in findings:
        changed = RESTORE if "vego repair" in finding.way_out else finding.way_out
        found.setdefault(finding.path, Finding(finding.path, finding.offset, finding.what, changed))
    for entry in record.files:
        path = f"{store.name}/{entry.path}"
        try:
            reader = store.open_reader(entry.path)
            what = ""
            if reader.size() != entry.length:
                what = f"{entry.length:,} bytes expected, found {reader.size():,}"
            elif meter is not None and hash_file(reader, meter) != entry.sha256:
                what = "its SHA-256 does not match"
            reader.close()
        except (NotFoundError, CorruptionError, StorageError) as error:
            what = problem(entry.path, error).what
        if what:
            found.setdefault(path, Finding(path, 0, what, RESTORE))
    return list(found.values())
