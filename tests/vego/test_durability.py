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

import numpy as np
import pytest

import vego
from tests.support.faults import install
from vego.store import LocalStore
from vego.table.slots import Slots

# The child acknowledges each operation on its standard output only after the call returned.
CHILD = """
import random, sys
import numpy as np
import vego

directory, seed = sys.argv[1], int(sys.argv[2])
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
    elif choice < 0.97:
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


def replay(lines: list[str], state: dict[str, int]) -> tuple[dict[str, int], dict[str, int] | None]:
    """The state after every acknowledged operation, and the one after the operation that was under way."""
    pending: tuple[str, list[str], int] | None = None
    for line in lines:
        words = line.split()
        if words[0] == "try":
            pending = (words[1], words[2].split(","), int(words[3]))
        elif words[0] == "done":
            assert pending is not None
            state = applied(state, *pending)
            pending = None
    return state, None if pending is None else applied(state, *pending)


def applied(state: dict[str, int], verb: str, names: list[str], serial: int) -> dict[str, int]:
    if verb == "delete":
        return {name: value for name, value in state.items() if name not in names}
    return state | dict.fromkeys(names, serial)


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
    names = {f"k{number}" for number in range(40)} | {f"bulk{number}" for number in range(1100)}
    for turn in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "db"), str(seed + turn)],
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
        found = stored(tmp_path / "db", names)
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
        with monkeypatch.context() as patch:
            patch.setattr(Slots, "append", interrupted)
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
