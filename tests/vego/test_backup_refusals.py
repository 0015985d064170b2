"""Backups that are damaged, incomplete or none are refused, and a backup that fails leaves none."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vego
from tests.support import faults
from tests.support.backups import backed_up_fixture, copied, fill  # noqa: F401
from tests.support.contents import Content, content_at, content_of, damage, files_below
from vego import names
from vego.backup.record import BackupRecord, FileEntry
from vego.store import LocalStore
from vego.table.marker import Marker

DAMAGES = ("flipped", "truncated", "missing")


def test_neither_writes_over_anything(backed_up: tuple[Path, Content], tmp_path: Path) -> None:
    backup, _ = backed_up
    fill(tmp_path / "db")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    before = files_below(tmp_path)
    with vego.open(tmp_path / "db", read_only=True) as db:
        for there in (tmp_path / "file", tmp_path / "full", tmp_path / "db", tmp_path / "db" / "below"):
            with pytest.raises(vego.InvalidArgumentError, match="directory"):
                db.backup(there)
    for there in (tmp_path / "file", tmp_path / "full", tmp_path / "db", backup / "below"):
        with pytest.raises(vego.InvalidArgumentError, match="directory"):
            vego.restore(backup, there)
    assert files_below(tmp_path) == before
    (tmp_path / "empty").mkdir()
    vego.restore(backup, tmp_path / "empty")


def test_a_directory_that_is_being_filled_is_refused(backed_up: tuple[Path, Content], tmp_path: Path) -> None:
    backup, _ = backed_up
    store = LocalStore(tmp_path / "new")
    store.make_dirs("")
    store.lock(names.LOCK)
    with pytest.raises(vego.DatabaseLockedError):
        vego.restore(backup, tmp_path / "new")
    store.close()
    vego.restore(backup, tmp_path / "new")


@pytest.mark.parametrize("what", ["nothing", "database", "cut short"])
def test_what_is_no_backup_is_not_restored(
    what: str, backed_up: tuple[Path, Content], tmp_path: Path
) -> None:
    source = tmp_path / "source"
    if what == "database":
        fill(source)
    elif what == "cut short":
        (copied(backed_up[0], source) / names.BACKUP).unlink()
    with pytest.raises(vego.NotADatabaseError, match="not a backup"):
        vego.restore(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def every_file(backup: Path) -> list[str]:
    return list(files_below(backup))


def test_any_damage_to_a_backup_is_refused_and_found(backed_up: tuple[Path, Content], tmp_path: Path) -> None:
    backup, _ = backed_up
    paths = every_file(backup)
    assert {Path(path).suffix for path in paths} == {"", ".manifest", ".lfmt", ".del", ".wal"}
    for number, (path, how) in enumerate((path, how) for path in paths for how in DAMAGES):
        one = copied(backup, tmp_path / str(number))
        damage(one / path, how)
        with pytest.raises((vego.CorruptionError, vego.NotADatabaseError)) as caught:
            vego.restore(one, tmp_path / "new")
        assert str(one) in str(caught.value), (path, how)
        if path != names.BACKUP:
            assert path in str(caught.value), (path, how)
            assert "Restore another backup" in str(caught.value)
        assert not (tmp_path / "new").exists(), (path, how)
        if (path, how) == (names.BACKUP, "missing"):
            continue  # a database like any other
        found = vego.verify(one, deep=True).findings
        assert str(one / path) in {finding.path for finding in found}, (path, how)
        shutil.rmtree(one)


def test_a_file_that_is_whole_but_another_is_refused_and_found(
    backed_up: tuple[Path, Content], tmp_path: Path
) -> None:
    backup = copied(backed_up[0], tmp_path / "backup")
    marker = Marker.from_bytes((backup / names.MARKER).read_bytes(), "VEGO")
    (backup / names.MARKER).write_bytes(Marker("0" * 32, marker.created_us).to_bytes())
    (finding,) = vego.verify(backup, deep=True).findings
    assert (finding.path, finding.what) == (str(backup / names.MARKER), "its SHA-256 does not match")
    with pytest.raises(vego.CorruptionError, match="SHA-256"):
        vego.restore(backup, tmp_path / "new")


def test_every_byte_of_the_record_counts(backed_up: tuple[Path, Content]) -> None:
    data = (backed_up[0] / names.BACKUP).read_bytes()
    record = BackupRecord.from_bytes(data, "BACKUP")
    assert record.to_bytes() == data
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises((vego.CorruptionError, vego.NewerVersionError)):
            BackupRecord.from_bytes(changed, "BACKUP")
    for length in range(len(data)):
        with pytest.raises(vego.CorruptionError):
            BackupRecord.from_bytes(data[:length], "BACKUP")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "BACKUP",
        "LOCK",
        "../VEGO",
        "/etc/passwd",
        f"collections/../data/{'a' * 32}.lfmt",
        f"collections/../x/data/{'a' * 32}.lfmt",
        f"collections/c/other/{'a' * 32}.lfmt",
        "collections/c/data/a.lfmt",
        "collections/c/wal/1.wal",
    ],
)
def test_a_record_names_files_of_a_database_only(path: str) -> None:
    """Restoring writes where the record says."""
    with pytest.raises(vego.InvalidArgumentError, match="path"):
        FileEntry(path, 1, "0" * 64)


def test_a_damaged_database_is_not_backed_up(tmp_path: Path) -> None:
    content = fill(tmp_path / "db")
    with vego.open(tmp_path / "db") as db:
        db.backup(tmp_path / "good")
    for path in (
        path
        for path in files_below(tmp_path / "good")
        if path.endswith((".lfmt", ".del", ".wal", ".manifest"))
    ):
        for how in DAMAGES:
            shutil.rmtree(tmp_path / "db")
            vego.restore(tmp_path / "good", tmp_path / "db")
            if (path[-4:], how) in ((".wal", "missing"), ("fest", "missing"), (".wal", "truncated")):
                continue  # then it is another database, none, or one whose log has no seal
            damage(tmp_path / "db" / path, how)
            with (
                vego.open(tmp_path / "db", read_only=True) as db,
                pytest.raises(vego.VegoError, match="damaged") as caught,
            ):
                db.backup(tmp_path / "backup")
            assert path in str(caught.value), how
            assert not (tmp_path / "backup").exists()
    assert content_at(tmp_path / "good") == content


# -- what the system refuses -----------------------------------------------------------------------


def leaves_nothing_that_looks_whole(path: Path, content: Content) -> None:
    """After an error there is no database at all, or a whole one."""
    try:
        found = content_at(path)
    except vego.NotADatabaseError:
        return
    assert found == content


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_any_call_of_the_system_may_fail(
    verb: str, error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with vego.open(tmp_path / "db", dimension=2, index="flat") as db:
        docs = db.collection("docs")
        docs.insert_batch(ids=["a", "b"], vectors=np.ones((2, 2)))
        docs.flush()
        docs.insert(id="c", vector=[1, 2])
        content = content_of(db)
        db.backup(tmp_path / "good")
        number, tried, failed, calls = 0, 0, 0, 1 << 30
        while number <= calls:
            target = tmp_path / "target"
            problem: vego.VegoError | None = None
            with monkeypatch.context() as patch:
                faulty = faults.install(patch)
                faulty.fail_at(number, error)
                try:
                    if verb == "backup":
                        db.backup(target)
                    else:
                        vego.restore(tmp_path / "good", target)
                except vego.VegoError as raised:
                    problem = raised
            if problem is None:
                calls = len(faulty.calls)
                assert content_at(target) == content, number
            else:
                assert isinstance(problem, vego.StorageError), number
                failed += 1
                leaves_nothing_that_looks_whole(target, content)
            shutil.rmtree(target, ignore_errors=True)
            number += 1 if error == errno.ENOSPC else 3
            tried += 1
        assert failed > tried * 0.8
        docs.insert(id="still", vector=[0, 1])  # the source is as it was
        assert content_of(db)["docs"].keys() == content["docs"].keys() | {"still"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    with vego.open(tmp_path / "db", dimension=64, index="flat") as db:
        docs = db.collection("c")
        docs.insert_batch(vectors=np.random.default_rng(0).random((2000, 64)))
        for _ in range(2):
            with pytest.raises(vego.StorageError, match=r"(?i)space"):
                db.backup(small_disk / "backup")
            assert list(small_disk.iterdir()) == []
        db.backup(tmp_path / "backup")
        with pytest.raises(vego.StorageError, match=r"(?i)space"):
            vego.restore(tmp_path / "backup", small_disk)
        assert list(small_disk.iterdir()) == []
        docs.insert(vector=np.zeros(64))


def test_what_cannot_be_linked_is_copied(small_disk: Path, tmp_path: Path) -> None:
    content = fill(tmp_path / "db")
    with vego.open(tmp_path / "db") as db:
        report = db.backup(small_disk / "1", link=True)
        assert report.linked_files == 0
        assert db.backup(tmp_path / "2", base=small_disk / "1").linked_files == 0
    assert content_at(small_disk / "1") == content_at(tmp_path / "2") == content
