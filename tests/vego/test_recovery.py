"""What an unclean stop leaves behind: nothing is lost, nothing piles up, and the version before stays whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import vego
from vego.repair import set_aside_versions_after


def crash(source: Path, copy: Path) -> None:
    """The files as they are while the database is open: what a killed process leaves."""
    shutil.copytree(source, copy)


def test_unclean_stops_do_not_pile_up_log_segments(tmp_path: Path) -> None:
    current = tmp_path / "0"
    for turn in range(8):
        with vego.open(current, dimension=2) as db:
            docs = db.collection("c")
            assert len(docs) == turn
            docs.insert(id=str(turn), vector=[turn, 1], metadata={"pad": "x" * 10_000})
            crash(current, tmp_path / str(turn + 1))
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
        crash(tmp_path / "db", tmp_path / "crashed")
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
