"""Faults of a careless database, put into Vego by monkeypatching: a search for bad crash states must find each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lance_fmt import Cursor
from vego import names
from vego.database import Database
from vego.store import LocalStore, files, local
from vego.store.descriptor import DIRECTORY, Descriptor, sync_file
from vego.store.files import LocalNewFile
from vego.table import opening, rowstore
from vego.table.commit import DropPartition, ReplaceSegments, SetContents, SetTag
from vego.table.garbage import Garbage
from vego.table.journal import Journal
from vego.table.rowstore import RowStore
from vego.wal import log, reader
from vego.wal.format import BATCH_HEADER_SIZE, BatchHeader
from vego.wal.record import decode, encode

# What these modules import is not theirs to give away, but that is where it is replaced.
FILES: Any = files
LOCAL: Any = local
OPENING: Any = opening
ROWSTORE: Any = rowstore

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """A bug, and what must find it: a workload, perhaps with a process that dies or a sync that fails at an operation.

    For another `harness` of `fuzz.torture` than that of the crash states, `workload` is one of its units.
    """

    name: str
    patch: Patch
    workload: str
    kill_at: int | None = None
    fail_at: int | None = None
    harness: str = "states"

    @property
    def unit(self) -> str:
        """What its harness has to do."""
        if self.harness != "states":
            return self.workload
        fault = f":kill={self.kill_at}" if self.kill_at is not None else ""
        fault = f":fail={self.fail_at}" if self.fail_at is not None else fault
        return f"{self.workload}:1:0{fault}"


def _nothing(*_: object) -> None:
    return None


def _file_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "sync_file", _nothing)


def _directory_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(local, "sync_file", _nothing)


def _log_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(files, "sync_contents", _nothing)


def _no_sync_of(ending: str) -> Patch:
    def put(patch: pytest.MonkeyPatch) -> None:
        right = LocalStore.sync_dir

        def sync_dir(store: LocalStore, path: str) -> None:
            if not path.endswith(ending):
                right(store, path)

        patch.setattr(LocalStore, "sync_dir", sync_dir)

    return put


def _early_answer(patch: pytest.MonkeyPatch) -> None:
    """The log is synced when the next batch comes."""

    def careless(journal: Any, payload: bytes, count: int) -> int:
        writer = journal._writer()
        writer.sync()
        lsn: int = writer.append_payload(payload, count)
        journal._group.writer, journal._group.last_lsn = writer, lsn
        return lsn

    patch.setattr(Journal, "append", careless)
    patch.setattr(Journal, "wait", _nothing)


def _commit_by(write: Callable[[LocalStore, str, bytes, Descriptor], None]) -> Patch:
    def put(patch: pytest.MonkeyPatch) -> None:
        def put_if_absent(store: LocalStore, path: str, data: bytes) -> None:
            write(store, path, data, Descriptor(store._full(names.parent(path)), DIRECTORY))

        patch.setattr(LocalStore, "put_if_absent", put_if_absent)

    return put


def _link_first(store: LocalStore, path: str, data: bytes, directory: Descriptor) -> None:
    temporary = store._full(f"{names.parent(path)}/{names.temporary_file(store.new_id())}".lstrip("/"))
    with LocalNewFile(temporary, store._guard) as file:
        file.write(data)
        file._flush()
        LOCAL.os.link(temporary, store._full(path))
        sync_file(directory.number)
        file.commit()
    LOCAL.os.unlink(temporary)


def _in_place(store: LocalStore, path: str, data: bytes, directory: Descriptor) -> None:
    with store.create(path) as file:
        file.write(data)
        sync_file(directory.number)
        file.commit()


def _no_last_sync(store: LocalStore, path: str, data: bytes, directory: Descriptor) -> None:
    with store.create(f"{names.parent(path)}/{names.temporary_file(store.new_id())}".lstrip("/")) as file:
        file.write(data)
        file.commit()
    LOCAL.os.link(file.name, store._full(path))
    LOCAL.os.unlink(file.name)


def _no_tail_checksum(patch: pytest.MonkeyPatch) -> None:
    def unchecked(
        data: bytes, view: memoryview, offset: int, seed: int, path: str, version: int
    ) -> tuple[BatchHeader, bytes]:
        batch = BatchHeader.from_bytes(data, offset, seed, path, version)
        cursor = Cursor(view[offset + BATCH_HEADER_SIZE :], path=path, base=offset + BATCH_HEADER_SIZE)
        payload = bytes(cursor.take(batch.length, "payload"))
        cursor.u32("payload checksum")
        return batch, payload

    patch.setattr(reader, "_checked_batch", unchecked)


def _torn_is_damage(patch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes, header: object, lsn: int, offset: int, failure: Any) -> None:
        raise reader.damage(failure.path, offset, failure.what)

    patch.setattr(reader, "_refuse_if_durable", refuse)


def _log_deleted_early(patch: pytest.MonkeyPatch) -> None:
    right = ROWSTORE.commit

    def commit(store: Any, collection: str, *rest: Any, **options: Any) -> Any:
        directory = names.wal_directory(collection)
        for file in store.list(directory):
            store.delete(f"{directory}/{file}")
        return right(store, collection, *rest, **options)

    patch.setattr(rowstore, "commit", commit)


def _parents_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(local, "_sync_directory", _nothing)


def _batch_in_pieces(patch: pytest.MonkeyPatch) -> None:
    right = Journal.append

    def pieces(journal: Journal, payload: bytes, count: int) -> int:
        operations = decode(payload, count, path="", base=0)
        return [right(journal, encode([operation]), 1) for operation in operations][-1]

    patch.setattr(Journal, "append", pieces)


def _segment_in_pieces(patch: pytest.MonkeyPatch) -> None:
    right = RowStore._put_segment

    def halves(rows: RowStore, batch: Any, deleted: Sequence[str] = ()) -> None:
        middle = len(batch) // 2
        texts = batch.metadata_rows()
        for part in (slice(0, middle), slice(middle, None)):
            right(rows, ROWSTORE.RowBatch(batch.ids[part], batch.vectors[part], rows=texts[part]), deleted)

    patch.setattr(RowStore, "_put_segment", halves)


def _temporary_is_foreign(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(names, "is_temporary", lambda _: False)


def _everything_is_replayed(patch: pytest.MonkeyPatch) -> None:
    right = OPENING.read_log

    def read(store: Any, collection: str, **options: Any) -> log.Log:
        found: log.Log = right(store, collection, **options | {"flushed_lsn": 0, "first": 1})
        return found

    patch.setattr(opening, "read_log", read)


def _drop_in_place(patch: pytest.MonkeyPatch) -> None:
    def drop(database: Any, name: str) -> None:
        database._open.pop(name)._close()
        database._store.remove_tree(names.collection_path(name))
        database._store.sync_dir(names.COLLECTIONS)

    patch.setattr(Database, "drop", drop)


def _manifest_before_its_files(patch: pytest.MonkeyPatch) -> None:
    """Files are written and synced after the commit that names them."""
    late: list[LocalNewFile] = []

    def commit(file: LocalNewFile) -> None:
        file._flush()
        file._committed = True
        late.append(file)

    patch.setattr(LocalNewFile, "commit", commit)
    right = LocalStore.put_if_absent

    def put_if_absent(store: LocalStore, path: str, data: bytes) -> None:
        right(store, path, data)
        for file in late:
            sync_file(file._descriptor.number)
        late.clear()

    patch.setattr(LocalStore, "put_if_absent", put_if_absent)


def _torn_is_empty(patch: pytest.MonkeyPatch) -> None:
    """A log that is not sound is taken for no log."""
    right = OPENING.read_log

    def read(*arguments: Any, **options: Any) -> log.Log:
        found: log.Log = right(*arguments, **options)
        torn = found.torn_bytes > 0
        return replace(found, batches=(), clean=True) if torn else found

    patch.setattr(opening, "read_log", read)


def _sync_again(patch: pytest.MonkeyPatch) -> None:
    right = FILES.sync_contents

    def stubborn(number: int) -> None:
        try:
            right(number)
        except OSError:
            right(number)

    patch.setattr(files, "sync_contents", stubborn)


def _sync_errors_ignored(patch: pytest.MonkeyPatch) -> None:
    right = FILES.sync_contents

    def deaf(number: int) -> None:
        with suppress(OSError):
            right(number)

    patch.setattr(files, "sync_contents", deaf)


def _merged_rows_not_synced(patch: pytest.MonkeyPatch) -> None:
    """A compaction names its files in the manifest before data/ is synced."""
    right, sync = ROWSTORE.commit, LocalStore.sync_dir

    def commit(store: Any, collection: str, base: Any, actions: Any, **options: Any) -> Any:
        compacting = any(isinstance(action, ReplaceSegments) for action in actions)
        with pytest.MonkeyPatch.context() as only_now:
            if compacting:
                only_now.setattr(
                    LocalStore, "sync_dir", lambda s, path: path.endswith("/data") or sync(s, path)
                )
            return right(store, collection, base, actions, **options)

    patch.setattr(rowstore, "commit", commit)


def _files_go_before_their_manifests(patch: pytest.MonkeyPatch) -> None:
    """What no kept version needs is deleted while the manifests that name it are there."""
    right, delete = Garbage.collect, LocalStore.delete

    def collect(*arguments: Any, **options: Any) -> Any:
        late: list[tuple[LocalStore, str]] = []

        def delete_files(store: LocalStore, path: str) -> None:
            if path.endswith(".manifest"):
                late.append((store, path))
            else:
                delete(store, path)

        with pytest.MonkeyPatch.context() as only_now:
            only_now.setattr(LocalStore, "delete", delete_files)
            found = right(*arguments, **options)
        for store, path in late:
            store.delete(path)
        return found

    patch.setattr(Garbage, "collect", collect)


def _deletes_meanwhile_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Rows that died while their segment was rewritten are alive in the new one."""
    right = ROWSTORE.commit

    def commit(store: Any, collection: str, base: Any, actions: Any, **options: Any) -> Any:
        new = {action.new.file for action in actions if isinstance(action, ReplaceSegments) and action.new}
        kept = [action for action in actions if getattr(action, "file", None) not in new]
        return right(store, collection, base, kept, **options)

    patch.setattr(rowstore, "commit", commit)


