"""One page with every byte named: its handle, its index and its blocks, stream by stream."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
from lance_fmt import Anatomy, InvalidDataError, Part
from vego_tools.inspector.report import positions_of
from vego_tools.terminal import display_width, printable, shorten

Report = dict[str, Any]

_PER_LINE = 16
_LINES = 4  # of one part that are shown in hexadecimal
_NAME = 46
_TITLES = {"handle": "page handle, in the column's metadata", "index": "page index", "data": "page data"}


def page_of(path: Path, place: str, columns: Sequence[str] = ()) -> Anatomy:
    """The page named by `place`: "price:0" is the first of a column, "0" the first of the file or of `columns`.

    A plain number counts the pages of one column after the other, as the view of pages lists them. Raises
    InvalidDataError for a page that there is not, SchemaError for a column, CorruptFileError, OSError.
    """
    found = re.fullmatch(r"(?:(.+):)?(\d{1,9})", place, re.DOTALL)
    if found is None:
        raise InvalidDataError(
            f"{place!r} is not COLUMN:N, such as price:0 for the first page of price, nor the number of a page"
        )
    name, number = found[1], int(found[2])
    with lance_fmt.examine(path) as survey:
        among = positions_of(survey, columns if name is None else [name])
        counts = np.diff(survey.first_page)[among]
        if name is not None and survey.lost[among[0]]:
            return lance_fmt.dissect(survey, among[0], number)  # says what the damage is
        if number >= counts.sum():
            whose = f" of column {name!r}" if name is not None else f" of {columns}" if columns else ""
            there = f"there are {counts.sum():,}, from 0 on" if counts.any() else "there are none"
            raise InvalidDataError(f"{path}: no page {number:,}{whose}; {there}")
        last = np.cumsum(counts)
        at = int(last.searchsorted(number, "right"))
        return lance_fmt.dissect(survey, among[at], number - int(last[at] - counts[at]))


def report(anatomy: Anatomy, *, raw: bool) -> Report:
    """As JSON has it: `parts` of each section front to back, with their bytes if `raw`."""
    return {
        "column": anatomy.column,
        "type": anatomy.type,
        "page": anatomy.page,
        "encoding": anatomy.recipe,
        "damage": anatomy.damage,
        "sections": {
            name: {
                "offset": anatomy.data[name][0],
                "bytes": len(anatomy.data[name][1]),
                "parts": [_part(anatomy, part, raw=raw) for part in parts],
            }
            for name, parts in anatomy.sections.items()
        },
    }


def _part(anatomy: Anatomy, part: Part, *, raw: bool) -> Report:
    found = {
        "offset": part.offset,
        "bytes": part.length,
        "depth": part.depth,
        "name": part.name,
        "value": part.value,
        "inside": part.inside,
    }
    return found | ({"hex": bytes(anatomy.raw(part)).hex()} if raw and not part.inside else {})


def lines(anatomy: Anatomy, *, raw: bool, everything: bool = False) -> Iterator[str]:
    """For people; `raw` shows the bytes, `everything` all of them."""
    yield (
        f"page {anatomy.page} of {printable(anatomy.column)}: {printable(anatomy.type)}, {printable(anatomy.recipe)}"
    )
    for what in anatomy.damage:
        yield f"  DAMAGED: {printable(what)}"
    for name, parts in anatomy.sections.items():
        offset, data = anatomy.data[name]
        yield ""
        yield f"{_TITLES[name]}: {len(data):,} bytes at {offset:,}"
        if not raw:
            yield f"  {'offset':>14} {'bytes':>11}"
        for part in parts:
            yield from _hex(anatomy, part, everything=everything) if raw else [_line(part)]


def _line(part: Part) -> str:
    name = shorten("  " * part.depth + printable(part.name), _NAME)
    padded = name + " " * (_NAME - display_width(name))
    line: str = shorten(f"  {part.offset:>14,} {part.length:>11,}  {padded}  {printable(part.value)}", 120)
    return line.rstrip()


def _hex(anatomy: Anatomy, part: Part, *, everything: bool) -> Iterator[str]:
    """The offset, the bytes, and what they say beside their first line."""
    said = f"{part.name} = {part.value}" if part.value and not part.inside else f"{part.name}  {part.value}"
    said = "  " * part.depth + printable(said).rstrip()
    if part.inside:
        yield shorten(f"  {'':8}  {'':47}  {said}:", 140)
        return
    data = anatomy.raw(part)
    shown = len(data) if everything else min(len(data), _LINES * _PER_LINE)
    for start in range(0, max(shown, 1), _PER_LINE):
        row = data[start : start + _PER_LINE]
        text = f"  {part.offset + start:08x}  {row.hex(' '):<47}"
        yield shorten(f"{text}  {said}", 140) if not start else text.rstrip()
    if shown < len(data):
        yield f"  {'':8}  … {len(data) - shown:,} bytes more"
