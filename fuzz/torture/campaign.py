"""Lets a harness do units of work in several processes until it has done what was asked, and gathers what is bad."""

from __future__ import annotations

import faulthandler
import multiprocessing
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from fuzz.torture.harness import Bad, Harness, Outcome

STUCK = 900.0  # seconds for one unit; a process that needs more is ended, its stack printed
_TELL_EVERY = 5.0
_AHEAD = 2  # units for each process
_MOST_BAD = 50


@dataclass
class Result:
    """What a campaign came to."""

    harness: Harness
    seed: int
    asked: int
    done: int = 0
    bad: list[Bad] = field(default_factory=list)
    seconds: float = 0.0
    missing: str | None = None
    _seen: set[bytes] = field(default_factory=set)

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of one more unit."""
        before = len(self._seen)
        self._seen |= outcome.seen
        self.done += len(self._seen) - before if outcome.seen else outcome.done
        self.bad += outcome.bad


def replay_command(harness: Harness, seed: int, bad: Bad) -> str:
    """What shows a bad outcome again."""
    return f"python -m fuzz.torture {harness.name} --seed {seed} --replay {shlex.quote(bad.unit)}"


def run_unit(harness: Harness, seed: int, unit: str) -> Outcome:
    """One unit; an error that the harness did not expect is a bad outcome as well."""
    # A test run or a frozen process has no real stderr to write a stack to.
    with suppress(AttributeError, ValueError, OSError):
        faulthandler.dump_traceback_later(STUCK, exit=True, file=sys.__stderr__)
    try:
        return harness.run(seed, unit)
    except Exception as error:
        return Outcome(0, (Bad(unit, "".join(traceback.format_exception(error))),))
    finally:
        faulthandler.cancel_dump_traceback_later()


def run_campaign(
    harness: Harness, seed: int, size: int, *, jobs: int, seconds: float = float("inf"), quiet: bool = False
) -> Result:
    """Do units until `size` is reached, `seconds` are over, or too much is bad. `jobs` 0: in this process."""
    result = Result(harness, seed, size, missing=harness.missing())
    if result.missing is not None:
        return result
    start = told = time.monotonic()
    for outcome in _outcomes(harness, seed, size, jobs):
        result.add(outcome)
        now = time.monotonic()
        result.seconds = now - start
        if not quiet and now - told > _TELL_EVERY:
            told = now
            print(progress(result), flush=True)
        if result.done >= size or result.seconds > seconds or len(result.bad) > _MOST_BAD:
            break
    return result


def progress(result: Result) -> str:
    """Where a campaign stands, in a line."""
    rate = result.done / max(result.seconds, 1e-9)
    left = (result.asked - result.done) / rate if rate else 0
    return (
        f"{result.harness.name}: {result.done:,} of {result.asked:,} {result.harness.counts}, {rate:,.1f}/s, "
        f"{len(result.bad)} bad, {result.seconds:,.0f} s, about {max(left, 0):,.0f} s left"
    )


def _outcomes(harness: Harness, seed: int, size: int, jobs: int) -> Iterator[Outcome]:
    units = harness.units(seed, size)
    if jobs == 0:
        yield from (run_unit(harness, seed, unit) for unit in units)
        return
    while True:  # until a round ends without a process that died
        lost: list[str] = []
        yield from _in_processes(harness, seed, units, jobs, lost)
        if not lost:
            return
        words = f"a process died while it did one of {', '.join(lost)}"
        yield Outcome(0, tuple(Bad(unit, words) for unit in lost))


def _in_processes(
    harness: Harness, seed: int, units: Iterator[str], jobs: int, lost: list[str]
) -> Iterator[Outcome]:
    """Outcomes as they come; into `lost` go the units of which none came because a process died."""
    spawn = multiprocessing.get_context("spawn")  # processes without threads, so that they may fork
    pool = ProcessPoolExecutor(jobs, spawn)
    try:
        running: dict[Future[Outcome], str] = {}
        while True:
            for unit in islice(units, _AHEAD * jobs - len(running)):
                running[pool.submit(run_unit, harness, seed, unit)] = unit
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                unit = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    lost.append(unit)
                else:
                    yield outcome
            if lost:
                lost += running.values()
                return
    finally:
        pool.shutdown(cancel_futures=True)
