"""A graph as the columns and metadata of an `.lfmt` file, one row per node, and back with every link checked.

| column | type                      | meaning                                                        |
|--------|---------------------------|----------------------------------------------------------------|
| links  | vector<uint32, 16 i>      | links on layer 0, at most 2 m, then 2^32 - 1 to the end        |
| codes  | vector<uint8, 64 i>       | the 8-bit code, then zeros (version 2: on the axes)            |
|        | vector<int8, 64 i>        | under l1: the signed code, then zeros (version 3)              |
|        | vector<uint64, 8 i>       | under hamming: the bits, then zeros (version 3)                |
|        |                           | (version 4: its last 4 bytes are the bias, int32)              |
| bias   | int32                     | what the walk adds to the distance (kernels/distance.py)       |
|        |                           | (not in version 4)                                             |
| upper  | list<uint32>              | m entries for each layer above 0, filled up as in `links`      |

Metadata names the format and its version, the parameters, the scale of the codes, rows, entry and top layer. Version 2
adds `code_axes`, float16 (d, width) in base64, and `code_lost`; a graph whose codes have all dimensions is written as
version 1. Version 3 adds metrics whose codes are of another type (vego/index/kernels/agreement.py), without axes.
Version 4 has 4 axes less than a row of codes has bytes, and the bias in their place.
After `read_graph` no content of the file can lead a kernel outside its arrays.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

import lance_fmt
from lance_fmt import Column
from vego.errors import CorruptionError, InvalidArgumentError
from vego.index.content import ContentChecker
from vego.index.hnsw.graph import HnswGraph, bias_room, code_type
from vego.index.hnsw.params import MAX_LEVEL, HnswParams
from vego.index.links import NONE, empty_links, link_bytes, links_of, slots_of, wide_links
from vego.index.metrics import Metric
from vego.index.projection import BIAS_BYTES, STEP, WIDEST
from vego.index.quantize import CodeScale
from vego.index.vector_index import MAX_ROWS
from vego.index.views import aligned_empty

FORMAT = "vego-hnsw"
VERSION = 4  # 1: all dimensions; 2: on axes; 3: other metrics; 4: on axes, the bias in the codes
CHECKED_ROWS = 1 << 14  # link rows that are looked at together: they stay in the cache
LARGE_BYTES = 1 << 22  # NumPy asks the system for large pages from here on
MOST_COPIED = 1 << 30  # bytes of an array: larger ones stay in the file, for the system to keep or to drop

Array = npt.NDArray[Any]


def write_graph(graph: HnswGraph, params: HnswParams) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns and metadata of a graph; the columns are views of it where they can be."""
    columns, metadata = write_without_links(graph, params)
    return {"links": Column.from_numpy(slots_of(graph.links[: graph.rows]))} | columns, metadata


