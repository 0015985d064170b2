"""Every state that a power cut may leave opens by itself, with all that was acknowledged and nothing else.

The states come from a simulated system (`tests.support.simulated_system`) and a model of what a disk may do
(`tests.support.crash_states`); `python -m fuzz.torture states` looks at more of them. That the search finds bugs is
shown with planted ones, that the simulated system is like a real one by doing the same on both.
"""

from __future__ import annotations

import errno
import os
import random
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.crash_explorer import Explorer, recover
from tests.support.crash_session import NOTHING
from tests.support.crash_states import Crash, Disk, contents_of, moments_of_interest, spelled
from tests.support.crash_workloads import WORKLOADS
from tests.support.planted_bugs import PLANTED, PlantedBug
from tests.support.simulated_system import (
    Enter,
    FailedSync,
    Operation,
    ProcessKilled,
    SimulatedSystem,
    Sync,
    Tree,
    Write,
)

STATES = {  # at each moment; where one state takes longer, fewer; `make torture` looks at all of them
    "create": 16,
    "log": 16,
    "flush": 4,
    "segments": 3,
    "index": 3,
    "disk index": 2,
    "drop": 5,
    "restarts": 3,
    "compact": 2,
    "tag": 2,
    "restore": 4,
    "vacuum": 4,
    "branch": 3,
    "past": 1,
    "partitions": 3,
    "partitions moved": 2,
    "repair manifest": 6,
    "repair index": 8,
    "anything": 6,
}
MANY_MOMENTS = (
    "compact",
    "vacuum",
    "branch",
    "past",
    "partitions",
    "partitions moved",
)  # of their recoveries


@pytest.mark.crash
@pytest.mark.parametrize("name", WORKLOADS)
def test_power_cuts(name: str) -> None:
    again = 1 if name in MANY_MOMENTS else 2
    often = 32 if WORKLOADS[name].damage else 12
    explorer = Explorer(seed=1, limit=STATES[name], again_one_in=often, again_limit=again)
    explorer.perform(WORKLOADS[name], 1)
    print(f"{name}: {len(explorer.seen)} states, {explorer.again} of them of a cut recovery")
    assert not explorer.bad, str(explorer.bad[0])
    assert len(explorer.seen) > 20
    assert explorer.again > 0 or WORKLOADS[name].damage


# Where a killed process leaves something in the cache that the next one takes for durable: what it did last.
SERVED_FROM_THE_CACHE = {
    "seal": ("flush", r"write of 48 bytes at \d+ of .*\.wal"),
    "first manifest": ("create", r"name .*/manifests/\d+\.manifest"),
    "manifest with rows": ("segments", r"name .*/manifests/\d+\.manifest"),
    "marker": ("create", r"name .*/VEGO"),
    "directory of the database": ("create", r"directory /disk/db"),
    "drop": ("drop", r"move of .*/collections/a to .*"),
    "repair": ("repair manifest", r"removal of .*/manifests/\d+\.manifest"),
}


def killed_after(name: str, last: str) -> list[int]:
    """Numbers of the operations before which a process dies that did last what the pattern `last` says."""
    run = WORKLOADS[name].run(1)
    words = spelled(run.start, run.log)
    return [place + 1 for place, word in enumerate(words) if re.fullmatch(last, word)]


@pytest.mark.crash
@pytest.mark.parametrize("what", SERVED_FROM_THE_CACHE)
def test_what_a_killed_process_left_is_made_durable_before_it_is_served(what: str) -> None:
    name, last = SERVED_FROM_THE_CACHE[what]
    explorer = Explorer(seed=1, limit=4, again_one_in=1000)
    places = killed_after(name, last)
    for place in places:
        explorer.perform(WORKLOADS[name], 1, place)
    if not (places and explorer.seen):
        pytest.fail("nothing was looked at")
    assert not explorer.bad, str(explorer.bad[0])


