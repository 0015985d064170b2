"""Bugs planted in the real code, one at a time: the harness that is meant for each must find it.

A harness that finds nothing may be one that sees nothing. A unit is the name of a bug; bad is one that is not found, or
something that is found without it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fuzz.torture import faults
from fuzz.torture.commits import Commits
from fuzz.torture.crash_states import CrashStates
from fuzz.torture.faults import Faults
from fuzz.torture.flips import Flips
from fuzz.torture.harness import Bad, Harness, Outcome
from fuzz.torture.kills import Kills
from fuzz.torture.steps import Steps
from tests.support.flipped_database import subject
from tests.support.planted_elsewhere import ALL_PLANTED

_SEED = 1
_RACES = 24
FINDERS: dict[str, Harness] = {
    harness.name: harness
    for harness in (
        CrashStates(limit=20, stop_at_first=True),
        Faults(),
        Flips(stop_at_first=True),
        Commits(seconds=30.0),
        Kills(lives=8),
        Steps(examples=40, shrink=False),
    )
}


class Planted:
    """Counts bugs that are found."""

    name = "planted"
    counts = "planted bugs found"
    size = len(ALL_PLANTED)

    def missing(self) -> str | None:
        return None

    def units(self, seed: int, size: int) -> Iterator[str]:  # noqa: ARG002 - always the same ones
        yield from (bug.name for bug in ALL_PLANTED[:size])

    def run(self, seed: int, unit: str) -> Outcome:  # noqa: ARG002
        (bug,) = [bug for bug in ALL_PLANTED if bug.name == unit]
        finder = FINDERS[bug.harness]
        subject()  # written by sound code, whatever is planted now
        faults.forget()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threading, "excepthook", _nothing)  # a bug may break threads in the background
            bug.patch(patch)
            found = any(_finds(finder, one) for one in _units_of(finder.name, bug.unit))
        faults.forget()
        if not found:
            return Outcome(0, (Bad(unit, f"{unit}: not found by `{finder.name}` in {bug.unit}"),))
        return Outcome(1)


def _units_of(finder: str, unit: str) -> Iterator[str]:
    """The unit, and more of its like where processes race or die: what comes first is up to the machine."""
    yield unit
    kind, *rest = unit.split(":")
    if kind == "race":
        yield from (f"race:{rest[0]}:{turn}" for turn in range(1, _RACES))
    if finder == Kills.name:
        yield from map(str, range(1, _RACES))


def _finds(finder: Harness, unit: str) -> bool:
    try:
        return bool(finder.run(_SEED, unit).bad)
    except Exception:  # the bug broke what the harness itself does with the database
        return True


def _nothing(*_: object) -> None:
    return None


def sound(bug_name: str) -> Outcome:
    """What the harness says of the same unit without the bug."""
    (bug,) = [bug for bug in ALL_PLANTED if bug.name == bug_name]
    return FINDERS[bug.harness].run(_SEED, bug.unit)
