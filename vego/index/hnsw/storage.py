"""A graph as the columns and metadata of an `.lfmt` file, one row per node, and back with every link checked.

| column | type                      | meaning                                                        |
|--------|---------------------------|----------------------------------------------------------------|
| links  | vector<uint32, 16 i>      | links on layer 0, at most 2 m, then 2^32 - 1 to the end        |
| codes  | vector<uint8, 64 i>       | the 8-bit code, then zeros                                     |
| bias   | int32                     | what the walk adds to the distance (kernels/distance.py)       |
| upper  | list<uint32>              | m entries for each layer above 0, filled up as in `links`      |

Metadata names the format and its version, the parameters, the scale of the codes, rows, entry and top layer.
After `read_graph` no content of the file can lead a kernel outside its arrays.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import lance_fmt
from lance_fmt import Column
from vego.errors import CorruptionError, InvalidArgumentError
from vego.index.content import ContentChecker
from vego.index.hnsw.graph import NONE, HnswGraph
from vego.index.hnsw.params import MAX_LEVEL, MAX_ROWS, HnswParams
from vego.index.metrics import Metric
from vego.index.quantize import CodeScale

FORMAT = "vego-hnsw"
VERSION = 1

Array = npt.NDArray[Any]


def write_graph(graph: HnswGraph, params: HnswParams) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns and metadata of a graph; the columns are views of it where they can be."""
    rows = graph.rows
    starts = graph.upper_start[: rows + 1].astype(np.int64)
    layers = Column(lance_fmt.uint32(), graph.upper[: starts[-1]].reshape(-1))
    columns = {
        "links": Column.from_numpy(graph.links[:rows]),
        "codes": Column.from_numpy(graph.codes[:rows]),
        "bias": Column.from_numpy(graph.bias[:rows]),
        "upper": Column(lance_fmt.list_(lance_fmt.uint32()), layers, starts * params.m),
    }
    centre = graph.scale.centre.astype("<f4").tobytes()
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "metric": params.metric.value,
        "dimension": str(params.dimension),
        "m": str(params.m),
        "ef_construction": str(params.ef_construction),
        "seed": str(params.seed),
        "rows": str(rows),
        "entry": str(graph.entry),
        "top": str(graph.top),
        "code_step": float(graph.scale.step).hex(),
        "code_centre": base64.b64encode(centre).decode("ascii"),
        "code_rows": str(graph.scale_rows),
    }
    return columns, metadata


def read_graph(
    columns: Mapping[str, Column], metadata: Mapping[str, str], path: str
) -> tuple[HnswParams, HnswGraph]:
    """The graph that `write_graph` wrote, over the arrays of the columns.

    Raises NewerVersionError for a later version, CorruptionError for anything that contradicts itself.
    """
    check = ContentChecker(path)
    params = _read_params(metadata, check)
    rows = check.number(metadata, "rows", 0, MAX_ROWS)
    links = check.array(columns, "links", np.uint32, (rows, params.link_width))
    codes = check.array(columns, "codes", np.uint8, (rows, params.code_width))
    bias = check.array(columns, "bias", np.int32, (rows,))
    levels, upper_start, upper = _read_layers(columns, params, rows, check)
    entry = check.number(metadata, "entry", 0, max(0, rows - 1))
    top = check.number(metadata, "top", 0, MAX_LEVEL)
    check.that(
        rows == 0 or int(levels[entry]) == top == int(levels.max()), "the entry is not on the top layer"
    )
    _check_links(links, 2 * params.m, rows, "links", check)
    _check_links(upper, params.m, rows, "upper", check)
    layers = np.arange(len(upper)) - np.repeat(upper_start[:-1].astype(np.int64), levels)
    source, column = np.nonzero(upper != NONE)
    check.that(
        bool((levels[upper[source, column]] > layers[source]).all()),
        "upper: a link leads to a node that is not on its layer",
    )
    graph = HnswGraph(
        scale=_read_scale(metadata, params, check),
        scale_rows=check.number(metadata, "code_rows", 0, MAX_ROWS),
        codes=codes,
        bias=bias,
        offset=np.empty(0, np.int32),  # construction alone needs it, and completes it
        links=links,
        levels=levels,
        upper_start=upper_start,
        upper=upper,
        rows=rows,
        entry=entry,
        top=top,
        checked=rows,
        shared=True,
    )
    return params, graph


def _read_params(metadata: Mapping[str, str], check: ContentChecker) -> HnswParams:
    check.format(metadata, FORMAT, VERSION)
    try:
        return HnswParams(
            metric=Metric(check.text(metadata, "metric")),
            dimension=check.number(metadata, "dimension", 1, 1 << 31),
            m=check.number(metadata, "m", 1, 1 << 31),
            ef_construction=check.number(metadata, "ef_construction", 1, 1 << 31),
            seed=check.number(metadata, "seed", 0, (1 << 64) - 1),
        )
    except (ValueError, InvalidArgumentError) as error:
        raise CorruptionError(check.path, 0, str(error)) from error


def _read_scale(metadata: Mapping[str, str], params: HnswParams, check: ContentChecker) -> CodeScale:
    try:
        step = float.fromhex(check.text(metadata, "code_step"))
        data = base64.b64decode(check.text(metadata, "code_centre"), validate=True)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise CorruptionError(check.path, 0, f"scale of the codes: {error}") from error
    check.that(len(data) == 4 * params.dimension, "code_centre: wrong length")
    centre = np.frombuffer(data, "<f4").astype(np.float32)
    check.that(1e-38 < step < 1e38 and bool(np.isfinite(centre).all()), "scale of the codes: not finite")
    return CodeScale(centre, step)


def _read_layers(
    columns: Mapping[str, Column], params: HnswParams, rows: int, check: ContentChecker
) -> tuple[Array, Array, Array]:
    """Levels (rows,), upper_start (rows + 1,) and the links above layer 0, from the column `upper`."""
    check.that("upper" in columns, "column 'upper' is missing")
    column = columns["upper"]
    check.that(
        column.validity is None and isinstance(column.values, Column), "upper: expected lists without nulls"
    )
    offsets = column.bounds.astype(np.int64)
    values = column.child.array
    check.that(len(offsets) == rows + 1 and values.dtype == np.uint32, "upper: wrong length or type")
    lengths = np.diff(offsets)
    check.that(
        bool(((lengths >= 0) & (lengths % params.m == 0) & (lengths <= MAX_LEVEL * params.m)).all())
        and 0 <= int(offsets[0]) <= int(offsets[-1]) <= len(values),
        "upper: a list has a length that is no number of layers",
    )
    starts = (offsets - offsets[0]) // params.m
    upper = values[offsets[0] : offsets[-1]].reshape(-1, params.m)
    return (lengths // params.m).astype(np.uint8), starts.astype(np.uint32), np.ascontiguousarray(upper)


def _check_links(links: Array, cap: int, rows: int, name: str, check: ContentChecker) -> None:
    used = links != NONE
    check.that(bool((used[:, :-1] >= used[:, 1:]).all()), f"{name}: a link follows the end of its row")
    check.that(not used[:, cap:].any(), f"{name}: more than {cap} links in a row")
    check.that(bool((links[used] < rows).all()), f"{name}: a link to a node past the last one, {rows - 1}")
