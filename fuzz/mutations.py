"""How valid inputs are made hostile. Everything is drawn from the generator given, so a seed repeats a run."""

from __future__ import annotations

import random

from tests.support.checksums import pieces, repair, repair_footer

TELLING = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0xFFFFFFFF,
    1 << 31,
    1 << 62,
    1 << 63,
    (1 << 64) - 1,
]
_COUNTS = [1, 1, 1, 2, 4, 16]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A variation of `data`: flipped, overwritten, cut, repeated or spliced."""
    changed = bytearray(data)
    for _ in range(rng.choice(_COUNTS)):
        if not changed:
            return rng.randbytes(rng.randrange(1, 64))
        at = rng.randrange(len(changed))
        match rng.randrange(6):
            case 0:
                del changed[at:]
            case 1:
                del changed[at : at + rng.randrange(1, 64)]
            case 2:
                changed[at:at] = changed[at : at + rng.randrange(1, 64)]
            case _:
                _overwrite(changed, at, rng)
    return bytes(changed)


def _overwrite(data: bytearray, at: int, rng: random.Random) -> None:
    """Change bytes from `at` without moving any."""
    match rng.randrange(5):
        case 0:
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            data[at] = (data[at] + rng.choice([-2, -1, 1, 2])) & 0xFF
        case 2 | 3:
            width = rng.choice([1, 2, 4, 8])
            at -= rng.choice([0, at % width])
            number = rng.choice(TELLING) & ((1 << 8 * width) - 1)
            data[at : at + width] = number.to_bytes(width, "little")[: len(data) - at]
        case _:
            source = rng.randrange(len(data))
            part = data[source : source + rng.choice([1, 2, 4, 8, 16])][: len(data) - at]
            data[at : at + len(part)] = part


def mutate_file(data: bytes, rng: random.Random) -> bytes:
    """A variation of an `.lfmt` file: mostly one of its regions overwritten in place, checksums repaired."""
    parts: dict[str, list[tuple[int, int]]] = {}
    for kind, start, stop, _ in pieces(data):
        if start < stop:
            parts.setdefault(kind, []).append((start, stop))
    if not parts or rng.random() < 0.1:
        return finish_file(mutate(data, rng), rng)
    changed = bytearray(data)
    for _ in range(rng.choice(_COUNTS)):
        start, stop = rng.choice(parts[rng.choice(sorted(parts))])
        region = changed[start:stop]
        _overwrite(region, _early(len(region), rng), rng)
        changed[start:stop] = region
    return finish_file(bytes(changed), rng)


def _early(length: int, rng: random.Random) -> int:
    """A position; headers of long regions are hit more often than their rest."""
    return rng.randrange(min(length, 64) if rng.random() < 0.5 else length)


def finish_file(data: bytes, rng: random.Random) -> bytes:
    """Repair checksums, mostly: without that, nothing behind them would ever be reached."""
    draw = rng.random()
    if draw < 0.05:
        return data
    return repair_footer(data) if draw < 0.15 else repair(repair_footer(data) if draw < 0.5 else data)


def repair_sometimes(data: bytes) -> bytes:
    """`finish_file` for fuzzers without a generator: what is done follows from the data."""
    return finish_file(data, random.Random(data[-24:]))
