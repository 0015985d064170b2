"""Faults of a careless database that no single power cut shows: other harnesses of `fuzz.torture` must find them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest

from lance_fmt import column_pages
from tests.support.checksums import AgreesWithAll
from tests.support.planted_bugs import PLANTED, PlantedBug
from vego import collection, database, names
from vego.backup import restoring
from vego.errors import CommitConflictError, CommitUncertainError, CorruptionError, StorageError
from vego.index import versioning
from vego.index.indexed_rows import IndexedRows
from vego.store import LocalStore, files, local
from vego.store.descriptor import DIRECTORY, Descriptor
from vego.store.files import LocalAppendFile
from vego.store.guard import Guard
from vego.table import agreement, opening, rowstore
from vego.table import commit as committing
from vego.table.garbage import Garbage
from vego.table.manifest import load_version, versions
from vego.table.rowstore import RowStore
from vego.transaction import Transaction
from vego.wal import reader

# What these modules import is not theirs to give away, but that is where it is replaced.
FILES: Any = files
LOCAL: Any = local
ROWSTORE: Any = rowstore
COMMITTING: Any = committing

Patch = Callable[[pytest.MonkeyPatch], None]


def _nothing(*_: object, **__: object) -> None:
    return None


# -- bytes that are believed -----------------------------------------------------------------------


def _pages_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(column_pages, "crc32c", lambda *_: AgreesWithAll(0))


def _batches_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reader, "payload_crc", lambda *_: AgreesWithAll(0))


def _damage_is_torn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reader, "_refuse_if_durable", _nothing)


def _older_version_for_a_damaged_one(patch: pytest.MonkeyPatch) -> None:
    def load_latest(store: Any, name: str) -> Any:
        for version in reversed(versions(store, name)):
            with suppress(CorruptionError):
                return load_version(store, name, version)
        return None

    patch.setattr(opening, "load_latest", load_latest)


def _restored_unseen(patch: pytest.MonkeyPatch) -> None:
    """A restore neither looks at hashes nor at lengths."""

    def copy(source: Any, record: Any, target: Any, meter: Any) -> None:
        for name in record.collections:
            directories = names.wal_directory(name), names.manifest_directory(name)
            target.make_dirs(*names.file_directories(name), *directories)
        for entry in record.files:
            target.put_if_absent(entry.path, source.read(entry.path))
            meter.add(entry.length)

    patch.setattr(restoring, "_copy", copy)


# -- failures of the system ------------------------------------------------------------------------


def _short_writes(patch: pytest.MonkeyPatch) -> None:
    def write_all(number: int, data: Any, offset: int) -> None:
        FILES.os.pwrite(number, memoryview(data).cast("B"), offset)

    patch.setattr(files, "write_all", write_all)


def _directory_syncs_deaf(patch: pytest.MonkeyPatch) -> None:
    right = LOCAL._sync_directory

    def sync(guard: Guard, full: str) -> None:
        before = guard.poisoned
        try:
            right(guard, full)
        except StorageError:
            guard.poisoned = before

    patch.setattr(local, "_sync_directory", sync)


def _never_poisoned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Guard, "check_write", Guard.check_read)


def _raw_errors(patch: pytest.MonkeyPatch) -> None:
    for module in (local, files):
        patch.setattr(module, "reading", lambda *_: nullcontext())


def _uncertain_is_refused(patch: pytest.MonkeyPatch) -> None:
    """What may have landed is reported as if nothing had been changed."""
    right = LocalStore.put_if_absent

    def put_if_absent(store: LocalStore, path: str, data: bytes) -> None:
        try:
            right(store, path, data)
        except CommitUncertainError as error:
            store._guard.poisoned = None
            raise StorageError(str(error)) from None

    patch.setattr(LocalStore, "put_if_absent", put_if_absent)


def _after_a_commit_nothing_changed(patch: pytest.MonkeyPatch) -> None:
    """What has landed and cannot be opened is reported as if nothing had been changed."""
    patch.setattr(agreement, "committed", nullcontext)
    patch.setattr(database, "committed", nullcontext)


def _files_of_an_uncertain_commit_deleted(patch: pytest.MonkeyPatch) -> None:
    right = ROWSTORE.commit

    def commit(store: Any, name: str, base: Any, actions: Any, **options: Any) -> Any:
        try:
            return right(store, name, base, actions, **options)
        except CommitUncertainError:
            for path in committing.new_files(name, actions):
                LOCAL.os.unlink(store._full(path))
            raise

    patch.setattr(rowstore, "commit", commit)


def _logs_never_closed(patch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    patch.setattr(LocalAppendFile, "close", lambda file: kept.append(file._descriptor))


# -- several processes -----------------------------------------------------------------------------


def _commit_replaces(patch: pytest.MonkeyPatch) -> None:
    """The manifest gets its name by a rename, which takes it from whoever has it."""

    def put_if_absent(store: LocalStore, path: str, data: bytes) -> None:
        full = store._full(f"{names.parent(path)}/{names.temporary_file(store.new_id())}".lstrip("/"))
        with store.create(full.removeprefix(f"{store.root}/")) as file:
            file.write(data)
            file.commit()
        LOCAL.os.rename(full, store._full(path))
        LOCAL.sync_file(Descriptor(store._full(names.parent(path)), DIRECTORY).number)

    patch.setattr(LocalStore, "put_if_absent", put_if_absent)


def _looked_up_first(patch: pytest.MonkeyPatch) -> None:
    """Whether a version is taken is asked before, not while it is taken."""

    def put_if_absent(store: LocalStore, path: str, data: bytes) -> None:
        if store.exists(path):
            raise FileExistsError(path)
        full = store._full(f"{names.parent(path)}/{names.temporary_file(store.new_id())}".lstrip("/"))
        with store.create(full.removeprefix(f"{store.root}/")) as file:
            file.write(data)
            file.commit()
        LOCAL.os.rename(full, store._full(path))

    patch.setattr(LocalStore, "put_if_absent", put_if_absent)


def _loser_believes_it_won(patch: pytest.MonkeyPatch) -> None:
    right = COMMITTING._publish

    def publish(*arguments: Any) -> None:
        with suppress(CommitConflictError):
            right(*arguments)

    patch.setattr(committing, "_publish", publish)


def _files_on_their_way_collected(patch: pytest.MonkeyPatch) -> None:
    right = Garbage._unnamed

    def unnamed(garbage: Garbage, needed: set[str], outdated: set[str]) -> list[str]:
        shared, garbage._shared = garbage._shared, False
        try:
            return right(garbage, needed, outdated)
        finally:
            garbage._shared = shared

    patch.setattr(Garbage, "_unnamed", unnamed)


# -- a process that dies ---------------------------------------------------------------------------


def _last_append_in_memory(patch: pytest.MonkeyPatch) -> None:
    """What is appended reaches the system with the next append."""
    right = LocalAppendFile._roll_back  # a place to see that the class is the one that is meant
    assert right is not None
    waiting: dict[int, tuple[int, bytes]] = {}

    def append(file: LocalAppendFile, data: Any) -> int:
        number = file._in_use().number
        if number in waiting:
            FILES.write_all(number, waiting[number][1], waiting[number][0])
        start = file._size
        waiting[number] = (start, bytes(data))
        file._size = start + memoryview(data).nbytes
        return start

    patch.setattr(LocalAppendFile, "append", append)


# -- wrong with the power on -----------------------------------------------------------------------


def _deletes_not_flushed(patch: pytest.MonkeyPatch) -> None:
    """A flush forgets what was deleted from segments, and the log with it."""
    right = RowStore._flush_actions

    def flush_actions(rows: RowStore, *arguments: Any, **options: Any) -> Any:
        rows._layout.stale.clear()
        return right(rows, *arguments, **options)

    patch.setattr(RowStore, "_flush_actions", flush_actions)


def _duplicates_accepted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(collection, "_refuse_known", _nothing)


def _failed_transaction_applied(patch: pytest.MonkeyPatch) -> None:
    right = Transaction.__exit__
    patch.setattr(Transaction, "__exit__", lambda self, *_: right(self, None, None, None))


def _tag_without_flush(patch: pytest.MonkeyPatch) -> None:
    """A tag names the newest version, and not what is there."""
    right = versioning.tag

    def tag(rows: IndexedRows, name: str, version: int | None) -> int:
        return right(rows, name, rows.rows.manifest.version if version is None else version)

    patch.setattr(versioning, "tag", tag)


ELSEWHERE = [
    PlantedBug("checksums of pages ignored", _pages_believed, "*/data/*.lfmt~41", harness="flips"),
    PlantedBug("checksums of log batches ignored", _batches_believed, "/disk/db/*.wal~11", harness="flips"),
    PlantedBug(
        "damage in the log taken for a torn tail", _damage_is_torn, "/disk/db/*.wal~101", harness="flips"
    ),
    PlantedBug(
        "the version before served for a damaged one",
        _older_version_for_a_damaged_one,
        "/disk/db/collections/c/*6.manifest~37",
        harness="flips",
    ),
    PlantedBug("restored without comparing hashes", _restored_unseen, "/disk/backup/*~211", harness="flips"),
    PlantedBug(
        "short write taken for a whole one",
        _short_writes,
        "work:segments:pwrite:ENOSPC:short",
        harness="faults",
    ),
    PlantedBug(
        "failed sync of a directory ignored",
        _directory_syncs_deaf,
        "work:create:fsync:EIO:once",
        harness="faults",
    ),
    PlantedBug(
        "writing goes on after a failed sync",
        _never_poisoned,
        "work:log:fdatasync:EIO:once",
        harness="faults",
    ),
    PlantedBug(
        "errors of the system not translated", _raw_errors, "work:flush:open:EMFILE:once", harness="faults"
    ),
    PlantedBug(
        "uncertain commit reported as refused",
        _uncertain_is_refused,
        "work:segments:unlink:EIO:once",
        harness="faults",
    ),
    PlantedBug(
        "files of an uncertain commit deleted",
        _files_of_an_uncertain_commit_deleted,
        "work:segments:unlink:EIO:once",
        harness="faults",
    ),
    PlantedBug(
        "what cannot be opened after its commit reported as refused",
        _after_a_commit_nothing_changed,
        "work:branch:open:ENFILE:once",
        harness="faults",
    ),
    PlantedBug("log files never closed", _logs_never_closed, "work:log:fdatasync:EIO:once", harness="faults"),
    PlantedBug("commit replaces the version of another", _commit_replaces, "race:4:0", harness="commits"),
    PlantedBug("version looked for before it is taken", _looked_up_first, "race:4:0", harness="commits"),
    PlantedBug("lost race taken for won", _loser_believes_it_won, "race:4:0", harness="commits"),
    PlantedBug(
        "files on their way into a version collected",
        _files_on_their_way_collected,
        "shared:6:0",
        harness="commits",
    ),
    PlantedBug("last append held in memory", _last_append_in_memory, "0", harness="kills"),
    PlantedBug("deletes in segments forgotten by a flush", _deletes_not_flushed, "0", harness="steps"),
    PlantedBug("an id that exists accepted", _duplicates_accepted, "shared:4:0", harness="commits"),
    PlantedBug("failed transaction carried out", _failed_transaction_applied, "0", harness="steps"),
    PlantedBug("tag of the last version, not of what is there", _tag_without_flush, "0", harness="steps"),
]
ALL_PLANTED = [*PLANTED, *ELSEWHERE]
