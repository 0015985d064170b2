"""Versions of a collection: how they are named and what they hold."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vego
from tests.support.model import same_value
from tests.support.versioned import (  # noqa: F401
    START,
    Clock,
    Contents,
    assert_whole,
    clock_fixture,
    commit,
    contents,
    docs_fixture,
    no_merges_of_their_own,
    opened,
)

# -- against a model -------------------------------------------------------------------------------


VERBS = ["put", "put", "delete", "flush", "tag", "tag old", "untag", "restore", "compact", "vacuum", "open"]


class Lived:
    """A collection that random verbs are done to: contents of every version, tags, and what retention lets go."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path, self.random = path, rng
        self.retained = rng.choice([2, 3, 1000])
        self.db, self.docs = opened(path, retain_versions=self.retained, flush_bytes=100_000)
        self.docs.insert(id="first", vector=[0, 0])
        self.now: Contents = {"first": {}}
        self.history: dict[int, Contents] = {1: {}}
        self.tags: dict[str, int] = {}

    def step(self, number: int) -> None:
        rng, docs = self.random, self.docs
        match rng.choice(VERBS):
            case "put":
                names = rng.sample("abcdefgh", 3)
                docs.upsert_batch(ids=names, vectors=np.zeros((3, 2)), metadata={"step": [number] * 3})
                self.now |= {name: {"step": number} for name in names}
            case "delete" if self.now:
                name = rng.choice(sorted(self.now))
                docs.delete(name)
                del self.now[name]
            case "flush":
                docs.flush()
                self._committed()
            case "tag" | "tag old" | "untag" as verb:
                self._tag(verb)
            case "restore":
                old = rng.choice(docs.versions())
                before = dict(self.now)
                version = docs.restore(old.version)
                self.now = dict(self.history[old.version])
                assert version == docs.stats()["version"]
                self.history[version - 1] = before
                self._committed()
            case "compact":
                before_compaction = docs.stats()["version"]
                docs.compact(full=rng.random() < 0.5)
                for version in range(before_compaction + 1, docs.stats()["version"] + 1):
                    self.history[version] = dict(self.now)
            case "vacuum":
                kept = rng.choice([2, 3, None])
                docs.vacuum(kept)
                if kept is not None:
                    self._committed()
                    assert len(docs.versions()) <= kept + len(set(self.tags.values()))
            case "open":
                self.db.close()
                self.db, self.docs = opened(self.path)

    def _tag(self, verb: str) -> None:
        rng, docs = self.random, self.docs
        if verb == "tag":
            name = rng.choice(["x", "y"])
            self.tags[name] = docs.tag(name)
            self.history[self.tags[name]] = dict(self.now)
        elif verb == "tag old":
            old = rng.choice(docs.versions()).version
            assert docs.tag("old", old) == old
            self.tags["old"] = old
        elif self.tags:
            name = rng.choice(sorted(self.tags))
            docs.untag(name)
            del self.tags[name]
        else:
            return
        self._committed()

    def _committed(self) -> None:
        self.history[self.docs.stats()["version"]] = dict(self.now)

    def check(self) -> None:
        docs = self.docs
        assert contents(docs) == self.now
        assert docs.tags() == self.tags
        known = docs.versions()
        numbers = [one.version for one in known]
        assert numbers == sorted(numbers)
        assert {*self.tags.values(), docs.stats()["version"]} <= set(numbers)
        assert [one.time for one in known] == sorted({one.time for one in known})
        if self.retained == 1000 and len(numbers) > 3:
            assert len(known) > 1
        one = self.random.choice(known)
        assert one.tags == tuple(sorted(tag for tag, number in self.tags.items() if number == one.version))
        if one.version in self.history:
            then = docs.at(one.version)
            assert contents(then) == self.history[one.version], one
            assert len(then) == one.documents
            assert contents(docs.at(timestamp=one.time)) == self.history[one.version]
            later = one.time + timedelta(microseconds=500)
            if one.version + 1 in numbers or one.version == numbers[-1]:
                assert contents(docs.at(timestamp=later)) == self.history[one.version]
            else:
                with pytest.raises(vego.NotFoundError, match="that are not kept; every moment from "):
                    docs.at(timestamp=later)


