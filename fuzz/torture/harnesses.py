"""All harnesses by name, in the order in which they run."""

from __future__ import annotations

from fuzz.torture.crash_states import CrashStates
from fuzz.torture.faults import Faults
from fuzz.torture.flips import Flips
from fuzz.torture.harness import Harness

HARNESSES: dict[str, Harness] = {harness.name: harness for harness in (CrashStates(), Faults(), Flips())}
