"""Runs the harnesses that are to break the promises of `docs/reliability.md`: `make torture`.

Without arguments all of them, at full size. Each bad outcome is printed with the command that shows it again. Exit
status 1 if there was one.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

from fuzz.torture.campaign import Result, replay_command, run_campaign, run_unit
from fuzz.torture.harness import Harness
from fuzz.torture.harnesses import HARNESSES

_MOST_PRINTED = 10


def main(argv: list[str] | None = None) -> int:
    """Run what the arguments name; the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if unknown := set(options.harnesses) - set(HARNESSES):
        parser.error(f"no harness {', '.join(sorted(unknown))}; there are {', '.join(HARNESSES)}")
    names = options.harnesses or list(HARNESSES)
    if options.replay is not None:
        if len(names) != 1:
            parser.error("--replay needs the name of one harness")
        return _replay(HARNESSES[names[0]], options.seed, options.replay)
    if options.seconds <= 0 or options.scale <= 0:
        parser.error("--seconds and --scale must be above 0")
    print(f"seed {options.seed}", flush=True)
    results = []
    for name in names:
        harness = HARNESSES[name]
        size = options.size or max(1, round(harness.size * options.scale))
        results.append(run_campaign(harness, options.seed, size, jobs=options.jobs, seconds=options.seconds))
        _tell(results[-1])
    print(f"\n{table(results)}", flush=True)
    return 1 if any(result.bad for result in results) else 0


def table(results: list[Result]) -> str:
    """One row for each harness."""
    head = ("harness", "counted", "asked", "done", "bad", "seconds", "seed")
    rows = [
        (
            result.harness.name,
            result.harness.counts,
            f"{result.asked:,}",
            "not here" if result.missing else f"{result.done:,}",
            f"{len(result.bad):,}",
            f"{result.seconds:,.0f}",
            str(result.seed),
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def _tell(result: Result) -> None:
    name = result.harness.name
    if result.missing:
        print(f"{name}: skipped: {result.missing}", flush=True)
        return
    print(
        f"{name}: {result.done:,} {result.harness.counts} in {result.seconds:,.0f} s, {len(result.bad)} bad",
        flush=True,
    )
    for bad in result.bad[:_MOST_PRINTED]:
        print(f"{bad.words}\n  again: {replay_command(result.harness, result.seed, bad)}", file=sys.stderr)
    if len(result.bad) > _MOST_PRINTED:
        print(f"{name}: {len(result.bad) - _MOST_PRINTED} more", file=sys.stderr)
    sys.stderr.flush()


def _replay(harness: Harness, seed: int, unit: str) -> int:
    start = time.monotonic()
    outcome = run_unit(harness, seed, unit)
    for bad in outcome.bad:
        print(f"{bad.unit}: {bad.words}", file=sys.stderr)
    done = len(outcome.seen) or outcome.done
    print(f"{done:,} {harness.counts}, {len(outcome.bad)} bad, {time.monotonic() - start:.1f} s")
    return 1 if outcome.bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fuzz.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = "; ".join(f"{name}: {harness.size:,} {harness.counts}" for name, harness in HARNESSES.items())
    parser.add_argument("harnesses", nargs="*", metavar="HARNESS", help=f"all by default. {what}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--size", type=int, default=0, help="how many, in place of the full size")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the full size (0.01: a hundredth)")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="at most so long for each harness"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes; 0: all in this one")
    parser.add_argument("--replay", metavar="UNIT", help="do one unit of one harness again, with its --seed")
    return parser
