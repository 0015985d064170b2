"""Inverted lists as the columns and metadata of an `.lfmt` file, one row per slot, and back with every number checked.

| column  | type                      | meaning                                                                |
|---------|---------------------------|------------------------------------------------------------------------|
| list    | uint32                    | the list of the slot                                                   |
| trained | list<float32>             | centroids, then what the code has learned, in equal parts over the rows |
| codes   | vector<uint8, ..>         | sq8: a byte a component, then zeros to 64 i; pq, rabitq: two codes a byte |
| bias    | int32 or float32          | sq8; pq, rabitq                                                        |
| weight, error | float32             | pq, rabitq (kernels/product_codes.py)                                  |
| halves  | vector<uint16, d>         | f16, bf16                                                              |

Metadata names the format and its version, the parameters, rows, lists, and the scale by which lists are found.
Lists are laid out anew when they are read, so no position of the file is ever followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import lance_fmt
from lance_fmt import Column
from vego.errors import CorruptionError, InvalidArgumentError
from vego.index.codes import CODE_KINDS, coder_class
from vego.index.content import ContentChecker
from vego.index.ivf.lists import InvertedLists
from vego.index.ivf.params import MAX_LISTS, IvfParams
from vego.index.metrics import Metric
from vego.index.quantize import CodeScale
from vego.index.vector_index import MAX_ROWS

FORMAT = "vego-ivf"
VERSION = 1

Array = npt.NDArray[Any]


def write_lists(lists: InvertedLists | None, params: IvfParams) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns and metadata of lists, or of an index without rows."""
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "metric": params.metric.value,
        "dimension": str(params.dimension),
        "code": params.code,
        "lists": str(params.lists),
        "seed": str(params.seed),
        "rows": "0",
    }
    if lists is None or not lists.rows:
        return {"list": Column.from_numpy(np.empty(0, np.uint32))}, metadata
    values = np.concatenate(
        [lists.scale.centre, lists.centroids.reshape(-1), lists.coder.trained()], dtype=np.float32
    )
    part = -(-len(values) // lists.rows)
    starts = np.minimum(np.arange(lists.rows + 1) * part, len(values))
    columns = {
        "list": Column.from_numpy(lists.list_of),
        "trained": Column(lance_fmt.list_(lance_fmt.float32()), Column(lance_fmt.float32(), values), starts),
    }
    columns |= {name: Column.from_numpy(array) for name, array in lists.columns().items()}
    metadata |= {
        "rows": str(lists.rows),
        "centroids": str(len(lists.centroids)),
        "trained_rows": str(lists.trained_rows),
        "step": float(lists.scale.step).hex(),
    }
    return columns, metadata


def read_lists(
    columns: Mapping[str, Column], metadata: Mapping[str, str], path: str
) -> tuple[IvfParams, InvertedLists | None]:
    """The lists that `write_lists` wrote, None for no rows.

    Raises NewerVersionError for a later version, CorruptionError for anything that contradicts itself.
    """
    check = ContentChecker(path)
    params = _read_params(metadata, check)
    rows = check.number(metadata, "rows", 0, MAX_ROWS)
    if rows == 0:
        return params, None
    count = check.number(metadata, "centroids", 1, min(MAX_LISTS, rows))
    kind = coder_class(params.code)
    d = params.dimension
    values = _read_trained(columns, rows, d + count * d + kind.trained_size(d), check)
    step = check.real(metadata, "step")
    check.that(1e-38 < step < 1e38, "step: out of bounds")
    try:
        coder = kind.restore(params.metric, d, values[d + count * d :], params.seed)
    except ValueError as error:
        raise CorruptionError(path, 0, str(error)) from error
    stored = {
        name: check.array(columns, name, dtype, (rows, *shape))
        for name, (dtype, shape) in coder.columns().items()
    }
    for name, array in stored.items():
        if array.dtype == np.float32:
            check.that(not np.isnan(array).any(), f"{name}: a value that is no number")
    list_of = check.array(columns, "list", np.uint32, (rows,))
    check.that(bool((list_of < count).all()), f"list: a list past the last one, {count - 1}")
    empty = InvertedLists.empty(
        params.metric,
        coder,
        values[d : d + count * d].reshape(count, d),
        CodeScale(values[:d].copy(), step),
        check.number(metadata, "trained_rows", 1, MAX_ROWS),
    )
    return params, empty.extended(list_of, stored)


def _read_params(metadata: Mapping[str, str], check: ContentChecker) -> IvfParams:
    check.format(metadata, FORMAT, VERSION)
    check.that(check.text(metadata, "code") in CODE_KINDS, f"code: {metadata.get('code')!r} is not known")
    try:
        return IvfParams(
            metric=Metric(check.text(metadata, "metric")),
            dimension=check.number(metadata, "dimension", 1, 1 << 31),
            code=metadata["code"],
            lists=check.number(metadata, "lists", 0, 1 << 31),
            seed=check.number(metadata, "seed", 0, (1 << 64) - 1),
        )
    except (ValueError, InvalidArgumentError) as error:
        raise CorruptionError(check.path, 0, str(error)) from error


def _read_trained(
    columns: Mapping[str, Column], rows: int, size: int, check: ContentChecker
) -> npt.NDArray[np.float32]:
    """All learned numbers: finite float32 (size,)."""
    check.that("trained" in columns, "column 'trained' is missing")
    column = columns["trained"]
    check.that(
        column.validity is None and isinstance(column.values, Column), "trained: expected lists without nulls"
    )
    bounds, values = column.bounds, column.child.array
    check.that(
        len(bounds) == rows + 1 and values.dtype == np.float32 and values.ndim == 1,
        "trained: wrong length or type",
    )
    first, last = int(bounds[0]), int(bounds[-1])
    check.that(
        0 <= first <= last <= len(values) and last - first == size,
        f"trained: expected {size} values, found {last - first}",
    )
    learned = np.array(values[first:last], np.float32)
    check.that(bool(np.isfinite(learned).all()), "trained: a value that is not finite")
    return learned