def _manifests_not_synced_before_their_files_go(patch: pytest.MonkeyPatch) -> None:
    """A manifest may come back that lacks its files."""
    right = Garbage.collect

    def collect(*arguments: Any, **options: Any) -> Any:
        with pytest.MonkeyPatch.context() as only_now:
            only_now.setattr(LocalStore, "sync_dir", _nothing)
            return right(*arguments, **options)

    patch.setattr(Garbage, "collect", collect)


def _tag_in_memory(patch: pytest.MonkeyPatch) -> None:
    """A tag is durable with the next commit only."""
    right = ROWSTORE.commit
    late: list[Any] = []

    def commit(store: Any, collection: str, base: Any, actions: Any, **options: Any) -> Any:
        tags = [action for action in actions if isinstance(action, SetTag)]
        now = [*late, *(action for action in actions if action not in tags)]
        late[:] = tags
        return right(store, collection, base, now, **options)

    patch.setattr(rowstore, "commit", commit)


def _partition_in_pieces(patch: pytest.MonkeyPatch) -> None:
    """A partition is dropped segment by segment."""
    right = ROWSTORE.commit

    def commit(store: Any, collection: str, base: Any, actions: Any, **options: Any) -> Any:
        for action in actions:
            if isinstance(action, DropPartition):
                segments = list(base.segments)
                first = next(n for n, entry in enumerate(segments) if entry.partition == action.partition)
                segments[first] = segments[first].without_rows()
                base = right(store, collection, base, [SetContents(tuple(segments), base.index)], **options)
        return right(store, collection, base, actions, **options)

    patch.setattr(rowstore, "commit", commit)


