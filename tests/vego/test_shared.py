"""Several processes write one collection: nothing is lost, nothing is there twice, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego
from vego import names
from vego.store import LocalStore
from vego.table import garbage, turns
from vego.table.commit import SetOptions, commit
from vego.table.manifest import load_latest, versions

WRITER = """
import json, random, sys, time
import numpy as np
import vego
path, number, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(number)
told = []
with vego.open(path, shared=True, dimension=2, metric="l2", index="flat", retain_versions=2) as db:
    docs = db.collection("c")
    for turn in range(turns):
        own, common = f"{number}-{turn}", f"common-{rng.randrange(8)}"
        docs.insert(id=own, vector=[number, turn], metadata={"by": number})
        docs.upsert(id=common, vector=[number, turn], metadata={"by": number, "turn": turn})
        try:
            docs.insert(id=f"once-{turn}", vector=[number, turn], metadata={"by": number})
            told.append(["once", turn])
        except vego.DuplicateIdError:
            pass
        if turn % 3 == 2:
            told.append(["gone", turn - 1])
            assert docs.delete(f"{number}-{turn - 1}")
        if turn % 7 == 6:
            docs.compact(full=True)
        print(json.dumps(turn), flush=True)
print(json.dumps(told), flush=True)
"""


def start(path: Path, number: int, turns: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(path), str(number), str(turns)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[list[Any]]:
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    told: list[list[Any]] = json.loads(out.splitlines()[-1])
    return told


@pytest.mark.parametrize("count", [2, 4])
def test_nothing_is_lost_and_nothing_doubled(tmp_path: Path, count: int) -> None:
    turns = 24 // count
    told = [finish(process) for process in [start(tmp_path / "db", n, turns) for n in range(count)]]
    with vego.open(tmp_path / "db", read_only=True) as db:
        docs = db.collection("c")
        table = docs.to_table(["id", "by", "vector"])
        ids = table["id"].to_pylist()
        assert len(ids) == len(set(ids)) == len(docs)
        for number in range(count):
            gone = {turn for what, turn in told[number] if what == "gone"}
            for turn in range(turns):
                assert (f"{number}-{turn}" in docs) == (turn not in gone)
        winners = [turn for one in told for what, turn in one if what == "once"]
        assert sorted(winners) == list(range(turns))  # every one accepted, by one process only
        for number in range(count):
            for what, turn in told[number]:
                if what == "once":
                    found = docs.get(f"once-{turn}")
                    assert found is not None and found.metadata["by"] == number
    with vego.open(tmp_path / "db") as db:  # and alone again
        db.collection("c").insert(id="alone", vector=[1, 1])
        assert len(db.collection("c")) == len(ids) + 1


def test_a_killed_writer_leaves_what_was_acknowledged(tmp_path: Path) -> None:
    processes = [start(tmp_path / "db", number, 1_000) for number in range(3)]
    seen = []
    for wait, process in enumerate(processes):
        assert process.stdout is not None
        for _ in range(2 + wait):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
    for process in processes:
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
        seen.append(len([line for line in out.splitlines() if line]))
    with vego.open(tmp_path / "db", shared=True) as db:
        docs = db.collection("c")
        ids = docs.to_table(["id"])["id"].to_pylist()
        assert len(ids) == len(set(ids))
        for number, lines in enumerate(seen):
            for turn in range(2 + number + lines):
                assert turn % 3 == 1 or f"{number}-{turn}" in docs
        docs.insert(id="after", vector=[0, 0])


def test_writers_see_each_other_after_a_write_or_a_refresh(tmp_path: Path) -> None:
    with vego.open(tmp_path, shared=True, dimension=2) as one, vego.open(tmp_path, shared=True) as two:
        first = one.collection("c")
        first.insert(id="a", vector=[1, 0], metadata={"n": 1})
        second = two.collection("c")
        first.upsert(id="a", vector=[0, 1], metadata={"n": 2})
        held = second.get("a")
        assert held is not None and held.metadata == {"n": 1}
        two.refresh()
        found = second.get("a")
        assert found is not None and found.metadata == {"n": 2}
        with pytest.raises(vego.DuplicateIdError):
            second.insert(id="a", vector=[1, 1])
        second.update("a", metadata={"m": 3})
        first.update("a", metadata={"k": 4})
        found = first.get("a")
        assert found is not None and found.metadata == {"n": 2, "m": 3, "k": 4}
        first.tag("t")
        second.delete("a")
        assert second.tags() == {"t": first.tags()["t"]}
        second.restore(tag="t")
        one.refresh()
        assert "a" in first
        one.drop("c")
        with pytest.raises(vego.CollectionNotFoundError, match="dropped by another"):
            second.insert(id="b", vector=[1, 1])


def test_the_log_of_one_that_was_alone_is_flushed_first(tmp_path: Path) -> None:
    with vego.open(tmp_path, dimension=2) as db:
        for number in range(20):
            db.collection("c").insert(id=str(number), vector=[number, 1])
    with vego.open(tmp_path) as db:
        assert len(db.collection("c")) == 20
    with vego.open(tmp_path, shared=True) as one, vego.open(tmp_path, shared=True) as two:
        assert len(one.collection("c")) == len(two.collection("c")) == 20
        assert not one.collection("c").stats()["buffered_rows"]
        with pytest.raises(vego.DatabaseLockedError, match="shared=True"):
            vego.open(tmp_path)
    with vego.open(tmp_path), pytest.raises(vego.DatabaseLockedError, match="shared=True"):
        vego.open(tmp_path, shared=True)


def test_files_on_their_way_into_a_version_are_not_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "LANDING_SECONDS", 0)
    with vego.open(tmp_path, shared=True, dimension=2, retain_versions=2) as db:
        docs = db.collection("c")
        docs.insert(id="a", vector=[1, 0])
        data = tmp_path / "collections" / "c" / "data"
        young, old = data / f"{'1' * 32}.lfmt", data / f"{'2' * 32}.lfmt"
        for path in (young, old):
            path.write_bytes(b"another process is writing this")
        os.utime(old, (time.time() - 7_200,) * 2)
        for number in range(4):
            docs.insert(id=str(number), vector=[1, 0])
        assert young.exists() and not old.exists()
        docs.compact(full=True)
        docs.vacuum(2)
        assert len(list(data.iterdir())) == 2  # what outdated versions named is gone at once


def test_young_versions_stay(tmp_path: Path) -> None:
    """Else a version could be committed and collected before its writer has seen that it landed."""
    with vego.open(tmp_path, shared=True, dimension=2, retain_versions=2) as db:
        docs = db.collection("c")
        for number in range(6):
            docs.insert(id=str(number), vector=[1, 0])
        assert len(docs.versions()) == 7


def test_a_version_that_comes_too_late_is_taken_back(tmp_path: Path) -> None:
    """A process that sleeps between looking and linking finds a free number in a chain that is long past it."""
    with vego.open(tmp_path, dimension=2, retain_versions=2, background=False, index="flat") as db:
        db.collection("c")
        store = LocalStore(tmp_path)
        base = load_latest(store, "c")
        assert base is not None
        for number in range(5):
            db.collection("c").insert_batch(
                ids=[f"{number}-{i}" for i in range(1_024)], vectors=np.ones((1_024, 2))
            )
        before = versions(store, "c")
        assert base.version + 1 not in before
        real = LocalStore.list

        def asleep(self: LocalStore, path: str) -> list[str]:
            return [] if path.endswith("manifests") and not awake else real(self, path)

        awake: list[bool] = []
        right = LocalStore.put_if_absent

        def link(self: LocalStore, path: str, data: bytes) -> None:
            right(self, path, data)
            awake.append(True)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LocalStore, "list", asleep)
            patch.setattr(LocalStore, "put_if_absent", link)
            with pytest.raises(vego.CommitConflictError, match="too late"):
                commit(store, "c", base, [SetOptions(dict(base.options))], shared=True)
        assert versions(store, "c") == before
        assert len(db.collection("c")) == 5 * 1_024


def test_nobody_depends_on_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the turn may have stopped: others go on after a while."""
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    monkeypatch.setattr(turns, "_NO_PATIENCE", 0.01)
    waiting, working = names.manifest_directory("c"), names.collection_path("c")
    with vego.open(tmp_path / "db", shared=True, dimension=2, index="flat") as db:
        docs = db.collection("c")
        docs.insert(id="first", vector=[1, 2])
        stopped = LocalStore(tmp_path / "db")
        turn = stopped.turn(waiting, working, 5)
        assert turn is not None
        for n in range(6):
            docs.insert(id=str(n), vector=[1, 2])
        docs.compact(full=True)
        assert len(docs) == 7
        turn.release()
        docs.delete("first")
        again = stopped.turn(waiting, working, 5)  # it was given back
        assert again is not None
        again.release()
        stopped.close()


