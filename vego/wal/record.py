"""Operations, and how a batch of them becomes the payload of one log record.

A payload is columns, not rows, so that thousands of operations cost a few array operations:

    types u8[count] | id lengths u32[count] | vector lengths u32[count] | metadata lengths u32[count]
    | ids | vectors | metadata
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from lance_fmt import Cursor
from vego.errors import InvalidArgumentError
from vego.wal.format import MAX_BATCH_BYTES, OperationType

_PER_OPERATION = 13  # bytes before the ids


@dataclass(frozen=True, slots=True)
class Put:
    """Insert or replace the document `id`. `vector` is float32 little-endian, `metadata` UTF-8 JSON."""

    id: str
    vector: bytes
    metadata: bytes


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the document `id`."""

    id: str


Operation = Put | Delete


def encode(operations: Sequence[Operation]) -> bytes:
    """Payload of one atomic batch.

    Raises InvalidArgumentError for an empty batch, an id that is not UTF-8, or more than MAX_BATCH_BYTES.
    """
    if not operations:
        raise InvalidArgumentError("a batch for the log needs at least one operation, found none")
    try:
        ids = [operation.id.encode() for operation in operations]
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"id {error.object[:80]!r} cannot be stored as UTF-8: {error.reason}"
        ) from None
    types = bytes(OperationType.PUT if isinstance(o, Put) else OperationType.DELETE for o in operations)
    vectors = [operation.vector if isinstance(operation, Put) else b"" for operation in operations]
    metadata = [operation.metadata if isinstance(operation, Put) else b"" for operation in operations]
    columns = (ids, vectors, metadata)
    size = len(operations) * _PER_OPERATION + sum(sum(map(len, column)) for column in columns)
    if size > MAX_BATCH_BYTES:
        raise InvalidArgumentError(
            f"a batch of {len(operations):,} operations takes {size:,} bytes in the log, more than the "
            f"{MAX_BATCH_BYTES:,} that one may have; insert it in smaller parts, or with insert_batch"
        )
    lengths = [np.fromiter(map(len, column), "<u4", len(operations)).tobytes() for column in columns]
    return b"".join([types, *lengths, *ids, *vectors, *metadata])


def decode(payload: bytes | memoryview, count: int, *, path: str, base: int) -> tuple[Operation, ...]:
    """Inverse of `encode`; CorruptFileError if `payload`, at byte `base`, is not `count` operations."""
    cursor = Cursor(payload, path=path, base=base)
    if count < 1 or count * _PER_OPERATION > cursor.remaining:
        raise cursor.fail(f"{count} operations do not fit in {cursor.remaining} bytes")
    types = bytes(cursor.take(count, "types"))
    lengths = [np.frombuffer(cursor.take(4 * count, "lengths"), "<u4").tolist() for _ in range(3)]
    if sum(map(sum, lengths)) != cursor.remaining:
        raise cursor.fail(f"lengths add up to {sum(map(sum, lengths))}, {cursor.remaining} bytes follow")
    ids, vectors, metadata = (_split(cursor, column) for column in lengths)
    operations: list[Operation] = []
    for kind, raw_id, vector, document in zip(types, ids, vectors, metadata, strict=True):
        try:
            name = raw_id.decode()
        except UnicodeDecodeError as error:
            raise cursor.fail(f"id {raw_id[:80]!r} is not UTF-8: {error.reason}") from None
        if kind == OperationType.PUT:
            operations.append(Put(name, vector, document))
        elif kind == OperationType.DELETE and not vector and not document:
            operations.append(Delete(name))
        else:
            raise cursor.fail(f"operation type {kind} with {len(vector)} + {len(document)} bytes is unknown")
    return tuple(operations)


def _split(cursor: Cursor, lengths: list[int]) -> list[bytes]:
    column = bytes(cursor.take(sum(lengths), "column"))
    ends = list(accumulate(lengths))
    return [column[end - length : end] for end, length in zip(ends, lengths, strict=True)]
