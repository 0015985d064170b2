"""One writer per database: others learn who it is, a forked child is refused, a dead one holds nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from tests.support import processes
from vego import names
from vego.errors import ClosedError, DatabaseLockedError
from vego.store import LocalStore, lock


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path)
    store.make_dirs("d")
    return store


def test_another_process_is_named(store):
    child = processes.start("lock", store.root)
    try:
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(
            DatabaseLockedError, match=rf"process {child.pid} on host .* since 20.*read_only=True"
        ):
            store.lock(names.LOCK)
        holder = json.loads(store.read(names.LOCK))
        assert holder["pid"] == child.pid
        assert set(holder) == {"pid", "host", "boot", "started", "command"}
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        store.lock(names.LOCK).release()
    finally:
        child.kill()
        child.communicate()


def test_the_same_process_is_told_so(store):
    lock = store.lock(names.LOCK)
    with pytest.raises(DatabaseLockedError, match="this very process"):
        LocalStore(store.root).lock(names.LOCK)
    lock.release()
    lock.release()
    again = LocalStore(store.root)
    again.lock(names.LOCK)
    again.close()
    store.lock(names.LOCK)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"pid": "x"}', b"\xff" * 9000, b"[" * 5000])
def test_an_unreadable_holder_does_not_matter(store, content):
    store.lock(names.LOCK)
    (store.root / names.LOCK).write_bytes(content)
    with pytest.raises(
        DatabaseLockedError, match="another process" if content else "processes that share it"
    ):
        LocalStore(store.root).lock(names.LOCK)


def in_child(work) -> int:
    """Exit status of a forked child that runs `work`."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(work())
        except BaseException:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_is_refused(store):
    store.put_if_absent("f", b"1")
    reader = store.open_reader("f")
    log = store.append_file("log")
    unfinished = store.create("unfinished")
    calls = [
        lambda: store.read("f"),
        lambda: reader.read_at(0, 1),
        lambda: log.append(b"x"),
        lambda: unfinished.write(b"x"),
        lambda: store.list(""),
        lambda: store.lock(names.LOCK),
        lambda: store.create("g"),
    ]

    def work():
        refused = 0
        for call in calls:
            try:
                call()
            except ClosedError as error:
                refused += "forked" in str(error)
        unfinished.__exit__(None, None, None)  # must not remove the parent's file
        log.close()
        return 0 if refused == len(calls) else refused + 1

    assert in_child(work) == 0
    assert store.exists("unfinished")
    log.append(b"parent")
    unfinished.write(b"parent")
    unfinished.commit()
    assert store.read("unfinished") == b"parent"


def test_a_child_neither_keeps_nor_breaks_the_lock(store):
    lock = store.lock(names.LOCK)
    pid = os.fork()
    if pid == 0:
        lock.release()
        signal.pause()
        os._exit(0)
    try:
        with pytest.raises(DatabaseLockedError):
            LocalStore(store.root).lock(names.LOCK)
        lock.release()
        LocalStore(store.root).lock(names.LOCK).release()  # the child is alive and does not hold it
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_release_reaches_copies_of_the_descriptor(store):
    """As a child has them between the fork and its first instruction."""
    lock = store.lock(names.LOCK)
    copy = os.dup(lock._descriptor.number)
    lock.release()
    LocalStore(store.root).lock(names.LOCK)
    os.close(copy)


def test_a_child_may_open_it_anew(store):
    store.put_if_absent("f", b"1")

    def work():
        return 0 if LocalStore(store.root).read("f") == b"1" else 1

    assert in_child(work) == 0


@pytest.fixture
def other(store):
    """The same place as another process would see it."""
    store.make_dirs("d/wait", "d/free")
    other = LocalStore(store.root)
    yield other
    other.close()


def test_one_has_the_turn(store, other):
    ours = store.turn("d/wait", "d", 5)
    assert ours is not None
    assert other.turn("d/wait", "d", 0.01) is None
    ours.release()
    ours.release()
    theirs = other.turn("d/wait", "d", 5)
    assert theirs is not None
    assert store.turn("d/wait", "d", 0) is None
    theirs.release()


def test_who_has_just_had_the_turn_stands_behind_who_waits(store, other):
    ours = store.turn("d/wait", "d", 5)
    assert ours is not None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.turn, "d/wait", "d", 60)
        while (probe := store.turn("d/wait", "d/free", 0)) is not None:  # until it is the next one
            probe.release()
        ours.release()
        assert store.turn("d/wait", "d", 0) is None
        theirs = waiting.result()
    assert theirs is not None
    theirs.release()
    again = store.turn("d/wait", "d", 5)
    assert again is not None
    again.release()


def test_a_turn_goes_with_its_process(store, other):
    child = os.fork()
    if child == 0:
        try:
            turn = LocalStore(store.root).turn("d/wait", "d", 5)
            os._exit(0 if turn is not None else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    ours = store.turn("d/wait", "d", 5)
    assert ours is not None
    child = os.fork()
    if child == 0:  # what a child inherited it does not keep
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(0)
    try:
        os.waitpid(child, os.WUNTRACED)
        ours.release()
        theirs = other.turn("d/wait", "d", 5)
        assert theirs is not None
        theirs.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_where_there_is_no_lock_nobody_waits(store, monkeypatch):
    assert store.turn("missing", "d", 60) is None

    def refuse(number, how):
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(lock, "fcntl", SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_NB=4, LOCK_UN=8))
    assert store.turn("d", "d", 60) is None
