"""A graph on the disk as the columns and metadata of an `.lfmt` file, one row per slot.

| column  | type                   | meaning                                                                 |
|---------|------------------------|-------------------------------------------------------------------------|
| records | vector<uint32, words>  | links and vector of a node (vego/index/kernels/records.py)              |
| codes   | vector<uint8, 64 i>    | as in vego/index/hnsw/storage.py; zeros behind those of a narrower part |
| bias, upper |                    | as there; nodes are numbered within their part                          |

Metadata names the format and its version, the number of rows and of parts, and `part_rows`; `<i>.<name>` are the
metadata of the graph of part i as vego/index/hnsw/storage.py has them, and `<i>.code_width`. Without rows there is
part 0 all the same.

Records are checked one by one when they are read, all else in `read_parts`: no content of the file can lead a kernel
outside its arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

import lance_fmt
from lance_fmt import Column, ComputedColumn
from vego.index.content import ContentChecker
from vego.index.disk.parts import Part, StoredPart, layout_of
from vego.index.disk.records import Records
from vego.index.hnsw.graph import empty_graph
from vego.index.hnsw.params import HnswParams
from vego.index.hnsw.storage import read_without_links, write_without_links
from vego.index.projection import STEP
from vego.index.vector_index import MAX_ROWS
from vego.index.views import aligned_empty

FORMAT = "vego-disk"
VERSION = 1
MAX_PARTS = 1 << 12

Array = npt.NDArray[Any]


def write_parts(
    parts: Sequence[Part], params: HnswParams, part_rows: int
) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns and metadata of some parts. Records are made when they are written, a page at a time."""
    rows = sum(part.rows for part in parts)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "rows": str(rows),
        "parts": str(len(parts)),
        "part_rows": str(part_rows),
    }
    described = []
    graphs = [part.graph for part in parts] or [empty_graph(params)]
    for number, graph in enumerate(graphs):
        columns, of_part = write_without_links(graph, params)
        of_part["code_width"] = str(graph.scale.code_width)
        metadata |= {f"{number}.{name}": value for name, value in of_part.items()}
        described.append(columns)
    width = max(graph.scale.code_width for graph in graphs)
    words = layout_of(params).words

    def records(first: int, stop: int) -> Array:
        pieces = [part.records(low, high) for part, low, high in _within(parts, first, stop)]
        return np.concatenate(pieces) if pieces else np.empty((0, words), np.uint32)

    def codes(first: int, stop: int) -> Array:
        found = np.zeros((stop - first, width), np.uint8)
        done = 0
        for part, low, high in _within(parts, first, stop):
            some = part.graph.codes[low:high]
            found[done : done + len(some), : some.shape[1]] = some
            done += len(some)
        return found

    return {
        "records": ComputedColumn(lance_fmt.vector(lance_fmt.uint32(), words), rows, records),
        "codes": ComputedColumn(lance_fmt.vector(lance_fmt.uint8(), width), rows, codes),
        "bias": Column.concat([columns["bias"] for columns in described]),
        "upper": Column.concat([columns["upper"] for columns in described]),
    }, metadata


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
    check.that(all(name in columns for name in ("records", "codes", "bias", "upper")), "a column is missing")
    check.that(all(len(column) == rows for column in columns.values()), "columns of other lengths")
    codes = columns["codes"]
    check.that(
        codes.type.is_vector and codes.validity is None and codes.array.dtype == np.uint8,
        "codes: expected vectors of bytes",
    )
    parts: list[Part] = []
    first = 0
    known: HnswParams | None = None
    for number in range(max(1, count)):
        prefix = f"{number}."
        of_part = {n.removeprefix(prefix): v for n, v in metadata.items() if n.startswith(prefix)}
        stop = first + check.number(of_part, "rows", 1 if count else 0, rows - first)
        mine = {name: columns[name].slice(first, stop) for name in ("bias", "upper")}
        mine["codes"] = _narrowed(codes.array[first:stop], of_part, check)
        params, graph = read_without_links(mine, of_part, path)
        params = replace(params, widest_code=widest_code)
        check.that(known is None or params == known, "parts were built with different parameters")
        known = params
        layout = layout_of(params)
        records = check.array(columns, "records", np.uint32, (rows, layout.words))
        if stop > first:
            parts.append(StoredPart.of(params, graph, Records(layout, records[first:stop], path, first)))
        first = stop
    check.that(first == rows, f"parts of {first} rows expected {rows}")
    assert known is not None
    return known, part_rows, tuple(parts)


def _narrowed(codes: Array, metadata: Mapping[str, str], check: ContentChecker) -> Column:
    """Codes without the zeros behind those of a part."""
    width = check.number(metadata, "code_width", STEP, codes.shape[1])
    if width == codes.shape[1]:
        return Column.from_numpy(codes)
    narrow = aligned_empty((len(codes), width), np.uint8)
    narrow[...] = codes[:, :width]
    return Column.from_numpy(narrow)