PLANTED = [
    PlantedBug("no sync of files", _file_sync, "flush"),
    PlantedBug("no sync of directories", _directory_sync, "create"),
    PlantedBug("no sync of the log", _log_sync, "log"),
    PlantedBug("no sync of data/", _no_sync_of("/data"), "flush"),
    PlantedBug("no sync of deletes/", _no_sync_of("/deletes"), "flush"),
    PlantedBug("no sync of index/", _no_sync_of("/index"), "index"),
    PlantedBug("no sync of wal/", _no_sync_of("/wal"), "log"),
    PlantedBug("no sync of collections/ before a dropped one is removed", _no_sync_of("collections"), "drop"),
    PlantedBug("no sync of the directories above new ones", _parents_not_synced, "create"),
    PlantedBug("answer before the log is synced", _early_answer, "log"),
    PlantedBug("manifest linked before it is synced", _commit_by(_link_first), "flush"),
    PlantedBug("manifest written in place", _commit_by(_in_place), "flush"),
    PlantedBug("no sync of the directory after the commit", _commit_by(_no_last_sync), "segments"),
    PlantedBug("files synced after the manifest", _manifest_before_its_files, "flush"),
    PlantedBug("checksum of the log's tail ignored", _no_tail_checksum, "log"),
    PlantedBug("torn tail taken for damage", _torn_is_damage, "log"),
    PlantedBug("log with a torn tail taken for empty", _torn_is_empty, "log"),
    PlantedBug("log deleted before the manifest is durable", _log_deleted_early, "flush"),
    PlantedBug("everything in the log replayed", _everything_is_replayed, "segments"),
    PlantedBug("batch logged in pieces", _batch_in_pieces, "log"),
    PlantedBug("large batch in two commits", _segment_in_pieces, "segments"),
    PlantedBug("collection dropped in place", _drop_in_place, "drop"),
    PlantedBug("temporary file taken for someone else's", _temporary_is_foreign, "create"),
    PlantedBug("repair does not sync manifests/", _no_sync_of("/manifests"), "repair manifest"),
    PlantedBug("data/ not synced before a compaction is committed", _merged_rows_not_synced, "compact"),
    PlantedBug(
        "files deleted before the manifests that name them", _files_go_before_their_manifests, "vacuum"
    ),
    PlantedBug("deletes during a compaction forgotten", _deletes_meanwhile_forgotten, "compact"),
    PlantedBug(
        "manifests not synced before their files go", _manifests_not_synced_before_their_files_go, "vacuum"
    ),
    PlantedBug("tag durable with the next commit only", _tag_in_memory, "tag"),
    PlantedBug("batch of several partitions in two commits", _segment_in_pieces, "partitions"),
    PlantedBug("partition dropped in pieces", _partition_in_pieces, "partitions"),
    PlantedBug("failed sync tried again", _sync_again, "log", fail_at=19),
    PlantedBug("failed sync ignored", _sync_errors_ignored, "log", fail_at=19),
]
