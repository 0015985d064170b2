"""A graph on the disk as the columns and metadata of an `.lfmt` file, one row per slot.

| column  | type                   | meaning                                                                 |
|---------|------------------------|-------------------------------------------------------------------------|
| records | vector<uint32, width>  | one run of words; see below                                             |
| codes   | vector<uint8, 64 i>    | as in vego/index/hnsw/storage.py; zeros behind those of a narrower part |
| bias    | int32                  | as there, 0 where a part has it in its codes; not there where all have  |
| upper   | list<uint32>           | as there; nodes are numbered within their part                          |

Metadata names the format and its version, the number of rows and of parts, and `part_rows`; `<i>.<name>` are the
metadata of the graph of part i as vego/index/hnsw/storage.py has them, and `<i>.code_width`. Without rows there is
part 0 all the same.

The rows of "records" together are one run of words, in which the records of each part lie as `RecordLayout`
(vego/index/disk/records.py) says, those of part 0 from word `records_begin` on, then those of the others; zeros are
between them, and behind the last up to as many words as make whole rows. Each part begins at a block. `records_begin`
makes these blocks of the file, too: the column is the first, so it begins at byte 64 (lance_fmt/FORMAT.md), and block 0
at byte 4,096. Were they elsewhere, records would be the same, but take more reads. (In files of version 1, which are
read as ever, a row is the record of a slot. Version 3 has no column "bias".)

Records are checked one by one when they are read, all else in `read_parts`: no content of the file can lead a kernel
outside its arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

import lance_fmt
from lance_fmt import Column, ComputedColumn
from vego.index.content import ContentChecker
from vego.index.disk.parts import Part, StoredPart, layout_of
from vego.index.disk.records import BLOCK_WORDS, RecordLayout, Records
from vego.index.hnsw.graph import HnswGraph, empty_graph
from vego.index.hnsw.params import HnswParams
from vego.index.hnsw.storage import read_without_links, write_without_links
from vego.index.projection import STEP
from vego.index.vector_index import MAX_ROWS
from vego.index.views import aligned_empty

FORMAT = "vego-disk"
VERSION = 3
BEGIN = BLOCK_WORDS - 16  # the 64 bytes in front of the column make it a block
MAX_PARTS = 1 << 12

Array = npt.NDArray[Any]


def write_parts(
    parts: Sequence[Part], params: HnswParams, part_rows: int
) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns and metadata of some parts. Records are made when they are written, a page at a time."""
    rows = sum(part.rows for part in parts)
    graphs = [part.graph for part in parts] or [empty_graph(params)]
    biased = not all(graph.scale.bias_in_rows for graph in graphs)
    metadata = {
        "format": FORMAT,
        "version": "2" if biased else "3",
        "rows": str(rows),
        "parts": str(len(parts)),
        "part_rows": str(part_rows),
        "records_begin": str(BEGIN),
    }
    described = []
    for number, graph in enumerate(graphs):
        columns, of_part = write_without_links(graph, params)
        of_part["code_width"] = str(graph.scale.code_width)
        metadata |= {f"{number}.{name}": value for name, value in of_part.items()}
        described.append(columns)
    width = max(graph.scale.code_width for graph in graphs)
    layout = layout_of(params)
    row_words = _row_words(layout, [part.rows for part in parts], BEGIN)

    def records(first: int, stop: int) -> Array:
        return _laid(parts, layout, first * row_words, stop * row_words).reshape(-1, row_words)

    def codes(first: int, stop: int) -> Array:
        found = np.zeros((stop - first, width), np.uint8)
        done = 0
        for part, low, high in _within(parts, first, stop):
            some = part.graph.codes[low:high]
            found[done : done + len(some), : some.shape[1]] = some
            done += len(some)
        return found

    written: dict[str, Column] = {
        "records": ComputedColumn(lance_fmt.vector(lance_fmt.uint32(), row_words), rows, records),
        "codes": ComputedColumn(lance_fmt.vector(lance_fmt.uint8(), width), rows, codes),
        "upper": Column.concat([columns["upper"] for columns in described]),
    }
    if biased:
        written["bias"] = Column.concat(
            [
                columns["bias"] if "bias" in columns else Column.from_numpy(np.zeros(graph.rows, np.int32))
                for columns, graph in zip(described, graphs, strict=True)
            ]
        )
    return written, metadata


def _starts(layout: RecordLayout, rows: Sequence[int], begin: int) -> list[int]:
    """The word at which the records of each part of so many rows begin, and that behind the last."""
    return list(accumulate(map(layout.size, rows), initial=begin))


