"""Repairs that cannot be are refused; the others keep what can be kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
import vego
from tests.support.contents import content_at, damage, files_below
from tests.support.verified import database_fixture, fill, newest_of, sound_fixture  # noqa: F401
from vego import names
from vego.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which repair?"),
        (["--drop-index"], "--collection"),
        (["--marker", "--collection", "docs"], "not with --marker"),
        (["--marker", "--collection", "docs", "--drop-index"], "which repair?"),
        (["--collection", "docs", "--set-aside", "999"], "no version 999"),
        (["--collection", "none", "--set-aside", "1"], "no collection 'none'"),
        (["--collection", "none", "--cut-log"], "no collection 'none'"),
    ],
)
def test_repairs_that_cannot_be(
    arguments: list[str], message: str, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_below(database)
    assert main(["repair", str(database), *arguments]) == 2
    assert message in capsys.readouterr().err
    after = files_below(database)
    after.pop("LOCK", None)
    before.pop("LOCK", None)
    assert after == before


def test_the_newest_version_is_not_set_aside(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = newest_of(database).version
    assert main(["repair", str(database), "--collection", "docs", "--set-aside", str(newest)]) == 2
    assert "--to-version" in capsys.readouterr().err


def test_old_versions_are_set_aside(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = content_at(database)
    versions = vego.verify(database).collections[0].versions
    old = [word for version in versions[:-1] for word in ("--set-aside", str(version))]
    assert main(["repair", str(database), "--collection", "docs", *old, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert len([path for path in done["moved"] if path.endswith(".manifest")]) == len(versions) - 1
    assert content_at(database) == content
    report = vego.verify(database, deep=True)
    assert report.ok
    assert report.collections[0].versions == versions[-1:]


def test_going_back_leaves_older_versions_whole(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = vego.verify(database).collections[0].versions
    assert len(before) > 3
    assert main(["repair", str(database), "--collection", "docs", "--to-version", str(before[-2])]) == 0
    report = vego.verify(database, deep=True)
    assert report.ok, report.findings
    assert report.collections[0].versions == before[:-1]


def test_a_marker_that_is_whole_stays(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (database / names.MARKER).read_bytes()
    assert main(["repair", str(database), "--marker", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["database_id"] in before.decode()
    assert (database / names.MARKER).read_bytes() == before


def test_salvage_keeps_what_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    rows = 30_000
    with vego.open(tmp_path / "db", dimension=4, index="flat") as db:
        docs = db.collection("docs")
        for part in "ab":
            docs.insert_batch(
                ids=[f"{part}{i}" for i in range(rows)],
                vectors=rng.standard_normal((rows, 4)),
                metadata={"n": rng.permutation(rows).tolist(), "text": [f"row {i}" for i in range(rows)]},
            )
        docs.delete_batch([f"a{i}" for i in range(0, rows, 2)])
        docs.upsert(id="b7", vector=[9, 9, 9, 9], metadata={"n": -7})
        docs.insert(id="logged", vector=[1, 1, 1, 1])
        docs.flush()
        before = {key: docs.get(key) for key in ("a1", "a29999", "b7", "b29998", "logged")}
        count = len(docs)
    manifest = newest_of(tmp_path / "db")
    assert len(manifest.segments) == 3
    path = tmp_path / "db" / names.data_path("docs", manifest.segments[0].file)
    with lance_fmt.open(path) as file:
        lost = {name: file.column(name).pages[0].blocks[1] for name in ("$id", "n")}
        first = {name: file.column(name).pages[0].blocks[0][2] for name in lost}
    data = bytearray(path.read_bytes())
    for block in lost.values():
        data[block[0] + 5] ^= 1
    path.write_bytes(data)
    command = ["repair", str(tmp_path / "db"), "--collection", "docs", "--salvage", "--json"]
    findings = vego.verify(tmp_path / "db", deep=True).findings
    assert all("--salvage" in finding.way_out for finding in findings)
    assert main(command) == 0
    done = json.loads(capsys.readouterr().out)
    gone = range(first["$id"], first["$id"] + lost["$id"][2])
    assert done["lost_rows"] == sum(1 for row in gone if row % 2)
    assert done["lost_values"] == [[manifest.segments[0].file, "n"]]
    assert done["lost_masks"] == []
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("docs")
        assert len(docs) == count - done["lost_rows"]
        for key, document in before.items():
            if not (key[0] == "a" and int(key[1:]) in gone):
                found = docs.get(key)
                assert found is not None
                assert document is not None
                assert np.array_equal(found.vector, document.vector)
                assert {**document.metadata, **found.metadata} == document.metadata | (
                    {"n": None} if found.metadata.get("n", 0) is None else {}
                )
        assert docs.get("b7").metadata == {"n": -7}  # type: ignore[union-attr]
        docs.vacuum(2)
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["segments"] == []


def test_salvage_without_a_row_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with vego.open(tmp_path / "db", dimension=2, index="flat") as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=["a", "b", "c"], vectors=np.ones((3, 2)))
        docs.flush()
        docs.upsert(id="a", vector=[5, 5])
        docs.delete("b")
        docs.flush()
    (mask,) = (tmp_path / "db/collections/docs/deletes").iterdir()
    damage(mask, "flipped")
    assert main(["repair", str(tmp_path / "db"), "--collection", "docs", "--salvage"]) == 0
    assert "they are back" in capsys.readouterr().out
    found = content_at(tmp_path / "db")["docs"]
    assert {key: vector for key, (vector, _) in found.items()} == {"a": [5, 5], "b": [1, 1], "c": [1, 1]}
