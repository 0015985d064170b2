"""A database with a file of every kind, to be damaged and repaired."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import vego
from vego.store import LocalStore
from vego.table.manifest import Manifest, load_latest


def fill(path: Path) -> None:
    """A database with several versions, row masks, a graph, and a log that its writer did not seal."""
    rng = np.random.default_rng(3)
    with vego.open(path, dimension=4) as db:
        docs = db.collection("docs", index="hnsw", m=4, ef_construction=8)
        docs.insert_batch(
            ids=[f"k{i}" for i in range(60)],
            vectors=rng.standard_normal((60, 4)),
            metadata={"n": list(range(60)), "any": [i if i % 2 else str(i) for i in range(60)]},
        )
        docs.flush()
        docs.delete_batch(["k3", "k4"])
        docs.upsert(id="k5", vector=[1, 2, 3, 4])
        docs.build_index()
        docs.delete("k7")
        docs.flush()
        docs.insert(id="logged", vector=[4, 3, 2, 1])
        docs.delete("k6")
        docs.insert(id="also logged", vector=[4, 3, 2, 1])


@pytest.fixture(scope="module", name="sound")
def sound_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database, not to be changed, beside a backup of it."""
    root = tmp_path_factory.mktemp("sound")
    fill(root / "db")
    with vego.open(root / "db", read_only=True) as db:
        db.backup(root / "backup")
    return root / "db"


@pytest.fixture(name="database")
def database_fixture(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(sound, tmp_path / "db")
    return tmp_path / "db"


def newest_of(path: Path) -> Manifest:
    manifest = load_latest(LocalStore(path, read_only=True), "docs")
    assert manifest is not None
    return manifest
