"""Transactions: all of it or nothing, also beside other writers, across a crash, and in files of any size."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import vego
from tests.support.copies import copy_of_one_moment


@pytest.fixture
def docs(tmp_path: Path):
    with vego.open(tmp_path / "db", dimension=2, metric="l2", background=False) as db:
        docs = db.collection("c")
        docs.insert_batch(ids=["a", "b", "c"], vectors=np.eye(3, 2), metadata={"n": [1, 2, 3]})
        yield docs


def contents(docs: vego.Collection) -> dict[str, dict[str, object]]:
    table = docs.to_table()
    found = {name: docs.get(name) for name in table["id"].to_pylist()}
    return {name: document.metadata for name, document in found.items() if document is not None}


def test_everything_happens_at_the_end(docs: vego.Collection) -> None:
    before = contents(docs)
    with docs.transaction() as changes:
        assert changes.insert(id="d", vector=[1, 1], metadata={"n": 4}) == "d"
        assert changes.delete("a") and not changes.delete("a") and not changes.delete("nothing")
        changes.update("b", metadata={"m": 5})
        changes.update("d", vector=[2, 2])
        assert changes.get("a") is None and changes.get("c").metadata == {"n": 3}
        new = changes.upsert(vego.Document(None, [0, 0]))
        assert contents(docs) == before
    assert contents(docs) == {"b": {"n": 2, "m": 5}, "c": {"n": 3}, "d": {"n": 4}, new: {}}
    assert docs.get("d").vector.tolist() == [2, 2]


def test_an_exception_drops_it(docs: vego.Collection) -> None:
    before = contents(docs)
    with pytest.raises(ZeroDivisionError), docs.transaction() as changes:
        changes.delete("a")
        raise ZeroDivisionError
    assert contents(docs) == before
    with pytest.raises(vego.ClosedError, match="block has ended"):
        changes.insert(id="x", vector=[1, 1])


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda t: t.insert(id="a", vector=[1, 1]), vego.DuplicateIdError),
        (lambda t: t.update("z", metadata={"n": 1}), vego.DocumentNotFoundError),
        (lambda t: t.insert(id="x", vector=[1, np.nan]), vego.InvalidVectorError),
        (lambda t: t.update("a", vector=[1, 2, 3]), vego.DimensionMismatchError),
        (lambda t: t.upsert(id="x", vector=[1, 1], metadata={"$": 1}), vego.InvalidMetadataError),
        (lambda t: t.delete(5), vego.InvalidIdError),
    ],
)
def test_a_wrong_step_says_so_at_once_and_the_others_stand(docs, wrong, error) -> None:
    with docs.transaction() as changes:
        changes.delete("b")
        with pytest.raises(error):
            wrong(changes)
    assert set(contents(docs)) == {"a", "c"}


def test_what_others_did_meanwhile_counts(docs: vego.Collection) -> None:
    with pytest.raises(vego.DuplicateIdError), docs.transaction() as changes:
        changes.insert(id="d", vector=[1, 1])
        changes.delete("a")
        docs.insert(id="d", vector=[5, 5])
    assert set(contents(docs)) == {"a", "b", "c", "d"}
    with docs.transaction() as changes:
        changes.update("b", metadata={"m": 1})
        docs.update("b", metadata={"n": 7})
    assert docs.get("b").metadata == {"n": 7, "m": 1}
    with pytest.raises(vego.DocumentNotFoundError), docs.transaction() as changes:
        changes.update("c", metadata={"m": 1})
        docs.delete("c")


@pytest.mark.parametrize("rows", [3, 2_000])
def test_after_a_crash_all_of_it_is_there(tmp_path: Path, rows: int) -> None:
    """Through the log, and as a segment of its own."""
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        docs.insert_batch(ids=[f"old-{i}" for i in range(10)], vectors=np.ones((10, 2)))
        with docs.transaction() as changes:
            for number in range(rows):
                changes.insert(id=str(number), vector=[number, 1])
            for number in range(5):
                changes.delete(f"old-{number}")
        copy_of_one_moment(tmp_path / "db", tmp_path / "copy")
    with vego.open(tmp_path / "copy") as db:
        assert set(contents(db.collection("c"))) == {
            *(f"old-{i}" for i in range(5, 10)),
            *map(str, range(rows)),
        }


def test_only_deletes_and_an_empty_one(docs: vego.Collection) -> None:
    with docs.transaction():
        pass
    with docs.transaction() as changes:
        changes.delete("a")
        changes.delete("b")
    assert set(contents(docs)) == {"c"}


def test_the_first_insert_of_a_collection(tmp_path: Path) -> None:
    with vego.open(tmp_path) as db:
        docs = db.collection("c")
        with docs.transaction() as changes:
            with pytest.raises(vego.DocumentNotFoundError):
                changes.update("a", vector=[1, 2, 3])
            changes.insert(id="a", vector=[1, 2, 3])
            with pytest.raises(vego.DimensionMismatchError):
                changes.insert(id="b", vector=[1, 2])
        assert docs.dimension == 3 and "a" in docs
    with (
        vego.open(tmp_path, read_only=True) as db,
        pytest.raises(vego.ReadOnlyError),
        db.collection("c").transaction() as changes,
    ):
        changes.delete("a")


def test_transfers_keep_the_sum(tmp_path: Path) -> None:
    """Threads move amounts between documents; a reader never sees money made or lost."""
    with vego.open(tmp_path, dimension=1, durability="none") as db:
        docs = db.collection("c")
        docs.insert_batch(ids=list("abcd"), vectors=np.ones((4, 1)), metadata={"money": [100] * 4})
        wrong: list[int] = []
        done = threading.Event()

        def move(seed: int) -> None:
            rng = np.random.default_rng(seed)
            for _ in range(60):
                giver, taker = rng.permutation(list("abcd"))[:2]
                with lock, docs.transaction() as changes:
                    for name, amount in ((str(giver), -1), (str(taker), 1)):
                        old = changes.get(name)
                        assert old is not None
                        changes.update(name, metadata={"money": old.metadata["money"] + amount})

        def read() -> None:
            while not done.is_set():
                total = sum(docs.to_table(["money"])["money"].to_pylist())
                if total != 400:
                    wrong.append(total)

        lock = threading.Lock()  # reading and then writing what was read is the callers' to keep together
        threads = [threading.Thread(target=move, args=(seed,)) for seed in range(4)]
        reader = threading.Thread(target=read)
        for thread in [*threads, reader]:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        reader.join()
        assert not wrong and sum(docs.to_table(["money"])["money"].to_pylist()) == 400


def test_shared(tmp_path: Path) -> None:
    with vego.open(tmp_path, shared=True, dimension=1) as one, vego.open(tmp_path, shared=True) as two:
        here, there = one.collection("c"), two.collection("c")
        here.insert(id="a", vector=[1], metadata={"n": 1})
        with there.transaction() as changes:
            changes.upsert(id="b", vector=[2])
            here.update("a", metadata={"m": 2})
            changes.upsert(id="c", vector=[3])
        with there.transaction() as changes:
            changes.update("a", metadata={"k": 3})
            changes.delete("b")
        one.refresh()
        assert contents(here) == {"a": {"n": 1, "m": 2, "k": 3}, "c": {}}
