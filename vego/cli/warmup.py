"""Compile every kernel now and keep the machine code, so that the first search of a program does not have to.

Needed once for each machine and version; without it kernels compile when they are first used.
"""

from __future__ import annotations

import argparse
import time

from vego_tools.terminal import duration
from vego_tools.warmup import warmup

HELP = "compile and cache all kernels now instead of at first use"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but --help."""
    parser.set_defaults()


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command takes them
    """Compile, with a line for each step."""
    started = time.perf_counter()
    for what, seconds in warmup():
        print(f"{what:<40} {duration(seconds):>8}", flush=True)
    print(f"done in {duration(time.perf_counter() - started)}")
    return 0
