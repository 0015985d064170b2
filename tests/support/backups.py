"""A database with a file of every kind, and a backup of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import vego
from tests.support.contents import Content, content_of


def fill(path: Path) -> Content:
    """A database with segments, row masks, a graph, and rows that are only in the log; closed again."""
    rng = np.random.default_rng(3)
    with vego.open(path, dimension=4) as db:
        docs = db.collection("docs", index="hnsw", m=4, ef_construction=8)
        docs.insert_batch(
            ids=[f"k{i}" for i in range(40)],
            vectors=rng.standard_normal((40, 4)),
            metadata={"n": list(range(40)), "text": [f"row {i}" for i in range(40)]},
        )
        docs.build_index()
        docs.delete_batch(["k3", "k4"])
        docs.upsert(id="k5", vector=[1, 2, 3, 4], metadata={"n": -5})
        docs.flush()
        docs.insert(id="logged", vector=[4, 3, 2, 1], metadata={"mixed": [1, "two", None]})
        docs.delete("k6")
        db.collection("empty", dimension=2)
        return content_of(db)


@pytest.fixture(scope="module", name="backed_up")
def backed_up_fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Content]:
    """A backup, not to be changed, and what it holds."""
    root = tmp_path_factory.mktemp("backed-up")
    content = fill(root / "db")
    with vego.open(root / "db") as db:
        db.backup(root / "backup")
    return root / "backup", content


def copied(backup: Path, to: Path) -> Path:
    """A copy that may be changed."""
    shutil.copytree(backup, to)
    return to
