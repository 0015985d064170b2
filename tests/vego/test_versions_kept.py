"""Going back to a version, which versions stay and for how long, and the bytes of their manifests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import vego
from lance_fmt import Builder, crc32c
from tests.support.versioned import (  # noqa: F401
    START,
    Clock,
    assert_whole,
    clock_fixture,
    commit,
    contents,
    docs_fixture,
    manifest_of,
    no_merges_of_their_own,
    opened,
)
from vego.store import LocalStore
from vego.table.manifest import HEADER_SIZE, Manifest, load_version
from vego.table.versions import time_of

# -- going back ------------------------------------------------------------------------------------


def test_going_back_and_forth(docs: vego.Collection) -> None:
    first = commit(docs, "a", n=1)
    second = commit(docs, "a", "b", n=2)
    docs.insert(id="buffered", vector=[0, 0])
    number = docs.restore(first)
    assert number == second + 2
    assert contents(docs) == {"a": {"n": 1}}
    assert docs.versions()[-1].summary == f"restore version {first}"
    assert contents(docs.at(number - 1)) == {"a": {"n": 2}, "b": {"n": 2}, "buffered": {}}
    docs.upsert(id="a", vector=[5, 5], metadata={"n": 3})
    docs.insert(id="b", vector=[5, 5], metadata={"n": 3})
    assert contents(docs) == {"a": {"n": 3}, "b": {"n": 3}}
    docs.restore(number - 1)
    assert contents(docs) == {"a": {"n": 2}, "b": {"n": 2}, "buffered": {}}
    assert docs.search([0, 0], k=5, filter="n = 2").ids


def test_going_back_to_a_version_that_is_about_to_be_collected(tmp_path: Path) -> None:
    """What is in the write buffer becomes a version of its own first; that must not push out the one wanted."""
    db, docs = opened(tmp_path / "db", retain_versions=2)
    first = commit(docs, "a")
    second = commit(docs, "b")
    docs.insert(id="buffered", vector=[0, 0])
    assert [one.version for one in docs.versions()] == [first, second]
    docs.restore(first)
    assert contents(docs) == {"a": {}}
    assert contents(docs.at(docs.versions()[-2].version)) == {"a": {}, "b": {}, "buffered": {}}
    db.close()
    db, docs = opened(tmp_path / "db")
    assert contents(docs) == {"a": {}}
    db.close()
    assert_whole(tmp_path / "db")


def test_going_back_to_a_time_to_come_is_staying(docs: vego.Collection, clock: Clock) -> None:
    commit(docs, "a")
    docs.insert(id="buffered", vector=[0, 0])
    docs.restore(timestamp=clock.now + timedelta(days=1))
    assert contents(docs) == {"a": {}, "buffered": {}}


@pytest.mark.parametrize("where", ["footer", "ids", "missing"])
def test_a_damaged_version_is_not_gone_back_to(tmp_path: Path, where: str) -> None:
    db, docs = opened(tmp_path / "db")
    first = commit(docs, "a")
    docs.compact(full=True)
    docs.delete("a")
    commit(docs, "b")
    docs.compact(full=True)
    store = LocalStore(tmp_path / "db", read_only=True)
    (segment,) = load_version(store, "c", first).segments
    newest = docs.stats()["version"]
    assert segment not in load_version(store, "c", newest).segments
    file = tmp_path / "db" / "collections" / "c" / "data" / segment.file
    data = bytearray(file.read_bytes())
    data[-8 if where == "footer" else data.index(b"\x01\x00\x00\x00a") + 4] ^= 1
    file.unlink() if where == "missing" else file.write_bytes(data)
    with pytest.raises((vego.CorruptionError, vego.NotFoundError)):
        docs.restore(first)
    assert contents(docs) == {"b": {}}
    docs.insert(id="c", vector=[0, 0])
    db.close()
    db, docs = opened(tmp_path / "db")
    assert contents(docs) == {"b": {}, "c": {}}
    db.close()


# -- what is kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("retained", [2, 3, 5])
def test_so_many_versions_are_kept(tmp_path: Path, retained: int) -> None:
    db, docs = opened(tmp_path / "db", retain_versions=retained)
    for number in range(8):
        commit(docs, f"d{number}")
    assert [one.version for one in docs.versions()] == list(range(10 - retained, 10))
    db.close()
    db, docs = opened(tmp_path / "db")
    assert [one.version for one in docs.versions()] == list(range(10 - retained, 10))
    assert docs.options.retain_versions == retained
    db.close()


def test_young_versions_are_kept(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db", retain_versions=2, retain_seconds=100)
    for number in range(12):
        clock.us = START + number * 20_000_000
        commit(docs, f"d{number}")
    kept = [one.version for one in docs.versions()]
    assert kept == list(range(8, 14))  # what was there in the last 100 seconds
    clock.us += 1_000_000_000
    docs.vacuum()
    assert [one.version for one in docs.versions()] == [12, 13]
    clock.us = START  # back: everything is young
    for number in range(5):
        commit(docs, f"e{number}")
    assert [one.version for one in docs.versions()] == list(range(12, 19))
    docs.vacuum(2)
    assert [one.version for one in docs.versions()] == [18, 19]
    db.close()


def test_tags_stay(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db", retain_versions=2)
    first = commit(docs, "a")
    docs.tag("release")
    for number in range(5):
        commit(docs, f"d{number}")
        docs.delete("a")
    docs.compact(full=True)
    for _ in range(2):
        docs.vacuum(2)
        assert contents(docs.at(tag="release")) == {"a": {}}
        assert docs.tags() == {"release": first}
        assert docs.versions()[0].tags == ("release",)
        db.close()
        db, docs = opened(tmp_path / "db")
    docs.tag("release", docs.versions()[-1].version)  # moved
    docs.vacuum(2)
    assert first not in [one.version for one in docs.versions()]
    docs.untag("release")
    assert docs.tags() == {}
    with pytest.raises(vego.NotFoundError, match="no tag 'release'"):
        docs.at(tag="release")
    db.close()
    db, docs = opened(tmp_path / "db")
    assert docs.tags() == {}
    db.close()
    assert_whole(tmp_path / "db")


def test_what_vacuum_says_is_so(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    for number in range(6):
        commit(docs, *(f"d{number}-{row}" for row in range(50)))
    docs.delete_batch([f"d0-{row}" for row in range(50)])
    docs.compact(full=True)

    def files() -> dict[str, int]:
        return {str(file): file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()}

    before = files()
    count = len(docs.versions())
    collected = docs.vacuum(2)
    gone = before.keys() - files().keys()
    assert collected.files == len(gone) > 10
    assert collected.bytes == sum(before[file] for file in gone)
    assert collected.versions == count + 1 - 2
    assert docs.vacuum() == vego.table.garbage.Collected()
    db.close()


# -- manifests -------------------------------------------------------------------------------------


def test_manifests_without_tags_are_of_the_first_format(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    docs.tag("t")
    docs.untag("t")
    newest = docs.stats()["version"]
    db.close()
    formats = {}
    for version in range(1, newest + 1):
        data = manifest_of(tmp_path / "db", version).read_bytes()
        formats[version] = int.from_bytes(data[4:8], "little")
        assert (b'"tags"' in data) == (formats[version] == 2)
        assert Manifest.from_bytes(data, "p").to_bytes() == data
    assert formats == {1: 1, 2: 1, 3: 2, 4: 1}


def test_the_bytes_of_manifests() -> None:
    """As the first format was written before there were tags, and with one."""
    manifest = Manifest(
        version=3, collection_id="a" * 32, commit_id="b" * 32, created_us=5, dimension=2, metric="l2"
    )
    body = (
        b'{"collection_id":"'
        + b"a" * 32
        + b'","commit_id":"'
        + b"b" * 32
        + b'","created_us":5,"dimension":2,'
        b'"first_wal":1,"flushed_lsn":0,"index":null,"metric":"l2","options":{},"parent":null,"segments":[],'
        b'"summary":"","version":3,"writer":""}'
    )
    assert manifest.to_bytes() == sealed(body, 1)
    tagged = replace(manifest, tags={"new": 3, "a": 1})
    body = body.replace(b'"version"', b'"tags":{"a":1,"new":3},"version"')
    assert tagged.to_bytes() == sealed(body, 2)
    assert Manifest.from_bytes(sealed(body, 2), "p") == tagged
    for wrong in (
        b'{"a":4}',
        b'{"a":0}',
        b'{"a":true}',
        b'{"":1}',
        b'{"a/b":1}',
        b"[]",
        b"null",
        b'{"a":"1"}',
    ):
        with pytest.raises(vego.CorruptionError):
            Manifest.from_bytes(sealed(body.replace(b'{"a":1,"new":3}', wrong), 2), "p")
    with pytest.raises(vego.CorruptionError, match="canonical"):
        Manifest.from_bytes(sealed(body.replace(b'"tags":{"a":1,"new":3},', b'"tags":{},'), 1), "p")
    with pytest.raises(vego.CorruptionError, match="canonical"):
        Manifest.from_bytes(sealed(body, 1), "p")


def sealed(body: bytes, version: int) -> bytes:
    header = Builder().raw(b"VMAN").u32(version).u32(0).u64(len(body)).u32(crc32c(body)).finish()
    return header + Builder().u32(crc32c(header)).finish() + body


def test_a_damaged_old_manifest_is_in_the_way_of_nothing_else(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    known = {commit(docs, name): name for name in "abcd"}
    old = min(known)
    docs.tag("damaged", old)
    path = manifest_of(tmp_path / "db", old)
    data = bytearray(path.read_bytes())
    data[HEADER_SIZE + 3] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        assert len(docs) == 4
        for verb in ("at", "restore"):
            with pytest.raises(vego.CorruptionError, match="manifests/0000"):
                getattr(docs, verb)(old)
        with pytest.raises(vego.CorruptionError, match="manifests/0000"):
            docs.tag("t", old)
        with pytest.raises(vego.CorruptionError, match="manifests/0000"):
            docs.versions()
        assert len(docs.at(old + 1)) == 2
        db.close()
        db, docs = opened(tmp_path / "db")
    docs.insert(id="e", vector=[0, 0])
    docs.restore(old + 1)
    assert set(contents(docs)) == {"a", "b"}
    docs.untag("damaged")  # nobody wants it any more, so it does not keep others from being collected
    docs.vacuum(2)
    assert len(docs.versions()) == 2
    db.close()
    assert_whole(tmp_path / "db")


def test_impossible_times_do_not_stop_the_listing(tmp_path: Path) -> None:
    """A manifest may say anything that fits its field."""
    late = Manifest(
        version=1, collection_id="a" * 32, commit_id="b" * 32, created_us=2**62, dimension=2, metric="l2"
    )
    assert time_of(late).year == 9999
