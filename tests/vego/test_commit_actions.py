"""Actions are pure and check what they require; a commit lands, does not, or is reported as unknown."""

from __future__ import annotations

import errno

import pytest

from tests.support import faults
from vego import names
from vego.errors import CommitConflictError, CommitUncertainError, PoisonedError, StorageError
from vego.store import LocalStore
from vego.table.commit import (
    AddSegment,
    AdvanceWal,
    SetDeletes,
    SetIndex,
    SetOptions,
    apply,
    commit,
    create_collection,
)
from vego.table.manifest import DeletesEntry, IndexEntry, SegmentEntry, load_latest, load_version


def segment(digit: str, rows: int = 10) -> SegmentEntry:
    return SegmentEntry(file=digit * 32 + ".lfmt", rows=rows, length=100, crc=1)


def deletes(digit: str, count: int) -> DeletesEntry:
    return DeletesEntry(file=digit * 32 + ".del", count=count, length=50, crc=2)


def index(rows: int) -> IndexEntry:
    return IndexEntry(file="e" * 32 + ".lfmt", rows=rows, length=10, crc=3, kind="hnsw")


def create(path):
    store = LocalStore(path)
    return store, create_collection(store, "docs", dimension=4, metric="ip", options={"m": 16})


@pytest.fixture
def made(tmp_path):
    return create(tmp_path)


def test_a_new_collection(made):
    store, manifest = made
    assert load_latest(store, "docs") == manifest
    assert manifest.version == 1
    assert (manifest.dimension, manifest.metric, manifest.options) == (4, "ip", {"m": 16})
    assert (manifest.flushed_lsn, manifest.first_wal, manifest.rows) == (0, 1, 0)
    with pytest.raises(CommitConflictError, match="version 1 was taken"):
        create_collection(store, "docs", dimension=4, metric="ip", options={})


def test_actions_in_order(made):
    store, manifest = made
    actions = [
        AddSegment(segment("1")),
        AddSegment(segment("2", 5)),
        SetDeletes("1" * 32 + ".lfmt", deletes("3", 2)),
        SetIndex(index(12)),
        AdvanceWal(flushed_lsn=7, first_wal=3),
        SetOptions({"m": 8}),
    ]
    after = commit(store, "docs", manifest, actions, summary="all", writer="test")
    assert load_latest(store, "docs") == after
    assert [entry.file[0] for entry in after.segments] == ["1", "2"]
    assert after.segments[0].deletes == deletes("3", 2)
    assert (after.rows, after.index, after.flushed_lsn, after.first_wal) == (15, index(12), 7, 3)
    assert (after.version, after.summary, after.writer, after.options) == (2, "all", "test", {"m": 8})
    assert after.parent.crc == manifest.checksum
    assert after.collection_id == manifest.collection_id
    assert manifest.segments == (), "the base is as it was"
    assert apply(SetIndex(None), after).index is None


@pytest.mark.parametrize(
    ("action", "what"),
    [
        (AddSegment(segment("1")), "there already"),
        (SetDeletes("9" * 32 + ".lfmt", deletes("3", 1)), "not there"),
        (SetDeletes("1" * 32 + ".lfmt", deletes("3", 1)), "has 4 deletes"),
        (SetDeletes("1" * 32 + ".lfmt", deletes("3", 11)), "has 10 rows"),
        (SetIndex(index(11)), "covers 11 rows"),
        (AdvanceWal(flushed_lsn=4, first_wal=2), "lie before"),
        (AdvanceWal(flushed_lsn=5, first_wal=1), "lie before"),
    ],
)
def test_requirements(made, action, what):
    store, manifest = made
    base = commit(
        store,
        "docs",
        manifest,
        [
            AddSegment(segment("1")),
            SetDeletes("1" * 32 + ".lfmt", deletes("2", 4)),
            AdvanceWal(flushed_lsn=5, first_wal=2),
        ],
    )
    with pytest.raises(CommitConflictError, match=what):
        commit(store, "docs", base, [SetOptions({}), action])
    assert load_latest(store, "docs") == base


def test_a_version_that_is_taken(made):
    store, manifest = made
    winner = commit(store, "docs", manifest, [SetOptions({"a": 1})], summary="first", writer="me")
    with pytest.raises(CommitConflictError, match=r"taken by another commit \(first, by me\)"):
        commit(store, "docs", manifest, [SetOptions({"a": 2})])
    third = commit(store, "docs", winner, [])
    store.delete(names.manifest_path("docs", 2))
    with pytest.raises(CommitConflictError, match="version 3 is there already"):
        commit(store, "docs", manifest, [SetOptions({"a": 2})])
    with pytest.raises(CommitConflictError, match="version 3 is there already"):
        create_collection(store, "docs", dimension=4, metric="ip", options={})
    assert load_latest(store, "docs") == third


def test_meeting_ones_own_commit_is_success(made, monkeypatch):
    """A store whose first answer was lost tries again and finds that its own attempt had landed."""
    store, manifest = made
    real = LocalStore.put_if_absent

    def lost_answer(self, path, data):
        real(self, path, data)
        raise FileExistsError(path)

    monkeypatch.setattr(LocalStore, "put_if_absent", lost_answer)
    after = commit(store, "docs", manifest, [SetOptions({"a": 1})])
    assert load_latest(store, "docs") == after


def test_every_fault_of_a_commit(tmp_path, monkeypatch):
    actions = [AddSegment(segment("1")), SetIndex(index(3))]
    for k in range(40):
        store, base = create(tmp_path / str(k))
        with monkeypatch.context() as patch:
            faulty = faults.install(patch)
            faulty.fail_at(k, errno.EIO)
            try:
                after = commit(store, "docs", base, actions)
            except CommitUncertainError:
                outcome = "unknown"
            except StorageError:
                outcome = "refused"
            else:
                outcome = "landed"
        found = load_latest(LocalStore(tmp_path / str(k)), "docs")
        match outcome:
            case "landed":
                assert found == after
                assert k > 15
                return
            case "refused":
                assert found == base
            case "unknown":
                assert found.version in (1, 2)
                with pytest.raises(PoisonedError):
                    commit(store, "docs", base, actions)
    raise AssertionError("a commit takes more calls than expected")


def test_every_fault_of_a_creation_can_be_tried_again(tmp_path, monkeypatch):
    for k in range(80):
        store = LocalStore(tmp_path / str(k))
        with monkeypatch.context() as patch:
            faulty = faults.install(patch)
            faulty.fail_at(k, errno.EIO)
            try:
                create_collection(store, "docs", dimension=4, metric="l2", options={})
                done = True
            except StorageError:
                done = False
        fresh = LocalStore(tmp_path / str(k))
        if load_latest(fresh, "docs") is None:
            create_collection(fresh, "docs", dimension=4, metric="l2", options={})
        assert load_version(fresh, "docs", 1).metric == "l2"
        if done:
            assert k > 30
            return
    raise AssertionError("a creation takes more calls than expected")


def test_files_are_named_durably_before_the_manifest_names_them(made, monkeypatch):
    store, base = made
    synced = []
    real = LocalStore.sync_dir
    monkeypatch.setattr(LocalStore, "sync_dir", lambda self, path: (synced.append(path), real(self, path)))
    actions = [AddSegment(segment("1")), SetDeletes(segment("1").file, deletes("2", 1)), SetIndex(index(1))]
    commit(store, "docs", base, actions)
    assert synced == [*names.file_directories("docs"), names.manifest_directory("docs")]
