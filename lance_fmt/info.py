"""What the inspector shows of a column: where its pages lie and why they are encoded as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lance_fmt.column_reader import ColumnReader
from lance_fmt.constants import PageFlag
from lance_fmt.schema import DataType
from lance_fmt.wire import Cursor


@dataclass(frozen=True, slots=True)
class PageInfo:
    """One page. Offsets and lengths are bytes in the file; `blocks` are (offset, length, rows, nulls).

    `minimum` and `maximum` bound the valid, non-NaN values (None: not known); exact unless said otherwise.
    `length` is the encoded size with padding, `raw_bytes` the size of the plain values (None for
    variable-length types, which only decoding would tell). `shared_bytes` lie in the page's index.
    """

    offset: int
    length: int
    index_offset: int
    index_length: int
    first_row: int
    rows: int
    nulls: int
    nans: int
    encoding: str
    minimum: Any
    maximum: Any
    minimum_exact: bool
    maximum_exact: bool
    raw_bytes: int | None
    shared_bytes: int
    blocks: list[tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column: type, pages, encodings in use, and the evidence its writer left for choosing them."""

    name: str
    type: DataType
    nullable: bool
    page_rows: int
    block_rows: int
    encoding: str
    evidence: str
    metadata_offset: int
    metadata_length: int
    pages: list[PageInfo]

    @property
    def length(self) -> int:
        """Bytes of the column's pages and page indexes."""
        return sum(page.length + page.index_length for page in self.pages)

    @property
    def nulls(self) -> int:
        """Rows that are null."""
        return sum(page.nulls for page in self.pages)


def describe(reader: ColumnReader, metadata_offset: int, metadata_length: int, path: str) -> ColumnInfo:
    """How the column of `reader` is stored."""
    meta = reader.meta
    pages = [_page_info(reader, page, path) for page in range(len(meta.pages))]
    return ColumnInfo(
        name=reader.field.name,
        type=reader.type,
        nullable=reader.field.nullable,
        page_rows=1 << meta.page_shift,
        block_rows=1 << meta.block_shift,
        encoding=", ".join(dict.fromkeys(page.encoding for page in pages)) or "none",
        evidence=meta.evidence,
        metadata_offset=metadata_offset,
        metadata_length=metadata_length,
        pages=pages,
    )


def _page_info(reader: ColumnReader, page: int, path: str) -> PageInfo:
    handle, index, kind = reader.meta.pages[page], reader.page(page).index, reader.type
    bounds = reader.meta.bounds(page, kind, Cursor(b"", path=path, base=int(handle["data_offset"])))
    offset, rows, flags = int(handle["data_offset"]), int(handle["rows"]), PageFlag(int(handle["flags"]))
    per_block = 1 << reader.meta.block_shift
    starts = [0, *index.ends[:-1]]
    return PageInfo(
        offset=offset,
        length=int(handle["data_length"]),
        index_offset=int(handle["index_offset"]),
        index_length=int(handle["index_length"]),
        first_row=page << reader.meta.page_shift,
        rows=rows,
        nulls=int(handle["nulls"]),
        nans=int(handle["nans"]),
        encoding=reader.recipe(page),
        minimum=None if bounds is None else bounds[0],
        maximum=None if bounds is None else bounds[1],
        minimum_exact=PageFlag.MIN_EXACT in flags,
        maximum_exact=PageFlag.MAX_EXACT in flags,
        raw_bytes=rows * kind.stride if kind.stride else None,
        shared_bytes=index.shared_size,
        blocks=[
            (offset + a, b - a, min(per_block, rows - i * per_block), index.null_count(i))
            for i, (a, b) in enumerate(zip(starts, index.ends, strict=True))
        ],
    )
