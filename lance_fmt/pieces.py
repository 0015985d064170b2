"""Many small pieces of a file as arrays: read with few large reads, checked and taken apart together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from lance_fmt.checksum import crc32c
from lance_fmt.source import ReadAt

# One read for pieces that lie so near each other, and no read larger than this.
_NEAR = 4096
_LARGEST_READ = 16 << 20

Array = np.ndarray[Any, Any]


class Pieces(NamedTuple):
    """Piece i is `data[starts[i] : starts[i] + sizes[i]]`; `data` is uint8, the others int64."""

    data: Array
    starts: Array
    sizes: Array

    def spans(self) -> tuple[memoryview, list[int], list[int]]:
        """The bytes, and where in them each piece begins and ends."""
        return self.data.data, self.starts.tolist(), (self.starts + self.sizes).tolist()

    def intact(self, checksums: Sequence[int]) -> Array:
        """Whether each piece has this CRC32C, as bools."""
        data, starts, stops = self.spans()
        triples = zip(starts, stops, checksums, strict=True)
        return np.fromiter((crc32c(data[a:b]) == crc for a, b, crc in triples), np.bool_, len(starts))

    def take(self, dtype: np.dtype[Any], places: Array) -> Array:
        """The values of a type at these bytes of `data`; IndexError where one is not inside."""
        count = max(0, len(self.data) - dtype.itemsize + 1)
        everywhere: Array = np.ndarray((count,), dtype, self.data, strides=(1,))
        return everywhere[places]


def read_pieces(source: ReadAt, offsets: Array, lengths: Array) -> Pieces:
    """The bytes at these int64 places of a source: shorter, or none, where it ends before."""
    end = source.size()
    found = np.zeros(len(offsets), np.int64), np.zeros(len(offsets), np.int64)
    order = np.argsort(offsets, kind="stable")
    order = order[((offsets >= 0) & (offsets < end))[order]]
    if not len(order):
        return Pieces(np.empty(0, np.uint8), *found)
    starts = offsets[order]
    stops = starts + np.minimum(lengths[order], end - starts)
    reach = np.maximum.accumulate(stops)
    far = starts[1:] > reach[:-1] + _NEAR
    far |= starts[1:] // _LARGEST_READ != starts[:-1] // _LARGEST_READ
    cuts = [0, *(np.flatnonzero(far) + 1).tolist(), len(order)]
    chunks, at = [], 0
    for first, stop in pairwise(cuts):
        begin = int(starts[first])
        raw = source.read_at(begin, int(stops[first:stop].max()) - begin)
        chunks.append(raw)
        group = slice(first, stop)
        # A file that is cut while it is read gives less than was asked for.
        sizes = np.maximum(np.minimum(stops[group] - begin, len(raw)) - (starts[group] - begin), 0)
        found[0][order[group]] = np.minimum(starts[group] - begin, len(raw)) + at
        found[1][order[group]] = sizes
        at += len(raw)
    joined = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Pieces(np.frombuffer(joined, np.uint8), *found)
