"""The only place that chooses encodings.

A choice is deterministic. Every encoding that accepts the values plans how it would write them, down to the
streams inside its payload, and writes the sample; its score is the bytes that took plus the time that decoding
takes by the table below, priced in bytes by the level. The lowest score wins, ties go to the lower id. What was
considered is kept as text for the inspector. Pages after the first are written as the one before and only measured
(`Habit`): they are weighed when they do not come to what the first came to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from lance_fmt.checksum import crc32c
from lance_fmt.constants import StreamId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.constant import is_constant
from lance_fmt.encodings.protocol import (
    Encoding,
    Kind,
    PageParameters,
    Recipe,
    Sample,
    Strings,
    Values,
    count_of,
    nbytes_of,
)
from lance_fmt.encodings.streams import PageWriter
from lance_fmt.errors import InvalidDataError

Level = Literal["speed", "balanced", "small"]
MAX_CASCADE = 3

# What decoding costs: nanoseconds for a stream, for a value, and for a byte of a string, measured by
# `python -m benchmarks.decode_costs` on blocks of 64 KiB. The first of the three is mostly Python.
DECODE_COST: dict[StreamId, tuple[float, float, float]] = {
    StreamId.PLAIN: (3600, 0.05, 0.07),
    StreamId.CONSTANT: (5300, 0.15, 0.37),
    StreamId.BITPACKED: (7400, 0.19, 0.0),
    StreamId.FRAME_OF_REFERENCE: (3000, 0.04, 0.0),
    StreamId.DELTA: (5000, 0.40, 0.0),
    StreamId.VARINT: (5400, 2.73, 0.0),
    StreamId.RUN_LENGTH: (6000, 0.20, 0.0),
    StreamId.DICTIONARY: (4000, 0.50, 0.60),
    StreamId.BYTE_STREAM_SPLIT: (0, 0.28, 0.0),
    StreamId.ALP: (8000, 0.14, 0.0),
    StreamId.FSST: (10000, 1.00, 0.55),
    StreamId.SNAPPY: (9000, 0.75, 0.67),
    StreamId.ZSTD: (10300, 1.84, 1.72),
}
# Bytes one would store to save a nanosecond of decoding.
BYTES_PER_NS = {"speed": 1.0, "balanced": 0.07, "small": 0.002}
EFFORT = {"speed": 1, "balanced": 3, "small": 12}
_SAMPLE_BLOCKS = 2
# Streams inside others are not weighed at all up to this many bytes, and not for compression up to the next.
_TINY = 64
_SMALL = 2048
# A page is as good as the first one written alike if its score for each raw byte is at most so much worse or better.
_WORSE = 1.04
_BETTER = 1.1
# A column best left plain may have become one that is not without plain pages showing it: it is weighed again after
# so many pages, and then after as many as there were, up to the last.
_MOST_UNWEIGHED = 16

Trace = list[tuple[StreamId, Kind, int, int]]


@dataclass(frozen=True, slots=True)
class Choice:
    """A recipe for a page and the evidence for it."""

    recipe: Recipe
    evidence: str


class Habit:
    """What was chosen for a stream of a column's pages, and how well it does: like pages need no weighing.

    `share` is `LevelChooser.share` of the first page written by `recipe`, `before` the habit given up for it.
    """

    def __init__(self, recipe: Recipe, share: float, before: Habit | None) -> None:
        self._recipe = recipe
        self._share = share
        self._plain = recipe.id is StreamId.PLAIN
        self._patience: int = min(2 * before._patience, _MOST_UNWEIGHED) if before and before._plain else 1
        self._pages = 0
        if isinstance(recipe.parameters, PageParameters):
            recipe.parameters.forget()

    def recipe(self, page: Sequence[Values]) -> Recipe | None:
        """The recipe for the next page; None if that is to be weighed."""
        self._pages += 1
        if self._plain and self._pages > self._patience:
            return None
        parameters = self._recipe.parameters
        if not isinstance(parameters, PageParameters):
            return self._recipe
        renewed = parameters.renewed(page)
        return None if renewed is None else replace(self._recipe, parameters=renewed)

    def holds(self, share: float) -> bool:
        """Whether a page that came to `share` was written as well as the first."""
        return self._share / _BETTER <= share <= self._share * _WORSE


def check_level(level: str) -> Level:
    """`level` if it is one; InvalidDataError otherwise."""
    for known in get_args(Level):
        if level == known:
            return known  # type: ignore[no-any-return]
    raise InvalidDataError(f"level {level!r} is not one of {', '.join(get_args(Level))}")


def encoding_named(name: str) -> Encoding:
    """The encoding that tools and overrides call `name`."""
    for encoding in ENCODINGS.values():
        if encoding.name == name:
            return encoding
    known = ", ".join(encoding.name for encoding in ENCODINGS.values())
    raise InvalidDataError(f"there is no encoding {name!r}; there are {known}")


def encoding_names(kinds: Iterable[Kind]) -> list[str]:
    """Names of the encodings that can write values of one of `kinds`."""
    asked = list(kinds)
    return [e.name for e in ENCODINGS.values() if any(e.accepts(kind) for kind in asked)]


class LevelChooser:
    """Chooses for one level. `above` names the encodings whose payload the stream is part of."""

    def __init__(self, level: Level, above: frozenset[StreamId] = frozenset()) -> None:
        self.effort = EFFORT[level]
        self._level = level
        self._above = above
        self._seen: dict[tuple[str, int, int], Recipe] = {}

    def choose(self, sample: Sample, kind: Kind, *, without: frozenset[StreamId] = frozenset()) -> Recipe:
        """The best recipe for such values, one level deeper."""
        if kind.is_strings or not self._above:
            return self.weigh(sample, kind, without).recipe
        raw = sum(map(nbytes_of, sample.blocks))
        if raw <= _TINY and not kind.is_bool:
            return Recipe(StreamId.PLAIN)
        # Several encodings ask about the same lengths or codes.
        key = (kind.name, len(self._above), _fingerprint(sample))
        known = self._seen.get(key)
        if known is not None and not _ids(known) & (without | self._above - {StreamId.PLAIN}):
            return known
        self._seen[key] = recipe = self.weigh(sample, kind, without).recipe
        return recipe

    def weigh(self, sample: Sample, kind: Kind, without: frozenset[StreamId] = frozenset()) -> Choice:
        """The best recipe, with evidence."""
        raw = sum(map(nbytes_of, sample.blocks))
        # A block of one value is written so under every recipe: the others decide.
        varied = [block for block in sample.blocks if not is_constant(block)]
        if not varied:
            return Choice(
                _PLAIN_STRINGS if kind.is_strings else _PLAIN, f"plain; of {raw} bytes sampled: one value"
            )
        sample = replace(sample, blocks=varied)
        best: tuple[float, Recipe] | None = None
        lines = []
        for encoding in self._candidates(kind, without, raw):
            if best is not None and self._score(0, _least(encoding.id, sample, kind)) >= best[0]:
                lines.append(f"{encoding.name} no better in no bytes")
                continue
            recipe = encoding.plan(sample, kind, self._below(encoding))
            if recipe is None:
                continue
            size, nanoseconds = self._measure(sample, kind, recipe)
            score = self._score(size, nanoseconds)
            lines.append(f"{recipe} {size} bytes, {nanoseconds / 1000:.0f} us")
            if best is None or score < best[0]:
                best = (score, recipe)
        assert best is not None  # plain accepts every kind and every value
        return Choice(best[1], f"{best[1]}; of {raw} bytes sampled: {'; '.join(lines)}")

    def _score(self, size: int, nanoseconds: float) -> float:
        return size + nanoseconds * BYTES_PER_NS[self._level]

    def _candidates(self, kind: Kind, without: frozenset[StreamId], raw: int) -> list[Encoding]:
        banned = set(without) | self._above - {StreamId.PLAIN}
        if len(self._above) >= MAX_CASCADE - 1:
            banned |= _ALWAYS_CASCADE
        if self._above:
            banned.add(
                StreamId.SNAPPY
            )  # where bytes compress at all, Zstandard does better for about as long
            if raw <= _SMALL:
                banned.add(StreamId.ZSTD)
        if self._level != "small" and (kind.is_integer or self._above):
            banned.add(StreamId.BYTE_STREAM_SPLIT)  # hardly ever worth planning a stream for each byte
        return [e for e in ENCODINGS.values() if e.id not in banned and e.accepts(kind)]

    def _below(self, encoding: Encoding) -> LevelChooser:
        inner = LevelChooser(self._level, self._above | {encoding.id})
        inner._seen = self._seen
        return inner

    def _measure(self, sample: Sample, kind: Kind, recipe: Recipe) -> tuple[int, float]:
        """Bytes of the sample written by `recipe`, and nanoseconds to read it again."""
        trace: Trace = []
        writer = PageWriter(trace=trace)
        size = sum(len(writer.write(block, kind, recipe)) for block in sample.blocks)
        # Shared bytes serve the whole page: only the sample's share of them counts.
        if sample.page is not None and writer.shared.slots:
            size += sum(map(len, writer.shared.slots)) * len(sample.blocks) // len(sample.page)
        return size, sum(_cost(*entry) for entry in trace)

    def share(self, blocks: Sequence[Values], size: int, trace: Trace) -> float:
        """The score of blocks written in `size` bytes as `trace` says, for each of their raw bytes."""
        nanoseconds = sum(_cost(*entry) for entry in trace)
        return self._score(size, nanoseconds) / max(sum(map(nbytes_of, blocks)), 1)

    def fixed(self, name: str, sample: Sample, kind: Kind) -> Choice:
        """The recipe of an encoding that the user chose."""
        encoding = encoding_named(name)
        return Choice(encoding.fixed(sample, kind, self._below(encoding)), f"{name}, as asked for")


def _fingerprint(sample: Sample) -> int:
    checksum = 0
    for block in sample.blocks:
        assert isinstance(block, np.ndarray)
        checksum = crc32c(np.ascontiguousarray(block).view(np.uint8).data, checksum)
    return checksum


def _ids(recipe: Recipe) -> frozenset[StreamId]:
    return frozenset({recipe.id}).union(*map(_ids, recipe.children))


# These write streams inside streams, so they need a level below.
_ALWAYS_CASCADE = frozenset(
    {StreamId.FRAME_OF_REFERENCE, StreamId.DELTA, StreamId.RUN_LENGTH, StreamId.DICTIONARY}
    | {StreamId.BYTE_STREAM_SPLIT, StreamId.ALP, StreamId.FSST}
)


def _cost(stream: StreamId, kind: Kind, count: int, string_bytes: int) -> float:
    each, value, byte = DECODE_COST[stream]
    if stream in _BY_BYTES:
        value *= kind.dtype.itemsize
    return each + value * count + byte * string_bytes


def _least(stream: StreamId, sample: Sample, kind: Kind) -> float:
    """Nanoseconds to read the sample, without the streams inside."""
    return sum(
        _cost(stream, kind, count_of(b), b.size if isinstance(b, Strings) else 0) for b in sample.blocks
    )


_PLAIN = Recipe(StreamId.PLAIN)
_PLAIN_STRINGS = Recipe(StreamId.PLAIN, (_PLAIN,))
_BY_BYTES = frozenset({StreamId.SNAPPY, StreamId.ZSTD, StreamId.PLAIN})


def sample_of(blocks: list[Values]) -> Sample:
    """A few blocks from within the page stand for all."""
    if len(blocks) <= _SAMPLE_BLOCKS:
        return Sample(blocks, blocks)
    picks = [(2 * i + 1) * len(blocks) // (2 * _SAMPLE_BLOCKS) for i in range(_SAMPLE_BLOCKS)]
    return Sample([blocks[i] for i in picks], blocks)
