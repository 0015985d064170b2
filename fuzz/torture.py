"""Cuts the power of simulated machines at every moment: `python -m fuzz.torture --seed 1 --states 50000`.

Looks at states of the disk that `tests/vego/test_crash_states.py` has no time for: random workloads beside the fixed
ones, power cuts during the recovery from other cuts, and with `--faults` processes that die and syncs that fail before
the power goes. A bad state is printed with the seed that shows it again. Exit status 1 if there was one.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.support.crash_explorer import Bad, Explorer
from tests.support.crash_workloads import RANDOM, WORKLOADS

_MOST_PRINTED = 5
_SECONDS = 10.0
_TURNS = 10  # of the random workload in a round
_FAULTS = 3


class Torture:
    """One campaign; the same arguments give the same states."""

    def __init__(self, names: list[str], seed: int, states: int, *, faults: bool, limit: int) -> None:
        self._names = names
        self._seed = seed
        self._faults = faults
        self._explorer = Explorer(seed=seed, limit=limit, most=states, stop_at_first=False)
        self._rng = random.Random(f"torture {seed}")
        self._rounds = 0
        self._begin = self._told = time.monotonic()

    def run(self) -> list[Bad]:
        """Rounds until there are enough states or no more new ones; the first bad state of each run that had any."""
        found: list[Bad] = []
        before = -1
        while not self._explorer.done and len(self._explorer.seen) > before:
            before = len(self._explorer.seen)
            self._explorer.seed = f"{self._seed}.{self._rounds}"  # other samples of the same states
            for name in self._names:
                # A fixed workload stays the same in every round: with other ids its states would only look new.
                seeds = [f"{self._explorer.seed}.{turn}" for turn in range(_TURNS)]
                for seed in seeds if name == RANDOM else [str(self._seed)]:
                    if not self._explorer.done:
                        found += self._perform(name, seed)
                        self._tell(len(found), every=_SECONDS)
            self._rounds += 1
        self._tell(len(found))
        return found

    def _perform(self, name: str, seed: str) -> list[Bad]:
        """One run of a workload, and some in which the process dies or a sync fails."""
        explorer, workload = self._explorer, WORKLOADS[name]
        operations = explorer.perform(workload, seed)
        found = self._first_bad()
        if self._faults and operations:
            for place in self._rng.sample(range(operations), min(operations, _FAULTS)):
                explorer.perform(workload, seed, kill_at=place)
                found += self._first_bad()
                explorer.perform(workload, seed, fail_at=place)
                found += self._first_bad()
        return found

    def _first_bad(self) -> list[Bad]:
        first, self._explorer.bad = self._explorer.bad[:1], []
        return first

    def _tell(self, found: int, every: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._told < every:
            return
        self._told = now
        explorer, seconds = self._explorer, now - self._begin
        states = len(explorer.seen)
        print(
            f"{states:,} states ({explorer.again:,} of a cut recovery) in {seconds:,.0f} s, {states / seconds:,.0f}/s; "
            f"{self._rounds} rounds, {explorer.checked:,} checks, {found} bad runs (seed {self._seed})",
            flush=True,
        )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz.torture", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; all by default"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--states", type=int, default=50_000, help="different states to look at")
    parser.add_argument("--limit", type=int, default=30, help="states at each moment")
    parser.add_argument("--faults", action="store_true", help="let processes die and syncs fail before that")
    options = parser.parse_args(argv)
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(sorted(unknown))}")
    names = options.workloads or list(WORKLOADS)
    print(f"seed {options.seed}", flush=True)
    torture = Torture(names, options.seed, options.states, faults=options.faults, limit=options.limit)
    found = torture.run()
    for bad in found[:_MOST_PRINTED]:
        print(bad, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
