"""Every call that can fail does fail, once: what is reported is true, and nothing is half there."""

from __future__ import annotations

import errno

import pytest

from tests.support import faults
from vego.errors import CommitUncertainError, PoisonedError, ReadOnlyError, StorageError, VegoError
from vego.store import LocalStore

ERRNOS = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EACCES, errno.ESTALE]
DATA = b"0123456789" * 50


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path)
    store.make_dirs("d")
    return store


def count_calls(store, monkeypatch, work) -> list[str]:
    with monkeypatch.context() as patch:
        faulty = faults.install(patch)
        work(store)
        return list(faulty.calls)


def leftovers(store) -> list[str]:
    return [name for name in store.list("d") if name.startswith(".tmp-")]


@pytest.mark.parametrize("number", ERRNOS)
@pytest.mark.parametrize("after_effect", [False, True])
def test_put_if_absent_with_a_fault_at_every_call(tmp_path, monkeypatch, number, after_effect):
    first = LocalStore(tmp_path / "count")
    first.make_dirs("d")
    calls = count_calls(first, monkeypatch, lambda store: store.put_if_absent("d/f", DATA))
    assert calls == ["open", "open", "pwrite", "fsync", "close", "link", "unlink", "fsync", "close"]
    for k, name in enumerate(calls):
        store = LocalStore(tmp_path / f"{k}")
        store.make_dirs("d")
        with monkeypatch.context() as patch:
            faults.install(patch).fail_at(k, number, after_effect=after_effect)
            try:
                store.put_if_absent("d/f", DATA)
                error = None
            except VegoError as caught:
                error = caught
        linked = k > 5 or (name == "link" and after_effect)
        if name == "link" and after_effect:
            assert error is None, "the link was made although the call failed; that is noticed"
        elif linked:
            assert isinstance(error, CommitUncertainError), (k, name)
        else:
            assert isinstance(error, StorageError | ReadOnlyError), (k, name)
            assert not isinstance(error, CommitUncertainError)
        assert store.exists("d/f") == linked, (k, name)
        if linked:
            assert store.read("d/f") == DATA
        syncing = error is not None and (name in ("fsync", "close") or linked)
        assert (store.poisoned is not None) == syncing, (k, name)
        if not linked and not (name == "open" and after_effect):
            assert leftovers(store) == [], (k, name)
        if syncing:
            with pytest.raises(PoisonedError, match="open it again"):
                store.put_if_absent("d/g", DATA)
            store.list("d")  # reading goes on
        else:
            store.put_if_absent("d/g", DATA)


@pytest.mark.parametrize("k", range(9))
def test_put_if_absent_interrupted(store, monkeypatch, k):
    with monkeypatch.context() as patch:
        faults.install(patch).fail_at(k, KeyboardInterrupt(), after_effect=True)
        with pytest.raises(KeyboardInterrupt):
            store.put_if_absent("d/f", DATA)
    assert (store.poisoned is not None) == (k >= 3)
    if store.exists("d/f"):
        assert store.read("d/f") == DATA


@pytest.mark.parametrize("number", ERRNOS)
def test_create_with_a_fault_at_every_call(tmp_path, monkeypatch, number):
    def work(store):
        with store.create("f") as file:
            file.write(DATA)
            file.write(b"x" * 300_000)
            file.commit()
        store.sync_dir("")

    def fresh(name):
        store = LocalStore(tmp_path / name)
        store.make_dirs("")
        return store

    calls = count_calls(fresh("count"), monkeypatch, work)
    assert calls == ["open", "pwrite", "pwrite", "fsync", "close", "open", "fsync", "close"]
    for k, name in enumerate(calls):
        store = fresh(str(k))
        with monkeypatch.context() as patch:
            faults.install(patch).fail_at(k, number)
            with pytest.raises((StorageError, ReadOnlyError)):
                work(store)
        assert store.exists("f") == (k > 4), (k, name)
        assert (store.poisoned is not None) == (name in ("fsync", "close"))
        if store.poisoned:
            with pytest.raises(PoisonedError):
                store.create("g")


