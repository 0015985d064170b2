"""Two to eight processes commit to one collection at once: nothing is lost, nothing is there twice.

A unit is `race:WRITERS:TURN`, where all of them try to commit each version, or `shared:WRITERS:TURN`, where they call
the verbs of a shared database, one of them perhaps killed on the way (`shared:WRITERS:TURN:kill`). Demanded of a race:
each version has one winner, who is told so. Of a shared database, for each writer by what it was told:

* documents of its own are there unless it deleted them, and are its last;
* of an id that all insert, one was accepted, from the writer that was told so;
* a key that only it updates in a common document has its last value (no lost update);
* ids occur once, and deep verification finds nothing.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import vego
from fuzz.torture.harness import Bad, Outcome
from tests.support.writing_process import Child, warm
from vego.errors import CommitConflictError
from vego.store import LocalStore
from vego.table.commit import SetOptions, commit, create_collection
from vego.table.manifest import load_version, newest_version

_MOST_WRITERS = 8
_ROUNDS = 25  # of a race
_CALLS = 48  # of all writers of a shared database together, roughly
_SECONDS = 240.0


class Commits:
    """Counts commits that landed while others were trying."""

    name = "commits"
    counts = "contested commits"
    size = 2_000

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds  # that a writer may take

    def missing(self) -> str | None:
        return None

    def units(self, seed: int, size: int) -> Iterator[str]:  # noqa: ARG002 - how many there are follows from a run
        for turn in itertools.count():
            writers = 2 + turn % (_MOST_WRITERS - 1)
            yield f"shared:{writers}:{turn}"
            yield f"race:{writers}:{turn}"
            yield f"shared:{writers}:{turn}:kill"

    def run(self, seed: int, unit: str) -> Outcome:
        cache(warm)()
        kind, writers, _, *kill = unit.split(":")
        place = Path(tempfile.mkdtemp(prefix="vego-commits-"))
        rng = random.Random(f"commits {seed} {unit}")
        try:
            if kind == "race":
                done, words = _race(place, int(writers), self._seconds)
            else:
                done, words = _shared(place / "db", int(writers), rng, kill=bool(kill), seconds=self._seconds)
        finally:
            shutil.rmtree(place)
        return Outcome(done, (Bad(unit, words),) if words else ())


# -- races for versions ----------------------------------------------------------------------------


def _race(place: Path, writers: int, seconds: float) -> tuple[int, str]:
    store = LocalStore(place)
    create_collection(store, "c", dimension=2, metric="l2", options={})
    # A large process takes longer to fork than a racer to win all rounds: none begins before all are there.
    line = multiprocessing.get_context("fork").Barrier(writers, timeout=seconds)
    children = [Child(partial(_racer, place, number, line)) for number in range(writers)]
    for child in children:
        child.wait(seconds)
    winners: dict[int, list[int]] = {}
    for number, child in enumerate(children):
        if child.lines[-1:] != ["end"]:
            return 0, f"writer {number} of {writers} failed: {child.lines[-1:]}"
        for line in child.lines[:-1]:
            winners.setdefault(int(line), []).append(number)
    for version in range(2, _ROUNDS + 2):
        told = winners.get(version, [])
        if len(told) != 1:
            return 0, f"writers {told} were told that version {version} is theirs"
        manifest = load_version(store, "c", version)
        if manifest.options != {"winner": told[0]}:
            return 0, f"version {version} was written by {manifest.options}, not by {told[0]}"
        if manifest.parent.crc != load_version(store, "c", version - 1).checksum:
            return 0, f"version {version} does not follow the one before"
    if newest_version(store, "c") != _ROUNDS + 1:
        return 0, f"the newest version is {newest_version(store, 'c')}"
    return _ROUNDS, ""


def _racer(place: Path, number: int, line: Barrier, say: Callable[[str], None]) -> None:
    """Try to commit each version on the one before; say which ones were ours."""
    store = LocalStore(place)
    line.wait()
    for version in range(1, _ROUNDS + 1):
        while newest_version(store, "c") < version:
            pass
        try:
            commit(store, "c", load_version(store, "c", version), [SetOptions({"winner": number})])
        except CommitConflictError:
            continue
        say(str(version + 1))


# -- shared databases ------------------------------------------------------------------------------


@dataclass
class _Told:
    """What one writer was told: by what it said before and after each call."""

    own: dict[str, int | None] = field(default_factory=dict)  # None: deleted
    once: set[str] = field(default_factory=set)
    common: int = -1  # last value of its key in the common document
    pending: tuple[str, str, int] | None = None
    acknowledged: int = 0


def _shared(path: Path, writers: int, rng: random.Random, *, kill: bool, seconds: float) -> tuple[int, str]:
    turns = max(2, _CALLS // (5 * writers))
    with vego.open(path, dimension=2, metric="l2", index="flat", retain_versions=2) as db:
        db.collection("c").insert(id="common", vector=[0, 0], metadata={"start": 0})
    children = [Child(partial(_writer, path, n, turns, rng.randrange(1 << 30))) for n in range(writers)]
    dead = rng.randrange(writers) if kill else -1
    if kill:
        children[dead].hear_until("done", 60.0)
        children[dead].hear_for(rng.uniform(0, 0.4))
        children[dead].kill()
    told = []
    for number, child in enumerate(children):
        died_of = 0 if number == dead else child.wait(seconds)
        if number != dead and (died_of or child.lines[-1:] != ["end"]):
            for other in children[number + 1 :]:
                if other is not children[dead]:
                    other.wait(1.0)
            return 0, f"writer {number} of {writers} failed: {child.lines[-1:]} (signal {died_of})"
        told.append(_told(child.lines))
    done = sum(one.acknowledged for one in told)
    return done, _wrong(path, told, dead)


def _writer(path: Path, number: int, turns: int, seed: int, say: Callable[[str], None]) -> None:
    rng = random.Random(seed)

    def call(verb: str, name: str, turn: int, work: Callable[[], Any]) -> None:
        say(f"try {verb} {name} {turn}")
        try:
            work()
        except vego.DuplicateIdError:
            if verb != "once":
                raise
            say("refused")
        else:
            say("done")

    with vego.open(path, shared=True) as db:
        docs = db.collection("c")
        for turn in range(turns):
            own, vector, by = f"{number}-{turn % 4}", [number, turn], {"by": number, "turn": turn}
            call("own", own, turn, partial(docs.upsert, id=own, vector=vector, metadata=by))
            once = f"once-{turn}"
            call("once", once, turn, partial(docs.insert, id=once, vector=vector, metadata=by))
            call("common", "common", turn, partial(docs.update, "common", metadata={f"w{number}": turn}))
            if rng.random() < 0.4:
                gone = f"{number}-{rng.randrange(4)}"
                call("gone", gone, turn, partial(docs.delete, gone))
            if rng.random() < 0.15:
                docs.compact(full=True)


def _told(lines: list[str]) -> _Told:
    told = _Told()
    for line in lines:
        word, *rest = line.split()
        if word == "try":
            told.pending = (rest[0], rest[1], int(rest[2]))
        elif word in ("done", "refused") and told.pending is not None:
            verb, name, turn = told.pending
            told.pending = None
            if word == "done":
                told.acknowledged += 1
                _take_in(told, verb, name, turn)
    return told


def _take_in(told: _Told, verb: str, name: str, turn: int) -> None:
    match verb:
        case "own":
            told.own[name] = turn
        case "gone":
            told.own[name] = None
        case "once":
            told.once.add(name)
        case "common":
            told.common = turn


def _wrong(path: Path, told: list[_Told], dead: int) -> str:
    report = vego.verify(path, deep=True)
    if not report.ok:
        return f"verification: {report}"
    with vego.open(path, read_only=True) as db:
        docs = db.collection("c")
        ids = docs.to_table(["id"])["id"].to_pylist()
        if twice := [name for name, count in Counter(ids).items() if count > 1]:
            return f"ids that occur twice: {twice}"
        found = {name: document.metadata for name in ids if (document := docs.get(name)) is not None}
    if len(found) != len(ids):
        return f"{len(ids)} ids, {len(found)} documents"
    common = found.get("common", {})
    for number, one in enumerate(told):
        pending = one.pending if number == dead else None
        if wrong := _wrong_own(found, number, one, pending):
            return wrong
        possible = {one.common, pending[2] if pending is not None and pending[0] == "common" else one.common}
        if common.get(f"w{number}", -1) not in possible:
            return f"an update was lost: writer {number} had set its key to {one.common}, found {common}"
    return _wrong_once(found, told, dead)


def _wrong_own(
    found: dict[str, dict[str, Any]], number: int, one: _Told, pending: tuple[str, str, int] | None
) -> str:
    names = {*one.own, *(name for name in found if name.startswith(f"{number}-"))}
    for name in names:
        there = found.get(name)
        turn = None if there is None else there["turn"]
        possible = {one.own.get(name)}
        if pending is not None and pending[1] == name:
            possible.add(pending[2] if pending[0] == "own" else None)
        if turn not in possible or (there is not None and there["by"] != number):
            return f"{name}: found {there}, writer {number} was told {one.own.get(name)} (pending: {pending})"
    return ""


def _wrong_once(found: dict[str, dict[str, Any]], told: list[_Told], dead: int) -> str:
    accepted = Counter(name for one in told for name in one.once)
    if twice := [name for name, count in accepted.items() if count > 1]:
        return f"inserted twice: {twice}"
    for number, one in enumerate(told):
        for name in one.once:
            if found.get(name, {}).get("by") != number:
                return f"{name}: writer {number} was told that it is its own, found {found.get(name)}"
    for name, metadata in found.items():
        if name.startswith("once-") and name not in told[metadata["by"]].once:
            last = told[metadata["by"]].pending
            if metadata["by"] != dead or last is None or last[1] != name:
                return f"{name} of writer {metadata['by']} is there, who was told that it is not"
    return ""
