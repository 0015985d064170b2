"""Zstandard (RFC 8878) over the bytes of strings or numbers (FORMAT.md, "Zstandard")."""

from __future__ import annotations

import threading

import zstandard

from lance_fmt.constants import MAX_ZSTD_RATIO, StreamId
from lance_fmt.encodings import compressed
from lance_fmt.encodings.protocol import (
    Chooser,
    Kind,
    Mask,
    Recipe,
    Sample,
    StreamReader,
    StreamWriter,
    Test,
    Values,
)
from lance_fmt.wire import Cursor

# Instead of a level: hardly look for matches. The bytes of a plane of floats are skewed, not repeated, and what
# short matches Zstandard finds among them cost more than the symbols they replace.
LITERALS = 0
_WORST_GAIN = 0.9
_PROBE = 1 << 14


class _Contexts(threading.local):
    """One of each for each thread: contexts are not safe to share, and dear to make for each block."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor()
        self._compressors: dict[int, zstandard.ZstdCompressor] = {}

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        """The compressor of a level."""
        found = self._compressors.get(level)
        if found is None:
            found = self._compressors[level] = _compressor(level)
        return found


def _compressor(level: int) -> zstandard.ZstdCompressor:
    if level != LITERALS:
        return zstandard.ZstdCompressor(level=level)
    rare = zstandard.ZstdCompressionParameters.from_level(
        3, strategy=zstandard.STRATEGY_FAST, min_match=7, hash_log=6, window_log=17
    )
    return zstandard.ZstdCompressor(compression_params=rare)


_contexts = _Contexts()


class Zstd:
    """Zstandard; numbers and byte strings. The recipe's parameter is the level, or `LITERALS`."""

    id = StreamId.ZSTD
    name = "zstd"

    def accepts(self, kind: Kind) -> bool:
        """All but bools."""
        return compressed.accepts(kind)

    def plan(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe | None:
        """Where the start of the first block shrinks by a tenth."""
        probe = compressed.raw_bytes(sample.blocks[0])[:_PROBE]
        if len(_contexts.compressor(1).compress(probe)) > _WORST_GAIN * len(probe):
            return None
        return self.fixed(sample, kind, chooser)

    def fixed(self, sample: Sample, kind: Kind, chooser: Chooser) -> Recipe:
        """Whatever it costs."""
        level = chooser.effort
        if not kind.is_strings and kind.dtype.itemsize == 1:
            probe = compressed.raw_bytes(sample.blocks[0])
            level = min((level, LITERALS), key=lambda each: len(_contexts.compressor(each).compress(probe)))
        return Recipe(self.id, compressed.children(sample, kind, chooser), level)

    def encode(self, values: Values, kind: Kind, recipe: Recipe, out: StreamWriter) -> bytes:  # noqa: ARG002
        """Size, zero, lengths, one frame."""
        raw = compressed.raw_bytes(values)
        frame = _contexts.compressor(recipe.parameters).compress(raw)
        return compressed.write(values, len(raw), 0, frame, recipe, out)

    def decode(self, payload: Cursor, count: int, kind: Kind, source: StreamReader) -> Values:
        """The content size of the frame must be the declared one."""
        packed = compressed.Packed(payload, count, kind, source, MAX_ZSTD_RATIO)
        if packed.word:
            raise payload.fail("reserved bytes of a Zstandard stream are not zero")
        return packed.values(decompress(payload, packed.compressed, packed.size))

    def match(self, payload: Cursor, count: int, kind: Kind, source: StreamReader, test: Test) -> Mask:
        """Decodes first."""
        return test.mask(self.decode(payload, count, kind, source))


def decompress(payload: Cursor, frame: memoryview, size: int) -> bytes:
    """The content of one frame of `payload`, which must declare exactly `size` bytes (checked by the caller)."""
    try:
        # The library reserves what the frame header says, so that must be the checked size.
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared != size:
            raise payload.fail(f"Zstandard frame of {declared} bytes, {size} declared")
        raw: bytes = _contexts.decompressor.decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise payload.fail(f"Zstandard: {error}") from None
    if len(raw) != size:
        raise payload.fail(f"{len(raw)} bytes decompressed, {size} declared")
    return raw
