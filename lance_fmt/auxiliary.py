"""Auxiliary regions: what speeds up finding rows by value and is not needed to read them.

FORMAT.md, "Auxiliary regions". A row index covers a column, a Bloom filter each of its pages.
"""

from __future__ import annotations

import numpy as np

from lance_fmt import bloom
from lance_fmt.checksum import crc32c
from lance_fmt.column import Column
from lance_fmt.column_meta import Auxiliary
from lance_fmt.constants import AuxiliaryId
from lance_fmt.errors import CorruptFileError, SchemaError
from lance_fmt.hashing import hash_column
from lance_fmt.row_index import header_size, write_row_index
from lance_fmt.schema import DataType
from lance_fmt.source import ReadAt, read_exactly
from lance_fmt.wire import Builder, Cursor


class AuxiliaryBuilder:
    """Gathers the regions of a column while its pages are written; 8 bytes of memory for each row indexed."""

    def __init__(self, name: str, kind: DataType, wanted: frozenset[AuxiliaryId]) -> None:
        if wanted and not (kind.is_variable or kind.is_number or kind.is_integer):
            raise SchemaError(
                f"column {name!r}: {kind} values cannot be indexed; numbers, times and text can"
            )
        self._wanted = wanted
        self._hashes: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []
        self._rows: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        self._filters: list[bytes] = []
        self._count = 0

    def add(self, page: Column) -> None:
        """The next page."""
        if self._wanted:
            valid = np.flatnonzero(_counts(page))
            hashes = hash_column(page)[valid]
            if AuxiliaryId.ROW_INDEX in self._wanted:
                self._hashes.append(hashes)
                self._rows.append(valid + self._count)
            if AuxiliaryId.BLOOM in self._wanted:
                self._filters.append(bloom.build(np.unique(hashes)))
        self._count += len(page)

    def finish(self) -> dict[AuxiliaryId, tuple[bytes, int]]:
        """Bytes of each region and the checksum that its parent keeps: that of its directory."""
        found = {}
        if AuxiliaryId.ROW_INDEX in self._wanted:
            hashes = np.concatenate([np.empty(0, np.uint64), *self._hashes])
            rows = np.concatenate([np.empty(0, np.int64), *self._rows])
            region = write_row_index(hashes, rows)
            found[AuxiliaryId.ROW_INDEX] = (region, crc32c(region[: header_size(region)]))
        if AuxiliaryId.BLOOM in self._wanted:
            ends = np.cumsum([len(f) for f in self._filters], dtype="<u8")
            checksums = np.array([crc32c(f) for f in self._filters], "<u4")
            directory = Builder().raw(ends.tobytes()).raw(checksums.tobytes()).finish()
            found[AuxiliaryId.BLOOM] = (directory + b"".join(self._filters), crc32c(directory))
        return found


def _counts(page: Column) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows have a value that something can be equal to: no nulls, no NaN."""
    valid = np.ones(len(page), np.bool_) if page.validity is None else page.validity
    return valid & ~np.isnan(page.array) if page.type.is_float else valid


class PageFilters:
    """The Bloom filters of a column's pages, each read and checked when it is first asked."""

    def __init__(self, source: ReadAt, region: Auxiliary, pages: int, column: str) -> None:
        self._source = source
        self._name = f"column {column!r}"
        self._region = region
        self._pages = pages
        self._directory: tuple[list[int], list[int]] | None = None
        self._filters: dict[int, memoryview] = {}

    def _read_directory(self) -> tuple[list[int], list[int]]:
        if self._directory is None:
            region, size = self._region, 12 * self._pages
            what = f"directory of the Bloom filters of {self._name}"
            raw = read_exactly(self._source, region.offset, min(size, region.length), what)
            if len(raw) != size or crc32c(raw) != region.crc:
                raise CorruptFileError(
                    self._source.name, region.offset, f"{what} does not match its checksum"
                )
            cursor = Cursor(raw, path=self._source.name, base=region.offset)
            ends = np.frombuffer(cursor.take(8 * self._pages), "<u8")
            checksums = np.frombuffer(cursor.take(4 * self._pages), "<u4")
            whole = int(ends[-1]) if self._pages else 0
            if (ends[1:] < ends[:-1]).any() or whole != region.length - size:
                raise cursor.fail(f"{what} does not fit the {region.length} bytes of its region")
            self._directory = ends.tolist(), checksums.tolist()
        return self._directory

    def _filter(self, page: int) -> memoryview:
        known = self._filters.get(page)
        if known is None:
            ends, checksums = self._read_directory()
            start = ends[page - 1] if page else 0
            offset = self._region.offset + 12 * self._pages + start
            what = f"Bloom filter of {self._name}, page {page}"
            raw = read_exactly(self._source, offset, ends[page] - start, what)
            if crc32c(raw) != checksums[page]:
                raise CorruptFileError(self._source.name, offset, f"{what} does not match its checksum")
            known = bloom.read(Cursor(raw, path=self._source.name, base=offset), len(raw))
            self._filters[page] = known
        return known

    def may_contain_any(self, page: int, hashes: list[int]) -> bool:
        """Whether a page may hold a value with one of these hashes; False is certain."""
        return any(bloom.may_contain(self._filter(page), number) for number in hashes)

    def load(self) -> None:
        """Read and check all of it."""
        for page in range(self._pages):
            self._filter(page)
