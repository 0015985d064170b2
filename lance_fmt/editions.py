"""What each version of the format brought; an id never leaves its edition and never changes its meaning.

A reader of a version reads everything of its edition and of those before. A writer states the oldest edition
that has all that a file uses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lance_fmt.constants import AuxiliaryId, EncodingId, Feature, StreamId, TypeId


@dataclass(frozen=True, slots=True)
class Edition:
    """A version (major, minor), the release it came with, and the wire ids it added."""

    version: tuple[int, int]
    release: str
    types: frozenset[TypeId]
    pages: frozenset[EncodingId]
    streams: frozenset[StreamId]
    auxiliary: frozenset[AuxiliaryId]
    features: Feature


EDITIONS = (
    Edition(
        (1, 0),
        "0.1.0",
        frozenset(TypeId(i) for i in range(1, 19)),
        frozenset(EncodingId(i) for i in range(1, 5)),
        frozenset(),
        frozenset(),
        Feature(0),
    ),
    Edition(
        (1, 1),
        "0.2.0",
        frozenset(TypeId(i) for i in range(19, 26)),
        frozenset({EncodingId.STREAMS}),
        frozenset(StreamId(i) for i in range(1, 14)),
        frozenset(AuxiliaryId(i) for i in range(1, 3)),
        Feature.STREAMS | Feature.TYPES_1_1 | Feature.AUXILIARY,
    ),
)


def oldest_version(features: Feature) -> tuple[int, int]:
    """The oldest version that has all of `features`."""
    return max((e.version for e in EDITIONS if e.features & features), default=EDITIONS[0].version)
