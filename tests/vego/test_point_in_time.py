"""Going back to any moment: by the versions that are kept and the log between them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego
from tests.support.versioned import (  # noqa: F401
    START,
    Clock,
    Contents,
    assert_whole,
    clock_fixture,
    commit,
    contents,
    docs_fixture,
    no_merges_of_their_own,
    opened,
)
from vego.table import rowstore
from vego.table.manifest import versions
from vego.table.versions import time_at

ROWSTORE: Any = rowstore


class Script:
    """A database that random verbs are done to, and a list of moments with what was there."""

    def __init__(self, path: Path, clock: Clock, seed: int, **options: Any) -> None:
        self.clock, self.random, self.options = clock, random.Random(seed), options
        self.path, self.lives = path / "0", 0
        self.db, self.docs = opened(self.path, **options)
        self.now: Contents = {}
        self.moments: list[tuple[datetime, Contents]] = []
        self.note()

    def note(self) -> None:
        self.moments.append((self.clock.now, dict(self.now)))

    def step(self, number: int) -> None:
        """One verb; the clock jumps back now and then, and a moment is noted afterwards."""
        rng, docs = self.random, self.docs
        names = rng.sample("abcdefghij", rng.choice([1, 1, 1, 2, 3, 6]))
        verbs = ["put", "delete", "flush", "tag", "compact", "restore", "index", "open", "kill"]
        match rng.choices(verbs, [40, 15, 10, 3, 5, 4, 3, 6, 6])[0]:
            case "put":
                docs.upsert_batch(
                    ids=names, vectors=np.zeros((len(names), 2)), metadata={"n": [number] * len(names)}
                )
                self.now |= {name: {"n": number} for name in names}
            case "delete":
                docs.delete_batch(names)
                self.now = {name: known for name, known in self.now.items() if name not in names}
            case "flush":
                docs.flush()
            case "tag":
                docs.tag(rng.choice("xy"))
            case "compact":
                docs.compact(full=True)
            case "index":
                docs.build_index()
            case "restore":
                moment, then = rng.choice(self.moments)
                try:
                    docs.restore(timestamp=moment)
                except vego.NotFoundError:
                    pass
                else:
                    self.now = dict(then)
            case verb:
                self.reopen(kill=verb == "kill")
        self.note()

    def reopen(self, *, kill: bool) -> None:
        if kill:  # what the process left behind, while it never closes
            self.lives += 1
            path = self.path.with_name(str(self.lives))
            shutil.copytree(self.path, path)
            self.db.close()
            self.path = path
        else:
            self.db.close()
        self.db, self.docs = opened(self.path)

    def check(self, docs: vego.Collection, least: int) -> None:
        """Moments in the past are right, or too long ago; `least` of them can be reached."""
        for reached, (moment, then) in enumerate(reversed(self.moments)):
            try:
                assert contents(docs.at(timestamp=moment)) == then, moment
            except vego.NotFoundError as error:
                assert "every moment from " in str(error)
                assert reached >= least, error
                break


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ROWSTORE, "DIRECT_ROWS", 5)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("key", [None, "n"])
@pytest.mark.parametrize("seed", range(8))
def test_any_moment(tmp_path: Path, clock: Clock, seed: int, key: str | None) -> None:
    """Without partitions, and with one for each batch."""
    retained, often = [(1000, 24), (4, 12)][seed % 2]  # where all moments stay, asking for them takes long
    script = Script(tmp_path, clock, seed, retain_versions=retained, partition_by=key)
    for number in range(60):
        script.step(number)
        if number % often == often - 1:
            script.check(script.docs, number if retained == 1000 else 1)
    script.db.close()
    assert_whole(script.path)
    assert vego.verify(script.path, deep=True).ok
    with vego.open(script.path, read_only=True) as db:
        script.check(db.collection("c"), 60 if retained == 1000 else 1)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("seed", range(4))
def test_a_backup_that_grows_reaches_any_moment(tmp_path: Path, clock: Clock, seed: int) -> None:
    """Backed up more often than versions are collected, every moment since the first backup can be restored."""
    script = Script(tmp_path, clock, seed, retain_versions=12, partition_by=[None, "n"][seed % 2])
    archive, target = tmp_path / "archive", tmp_path / "restored"
    for number in range(60):
        script.step(number)
        if number % 5 == 0:
            before = file_bytes(archive)
            report = script.db.backup(archive, history=True)
            assert report.linked_files == 0
            assert file_bytes(archive).items() >= before.items()  # nothing there is touched
            assert report.copied_files == len(file_bytes(archive)) - len(before)
    script.db.backup(archive, history=True)
    script.db.close()
    found = vego.verify(archive, deep=True)
    assert found.ok and not found.leftovers, found
    for moment, then in script.moments[:: 3 + seed]:
        vego.restore(archive, target, until=moment)
        with vego.open(target) as db:
            assert ("c" in db) == (moment >= time_at(START + 2_000)) and (
                contents(db.collection("c")) == then
            )
            db.collection("c").upsert(id="new", vector=[1, 1])
            assert len(db.collection("c")) == len(then) + 1
        assert vego.verify(target, deep=True).ok
        shutil.rmtree(target)
    vego.restore(archive, target)
    with vego.open(target) as db:
        assert contents(db.collection("c")) == script.now


def file_bytes(path: Path) -> dict[str, bytes]:
    found = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
    return {name: file.read_bytes() for name, file in found.items() if name not in ("BACKUP", "LOCK")}


def test_every_single_write_is_a_moment(docs: vego.Collection, clock: Clock) -> None:
    moments = []
    for name in "abc":
        docs.insert(id=name, vector=[1, 1])
        moments.append(clock.now)
    docs.delete("a")
    docs.flush()
    for number, moment in enumerate(moments):
        assert sorted(contents(docs.at(timestamp=moment))) == list("abc"[: number + 1])
    assert sorted(contents(docs.at(timestamp=clock.now))) == ["b", "c"]
    then = docs.at(timestamp=moments[1])
    docs.upsert(id="a", vector=[9, 9])
    assert then.search([1, 1], k=5).ids == ["a", "b"]
    with pytest.raises(vego.ReadOnlyError, match="as of an earlier moment"):
        then.insert(id="x", vector=[1, 1])


def test_a_clock_that_goes_back_does_not_take_the_log_back(docs: vego.Collection, clock: Clock) -> None:
    """Times in the log and of versions only grow, so that each moment has one answer."""
    first = START + 3_600_000_000
    for number in range(8):
        clock.us = first - number * 60_000_000
        docs.insert(id=f"d{number}", vector=[1, 1])
        if number % 3 == 2:
            docs.flush()
    sizes = [len(docs.at(timestamp=time_at(first + 1_000 + offset))) for offset in range(40)]
    assert sizes == sorted(sizes)
    assert set(sizes) == set(range(1, 9))


def test_seconds_of_the_past(tmp_path: Path, clock: Clock) -> None:
    """With retain_seconds any moment of that time can be reached, however old the last version before it is."""
    db, docs = opened(tmp_path / "db", retain_versions=2, retain_seconds=100)
    moments = []
    for number in range(40):
        clock.us = START + number * 10_000_000
        docs.insert(id=f"d{number:02d}", vector=[1, 1])
        moments.append(clock.now)
        if number % 7 == 3:
            docs.flush()
    for number in range(29, 40):
        assert len(docs.at(timestamp=moments[number])) == number + 1
    with pytest.raises(
        vego.NotFoundError, match=r"no version as old as .* every moment from 2025-10-09.* on can be"
    ):
        docs.at(timestamp=moments[3])
    clock.us += 1_000_000_000
    commit(docs, "later")
    assert len(docs.at(timestamp=clock.now - timedelta(seconds=99))) == 40
    db.close()


def test_a_moment_behind_a_tag_is_refused(docs: vego.Collection, clock: Clock) -> None:
    """A tagged version stays, but what followed it does not: it is not what was there a moment later."""
    commit(docs, "a")
    docs.tag("old")
    tagged = docs.tags()["old"]
    for name in "bcd":
        commit(docs, name)
    moment = clock.now
    docs.vacuum(2)
    assert contents(docs.at(tag="old")) == {"a": {}}
    version = next(one for one in docs.versions() if one.version == tagged)
    assert contents(docs.at(timestamp=version.time)) == {"a": {}}
    with pytest.raises(vego.NotFoundError, match=f"version {tagged} of .* was followed by others before"):
        docs.at(timestamp=version.time + timedelta(microseconds=1))
    before = contents(docs)
    with pytest.raises(vego.NotFoundError):
        docs.restore(timestamp=version.time + timedelta(microseconds=1))
    assert contents(docs) == before == contents(docs.at(timestamp=clock.now))
    assert moment < clock.now


def test_a_log_that_is_gone_is_named(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db")
    docs.insert(id="a", vector=[1, 1])
    moment = clock.now
    docs.insert(id="b", vector=[1, 1])
    commit(docs, "c")
    db.close()
    (segment,) = (tmp_path / "db" / "collections" / "c" / "wal").iterdir()
    segment.unlink()
    db, docs = opened(tmp_path / "db")
    with pytest.raises(vego.NotFoundError, match="between the versions 1 and 2 one by one is not kept"):
        docs.at(timestamp=moment)
    assert len(docs.at(timestamp=clock.now)) == 3
    db.close()


def test_what_is_not_durable_is_not_in_a_moment(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed sync: nobody in this process sees what it was to cover, not by going back either."""
    db, docs = opened(tmp_path / "db", durability="sync")
    docs.insert(id="a", vector=[1, 1])

    def fail(*_: object) -> None:
        raise OSError(5, "planted")

    with monkeypatch.context() as patch:
        patch.setattr("vego.store.files.sync_contents", fail)
        with pytest.raises(vego.CommitUncertainError):
            docs.insert(id="b", vector=[1, 1])
    assert "b" not in docs
    with pytest.raises(vego.CommitUncertainError):
        docs.at(timestamp=clock.now)
    db.close()


