"""Pages of format 1.0: four encodings, read for ever; plain arrays of numbers are still written by `lance_fmt.page`."""

from __future__ import annotations

from collections.abc import Callable

from lance_fmt.column import Column
from lance_fmt.constants import EncodingId
from lance_fmt.schema import DataType
from lance_fmt.v1 import lists
from lance_fmt.v1.bitpacked import BitPacked
from lance_fmt.v1.block import read_block
from lance_fmt.v1.dictionary import Dictionary
from lance_fmt.v1.plain import Plain
from lance_fmt.v1.protocol import Encoding
from lance_fmt.v1.zstd import Zstd
from lance_fmt.wire import Cursor

__all__ = ["ENCODINGS", "block_decoder"]

ENCODINGS: dict[EncodingId, Encoding] = {
    EncodingId.PLAIN: Plain(),
    EncodingId.BITPACKED: BitPacked(),
    EncodingId.DICTIONARY: Dictionary(),
    EncodingId.ZSTD: Zstd(),
}


def block_decoder(
    index: Cursor, shared_size: int, encoding_id: EncodingId, kind: DataType
) -> Callable[[Cursor, int, int], Column]:
    """What decodes (bytes of a block, rows, nulls) of a page whose `index` is read up to its shared bytes."""
    if index.remaining != shared_size:
        raise index.fail(f"{shared_size} shared bytes declared, {index.remaining} there")
    encoding = ENCODINGS[encoding_id]
    if not _fits(encoding_id, kind.element if kind.is_list else kind):
        raise index.fail(f"{kind} values in a page of encoding {encoding.name}")
    path, base = index.path, index.offset
    shared = index.take(shared_size, "shared bytes")
    opened: list[Column | None] = []

    def decode(cursor: Cursor, rows: int, nulls: int) -> Column:
        # Opened on first use: inspecting a file must not load kernels. Two threads may both do it.
        if not opened:
            opened.append(lists.open_shared(encoding, Cursor(shared, path=path, base=base), kind))
        return read_block(cursor, rows, nulls, kind, encoding=encoding, shared=opened[0])

    return decode


def _fits(encoding_id: EncodingId, kind: DataType) -> bool:
    """Whether format 1.0 defines the encoding for values of a type; 1.1 writes new vectors as such arrays, too."""
    if encoding_id is EncodingId.PLAIN and kind.is_vector:
        return True
    if kind.since != "1.0" or kind.is_list:
        return False
    if encoding_id is EncodingId.BITPACKED:
        return kind.is_integer
    if encoding_id is EncodingId.DICTIONARY:
        return kind.is_variable or kind.is_integer or kind.is_float
    return encoding_id is EncodingId.PLAIN or not kind.is_vector
