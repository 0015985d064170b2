"""Compaction while others read and write, while the database goes away, and while the disk fails."""

from __future__ import annotations

import errno
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego
from tests.support import faults
from tests.support.compacted import DIMENSION, assert_no_rubbish, assert_same, filled, opened, size_of, write
from tests.support.model import Model
from vego.index import indexed_rows
from vego.index.indexed_rows import IndexedRows
from vego.table import compaction

# -- while others write ----------------------------------------------------------------------------


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Put a function here that runs while segments are rewritten: once before they are written, once after."""

    def install(act: Callable[[], None]) -> None:
        right = compaction.rewrite

        def rewrite(*arguments: Any) -> compaction.Compaction:
            act()
            found = right(*arguments)
            act()
            return found

        monkeypatch.setattr(indexed_rows, "rewrite", rewrite)

    return install


def act_at_random(docs: vego.Collection, model: Model, rng: random.Random) -> None:
    """One verb, on the collection and on the model."""
    names = sorted(model.documents)
    vector = np.array([rng.uniform(-2, 2) for _ in range(DIMENSION)], np.float32)
    match rng.choices(
        ["new", "replace", "update", "delete", "flush", "batch", "look"], [4, 5, 2, 6, 1, 1, 2]
    ):
        case ["new"]:
            write(docs, model, f"new{rng.random()}", vector, rng.randrange(9))
        case ["replace"] if names:
            write(docs, model, rng.choice(names), vector, rng.randrange(9))
        case ["update"] if names:
            name = rng.choice(names)
            docs.update(name, metadata={"n": "changed"})
            old, metadata = model.documents[name]
            model.documents[name] = (old, metadata | {"n": "changed"})
        case ["delete"] if names:
            gone = rng.sample(names, min(len(names), rng.choice([1, 1, 5, 40])))
            assert docs.delete_batch(gone) == len(gone)
            for name in gone:
                del model.documents[name]
        case ["flush"]:
            docs.flush()
        case ["batch"]:
            new = [f"large{rng.random()}-{row}" for row in range(30)] + names[:3]
            metadata = {"n": [7] * len(new), "of": new}
            docs.upsert_batch(ids=new, vectors=np.tile(vector, (len(new), 1)), metadata=metadata)
            for name in new:
                model.documents[name] = (vector, {"n": 7, "of": name})
        case _:
            hits = docs.search(vector, k=5)
            assert np.allclose(hits.distances, [d for d, _ in model.nearest(vector, 5)], atol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_writes_meanwhile_are_neither_lost_nor_doubled(
    tmp_path: Path,
    seed: int,
    meanwhile: Callable[[Callable[[], None]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vego.table.rowstore.DIRECT_ROWS", 25)  # so that batches become segments at once
    monkeypatch.setattr(indexed_rows, "MIN_BATCH", 16)
    monkeypatch.setattr(IndexedRows, "_segments_to_merge", lambda _: False)  # only where the test says so
    model = filled(tmp_path / "db", rows=12)
    rng = random.Random(seed)
    db, docs = opened(tmp_path / "db")

    def act() -> None:
        for _ in range(rng.randint(0, 8)):
            act_at_random(docs, model, rng)

    meanwhile(act)
    for turn in range(4):
        docs.compact(full=turn % 2 == 0)
        assert_same(docs, model)
        act()
    shutil.copytree(tmp_path / "db", tmp_path / "crashed")
    for path in (tmp_path / "crashed", tmp_path / "db"):
        if path.name == "db":
            db.close()
        again, docs = opened(path)
        assert_same(docs, model)
        again.close()
        assert_no_rubbish(path)


def test_all_that_is_merged_dies_meanwhile(
    tmp_path: Path, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    model = filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    meanwhile(lambda: docs.delete_batch(model.documents))
    docs.compact(full=True)
    assert len(docs) == 0
    assert docs.stats()["dead_slots"] == len(model.documents)
    db.close()
    db, docs = opened(tmp_path / "db")
    assert len(docs) == 0
    docs.compact(full=True)
    assert docs.stats()["segments"] == docs.stats()["dead_slots"] == 0
    docs.insert(id="again", vector=np.ones(4))
    db.close()
    db, docs = opened(tmp_path / "db")
    assert docs.search(np.zeros(4)).ids == ["again"]
    db.close()


def test_a_reader_never_sees_one_document_under_the_id_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots move when a compaction is put in place: a reader that began before must not mix old and new ones."""
    model = filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    wrong: list[Any] = []
    readers: list[threading.Thread] = []

    def read() -> None:
        for name, (_, metadata) in model.documents.items():
            found = docs.get(name)
            if found is None or found.metadata != metadata:
                wrong.append((name, found))

    right = IndexedRows._adopted

    def adopted(*arguments: Any) -> None:
        readers.append(threading.Thread(target=read))
        readers[0].start()
        readers[0].join(0.5)  # it may wait for us
        right(*arguments)

    monkeypatch.setattr(IndexedRows, "_adopted", adopted)
    docs.compact(full=True)
    readers[0].join()
    assert wrong == []
    db.close()