@pytest.mark.parametrize("number", ERRNOS)
def test_append_with_a_fault_at_every_call(tmp_path, monkeypatch, number):
    def work(store):
        log = store.append_file("log")
        log.append(b"first")
        log.sync()
        log.append(b"second")
        log.sync()
        log.close()

    def fresh(name):
        store = LocalStore(tmp_path / name)
        store.make_dirs("")
        return store

    calls = count_calls(fresh("count"), monkeypatch, work)
    assert calls == ["open", "pwrite", "fdatasync", "pwrite", "fdatasync", "close"]
    for k, name in enumerate(calls):
        store = fresh(str(k))
        with monkeypatch.context() as patch:
            faults.install(patch).fail_at(k, number)
            with pytest.raises((StorageError, ReadOnlyError)) as caught:
                work(store)
        assert isinstance(caught.value, CommitUncertainError) == (name == "fdatasync")
        harmless = name == "open" or (name == "pwrite" and number in (errno.ENOSPC, errno.EDQUOT))
        assert (store.poisoned is None) == harmless, (k, name)


def test_a_failed_sync_is_never_retried(store, monkeypatch):
    faulty = faults.install(monkeypatch)
    log = store.append_file("log")
    log.append(b"data")
    faulty.fail_at(len(faulty.calls), errno.EIO)
    with pytest.raises(CommitUncertainError):
        log.sync()
    before = faulty.calls.count("fdatasync")
    with pytest.raises(PoisonedError):
        log.sync()
    with pytest.raises(PoisonedError):
        log.append(b"more")
    with pytest.raises(PoisonedError):
        store.sync_dir("")
    assert faulty.calls.count("fdatasync") == before


def test_disk_full_in_the_middle_of_an_append_rolls_back(store, monkeypatch):
    faulty = faults.install(monkeypatch)
    log = store.append_file("log")
    log.append(b"good")
    faulty.short_at(len(faulty.calls))
    faulty.fail_at(len(faulty.calls) + 1, errno.ENOSPC)
    with pytest.raises(StorageError, match="disk is full"):
        log.append(DATA)
    assert log.size == 4
    assert store.size("log") == 4
    log.append(b"!")
    log.sync()
    assert store.read("log") == b"good!"


def test_an_append_that_cannot_be_rolled_back_poisons(store, monkeypatch):
    faulty = faults.install(monkeypatch)
    log = store.append_file("log")
    faulty.fail_at(len(faulty.calls), errno.ENOSPC)
    faulty.fail_always("ftruncate", errno.EIO)
    with pytest.raises(StorageError):
        log.append(DATA)
    assert store.poisoned is not None


def test_an_interrupted_append_is_rolled_back(store, monkeypatch):
    faulty = faults.install(monkeypatch)
    log = store.append_file("log")
    faulty.fail_at(len(faulty.calls), KeyboardInterrupt(), after_effect=True)
    with pytest.raises(KeyboardInterrupt):
        log.append(DATA)
    assert (log.size, store.size("log"), store.poisoned) == (0, 0, None)


def test_short_writes_are_continued(store, monkeypatch):
    faulty = faults.install(monkeypatch)
    for number in range(0, 40, 2):
        faulty.short_at(number)
    store.put_if_absent("d/f", DATA)
    log = store.append_file("log")
    log.append(DATA)
    with store.create("g") as file:
        file.write(DATA * 1000)
        file.commit()
    assert store.read("d/f") == DATA
    assert store.read("log") == DATA
    assert store.read("g") == DATA * 1000
    assert faulty.calls.count("pwrite") > 3


@pytest.mark.parametrize("number", ERRNOS)
def test_make_dirs_with_a_fault_at_every_call(tmp_path, monkeypatch, number):
    calls = count_calls(LocalStore(tmp_path / "count"), monkeypatch, lambda store: store.make_dirs("a/b"))
    assert calls.count("mkdir") == 3
    assert calls.count("fsync") == 3, "the parent of the root, the root and a"
    for k, name in enumerate(calls):
        store = LocalStore(tmp_path / str(k))
        with monkeypatch.context() as patch:
            faults.install(patch).fail_at(k, number)
            with pytest.raises((StorageError, ReadOnlyError)):
                store.make_dirs("a/b")
        assert (store.poisoned is not None) == (name in ("fsync", "close"))
        if not store.poisoned:
            store.make_dirs("a/b")
            assert store.exists("a/b")


def test_a_directory_somebody_else_made_is_synced_too(store, monkeypatch):
    store.make_dirs("a/b")
    calls = count_calls(store, monkeypatch, lambda store: store.make_dirs("a/b"))
    assert calls.count("fsync") == 2


def test_delete_and_rename_report(store, monkeypatch):
    store.put_if_absent("d/f", b"")
    faulty = faults.install(monkeypatch)
    faulty.fail_always("unlink", errno.EROFS)
    with pytest.raises(ReadOnlyError, match="read_only=True"):
        store.delete("d/f")
    faulty.fail_always("link", errno.EIO)
    with pytest.raises(StorageError):
        store.rename("d/f", "d/g")
