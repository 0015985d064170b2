"""kill -9 at random moments: what was acknowledged is there, and of the rest at most the call that was under way.

A unit is `TURN`: twenty lives and deaths of one database. Each process dies some milliseconds after it began, perhaps
while it still recovers from the death before, or after it was ready to write.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from fuzz.torture.harness import Bad, Outcome
from tests.support.history import replay
from tests.support.writing_process import Child, stored, warm, write_forever

_LIVES = 20


class Kills:
    """Counts deaths."""

    name = "kills"
    counts = "processes killed"
    size = 1_000

    def __init__(self, lives: int = _LIVES) -> None:
        self._lives = lives

    def missing(self) -> str | None:
        return None if hasattr(os, "fork") else "processes cannot be forked here"

    def units(self, seed: int, size: int) -> Iterator[str]:  # noqa: ARG002 - each unit is like the others
        yield from map(str, itertools.count())

    def run(self, seed: int, unit: str) -> Outcome:
        cache(warm)()
        place = Path(tempfile.mkdtemp(prefix="vego-kills-"))
        try:
            return self._lives_of(place / "db", random.Random(f"kills {seed} {unit}"), unit)
        finally:
            shutil.rmtree(place)

    def _lives_of(self, path: Path, rng: random.Random, unit: str) -> Outcome:
        state: dict[str, int] = {}
        for life in range(self._lives):
            child = Child(partial(write_forever, path, life, rng.randrange(1 << 30)))
            if rng.random() < 0.6:
                child.hear_until("ready", 30.0)
                child.hear_for(rng.uniform(0, 0.25))
            else:
                child.hear_for(rng.uniform(0, 0.06))
            died_of = child.kill()
            words = _wrong(path, child.lines, state, died_of)
            if isinstance(words, str):
                return Outcome(life + 1, (Bad(unit, f"death {life}: {words}"),))
            state = words
        return Outcome(self._lives)


def _wrong(path: Path, lines: list[str], state: dict[str, int], died_of: int) -> str | dict[str, int]:
    """What is wrong after a death, or else what the database holds."""
    if died_of != signal.SIGKILL:
        return f"the process ended by itself: {lines[-1:]}"
    acknowledged, under_way = replay([line for line in lines if line != "ready"], state)
    try:
        found = stored(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if found not in (acknowledged, under_way):
        wrong = {
            name: (acknowledged.get(name), found.get(name))
            for name in acknowledged.keys() | found.keys()
            if acknowledged.get(name) != found.get(name)
        }
        return f"acknowledged and found differ: {dict(sorted(wrong.items())[:10])}; last said: {lines[-2:]}"
    return found
