"""All harnesses by name, in the order in which they run."""

from __future__ import annotations

from fuzz.torture.commits import Commits
from fuzz.torture.crash_states import CrashStates
from fuzz.torture.faults import Faults
from fuzz.torture.flips import Flips
from fuzz.torture.harness import Harness
from fuzz.torture.kills import Kills
from fuzz.torture.planted import Planted
from fuzz.torture.power_cuts import PowerCuts
from fuzz.torture.steps import Steps

HARNESSES: dict[str, Harness] = {
    harness.name: harness
    for harness in (CrashStates(), PowerCuts(), Kills(), Faults(), Flips(), Commits(), Steps(), Planted())
}
