"""`vego repair`: what an error tells the user to do, done."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest

import lance_fmt
import vego
from tests.support.command_line import flip, make_database, manifests
from vego.cli import main
from vego.store import LocalStore


def test_a_damaged_newest_manifest_is_repaired_by_the_command_the_error_names(tmp_path, capsys):
    directory = tmp_path / "db"
    make_database(directory)
    with vego.open(directory) as database:
        documents = database.collection("notes")
        documents.flush()
        documents.insert(id="late", vector=[1, 2, 3, 4])
        documents.flush()
        documents.insert(id="last", vector=[1, 2, 3, 5])  # in the log that follows the version to be damaged
        documents.delete("n7")
        expected = {name: documents.get(name) for name in [*(f"n{row}" for row in range(30)), "late", "last"]}
    assert expected["n3"] is None
    assert expected["n7"] is None
    assert expected["late"] is not None
    flip(manifests(directory)[-1], -3)

    with vego.open(directory) as database, pytest.raises(vego.CorruptionError) as raised:
        database.collection("notes")
    command = str(raised.value).split("`")[1].split()
    assert command[:2] == ["vego", "repair"]
    assert main(command[1:]) == 0

    shown = capsys.readouterr().out
    assert "30 documents" in shown
    assert "set-aside" in shown
    with vego.open(directory) as database:
        documents = database.collection("notes")
        assert {name: documents.get(name) for name in expected} == expected
        documents.insert(id="after", vector=[4, 3, 2, 1])
        documents.flush()
    with vego.open(directory, read_only=True) as database:
        assert len(database.collection("notes")) == 31  # 30 before, and "after"


def test_a_damaged_parent_is_set_aside_and_the_newer_version_kept(tmp_path, capsys):
    directory = tmp_path / "db"
    make_database(directory)
    with vego.open(directory) as database:
        documents = database.collection("notes")
        documents.flush()
        documents.insert(id="late", vector=[1, 2, 3, 4])
        documents.flush()
    parent = manifests(directory)[-2]
    flip(parent, -3)
    with vego.open(directory) as database, pytest.raises(vego.CorruptionError) as raised:
        database.collection("notes")
    capsys.readouterr()
    assert main([*str(raised.value).split("`")[1].split()[1:], "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["moved"]
    assert all((directory / path).exists() for path in done["moved"])
    assert (done["collection"], done["documents"]) == ("notes", 30)
    assert not parent.exists()
    with vego.open(directory) as database:
        assert len(database.collection("notes")) == 30


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_repair_that_was_cut_short_is_finished_by_the_next(renames, tmp_path, monkeypatch, capsys):
    directory = tmp_path / "db"
    make_database(directory)
    with vego.open(directory) as database:
        database.collection("notes").flush()
        database.collection("notes").insert(id="late", vector=[1, 2, 3, 4])
        database.collection("notes").flush()
    newest = manifests(directory)[-1]
    flip(newest, -3)
    command = ["repair", str(directory), "--collection", "notes", "--to-version", str(int(newest.stem) - 1)]
    done = []
    rename = LocalStore.rename

    def failing(store, path, new):
        if len(done) == renames:
            raise vego.StorageError("the disk went away")
        done.append(path)
        rename(store, path, new)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "rename", failing)
        expected = 2 if renames < 2 else 0  # a segment and a manifest move
        assert main(command) == expected
    assert main(command) == 0
    capsys.readouterr()
    with vego.open(directory) as database:
        assert len(database.collection("notes")) == 30


def test_rows_that_only_the_damaged_version_had_are_kept_aside(tmp_path, capsys):
    directory = tmp_path / "db"
    make_database(directory, index="flat")
    many = 2_000  # so many rows become a segment at once, without passing through the log
    with vego.open(directory) as database:
        documents = database.collection("notes")
        documents.flush()
        documents.insert_batch(ids=[f"m{row}" for row in range(many)], vectors=np.ones((many, 4), np.float32))
    newest = manifests(directory)[-1]
    flip(newest, -3)
    version = int(newest.stem) - 1
    assert main(["repair", str(directory), "--collection", "notes", "--to-version", str(version)]) == 0
    assert f"{many:,} documents of collections/notes/set-aside/1/" in capsys.readouterr().out
    with vego.open(directory) as database:
        assert len(database.collection("notes")) == 29
    aside = sorted((directory / "collections/notes/set-aside/1").iterdir())
    assert newest.name in {path.name for path in aside}
    segment = next(path for path in aside if path.suffix == ".lfmt")
    with lance_fmt.open(segment) as file:
        assert file.num_rows == many


def test_repair_to_the_newest_version_moves_nothing(tmp_path, capsys):
    make_database(tmp_path / "db")
    before = sorted(tmp_path.rglob("*"))
    newest = int(manifests(tmp_path / "db")[-1].stem)
    assert main(["repair", str(tmp_path / "db"), "--collection", "notes", "--to-version", str(newest)]) == 0
    assert "nothing had to be moved" in capsys.readouterr().out
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "LOCK"] == [
        path for path in before if path.name != "LOCK"
    ]


@pytest.mark.parametrize(
    ("collection", "version", "message"),
    [("notes", "77", "no version 77; there are"), ("other", "1", "no collection 'other'")],
)
def test_repair_refuses_what_is_not_there(collection, version, message, tmp_path, capsys):
    make_database(tmp_path / "db")
    assert main(["repair", str(tmp_path / "db"), "--collection", collection, "--to-version", version]) == 2
    assert message in capsys.readouterr().err


def test_repair_refuses_a_version_whose_files_are_gone(tmp_path, capsys):
    make_database(tmp_path / "db")
    with vego.open(tmp_path / "db") as database:
        database.collection("notes").flush()
    next((tmp_path / "db/collections/notes/data").iterdir()).unlink()
    newest = int(manifests(tmp_path / "db")[-1].stem)
    assert main(["repair", str(tmp_path / "db"), "--collection", "notes", "--to-version", str(newest)]) == 2
    assert "needs this file" in capsys.readouterr().err


def test_repair_waits_for_no_writer(tmp_path, capsys):
    make_database(tmp_path / "db")
    with vego.open(tmp_path / "db"):
        assert main(["repair", str(tmp_path / "db"), "--collection", "notes", "--to-version", "1"]) == 2
    assert "open for writing" in capsys.readouterr().err


def test_a_damaged_index_is_dropped_by_the_command_the_error_names(tmp_path, capsys):
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (1500, 8)).astype(np.float32)
    with vego.open(tmp_path / "db", dimension=8, metric="l2") as database:
        database.collection("c").insert_batch(vectors=vectors)
    (path,) = (tmp_path / "db" / "collections" / "c" / "index").iterdir()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    with vego.open(tmp_path / "db") as database, pytest.raises(vego.CorruptionError) as caught:
        database.collection("c")
    assert str(path) in str(caught.value)
    command = re.search("`vego (.*)`", str(caught.value))
    assert command is not None
    assert main(shlex.split(command[1])) == 0
    assert "no index" in capsys.readouterr().out
    with vego.open(tmp_path / "db") as database:
        collection = database.collection("c")
        assert collection.explain(vectors[0]).strategy == "exact"
        assert collection.search(vectors[3], k=1).distances[0] == 0
        collection.build_index()
        assert collection.explain(vectors[0]).strategy == "graph"