@pytest.mark.parametrize("seed", range(4))
def test_any_verbs(tmp_path: Path, clock: Clock, seed: int) -> None:
    lived = Lived(tmp_path / "db", random.Random(seed))
    for step in range(40):
        lived.step(step)
        lived.check()
    lived.db.close()
    assert_whole(tmp_path / "db")


# -- naming one ------------------------------------------------------------------------------------


def test_what_a_version_says(docs: vego.Collection, clock: Clock) -> None:
    first = commit(docs, "a", "b")
    docs.delete("a")
    docs.tag("t")
    docs.tag("another", first)
    found = {one.version: one for one in docs.versions()}
    assert (found[1].documents, found[1].summary, found[1].tags) == (0, "create collection", ())
    assert (found[first].documents, found[first].summary, found[first].tags) == (2, "flush", ("another",))
    assert found[first + 1].tags == ("t",)
    assert found[first + 1].documents == 1
    assert found[first + 2].summary == "tag t"
    assert all(one.time.tzinfo is UTC for one in found.values())
    assert docs.tags() == {"t": first + 1, "another": first}


def test_single_writes_are_in_no_version_before_the_next_commit(docs: vego.Collection) -> None:
    first = commit(docs, "a")
    docs.insert(id="b", vector=[0, 0])
    docs.delete("a")
    assert contents(docs.at(first)) == {"a": {}}
    assert docs.at(tag=None, version=docs.stats()["version"]).get("b") is None
    assert contents(docs.at(docs.tag("now"))) == {"b": {}}


def test_times_in_any_zone_and_spelling(docs: vego.Collection, clock: Clock) -> None:
    clock.us = START
    commit(docs, "a")
    clock.us = START + 3600 * 1_000_000
    commit(docs, "b")
    between = datetime.fromtimestamp(START / 1e6 + 1800, UTC)
    for moment in (
        between,
        between.replace(tzinfo=None),
        between.astimezone(timezone(timedelta(hours=5, minutes=30))),
        between.isoformat(),
        between.replace(tzinfo=None).isoformat(),
        between.strftime("%Y-%m-%dT%H:%M:%SZ"),
        between.strftime("%Y-%m-%d %H:%M"),
        between.astimezone(timezone(timedelta(hours=-8))).isoformat(),
    ):
        assert contents(docs.at(timestamp=moment)) == {"a": {}}, moment
    assert contents(docs.at(timestamp=(between + timedelta(days=2)).date().isoformat())) == {"a": {}, "b": {}}
    assert contents(docs.at(timestamp=datetime.max)) == {"a": {}, "b": {}}
    with pytest.raises(
        vego.NotFoundError, match="no version as old as 0001-01-01T.*every moment from 2025-10"
    ):
        docs.at(timestamp=datetime.min)
    # A wall clock elsewhere that shows what the one in UTC shows is another time.
    east = between.replace(tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(vego.NotFoundError, match=r"no version as old as .*\+02:00"):
        docs.at(timestamp=east)


def test_the_exact_moment_of_a_version_is_its_own(docs: vego.Collection) -> None:
    for name in "abc":
        commit(docs, name)
    for one in docs.versions():
        assert len(docs.at(timestamp=one.time)) == one.version - 1
        assert docs.at(timestamp=one.time).name == f"c@{one.time}"
        if one.version > 1:  # the document had been inserted by then
            assert len(docs.at(timestamp=one.time - timedelta(microseconds=1))) == one.version - 1
            assert len(docs.at(version=one.version - 1)) == one.version - 2


def test_a_clock_that_goes_backwards(docs: vego.Collection, clock: Clock) -> None:
    known = []
    for turn, name in enumerate("abcdef"):
        clock.us = START - turn * 86_400_000_000
        known.append((commit(docs, name), set("abcdef"[: turn + 1])))
    times = [one.time for one in docs.versions()]
    assert all(a < b for a, b in pairwise(times))
    for one in docs.versions():
        expected = dict(known).get(one.version)
        if expected is not None:
            assert contents(docs.at(timestamp=one.time)).keys() == expected


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({}, vego.InvalidArgumentError, "name one version: by version=, timestamp= or tag="),
        ({"version": 1, "tag": "t"}, vego.InvalidArgumentError, "name one version"),
        ({"version": 1, "timestamp": datetime.max}, vego.InvalidArgumentError, "name one version"),
        (
            {"version": 1, "timestamp": "2025-01-01", "tag": "t"},
            vego.InvalidArgumentError,
            "name one version",
        ),
        ({"version": 99}, vego.NotFoundError, "no version 99; there are 1, 2, 3. .*retain_versions"),
        ({"version": 0}, vego.NotFoundError, "no version 0"),
        ({"version": -1}, vego.NotFoundError, "no version -1"),
        ({"version": "2"}, vego.InvalidArgumentError, "an integer expected, found '2'"),
        ({"version": True}, vego.InvalidArgumentError, "an integer expected, found True"),
        ({"version": 2.0}, vego.InvalidArgumentError, "an integer expected, found 2.0"),
        ({"tag": "u"}, vego.NotFoundError, "no tag 'u'; there are: 't'"),
        ({"tag": ""}, vego.NotFoundError, "no tag ''"),
        ({"tag": 2}, vego.NotFoundError, "no tag 2"),
        ({"tag": ["t"]}, vego.NotFoundError, r"no tag \['t'\]"),
        ({"timestamp": "1999-12-31"}, vego.NotFoundError, "no version as old as 1999-12-31T00:00:00"),
        ({"timestamp": "yesterday"}, vego.InvalidArgumentError, "'yesterday': .*write 2026-11-21T15:30:00"),
        ({"timestamp": 1_700_000_000}, vego.InvalidArgumentError, "a datetime or ISO 8601 text expected"),
        ({"timestamp": date(2026, 1, 1)}, vego.InvalidArgumentError, "a datetime or ISO 8601 text expected"),
    ],
)
def test_what_cannot_be_named(docs: vego.Collection, how: dict[str, Any], error: type, words: str) -> None:
    commit(docs, "a")
    docs.tag("t")
    before = docs.versions()
    for verb in (docs.at, docs.restore):
        with pytest.raises(error, match=words):
            verb(**how)
    assert docs.versions() == before
    docs.insert(id="b", vector=[0, 0])


