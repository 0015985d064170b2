"""Operations, and how a batch of them becomes the payload of one log record.

A payload is columns, not rows, so that thousands of operations cost a few array operations:

    types u8[count] | id lengths u32[count] | vector lengths u32[count] | metadata lengths u32[count]
    | ids | vectors | metadata
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lance_fmt import Cursor
from vego.errors import InvalidArgumentError
from vego.wal.format import MAX_BATCH_BYTES, OperationType

_PER_OPERATION = 13  # bytes before the ids
_ONE = struct.Struct("<BIII")  # the lengths of a batch of one operation
_PUT_TYPE = int(OperationType.PUT)
_PUT = bytes([OperationType.PUT])
_DELETE = bytes([OperationType.DELETE])


class Put(NamedTuple):
    """Insert or replace the document `id`. `vector` is little-endian, `metadata` UTF-8 JSON."""

    id: str
    vector: bytes
    metadata: bytes


class Delete(NamedTuple):
    """Remove the document `id`."""

    id: str


Operation = Put | Delete


def encode(operations: Sequence[Operation]) -> bytes:
    """Payload of one atomic batch.

    Raises InvalidArgumentError for an empty batch, an id that is not UTF-8, or more than MAX_BATCH_BYTES.
    """
    types = bytes(OperationType.PUT if isinstance(o, Put) else OperationType.DELETE for o in operations)
    vectors = [operation.vector if isinstance(operation, Put) else b"" for operation in operations]
    metadata = [operation.metadata if isinstance(operation, Put) else b"" for operation in operations]
    return _payload(
        types,
        [operation.id for operation in operations],
        np.fromiter(map(len, vectors), "<u4", len(vectors)),
        b"".join(vectors),
        metadata,
    )


def encode_puts(
    ids: Sequence[str],
    vectors: NDArray[Any],
    metadata: Sequence[bytes],
    deleted: Sequence[str] = (),
) -> bytes:
    """Payload of one atomic batch that puts the rows of `vectors` (n, width) and deletes other ids.

    Raises as `encode` does.
    """
    count, size = len(vectors), vectors.shape[1] * vectors.itemsize
    if count == 1 and not deleted:
        name, text = _utf8(ids[0]), metadata[0]
        if len(name) + size + len(text) < MAX_BATCH_BYTES - _PER_OPERATION:
            head = _ONE.pack(OperationType.PUT, len(name), size, len(text))
            return b"".join([head, name, vectors.tobytes(), text])
    lengths = np.repeat(np.array([size, 0], "<u4"), [count, len(deleted)])
    types = _PUT * count + _DELETE * len(deleted)
    return _payload(types, [*ids, *deleted], lengths, vectors.tobytes(), [*metadata, *[b""] * len(deleted)])


def encode_deletes(ids: Sequence[str]) -> bytes:
    """Payload of one atomic batch that deletes `ids`. Raises as `encode` does."""
    return _payload(_DELETE * len(ids), ids, np.zeros(len(ids), "<u4"), b"", [b""] * len(ids))


def _payload(
    types: bytes, ids: Sequence[str], widths: NDArray[np.uint32], vectors: bytes, metadata: Sequence[bytes]
) -> bytes:
    if not types:
        raise InvalidArgumentError("a batch for the log needs at least one operation, found none")
    count = len(types)
    names = [_utf8(name) for name in ids]
    texts = b"".join(metadata)
    lengths = [np.fromiter(map(len, column), "<u4", count).tobytes() for column in (names, metadata)]
    payload = b"".join([types, lengths[0], widths.tobytes(), lengths[1], *names, vectors, texts])
    if len(payload) > MAX_BATCH_BYTES:
        raise InvalidArgumentError(
            f"a batch of {count:,} operations takes {len(payload):,} bytes in the log, more than the "
            f"{MAX_BATCH_BYTES:,} that one may have; insert it in smaller parts, or with insert_batch"
        )
    return payload


def _utf8(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"id {error.object[:80]!r} cannot be stored as UTF-8: {error.reason}"
        ) from None


def decode(payload: bytes | memoryview, count: int, *, path: str, base: int) -> tuple[Operation, ...]:
    """Inverse of `encode`; CorruptFileError if `payload`, at byte `base`, is not `count` operations."""
    if count == 1 and len(payload) >= _PER_OPERATION:  # the usual batch, in fewer steps
        kind, name_length, vector_length, text_length = _ONE.unpack_from(payload)
        first = _PER_OPERATION + name_length
        second = first + vector_length
        if kind == _PUT_TYPE and second + text_length == len(payload):
            found = bytes(payload)
            try:
                name = found[_PER_OPERATION:first].decode()
            except UnicodeDecodeError:
                pass  # told below
            else:
                return (Put(name, found[first:second], found[second:]),)
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