def test_a_reader_that_was_interrupted_by_a_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took its state before, and looks for the slot after."""
    model = filled(tmp_path / "db", batches=3, rows=5)
    db, docs = opened(tmp_path / "db")
    right, compacted = vego.Collection._state, []

    def state(collection: vego.Collection) -> Any:
        found = right(collection)
        if not compacted:
            compacted.append(True)
            docs.compact(full=True)
        return found

    monkeypatch.setattr(vego.Collection, "_state", state)
    for name, (_, metadata) in model.documents.items():
        compacted.clear()
        docs.upsert(id="dead", vector=np.zeros(4))
        docs.delete("dead")
        compacted.clear()
        found = docs.get(name)
        assert found is not None
        assert found.metadata == metadata
    db.close()


FIXED = 50  # documents that nobody changes


class Hammered:
    """What threads do to a collection at once, until its writers are done."""

    def __init__(self, docs: vego.Collection) -> None:
        self.docs = docs
        self.models = [Model("l2") for _ in range(2)]
        self.failures: list[BaseException] = []
        self._done = threading.Event()

    def run(self) -> None:
        writers = [self._guarded(partial(self._write, number)) for number in range(len(self.models))]
        others = [self._guarded(act) for act in (self._read, self._compact, self._compact)]
        for thread in (*writers, *others):
            thread.start()
        for thread in writers:
            thread.join()
        self._done.set()
        for thread in others:
            thread.join()

    def _guarded(self, act: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                act()
            except BaseException as error:
                self.failures.append(error)

        return threading.Thread(target=run)

    def _write(self, number: int) -> None:
        rng, model = random.Random(number), self.models[number]
        for step in range(250):
            vector = np.full(DIMENSION, rng.uniform(-1, 1), np.float32)
            if model.documents and rng.random() < 0.45:
                name = rng.choice(sorted(model.documents))
                assert self.docs.delete(name)
                del model.documents[name]
            else:
                write(self.docs, model, f"{number}-{rng.randrange(80)}", vector, step)

    def _read(self) -> None:
        rng, docs = random.Random(7), self.docs
        while not self._done.is_set():
            n = rng.randrange(FIXED)
            found = docs.get(f"fixed{n}")
            assert found is not None and found.metadata == {"n": n}, (n, found)
            hits = docs.search(np.full(DIMENSION, n + 100), k=3)
            assert hits[0].id == f"fixed{n}" and hits[0].metadata == {"n": n}
            filtered = docs.search(np.zeros(DIMENSION), k=2, filter=f"n = {n} and n >= 0")
            assert len(filtered) >= 1
            assert all(hit.metadata["n"] == n for hit in filtered)

    def _compact(self) -> None:
        rng = random.Random(8)
        while not self._done.is_set():
            self.docs.compact(full=rng.random() < 0.5)
            if rng.random() < 0.2:
                self.docs.vacuum(2)


def test_threads_write_read_and_compact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexed_rows, "MIN_BATCH", 64)
    db, docs = opened(tmp_path / "db", flush_bytes=2_000)
    docs.insert_batch(
        ids=[f"fixed{n}" for n in range(FIXED)],
        vectors=np.tile(np.arange(FIXED)[:, None] + 100, DIMENSION),
        metadata={"n": range(FIXED)},
    )
    hammered = Hammered(docs)
    hammered.run()
    assert not hammered.failures, hammered.failures[0]
    whole = Model("l2")
    for n in range(FIXED):
        whole.documents[f"fixed{n}"] = (np.full(DIMENSION, n + 100, np.float32), {"n": n})
    for model in hammered.models:
        whole.documents.update(model.documents)
    assert_same(docs, whole)
    db.close()
    db, docs = opened(tmp_path / "db")
    assert_same(docs, whole)
    db.close()
    assert_no_rubbish(tmp_path / "db")


def test_going_back_to_a_version_meanwhile(
    tmp_path: Path, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    model = filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    docs.tag("then")
    docs.delete_batch(list(model.documents)[:30])
    acted: list[int] = []

    def restore() -> None:
        if not acted:
            acted.append(docs.restore(tag="then"))

    meanwhile(restore)
    with pytest.raises(vego.CommitConflictError, match="compact again"):
        docs.compact(full=True)
    assert_same(docs, model)
    docs.insert(id="later", vector=np.ones(4))
    docs.delete("later")
    docs.compact(full=True)
    assert_same(docs, model)
    db.close()
    db, docs = opened(tmp_path / "db")
    assert_same(docs, model)
    db.close()
    assert_no_rubbish(tmp_path / "db")


def test_going_back_to_a_version_before_segments_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That version has more segments than are open here."""
    model = filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    docs.tag("then")
    assert docs.compact(full=True).segments_after < docs.at(tag="then").stats()["segments"]
    docs.delete_batch(list(model.documents)[:30])
    right = compaction.steps_of

    def steps_of(*arguments: Any) -> Any:
        monkeypatch.undo()
        docs.restore(tag="then")
        return right(*arguments)

    monkeypatch.setattr(indexed_rows, "steps_of", steps_of)
    with pytest.raises(vego.CommitConflictError, match="compact again"):
        docs.compact(full=True)
    assert_same(docs, model)
    docs.compact(full=True)
    assert_same(docs, model)
    db.close()
    assert_no_rubbish(tmp_path / "db")


