"""Filters pushed down: which rows of a file match, reading as little of it as can be.

First the statistics of pages, then Bloom filters, then the statistics of blocks rule out rows or settle
them; only what is left is compared. Pages and blocks of different columns have different sizes, all powers of
two, so each step works on zones of the smallest size among the filter's columns: what is proven of a larger
page is proven of every zone inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lance_fmt.column_reader import ColumnReader
from lance_fmt.encodings.protocol import Mask
from lance_fmt.filter import Bound, Leaf, Zones, equality_values, evaluate, prune
from lance_fmt.hashing import hash_value

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
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def as_range(self) -> tuple[int, int] | None:
        """The rows as (start, stop) where they lie side by side and none needed to be compared."""
        if len(self.parts) == 1 and self.parts[0][2] is None:
            return self.parts[0][:2]
        return None


def select_rows(bound: Bound, readers: Mapping[str, ColumnReader], start: int, stop: int) -> Selection:
    """The rows of `start..stop` for which the filter is true."""
    if start >= stop:
        return Selection([])
    page_shift = min(reader.page_shift for reader in readers.values())
    pages = np.arange(start >> page_shift, ((stop - 1) >> page_shift) + 1)
    may, settled = prune(bound, _page_zones(readers, pages, page_shift), len(pages))
    may = _ask_bloom(bound, readers, pages, page_shift, may)
    block_shift = min(reader.block_shift for reader in readers.values())
    zones, done = [], []
    for whole, numbers in ((True, pages[may & settled]), (False, pages[may & ~settled])):
        inner = (numbers[:, None] << (page_shift - block_shift)) + np.arange(1 << (page_shift - block_shift))
        flat = inner.reshape(-1)
        flat = flat[(flat >= start >> block_shift) & (flat <= (stop - 1) >> block_shift)]
        if not whole and len(flat):
            kept, all_of = prune(bound, _block_zones(readers, flat, block_shift), len(flat))
            flat, whole_of = flat[kept], all_of[kept]
        else:
            whole_of = np.ones(len(flat), np.bool_)
        zones.append(flat)
        done.append(whole_of)
    numbers, settled = np.concatenate(zones), np.concatenate(done)
    order = np.argsort(numbers, kind="stable")
    parts: list[tuple[int, int, Mask | None]] = []
    for a, b, all_match in _runs(numbers[order], settled[order]):
        low, high = max(a << block_shift, start), min((b + 1) << block_shift, stop)
        parts += [(low, high, None)] if all_match else _compare(bound, readers, low, high)
    return Selection(parts)


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


def _page_zones(readers: Mapping[str, ColumnReader], zones: Rows, shift: int) -> dict[str, Zones]:
    return {name: reader.zones(zones, shift) for name, reader in readers.items()}


def _block_zones(readers: Mapping[str, ColumnReader], zones: Rows, shift: int) -> dict[str, Zones]:
    return {name: reader.block_zones(zones, shift) for name, reader in readers.items()}


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
