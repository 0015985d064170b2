"""The only place that chooses encodings.

A choice is deterministic. Every encoding that accepts the type encodes a few whole blocks from all over the
page (the dictionary, which is shared by a page, the whole page); its score is the bytes it would take plus
the time it takes to decode, priced in bytes by the level. The lowest score wins, ties go to the lower id.
What was considered is kept as text for the inspector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import EncodingId
from lance_fmt.v1 import ENCODINGS, lists
from lance_fmt.v1.protocol import Encoded, Encoding
from lance_fmt.errors import InvalidDataError

Level = Literal["speed", "balanced", "small"]

# Nanoseconds to decode one byte of plain values, measured on blocks of 16 KiB of numbers (strings add the
# same to each), per-block cost included.
DECODE_NS = {
    EncodingId.PLAIN: 0.1,
    EncodingId.BITPACKED: 0.3,
    EncodingId.DICTIONARY: 0.6,
    EncodingId.ZSTD: 1.1,
}
# Bytes one would store to save a nanosecond of decoding.
BYTES_PER_NS = {"speed": 1.0, "balanced": 0.2, "small": 0.005}
EFFORT = {"speed": 1, "balanced": 3, "small": 12}
_SAMPLE_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """An encoding, the page encoded with it, and the evidence for it."""

    encoding: Encoding
    encoded: Encoded
    evidence: str


def check_level(level: str) -> Level:
    """`level` if it is one; InvalidDataError otherwise."""
    for known in get_args(Level):
        if level == known:
            return known  # type: ignore[no-any-return]
    raise InvalidDataError(f"level {level!r} is not one of {', '.join(get_args(Level))}")


def choose(column: Column, starts: list[int], level: Level) -> Choice:
    """Encode the page `column`, whose blocks start at `starts` (its last entry is the number of rows)."""
    effort = EFFORT[level]
    candidates = [e for e in ENCODINGS.values() if lists.accepts(e, column.type)]
    if len(candidates) == 1:
        return Choice(
            candidates[0], _encoded(candidates[0], column, starts, effort), f"only {candidates[0].name}"
        )
    sample, sample_starts = _sample(column, starts)
    raw, sampled = values_size(column), values_size(sample)
    scale = raw / sampled if sampled else 1.0
    best: tuple[float, Encoding, Encoded | None] | None = None
    sizes = []
    for encoding in candidates:
        whole = encoding.id is EncodingId.DICTIONARY
        encoded = lists.encode(encoding, *((column, starts) if whole else (sample, sample_starts)), effort)
        if encoded is None:
            sizes.append(f"{encoding.name} unsuited")
            continue
        size = encoded.size * (1.0 if whole else scale)
        score = size + raw * DECODE_NS[encoding.id] * BYTES_PER_NS[level]
        sizes.append(f"{encoding.name} {size:.0f} (score {score:.0f})")
        if best is None or score < best[0]:
            best = (score, encoding, encoded if whole or sample is column else None)
    assert best is not None  # plain accepts every type and every value
    done = best[2] or _encoded(best[1], column, starts, effort)
    evidence = f"{best[1].name}; {sampled} of {raw} bytes sampled: {', '.join(sizes)}"
    return Choice(best[1], done, evidence)


def _encoded(encoding: Encoding, column: Column, starts: list[int], effort: int) -> Encoded:
    encoded = lists.encode(encoding, column, starts, effort)
    assert encoded is not None  # it encoded the sample of the same page
    return encoded


def _sample(column: Column, starts: list[int]) -> tuple[Column, list[int]]:
    """Blocks evenly spread over the page, or all of it."""
    blocks = len(starts) - 1
    if blocks <= _SAMPLE_BLOCKS:
        return column, starts
    picks = np.linspace(0, blocks - 1, _SAMPLE_BLOCKS).astype(int).tolist()
    parts = [column.slice(starts[i], starts[i + 1]) for i in picks]
    bounds = np.cumsum([0, *map(len, parts)]).tolist()
    return Column.concat(parts), bounds


def values_size(column: Column) -> int:
    """Bytes of the values in memory, with 1 byte for each length of a string or list."""
    if column.offsets is None:
        return len(column) * column.type.stride
    start, stop = int(column.offsets[0]), int(column.offsets[-1])
    if isinstance(column.values, Column):
        return len(column) + values_size(column.values.slice(start, stop))
    return len(column) + stop - start
