"""Flips single bits of files and reads everything: `python -m fuzz.flips --count 500000 --seed 1`.

The golden files get a fifth of the flips; fresh small files, which are read faster, the rest, each bit at most
once. With `--repair` all checksums are made right after each flip, so that decoders see the damage. Exit status 1
if a flip was answered by anything but the right values or a refusal.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from fuzz.files import GOLDEN, use_file
from fuzz.limits import TooSlow, limited_memory, limited_time
from tests.support.flips import (
    CHANGED,
    REFUSED,
    RIGHT,
    Subject,
    chosen_bits,
    flipped,
    judge,
    judge_repaired,
    small_files,
    subject,
)

GOLDEN_SHARE = 5
_CHUNK = 500
_subjects: dict[str, Subject] = {}


class Work(NamedTuple):
    """Flips of one file for one process."""

    name: str
    bits: list[int]
    repaired: bool


def subjects() -> dict[str, Subject]:
    """The files: golden ones under their names, then fresh ones."""
    found = {path.name: subject(path.name, path.read_bytes()) for path in sorted(GOLDEN.glob("*.lfmt"))}
    return found | {name: subject(name, data) for name, data in small_files()}


def plan(files: dict[str, Subject], count: int, seed: int) -> dict[str, list[int]]:
    """Which bits of each file are flipped: what small files have no bits for is left to the golden ones."""
    golden = [whole for name, whole in files.items() if name.endswith(".lfmt")]
    small = [whole for name, whole in files.items() if not name.endswith(".lfmt")]
    chosen = _spread(small, count - count // GOLDEN_SHARE, seed)
    return chosen | _spread(golden, count - sum(map(len, chosen.values())), seed)


def _spread(files: list[Subject], count: int, seed: int) -> dict[str, list[int]]:
    """`count` bits, as evenly over the files as their sizes allow."""
    chosen: dict[str, list[int]] = {}
    for left, whole in zip(range(len(files), 0, -1), sorted(files, key=lambda f: f.bits), strict=True):
        chosen[whole.name] = chosen_bits(whole, -(-count // left), seed)
        count -= len(chosen[whole.name])
    return chosen


def flip_all(work: Work) -> tuple[str, Counter[str], list[str]]:
    """Outcomes of such flips, and the findings among them."""
    whole = _subjects[work.name]
    outcomes: Counter[str] = Counter()
    findings = []
    with limited_memory():
        for bit in work.bits:
            outcome = _one(whole, bit, repaired=work.repaired)
            if outcome in (RIGHT, REFUSED, CHANGED):
                outcomes[outcome] += 1
            else:
                outcomes["finding"] += 1
                findings.append(f"{work.name} bit {bit}: {outcome}")
    return work.name, outcomes, findings


def _one(whole: Subject, bit: int, *, repaired: bool) -> str:
    damaged = flipped(whole.data, bit)
    try:
        with limited_time():
            return judge_repaired(whole, damaged, use_file) if repaired else judge(whole, damaged)
    except TooSlow as error:
        return str(error)


def _prepare() -> None:
    """In each process: the files (the same everywhere: writing is deterministic), kernels compiled by reading them."""
    faulthandler.enable()
    _subjects.update(subjects())
    for whole in _subjects.values():
        assert judge(whole, whole.data) == RIGHT, whole.name


def run(
    count: int, seed: int, *, repaired: bool, processes: int, progress: Callable[[int, int, int], None]
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Outcomes by file, and all findings."""
    _prepare()
    chosen = plan(_subjects, count, seed)
    todo = [
        Work(name, bits[i : i + _CHUNK], repaired)
        for name, bits in chosen.items()
        for i in range(0, len(bits), _CHUNK)
    ]
    total, done = sum(map(len, chosen.values())), 0
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    findings: list[str] = []
    with multiprocessing.get_context("spawn").Pool(processes, _prepare) as pool:
        for name, counts, found in pool.imap_unordered(flip_all, todo):
            outcomes[name] += counts
            findings += found
            done += counts.total()
            progress(done, total, len(findings))
    return outcomes, findings


def _progress_bar() -> Callable[[int, int, int], None]:
    start = time.monotonic()

    step = 1000 if sys.stderr.isatty() else 50_000
    shown = 0

    def show(done: int, total: int, findings: int) -> None:
        nonlocal shown
        if done - shown < step and done < total:
            return
        shown = done
        spent = time.monotonic() - start
        bar = "#" * (30 * done // max(total, 1))
        left = spent * (total - done) / done
        end = "\n" if done == total else ""
        line = (
            f"\r[{bar:30}] {done:,}/{total:,} flips, {findings} findings, {spent:.0f} s, {left:.0f} s left  "
        )
        print(line, end=end, file=sys.stderr, flush=True)

    return show


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz.flips", description=__doc__)
    parser.add_argument("--count", type=int, default=500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repair", action="store_true", help="make all checksums right after each flip")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(argv)
    outcomes, findings = run(
        options.count,
        options.seed,
        repaired=options.repair,
        processes=options.processes,
        progress=_progress_bar(),
    )
    columns = (RIGHT, REFUSED, CHANGED, "finding")
    print(f"{'file':20}" + "".join(f"{column:>10}" for column in columns))
    everything: Counter[str] = Counter()
    for name, counts in sorted(outcomes.items()):
        everything += counts
        print(f"{name:20}" + "".join(f"{counts[column]:>10,}" for column in columns))
    print(f"{'all':20}" + "".join(f"{everything[column]:>10,}" for column in columns))
    for line in findings[:20]:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
