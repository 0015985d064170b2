"""Targets that are whole `.lfmt` files, and regions of one, read through the public API.

A region's target puts its input in the place of that region in a small valid file and repairs the checksums: the
input then needs none, and the reader is asked as a user would ask it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
from fuzz.mutations import mutate_file, repair_sometimes
from fuzz.target import FILE_ERRORS, Target
from lance_fmt import Column, TypeId
from tests.support.checksums import (
    FOOTER_SIZE,
    META_HEADER_SIZE,
    RECORD_SIZE,
    Piece,
    pieces,
    repair,
)

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
MOST_ROWS = 1 << 20
MOST_PYTHON_ROWS = 200


def use_file(data: bytes) -> None:
    """Ask a file for everything; one question that it refuses does not spare it the next."""
    with suppress(*FILE_ERRORS), lance_fmt.open(data) as file:
        for question in (_describe, _read, _find, _verify):
            with suppress(*FILE_ERRORS):
                question(file)


def _describe(file: lance_fmt.File) -> None:
    assert len(file.schema) == file.footer.num_columns
    repr(file)
    for name in file.schema.names:
        with suppress(*FILE_ERRORS):
            info = file.column(name)
            assert sum(page.rows for page in info.pages) == file.num_rows


def _find(file: lance_fmt.File) -> None:
    """Rows by value, in columns of numbers and of text, whether they have an index or not."""
    for field in file.schema:
        value = "text 3" if field.type.id is TypeId.STRING else 7 if field.type.is_number else None
        if value is not None:
            with suppress(*FILE_ERRORS):
                assert all(0 <= row < file.num_rows for row in file.find(field.name, value))


def _verify(file: lance_fmt.File) -> None:
    file.verify()
    if file.num_rows <= MOST_ROWS:
        file.read()  # what is verified can be read


def _read(file: lance_fmt.File) -> None:
    """Every column by itself: all of it, some rows, single rows, and that these agree."""
    rows = np.unique(np.linspace(0, file.num_rows - 1, 9).astype(np.int64)) if file.num_rows else np.arange(0)
    for name in file.schema.names:
        whole = part = None
        with suppress(*FILE_ERRORS):
            whole = _whole(file, name)
        with suppress(*FILE_ERRORS):
            part = file.take(rows, [name])[name]
            assert len(part) == len(rows)
            assert part.type == file.column(name).type, f"{name} came as {part.type}"
        if whole is not None:
            assert len(whole) == min(file.num_rows, MOST_ROWS), name
            if file.num_rows <= MOST_ROWS:
                assert part is not None, f"{name} can be read, but rows of it not taken"
                assert whole.take(rows).equals(part), name
            with _python_values(whole.type):
                whole.slice(0, min(len(whole), MOST_PYTHON_ROWS)).to_pylist()
        for row in rows[-2:].tolist():
            with _python_values(file.schema[name].type):
                file.row(row, [name])


def _python_values(kind: lance_fmt.DataType) -> AbstractContextManager[None]:
    """Values of a time zone that this machine does not know can be read, but not shown as Python's."""
    zoned = kind.id is TypeId.TIMESTAMP and kind.tz is not None
    return suppress(*FILE_ERRORS, *([lance_fmt.InvalidDataError] if zoned else []))


def _whole(file: lance_fmt.File, name: str) -> Column:
    """The column; of one that claims very many rows, as many as a reader in batches would have at once."""
    if file.num_rows <= MOST_ROWS:
        return file.read([name])[name]
    return next(iter(file.batches(MOST_ROWS, [name])))[name]


def written(columns: Any, **options: Any) -> bytes:
    """The bytes of a file."""
    sink = io.BytesIO()
    lance_fmt.write(sink, columns, **options)
    return sink.getvalue()


def files() -> list[bytes]:
    """Small files of each level, one with indexes, and the smaller golden ones."""
    found = [
        written(_columns(300), metadata={"k": "v"}, level=level) for level in ("speed", "balanced", "small")
    ]
    found.append(written(_columns(300), row_index=["i", "s"], bloom=["i", "u"]))
    return found + [path.read_bytes() for path in sorted(GOLDEN.iterdir()) if path.stat().st_size < 1 << 16]


def _columns(rows: int) -> dict[str, Any]:
    i = range(rows)
    return {
        "i": list(i),
        "f": [0.5 * k for k in i],
        "s": [f"text {k % 7}" if k % 5 else None for k in i],
        "u": [f"{k * 7919 % 1000:x}" * (k % 4) for k in i],
        "l": [[k, k + 1][: k % 3] for k in i],
        "b": [k % 3 == 0 for k in i],
        "w": [["é", "long enough to matter", None][k % 3 : k % 3 + 1][0] for k in i],
        "v": np.arange(rows * 3, dtype=np.float32).reshape(rows, 3),
        "t": (np.arange(rows) * 1000).astype("M8[ms]"),
        "none": Column.nulls(lance_fmt.float32(), rows),
    }


@cache
def template() -> bytes:
    """The file that regions are put into."""
    return written(_columns(80), metadata={"k": "v"})


def _piece(data: bytes, kind: str) -> list[Piece]:
    return [piece for piece in pieces(data) if piece.kind == kind]


