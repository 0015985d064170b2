"""Compile every kernel now and keep the machine code, so that the first search of a program does not have to.

Needed once for each machine and version; without it kernels compile when they are first used.

examples:
  vego warmup
  vego warmup --jobs 1        in this process alone
  vego warmup --json          seconds of each step, for a log
"""

from __future__ import annotations

import argparse
import json

HELP = "compile and cache all kernels now instead of at first use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The form."""
    parser.add_argument(
        "--jobs", type=_count, metavar="N", help="processes that compile (one for each processor)"
    )
    parser.add_argument("--json", action="store_true", help="seconds of each step, as JSON")


def run(options: argparse.Namespace) -> int:
    """Compile, with a line for each step."""
    import time

    from vego_tools.terminal import duration
    from vego_tools.warmup import warmup

    started = time.perf_counter()
    steps = []
    for what, seconds in warmup(options.jobs):
        steps.append({"step": what, "seconds": round(seconds, 6)})
        if not options.json:
            print(f"{what:<40} {duration(seconds):>8}", flush=True)
    total = time.perf_counter() - started
    if options.json:
        print(json.dumps({"steps": steps, "seconds": round(total, 6)}, indent=2, ensure_ascii=False))
    else:
        print(f"done in {duration(total)}")
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number