def test_a_failed_call_gives_its_turn_back(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db", shared=True, dimension=2, index="flat", background=False) as db:
        docs = db.collection("c")
        docs.insert(id="first", vector=[1, 2])
        with pytest.raises(vego.DuplicateIdError):
            docs.insert(id="first", vector=[1, 2])
        for n in range(12):  # some of which merge segments, within the turn of the call
            docs.insert(id=str(n), vector=[1, 2])
        other = LocalStore(tmp_path / "db")
        turn = other.turn(names.manifest_directory("c"), names.collection_path("c"), 5)
        assert turn is not None
        turn.release()
        other.close()


def test_a_lost_file_is_said_and_not_waited_for(tmp_path: Path) -> None:
    """A file of the newest version that is not there may have been collected, but not while there is no newer one."""
    with vego.open(tmp_path, shared=True, dimension=2) as one, vego.open(tmp_path, shared=True) as two:
        docs = one.collection("c")
        docs.insert(id="a", vector=[1, 0])
        assert len(two.collection("c")) == 1
        docs.insert(id="b", vector=[1, 0])
        store = LocalStore(tmp_path, read_only=True)
        newest = load_latest(store, "c")
        assert newest is not None
        (tmp_path / "collections" / "c" / "data" / newest.segments[-1].file).unlink()
        with pytest.raises(vego.NotFoundError, match="cannot open"):
            two.collection("c").insert(id="c", vector=[1, 0])
