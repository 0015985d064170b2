"""The harnesses of `make torture` at a size of seconds, and the proof that each finds the bugs it is meant to find.

Each test prints a seed; VEGO_SEED repeats it. The crash states have more tests (`tests/vego/test_crash_states.py`), and
so has the state machine (`tests/vego/test_collection_stateful.py`).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.torture import run
from fuzz.torture.campaign import replay_command, run_campaign
from fuzz.torture.commits import Commits
from fuzz.torture.crash_states import CrashStates
from fuzz.torture.faults import Faults
from fuzz.torture.flips import Flips, chosen_bits
from fuzz.torture.harness import Bad, Harness, Outcome
from fuzz.torture.harnesses import HARNESSES
from fuzz.torture.kills import Kills
from fuzz.torture.planted import FINDERS, Planted, sound
from fuzz.torture.power_cuts import PowerCuts
from fuzz.torture.steps import Steps
from tests.support.crash_workloads import WORKLOADS
from tests.support.flipped_database import subject
from tests.support.planted_bugs import PLANTED, PlantedBug
from tests.support.planted_elsewhere import ALL_PLANTED, ELSEWHERE


@pytest.fixture
def seed() -> int:
    found = int(os.environ.get("VEGO_SEED", random.SystemRandom().randrange(10_000)))
    print(f"VEGO_SEED={found}")
    return found


def assert_sound(harness: Harness, seed: int, *units: str) -> int:
    """How many were done."""
    done = 0
    for unit in units:
        outcome = harness.run(seed, unit)
        for bad in outcome.bad:
            pytest.fail(f"{bad.words}\nagain: {replay_command(harness, seed, bad)}")
        done += outcome.done
    return done


@pytest.mark.crash
def test_crash_states(seed: int) -> None:
    assert assert_sound(CrashStates(limit=2), seed, "log:0:0", "log:0:0:kill", "flush:0:0:fail") > 20


@pytest.mark.crash
def test_kills(seed: int) -> None:
    assert assert_sound(Kills(lives=8), seed, "0") == 8


@pytest.mark.crash
def test_power_cuts(seed: int) -> None:
    harness = PowerCuts(cuts=2)
    if missing := harness.missing():
        pytest.skip(missing)
    assert assert_sound(harness, seed, "0") == 2


@pytest.mark.crash
def test_every_kind_of_call_fails(seed: int) -> None:
    rng = random.Random(seed)
    names = rng.sample(sorted(WORKLOADS), 8)
    units = [f"work:{name}:{rng.randrange(150)}:{rng.choice(['EIO', 'ENOSPC'])}:once" for name in names]
    units += [f"work:{name}:{rng.randrange(150)}:EIO:always" for name in names]
    units += [f"recover:{name}:{rng.randrange(10)}:cut:{rng.randrange(40)}:EIO:once" for name in names[:4]]
    assert assert_sound(Faults(), seed, *units) > 5


def test_flips(seed: int) -> None:
    """One bit in every file, and some more."""
    files = sorted(subject().files)
    rng = random.Random(seed)
    everywhere = [
        f"{path}@{rng.randrange(8 * len(subject().tree.contents[subject().files[path]]))}" for path in files
    ]
    more = [f"{path}@{bit}" for path, bit in chosen_bits(seed)[:30]]
    assert assert_sound(Flips(), seed, *everywhere, *more) == len(files) + 30


def test_the_flipped_database_has_every_kind_of_file() -> None:
    kinds = {path.rpartition("/")[2].rpartition(".")[2] for path in subject().files}
    assert kinds == {"VEGO", "BACKUP", "lfmt", "del", "manifest", "wal"}
    folders = {path.split("/")[-2] for path in subject().files if path.endswith(".lfmt")}
    assert folders == {"data", "index"}


@pytest.mark.crash
def test_contested_commits(seed: int) -> None:
    done = assert_sound(Commits(), seed, "shared:4:0", "shared:3:1:kill", "race:3:0")
    assert done > 40


def test_steps(seed: int) -> None:
    assert assert_sound(Steps(examples=2, steps=20), seed, "0") > 20


# -- planted bugs ----------------------------------------------------------------------------------


def test_there_are_enough_bugs_of_different_kinds() -> None:
    assert len({bug.name for bug in ALL_PLANTED}) == len(ALL_PLANTED) >= 25
    assert {bug.harness for bug in ALL_PLANTED} == set(FINDERS)
    assert Planted.size == len(PLANTED) + len(ELSEWHERE)


@pytest.mark.crash
@pytest.mark.parametrize(
    "bug", [bug for bug in ELSEWHERE if bug.harness != "steps"], ids=lambda bug: bug.name
)
def test_a_planted_bug_is_found(bug: PlantedBug) -> None:
    assert not Planted().run(0, bug.name).bad


@pytest.mark.crash
@pytest.mark.parametrize("harness", ["faults", "kills"])
def test_nothing_is_found_without_the_bug(harness: str) -> None:
    (bug, *_) = [bug for bug in ELSEWHERE if bug.harness == harness]
    assert not sound(bug.name).bad


def test_the_guide_lists_the_bugs_and_the_harnesses() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text()
    for bug in ALL_PLANTED:
        assert f"| {bug.name} | `{bug.harness}` |" in guide, bug.name
    for name, harness in HARNESSES.items():
        assert f"| `{name}` | {harness.size:,} |" in guide, name


# -- the campaign ----------------------------------------------------------------------------------


class Failing:
    """Every third unit is bad, and every fifth breaks the harness itself."""

    name = "failing"
    counts = "units"
    size = 10

    def missing(self) -> str | None:
        return None

    def units(self, seed: int, size: int) -> Iterator[str]:
        del seed, size
        yield from map(str, range(1, 100))

    def run(self, seed: int, unit: str) -> Outcome:
        if int(unit) % 5 == 0:
            raise ZeroDivisionError(f"unit {unit} of seed {seed}")
        return Outcome(1, (Bad(unit, "wrong"),) if int(unit) % 3 == 0 else ())


class Dying(Failing):
    def run(self, seed: int, unit: str) -> Outcome:
        del seed
        if unit == "4":
            os._exit(7)
        return Outcome(1)


def test_a_campaign_gathers_what_is_bad(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_campaign(Failing(), 7, 10, jobs=0)
    assert result.done == 10
    assert [bad.unit for bad in result.bad] == ["3", "5", "6", "9", "10", "12"]
    assert "unit 5 of seed 7" in result.bad[1].words
    assert (
        replay_command(Failing(), 7, Bad("a b", ""))
        == "python -m fuzz.torture failing --seed 7 --replay 'a b'"
    )
    assert "failing" in run.table([result])
    assert run_campaign(Failing(), 7, 10**9, jobs=0, seconds=0.0).done == 1
    capsys.readouterr()


def test_only_different_ones_count() -> None:
    class Same(Failing):
        def run(self, seed: int, unit: str) -> Outcome:
            del seed
            return Outcome(2, seen=frozenset([b"a", unit.encode()]))

    assert run_campaign(Same(), 1, 5, jobs=0).done == 5


def test_a_process_that_dies_is_bad() -> None:
    result = run_campaign(Dying(), 1, 8, jobs=1)
    assert result.done >= 8
    assert "4" in {bad.unit for bad in result.bad}
    assert all("a process died" in bad.words for bad in result.bad)


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(HARNESSES, "failing", Failing())
    assert run.main(["failing", "--seed", "7", "--jobs", "0", "--scale", "0.2"]) == 0
    assert run.main(["failing", "--seed", "7", "--jobs", "0", "--size", "10"]) == 1
    printed = capsys.readouterr()
    assert "again: python -m fuzz.torture failing --seed 7 --replay 3" in printed.err
    assert printed.out.rstrip().splitlines()[-1].split() == ["failing", "units", "10", "10", "6", "0", "7"]
    assert run.main(["failing", "--seed", "7", "--replay", "3"]) == 1
    assert run.main(["failing", "--seed", "7", "--replay", "4"]) == 0
    with pytest.raises(SystemExit):
        run.main(["nonsense"])
