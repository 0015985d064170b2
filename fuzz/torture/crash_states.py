"""Every legal state of a disk after a power cut, on a simulated file system.

A unit is `WORKLOAD:SEED:SAMPLE`, with `:kill` or `:fail` where the process dies or a sync fails before the power goes,
at a place that follows from the unit or is given (`:kill=12`). `tests.support.crash_explorer` does the work.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from fuzz.torture.harness import Bad, Outcome
from tests.support.crash_explorer import Explorer, Recovery
from tests.support.crash_workloads import RANDOM, WORKLOADS

_TURNS = 10  # of the random workload in a round
_LIMIT = 30  # states at each moment
_seen: dict[int, dict[bytes, Recovery]] = {}  # by seed: each process looks at a state once


class CrashStates:
    """Counts different states; each is opened, judged, written to, and some are cut again while they recover."""

    name = "states"
    counts = "different crash states"
    size = 50_000

    def __init__(self, limit: int = _LIMIT, *, stop_at_first: bool = False) -> None:
        self._limit = limit
        self._stop = stop_at_first

    def missing(self) -> str | None:
        return None

    def units(self, seed: int, size: int) -> Iterator[str]:  # noqa: ARG002 - how many states a unit has is not known
        for turn in itertools.count():
            for name in WORKLOADS:
                # A fixed workload stays the same in every round: with other ids its states would only look new.
                seeds = [f"{turn}.{n}" for n in range(_TURNS)] if name == RANDOM else ["0"]
                for ids in seeds:
                    yield f"{name}:{ids}:{turn}"
                yield f"{name}:{seeds[0]}:{turn}:kill"
                yield f"{name}:{seeds[0]}:{turn}:fail"

    def run(self, seed: int, unit: str) -> Outcome:
        name, ids, sample, *fault = unit.split(":")
        workload = WORKLOADS[name]
        explorer = Explorer(seed=f"{seed}.{sample}", limit=self._limit, stop_at_first=self._stop)
        known = explorer.seen = {} if self._stop else _seen.setdefault(seed, {})
        before = set(known)
        what, _, place = "".join(fault).partition("=")
        at: int | None = None
        if what:
            at = int(place) if place else random.Random(unit).randrange(len(workload.run(ids).log))
        explorer.perform(
            workload, ids, kill_at=at if what == "kill" else None, fail_at=at if what == "fail" else None
        )
        new = frozenset(known.keys() - before)
        # One bug shows in thousands of states: the first of a run says what is to be said.
        return Outcome(len(new), tuple(Bad(unit, str(bad)) for bad in explorer.bad[:1]), new)