def test_bad_tags(docs: vego.Collection) -> None:
    commit(docs, "a")
    before = docs.versions()
    for name in ("", "a/b", "../x", "ü", " a", "a" * 65, "-a", None, 5, "a\n"):
        with pytest.raises(vego.InvalidArgumentError, match="a tag has 1 to 64 characters"):
            docs.tag(name)  # type: ignore[arg-type]
    for version, error in (
        (0, vego.NotFoundError),
        (99, vego.NotFoundError),
        ("1", vego.InvalidArgumentError),
    ):
        with pytest.raises(error):
            docs.tag("t", version)  # type: ignore[arg-type]
    with pytest.raises(vego.NotFoundError, match="no tag 't'; there are: none"):
        docs.untag("t")
    assert docs.versions() == before
    for name in ("1", "a" * 64, "A.b-c_d", "con"):
        docs.tag(name)
    assert sorted(docs.tags()) == sorted(["1", "a" * 64, "A.b-c_d", "con"])


def test_many_versions_are_not_all_listed(docs: vego.Collection) -> None:
    db, many = opened(Path(docs._rows.rows._store.name).parent / "many", retain_versions=100)  # type: ignore[union-attr]
    for number in range(25):
        commit(many, f"d{number}")
    with pytest.raises(vego.NotFoundError, match="there are 26 from 1 to 26"):
        many.at(1000)
    db.close()


def test_an_empty_collection_has_no_versions(tmp_path: Path) -> None:
    with vego.open(tmp_path / "db") as db:
        docs = db.collection("c")
        verbs = [docs.versions, docs.tags, lambda: docs.at(1), lambda: docs.restore(1), lambda: docs.tag("t")]
        for verb in (*verbs, lambda: docs.untag("t")):
            with pytest.raises(vego.NotFoundError, match="'c' is empty and has no version yet"):
                verb()
        assert docs.vacuum(2) == vego.table.garbage.Collected()
        with pytest.raises(vego.UnknownOptionError):
            docs.vacuum(1)


