"""`vego.verify` finds whatever is wrong, nothing else, and what it says helps."""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
import vego
from tests.support import faults
from tests.support.contents import content_at, damage, files_below
from tests.support.verified import database_fixture, fill, newest_of, sound_fixture  # noqa: F401
from vego import names
from vego.cli import main
from vego.store import LocalStore
from vego.table.manifest import load_version
from vego.verification import opened
from vego.wal import log

DAMAGES = ("flipped", "truncated", "missing")


# -- all is well -----------------------------------------------------------------------------------


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_database(deep: bool, sound: Path) -> None:
    before = files_below(sound)
    report = vego.verify(sound, deep=deep)
    assert report.ok, report.findings
    assert report.leftovers == ()
    assert (report.path, report.deep, report.is_backup) == (str(sound), deep, False)
    (docs,) = report.collections
    assert docs.documents == len(content_at(sound)["docs"]) == 58
    assert docs.dead_rows == 61 - 57
    assert (docs.segments, docs.log_batches, docs.torn_bytes, docs.indexed_rows) == (2, 3, 0, 61)
    assert docs.versions[-1] == newest_of(sound).version
    assert docs.recall is None if not deep else docs.recall > 0.9
    assert files_below(sound) == before
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip", "l1", "hamming"])
def test_a_larger_graph_agrees_with_its_rows(metric: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((3000, 24)) * 7 + 3
    with vego.open(tmp_path / "db", dimension=24, metric=metric) as db:
        docs = db.collection("docs")
        docs.insert_batch(vectors=rows > 3 if metric == "hamming" else rows)
        docs.delete_batch(docs.to_table(["id"])["id"].to_pylist()[:500])
    told: list[tuple[int, int]] = []
    report = vego.verify(tmp_path / "db", deep=True, progress=lambda done, total: told.append((done, total)))
    assert report.ok, report.findings
    assert report.collections[0].indexed_rows == 3000
    assert report.collections[0].recall > 0.8  # type: ignore[operator]
    assert told[-1][0] == told[-1][1] == report.bytes


def test_databases_that_are_hardly_there(tmp_path: Path) -> None:
    vego.open(tmp_path / "db").close()
    assert vego.verify(tmp_path / "db", deep=True).collections == ()
    with vego.open(tmp_path / "db", dimension=2) as db:
        db.collection("docs")
    report = vego.verify(tmp_path / "db", deep=True)
    assert (report.ok, report.collections[0].documents) == (True, 0)
    for other in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(vego.NotADatabaseError):
            vego.verify(other)


def test_a_torn_tail_is_no_damage(database: Path) -> None:
    log = max((database / "collections/docs/wal").glob("*.wal"))
    log.write_bytes(log.read_bytes()[:-50])  # the seal, and the end of the last batch
    report = vego.verify(database, deep=True)
    assert report.ok
    assert report.collections[0].log_batches == 2
    assert report.collections[0].torn_bytes > 0
    assert report.collections[0].documents == len(content_at(database)["docs"])


def test_leftovers_are_told_and_no_damage(database: Path) -> None:
    strange = [
        "notes.txt",
        "collections/docs/notes.txt",
        f"collections/docs/data/{'a' * 32}.lfmt",
        f"collections/docs/index/.tmp-{'a' * 32}",
        f"collections/.dropped-{'b' * 32}",
        f"collections/docs/wal/{0:020}.wal",
    ]
    for path in strange:
        (database / path).write_bytes(b"x")
    report = vego.verify(database)
    assert report.ok
    assert report.leftovers == tuple(sorted(strange))


def test_while_another_writes(tmp_path: Path) -> None:
    stop = threading.Event()
    errors: list[BaseException] = []
    with vego.open(tmp_path / "db", dimension=2, flush_bytes=3_000, index="flat") as db:
        docs = db.collection("docs", retain_versions=2)

        def write() -> None:
            try:
                for number in range(100_000):
                    if stop.is_set():
                        return
                    docs.upsert_batch(ids=["same", f"k{number % 50}"], vectors=[[number, 1]] * 2)
            except BaseException as error:
                errors.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            versions = set()
            for number in range(2000):
                report = vego.verify(tmp_path / "db", deep=number % 4 == 0)
                assert report.ok, report.findings
                versions.add(report.collections[0].versions[-1])
                if number > 30 and len(versions) > 5:
                    break
        finally:
            stop.set()
            writer.join()
    assert not errors
    assert len(versions) > 5


def test_versions_that_are_removed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = opened
    right = module.named_files
    removed: list[int] = []
    with vego.open(tmp_path / "db", dimension=2, index="flat") as db:
        docs = db.collection("docs")
        for number in range(5):
            docs.upsert(id="a", vector=[number, 1])
            docs.flush()

        def overtaken(*arguments: Any) -> Any:
            if not removed:
                docs.compact(full=True)
                removed.append(docs.vacuum(2).files)
            return right(*arguments)

        monkeypatch.setattr(module, "named_files", overtaken)
        report = vego.verify(tmp_path / "db")
        assert removed[0] > 0
        assert report.ok, report.findings
        assert len(report.collections[0].versions) == 2


def test_a_log_that_is_carried_over_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process opens the database: the log moves to other files, and no version is made."""
    for key in ("a", "b"):
        with vego.open(tmp_path / "db", dimension=2) as db:
            db.collection("docs").insert(id=key, vector=[1, 2])
    module: Any = log
    right = module.read_wal
    overtaken: list[int] = []

    def read(store: LocalStore, collection: str, number: int, **options: Any) -> Any:
        found = right(store, collection, number, **options)
        if not overtaken and store.read_only:
            overtaken.append(number)
            with vego.open(tmp_path / "db") as db:
                db.collection("docs").insert(id="c", vector=[1, 2])
        return found

    monkeypatch.setattr(module, "read_wal", read)
    report = vego.verify(tmp_path / "db")
    assert overtaken
    assert report.ok, report.findings
    assert report.collections[0].documents == 3


def test_too_many_open_files_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "db")
    with monkeypatch.context() as patch:
        faulty = faults.install(patch)
        vego.verify(tmp_path / "db")
        calls = len(faulty.calls)
    refused = 0
    for number in range(calls):
        with monkeypatch.context() as patch:
            faulty = faults.install(patch)
            faulty.fail_at(number, errno.EMFILE)
            try:
                report = vego.verify(tmp_path / "db")
            except vego.StorageError as error:
                assert "too many open files" in str(error)
                refused += 1
            else:
                assert report.ok, report.findings
    assert refused > 5


# -- damage ----------------------------------------------------------------------------------------

PLACES = ("VEGO", "manifests/*", "data/*", "deletes/*", "index/*", "wal/*")


def files_of_kind(path: Path, place: str) -> list[Path]:
    return [path / place] if place == "VEGO" else sorted((path / "collections" / "docs").glob(place))


def commands_of(way_out: str, backup: Path, new: Path) -> list[list[str]]:
    """The commands that a way out names, with the user's words filled in."""
    found = [shlex.split(command)[1:] for command in re.findall(r"`(vego [^`]+)`", way_out)]
    words = {"BACKUP": str(backup), "NEW_DIR": str(new), "NEW.lfmt": f"{new}.lfmt"}
    return [[words.get(word, word) for word in command] for command in found]


def repaired(path: Path, sound: Path) -> None:
    """After a first repair, what is still found is repaired as told; then all is well, and it can be written to."""
    for _ in range(3):
        findings = vego.verify(path, deep=True).findings
        if findings:
            assert main(commands_of(findings[0].way_out, path, path)[0]) == 0
    assert vego.verify(path, deep=True).ok
    ever = content_at(sound)["docs"].keys() | {"k3", "k4", "k6", "k7"}
    assert content_at(path)["docs"].keys() <= ever
    with vego.open(path) as db:
        db.collection("docs").insert(id="new", vector=[1, 1, 1, 1])
    assert vego.verify(path, deep=True).ok


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("place", PLACES)
def test_damage_is_found_and_every_way_out_works(
    place: str, how: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = 0
    for number, original in enumerate(files_of_kind(sound, place)):
        path = original.relative_to(sound)
        database = shutil.copytree(sound, tmp_path / str(number))
        damage(database / path, how)
        if (how, place) == ("missing", "VEGO"):
            with pytest.raises(vego.NotADatabaseError, match="--marker") as caught:
                vego.verify(database)
            assert main(commands_of(str(caught.value), tmp_path, tmp_path)[0]) == 0
            assert vego.verify(database).ok
            return
        report = vego.verify(database, deep=True)
        if (how, place) in (
            ("truncated", "wal/*"),
            ("missing", "wal/*"),
            ("missing", "manifests/*"),
        ) and report.ok:
            # A log without its seal, none at all, and an earlier version: nothing tells them from what is legal.
            continue
        assert not report.ok
        assert str(database / path) in {finding.path for finding in report.findings}
        assert main(["verify", str(database), "--deep"]) == 1
        assert str(path) in capsys.readouterr().out
        for finding in report.findings:
            for step, command in enumerate(
                commands_of(finding.way_out, sound.parent / "backup", tmp_path / f"new {number}")
            ):
                tried += 1
                one = Path(shutil.copytree(database, tmp_path / f"{number} {step}"))
                done = [word.replace(str(database), str(one)) for word in command]
                assert main(done) == 0, (finding, capsys.readouterr().err)
                if command[0] == "repair":
                    repaired(one, sound)
                shutil.rmtree(one)
                shutil.rmtree(tmp_path / f"new {number}", ignore_errors=True)
                (tmp_path / f"new {number}.lfmt").unlink(missing_ok=True)
    assert tried or how != "flipped"


def test_every_flipped_byte_of_the_small_files_is_found(sound: Path, tmp_path: Path) -> None:
    database = shutil.copytree(sound, tmp_path / "db")
    newest = newest_of(sound)
    entry = next(entry for entry in newest.segments if entry.deletes is not None)
    assert entry.deletes is not None
    for path in (
        names.MARKER,
        names.manifest_path("docs", newest.version),
        names.manifest_path("docs", newest.version - 1),
        names.deletes_path("docs", entry.deletes.file),
    ):
        data = (database / path).read_bytes()
        for position in range(0, len(data), 5):
            (database / path).write_bytes(
                data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :]
            )
            try:
                found = vego.verify(database, deep=path.endswith(".del")).findings
            except vego.NewerVersionError:
                continue
            assert str(database / path) in {finding.path for finding in found}, (path, position)
        (database / path).write_bytes(data)
    assert vego.verify(database, deep=True).ok


def test_without_deep_the_ends_of_files_are_looked_at(database: Path) -> None:
    path = names.data_path("docs", newest_of(database).segments[0].file)
    with lance_fmt.open(database / path) as file:
        offset = file.column("n").pages[0].blocks[0][0]
    data = bytearray((database / path).read_bytes())
    data[offset + 3] ^= 1
    (database / path).write_bytes(data)
    assert vego.verify(database).ok
    (finding,) = vego.verify(database, deep=True).findings
    assert (finding.path, finding.offset) == (str(database / path), offset)
    assert "column 'n'" in finding.what


def test_files_that_changed_places(database: Path) -> None:
    newest = newest_of(database)
    one, other = (database / names.data_path("docs", entry.file) for entry in newest.segments[:2])
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)
    found = {finding.path: finding.what for finding in vego.verify(database).findings}
    assert found.keys() == {str(one), str(other)}
    assert "not the file the manifest names" in found[str(one)]


