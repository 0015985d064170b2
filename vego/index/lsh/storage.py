"""Tables of buckets as the columns and metadata of an `.lfmt` file, one row per slot, and back with every key checked.

| column | type                    | meaning                        |
|--------|-------------------------|--------------------------------|
| keys   | vector<uint16, tables>  | the key of the slot, per table |

Metadata names the format and its version, the dimension, the seed (which says what bits keys are made of), tables, bits
and rows. Buckets are laid out anew when they are read, so no position of the file is ever followed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lance_fmt import Column
from vego.errors import CorruptionError, InvalidArgumentError
from vego.index.content import ContentChecker
from vego.index.lsh.tables import MOST_BITS, MOST_TABLES, Tables, positions_of
from vego.index.metrics import Metric
from vego.index.vector_index import MAX_ROWS
from vego.options import MAX_DIMENSION
from vego.vector_type import Element, VectorType

FORMAT = "vego-lsh"
VERSION = 1


def write_tables(
    tables: Tables | None, dimension: int, seed: int
) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns and metadata of tables, or of an index without rows."""
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "metric": Metric.HAMMING.value,
        "dimension": str(dimension),
        "seed": str(seed),
        "rows": "0",
    }
    if tables is None:
        return {"keys": Column.from_numpy(np.empty((0, 1), np.uint16))}, metadata
    metadata |= {
        "rows": str(len(tables.keys)),
        "tables": str(tables.keys.shape[1]),
        "bits": str(tables.bits),
    }
    return {"keys": Column.from_numpy(tables.keys)}, metadata


def read_tables(
    columns: Mapping[str, Column], metadata: Mapping[str, str], path: str
) -> tuple[int, int, Tables | None]:
    """Dimension, seed and the tables that `write_tables` wrote, None for no rows.

    Raises NewerVersionError for a later version, CorruptionError for anything that contradicts itself.
    """
    check = ContentChecker(path)
    check.format(metadata, FORMAT, VERSION)
    check.that(check.text(metadata, "metric") == Metric.HAMMING.value, "metric: only hamming is known here")
    dimension = check.number(metadata, "dimension", 1, MAX_DIMENSION)
    seed = check.number(metadata, "seed", 0, (1 << 64) - 1)
    try:
        VectorType(Element.BIT, dimension).checked()
    except InvalidArgumentError as error:
        raise CorruptionError(path, 0, str(error)) from error
    rows = check.number(metadata, "rows", 0, MAX_ROWS)
    if rows == 0:
        return dimension, seed, None
    count = check.number(metadata, "tables", 1, MOST_TABLES)
    bits = check.number(metadata, "bits", 1, min(MOST_BITS, dimension))
    keys = check.array(columns, "keys", np.uint16, (rows, count))
    check.that(bool((keys < (1 << bits)).all()), f"keys: one of more than {bits} bits")
    return dimension, seed, Tables(positions_of(dimension, count, bits, seed), keys)
