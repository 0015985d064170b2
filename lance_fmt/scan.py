"""Filters pushed down: which rows of a file match, reading as little of it as can be.

First the statistics of pages, then Bloom filters, then the statistics of blocks rule out rows or settle
them; only what is left is compared. Pages and blocks of different columns have different sizes, all powers of
two, so each step works on zones of the smallest size among the filter's columns: what is proven of a larger
page is proven of every zone inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lance_fmt.column_reader import ColumnReader
from lance_fmt.encodings.protocol import Mask
from lance_fmt.filter import Bound, Compare, Leaf, bind, equality_values, evaluate, prune
from lance_fmt.hashing import hash_value
from lance_fmt.schema import Schema

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows that match: ranges (start, stop) in order, each with the mask of its matching rows (None: all)."""

    parts: list[tuple[int, int, Mask | None]]

    def rows(self) -> Rows:
        """Their numbers, in order."""
        found = [
            np.arange(start, stop) if mask is None else np.flatnonzero(mask) + start
            for start, stop, mask in self.parts
        ]
        if len(found) == 1:
            return found[0]
        return np.concatenate(found) if found else np.empty(0, np.int64)


def matching_rows(
    filter: Any, schema: Schema, reader: Callable[[str], ColumnReader], start: int, stop: int
) -> Rows:
    """Numbers of the rows of `start..stop` for which `filter` is true; `reader` finds a column's."""
    bound = bind(filter, schema)
    return select_rows(bound, {name: reader(name) for name in bound.columns}, start, stop).rows()


def equal_rows(column: str, value: Any, schema: Schema, reader: ColumnReader) -> Rows:
    """Numbers of all rows where `column` equals `value`: by the row index, if there is one."""
    bound = bind(Compare(column, "==", value), schema)
    leaf, values = bound.root, equality_values(bound)
    if values is not None and isinstance(leaf, Leaf) and leaf.test is not None:
        rows = reader.find([hash_value(one) for one in values[column]], leaf.test)
        if rows is not None:
            return rows
    return select_rows(bound, dict.fromkeys(bound.columns, reader), 0, reader.num_rows).rows()


def select_rows(bound: Bound, readers: Mapping[str, ColumnReader], start: int, stop: int) -> Selection:
    """The rows of `start..stop` for which the filter is true."""
    if start >= stop:
        return Selection([])
    if not readers:
        return Selection(_compare(bound, readers, start, stop))
    shift = min(reader.block_shift for reader in readers.values())
    first, last = start >> shift, (stop - 1) >> shift
    numbers = np.arange(first, last + 1)
    if any(reader.bloom is not None or not reader.has_few_pages for reader in readers.values()):
        numbers = _within_pages(bound, readers, numbers, shift)
    zones = {name: reader.block_zones(numbers, shift) for name, reader in readers.items()}
    may, settled = prune(bound, zones, len(numbers))
    parts: list[tuple[int, int, Mask | None]] = []
    for a, b, all_match in _runs(numbers[may], settled[may]):
        low, high = max(a << shift, start), min((b + 1) << shift, stop)
        parts += [(low, high, None)] if all_match else _compare(bound, readers, low, high)
    return Selection(parts)


def _within_pages(bound: Bound, readers: Mapping[str, ColumnReader], numbers: Rows, shift: int) -> Rows:
    """Those of the zones that lie in pages in which something may match."""
    page_shift = min(reader.page_shift for reader in readers.values())
    pages = np.unique(numbers >> (page_shift - shift))
    zones = {name: reader.zones(pages, page_shift) for name, reader in readers.items()}
    may, _ = prune(bound, zones, len(pages))
    may = _ask_bloom(bound, readers, pages, page_shift, may)
    return numbers[np.isin(numbers >> (page_shift - shift), pages[may])]


def _compare(
    bound: Bound, readers: Mapping[str, ColumnReader], start: int, stop: int
) -> list[tuple[int, int, Mask | None]]:
    """Ask the values of rows `start..stop`."""

    def masks(leaf: Leaf) -> tuple[Mask, Mask | None]:
        return readers[leaf.column].match(start, stop, leaf.test)

    return [(start, stop, evaluate(bound, masks, stop - start))]


def _runs(numbers: Rows, settled: Mask) -> list[tuple[int, int, bool]]:
    """(first, last, settled) of neighbouring zones alike."""
    if not len(numbers):
        return []
    cuts = np.flatnonzero((np.diff(numbers) != 1) | (settled[1:] != settled[:-1]))
    firsts, lasts = [0, *(cuts + 1).tolist()], [*cuts.tolist(), len(numbers) - 1]
    return [(int(numbers[a]), int(numbers[b]), bool(settled[a])) for a, b in zip(firsts, lasts, strict=True)]


def _ask_bloom(bound: Bound, readers: Mapping[str, ColumnReader], pages: Rows, shift: int, may: Mask) -> Mask:
    """`may` without the pages that Bloom filters rule out."""
    asked = [name for name, reader in readers.items() if reader.bloom is not None]
    if not asked or not may.any():
        return may
    values = equality_values(bound) or {}
    for name in asked:
        reader = readers[name]
        if name not in values:
            continue
        hashes = [hash_value(value) for value in values[name]]
        own = pages >> (reader.page_shift - shift)
        for page in np.unique(own[may]).tolist():
            if not reader.may_contain_any(page, hashes):
                may = may & (own != page)
    return may