@pytest.mark.crash
@pytest.mark.parametrize("name", ["log", "flush", "index", "restarts"])
def test_a_process_dies_and_then_the_power_goes(name: str) -> None:
    explorer = Explorer(seed=1, limit=3, again_one_in=1000)
    places = range(len(WORKLOADS[name].run(1).log))
    for place in random.Random(name).sample(places, 4):
        explorer.perform(WORKLOADS[name], 1, place)
    assert not explorer.bad, str(explorer.bad[0])
    assert len(explorer.seen) > 20


def failing_syncs(name: str, *, of_seals: bool) -> list[int]:
    """Numbers of the operations that sync a file; of the seal of a log segment, or of anything else."""
    log = WORKLOADS[name].run(1).log
    seals = killed_after(name, SERVED_FROM_THE_CACHE["seal"][1])
    written = {operation.inode for operation in log if isinstance(operation, Write)}
    syncs = [place for place, sync in enumerate(log) if isinstance(sync, Sync) and sync.inode in written]
    return [place for place in syncs if (place in seals) == of_seals]


@pytest.mark.crash
@pytest.mark.parametrize("name", ["create", "log", "flush", "drop", "repair manifest"])
def test_a_sync_fails_and_then_the_power_goes(name: str) -> None:
    limit = 1 if name in ("flush", "repair manifest") else 2  # they have most syncs
    explorer = Explorer(seed=1, limit=limit, again_one_in=1000, again_limit=2)
    for place in failing_syncs(name, of_seals=False):
        explorer.perform(WORKLOADS[name], 1, None, place)
    assert not explorer.bad, str(explorer.bad[0])
    assert len(explorer.seen) > 20


@pytest.mark.crash
def test_the_sync_of_a_seal_fails_and_then_the_power_goes() -> None:
    explorer = Explorer(seed=1, limit=4, again_one_in=1000)
    for place in failing_syncs("flush", of_seals=True):
        explorer.perform(WORKLOADS["flush"], 1, None, place)
    assert not explorer.bad, str(explorer.bad[0])


def test_what_the_lock_file_holds_does_not_matter() -> None:
    explorer = Explorer(seed=1, limit=30, again_one_in=1000, settled=(), most=60)
    explorer.perform(WORKLOADS["log"], 1)
    assert not explorer.bad, str(explorer.bad[0])
    assert len(explorer.seen) == 60


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: PlantedBug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.patch(monkeypatch)
    for limit in (3, 20):  # most show among few states, and early moments come first
        explorer = Explorer(seed=1, limit=limit, again_one_in=1000)
        operations = explorer.perform(WORKLOADS[bug.workload], 1, bug.kill_at, bug.fail_at)
        assert operations > 0, f"found without a power cut: {explorer.bad[0]}"
        if explorer.bad:
            return
    pytest.fail("not found")


def test_without_their_bug_the_workloads_with_a_kill_or_a_failure_are_sound() -> None:
    explorer = Explorer(seed=1, limit=20, again_one_in=1000)
    for bug in PLANTED:
        if bug.kill_at is not None or bug.fail_at is not None:
            explorer.perform(WORKLOADS[bug.workload], 1, bug.kill_at, bug.fail_at)
    assert explorer.seen
    assert not explorer.bad, str(explorer.bad[0])


def test_a_bad_state_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTED[0].patch(monkeypatch)
    found = []
    for _ in range(2):
        explorer = Explorer(seed=5, limit=10, again_one_in=1000)
        explorer.perform(WORKLOADS[PLANTED[0].workload], 3)
        found.append(explorer.bad)
    assert found[0] == found[1]
    assert "seed 3" in str(found[0][0])


# -- the model of the disk -------------------------------------------------------------------------


def states(log: list[Operation], limit: int = 1000) -> set[tuple[tuple[str, bytes | None], ...]]:
    disk = Disk(Tree())
    for operation in log:
        disk.apply(operation)
    trees = [disk.after(crash) for crash in disk.crashes(limit, random.Random(0))]
    return {tuple((path, tree.contents.get(inode)) for path, inode in tree.walk()) for tree in trees}


