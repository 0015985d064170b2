"""Threads that write at the same time share syncs; nobody sees what is not durable, and a failure reaches all."""

from __future__ import annotations

import errno
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import vego
from vego.store import files
from vego.store.descriptor import sync_contents

PATIENCE = 120  # seconds; a test that waits so long has failed (kernels may be compiled meanwhile)


class Gate:
    """Stands in for the sync of log files: each waits until it is let through, and fails where told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.error: BaseException | None = None
        self._open = threading.Event()
        self._open.set()
        self._arrived = threading.Semaphore(0)
        monkeypatch.setattr(files, "sync_contents", self._sync)

    def _sync(self, number: int) -> None:
        self.syncs += 1
        self._arrived.release()
        assert self._open.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        sync_contents(number)

    def close(self) -> None:
        """From now on syncs wait."""
        self._open.clear()
        self.syncs = 0
        while self._arrived.acquire(blocking=False):
            pass

    def open(self) -> None:
        """Let all through."""
        self._open.set()

    def wait_for_one(self) -> None:
        """Until a sync waits at the gate."""
        assert self._arrived.acquire(timeout=PATIENCE)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def docs(tmp_path: Path, gate: Gate) -> Iterator[vego.Collection]:
    # In the background a compaction might hold the writers' lock while the gate is closed.
    with vego.open(tmp_path / "db", dimension=2, metric="l2", background=False) as db:
        docs = db.collection("c")
        docs.insert(id="old", vector=[0, 0], metadata={"n": 0})
        docs.insert(id="doomed", vector=[9, 9], metadata={"n": 0})
        yield docs
        gate.open()


def appended(docs: vego.Collection, lsn: int) -> None:
    """Wait until batch `lsn` is in the log."""
    rows = docs._rows
    assert rows is not None
    for _ in range(PATIENCE * 1000):
        if rows.rows.last_lsn >= lsn:
            return
        threading.Event().wait(0.001)
    raise AssertionError(f"batch {lsn} never came")


def start_behind_a_sync(
    docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor, calls: list[Callable[[], object]]
) -> list[Future[object]]:
    """Start `calls`; returns when the first is being synced and the others are in the log behind it."""
    rows = docs._rows
    assert rows is not None
    first = rows.rows.last_lsn
    gate.close()
    futures = [pool.submit(calls[0])]
    gate.wait_for_one()
    futures += [pool.submit(call) for call in calls[1:]]
    appended(docs, first + len(calls))
    return futures


def writes(docs: vego.Collection, count: int) -> list[Callable[[], object]]:
    return [lambda n=n: docs.insert(id=f"d{n}", vector=[n, 1], metadata={"n": n}) for n in range(count)]


def test_one_sync_serves_all_who_wait(docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor) -> None:
    futures = start_behind_a_sync(docs, gate, pool, writes(docs, 10))
    assert gate.syncs == 1, "one group in flight at most"
    gate.open()
    assert {future.result(PATIENCE) for future in futures} == {f"d{n}" for n in range(10)}
    assert gate.syncs == 2, "one for the first, one for the nine that came meanwhile"
    assert len(docs) == 12


def test_nothing_is_seen_before_its_sync(docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor) -> None:
    calls = [
        *writes(docs, 3),
        lambda: docs.upsert(id="old", vector=[5, 5], metadata={"n": 1}),
        lambda: docs.update("old", metadata={"m": 2}),
        lambda: docs.delete("doomed"),
    ]
    futures = start_behind_a_sync(docs, gate, pool, calls)
    assert len(docs) == 2
    assert {hit.id for hit in docs.search([0, 0], k=10)} == {"old", "doomed"}
    assert docs.get("d0") is None
    assert "d2" not in docs
    old = docs.get("old")
    assert old is not None
    assert old.metadata == {"n": 0}
    assert np.asarray(old.vector).tolist() == [0, 0]
    assert "doomed" in docs
    assert not any(future.done() for future in futures)
    gate.open()
    for future in futures:
        future.result(PATIENCE)
    assert docs.get("doomed") is None
    old = docs.get("old")
    assert old is not None
    assert old.metadata in ({"n": 1, "m": 2}, {"n": 1})  # whichever of the two came last
    assert len(docs) == 4


def test_a_refusal_waits_for_what_it_rests_on(
    docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    """Who is told that an id exists must find it, and find it after a power cut as well."""
    futures = start_behind_a_sync(docs, gate, pool, writes(docs, 1))
    again = pool.submit(docs.insert, id="d0", vector=[1, 1])
    threading.Event().wait(0.05)
    assert not again.done()
    gate.open()
    with pytest.raises(vego.DuplicateIdError):
        again.result(PATIENCE)
    futures[0].result(PATIENCE)
    assert "d0" in docs


@pytest.mark.parametrize("during", ["first", "all"])
def test_a_failed_sync_fails_all_who_wait(
    docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor, during: str, tmp_path: Path
) -> None:
    futures = start_behind_a_sync(docs, gate, pool, writes(docs, 8 if during == "all" else 1))
    gate.error = OSError(errno.EIO, os.strerror(errno.EIO))
    gate.open()
    for future in futures:
        with pytest.raises(vego.CommitUncertainError):
            future.result(PATIENCE)
    assert gate.syncs == 1, "a failed sync is not tried again"
    gate.error = None
    assert len(docs) == 2
    assert docs.get("d0") is None
    with pytest.raises(vego.PoisonedError):
        docs.insert(id="later", vector=[1, 1])
    with pytest.raises(vego.StorageError):
        docs.flush()
    assert {hit.id for hit in docs.search([0, 0], k=10)} == {"old", "doomed"}


def test_flush_close_and_segments_take_along_what_waits(
    docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    for verb in ("flush", "segment", "build_index"):
        futures = start_behind_a_sync(docs, gate, pool, writes(docs, 4))
        if verb == "segment":
            ids = [f"s{n}" for n in range(1500)]
            futures.append(pool.submit(docs.insert_batch, ids=ids, vectors=np.zeros((1500, 2))))
        else:
            futures.append(pool.submit(getattr(docs, verb)))
        gate.open()
        for future in futures:
            future.result(PATIENCE)
        assert all(f"d{n}" in docs for n in range(4))
        assert docs.delete_batch([f"d{n}" for n in range(4)]) == 4
    assert len(docs) == 1502


def test_an_interrupt_of_who_waits_leaves_the_others(
    tmp_path: Path, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    """The main thread is interrupted while it syncs for others: one of them syncs instead."""
    db = vego.open(tmp_path / "db", dimension=2, metric="l2", background=False)
    docs = db.collection("c")
    docs.insert(id="before", vector=[0, 0])
    calls = writes(docs, 4)
    gate.close()
    gate.error = KeyboardInterrupt()
    others: list[Future[object]] = []

    def meanwhile() -> None:
        gate.wait_for_one()
        others.extend(pool.submit(call) for call in calls[1:])
        appended(docs, 1 + len(calls))
        gate.open()

    helper = pool.submit(meanwhile)
    with pytest.raises(KeyboardInterrupt):
        interrupted_once(gate, calls[0])
    helper.result(PATIENCE)
    for future in others:
        future.result(PATIENCE)
    assert all(f"d{n}" in docs for n in range(4)), "the interrupted one was in the log, so it went along"
    docs.insert(id="after", vector=[1, 1])
    db.close()
    with vego.open(tmp_path / "db") as again:
        assert len(again.collection("c")) == 6


def interrupted_once(gate: Gate, call: Callable[[], object]) -> None:
    """Run `call`; the error of the gate is for it alone."""
    try:
        call()
    finally:
        gate.error = None


# One that comes while Python calls back for a weak reference is reported instead of raised; nothing depends on it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_signals_hit_only_the_main_thread(tmp_path: Path) -> None:
    """Ctrl-C again and again while eight threads write: they lose nothing, and the database stays usable."""
    with vego.open(tmp_path / "db", dimension=2, metric="l2") as db:
        docs = db.collection("c")
        docs.insert(id="first", vector=[0, 0])
        stop = threading.Event()
        written: list[list[str]] = [[] for _ in range(7)]

        def work(number: int) -> None:
            while not stop.is_set():
                written[number].append(docs.insert(id=f"{number}-{len(written[number])}", vector=[1, 1]))

        def interrupt() -> None:
            for _ in range(40):
                stop.wait(0.005)
                os.kill(os.getpid(), signal.SIGUSR1)
            stop.set()

        def raising(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGUSR1, raising)
        mine: list[str] = []
        try:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(7)]
            sender = threading.Thread(target=interrupt)
            for thread in [*threads, sender]:
                thread.start()
            waiting = True
            while waiting:
                try:
                    while not stop.is_set():
                        # Reading in between: an interrupt between disk and memory stops writing, and is not meant here.
                        rows = docs._rows
                        assert rows is not None
                        rows.wait(rows.rows.last_lsn)
                    sender.join(PATIENCE)
                    time.sleep(0.01)  # for the last signal, which ends the process where nobody handles it
                    waiting = sender.is_alive()
                except KeyboardInterrupt:
                    mine.append("interrupted")
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert mine
        assert all(written)
        assert all(name in docs for names in written for name in names)
        docs.insert(id="last", vector=[0, 0])
        assert len(docs) == 2 + sum(map(len, written))


class Actor:
    """One thread's verbs on its own ids and on ids that all write, and what must be true of each."""

    def __init__(self, docs: vego.Collection, number: int, seed: int) -> None:
        self.docs = docs
        self.rng = random.Random(f"{seed} {number}")
        self.number = number
        self.mine: dict[str, int] = {}
        self.serial = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        docs, rng = self.docs, self.rng
        name = f"{self.number}:{rng.randrange(6)}"
        self.serial += 1
        vector = [self.serial, self.number]
        match rng.randrange(7):
            case 0 if name not in self.mine:
                docs.insert(id=name, vector=vector, metadata={"n": self.serial})
                self.mine[name] = self.serial
            case 1 if name in self.mine:
                docs.update(name, vector=vector, metadata={"n": self.serial})
                self.mine[name] = self.serial
            case 2:
                assert docs.delete(name) == (name in self.mine)
                self.mine.pop(name, None)
            case 3:
                names = [f"{self.number}:{n}" for n in range(3)]
                docs.upsert_batch(ids=names, vectors=[vector] * 3, metadata={"n": [self.serial] * 3})
                self.mine.update(dict.fromkeys(names, self.serial))
            case 4:
                docs.upsert(id="shared", vector=vector, metadata={"n": self.serial})
            case 5:
                self.check_shared()
            case _:
                docs.upsert(id=name, vector=vector, metadata={"n": self.serial})
                self.mine[name] = self.serial
        self.check(f"{self.number}:{rng.randrange(6)}")

    def check(self, name: str) -> None:
        """This thread alone writes `name`, so what it wrote last is there."""
        found = self.docs.get(name)
        assert (None if found is None else found.metadata["n"]) == self.mine.get(name), name
        if found is not None:
            assert np.asarray(found.vector).tolist() == [self.mine[name], self.number]

    def check_shared(self) -> None:
        """Every thread replaces it all the time: it is always there and always of one piece."""
        found = self.docs.get("shared")
        assert found is not None
        assert np.asarray(found.vector)[0] == found.metadata["n"]


