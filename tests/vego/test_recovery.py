"""What an unclean stop leaves behind: nothing is lost, nothing piles up, and the version before stays whole.

The files as they are at one moment while a database is open are what a killed process leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vego
from tests.support.copies import copy_of_one_moment
from vego.repair import set_aside_versions_after
from vego.store import LocalStore
from vego.table.manifest import load_latest
from vego.table.values import dump_metadata
from vego.wal import Put, WalWriter


def test_unclean_stops_do_not_pile_up_log_segments(tmp_path: Path) -> None:
    current = tmp_path / "0"
    for turn in range(8):
        with vego.open(current, dimension=2) as db:
            docs = db.collection("c")
            assert len(docs) == turn
            docs.insert(id=str(turn), vector=[turn, 1], metadata={"pad": "x" * 10_000})
            copy_of_one_moment(current, tmp_path / str(turn + 1))
        current = tmp_path / str(turn + 1)
    with vego.open(current) as db:
        assert len(db.collection("c")) == 8
    segments = list((current / "collections" / "c" / "wal").iterdir())
    assert len(segments) <= 3, segments


@pytest.mark.parametrize("flushes", [1, 2, 3])
def test_the_version_before_is_whole_after_an_unclean_stop(tmp_path: Path, flushes: int) -> None:
    """Otherwise a newest manifest that is damaged later could not be set aside without loss."""
    names = []
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        for turn in range(flushes + 1):
            names += [f"a{turn}", f"b{turn}"]
            docs.insert(id=f"a{turn}", vector=[turn, 1])
            docs.insert(id=f"b{turn}", vector=[turn, 2])
            if turn:
                docs.delete(f"a{turn - 1}")
                names.remove(f"a{turn - 1}")
            if turn < flushes:
                docs.flush()
        copy_of_one_moment(tmp_path / "db", tmp_path / "crashed")
    with vego.open(tmp_path / "crashed") as db:
        docs = db.collection("c")
        assert sorted(name for name in names if name in docs) == sorted(names)
        docs.insert(id="after", vector=[9, 9])
        db.wait_for_maintenance()
        newest = docs.stats()["version"]
    manifests = tmp_path / "crashed" / "collections" / "c" / "manifests"
    damaged = manifests / f"{newest:020d}.manifest"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with (
        vego.open(tmp_path / "crashed") as db,
        pytest.raises(vego.CorruptionError, match=f"to-version {newest - 1}"),
    ):
        db.collection("c")
    with vego.open(tmp_path / "crashed") as db:
        assert db.collections() == ["c"]  # what there is can be listed, damaged or not
    set_aside_versions_after(tmp_path / "crashed", "c", newest - 1)
    with vego.open(tmp_path / "crashed") as db:
        docs = db.collection("c")
        assert len(docs) == len(names) + 1
        assert all(name in docs for name in [*names, "after"])


def log_with(database: Path, *puts: Put) -> None:
    """A collection of dimension 2 whose log holds these operations, one a batch and all in one, not sealed."""
    with vego.open(database, dimension=2) as db:
        db.collection("c").insert(id="flushed", vector=[1, 2], metadata={"old": 1})
        db.collection("c").flush()
    store = LocalStore(database)
    manifest = load_latest(store, "c")
    assert manifest is not None
    writer = WalWriter.create(
        store,
        "c",
        collection_id=manifest.collection_id,
        number=manifest.first_wal,
        first_lsn=manifest.flushed_lsn + 1,
        previous=None,
    )
    for put in puts:
        writer.append([put])
    writer.append([Put(f"{put.id} again", put.vector, put.metadata) for put in puts])
    writer.sync()
    writer.close()
    store.close()


VECTOR = np.array([3, 4], "<f4").tobytes()


def test_what_was_read_from_the_log_is_as_it_was_written(tmp_path: Path) -> None:
    """It is looked at when somebody asks, by every way there is to ask."""
    rows = {f"d{n}": {"n": n, "name": f"é{n}", "many": [n, {"k": None}]} for n in range(5)}
    puts = [Put(name, VECTOR, dump_metadata(row)) for name, row in rows.items()]
    log_with(tmp_path / "db", *puts)
    for turn in range(6):
        copy_of_one_moment(tmp_path / "db", tmp_path / str(turn))
        with vego.open(tmp_path / str(turn)) as db:
            docs = db.collection("c")
            assert len(docs) == 11
            if turn == 1:
                found = docs.get("d3 again")
                assert found is not None
                found.metadata["many"].append("a copy")
            if turn == 2:
                assert docs.stats()["metadata_keys"] == ["many", "n", "name", "old"]
            if turn == 3:
                assert {hit.id for hit in docs.search([3, 4], k=11, filter="n > 2")} == {
                    "d3", "d4", "d3 again", "d4 again"
                }  # fmt: skip
            if turn == 4:
                docs.flush()
            if turn == 5:
                docs.insert(id="new", vector=np.array([1, 2], np.float32), metadata={"n": 7})
                docs.delete("new")
            for name, row in rows.items():
                for there in (docs.get(name), docs.get(f"{name} again")):
                    assert there is not None
                    assert there.metadata == row
            assert docs.to_table(["n"], filter="n = 3").num_rows == 2


@pytest.mark.parametrize("text", [b"{", b"[1]", b'{"a": {"$time": 3}}', b"\xff"])
def test_metadata_in_the_log_that_makes_no_sense(tmp_path: Path, text: bytes) -> None:
    """Its checksum is right, so it cannot come from a crash; all other documents are to be had."""
    log_with(tmp_path / "db", Put("good", VECTOR, b'{"n": 1}'), Put("bad", VECTOR, text))
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("c")
        good = docs.get("good")
        assert good is not None
        assert good.metadata == {"n": 1}
        assert {hit.id for hit in docs.search([3, 4], k=2)} <= {"good", "bad", "good again", "bad again"}
        asked: list[Callable[[], object]] = [
            lambda: docs.get("bad"),
            lambda: docs.search([3, 4], filter="n = 1"),
            docs.to_table,
            docs.stats,
            docs.flush,
        ]
        for ask in asked:
            with pytest.raises(vego.CorruptionError, match="wal.*document 'bad"):
                ask()
        docs.insert(id="more", vector=[1, 2])
    with vego.open(tmp_path / "db") as db:
        assert "more" in db.collection("c")
