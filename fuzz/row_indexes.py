"""The target for row indexes: the number of rows, and a region whose checksums are put in before it is read."""

from __future__ import annotations

import struct

import numpy as np

from fuzz.target import FILE_ERRORS, Target
from lance_fmt import crc32c
from lance_fmt.row_index import RowIndex, write_row_index
from lance_fmt.source import BytesSource

_ROWS = struct.Struct("<I")
_FIELDS = struct.Struct("<QBBB")
_HEADER = 16
_RECORD = 8
_ASKED = np.array(
    [0, 1, 1 << 63, (1 << 64) - 1, *(np.arange(40, dtype=np.uint64) << np.uint64(58))], np.uint64
)


def row_index(data: bytes) -> None:
    """Candidates exist as rows, and come the same one by one and together."""
    if len(data) < _ROWS.size:
        return
    rows, region = _ROWS.unpack_from(data)[0], bytearray(data[_ROWS.size :])
    index = RowIndex(BytesSource(region), 0, len(region), _repair(region), "fuzz", rows=rows)
    try:
        index.load()
        starts, found = index.candidates_batch(_ASKED)
    except FILE_ERRORS:
        starts = None
    lazy = RowIndex(BytesSource(region), 0, len(region), _repair(region), "fuzz", rows=rows)
    for number, asked in enumerate(_ASKED.tolist()):
        try:
            single = lazy.candidates(asked)
        except FILE_ERRORS:
            assert starts is None, "what loads can be asked"
            continue
        assert all(0 <= row < rows for row in single)
        assert starts is None or single == found[starts[number] : starts[number + 1]].tolist()


def _repair(region: bytearray) -> int:
    """Compute the checksums of all partitions; the CRC of the header."""
    if len(region) < _HEADER:
        return crc32c(bytes(region))
    _, partition_bits, bucket_bits, width = _FIELDS.unpack_from(region)
    at = _HEADER + (_RECORD << min(partition_bits, 24))
    header = at
    for record in range(_HEADER, min(at, len(region) - _RECORD + 1), _RECORD):
        size = struct.unpack_from("<I", region, record)[0] * (width + 2) + 4 * (
            (1 << min(bucket_bits, 16)) + 1
        )
        stop = at + size + -size % 8
        struct.pack_into("<I", region, record + 4, crc32c(bytes(region[at:stop])))
        at = stop
    return crc32c(bytes(region[:header]))


def _regions() -> list[bytes]:
    """Indexes of few rows and of several partitions, the hashes asked for among them, some twice."""
    found = []
    for count in (0, 3, 400, 5000):
        hashes = np.random.default_rng(count).integers(0, 1 << 64, count, np.uint64)
        hashes[: len(_ASKED)] = _ASKED[: len(hashes)]
        hashes[count // 2 : count // 2 + 2] = hashes[:2][: len(hashes[count // 2 : count // 2 + 2])]
        found.append(_ROWS.pack(count) + write_row_index(hashes))
    return found


ROW_INDEX_TARGETS: dict[str, Target] = {"row_index": Target(row_index, _regions)}