@pytest.mark.parametrize("durability", ["sync", "interval", "none"])
def test_eight_threads(tmp_path: Path, durability: str) -> None:
    seed = int(os.environ.get("VEGO_SEED", random.SystemRandom().randrange(10_000)))
    print(f"VEGO_SEED={seed}")
    with vego.open(
        tmp_path / "db", dimension=2, metric="l2", durability=durability, flush_bytes=20_000
    ) as db:
        docs = db.collection("c")
        docs.insert(id="shared", vector=[0, 0], metadata={"n": 0})
        actors = [Actor(docs, number, seed) for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(actor.run, 150) for actor in actors]:
                future.result(PATIENCE)
        expected = {name: n for actor in actors for name, n in actor.mine.items()}
        check_contents(docs, expected)
    with vego.open(tmp_path / "db") as db:
        check_contents(db.collection("c"), expected)


def check_contents(docs: vego.Collection, expected: dict[str, int]) -> None:
    assert len(docs) == len(expected) + 1
    hits = docs.search([0, 0], k=100)
    assert {hit.id: hit.metadata["n"] for hit in hits if hit.id != "shared"} == expected


def test_a_reader_sees_batches_whole_while_threads_replace_them(tmp_path: Path) -> None:
    """All ids of a batch change at once for get as well: once one is new, none is old."""
    names = [f"k{n}" for n in range(5)]
    with vego.open(tmp_path / "db", dimension=2, metric="l2") as db:
        docs = db.collection("c")
        docs.insert_batch(ids=names, vectors=np.zeros((5, 2)), metadata={"n": [0] * 5})
        stop = threading.Event()

        def write() -> None:
            for serial in range(1, 150):
                docs.upsert_batch(ids=names, vectors=np.full((5, 2), serial), metadata={"n": [serial] * 5})
            stop.set()

        def read() -> int:
            last = turns = 0
            while not stop.is_set():
                for name in names:
                    found = docs.get(name)
                    assert found is not None
                    assert found.metadata["n"] >= last
                    last = found.metadata["n"]
                hits = docs.search([0, 0], k=5)
                assert len({hit.metadata["n"] for hit in hits}) == 1
                turns += 1
            return turns

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            pool.submit(write).result(PATIENCE)
            assert all(reader.result(PATIENCE) > 0 for reader in readers)