def test_a_read_only_database_can_look_back(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    first = commit(docs, "a")
    docs.tag("t")
    commit(docs, "b")
    docs.insert(id="in the log", vector=[0, 0])
    with vego.open(tmp_path / "db", read_only=True) as reading:
        found = reading.collection("c")
        assert len(found) == 3
        assert found.versions() == docs.versions()
        assert found.tags() == {"t": first}
        assert contents(found.at(tag="t")) == {"a": {}}
        for verb in (
            lambda: found.tag("u"),
            lambda: found.untag("t"),
            lambda: found.restore(first),
            found.compact,
            found.vacuum,
            lambda: found.vacuum(2),
            found.optimize,
        ):
            with pytest.raises(vego.ReadOnlyError):
                verb()
        old = found.at(first)
        commit(docs, "c")
        docs.vacuum(2)
        assert contents(old) == {"a": {}}
        assert contents(found.at(tag="t")) == {"a": {}}
        assert [one.version for one in found.versions()] == [one.version for one in docs.versions()]
    db.close()


# -- looking at an earlier version -----------------------------------------------------------------


def test_a_view_does_not_change_and_cannot_be_changed(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    first = commit(docs, "a", "b", n=1)
    view = docs.at(first)
    hits = view.search([0, 0], k=5)
    docs.delete("a")
    docs.upsert(id="b", vector=[9, 9], metadata={"n": 2})
    commit(docs, "c")
    docs.compact(full=True)
    docs.vacuum(2)
    assert first not in [one.version for one in docs.versions()]
    assert contents(view) == {"a": {"n": 1}, "b": {"n": 1}}
    assert (view.name, len(view), "c" in view, "a" in view) == (f"c@{first}", 2, False, True)
    assert view.search([0, 0], k=5, filter="n = 1").ids == hits.ids
    assert same_value(hits[0].metadata, {"n": 1})
    assert view.to_table(["id", "n"]).to_pydict() == {"id": ["a", "b"], "n": [1, 1]}
    assert view.stats()["version"] == first
    for verb in (
        lambda: view.insert(id="x", vector=[0, 0]),
        lambda: view.delete("a"),
        lambda: view.update("a", metadata={}),
        view.flush,
        view.build_index,
        view.compact,
        lambda: view.tag("t"),
        lambda: view.restore(1),
        lambda: view.vacuum(2),
    ):
        with pytest.raises(vego.ReadOnlyError):
            verb()
    again = view.at(docs.stats()["version"])
    assert contents(again) == contents(docs)
    with pytest.raises(vego.NotFoundError, match=f"no version {first}"):
        docs.at(first)
    db.close()
    for closed in (view, again):
        for verb in (lambda one=closed: one.get("a"), lambda one=closed: one.search([0, 0]), closed.versions):
            with pytest.raises(vego.ClosedError):
                verb()


def test_a_closed_database_has_no_versions(tmp_path: Path) -> None:
    db, docs = opened(tmp_path / "db")
    commit(docs, "a")
    db.close()
    for verb in (
        docs.versions,
        docs.tags,
        lambda: docs.at(1),
        lambda: docs.tag("t"),
        lambda: docs.untag("t"),
        lambda: docs.restore(1),
        docs.vacuum,
        docs.compact,
    ):
        with pytest.raises(vego.ClosedError):
            verb()


def test_views_of_views_close_with_the_collection(tmp_path: Path, clock: Clock) -> None:
    db, docs = opened(tmp_path / "db")
    for name in "abc":
        commit(docs, name)
    inner = docs.at(3).at(2)
    assert len(inner) == 1
    with pytest.raises(vego.ReadOnlyError, match=r"'c@3@2' is a collection as of an earlier moment"):
        inner.insert(id="x", vector=[1, 1])
    db.close()
    with pytest.raises(vego.ClosedError):
        inner.get("a")
