"""What is in the log of a collection, as the batches and deletes that are carried out when it is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vego.errors import CorruptionError
from vego.table.batch import RowBatch
from vego.table.values import load_metadata
from vego.wal import Delete, Log, Put

MOST_ROWS = 1_024  # that are looked at together


def replayed(log: Log, dimension: int, place: str) -> Iterator[tuple[RowBatch, int] | str]:
    """In the order of the log, rows with the bytes they take there, or the id of a row to delete.

    Raises CorruptionError, naming `place`, for what a collection of `dimension` cannot have written.
    """
    puts: dict[str, Put] = {}  # in a row, all different
    for batch in log.batches:
        for operation in batch.operations:
            if puts and (isinstance(operation, Delete) or operation.id in puts or len(puts) == MOST_ROWS):
                yield _rows(puts, dimension, place)
                puts = {}
            if isinstance(operation, Delete):
                yield operation.id
            else:
                puts[operation.id] = operation
    if puts:
        yield _rows(puts, dimension, place)


def _rows(puts: Mapping[str, Put], dimension: int, place: str) -> tuple[RowBatch, int]:
    vectors = np.frombuffer(b"".join([put.vector for put in puts.values()]), "<f4")
    if {len(put.vector) for put in puts.values()} != {4 * dimension} or not np.isfinite(vectors).all():
        what = f"one of the documents {', '.join(puts)[:200]!r} has an impossible vector"
        raise CorruptionError(place, 0, what)
    size = vectors.nbytes + sum(len(put.metadata) for put in puts.values())
    rows = [_metadata(put, place) for put in puts.values()]
    return RowBatch(list(puts), vectors.reshape(-1, dimension), rows=rows), size


def _metadata(put: Put, place: str) -> dict[str, Any]:
    try:
        return load_metadata(put.metadata)
    except ValueError as error:
        raise CorruptionError(place, 0, f"document {put.id!r}: {error}") from None