def test_a_restore_by_time_is_a_version(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db", retain_versions=50)
    commit(docs, "a", "b")
    docs.delete("a")
    docs.insert(id="c", vector=[1, 1], metadata={"x": None, "y": [1, 2]})
    moment = clock.now
    docs.delete("c")
    docs.upsert(id="b", vector=[2, 2])
    number = docs.restore(timestamp=moment)
    then = {"b": {}, "c": {"x": None, "y": [1, 2]}}
    assert contents(docs) == then == contents(docs.at(number))
    assert docs.versions()[-1].summary == f"restore {moment.isoformat()}"
    assert contents(docs.at(number - 1)) == {"b": {}}
    db.close()
    db, docs = opened(tmp_path / "db")
    assert contents(docs) == then
    assert contents(docs.at(timestamp=moment)) == then
    db.close()
    assert_whole(tmp_path / "db")


def test_where_several_write_a_moment_is_a_version(tmp_path: Path, clock: Clock) -> None:
    with vego.open(tmp_path / "db", dimension=2, metric="l2", shared=True, background=False) as db:
        docs = db.collection("c")
        moments = []
        for name in "abc":
            docs.insert(id=name, vector=[1, 1])
            moments.append(clock.now)
        for number, moment in enumerate(moments):
            assert len(docs.at(timestamp=moment)) == number + 1
        docs.restore(timestamp=moments[0])
        assert list(contents(docs)) == ["a"]


# -- backups with history ---------------------------------------------------------------------------


def test_moments_outside_of_a_backup(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db")
    early = clock.now - timedelta(days=1)
    docs.insert(id="a", vector=[1, 1])
    db.backup(tmp_path / "backup", history=True)
    late = clock.now + timedelta(seconds=1)
    db.close()
    with pytest.raises(vego.NotFoundError, match=r"was taken at 2025-10-09T.*knows nothing"):
        vego.restore(tmp_path / "backup", tmp_path / "new", until=late)
    assert not (tmp_path / "new").exists()
    assert vego.restore(tmp_path / "backup", tmp_path / "new", until=early).collections == {}
    with vego.open(tmp_path / "new") as found:
        assert found.collections() == []
    with pytest.raises(vego.InvalidArgumentError, match="write 2026"):
        vego.restore(tmp_path / "backup", tmp_path / "other", until="yesterday")


def test_a_backup_without_history_knows_its_own_moment(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    before = clock.now
    commit(docs, "b")
    docs.insert(id="c", vector=[1, 1])
    moment = clock.now
    docs.insert(id="d", vector=[1, 1])
    db.backup(tmp_path / "backup")
    db.close()
    vego.restore(tmp_path / "backup", tmp_path / "new", until=moment)
    with vego.open(tmp_path / "new") as found:
        assert sorted(contents(found.collection("c"))) == ["a", "b", "c"]
    with pytest.raises(vego.NotFoundError, match="every moment from "):
        vego.restore(tmp_path / "backup", tmp_path / "other", until=before)


@pytest.mark.parametrize("how", ["another", "dropped", "restored"])
def test_a_backup_of_another_history_is_not_added_to(tmp_path: Path, clock: Clock, how: str) -> None:
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    db.backup(tmp_path / "backup", history=True)
    path = tmp_path / "db"
    if how == "dropped":
        db.drop("c")
        commit(db.collection("c"), "b")
        commit(db.collection("c"), "b")
    elif how == "restored":
        db.close()
        path = tmp_path / "again"
        vego.restore(tmp_path / "backup", path)
        db, docs = opened(tmp_path / "db")
        commit(docs, "in one")
        db.backup(tmp_path / "backup", history=True)
    else:
        path = tmp_path / "other"
    db.close()
    before = file_bytes(tmp_path / "backup")
    record = (tmp_path / "backup" / "BACKUP").read_bytes()
    db, docs = opened(path)
    commit(db.collection("c"), "in the other")
    with pytest.raises(
        vego.InvalidArgumentError, match=r"a backup of another database|the history of collection 'c'"
    ):
        db.backup(tmp_path / "backup", history=True)
    db.close()
    assert file_bytes(tmp_path / "backup") == before
    assert (tmp_path / "backup" / "BACKUP").read_bytes() == record


def test_an_addition_that_was_cut_short(tmp_path: Path, clock: Clock) -> None:
    """Remains of it are in the way of nothing."""
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    db.backup(tmp_path / "backup", history=True)
    record = (tmp_path / "backup" / "BACKUP").read_bytes()
    commit(docs, "b")
    docs.insert(id="c", vector=[1, 1])
    db.backup(tmp_path / "backup", history=True)
    (tmp_path / "backup" / "BACKUP").write_bytes(record)  # as before
    for file in (tmp_path / "backup" / "collections" / "c" / "data").iterdir():
        if file.read_bytes() not in {one.read_bytes() for one in (tmp_path / "db").rglob("*.lfmt")}:
            file.write_bytes(b"torn")
    vego.restore(tmp_path / "backup", tmp_path / "old")
    with vego.open(tmp_path / "old") as found:
        assert list(contents(found.collection("c"))) == ["a"]
    db.backup(tmp_path / "backup", history=True)
    db.close()
    vego.restore(tmp_path / "backup", tmp_path / "new")
    with vego.open(tmp_path / "new") as found:
        assert sorted(contents(found.collection("c"))) == ["a", "b", "c"]


@pytest.mark.parametrize("damage", ["length", "footer"])
def test_a_damaged_backup_is_not_added_to(tmp_path: Path, clock: Clock, damage: str) -> None:
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    db.backup(tmp_path / "backup", history=True)
    (data,) = (tmp_path / "backup" / "collections" / "c" / "data").iterdir()
    content = bytearray(data.read_bytes())
    content[-6] ^= 1
    data.write_bytes(content[:-1] if damage == "length" else content)
    commit(docs, "b")
    with pytest.raises(vego.CorruptionError, match=data.name):
        db.backup(tmp_path / "backup", history=True)
    db.close()


def test_what_a_backup_is_of_may_be_collected_meanwhile(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log of the past is open before the first file is copied."""
    from vego.backup import taking

    db, docs = opened(tmp_path / "db", retain_versions=5)
    moments = []
    for name in "abcd":
        docs.insert(id=name, vector=[1, 1])
        moments.append(clock.now)
        docs.flush()
    right: Callable[..., Any] = taking._Work.fill

    def fill(work: Any, *arguments: Any) -> Any:
        for name in "wxyz":
            commit(docs, name)
        docs.vacuum(2)
        assert min(versions_of(tmp_path / "db")) > 5
        return right(work, *arguments)

    monkeypatch.setattr(taking._Work, "fill", fill)
    db.backup(tmp_path / "backup", history=True)
    db.close()
    for number, moment in enumerate(moments):
        vego.restore(tmp_path / "backup", tmp_path / f"new{number}", until=moment)
        with vego.open(tmp_path / f"new{number}") as found:
            assert len(found.collection("c")) == number + 1


def versions_of(path: Path) -> list[int]:
    from vego.store import LocalStore

    return versions(LocalStore(path, read_only=True), "c")