def test_states_of_one_file() -> None:
    made: list[Operation] = [Enter(1, "a", 2, is_directory=False), Write(2, 0, b"xyz")]
    torn = [b"", b"x", b"\0", b"xy", b"\0\0", b"xyz", b"\0\0\0"]
    assert states(made) == {(), *((("/a", data),) for data in torn)}
    assert states([*made, Sync(2)]) == {(), (("/a", b"xyz"),)}
    assert states([*made, Sync(1)]) == {(("/a", data),) for data in torn}
    assert states([*made, Sync(1), Sync(2)]) == {(("/a", b"xyz"),)}


def test_states_of_sectors() -> None:
    old, new = b"o" * 1024, b"n" * 1024
    assert {content.data for content in contents_of([old, new])} == {
        old, new, old[:512] + new[512:], new[:512] + old[512:]
    }  # fmt: skip
    many = [b"", bytes([7]) * 512 * 30]
    found = [content.data for content in contents_of(many)]
    assert found[:2] == many
    assert bytes(512 * 30) in found
    assert bytes(512) + bytes([7]) * 512 * 29 in found
    assert bytes([7]) * 512 * 11 in found
    assert len(found) < 200


def test_names_survive_in_any_subset_and_so_in_any_prefix() -> None:
    log: list[Operation] = [
        Enter(1, name, 2 + number, is_directory=False) for number, name in enumerate("abc")
    ]
    found = {"".join(path[1] for path, _ in state) for state in states(log)}
    assert found == {"", "a", "b", "c", "ab", "ac", "bc", "abc"}
    few = {"".join(path[1] for path, _ in state) for state in states(log, limit=5)}
    assert len(few) == 5
    assert few < found


def test_a_file_in_a_lost_directory_is_lost() -> None:
    log: list[Operation] = [
        Enter(1, "d", 2, is_directory=True),
        Enter(2, "f", 3, is_directory=False),
        Sync(2),
        Sync(3),
    ]
    assert states(log) == {(), (("/d", None), ("/d/f", b""))}


def test_after_a_failed_sync_none_makes_durable() -> None:
    log: list[Operation] = [Enter(1, "a", 2, is_directory=False), Sync(1), Write(2, 0, b"x")]
    assert states([*log, Sync(2)]) == {(("/a", b"x"),)}
    assert states([*log, FailedSync(2), Sync(2)]) == states(log) != states([*log, Sync(2)])


def test_names_are_durable_by_the_sync_after_one_that_failed() -> None:
    log: list[Operation] = [Enter(1, "a", 2, is_directory=False)]
    assert states([*log, FailedSync(1)]) == {(), (("/a", b""),)}
    assert states([*log, FailedSync(1), Sync(1)]) == {(("/a", b""),)}


def test_moments_of_interest() -> None:
    log: list[Operation] = [Write(2, 0, b"a"), Sync(2), Write(2, 1, b"b"), Write(2, 2, b"c"), Sync(2)]
    assert moments_of_interest(log, [0, 3]) == [0, 1, 2, 3, 4, 5]
    assert moments_of_interest(log, [0]) == [0, 1, 4, 5]


def test_a_skipped_moment_has_no_state_of_its_own() -> None:
    log = WORKLOADS["create"].run(1).log
    looked_at = set(moments_of_interest(log, [0]))
    disk, seen, skipped = Disk(Tree(), ("LOCK",)), set[Any](), []
    for moment, operation in enumerate(log):
        found = {tuple(tree.walk()) for tree in map(disk.after, disk.crashes(1 << 12, random.Random(0)))}
        seen |= found if moment in looked_at else set()
        skipped += [] if moment in looked_at else [(moment, found)]
        disk.apply(operation)
    assert skipped
    for moment, found in skipped:
        assert found <= seen, moment


