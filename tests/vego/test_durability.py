"""kill -9 at any moment loses nothing acknowledged and halves nothing."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego
from tests.support.faults import install
from tests.support.history import replay
from vego.store import LocalStore
from vego.table.memtable import MemTable
from vego.table.slots import Slots

# The child acknowledges each operation on its standard output only after the call returned.
CHILD = """
import random, sys
import numpy as np
import vego

directory, seed, large = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
rng = random.Random(seed)
db = vego.open(directory, dimension=4, metric="l2", flush_bytes=4_000)
docs = db.collection("c")
serial = seed * 1_000_000
print("ready", flush=True)
while True:
    serial += 1
    choice = rng.random()
    name = f"k{rng.randrange(40)}"
    vector = np.full(4, serial, np.float32)
    if choice < 0.6:
        print("try put", name, serial, flush=True)
        docs.upsert(id=name, vector=vector, metadata={"serial": serial})
    elif choice < 0.8:
        print("try delete", name, serial, flush=True)
        docs.delete(name)
    elif choice < 1 - large:
        names = [f"k{number}" for number in rng.sample(range(40), 5)]
        print("try put", ",".join(names), serial, flush=True)
        docs.upsert_batch(ids=names, vectors=np.tile(vector, (5, 1)), metadata={"serial": [serial] * 5})
    else:
        names = [f"k{number}" for number in range(40)] + [f"bulk{number}" for number in range(1100)]
        print("try put", ",".join(names), serial, flush=True)
        vectors = np.tile(vector, (len(names), 1))
        docs.upsert_batch(ids=names, vectors=vectors, metadata={"serial": [serial] * len(names)})
    print("done", serial, flush=True)
"""


# A large batch takes as long as a hundred small ones: with many of them every cut would fall into one.
LARGE = ["0.0005", "0.03"]
NAMES = {f"k{number}" for number in range(40)} | {f"bulk{number}" for number in range(1100)}


def stored(directory: Path, names: set[str]) -> dict[str, int]:
    with vego.open(directory, dimension=4, metric="l2") as db:
        docs = db.collection("c")
        found = {}
        for name in names:
            document = docs.get(name)
            if document is not None:
                assert np.asarray(document.vector)[0] == document.metadata["serial"]
                found[name] = document.metadata["serial"]
        assert len(docs) == len(found)
        hits = docs.search(np.zeros(4), k=50)
        assert len(hits) == min(50, len(found))
        return found


@pytest.mark.crash
def test_kill_nine_at_random_moments(tmp_path: Path) -> None:
    seed = int(os.environ.get("VEGO_SEED", random.SystemRandom().randrange(10_000)))
    print(f"VEGO_SEED={seed}")
    rng = random.Random(seed)
    state: dict[str, int] = {}
    for turn in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "db"), str(seed + turn), LARGE[turn % 2]],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        output = child.stdout.read()
        child.stdout.close()
        child.wait()
        lines = output.split("\n")
        lines = [line for line in lines[:-1] if line]  # a last line without its end was not printed whole
        acknowledged, under_way = replay(lines, state)
        found = stored(tmp_path / "db", NAMES)
        assert found in (acknowledged, under_way), f"seed {seed}, turn {turn}"
        state = found


@pytest.mark.parametrize("rows", [1, 2000])  # through the log, and as a segment
def test_an_interrupt_between_disk_and_memory_stops_writing(
    tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        docs.insert(id="before", vector=[1, 2])
        assert "before" in docs  # so it is in the slots
        with monkeypatch.context() as patch:
            if rows == 1:
                patch.setattr(MemTable, "extend", interrupted)
            else:
                patch.setattr(Slots, "append_written", interrupted)
            with pytest.raises(KeyboardInterrupt):
                docs.insert_batch(ids=[f"cut{row}" for row in range(rows)], vectors=np.ones((rows, 2)))
        with pytest.raises(vego.PoisonedError, match="open it again"):
            docs.insert(id="after", vector=[1, 2])
        assert docs.get("before") is not None
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("c")
        assert "before" in docs
        assert "after" not in docs
        assert len(docs) == rows + 1


@pytest.mark.parametrize("entered", [False, True])
def test_an_interrupted_reader_leaves_rows_for_the_next(
    tmp_path: Path, entered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows written one by one enter the slots when somebody looks, all together."""
    right = Slots.append

    def interrupted(slots: Slots, *rows: Any) -> None:
        if entered:
            right(slots, *rows)
        raise KeyboardInterrupt

    with vego.open(tmp_path / "db", dimension=2, metric="l2") as db:
        docs = db.collection("c")
        docs.insert(id="before", vector=[1, 2])
        assert len(docs) == 1
        for row in range(5):
            docs.insert(id=f"d{row}", vector=np.array([row, 0], np.float32), metadata={})
        with monkeypatch.context() as patch:
            patch.setattr(Slots, "append", interrupted)
            with pytest.raises(KeyboardInterrupt):
                docs.search([3, 0], k=1)
        docs.insert(id="after", vector=np.array([9, 9], np.float32))
        assert [hit.id for hit in docs.search([3, 0], k=1)] == ["d3"]
        assert len(docs) == 7
        docs.upsert(id="d3", vector=[8, 8])
        docs.delete("after")
        assert [hit.id for hit in docs.search([8, 8], k=1)] == ["d3"]
        assert len(docs) == 6


def test_a_failed_sync_stops_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        docs.insert(id="before", vector=[1, 2])
        with monkeypatch.context() as patch:
            faulty = install(patch)
            for call in ("fsync", "fdatasync"):
                faulty.fail_always(call, errno.EIO)
            with pytest.raises(vego.CommitUncertainError, match=r"cannot sync.*open it again"):
                docs.insert(id="uncertain", vector=[1, 2])
        with pytest.raises(vego.PoisonedError):
            docs.insert(id="after", vector=[1, 2])
        assert "before" in docs
        assert "uncertain" not in docs
    with vego.open(tmp_path / "db") as db:
        assert "before" in db.collection("c")
        assert "after" not in db.collection("c")


def test_a_drop_cut_short_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with vego.open(tmp_path / "db", dimension=2) as db:
        db.collection("c").insert(id="a", vector=[1, 2])
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "remove_tree", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                db.drop("c")
        assert db.collections() == []
    assert list((tmp_path / "db" / "collections").iterdir())
    with vego.open(tmp_path / "db") as db:
        assert db.collections() == []
    assert not list((tmp_path / "db" / "collections").iterdir())


FORK = """
import os, sys
import vego

db = vego.open(sys.argv[1], dimension=2)
docs = db.collection("c")
docs.insert(id="before", vector=[1, 2])
child = os.fork()
if child == 0:
    try:
        docs.insert(id="from the child", vector=[1, 2])
    except vego.ClosedError as error:
        print(error, flush=True)
    sys.exit(0)  # runs what is registered for the end of a process, as multiprocessing's children do not
os.waitpid(child, 0)
try:
    vego.open(sys.argv[1])
except vego.DatabaseLockedError:
    print("still locked", flush=True)
docs.insert(id="after", vector=[3, 4])
db.close()
with vego.open(sys.argv[1]) as again:
    print(sorted(name for name in ("before", "after", "from the child") if name in again.collection("c")))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_neither_writes_nor_unlocks(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path / "db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    refused, locked, names = result.stdout.splitlines()
    assert "fork" in refused
    assert locked == "still locked"
    assert names == "['after', 'before']"
