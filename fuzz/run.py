"""Feeds every target mutated inputs: `python -m fuzz.run --seconds 60 --seed 1`.

Needs nothing but the package; `fuzz.guided` feeds the same targets led by coverage, where atheris is installed. A
finding is written to `fuzz/corpus/<target>/`, which `tests/test_fuzz_corpus.py` replays for ever. Exit status 1 if
there was one.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from fuzz.limits import SECONDS, limited_memory, limited_time, watchdog
from fuzz.target import Target
from fuzz.targets import CANARIES, TARGETS

CORPUS = Path(__file__).parent / "corpus"
MOST_FINDINGS = 5
_ROUND = 200


def run_one(check: Callable[[bytes], None], data: bytes, seconds: float = SECONDS) -> str | None:
    """What went wrong, or None."""
    try:
        with limited_time(seconds):
            check(data)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return "".join(traceback.format_exception(error))
    return None


def inputs_of(name: str) -> list[bytes]:
    """Valid inputs of a target, and those that once broke it or reached something."""
    target = {**TARGETS, **CANARIES}[name]
    return target.seeds() + [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


class Campaign:
    """One target fed variations of its inputs; the same name and seed give the same ones."""

    def __init__(self, name: str, target: Target, seed: int, findings: Path = CORPUS) -> None:
        self.inputs = 0
        self.found: list[Path] = []
        self._name = name
        self._target = target
        self._rng = random.Random(f"{seed} {name}")
        self._pool = inputs_of(name)
        self._folder = findings / name
        self._kinds: set[str] = set()

    def run(self, inputs: int) -> None:
        """Try so many more."""
        for _ in range(inputs):
            data = self._target.mutate(self._rng.choice(self._pool), self._rng)
            problem = run_one(self._target.check, data)
            self.inputs += 1
            if problem is not None:
                self._keep(data, problem)

    def _keep(self, data: bytes, problem: str) -> None:
        """Keep one input for each place that fails: the line that raised, and the kind of error."""
        lines = problem.rstrip().splitlines()
        frames = [line for line in lines if line.startswith("  File ")]
        kind = f"{frames[-1:]} {lines[-1].partition(':')[0]}"
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        path = self._folder / hashlib.sha256(data).hexdigest()[:16]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.found.append(path)
        print(f"{self._name}: {path}\n{problem}", flush=True)


def campaign(name: str, seconds: float, seed: int) -> int:
    """Run one target for some seconds; returns the number of findings."""
    made = Campaign(name, TARGETS[name], seed)
    end = time.monotonic() + seconds
    made.run(1)  # compiles what has to be compiled, before memory is counted
    with limited_memory():
        while time.monotonic() < end and len(made.found) < MOST_FINDINGS:
            with watchdog():
                made.run(_ROUND)
    print(f"{name}: {made.inputs:,} inputs, {len(made.found)} findings (seed {seed})", flush=True)
    return len(made.found)


def canaries_sing() -> bool:
    """Whether errors behind checksums, memory and time are reported by this harness, here."""
    canary = CANARIES["canary"]
    rng = random.Random(1)
    tries = (run_one(canary.check, canary.mutate(canary.seeds()[0], rng)) for _ in range(1000))
    heard = any("the canary sings" in (problem or "") for problem in tries)
    with limited_memory():
        eaten = run_one(CANARIES["canary_that_eats"].check, b"")
    slow = not hasattr(__import__("signal"), "setitimer") or run_one(
        CANARIES["canary_that_sleeps"].check, b"", seconds=0.1
    )
    return heard and bool(eaten) and bool(slow)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz.run", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all by default"
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    options = parser.parse_args(argv)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}")
    faulthandler.enable()
    if not canaries_sing():
        print("a canary did not fail: this harness reports nothing", file=sys.stderr)
        return 1
    names = options.targets or list(TARGETS)
    found = sum(campaign(name, options.seconds / len(names), options.seed) for name in names)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
