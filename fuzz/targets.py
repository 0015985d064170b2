"""All targets by name, and the canaries: targets that must fail, so that a harness which reports nothing is noticed."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

import numpy as np

import lance_fmt
from fuzz.decoders import DECODER_TARGETS
from fuzz.files import FILE_TARGETS, written
from fuzz.mutations import mutate_file, repair_sometimes
from fuzz.row_indexes import ROW_INDEX_TARGETS
from fuzz.target import FILE_ERRORS, Target
from fuzz.vego_targets import VEGO_TARGETS

TARGETS: dict[str, Target] = {
    **FILE_TARGETS,
    **DECODER_TARGETS,
    **ROW_INDEX_TARGETS,
    **VEGO_TARGETS,
}


@cache
def _nest() -> bytes:
    return written({"sound": np.arange(100) % 7})


def canary(data: bytes) -> None:
    """Fails for a file that can be read but says something else: only damage behind all checksums gets there."""
    with suppress(*FILE_ERRORS), lance_fmt.open(data) as file:
        for sound in file.read().values():
            if sound.type == lance_fmt.int64() and sound.array.tolist() != [i % 7 for i in range(100)]:
                raise IndexError("the canary sings")


def canary_that_eats(data: bytes) -> None:  # noqa: ARG001
    """Asks for more memory than an input may cost."""
    np.empty(1 << 40, np.uint8)


def canary_that_sleeps(data: bytes) -> None:  # noqa: ARG001
    """Never ends."""
    while True:
        pass


CANARIES: dict[str, Target] = {
    "canary": Target(canary, lambda: [_nest()], mutate_file, repair_sometimes),
    "canary_that_eats": Target(canary_that_eats, lambda: [b"seed"]),
    "canary_that_sleeps": Target(canary_that_sleeps, lambda: [b"seed"]),
}