def write_without_links(graph: HnswGraph, params: HnswParams) -> tuple[dict[str, Column], dict[str, str]]:
    """`write_graph` of all but the links on layer 0."""
    rows = graph.rows
    starts = graph.upper_start[: rows + 1].astype(np.int64)
    layers = Column(lance_fmt.uint32(), slots_of(graph.upper[: starts[-1]]).reshape(-1))
    columns = {
        "codes": Column.from_numpy(graph.codes[:rows]),
        "upper": Column(lance_fmt.list_(lance_fmt.uint32()), layers, starts * params.m),
    }
    if not graph.scale.bias_in_rows:
        columns["bias"] = Column.from_numpy(graph.bias[:rows])
    centre = graph.scale.centre.astype("<f4").tobytes()
    metadata = {
        "format": FORMAT,
        "version": str(_version(params.metric, graph.scale)),
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
    axes = graph.scale.axes
    if axes is None:
        return columns, metadata
    metadata["code_axes"] = base64.b64encode(axes.astype("<f2").tobytes()).decode("ascii")
    metadata["code_lost"] = float(graph.scale.lost).hex()
    return columns, metadata


def _version(metric: Metric, scale: CodeScale) -> int:
    """The oldest version that can say this."""
    if code_type(metric) != np.uint8:
        return 3
    if scale.axes is None:
        return 1
    return 4 if scale.bias_in_rows else 2


def read_graph(
    columns: Mapping[str, Column], metadata: Mapping[str, str], path: str
) -> tuple[HnswParams, HnswGraph]:
    """The graph that `write_graph` wrote, small arrays over those of the columns.

    Raises NewerVersionError for a later version, CorruptionError for anything that contradicts itself.
    """
    params, graph = read_without_links(columns, metadata, path)
    check = ContentChecker(path)
    slots = check.array(columns, "links", np.uint32, (graph.rows, params.link_width))
    _check_links(slots, 2 * params.m, graph.rows, "links", check)
    links = wide_links(slots) if slots.nbytes > MOST_COPIED else links_of(slots, link_bytes(graph.rows))
    return params, replace(graph, links=links)


def read_without_links(
    columns: Mapping[str, Column], metadata: Mapping[str, str], path: str
) -> tuple[HnswParams, HnswGraph]:
    """`read_graph` of what `write_without_links` wrote: `links` has no rows."""
    check = ContentChecker(path)
    params = _read_params(metadata, check)
    scale = _read_scale(metadata, params, check)
    rows = check.number(metadata, "rows", 0, MAX_ROWS)
    kind = code_type(params.metric)
    codes = _in_large_pages(check.array(columns, "codes", kind, (rows, scale.code_width // kind.itemsize)))
    bias = bias_room(scale, 0)
    if not scale.bias_in_rows:
        bias = _in_large_pages(check.array(columns, "bias", np.int32, (rows,)))
    levels, upper_start, upper = _read_layers(columns, params, rows, check)
    entry = check.number(metadata, "entry", 0, max(0, rows - 1))
    top = check.number(metadata, "top", 0, MAX_LEVEL)
    check.that(
        rows == 0 or int(levels[entry]) == top == int(levels.max()), "the entry is not on the top layer"
    )
    _check_links(upper, params.m, rows, "upper", check)
    layers = np.arange(len(upper)) - np.repeat(upper_start[:-1].astype(np.int64), levels)
    source, column = np.nonzero(upper != NONE)
    check.that(
        bool((levels[upper[source, column]] > layers[source]).all()),
        "upper: a link leads to a node that is not on its layer",
    )
    graph = HnswGraph(
        scale=scale,
        scale_rows=check.number(metadata, "code_rows", 0, MAX_ROWS),
        codes=codes,
        bias=bias,
        links=empty_links(0, params.link_width, link_bytes(0)),
        levels=levels,
        upper_start=upper_start,
        upper=wide_links(upper),
        rows=rows,
        entry=entry,
        top=top,
        checked=rows,
        shared=True,
    )
    return params, graph


def _in_large_pages(array: Array) -> Array:
    """A copy of a large array, but not of the largest, else the array.

    The small pages of a mapped file make a walk half as long again.
    """
    if not LARGE_BYTES <= array.nbytes <= MOST_COPIED:
        return array
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


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
    check.that(len(data) == 4 * params.row_width, "code_centre: wrong length")
    centre = np.frombuffer(data, "<f4").astype(np.float32)
    check.that(1e-38 < step < 1e38 and bool(np.isfinite(centre).all()), "scale of the codes: not finite")
    scale = CodeScale(centre, step)
    if "code_axes" in metadata:
        scale = CodeScale(centre, step, *_read_axes(metadata, params, check))
    expected = _version(params.metric, scale)
    check.that(check.number(metadata, "version", 1, VERSION) == expected, f"version {expected} expected")
    return scale


def _read_axes(metadata: Mapping[str, str], params: HnswParams, check: ContentChecker) -> tuple[Array, float]:
    try:
        lost = float.fromhex(check.text(metadata, "code_lost"))
        data = base64.b64decode(check.text(metadata, "code_axes"), validate=True)
    except (ValueError, OverflowError, binascii.Error) as error:
        raise CorruptionError(check.path, 0, f"axes of the codes: {error}") from error
    widths = range(STEP, WIDEST + 1, STEP)
    lengths = [2 * params.dimension * (width - spare) for width in widths for spare in (0, BIAS_BYTES)]
    check.that(len(data) in lengths, "code_axes: wrong length")
    axes = np.frombuffer(data, "<f2").astype(np.float32).reshape(params.dimension, -1)
    check.that(bool((np.abs(axes) <= 1).all()) and 0 <= lost <= 1, "code_axes, code_lost: out of range")
    check.that(params.metric in (Metric.L2, Metric.COSINE), "code_axes: the metric needs all dimensions")
    return axes, lost


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
    for first in range(0, len(links), CHECKED_ROWS):
        some = links[first : first + CHECKED_ROWS]
        used = some != NONE
        check.that(bool((used[:, :-1] >= used[:, 1:]).all()), f"{name}: a link follows the end of its row")
        check.that(not used[:, cap:].any(), f"{name}: more than {cap} links in a row")
        check.that(
            not ((some >= rows) & used).any(), f"{name}: a link to a node past the last one, {rows - 1}"
        )
