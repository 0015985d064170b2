"""What a target is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import lance_fmt
from fuzz.mutations import mutate

FILE_ERRORS = (lance_fmt.CorruptFileError, lance_fmt.UnsupportedVersionError)
"""All that bytes of a file may raise. InvalidDataError and SchemaError blame the caller, who did nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """`check` takes hostile bytes and returns; whatever it raises is a finding.

    `seeds` makes valid inputs to start from. `mutate` varies one; `finish` is what has to be done to bytes that
    somebody else varied (to repair their checksums).
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    mutate: Callable[[bytes, random.Random], bytes] = mutate
    finish: Callable[[bytes], bytes] = bytes
