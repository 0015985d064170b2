"""Single bits flipped in files, and what a full read makes of them.

"right": the same values as before. "refused": CorruptFileError or UnsupportedVersionError. Anything else is a
finding, in particular other values ("silent"). With checksums repaired after the flip, a file says something
else with good right ("changed"), and what must not happen is any other error.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

import lance_fmt
from lance_fmt import Table
from tests.support.checksums import repair
from tests.support.format_values import sample_columns

REFUSALS = (lance_fmt.CorruptFileError, lance_fmt.UnsupportedVersionError)
LEVELS: list[Literal["speed", "balanced", "small"]] = ["speed", "balanced", "small"]
RIGHT, REFUSED, CHANGED = "right", "refused", "changed"


@dataclass(frozen=True)
class Subject:
    """A file, and what it says while it is whole."""

    name: str
    data: bytes
    truth: Table
    metadata: dict[str, str]

    @property
    def bits(self) -> int:
        """Bits that can be flipped."""
        return 8 * len(self.data)


def subject(name: str, data: bytes) -> Subject:
    """A subject of a whole file."""
    with lance_fmt.open(data) as file:
        return Subject(name, data, file.read(), dict(file.metadata))


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit inverted."""
    changed = bytearray(data)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)


def says_the_same(whole: Subject, table: Table, metadata: dict[str, str]) -> bool:
    """Whether schema, key-values and every value are those of the whole file."""
    return (
        table.schema == whole.truth.schema
        and metadata == whole.metadata
        and all(table[name].equals(column) for name, column in whole.truth.items())
    )


def judge(whole: Subject, damaged: bytes) -> str:
    """`right`, `refused`, or a finding: read everything, whatever was damaged."""
    try:
        with lance_fmt.open(damaged) as file:
            table, metadata = file.read(), dict(file.metadata)
    except REFUSALS:
        return REFUSED
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return RIGHT if says_the_same(whole, table, metadata) else "silent"


def judge_repaired(whole: Subject, damaged: bytes, use: Callable[[bytes], None]) -> str:
    """`judge` for a file whose checksums are right again: other values are no finding, any failure of `use` is."""
    repaired = repair(damaged)
    outcome = judge(whole, repaired)
    try:
        use(repaired)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    return CHANGED if outcome == "silent" else outcome


def small_files(rows: int = 40, columns: int = 4, every: int = 1) -> Iterator[tuple[str, bytes]]:
    """Fresh files at each level, a few columns each, that together have every type with and without nulls.

    `every`: only each so-manieth of them.
    """
    values = list(sample_columns(rows).items())
    wanted = [(level, first) for level in LEVELS for first in range(0, len(values), columns)]
    for level, first in wanted[::every]:
        out = io.BytesIO()
        lance_fmt.write(out, dict(values[first : first + columns]), metadata={"k": "v"}, level=level)
        yield f"{level}-{first // columns:02}", out.getvalue()


def chosen_bits(whole: Subject, count: int, seed: int) -> list[int]:
    """`count` different bits of a file, all of them if it has no more; in ascending order."""
    if count >= whole.bits:
        return list(range(whole.bits))
    return np.sort(np.random.default_rng(seed).choice(whole.bits, count, replace=False)).tolist()
