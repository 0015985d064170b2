"""What page handles and page indexes tell of a column's values, as the arrays that pruning works on."""

from __future__ import annotations

from typing import Any

import numpy as np

from lance_fmt import zonemap
from lance_fmt.column_meta import ColumnMeta
from lance_fmt.constants import BoundsForm, PageFlag
from lance_fmt.page import PageIndex
from lance_fmt.schema import DataType
from lance_fmt.wire import Cursor
from lance_fmt.zones import Zones

Numbers = np.ndarray[Any, np.dtype[np.int64]]


def page_zones(meta: ColumnMeta, kind: DataType, path: str) -> Zones:
    """Statistics of all pages of a column."""
    pages = meta.pages
    form = zonemap.bounds_form(kind)
    known = (pages["flags"] & int(PageFlag.HAS_BOUNDS)) != 0
    if form is BoundsForm.PREFIX:
        low, high = _string_bounds(meta, kind, path)
    elif form is BoundsForm.NONE:
        low = high = np.zeros(len(pages), np.int64)
        known = np.zeros(len(pages), np.bool_)
    else:
        low, high = pages["low"].view(zonemap.DTYPES[form]), pages["high"].view(zonemap.DTYPES[form])
    return Zones(
        rows=pages["rows"].astype(np.int64),
        nulls=pages["nulls"].astype(np.int64),
        nans=pages["nans"].astype(np.int64) if form is BoundsForm.FLOAT else None,
        known=known,
        low=low,
        high=high,
    )


def take_zones(zones: Zones, numbers: Numbers) -> Zones:
    """Statistics of some of the zones."""
    return Zones(
        rows=zones.rows[numbers],
        nulls=zones.nulls[numbers],
        nans=None if zones.nans is None else zones.nans[numbers],
        known=zones.known[numbers],
        low=zones.low[numbers],
        high=zones.high[numbers],
        prefix=zones.prefix,
    )


def _string_bounds(meta: ColumnMeta, kind: DataType, path: str) -> tuple[Any, Any]:
    low, high = np.full(len(meta.pages), b"", object), np.full(len(meta.pages), b"", object)
    for number in range(len(meta.pages)):
        cursor = Cursor(b"", path=path, base=int(meta.pages["data_offset"][number]))
        bounds = meta.bounds(number, kind, cursor)
        if bounds is not None:
            low[number], high[number] = (b.encode() if isinstance(b, str) else b for b in bounds)
    return low, high


def block_zones(parts: list[tuple[PageIndex, int, Numbers]], block_rows: int, kind: DataType) -> Zones:
    """Statistics of blocks of pages of streams: (page index, rows of the page, numbers of its blocks) each."""
    form = zonemap.bounds_form(kind)
    count = sum(len(blocks) for _, _, blocks in parts)
    rows, nulls, nans = (np.zeros(count, np.int64) for _ in range(3))
    known = np.zeros(count, np.bool_)
    low, high = (np.zeros(count, zonemap.DTYPES.get(form, "<i8")) for _ in range(2))
    at = 0
    for index, page_rows, blocks in parts:
        here = slice(at, at + len(blocks))
        at += len(blocks)
        rows[here] = np.minimum(page_rows - blocks * block_rows, block_rows)
        if index.nulls is not None:
            nulls[here] = np.array(index.nulls, np.int64)[blocks]
        bounds = index.bounds
        if bounds is not None and bounds.low is not None and bounds.high is not None:
            known[here] = bounds.known[blocks] if bounds.known is not None else False
            low[here], high[here] = bounds.low[blocks], bounds.high[blocks]
            if bounds.nans is not None:
                nans[here] = bounds.nans[blocks]
    return Zones(
        rows=rows,
        nulls=nulls,
        nans=nans if form is BoundsForm.FLOAT else None,
        known=known,
        low=low,
        high=high,
        prefix=form is BoundsForm.PREFIX,
    )