def test_a_log_is_cut_before_its_damage(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = max((database / "collections/docs/wal").glob("*.wal"))
    data = bytearray(log.read_bytes())
    second = data.index(b"VBAT", data.index(b"VBAT") + 1)
    data[second + 40] ^= 1
    log.write_bytes(data)
    assert main(["repair", str(database), "--collection", "docs", "--cut-log", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["kept"], done["moved"]) == (1, [f"collections/docs/set-aside/1/{log.name}"])
    kept = content_at(database)["docs"].keys()
    assert "logged" in kept
    assert "also logged" not in kept
    assert "k6" in kept
    assert vego.verify(database, deep=True).ok
    assert main(["repair", str(database), "--collection", "docs", "--cut-log"]) == 0
    assert "nothing was done" in capsys.readouterr().out
    assert content_at(database)["docs"].keys() == kept


def test_a_log_of_two_segments_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ab", "cd"):
        with vego.open(tmp_path / "db", dimension=2) as db:
            for key in name:
                db.collection("docs").insert(id=key, vector=[1, 2])
    first, last = sorted((tmp_path / "db/collections/docs/wal").glob("*.wal"))
    data = bytearray(first.read_bytes())
    data[data.index(b"VBAT", data.index(b"VBAT") + 1) + 40] ^= 1
    first.write_bytes(data)
    (finding,) = vego.verify(tmp_path / "db").findings
    (command, *_) = commands_of(finding.way_out, tmp_path, tmp_path)
    assert main([*command, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["kept"], done["lost"], len(done["moved"])) == (1, 2, 2)
    assert last.name in done["moved"][1]
    assert content_at(tmp_path / "db")["docs"].keys() == {"a"}
    with vego.open(tmp_path / "db") as db:
        db.collection("docs").insert(id="e", vector=[1, 2])
    assert content_at(tmp_path / "db")["docs"].keys() == {"a", "e"}


def test_a_manifest_of_another_past(database: Path) -> None:
    store = LocalStore(database, read_only=True)
    version = newest_of(database).version - 1
    other = replace(load_version(store, "docs", version), summary="something else")
    (database / names.manifest_path("docs", version)).write_bytes(other.to_bytes())
    (finding,) = vego.verify(database).findings
    assert "was made from another version" in finding.what
    assert main(commands_of(finding.way_out, database, database)[0]) == 0
    assert vego.verify(database, deep=True).ok


# -- command line ----------------------------------------------------------------------------------


def test_the_command_line(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(sound)]) == 0
    assert "--deep" in capsys.readouterr().out
    assert main(["verify", str(sound), str(sound.parent / "backup"), "--deep"]) == 0
    shown = capsys.readouterr().out
    assert "db: database, every byte is right" in shown
    assert "backup: backup, every byte is right" in shown
    assert "docs: 58 documents, 2 segments, 3 writes in the log, 61 rows in the graph, recall" in shown
    file = sound / names.data_path("docs", newest_of(sound).segments[0].file)
    assert main(["verify", str(sound), str(file), str(tmp_path / "none.lfmt"), "--json"]) == 2
    database, one, none = json.loads(capsys.readouterr().out)
    assert (database["ok"], database["error"], one["rows"]) == (True, None, 60)
    assert none["error"]
    assert main(["verify", str(tmp_path), "--json"]) == 2
    assert "not a Vego database" in json.loads(capsys.readouterr().out)[0]["error"]
