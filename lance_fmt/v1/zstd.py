"""Plain blocks under Zstandard (RFC 8878; FORMAT.md, "Zstandard").

Fixed-width values are written byte plane by byte plane first: the high bytes of numbers resemble each
other. The size after decompression is declared, checked against the frame's own and a limit, before any
memory is reserved.
"""

from __future__ import annotations

import numpy as np

from lance_fmt.column import Column
from lance_fmt.constants import MAX_BLOCK_BYTES, MAX_ZSTD_RATIO, EncodingId, TypeId
from lance_fmt.encodings.zstd import decompress
from lance_fmt.schema import DataType
from lance_fmt.v1.plain import Plain
from lance_fmt.wire import Cursor


class Zstd:
    """Zstandard over the plain bytes of a block; accepts all but vectors."""

    id = EncodingId.ZSTD
    name = "zstd"

    def open(self, shared: Cursor, data_type: DataType) -> None:  # noqa: ARG002
        """Compressed pages share nothing."""
        shared.expect_end("shared bytes of a compressed page")

    def decode(self, block: Cursor, rows: int, data_type: DataType, shared: Column | None) -> Column:
        """Decompress, then as plain."""
        if not block.remaining:
            return Plain().decode(block, rows, data_type, shared)
        size = block.u64("decompressed size")
        frame = block.take(block.remaining, "compressed bytes")
        if size > min(MAX_BLOCK_BYTES, MAX_ZSTD_RATIO * len(frame)):
            raise block.fail(f"decompressed size {size} is more than the format allows")
        planes = _plane_count(data_type)
        if size % planes:
            raise block.fail(f"decompressed size {size} is no multiple of {planes}")
        raw = _from_planes(decompress(block, frame, size), planes)
        return Plain().decode(Cursor(raw, path=block.path, base=block.offset), rows, data_type, shared)


def _plane_count(data_type: DataType) -> int:
    return 1 if data_type.is_variable or data_type.id is TypeId.BOOL else data_type.stride


def _from_planes(raw: bytes, planes: int) -> bytes:
    if planes == 1:
        return raw
    return np.frombuffer(raw, np.uint8).reshape(planes, -1).T.tobytes()
