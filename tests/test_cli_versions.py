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


def test_partitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "db")
    with vego.open(path, dimension=2, background=False) as db:
        db.collection("plain").insert(vector=[1, 2])
        docs = db.collection("events", partition_by="day")
        for day in ["1", 1, None, True, "a\x1b[2Jb", "2026-11-21", "1"]:
            docs.insert(vector=[1, 2], metadata={"day": day})
    assert main(["partitions", path, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out).items()
    assert found[0] == "events" and found[1]["partition_by"] == "day"
    listed = [(one["value"], one["documents"], one["segments"]) for one in found[1]["partitions"]]
    assert listed == [
        (None, 1, 0),
        (True, 1, 0),
        (1, 1, 0),
        ("1", 2, 0),
        ("2026-11-21", 1, 0),
        ("a\x1b[2Jb", 1, 0),
    ]
    assert main(["partitions", path]) == 0
    out = capsys.readouterr().out
    assert "events, by day" in out and '"2026-11-21"' in out and "\x1b" not in out and "plain" not in out
    for value, left, said in [("2026-11-21", 6, '"2026-11-21"'), ("1", 5, "1 dropped"), ('"1"', 3, '"1"')]:
        assert main(["partitions", path, "--collection", "events", "--drop", value]) == 0
        assert said in capsys.readouterr().out
        with vego.open(path, read_only=True) as db:
            assert len(db.collection("events")) == left
    assert main(["partitions", path, "--collection", "events", "--drop", "null", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"collection": "events", "value": None, "documents": 1}
    for wrong, said in [
        (["--drop", "1"], "--collection NAME"),
        (["--collection", "plain"], "no partitions"),
        (["--collection", "plain", "--drop", "1"], "no partitions"),
        (["--collection", "events", "--drop", "1.5"], "float 1.5"),
        (["--collection", "nothing"], "no collection 'nothing'"),
    ]:
        assert main(["partitions", path, *wrong]) == 2
        assert said in capsys.readouterr().err
