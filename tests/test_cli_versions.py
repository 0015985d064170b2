"""`vego versions` and `vego compact`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import vego
from vego.cli import main


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with vego.open(tmp_path / "db", dimension=2, background=False) as db:
        docs = db.collection("docs")
        for turn in range(3):
            docs.insert_batch(ids=[f"{turn}-{i}" for i in range(10)], vectors=np.ones((10, 2)))
            docs.flush()
        docs.tag("first")
        docs.delete_batch([f"0-{i}" for i in range(10)])
        db.collection("other").insert(id="x", vector=[1, 2])
    return tmp_path / "db"


def test_versions(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["versions", str(database), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["docs", "other"]
    with vego.open(database, read_only=True) as db:
        expected = [(one.version, one.documents, list(one.tags)) for one in db.collection("docs").versions()]
    assert [(one["version"], one["documents"], one["tags"]) for one in found["docs"]] == expected
    assert ["first"] in [one["tags"] for one in found["docs"]]

    assert main(["versions", str(database), "--collection", "docs"]) == 0
    out = capsys.readouterr().out
    assert "first" in out and "tag first" in out and "other" not in out
    assert main(["versions", str(database), "--collection", "nothing"]) == 2
    assert "no collection 'nothing'" in capsys.readouterr().err


def test_compact(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sum(path.stat().st_size for path in database.rglob("data/*.lfmt"))
    assert main(["compact", str(database), "--collection", "docs", "--json"]) == 0
    (done,) = json.loads(capsys.readouterr().out).values()
    assert (done["segments_before"], done["segments_after"], done["dropped_rows"]) == (3, 1, 10)
    with vego.open(database) as db:
        docs = db.collection("docs")
        assert len(docs) == 20 and docs.stats()["dead_slots"] == 0
        assert len(docs.at(tag="first")) == 30  # tagged versions stay, and their files
        docs.untag("first")
    assert main(["compact", str(database)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("docs: ") and "\nother: " in out
    assert sum(path.stat().st_size for path in database.rglob("data/*.lfmt")) < before
    with vego.open(database, read_only=True) as db:
        assert sorted(doc.id for doc in db.collection("docs").search([1, 1], k=99)) == sorted(
            f"{turn}-{i}" for turn in (1, 2) for i in range(10)
        )
    assert main(["compact", str(database), "--retain-versions", "1"]) == 2
    assert "retain_versions" in capsys.readouterr().err
