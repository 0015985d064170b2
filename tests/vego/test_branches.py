"""Branches: collections that begin as what another one was, share its files, and go their own way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego
from tests.support.versioned import (  # noqa: F401
    Clock,
    clock_fixture,
    commit,
    contents,
    no_merges_of_their_own,
    opened,
)


def inodes(path: Path, name: str) -> set[int]:
    return {file.stat().st_ino for file in (path / "collections" / name).rglob("*.lfmt")}


def test_a_branch_goes_its_own_way(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db", retain_versions=2)
    docs.insert_batch(ids=[f"d{n}" for n in range(2000)], vectors=np.eye(2)[np.arange(2000) % 2], metadata={})
    docs.build_index()
    docs.delete("d0")
    experiment = db.branch("c", "experiment")
    assert inodes(tmp_path / "db", "experiment") == inodes(tmp_path / "db", "c")
    assert (len(experiment), experiment.metric, experiment.options) == (1999, docs.metric, docs.options)
    assert experiment.stats()["indexed_slots"] == docs.stats()["indexed_slots"] > 0
    assert experiment.versions()[0].summary.startswith("branch of c@")
    experiment.delete("d1")
    docs.upsert(id="d2", vector=[7, 7], metadata={"n": 1})
    experiment.compact(full=True)
    for _ in range(3):
        docs.compact(full=True)
        docs.vacuum(2)
    assert ("d1" in docs, "d1" in experiment) == (True, False)
    assert len(docs) == 1999 and len(experiment) == 1998
    db.close()
    assert vego.verify(tmp_path / "db", deep=True).ok
    db, docs = opened(tmp_path / "db")
    db.drop("c")
    assert len(db.collection("experiment")) == 1998
    assert vego.verify(tmp_path / "db", deep=True).ok
    db.close()


def test_of_the_past(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db")
    first = commit(docs, "a", "b")
    docs.tag("start")
    docs.delete("a")
    docs.insert(id="c", vector=[1, 1])
    moment = clock.now
    docs.delete("c")
    commit(docs, "d")
    assert sorted(contents(db.branch("c", "by-version", version=first))) == ["a", "b"]
    assert sorted(contents(db.branch("c", "by-tag", tag="start"))) == ["a", "b"]
    assert sorted(contents(db.branch("c", "by-time", timestamp=moment))) == ["b", "c"]
    docs.insert(id="e", vector=[1, 1])
    assert sorted(contents(db.branch("c", "now"))) == ["b", "d", "e"]
    assert sorted(contents(db.branch("now", "of-a-branch"))) == ["b", "d", "e"]
    db.close()
    with vego.open(tmp_path / "db") as db:
        assert sorted(contents(db.collection("by-time"))) == ["b", "c"]
        assert db.collections() == ["by-tag", "by-time", "by-version", "c", "now", "of-a-branch"]


def test_what_cannot_be(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    db.collection("unborn")
    wrong: list[tuple[type[vego.VegoError], Callable[[], Any]]] = [
        (vego.CollectionNotFoundError, lambda: db.branch("none", "x")),
        (vego.InvalidArgumentError, lambda: db.branch("c", "c")),
        (vego.InvalidArgumentError, lambda: db.branch("c", "no/name")),
        (vego.InvalidArgumentError, lambda: db.branch("c", "x", version=1, tag="t")),
        (vego.NotFoundError, lambda: db.branch("c", "x", version=99)),
        (vego.NotFoundError, lambda: db.branch("c", "x", timestamp="2001-01-01")),
    ]
    for error, call in wrong:
        with pytest.raises(error):
            call()
    assert "x" not in db
    db.close()
    with vego.open(tmp_path / "db", read_only=True) as db, pytest.raises(vego.ReadOnlyError):
        db.branch("c", "x")


def test_remains_of_a_branch_are_in_the_way_of_nothing(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    commit(docs, "b")
    db.branch("c", "x")
    db.close()
    for manifest in (tmp_path / "db" / "collections" / "x" / "manifests").iterdir():
        manifest.unlink()  # as if it had never come to that
    db, docs = opened(tmp_path / "db")
    assert db.collections() == ["c"]
    docs.delete("a")
    assert list(contents(db.branch("c", "x"))) == ["b"]
    db.close()
    assert vego.verify(tmp_path / "db", deep=True).ok