def test_the_database_is_closed_meanwhile(
    tmp_path: Path, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    model = filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    meanwhile(db.close)
    with pytest.raises(vego.ClosedError):
        docs.compact(full=True)
    db, docs = opened(tmp_path / "db")
    assert_same(docs, model)
    db.close()
    assert_no_rubbish(tmp_path / "db")


def test_the_collection_is_dropped_and_made_anew_meanwhile(
    tmp_path: Path, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    acted: list[vego.Collection] = []

    def drop() -> None:
        if not acted:
            db.drop("c")
            acted.append(db.collection("c", dimension=DIMENSION))
            acted[0].insert(id="new", vector=np.ones(DIMENSION))

    meanwhile(drop)
    with pytest.raises(vego.VegoError):
        docs.compact(full=True)
    assert acted[0].search(np.zeros(4)).ids == ["new"]
    acted[0].insert(id="more", vector=np.ones(DIMENSION))
    acted[0].flush()
    db.close()
    db, docs = opened(tmp_path / "db")
    assert sorted(docs.search(np.zeros(4)).ids) == ["more", "new"]
    db.close()
    assert_no_rubbish(tmp_path / "db")


def test_hits_from_before_still_give_their_documents(tmp_path: Path) -> None:
    model = filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db")
    hits = docs.search(np.zeros(4), k=200)
    kept = {name: model.documents[name] for name in hits.ids}
    docs.delete_batch(list(model.documents)[:50])
    docs.compact(full=True)
    docs.vacuum(2)
    assert sorted(hits.ids) == sorted(kept)
    for hit in hits:
        vector, metadata = kept[hit.id]
        assert hit.metadata == metadata
        assert np.array_equal(hit.vector, vector)
    db.close()


# -- a failing disk --------------------------------------------------------------------------------


def failures(path: Path) -> Iterator[int]:
    """Numbers of some of the calls a compaction of the database at `path` makes."""
    shutil.copytree(path, path.with_name("counted"))
    with pytest.MonkeyPatch.context() as patch:
        db, docs = opened(path.with_name("counted"), durability="sync")
        system = faults.install(patch)
        docs.compact(full=True)
        count = len(system.calls)
        patch.undo()
        db.close()
    return iter(sorted(random.Random(count).sample(range(count), min(count, 16))))


def test_a_disk_that_fails_midway(tmp_path: Path) -> None:
    model = filled(tmp_path / "db", batches=3, rows=4)
    tried = 0
    for number in failures(tmp_path / "db"):
        path = tmp_path / f"fails-{number}"
        shutil.copytree(tmp_path / "db", path)
        with pytest.MonkeyPatch.context() as patch:
            db, docs = opened(path, durability="sync")
            docs.delete(next(iter(model.documents)))
            docs.insert(id="buffered", vector=np.ones(4), metadata={"n": 1})
            system = faults.install(patch)
            system.fail_at(number, errno.ENOSPC if number % 2 else errno.EIO)
            try:
                docs.compact(full=True)
            except vego.StorageError:
                tried += 1
            then = Model("l2")
            then.documents = dict(list(model.documents.items())[1:])
            then.documents["buffered"] = (np.ones(4, np.float32), {"n": 1})
            assert_same(docs, then)
            patch.undo()
            try:
                docs.insert(id="after", vector=np.ones(4), metadata={"n": 2})
            except (vego.StorageError, vego.ClosedError):
                pass  # a failed sync: nothing more is acknowledged until the database is opened anew
            else:
                then.documents["after"] = (np.ones(4, np.float32), {"n": 2})
            assert_same(docs, then)
            db.close()
        db, docs = opened(path)
        assert_same(docs, then)
        docs.compact(full=True)
        assert_same(docs, then)
        db.close()
        assert_no_rubbish(path)
        shutil.rmtree(path)
    assert tried > 6


def test_no_room_leaves_no_files_behind_even_before_the_next_opening(tmp_path: Path) -> None:
    """A full disk must not become fuller by what failed for lack of room."""
    filled(tmp_path / "db")
    db, docs = opened(tmp_path / "db", durability="sync")
    docs.compact()
    before = size_of(tmp_path / "db")
    with pytest.MonkeyPatch.context() as patch:
        for number in range(60):
            system = faults.install(patch)
            system.fail_at(number, errno.ENOSPC)
            try:
                docs.delete("d1-1")
                docs.compact(full=True)
            except vego.PoisonedError:
                break
            except vego.StorageError:
                patch.undo()
                assert size_of(tmp_path / "db") <= before + 4_096
            patch.undo()
    db.close()


# -- in steps --------------------------------------------------------------------------------------


@pytest.fixture
def small_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A database of twelve segments, of which a full compaction makes six, and no graph to be carried along."""
    monkeypatch.setattr(IndexedRows, "_segments_to_merge", lambda _: False)
    model = filled(tmp_path / "db", batches=12, index="flat")
    size = max(file.stat().st_size for file in (tmp_path / "db/collections/c/data").iterdir())
    monkeypatch.setattr(compaction, "MOST_BYTES", int(size * 1.5))
    return model


@pytest.mark.parametrize("failing", range(6))
def test_what_is_finished_stays(
    tmp_path: Path, small_runs: Model, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """A compaction that dies in its nth run has committed those before; the next one does the rest."""
    db, docs = opened(tmp_path / "db")
    right, runs = compaction.rewrite, list[int]()

    def rewrite(*arguments: Any) -> compaction.Compaction:
        runs.append(len(runs))
        if len(runs) > failing:
            raise KeyboardInterrupt
        return right(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(indexed_rows, "rewrite", rewrite)
        with pytest.raises(KeyboardInterrupt):
            docs.compact(full=True)
    shutil.copytree(tmp_path / "db", tmp_path / "killed")
    assert docs.stats()["segments"] == 12 - failing
    assert_same(docs, small_runs)
    db.close()
    db, docs = opened(tmp_path / "killed")
    assert docs.stats()["segments"] == 12 - failing
    assert_same(docs, small_runs)
    steps: list[tuple[int, int]] = []
    report = docs.compact(full=True, progress=lambda done, total: steps.append((done, total)))
    assert (report.segments_before, report.segments_after) == (12 - failing, 6)
    assert report.dropped_rows == (6 - failing) * 20
    assert steps == [((n + 1) * 60, (6 - failing) * 60) for n in range(6 - failing)]
    assert report.bytes_before > report.bytes_after
    assert_same(docs, small_runs)
    assert docs.compact(full=True).segments_before == 6
    docs.vacuum(2)
    db.close()
    assert_no_rubbish(tmp_path / "killed")


def test_closing_ends_a_compaction_after_its_run(
    tmp_path: Path, small_runs: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    db, docs = opened(tmp_path / "db")
    rows = docs._rows
    assert rows is not None
    right, runs = compaction.rewrite, list[int]()

    def rewrite(*arguments: Any) -> compaction.Compaction:
        runs.append(len(runs))
        return right(*arguments)

    monkeypatch.setattr(indexed_rows, "rewrite", rewrite)
    monkeypatch.setattr(
        indexed_rows,
        "choose",
        lambda manifest, indexed, full=False: compaction.choose(manifest, indexed=indexed, full=True),
    )
    monkeypatch.setattr(IndexedRows, "_segments_to_merge", lambda _: True)
    rows.maintain(lambda: len(runs) >= 2)
    monkeypatch.setattr(IndexedRows, "_segments_to_merge", lambda _: False)
    assert len(runs) == 2
    assert docs.stats()["segments"] == 11  # the second run was given up, as it had not been committed
    assert docs.stats()["maintenance_error"] is None
    assert_same(docs, small_runs)
    docs.vacuum(2)
    db.close()
    assert_no_rubbish(tmp_path / "db")


def test_runs_that_another_took_are_left_out(
    tmp_path: Path, small_runs: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps the collection may go back to a version without the segments to come."""
    db, docs = opened(tmp_path / "db")
    before = docs.versions()[-2].version
    right, runs = compaction.rewrite, list[int]()

    def rewrite(*arguments: Any) -> compaction.Compaction:
        runs.append(len(runs))
        if len(runs) == 2:
            docs.restore(before)
        return right(*arguments)

    monkeypatch.setattr(indexed_rows, "rewrite", rewrite)
    with pytest.raises(vego.CommitConflictError):
        docs.compact(full=True)
    assert len(runs) == 2
    monkeypatch.undo()
    docs.compact(full=True)
    db.close()
    assert vego.verify(tmp_path / "db", deep=True).ok