def test_a_seal_that_could_not_be_synced(docs: vego.Collection, gate: Gate) -> None:
    """What comes after it says that a write failed, not that something is closed."""
    docs.flush()
    docs.insert(id="new", vector=[1, 1])
    assert docs._rows is not None
    writer = docs._rows.rows._journal._group.writer
    assert writer is not None
    right = writer._file.sync

    def fail() -> None:
        gate.error = OSError(errno.EIO, "planted")
        right()

    writer._file.sync = fail  # type: ignore[method-assign]
    with pytest.raises(vego.CommitUncertainError):
        docs.flush()
    with pytest.raises(vego.PoisonedError):
        docs.insert(id="later", vector=[1, 1])
    gate.error = None


def test_stats_count_what_can_be_seen(docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor) -> None:
    before = docs.stats()["buffered_rows"]
    gate.close()
    write = pool.submit(docs.insert, id="new", vector=[1, 1])
    gate.wait_for_one()
    assert (docs.stats()["buffered_rows"], len(docs)) == (before, 2)
    gate.open()
    write.result(PATIENCE)
    assert (docs.stats()["buffered_rows"], len(docs)) == (before + 1, 3)


@pytest.mark.parametrize("verb", ["delete", "upsert"])
def test_who_looks_late_sees_no_write_that_waits(
    docs: vego.Collection, gate: Gate, pool: ThreadPoolExecutor, verb: str
) -> None:
    """What a reader sees is made when it looks, also where a write has taken a slot since."""
    usual = np.array([1, 1], np.float32)
    docs.insert(id="fresh", vector=usual, metadata={"n": 1})
    docs.insert(id="unseen", vector=usual, metadata={"n": 2})
    gate.close()
    if verb == "delete":
        call = pool.submit(docs.delete, "doomed")
    else:
        call = pool.submit(docs.upsert, id="doomed", vector=usual, metadata={"n": 3})
    gate.wait_for_one()
    assert len(docs) == 4
    assert [hit.id for hit in docs.search([9, 9], k=1)] == ["doomed"]
    assert {hit.id for hit in docs.search([1, 1], k=2)} == {"fresh", "unseen"}
    found = docs.get("doomed")
    assert found is not None and found.metadata == {"n": 0}
    gate.open()
    call.result(PATIENCE)
    assert len(docs) == (3 if verb == "delete" else 4)
    assert [hit.id for hit in docs.search([9, 9], k=1)] != (["doomed"] if verb == "delete" else [])
