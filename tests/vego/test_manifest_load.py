"""Finding the newest manifest, and saying the cure when it is damaged; the marker of a database."""

from __future__ import annotations

import pytest

from vego import names
from vego.errors import CorruptionError, NewerVersionError, NotADatabaseError, NotFoundError
from vego.store import LocalStore
from vego.table.commit import SetOptions, commit, create_collection
from vego.table.manifest import load_latest, load_version, versions
from vego.table.marker import Marker, create_marker, load_marker


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path)
    manifest = create_collection(store, "docs", dimension=3, metric="l2", options={"n": 1})
    for n in (2, 3):
        manifest = commit(store, "docs", manifest, [SetOptions({"n": n})])
    return store


def file_of(store, version):
    return store.root / names.manifest_path("docs", version)


def test_the_newest(store):
    newest = load_latest(store, "docs")
    assert (newest.version, newest.options) == (3, {"n": 3})
    assert newest.parent.crc == load_version(store, "docs", 2).checksum
    assert versions(store, "docs") == [1, 2, 3]
    assert load_version(store, "docs", 1).parent is None


def test_no_collection(store):
    assert load_latest(store, "other") is None
    assert versions(store, "other") == []
    with pytest.raises(NotFoundError):
        load_version(store, "docs", 9)


def test_other_files_are_passed_over(store):
    directory = store.root / names.manifest_directory("docs")
    for name in [names.temporary_file("a" * 32), "9.manifest", "LATEST", "0000000000000000000x.manifest"]:
        (directory / name).write_bytes(b"rubbish")
    assert load_latest(store, "docs").version == 3


@pytest.mark.parametrize("damage", [b"", b"VMAN", None])
def test_a_damaged_newest_manifest_names_the_cure(store, damage):
    file = file_of(store, 3)
    file.write_bytes(file.read_bytes()[:-1] + b"?" if damage is None else damage)
    with pytest.raises(CorruptionError) as caught:
        load_latest(store, "docs")
    assert f"vego repair {store.root} --collection docs --to-version 2" in str(caught.value)
    assert caught.value.path == str(file)
    file.unlink()
    assert load_latest(store, "docs").version == 2


def test_the_first_version_has_no_version_before_it(store):
    file_of(store, 1).write_bytes(b"")
    with pytest.raises(CorruptionError, match="backup"):
        load_version(store, "docs", 1)


def test_a_manifest_under_another_name(store):
    file_of(store, 4).write_bytes(file_of(store, 3).read_bytes())
    with pytest.raises(CorruptionError, match="manifest of version 3"):
        load_latest(store, "docs")


def test_a_parent_that_was_exchanged(store, tmp_path):
    other = LocalStore(tmp_path / "other")
    first = create_collection(other, "docs", dimension=3, metric="l2", options={})
    commit(other, "docs", first, [])
    file_of(store, 2).write_bytes(file_of(other, 2).read_bytes())
    with pytest.raises(CorruptionError, match="another version 2"):
        load_latest(store, "docs")
    file_of(store, 2).unlink()  # an old version that was collected is no damage
    assert load_latest(store, "docs").version == 3


def test_a_reader_is_not_confused_by_a_commit_with_collection(store, monkeypatch):
    """The newest manifest of the listing may be gone when it is read, if two commits came between."""
    manifest = load_latest(store, "docs")
    real = LocalStore.read

    def read(self, path):
        if path == names.manifest_path("docs", 3) and file_of(store, 3).exists():
            after = commit(store, "docs", manifest, [SetOptions({"n": 4})])
            commit(store, "docs", after, [SetOptions({"n": 5})])
            file_of(store, 3).unlink()
        return real(self, path)

    monkeypatch.setattr(LocalStore, "read", read)
    assert load_latest(store, "docs").version == 5


def test_marker(tmp_path):
    store = LocalStore(tmp_path / "db")
    assert load_marker(store, missing_ok=True) is None
    with pytest.raises(NotADatabaseError, match="found nothing"):
        load_marker(store)
    marker = create_marker(store)
    assert load_marker(store) == marker
    assert create_marker(store) == marker, "whoever comes second gets the marker of the first"
    assert (store.root / "VEGO").read_text().startswith("Vego database, format 1\n")


def test_a_marker_every_bit_and_truncation():
    data = Marker("a" * 32, 1_700_000_000_000_000).to_bytes()
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            with pytest.raises(CorruptionError):
                Marker.from_bytes(bytes(changed), "VEGO")
        with pytest.raises(CorruptionError):
            Marker.from_bytes(data[:position], "VEGO")
    with pytest.raises(CorruptionError):
        Marker.from_bytes(data + b"\n", "VEGO")
    with pytest.raises(NewerVersionError, match="format 2 is newer than 1"):
        Marker.from_bytes(Marker("a" * 32, 1, 2).to_bytes(), "VEGO")


def test_a_directory_of_something_else(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    for missing_ok in (False, True):
        with pytest.raises(NotADatabaseError, match=r"photo\.jpg"):
            load_marker(LocalStore(tmp_path), missing_ok=missing_ok)
        with pytest.raises(NotADatabaseError, match="a file"):
            load_marker(LocalStore(tmp_path / "photo.jpg"), missing_ok=missing_ok)


def test_the_remains_of_a_creation_cut_short(tmp_path):
    (tmp_path / names.LOCK).write_bytes(b"")
    (tmp_path / names.temporary_file("a" * 32)).write_bytes(b"Vego")
    assert load_marker(LocalStore(tmp_path), missing_ok=True) is None
