"""Work in the background: done without being asked for, never in the way, never in a child, over when it must be."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

import vego
from vego.index import indexed_rows
from vego.index.hnsw import HnswIndex
from vego.maintenance import Maintenance


class Work:
    """Counts its calls; each waits for `gate`."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun, self.gate = threading.Event(), threading.Event()
        self.was_stopped = False

    def maintain(self, stopped: object) -> None:
        self.calls += 1
        self.begun.set()
        assert self.gate.wait(20)
        self.was_stopped = stopped()  # type: ignore[operator]


def test_what_is_due_while_it_runs_runs_once_more() -> None:
    maintenance, work = Maintenance(background=True), Work()
    maintenance.due(work)
    assert work.begun.wait(20)
    for _ in range(5):
        maintenance.due(work)
    work.gate.set()
    maintenance.wait()
    assert work.calls == 2 and not work.was_stopped
    assert not any(thread.name == "vego.maintenance" for thread in threading.enumerate())


def test_closing_stops_what_runs_and_forgets_what_waits() -> None:
    maintenance, work, other = Maintenance(background=True), Work(), Work()
    maintenance.due(work)
    assert work.begun.wait(20)
    maintenance.due(other)
    threading.Timer(0.05, work.gate.set).start()
    maintenance.close()
    assert work.was_stopped and other.calls == 0
    maintenance.due(other)
    maintenance.wait()
    assert other.calls == 0


def test_without_a_background_it_is_done_at_once() -> None:
    maintenance, work = Maintenance(background=False), Work()
    work.gate.set()
    maintenance.due(work)
    assert work.calls == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_a_thread_that_a_defect_ended() -> None:
    class Broken(Work):
        def maintain(self, stopped: object) -> None:
            super().maintain(stopped)
            raise IndexError("a defect")

    maintenance, broken, work = Maintenance(background=True), Broken(), Work()
    maintenance.due(broken)
    assert broken.begun.wait(20)
    threads = [thread for thread in threading.enumerate() if thread.name == "vego.maintenance"]
    maintenance.due(work)  # what waits behind it is done all the same
    work.gate.set()
    broken.gate.set()
    maintenance.wait()
    assert (broken.calls, work.calls) == (1, 1)
    maintenance.close()
    for thread in threads:
        thread.join(20)  # to its report


def test_without_threads_it_is_done_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    maintenance, work = Maintenance(background=True), Work()
    work.gate.set()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        maintenance.due(work)
        maintenance.wait()
    assert work.calls == 0
    maintenance.due(work)
    maintenance.wait()
    assert work.calls == 1


def test_small_writes_do_not_make_small_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with vego.open(tmp_path, dimension=4, durability="none", flush_bytes=10_000, retain_versions=2) as db:
        docs = db.collection("c")
        for _ in range(400):
            docs.insert_batch(vectors=rng.normal(size=(10, 4)))
        db.wait_for_maintenance()
        stats = docs.stats()
        assert stats["documents"] == 4_000 and stats["maintenance_error"] is None
        assert stats["segments"] <= 12
        assert stats["indexed_slots"] >= 4_000 - indexed_rows.MIN_BATCH
        docs.vacuum()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) <= 24


def test_four_hundred_single_inserts_make_few_files(tmp_path: Path) -> None:
    with vego.open(tmp_path, dimension=4) as db:
        docs = db.collection("c")
        for number in range(400):
            docs.insert(id=str(number), vector=[number, 1, 2, 3], metadata={"n": number})
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) <= 10


def test_deleted_rows_go_and_the_graph_stays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(6_000, 8)).astype(np.float32)
    with vego.open(tmp_path, dimension=8, metric="l2", durability="none") as db:
        docs = db.collection("c")
        docs.insert_batch(ids=[str(i) for i in range(6_000)], vectors=vectors)
        docs.delete_batch([str(i) for i in range(0, 6_000, 2)])
        docs.flush()
        db.wait_for_maintenance()
        docs.insert(id="more", vector=[0] * 8)  # after this the segment is found to be half dead
        db.wait_for_maintenance()
        stats = docs.stats()
        assert stats["dead_slots"] == 0 and stats["indexed_slots"] == 3_000 and stats["documents"] == 3_001
        query = rng.normal(size=8)
        exact = docs.search(query, 10, exact=True).distances
        assert np.mean(docs.search(query, 10, ef=200).distances <= exact[-1] + 1e-5) >= 0.9


def test_writers_do_not_wait_for_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the graph is extended, documents are written, found and deleted."""
    begun, gate = threading.Event(), threading.Event()
    right = HnswIndex.extend

    def slow(index: HnswIndex, *arguments: object, **options: object) -> int:
        begun.set()
        assert gate.wait(30)
        return right(index, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(HnswIndex, "extend", slow)
    with vego.open(tmp_path, dimension=2, metric="l2", durability="none") as db:
        docs = db.collection("c")
        for number in range(12):
            docs.insert_batch(ids=[f"{number}-{i}" for i in range(100)], vectors=np.full((100, 2), number))
        assert begun.wait(30)
        docs.insert(id="new", vector=[50, 50])
        docs.delete("3-7")
        assert docs.search([50, 50], 1).ids == ["new"] and docs.get("3-7") is None
        gate.set()
        db.wait_for_maintenance()
        assert docs.stats()["indexed_slots"] >= 1_024
        assert docs.search([50, 50], 1).ids == ["new"] and docs.get("3-7") is None


def test_a_full_disk_in_the_background_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise vego.StorageError("no space left on the device")

    with vego.open(tmp_path, dimension=2, durability="none") as db:
        docs = db.collection("c")
        for _ in range(4):
            docs.insert_batch(vectors=np.ones((3, 2)))
            docs.flush()
        with monkeypatch.context() as patch:
            patch.setattr(indexed_rows, "rewrite", refuse)
            docs.insert(id="x", vector=[1, 1])
            db.wait_for_maintenance()
        assert "no space left" in docs.stats()["maintenance_error"] and len(docs) == 13
        docs.insert(id="y", vector=[1, 1])
        docs.flush()
        db.wait_for_maintenance()
        docs.insert(id="z", vector=[1, 1])
        db.wait_for_maintenance()
        assert docs.stats()["maintenance_error"] is None and docs.stats()["segments"] == 1


def test_closing_does_not_wait_for_a_long_build(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with vego.open(tmp_path, dimension=16, durability="none", ef_construction=400) as db:
        docs = db.collection("c")
        for _ in range(6):
            docs.insert_batch(vectors=rng.normal(size=(1_000, 16)))
    with vego.open(tmp_path, read_only=True) as db:
        assert len(db.collection("c")) == 6_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread, which may hold locks, is not in the child: nothing may hang there."""
    begun, gate = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> None:
        begun.set()
        assert gate.wait(30)
        raise vego.StorageError("enough")

    monkeypatch.setattr(indexed_rows, "rewrite", slow)
    with vego.open(tmp_path, dimension=2) as db:
        docs = db.collection("c")
        for _ in range(5):
            docs.insert_batch(vectors=np.ones((3, 2)))
            docs.flush()
        docs.insert(id="x", vector=[1, 1])
        assert begun.wait(30)
        with docs._lock:  # as another thread might
            child = os.fork()
            if child == 0:
                try:
                    docs.insert(id="y", vector=[1, 1])
                except vego.ClosedError as error:
                    os._exit(7 if "fork" in str(error) else 8)
                finally:
                    os._exit(9)
        _, status = os.waitpid(child, 0)
        gate.set()
        assert os.waitstatus_to_exitcode(status) == 7
        docs.insert(id="z", vector=[1, 1])
        assert len(docs) == 17