def _rebuild(body: bytes, table: bytes, schema: bytes, pairs: bytes) -> bytes:
    """A file of such parts, footer and checksums computed."""
    columns = len(table) // RECORD_SIZE
    rows = int.from_bytes(template()[-56:-48], "little")
    length = len(body) + len(table) + len(schema) + len(pairs) + FOOTER_SIZE
    sizes = struct.pack("<QQQIII", length, rows, len(body), columns, len(schema), len(pairs))
    footer = sizes + template()[-FOOTER_SIZE + len(sizes) :]
    return repair(body + table + schema + pairs + footer)


def _parts() -> tuple[bytes, bytes, bytes, bytes]:
    data = template()
    (table,), (schema,), (pairs,) = (_piece(data, kind) for kind in ("table", "schema", "key-values"))
    return (
        data[: table.start],
        data[table.start : table.stop],
        data[schema.start : schema.stop],
        data[pairs.start : pairs.stop],
    )


def with_schema(data: bytes) -> bytes:
    """`data` as the schema. Fields are found by its start: every record of the table says so."""
    body, table, _, pairs = _parts()
    return _rebuild(body, table, data, pairs)


def with_key_values(data: bytes) -> bytes:
    """`data` as the key-values."""
    body, table, schema, _ = _parts()
    return _rebuild(body, table, schema, data)


def with_table(data: bytes) -> bytes:
    """`data` as the column offset table."""
    body, _, schema, pairs = _parts()
    return _rebuild(body, data[: len(data) // RECORD_SIZE * RECORD_SIZE], schema, pairs)


def with_footer(data: bytes) -> bytes:
    """`data` as the footer's fields."""
    return repair(template()[:-FOOTER_SIZE] + data[:56].ljust(56, b"\0") + bytes(4) + b"LFMT")


def with_metadata(data: bytes) -> bytes:
    """`data` but for its first byte as the metadata of the column which that byte chooses."""
    body, table, schema, pairs = _parts()
    return _rebuild(body + data[1:], _pointed(table, data[:1], len(body), len(data[1:])), schema, pairs)


def with_index(data: bytes) -> bytes:
    """`data` but for its first byte as the first page index of the column which that byte chooses."""
    data = data or b"\0"
    body, table, schema, pairs = _parts()
    record = _record(table, data[:1])
    start, length = struct.unpack_from("<QI", table, record + 8)
    meta = bytearray(body[start : start + length])
    handle = META_HEADER_SIZE
    struct.pack_into("<QI", meta, handle + 16, len(body), len(data) - 1)
    body += data[1:]
    return _rebuild(body + meta, _pointed(table, data[:1], len(body), len(meta)), schema, pairs)


def with_block(data: bytes) -> bytes:
    """`data` but for its first byte as the first block of the column which that byte chooses.

    Its length is fitted to that of the block: what the index says of it stays true.
    """
    body, table, schema, pairs = _parts()
    record = _record(table, data[:1])
    start = struct.unpack_from("<Q", table, record + 8)[0]
    where, length, index = struct.unpack_from("<QQQ", body, start + META_HEADER_SIZE)
    end = struct.unpack_from("<Q", body, index + 8)[0] if length else 0
    changed = bytearray(body)
    changed[where : where + end] = data[1 : 1 + end].ljust(end, b"\0")
    return _rebuild(bytes(changed), table, schema, pairs)


def _record(table: bytes, which: bytes) -> int:
    return int.from_bytes(which, "little") % (len(table) // RECORD_SIZE) * RECORD_SIZE


def _pointed(table: bytes, which: bytes, offset: int, length: int) -> bytes:
    """The table with one column's metadata elsewhere."""
    changed = bytearray(table)
    struct.pack_into("<QI", changed, _record(table, which) + 8, offset, length)
    return bytes(changed)


def _region(kind: str) -> list[bytes]:
    """The regions of such a kind, each after the number of its column where it belongs to one."""
    data = template()
    found = [data[piece.start : piece.stop] for piece in _piece(data, kind)]
    if kind in ("metadata", "index"):
        return [bytes([number]) + raw for number, raw in enumerate(found)]
    return found


def _one_ordinal() -> bytes:
    """A table whose records all say that they are column 0: a reader that believed it mixed up their blocks."""
    (table,) = _region("table")
    return b"".join(table[i : i + 32] + bytes(8) for i in range(0, len(table), RECORD_SIZE))


def _blocks() -> list[bytes]:
    data = template()
    return [bytes([n]) + data[p.start : p.stop] for n, p in enumerate(islice(_piece(data, "block"), 255))]


def _within(place: Callable[[bytes], bytes]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        use_file(place(data))

    return check


FILE_TARGETS: dict[str, Target] = {
    "file": Target(use_file, files, mutate_file, repair_sometimes),
    "footer": Target(_within(with_footer), lambda: _region("footer")),
    "table": Target(_within(with_table), lambda: [*_region("table"), _one_ordinal()]),
    "schema": Target(_within(with_schema), lambda: _region("schema")),
    "key_values": Target(_within(with_key_values), lambda: _region("key-values")),
    "column_meta": Target(_within(with_metadata), lambda: _region("metadata")),
    "page_index": Target(_within(with_index), lambda: _region("index")),
    "block": Target(_within(with_block), _blocks),
}
