"""Feeds every target mutated inputs: `python -m fuzz.run --seconds 60 --seed 1`.

Mutations flip bits, overwrite with telling numbers, cut, repeat and splice; for files, half of the inputs get their
footer checksum repaired, so that what lies behind it is reached. A finding is written to `fuzz/corpus/<target>/`,
which `tests/test_fuzz_corpus.py` replays for ever. Exit status 1 if there was one.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from fuzz.targets import TARGETS, canary, seeds
from lance_fmt import crc32c

CORPUS = Path(__file__).parent / "corpus"
TELLING = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A variation of `data`."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        if not changed:
            return rng.randbytes(rng.randrange(1, 64))
        at = rng.randrange(len(changed))
        kind = rng.randrange(6)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            number = rng.choice(TELLING)
            width = rng.choice([1, 2, 4, 8])
            changed[at : at + width] = (number & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            del changed[at : at + rng.randrange(1, 64)]
        elif kind == 4:
            changed[at:at] = changed[at : at + rng.randrange(1, 64)]
        else:
            source = rng.randrange(len(changed))
            changed[at : at + 16] = changed[source : source + 16]
    return bytes(changed)


def repair_footer(data: bytes) -> bytes:
    """`data` with the checksum in an `.lfmt` footer made right, and the file length in it."""
    if len(data) < 64:
        return data
    body = len(data).to_bytes(8, "little") + data[-56:-8]
    return data[:-64] + body + crc32c(body).to_bytes(4, "little") + data[-4:]


def run_one(target: Callable[[bytes], None], data: bytes) -> str | None:
    """What went wrong, or None."""
    try:
        target(data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error))
    return None


def campaign(name: str, seconds: float, seed: int) -> int:
    """Run one target for some seconds; returns the number of findings."""
    rng = random.Random(f"{seed} {name}")
    pool = seeds(name)
    findings = executions = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and findings < 5:
        data = mutate(rng.choice(pool), rng)
        if name == "file" and rng.random() < 0.5:
            data = repair_footer(data)
        problem = run_one(TARGETS[name], data)
        executions += 1
        if problem is not None:
            findings += 1
            path = CORPUS / name / hashlib.sha256(data).hexdigest()[:16]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"{name}: {path}\n{problem}", flush=True)
    print(f"{name}: {executions:,} inputs, {findings} findings (seed {seed})", flush=True)
    return findings


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--target", choices=sorted(TARGETS))
    options = parser.parse_args(argv)
    if run_one(canary, b"tweet") is None:
        print("the canary did not fail: this harness reports nothing", file=sys.stderr)
        return 1
    names = [options.target] if options.target else sorted(TARGETS)
    found = sum(campaign(name, options.seconds / len(names), options.seed) for name in names)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