def _row_words(layout: RecordLayout, rows: Sequence[int], begin: int) -> int:
    """How many of the words a row of "records" has."""
    return -(-_starts(layout, rows, begin)[-1] // max(1, sum(rows)))


def _laid(parts: Sequence[Part], layout: RecordLayout, low: int, high: int) -> npt.NDArray[np.uint32]:
    """The words [low, high) of the column "records"."""
    words = np.zeros(high - low, np.uint32)
    for part, start in zip(parts, _starts(layout, [part.rows for part in parts], BEGIN), strict=False):
        first = layout.node_at(max(low - start, 0))
        stop = min(layout.node_at(high - 1 - start) + 1, part.rows) if high > start else 0
        if first < stop:
            laid = layout.laid(part.records(first, stop), first)
            place = start + int(layout.starts(np.array([first]))[0]) - low
            laid = laid[max(-place, 0) : max(len(words) - place, 0)]
            words[max(place, 0) : max(place, 0) + len(laid)] = laid
    return words


def _within(parts: Sequence[Part], first: int, stop: int) -> list[tuple[Part, int, int]]:
    """The parts that have some of the slots [first, stop), and which of their own these are."""
    found, start = [], 0
    for part in parts:
        low, high = max(first - start, 0), min(stop - start, part.rows)
        if low < high:
            found.append((part, low, high))
        start += part.rows
    return found


def read_parts(
    columns: Mapping[str, Column], metadata: Mapping[str, str], path: str, widest_code: int
) -> tuple[HnswParams, int, tuple[Part, ...]]:
    """What the graphs were built with, `part_rows`, and the parts that `write_parts` wrote.

    Raises NewerVersionError for a later version, CorruptionError for anything that contradicts itself.
    """
    check = ContentChecker(path)
    check.format(metadata, FORMAT, VERSION)
    rows = check.number(metadata, "rows", 0, MAX_ROWS)
    count = check.number(metadata, "parts", min(1, rows), min(MAX_PARTS, rows))
    part_rows = check.number(metadata, "part_rows", 1, MAX_ROWS)
    biased = ("bias",) if check.number(metadata, "version", 1, VERSION) < 3 else ()
    check.that(all(name in columns for name in ("records", "codes", "upper", *biased)), "a column is missing")
    check.that(all(len(column) == rows for column in columns.values()), "columns of other lengths")
    codes = columns["codes"]
    check.that(
        codes.type.is_vector and codes.validity is None and codes.array.dtype == np.uint8,
        "codes: expected vectors of bytes",
    )
    graphs: list[HnswGraph] = []
    first = 0
    known: HnswParams | None = None
    for number in range(max(1, count)):
        prefix = f"{number}."
        of_part = {n.removeprefix(prefix): v for n, v in metadata.items() if n.startswith(prefix)}
        stop = first + check.number(of_part, "rows", 1 if count else 0, rows - first)
        mine = {name: columns[name].slice(first, stop) for name in ("upper", *biased)}
        mine["codes"] = _narrowed(codes.array[first:stop], of_part, check)
        params, graph = read_without_links(mine, of_part, path)
        params = replace(params, widest_code=widest_code)
        check.that(known is None or params == known, "parts were built with different parameters")
        known = params
        graphs.append(graph)
        first = stop
    check.that(first == rows, f"parts of {first} rows expected {rows}")
    assert known is not None
    found = zip(
        graphs, _read_records(columns, metadata, known, [graph.rows for graph in graphs], check), strict=True
    )
    return (
        known,
        part_rows,
        tuple(StoredPart.of(known, graph, stored) for graph, stored in found if graph.rows),
    )


def _read_records(
    columns: Mapping[str, Column],
    metadata: Mapping[str, str],
    params: HnswParams,
    rows: Sequence[int],
    check: ContentChecker,
) -> list[Records]:
    """The records of each part of so many rows: no more is looked at than whether the column has room for them."""
    blocks = check.number(metadata, "version", 1, VERSION) > 1
    layout = layout_of(params, blocks=blocks)
    begin = check.number(metadata, "records_begin", 0, BLOCK_WORDS - 1) if blocks else 0
    width = _row_words(layout, rows, begin)
    words = check.array(columns, "records", np.uint32, (sum(rows), width)).reshape(-1)
    starts = _starts(layout, rows, begin)
    firsts = accumulate(rows, initial=0)
    return [
        Records(layout, words[start:stop], count, check.path, first)
        for start, stop, count, first in zip(starts, starts[1:], rows, firsts, strict=False)
    ]


def _narrowed(codes: Array, metadata: Mapping[str, str], check: ContentChecker) -> Column:
    """Codes without the zeros behind those of a part."""
    width = check.number(metadata, "code_width", STEP, codes.shape[1])
    if width == codes.shape[1]:
        return Column.from_numpy(codes)
    narrow = aligned_empty((len(codes), width), np.uint8)
    narrow[...] = codes[:, :width]
    return Column.from_numpy(narrow)
