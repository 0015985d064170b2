"""What the inspector shows of a column: where its pages lie and why they are encoded as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lance_fmt.schema import DataType


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
