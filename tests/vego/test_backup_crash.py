"""Whatever a power cut during a backup or a restore leaves is whole, or nobody takes it for a backup or a database."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import vego
from tests.support.contents import Content, content_of
from tests.support.crash_states import Disk, Fingerprints, moments_of_interest
from tests.support.simulated_system import Operation, ProcessKilled, SimulatedSystem, Tree
from vego import names
from vego.store import LocalStore, files

DB, BASE, BACKUP, NEW, AGAIN = "/disk/db", "/disk/base", "/disk/backup", "/disk/new", "/disk/again"


def prepared() -> tuple[Tree, Content]:
    """A disk with a database, a backup of an earlier state of it, and what it holds."""
    system = SimulatedSystem(seed="prepare")
    with system.installed():
        with vego.open(
            DB, dimension=2, metric="l2", background=False, index="hnsw", m=4, ef_construction=8
        ) as db:
            docs = db.collection("c")
            docs.insert_batch(ids=["a", "b", "c"], vectors=np.ones((3, 2)), metadata={"n": [1, 2, 3]})
            docs.build_index()
            db.backup(BASE)
            docs.delete("b")
            docs.flush()
            docs.insert(id="d", vector=[1, 2])
            content = content_of(db)
        tree = system.tree()
    return tree, content


def performed(tree: Tree, verb: str, kill_at: int | None = None) -> list[Operation]:
    """What a backup, or a restore, does to the disk."""
    system = SimulatedSystem(tree, verb)
    system.kill_at = kill_at
    with system.installed():
        try:
            if verb == "backup":
                with vego.open(DB, read_only=True) as db:
                    db.backup(BACKUP)
            elif verb == "incremental":
                with vego.open(DB, read_only=True) as db:
                    db.backup(BACKUP, base=BASE)
            else:
                vego.restore(BASE, NEW)
        except ProcessKilled:
            assert kill_at is not None
    return system.log


def content_at(path: str) -> Content | None:
    """None where nobody takes it for a database."""
    try:
        with vego.open(path, read_only=True, create=False) as db:
            return content_of(db)
    except vego.NotADatabaseError:
        return None


def wrong_with(tree: Tree, verb: str, content: Content, *, done: bool) -> str:
    """What a state of the disk has that must not be; "" if nothing."""
    with SimulatedSystem(tree, "check").installed():
        if content_at(DB) != content:
            return "the database is not as it was"
        if verb == "restore":
            restored = content_at(NEW)
            expected = content_at(BASE)
            if restored is None and not done:
                return ""
            return (
                "" if restored == expected and vego.verify(NEW, deep=True).ok else f"restored was {restored}"
            )
        found = content_at(BACKUP)
        if found not in (None, content):
            return f"the backup opens with {found}"
        try:
            vego.restore(BACKUP, AGAIN)
        except vego.NotADatabaseError:
            return "the backup is gone" if done else ""
        return (
            "" if content_at(AGAIN) == content and vego.verify(BACKUP).ok else "it restores to something else"
        )


def explore(verb: str, limit: int, kill_at: int | None = None) -> tuple[int, list[str]]:
    """How many states were looked at, and what was wrong."""
    tree, content = prepared()
    log = performed(tree, verb, kill_at)
    disk, seen, bad, position = Disk(tree, (names.LOCK,)), set(), [], 0
    fingerprints = Fingerprints()
    for moment in moments_of_interest(log, [0, len(log)]):
        while position < moment:
            disk.apply(log[position])
            position += 1
        for crash in disk.crashes(limit, random.Random(f"{verb} {moment}")):
            state = disk.after(crash)
            key = fingerprints.of(state), moment == len(log)
            if key in seen:
                continue
            seen.add(key)
            done = moment == len(log) and kill_at is None
            try:
                wrong = wrong_with(state, verb, content, done=done)
            except vego.VegoError as error:
                wrong = f"{type(error).__name__}: {error}"
            if wrong:
                bad.append(f"{verb}, power cut before operation {moment}: {disk.describe(crash)}: {wrong}")
    return len(seen), bad


@pytest.mark.crash
@pytest.mark.parametrize("verb", ["backup", "incremental", "restore"])
def test_power_cuts(verb: str) -> None:
    states, bad = explore(verb, 6)
    assert not bad, bad[0]
    assert states > 30


@pytest.mark.crash
@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_a_process_dies_and_then_the_power_goes(verb: str) -> None:
    tree, _ = prepared()
    operations = len(performed(tree, verb))
    for kill_at in random.Random(verb).sample(range(operations), 4):
        _, bad = explore(verb, 2, kill_at)
        assert not bad, bad[0]


def _no_file_sync(patch: pytest.MonkeyPatch) -> None:
    module: Any = files
    patch.setattr(module, "sync_file", lambda number: None)


def _no_sync_of(ending: str) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(patch: pytest.MonkeyPatch) -> None:
        right = LocalStore.sync_dir

        def sync_dir(store: LocalStore, path: str) -> None:
            if not path.endswith(ending):
                right(store, path)

        patch.setattr(LocalStore, "sync_dir", sync_dir)

    return plant


def _marker_first(patch: pytest.MonkeyPatch) -> None:
    right = LocalStore.make_dirs

    def make_dirs(store: LocalStore, *paths: str) -> None:
        right(store, *paths)
        if store.name == NEW and paths != ("",) and not store.exists(names.MARKER):
            store.put_if_absent(names.MARKER, LocalStore(BASE).read(names.MARKER))

    put = LocalStore.put_if_absent

    def put_if_absent(store: LocalStore, path: str, data: bytes) -> None:
        if not (store.name == NEW and path == names.MARKER and store.exists(path)):
            put(store, path, data)

    patch.setattr(LocalStore, "make_dirs", make_dirs)
    patch.setattr(LocalStore, "put_if_absent", put_if_absent)


@pytest.mark.parametrize(
    ("verb", "plant"),
    [
        ("backup", _no_file_sync),
        ("backup", _no_sync_of("/data")),
        ("incremental", _no_sync_of("/index")),
        ("restore", _no_file_sync),
        ("restore", _no_sync_of("/manifests")),
        ("restore", _no_sync_of("/data")),
        ("restore", _marker_first),
    ],
)
def test_a_planted_bug_is_found(
    verb: str, plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert explore(verb, 6)[1]
