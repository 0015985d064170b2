"""durability="interval": visible at once, on the disk soon after, and nothing of it outlives the database."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

import vego
from vego.store import files
from vego.store.descriptor import sync_contents

PATIENCE = 60  # seconds


class Syncs:
    """Counts the syncs of log files, and fails them where told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times: list[float] = []
        self.error: int | None = None
        self.happened = threading.Semaphore(0)
        monkeypatch.setattr(files, "sync_contents", self._sync)

    def _sync(self, number: int) -> None:
        self.times.append(time.monotonic())
        try:
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            sync_contents(number)
        finally:
            self.happened.release()


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("vego sync")]


def test_a_thread_syncs_what_was_written(tmp_path: Path, syncs: Syncs) -> None:
    with vego.open(tmp_path / "db", dimension=2, durability="interval", interval_ms=20) as db:
        docs = db.collection("c")
        docs.insert(id="a", vector=[1, 2])  # its log file is made durable, then the thread syncs
        while syncs.happened.acquire(timeout=0.5):
            pass
        before = len(syncs.times)
        assert not threads(), "nothing to sync, no thread"
        start = time.monotonic()
        for number in range(20):
            docs.insert(id=str(number), vector=[1, 2])
        assert len(docs) == 21, "visible at once"
        assert syncs.happened.acquire(timeout=PATIENCE)
        assert syncs.times[before] - start >= 0.02, "not before the interval is over"
        while threads():
            time.sleep(0.001)
        assert len(syncs.times) - before < 20


def test_what_is_written_during_a_sync_is_synced_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(number: int) -> None:
        begun.release()
        if threading.current_thread() in threads():
            assert go_on.wait(PATIENCE)
        sync_contents(number)

    with vego.open(tmp_path / "db", dimension=2, durability="interval", interval_ms=1) as db:
        docs = db.collection("c")
        docs.insert(id="a", vector=[1, 2])
        docs.flush()
        monkeypatch.setattr(files, "sync_contents", slow)
        docs.insert(id="b", vector=[1, 2])
        for _ in range(2):  # of the new log file, and in the thread
            assert begun.acquire(timeout=PATIENCE)
        docs.insert(id="c", vector=[1, 2])
        go_on.set()
        assert begun.acquire(timeout=PATIENCE), "the sync under way may not cover it"


def test_long_intervals_end_with_the_database(tmp_path: Path, syncs: Syncs) -> None:
    with vego.open(tmp_path / "db", dimension=2, durability="interval", interval_ms=60_000) as db:
        docs = db.collection("c")
        docs.insert(id="a", vector=[1, 2])
        made = len(syncs.times)
        docs.insert(id="b", vector=[1, 2])
        assert len(syncs.times) == made
        assert len(threads()) == 1
        docs.flush()
        flushed = len(syncs.times)
        assert flushed > made
        docs.insert(id="c", vector=[1, 2])
        waiting = threads()
    assert len(syncs.times) > flushed, "closing syncs"
    for thread in waiting:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    with vego.open(tmp_path / "db") as db:
        assert len(db.collection("c")) == 3


def test_a_failed_sync_in_the_background_stops_writing(tmp_path: Path, syncs: Syncs) -> None:
    with vego.open(tmp_path / "db", dimension=2, durability="interval", interval_ms=10) as db:
        docs = db.collection("c")
        docs.insert(id="a", vector=[1, 2])
        while threads():
            time.sleep(0.001)
        syncs.error = errno.EIO
        docs.insert(id="b", vector=[1, 2])
        while threads():
            time.sleep(0.001)
        syncs.error = None
        with pytest.raises(vego.PoisonedError, match=r"sync of .* failed"):
            docs.insert(id="c", vector=[1, 2])
        assert "b" in docs


def test_it_keeps_no_database_alive(tmp_path: Path) -> None:
    db = vego.open(tmp_path / "db", dimension=2, durability="interval", interval_ms=60_000)
    docs = db.collection("c")
    docs.insert(id="a", vector=[1, 2])
    (thread,) = threads()
    ghosts = weakref.ref(db), weakref.ref(docs)
    del db, docs
    gc.collect()
    assert [ghost() for ghost in ghosts] == [None, None]
    thread.join(PATIENCE / 2)
    assert not thread.is_alive(), "it syncs at once when there is nobody left to close the log"
    with vego.open(tmp_path / "db") as again:
        assert "a" in again.collection("c")


SCRIPT = """
import os, sys, threading
import vego

db = vego.open(sys.argv[1], dimension=2, durability="interval", interval_ms=60_000)
docs = db.collection("c")
docs.insert(id="before", vector=[1, 2])
child = os.fork()
if child == 0:
    assert threading.active_count() == 1
    try:
        docs.insert(id="from the child", vector=[1, 2])
    except vego.ClosedError:
        print("closed", flush=True)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
docs.insert(id="after", vector=[1, 2])
print(sorted(name for name in ("before", "from the child", "after") if name in docs), flush=True)
"""


def test_a_script_ends_at_once_and_a_child_inherits_no_thread(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "db")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,  # as long as the interval: a thread that keeps the process alive is noticed
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["closed", "['after', 'before']"]
    with vego.open(tmp_path / "db") as db:
        assert len(db.collection("c")) == 2


@pytest.mark.parametrize("durability", ["sync", "none"])
def test_no_thread_without_it(tmp_path: Path, durability: str) -> None:
    with vego.open(tmp_path / "db", dimension=2, durability=durability) as db:
        db.collection("c").insert(id="a", vector=[1, 2])
        assert not threads()


@pytest.mark.parametrize(
    ("durability", "interval_ms", "expected"),
    [
        ("always", None, r"'sync', 'interval', 'none', got 'always'"),
        (None, None, r"'sync', 'interval', 'none', got None"),
        ("interval", 0, r"from 1 to 60,000, got 0"),
        ("interval", 60_001, r"from 1 to 60,000"),
        ("interval", 1.5, r"expected an integer"),
        ("interval", True, r"expected an integer"),
        ("sync", 100, r"goes with durability=\"interval\""),
        ("none", 100, r"goes with durability=\"interval\""),
    ],
)
def test_bad_values_are_named(tmp_path: Path, durability: str, interval_ms: int, expected: str) -> None:
    with pytest.raises(vego.UnknownOptionError, match=expected):
        vego.open(tmp_path / "db", durability=durability, interval_ms=interval_ms)
    assert not (tmp_path / "db").exists()
