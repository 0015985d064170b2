"""Interrupts, failed syncs, drops cut short and forks lose nothing acknowledged and halve nothing.

kill -9 at random moments is in `tests/test_torture.py`.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego
from tests.support.faults import install
from vego.store import LocalStore
from vego.table.memtable import MemTable
from vego.table.slots import Slots


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
