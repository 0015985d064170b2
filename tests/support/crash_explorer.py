"""Looks for a state of the disk after a power cut that breaks a promise.

`recover` opens a state as a user would, with no manual step, and goes on writing. The `Explorer` goes through the
states of a run, compares what `recover` found with what was promised, and then takes the recovery itself for a run
whose power may go: what was there must then be there still (recovery is idempotent and can be cut short).
"""

from __future__ import annotations

import gc
import random
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.crash_session import DAMAGED, Content, Run, Session
from tests.support.crash_states import Crash, Disk, Fingerprints, moments_of_interest
from tests.support.crash_workloads import Workload
from tests.support.simulated_system import Tree
from vego.names import LOCK


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found; `error` says why that is wrong whatever was promised. `run` is what the power may cut in turn."""

    found: frozenset[Content]
    error: str
    run: Run


def recover(tree: Tree, seed: object, *, damage_is_legal: bool = False, twice: bool = True) -> Recovery:
    """Open the database on `tree`, write to it, die, and with `twice` open it again. A new seed gives other ids."""
    session = Session(tree, f"recovery {seed}", None)
    found: frozenset[Content] = frozenset()
    error = ""
    with session.installed():
        try:
            first = session.open(damage_is_legal=damage_is_legal)
            found = frozenset([first, session.content] if first == DAMAGED else [first])
            session.write_again()
            if twice:
                session.kill()
                session.open()
        except Exception as problem:
            error = _words(problem)
    return Recovery(found, error, session.run())


@dataclass(frozen=True, slots=True)
class Bad:
    """A state that breaks a promise: how it came about, and what was found."""

    name: str
    moment: int
    operation: str
    state: str
    found: str
    legal: str

    def __str__(self) -> str:
        return (
            f"{self.name}, power cut before operation {self.moment} ({self.operation})\n"
            f"  state: {self.state}\n  found: {self.found}\n  legal: {self.legal}"
        )


@dataclass
class Explorer:
    """Checks states: `limit` of each moment, `most` in all.

    One in `again_one_in` recoveries is cut in turn, with `again_limit` states at each moment; one in `twice_one_in` is
    followed by the death of the process and another recovery.
    seen: what was found in each state. again: how many of them are of a power cut during recovery.
    """

    seed: object
    limit: int = 40
    again_one_in: int = 40
    again_limit: int = 6
    twice_one_in: int = 3
    most: int = 1 << 60
    stop_at_first: bool = True
    settled: tuple[str, ...] = (
        LOCK,
    )  # nothing hangs on what is in the lock file, as a test of its own shows
    seen: dict[bytes, Recovery] = field(default_factory=dict)
    again: int = 0
    checked: int = 0
    bad: list[Bad] = field(default_factory=list)
    _fingerprints: Fingerprints = field(default_factory=Fingerprints)

    @property
    def done(self) -> bool:
        """Whether there is nothing more to look for."""
        return bool(self.bad and self.stop_at_first) or len(self.seen) >= self.most

    def perform(
        self, workload: Workload, seed: object, kill_at: int | None = None, fail_at: int | None = None
    ) -> int:
        """Check states of a workload and return the number of its operations, 0 where it failed with the power on.

        With `kill_at` the process dies before that operation, with `fail_at` the next sync of a file fails; another
        process goes on.
        """
        title = f"{workload.name}, seed {seed}"
        if kill_at is not None:
            title += f", process killed before operation {kill_at}"
        if fail_at is not None:
            title += f", the first sync of a file from operation {fail_at} on fails"
        try:
            run = workload.run(seed, kill_at, fail_at)
        except Exception as problem:
            self.bad.append(Bad(title, 0, "none", "as the process saw it", _words(problem), "no error"))
            return 0
        with _rare_collections():
            self.explore(run, title, damage_is_legal=bool(workload.damage))
        return len(run.log)

    def explore(self, run: Run, name: str, *, damage_is_legal: bool = False, depth: int = 1) -> None:
        """Check states of a run."""
        disk = Disk(run.start, self.settled)
        position = 0
        for moment in moments_of_interest(run.log, [start for start, _ in run.moments]):
            while position < moment:
                disk.apply(run.log[position])
                position += 1
            rng = random.Random(f"{self.seed} {name} {moment}")
            for crash in disk.crashes(self.limit if depth == 1 else self.again_limit, rng):
                if self.done:
                    return
                self._check(disk, crash, run, moment, name, damage_is_legal, depth)

    def _check(
        self, disk: Disk, crash: Crash, run: Run, moment: int, name: str, damage_is_legal: bool, depth: int
    ) -> None:
        tree = disk.after(crash)
        key = self._fingerprints.of(tree)
        recovery = self.seen.get(key)
        new = recovery is None
        if recovery is None:
            recovery = recover(
                tree, key.hex(), damage_is_legal=damage_is_legal, twice=key[4] % self.twice_one_in == 0
            )
            self.seen[key] = Recovery(recovery.found, recovery.error, Run(Tree(), [], []))
            self.again += depth > 1
        self.checked += 1
        legal = run.legal(moment)
        if recovery.error or not recovery.found <= legal:
            operation = disk.words(run.log[moment]) if moment < len(run.log) else "the end"
            found = recovery.error or ", ".join(map(str, recovery.found))
            state = disk.describe(crash)
            self.bad.append(Bad(name, moment, operation, state, found, " or ".join(sorted(map(str, legal)))))
        elif new and depth == 1 and int.from_bytes(key[:4]) % self.again_one_in == 0:
            self.explore(
                recovery.run, f"{name}, recovery of {key.hex()[:8]}", damage_is_legal=damage_is_legal, depth=2
            )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """A third of the time goes to the collector otherwise: every state leaves a dead machine behind."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _words(problem: Exception) -> str:
    place = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {problem} ({place.filename.rpartition('/')[2]}:{place.lineno})"
