"""Metadata of one column: its shifts, its page handles, why its encodings were chosen, its auxiliary regions.

FORMAT.md, "Column metadata". Handles are one structured array over the bytes, checked as a whole.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lance_fmt import zonemap
from lance_fmt.checksum import crc32c
from lance_fmt.constants import (
    FOOTER_SIZE,
    HEADER_SIZE,
    MAX_BLOCK_BYTES,
    MAX_PAGE_SHIFT,
    PAGE_ALIGNMENT,
    PAGE_HANDLE_SIZE,
    AuxiliaryId,
    BoundsForm,
    EncodingId,
    PageFlag,
    TypeId,
)
from lance_fmt.errors import UnsupportedVersionError
from lance_fmt.schema import DataType
from lance_fmt.wire import Builder, Cursor

if TYPE_CHECKING:
    from lance_fmt.page import PageImage

HANDLE = np.dtype(
    [
        ("data_offset", "<u8"),
        ("data_length", "<u8"),
        ("index_offset", "<u8"),
        ("index_length", "<u4"),
        ("index_crc", "<u4"),
        ("rows", "<u4"),
        ("nulls", "<u4"),
        ("nans", "<u4"),
        ("encoding", "<u2"),
        ("flags", "<u2"),
        ("low", "<u8"),
        ("high", "<u8"),
    ]
)


class Handle(NamedTuple):
    """A page handle."""

    data_offset: int
    data_length: int
    index_offset: int
    index_length: int
    index_crc: int
    rows: int
    nulls: int
    nans: int
    encoding: int
    flags: int
    low: int
    high: int


_KNOWN_FLAGS = int(PageFlag.HAS_BOUNDS | PageFlag.MIN_EXACT | PageFlag.MAX_EXACT)
_HANDLE = struct.Struct("<QQQIIIIIHHQQ")
# Pages, page shift, block shift, auxiliary regions, lengths of heap and evidence.
COLUMN_HEADER = struct.Struct("<IBBHQQ")
_ENCODINGS = {int(code): code for code in EncodingId}
_STRINGS = (TypeId.STRING, TypeId.BINARY)


@dataclass(frozen=True, slots=True)
class Auxiliary:
    """A region that speeds up reading a column and is not needed to read it."""

    offset: int
    length: int
    crc: int


class ColumnMetaBuilder:
    """Gathers the handles of a column while its pages are written."""

    def __init__(self, kind: DataType) -> None:
        self._kind = kind
        self._handles: list[Builder] = []
        self._indexes: list[bytes] = []
        self._rest: list[bytes] = []
        self._heap = bytearray()
        self._evidence: list[str] = []
        self._last_evidence = ""

    def add(self, image: PageImage, offset: int, length: int) -> None:
        """A page whose data lies at `offset`; its index is placed later, by `finish`."""
        low, high = image.bounds.low, image.bounds.high
        if self._kind.id in _STRINGS:
            low, high = self._keep(low), self._keep(high)
        rest = Builder().u32(image.rows).u32(image.nulls).u32(image.bounds.nan_count)
        rest.u16(image.encoding).u16(image.bounds.flags).raw(low.ljust(8, b"\0")).raw(high.ljust(8, b"\0"))
        self._rest.append(rest.finish())
        self._handles.append(Builder().u64(offset).u64(length))
        self._indexes.append(image.index)
        # What was chosen stands before the first semicolon; pages that chose alike are told once.
        chosen = image.evidence.partition(";")[0]
        if chosen != self._last_evidence:
            self._evidence.append(f"page {len(self._indexes) - 1}: {image.evidence}")
            self._last_evidence = chosen

    def _keep(self, value: bytes) -> bytes:
        """Put a string bound on the heap; its place there is what the handle holds."""
        place = Builder().u32(len(self._heap)).u32(len(value)).finish()
        self._heap += value
        return place

    def take_indexes(self) -> list[bytes]:
        """The page indexes, in page order."""
        return self._indexes

    def finish(
        self,
        index_offset: int,
        page_shift: int,
        block_shift: int,
        auxiliary: Mapping[AuxiliaryId, Auxiliary],
    ) -> bytes:
        """The metadata, for page indexes that lie back to back from `index_offset`."""
        evidence = "\n".join(self._evidence).encode("utf-8")
        out = Builder().u32(len(self._handles)).u8(page_shift).u8(block_shift).u16(len(auxiliary))
        out.u64(len(self._heap)).u64(len(evidence))
        for handle, index, rest in zip(self._handles, self._indexes, self._rest, strict=True):
            out.raw(handle.u64(index_offset).u32(len(index)).u32(crc32c(index)).finish()).raw(rest)
            index_offset += len(index)
        out.raw(bytes(self._heap)).raw(evidence)
        for kind, region in sorted(auxiliary.items()):
            out.u16(kind).u16(0).u32(region.crc).u64(region.offset).u64(region.length)
        return out.finish()


class ColumnMeta:
    """Parsed metadata of a column."""

    __slots__ = (
        "_handles", "_pages", "auxiliary", "block_shift", "encodings", "evidence", "heap", "page_shift", "regions",
    )  # fmt: skip

    def __init__(self, shifts: tuple[int, int], handles: memoryview, encodings: list[EncodingId]) -> None:
        self.page_shift, self.block_shift = shifts
        self._handles = handles
        self._pages: np.ndarray[Any, Any] | None = None
        self.encodings = encodings
        self.evidence = ""
        self.heap = b""
        self.auxiliary: dict[AuxiliaryId, Auxiliary] = {}
        self.regions: list[Auxiliary] = []

    @property
    def pages(self) -> np.ndarray[Any, Any]:
        """The handles of all pages, a structured array of `HANDLE`."""
        if self._pages is None:
            self._pages = np.frombuffer(self._handles, HANDLE)
        return self._pages

    def handle(self, page: int) -> Handle:
        """The handle of one page."""
        return Handle(*_HANDLE.unpack_from(self._handles, page * PAGE_HANDLE_SIZE))

    def handles(self) -> list[Handle]:
        """The handles of all pages."""
        return list(map(Handle._make, _HANDLE.iter_unpack(self._handles)))

    def bounds(self, page: int, kind: DataType, cursor: Cursor) -> tuple[Any, Any] | None:
        """Smallest and largest value that page `page` may hold, or None where that is not known."""
        handle = self.pages[page]
        if not int(handle["flags"]) & PageFlag.HAS_BOUNDS:
            return None
        if zonemap.bounds_form(kind) is BoundsForm.NONE:
            raise cursor.fail(f"bounds of a page of {kind}, a type that has none")
        low, high = (handle[side].tobytes() for side in ("low", "high"))
        if kind.id in _STRINGS:
            low, high = self._from_heap(low, cursor), self._from_heap(high, cursor)
        return zonemap.unpack(low, kind, cursor), zonemap.unpack(high, kind, cursor)

    def _from_heap(self, place: bytes, cursor: Cursor) -> bytes:
        where = Cursor(place)
        start, length = where.u32(), where.u32()
        if start + length > len(self.heap):
            raise cursor.fail(f"bound at {start}..{start + length} of a heap of {len(self.heap)} bytes")
        return self.heap[start : start + length]


def read_column_meta(cursor: Cursor, *, num_rows: int, file_length: int, kind: DataType) -> ColumnMeta:
    """Parse metadata (its checksum verified before); every handle is checked before any is used."""
    count, page_shift, block_shift, auxiliary_count, heap_length, evidence_length = cursor.record(
        COLUMN_HEADER, "column metadata"
    )
    if not block_shift <= page_shift <= MAX_PAGE_SHIFT:
        raise cursor.fail(f"page shift {page_shift} and block shift {block_shift} are not valid")
    if kind.stride << block_shift > max(MAX_BLOCK_BYTES, kind.stride):
        raise cursor.fail(f"blocks of {1 << block_shift} rows of {kind} are larger than the format allows")
    raw = cursor.take(count * PAGE_HANDLE_SIZE, "page handles")
    end = file_length - FOOTER_SIZE
    only = Handle._make(_HANDLE.unpack(raw)) if count == 1 else None
    if only is not None and _is_right(only, num_rows, page_shift, end):
        encodings = _encodings([only.encoding])
    else:
        pages = np.frombuffer(raw, HANDLE)
        _check_handles(cursor, pages, num_rows, page_shift, end)
        encodings = _encodings(pages["encoding"].tolist())
    meta = ColumnMeta((page_shift, block_shift), raw, encodings)
    if heap_length:
        meta.heap = bytes(cursor.take(heap_length, "bounds"))
    try:
        meta.evidence = str(cursor.take(evidence_length, "evidence"), "utf-8")
    except UnicodeDecodeError:
        raise cursor.fail("evidence is not UTF-8") from None
    if auxiliary_count:
        meta.auxiliary, meta.regions = _read_auxiliary(cursor, auxiliary_count, file_length)
    if cursor.remaining:
        cursor.expect_end("column metadata")
    return meta


def _read_auxiliary(
    cursor: Cursor, count: int, file_length: int
) -> tuple[dict[AuxiliaryId, Auxiliary], list[Auxiliary]]:
    """The regions this reader knows by id, and all of them."""
    known, regions = {}, []
    for _ in range(count):
        code = cursor.u16("auxiliary id")
        cursor.u16("reserved")
        crc = cursor.u32("CRC of auxiliary region")
        offset, length = cursor.u64_pair("place of auxiliary region")
        if offset < HEADER_SIZE or offset + length > file_length - FOOTER_SIZE:
            raise cursor.fail(f"auxiliary region {code} at {offset}..{offset + length} is outside the file")
        regions.append(Auxiliary(offset, length, crc))
        if code in AuxiliaryId.__members__.values():
            known[AuxiliaryId(code)] = regions[-1]
    return known, regions


def _encodings(codes: list[int]) -> list[EncodingId]:
    try:
        return [_ENCODINGS[code] for code in codes]
    except KeyError as error:
        raise UnsupportedVersionError(
            f"page encoding id {error.args[0]} is unknown to this reader: use a newer release"
        ) from None


def _check_handles(
    cursor: Cursor, pages: np.ndarray[Any, Any], num_rows: int, page_shift: int, file_end: int
) -> None:
    rows = pages["rows"].astype(np.int64)
    full = 1 << page_shift
    if len(pages) != -(-num_rows // full) or int(rows.sum()) != num_rows or (rows[:-1] != full).any():
        raise cursor.fail(f"pages of {full} rows do not add up to {num_rows} rows")
    end = np.uint64(file_end)
    for start, length in (("data_offset", "data_length"), ("index_offset", "index_length")):
        where, size = pages[start], pages[length].astype(np.uint64)
        if ((where < HEADER_SIZE) | (where > end) | (size > end - np.minimum(where, end))).any():
            raise cursor.fail(f"a page reaches out of the file ({start})")
    if (pages["data_offset"] % PAGE_ALIGNMENT).any() or (pages["data_length"] % PAGE_ALIGNMENT).any():
        raise cursor.fail(f"a page is not aligned to {PAGE_ALIGNMENT} bytes")
    if (pages["nulls"] > rows).any() or (pages["nans"] > rows).any() or (pages["flags"] > _KNOWN_FLAGS).any():
        raise cursor.fail("counts or flags of a page are not valid")


def _is_right(handle: Handle, num_rows: int, page_shift: int, end: int) -> bool:
    """Whether the only handle of a column passes every check below; what is wrong with it is found there."""
    return (
        0 < handle.rows == num_rows <= 1 << page_shift
        and HEADER_SIZE <= handle.data_offset <= handle.data_offset + handle.data_length <= end
        and HEADER_SIZE <= handle.index_offset <= handle.index_offset + handle.index_length <= end
        and not (handle.data_offset | handle.data_length) % PAGE_ALIGNMENT
        and handle.nulls <= handle.rows >= handle.nans
        and handle.flags <= _KNOWN_FLAGS
    )
