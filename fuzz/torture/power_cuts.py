"""Real power cuts: an ext4 file system is shut down under a writer and mounted again, and everything is there.

Only acknowledgements that had arrived before the cut count. A unit is `TURN`: some cuts of one file system, whose mount
options follow from the turn. Needs root.
"""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from fuzz.torture.harness import Bad, Outcome
from tests.support.history import replay
from tests.support.power_cuts import MOUNT_OPTIONS, CutDisk, cannot_cut
from tests.support.writing_process import Child, stored, warm, write_forever

_CUTS = 5


class PowerCuts:
    """Counts cuts."""

    name = "cuts"
    counts = "power cuts of ext4"
    size = 100

    def __init__(self, cuts: int = _CUTS) -> None:
        self._cuts = cuts

    def missing(self) -> str | None:
        return cannot_cut()

    def units(self, seed: int, size: int) -> Iterator[str]:  # noqa: ARG002 - each unit is like the others
        yield from map(str, itertools.count())

    def run(self, seed: int, unit: str) -> Outcome:
        cache(warm)()
        rng = random.Random(f"cuts {seed} {unit}")
        disk = CutDisk(MOUNT_OPTIONS[int(unit) % len(MOUNT_OPTIONS)])
        state: dict[str, int] = {}
        try:
            for turn in range(self._cuts):
                found = _cut(disk, rng, turn, state)
                if isinstance(found, str):
                    return Outcome(turn + 1, (Bad(unit, f"cut {turn}: {found}"),))
                state = found
            disk.unmount()
            return Outcome(self._cuts)
        finally:
            disk.close()


def _cut(disk: CutDisk, rng: random.Random, turn: int, state: dict[str, int]) -> str | dict[str, int]:
    """What is wrong after one more cut, or else what the database holds."""
    path = Path(disk.place / "db")
    child = Child(partial(write_forever, path, turn, rng.randrange(1 << 30)))
    child.hear_until("ready", 60.0)
    child.hear_for(rng.uniform(0.02, 1.5))
    before = len(child.lines)
    disk.cut()
    time.sleep(
        rng.choice([0.0, 0.02])
    )  # a process that goes on after the cut must not acknowledge what is lost
    child.kill()
    # What was said after the cut may have been in memory only; what was tried may have reached the disk.
    lines = child.lines
    known = [line for line in lines[:before] if line.startswith(("try", "done"))]
    later = [line for line in lines[before:] if line.startswith(("try", "done"))]
    if "ready" not in lines[:before]:
        return f"the writer was not ready: {lines[-1:]}"
    disk.unmount()
    disk.mount()
    try:
        found = stored(path)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    gc.collect()  # a mapped file is in use until nothing refers to it, and so is the disk that it is on
    for count in range(len(later) + 1):
        if found in replay(known + later[:count], state):
            return found
    acknowledged, _ = replay(known, state)
    wrong = {
        name: (acknowledged.get(name), found.get(name))
        for name in acknowledged.keys() | found.keys()
        if acknowledged.get(name) != found.get(name)
    }
    return f"acknowledged and found differ: {dict(sorted(wrong.items())[:10])}; last known: {known[-2:]}"
