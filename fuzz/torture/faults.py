"""Every call to the operating system fails: each kind of call, each errno, each time it is made, once and for good.

Workloads run on a simulated system. A unit is `work:WORKLOAD:NUMBER:ERROR:MODE`, where call NUMBER of a workload fails,
or `recover:WORKLOAD:KILL:HOW:NUMBER:ERROR:MODE`, where a process dies before operation KILL, perhaps with the power
(HOW is `kill` or `cut`), and a call of the next process fails while it recovers. What is demanded:

NUMBER may also be the name of a call: then every such call fails, in one run after the other. What is demanded:

* an error is one of Vego's, and damage is not what it says where nothing is damaged;
* an error that says that nothing was changed is right, and the database goes on when the system does;
* a database that refuses to write since a sync failed goes on refusing;
* no descriptor stays open;
* the next process finds all that was acknowledged, and only that or the call that failed; so it is after a power cut
  that loses whatever was not synced.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

import vego
from fuzz.torture.harness import Bad, Outcome
from tests.support.crash_explorer import recover
from tests.support.crash_session import AFTER, Content, Session, WrongError, contents
from tests.support.crash_states import Crash, Disk
from tests.support.crash_workloads import WORKLOADS, Workload
from tests.support.simulated_faults import FailingCalls, Fault, faults_of
from tests.support.simulated_system import Operation, ProcessKilled, Tree
from vego.names import LOCK

_KILLS = 4  # places in each workload at which a process dies before a recovery that fails
_SEED = "faults"  # of the workloads: ids and clock


class Faults:
    """Counts points: one call that fails in one way."""

    name = "faults"
    counts = "failing calls"
    size = 10_000

    def missing(self) -> str | None:
        return None

    def units(self, seed: int, size: int) -> Iterator[str]:
        """A sample without repetitions; three of four in workloads, the others in recoveries."""
        work, recovery = map(list, _all_points(seed))
        rng = random.Random(f"faults {seed}")
        rng.shuffle(work)
        rng.shuffle(recovery)
        most = len(work) + len(recovery)
        for number in range(min(size, most)):
            source = recovery if (number % 4 == 3 and recovery) or not work else work
            yield source.pop()

    def run(self, seed: int, unit: str) -> Outcome:
        kind, name, *rest = unit.split(":")
        if not rest[-3].isdecimal():
            return self._every(seed, unit, rest[-3])
        workload = WORKLOADS[name]
        fault = Fault.parse(":".join(rest[-3:]))
        if kind == "work":
            tree, legal = workload.prepared(_SEED)
            point = _Point(tree, legal, workload, fault, unit)
            words = point.perform()
        else:
            tree, legal = _dead(name, int(rest[0]), rest[1])
            point = _Point(tree, legal, workload, fault, unit, again=True)
            words = point.open()
        # Sets of names are in another order in another process: a call of that number may be one less.
        return Outcome(int(point.calls.hit), (Bad(unit, words),) if words else ())

    def _every(self, seed: int, unit: str, call: str) -> Outcome:
        kind, name, *rest = unit.split(":")
        workload = WORKLOADS[name]
        tree, legal = workload.prepared(_SEED) if kind == "work" else _dead(name, int(rest[0]), rest[1])
        point = _Point(tree, legal, workload, None, name, again=kind != "work")
        if words := point.perform() if kind == "work" else point.open():
            return Outcome(1, (Bad(unit, words),))
        done = 0
        for number, made in enumerate(point.calls.calls):
            if made == call:
                one = self.run(seed, unit.replace(f":{call}:", f":{number}:"))
                done += one.done
                if one.bad:
                    return Outcome(done, one.bad)
        return Outcome(done)


class _Point:
    """A session in which one call fails, and the judgement."""

    def __init__(
        self,
        tree: Tree,
        legal: frozenset[Content],
        workload: Workload,
        fault: Fault | None,
        seed: str,
        *,
        again: bool = False,
    ) -> None:
        self._workload = workload
        self._seed = seed
        # Who comes after another process draws other names of files than that one did.
        self.session = Session(tree, f"{_SEED} again" if again else _SEED, legal, **workload.options)
        self.calls = FailingCalls(self.session.system, fault)
        self.session.system.face = self.calls

    def perform(self) -> str:
        """The workload; what is wrong with how it went, "" if nothing."""
        return self._judged(lambda: self._workload.perform(self.session))

    def open(self) -> str:
        """Only an opening and a write; the same."""

        def recovery() -> None:
            self.session.open(damage_is_legal=bool(self._workload.damage))
            self.session.write_again()

        return self._judged(recovery)

    def _judged(self, work: Callable[[], None]) -> str:
        session = self.session
        with session.installed():
            try:
                wrong = self._with_power_on(work)
            except WrongError as error:
                wrong = f"as the process saw it: {error}"
            tree = session.system.tree()
        run = session.run()
        legal = run.legal(len(run.log))
        if wrong:
            return wrong
        for name, state in (("another process", tree), ("a power cut", _all_lost(run.start, run.log))):
            found = recover(state, self._seed, damage_is_legal=bool(self._workload.damage), twice=False)
            if found.error or not found.found <= legal:
                return f"{name} finds {found.error or found.found}; legal: {' or '.join(map(str, legal))}"
        return ""

    def _with_power_on(self, work: Callable[[], None]) -> str:
        session, words = self.session, ""
        try:
            work()
        except vego.VegoError as error:
            if isinstance(error, vego.CorruptionError) and not self._workload.damage:
                return f"taken for damage: {error}"
            words = type(error).__name__
            certain = not isinstance(error, vego.CommitUncertainError | vego.PoisonedError)
            both = session.legal
            self.calls.heal()
            if certain and not session.poisoned and session.refused():
                if wrong := self._goes_on(both):
                    return f"after {error!r}: {wrong}"
            elif session.poisoned and (wrong := self._acknowledges()):
                return wrong
        except (WrongError, ProcessKilled):
            raise
        except Exception as error:
            return f"{type(error).__name__} is no error of Vego: {error}"
        self.calls.heal()
        return self._closes(words)

    def _goes_on(self, both: frozenset[Content]) -> str:
        """The error said that nothing was changed: what is wrong with that, with the system in order again."""
        session = self.session
        if len(session.legal) != 1:
            return ""
        try:
            found = contents(session._db)
            if found != session.content:
                return f"something was changed: {found}, before it was {session.content}"
            session.write_again()
        except vego.PoisonedError:  # disk and memory may be at odds, and it says so
            session._moments.append((len(session.system.log), both | session.legal))
        except vego.VegoError as error:
            return f"it does not go on: {error!r}"
        return ""

    def _acknowledges(self) -> str:
        """Whether a database that must not write does."""
        database = self.session._database
        if database is None:
            return ""
        try:
            for name in database.collections():
                database.collection(name).upsert(id=AFTER, vector=[0, 0, 0, 0])
                return f"{name} was written to after a sync had failed"
        except vego.VegoError:
            pass
        return ""

    def _closes(self, words: str) -> str:
        session = self.session
        try:
            session._close_quietly()
        except vego.VegoError as error:
            if not words:
                return f"it cannot be closed: {error!r}"
        for generation in range(3):  # an error may be in a cycle with the frame that holds a descriptor
            if session.system.descriptors:
                gc.collect(generation)
        if session.system.descriptors:
            return f"{session.system.descriptors} descriptors are still open"
        return ""


def _all_lost(start: Tree, log: list[Operation]) -> Tree:
    """The disk where nothing survived that was not synced."""
    disk = Disk(start, (LOCK,))
    for operation in log:
        disk.apply(operation)
    return disk.after(Crash((), tuple((inode, 0) for inode in disk._pending_files(()))))


@cache
def _dead(name: str, kill_at: int, how: str) -> tuple[Tree, frozenset[Content]]:
    """The disk after a process died at an operation, perhaps with the power, and what may be found on it."""
    workload = WORKLOADS[name]
    tree, legal = workload.prepared(_SEED)
    session = Session(tree, _SEED, legal, **workload.options)
    session.system.kill_at = kill_at
    with session.installed():
        with suppress(ProcessKilled):
            workload.perform(session)
        after = session.system.tree()
    run = session.run()
    legal = run.legal(len(run.log))
    if how == "kill":
        return after, legal
    disk = Disk(run.start, (LOCK,))
    for operation in run.log:
        disk.apply(operation)
    crashes = disk.crashes(20, random.Random(f"{workload.name} {kill_at}"))
    return disk.after(crashes[-1]), legal


def _all_points(seed: int) -> tuple[Iterator[str], Iterator[str]]:
    """Every point of every workload; every point of recoveries from some deaths in each."""
    return _points_of_work(), _points_of_recovery(seed)


def _points_of_work() -> Iterator[str]:
    for name, workload in WORKLOADS.items():
        tree, legal = workload.prepared(_SEED)
        point = _Point(tree, legal, workload, None, name)
        assert not (wrong := point.perform()), wrong
        for fault in _faults(point.calls.calls):
            yield f"work:{name}:{fault}"


def _points_of_recovery(seed: int) -> Iterator[str]:
    for name, workload in WORKLOADS.items():
        operations = len(workload.run(_SEED).log)
        rng = random.Random(f"{seed} {name}")
        for place in sorted(rng.sample(range(operations), min(_KILLS, operations))):
            for how in ("kill", "cut"):
                tree, legal = _dead(name, place, how)
                point = _Point(tree, legal, workload, None, name, again=True)
                assert not (wrong := point.open()), wrong
                for fault in _faults(point.calls.calls):
                    yield f"recover:{name}:{place}:{how}:{fault}"


def _faults(calls: list[str]) -> Iterator[Fault]:
    for number, call in enumerate(calls):
        yield from faults_of(number, call)


def forget() -> None:
    """Let go of what was prepared by code that is no longer the same."""
    _dead.cache_clear()