def test_words_for_a_state() -> None:
    disk = Disk(Tree())
    disk.apply(Enter(1, "a", 2, is_directory=False))
    disk.apply(Write(2, 0, b"n" * 600))
    assert disk.describe(Crash((), ())) == "lost: name /a"
    whole = Crash((0,), ((2, 1),))
    assert disk.describe(whole) == "/a: whole"
    assert disk.after(whole).contents[2] == b"n" * 600


# -- the simulated system --------------------------------------------------------------------------


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def facts(found: Any) -> Any:
    """Of a directory, size and links are the file system's own business."""
    return "directory" if stat.S_ISDIR(found.st_mode) else (found.st_nlink, found.st_size)


def act(system: Any, root: str, rng: random.Random, opened: list[int]) -> Any:
    """One random call; the same for both systems where `rng` is in the same state."""
    one, other = (f"{root}/{rng.choice(['a', 'b', 'd', 'd/a', 'd/e', 'a/x'])}" for _ in range(2))
    what, number, data = rng.randrange(14), rng.randrange(20), rng.randbytes(rng.randrange(1, 9))
    flags = rng.choice([os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_RDWR | os.O_CREAT | os.O_EXCL])
    handle = opened[number % len(opened)] if opened else -1
    match what:
        case 0 | 1 | 2:
            result = outcome(lambda: opened.append(system.open(one, flags, 0o600)))
        case 3 if opened:
            result = outcome(lambda: system.close(opened.pop()))
        case 4 | 5:
            result = outcome(lambda: system.pwrite(handle, memoryview(data), number))
        case 6:
            result = outcome(lambda: system.pread(handle, 30, number))
        case 7:
            result = outcome(lambda: system.ftruncate(handle, number))
        case 8:
            result = outcome(lambda: system.mkdir(one))
        case 9:
            result = outcome(lambda: system.link(one, other))
        case 10:
            result = outcome(lambda: system.unlink(one))
        case 11:
            result = outcome(lambda: system.rename(one, other))
        case 12:
            result = outcome(lambda: sorted(system.listdir(one)))
        case _:
            result = outcome(lambda: facts(system.stat(one)))
    return what, result


@pytest.mark.skipif(os.name != "posix", reason="compares with a POSIX system")
@pytest.mark.parametrize("seed", range(30))
def test_the_simulated_system_does_what_the_real_one_does(tmp_path: Path, seed: int) -> None:
    system = SimulatedSystem()
    system.mkdir("/root")
    mine: list[int] = []
    real: list[int] = []
    same = [random.Random(seed), random.Random(seed)]
    try:
        for step in range(150):
            expected = act(os, str(tmp_path), same[0], real)
            found = act(system, "/root", same[1], mine)
            assert found == expected, step
    finally:
        for number in real:
            os.close(number)


def test_unknown_calls_do_not_reach_the_real_system() -> None:
    with pytest.raises(AttributeError, match="scandir"):
        SimulatedSystem().scandir("/")


def test_a_sync_that_fails() -> None:
    system = SimulatedSystem()
    number = system.open("/a", os.O_RDWR | os.O_CREAT)
    system.pwrite(number, memoryview(b"x"), 0)
    system.fail_at = 2
    with pytest.raises(OSError, match="Input/output error"):
        system.fdatasync(number)
    system.fdatasync(number)
    assert system.log[2:] == [FailedSync(2), Sync(2)]


def test_a_killed_process_does_nothing_more() -> None:
    system = SimulatedSystem()
    system.mkdir("/a")
    system.kill_at = 1
    for _ in range(2):
        with pytest.raises(ProcessKilled):
            system.mkdir("/b")
    system.restart_process()
    system.mkdir("/c")
    assert sorted(system.listdir("/")) == ["a", "c"]


def test_nothing_at_all_is_recovered_to_an_empty_database() -> None:
    recovery = recover(Tree(), 0)
    assert not recovery.error
    assert recovery.found == {NOTHING}
