"""Collections whose every version is one that the test makes, and a clock for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import vego
from vego.index.indexed_rows import IndexedRows
from vego.store import LocalStore
from vego.table.manifest import files_of, load_version, versions

Contents = dict[str, dict[str, Any]]
START = 1_760_000_000_000_000  # microseconds; in October 2025


class Clock:
    """The time that stores see; each look at it takes a millisecond."""

    def __init__(self) -> None:
        self.us = START

    def __call__(self, _: LocalStore | None = None) -> int:
        self.us += 1_000
        return self.us

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.us / 1e6, UTC)


@pytest.fixture(name="clock")
def clock_fixture(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every store."""
    found = Clock()
    monkeypatch.setattr(LocalStore, "now_us", lambda _: found())
    return found


@pytest.fixture(autouse=True)
def no_merges_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments are merged where the test says so."""
    monkeypatch.setattr(IndexedRows, "_segments_to_merge", lambda _: False)


@pytest.fixture(name="docs")
def docs_fixture(tmp_path: Path, clock: Clock) -> Iterator[vego.Collection]:
    """A collection."""
    db, found = opened(tmp_path / "db")
    yield found
    db.close()


def opened(path: Path, **options: Any) -> tuple[vego.Database, vego.Collection]:
    options = {"durability": "none", "background": False, "index": "hnsw"} | options
    db = vego.open(path, dimension=2, metric="l2", **options)
    return db, db.collection("c")


def commit(docs: vego.Collection, *names: str, **metadata: Any) -> int:
    """A version with more documents; its number."""
    for name in names:
        docs.upsert(id=name, vector=[len(name), 1], metadata=metadata)
    docs.flush()
    version: int = docs.stats()["version"]
    return version


def contents(docs: vego.Collection) -> Contents:
    return {hit.id: hit.metadata for hit in docs.search([0, 0], k=1000)} if len(docs) else {}


def manifest_of(path: Path, version: int) -> Path:
    return path / "collections" / "c" / "manifests" / f"{version:020d}.manifest"


def assert_whole(path: Path) -> None:
    """Every manifest has its files, and there are no others."""
    store = LocalStore(path, read_only=True)
    named = {file for v in versions(store, "c") for file in files_of("c", load_version(store, "c", v))}
    there = {
        f"collections/c/{kind}/{file}"
        for kind in ("data", "deletes", "index")
        for file in store.list(f"collections/c/{kind}")
    }
    assert there == named
