"""Operations of a log, grouped into runs that can enter the slots at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from vego.document import Vector
from vego.vector_type import VectorType
from vego.wal import Delete, Log, Put


def runs_of(log: Log, most: int) -> Iterator[tuple[dict[str, Put], str | None]]:
    """Documents of different ids, at most so many, and the id that is deleted after them, if one is."""
    puts: dict[str, Put] = {}
    for batch in log.batches:
        for operation in batch.operations:
            if isinstance(operation, Delete):
                yield puts, operation.id
                puts = {}
                continue
            if operation.id in puts or len(puts) == most:
                yield puts, None
                puts = {}
            puts[operation.id] = operation
    yield puts, None


def vectors_of(puts: Mapping[str, Put], kind: VectorType) -> Vector:
    """Their vectors, as stored (n, width); ValueError where they are not."""
    lengths = {len(put.vector) for put in puts.values()}
    whole = lengths == {kind.row_bytes}
    vectors = np.frombuffer(
        b"".join([put.vector for put in puts.values()]) if whole else b"", kind.element.stored
    )
    if not whole or not np.isfinite(vectors).all():
        raise ValueError(f"one of the documents {', '.join(puts)[:200]!r} has an impossible vector")
    return vectors.reshape(-1, kind.width)


@contextmanager
def without_collector() -> Iterator[None]:
    """A log becomes some tuples for each document, none of them in a cycle, which a collector would visit in vain.

    That is a fifth of the time of reading a log of 64 MB.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
