"""What is in one file, as a dict that JSON can hold: the report behind `vego inspect`.

Only metadata is read, never values, so a report costs little whatever the size of the file. Every number
comes from the file itself; `sections` accounts for each of its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
from lance_fmt import ColumnInfo, DataType, File, InvalidDataError, PageInfo
from vego_tools import database_files

MAGIC = b"LFMT"

Report = dict[str, Any]


def inspect(path: Path, *, column: str | None = None, verify: bool = False) -> Report:
    """The report on the file at `path`, whichever of Vego's files it is.

    `column` limits the columns of an `.lfmt` file to one. `verify` reads and decodes every byte, and so adds
    the size of text and lists. Raises CorruptFileError, CorruptionError, UnsupportedVersionError,
    NewerVersionError, SchemaError (no such column), InvalidDataError (not a file of Vego) and OSError.
    """
    if path.is_dir():
        raise InvalidDataError(f"{path} is a directory; `vego stats {path}` shows what is in a database")
    start, end = _edges(path)
    if path.suffix in (".lfmt", ".del") or MAGIC in (start, end):
        with lance_fmt.open(path) as file:
            if verify:
                file.verify()
            return _columnar(file, path, column, verify)
    report = database_files.inspect(path, start)
    if report is None:
        raise InvalidDataError(
            f"{path}: not a file of Vego: it starts with {start!r}; expected an .lfmt or .del file, "
            "a .manifest, a .wal or the VEGO file of a database"
        )
    return report


def _edges(path: Path) -> tuple[bytes, bytes]:
    """The first and last four bytes."""
    with path.open("rb") as file:
        start = file.read(4)
        size = file.seek(0, 2)
        file.seek(max(0, size - 4))
        return start, file.read(4)


def _columnar(file: File, path: Path, column: str | None, verified: bool) -> Report:
    wanted = file.schema.names if column is None else [file.schema[column].name]
    every = {name: file.column(name) for name in file.schema.names}
    length = file.footer.file_length
    raw = {name: file.read([name])[name].nbytes for name in wanted} if verified else {}
    return {
        "path": str(path),
        "kind": "columns",
        "format": f"LFMT {file.version}",
        "bytes": length,
        "rows": file.num_rows,
        "footer_crc32c": f"{file.footer_crc:08x}",
        "verified": verified,
        "metadata": dict(file.metadata),
        "columns": [_column(every[name], length, raw.get(name), path) for name in wanted],
        "sections": _sections(file, every.values()),
    }


def _column(info: ColumnInfo, file_length: int, raw: int | None, path: Path) -> Report:
    stored = info.length + info.metadata_length
    fixed = [page.raw_bytes for page in info.pages]
    if raw is None and None not in fixed:
        raw = sum(size for size in fixed if size is not None)
    low, low_exact = _bound(info.pages, info.type, largest=False)
    high, high_exact = _bound(info.pages, info.type, largest=True)
    return {
        "name": info.name,
        "type": str(info.type),
        "nullable": info.nullable,
        "encoding": info.encoding,
        "nulls": info.nulls,
        "nans": sum(page.nans for page in info.pages),
        "minimum": low,
        "minimum_exact": low_exact,
        "maximum": high,
        "maximum_exact": high_exact,
        "bytes": stored,
        "raw_bytes": raw,
        "ratio": round(raw / stored, 3) if raw is not None and stored else None,
        "share": round(stored / file_length, 6),
        "page_rows": info.page_rows,
        "block_rows": info.block_rows,
        "blocks": sum(len(page.blocks) for page in info.pages),
        "why": info.evidence.splitlines(),
        "pages": [_page(page, info.type, path) for page in info.pages],
    }


def _page(page: PageInfo, kind: DataType, path: Path) -> Report:
    return {
        "offset": page.offset,
        "bytes": page.length,
        "first_row": page.first_row,
        "rows": page.rows,
        "nulls": page.nulls,
        "nans": page.nans,
        "encoding": page.encoding,
        "minimum": _plain(page.minimum, kind),
        "maximum": _plain(page.maximum, kind),
        "raw_bytes": page.raw_bytes,
        "shared_bytes": page.shared_bytes,
        "index_offset": page.index_offset,
        "index_bytes": page.index_length,
        "index_crc32c": f"{_checksum(path, page.index_offset, page.index_length):08x}",
        "blocks": len(page.blocks),
    }


def _checksum(path: Path, offset: int, length: int) -> int:
    """CRC32C of a page index, which is the one in the column's metadata: opening has compared the two."""
    with path.open("rb") as file:
        file.seek(offset)
        return lance_fmt.crc32c(file.read(length))


def _bound(pages: Sequence[PageInfo], kind: DataType, *, largest: bool) -> tuple[Any, bool]:
    """The bound of a whole column and whether it is exact; None where a page with values has none."""
    values: list[tuple[Any, bool]] = []
    for page in pages:
        if page.nulls + page.nans >= page.rows:
            continue
        value = page.maximum if largest else page.minimum
        if value is None:
            return None, False
        values.append((value, page.maximum_exact if largest else page.minimum_exact))
    if not values:
        return None, False
    value, exact = (max if largest else min)(values, key=lambda pair: pair[0])
    return _plain(value, kind), exact


def _plain(value: Any, kind: DataType) -> Any:
    """A bound as JSON has it: times as ISO 8601, bytes as hexadecimal digits, what is not finite as text."""
    if value is None:
        return None
    if kind.unit is not None:
        return str(np.array(value, f"datetime64[{kind.time_unit}]")) + (
            "" if kind.tz is None else f" {kind.tz}"
        )
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _sections(file: File, columns: Iterable[ColumnInfo]) -> list[Report]:
    """What every byte of the file belongs to, front to back; neighbours of one kind are one section."""
    footer = file.footer
    pieces = []
    for column in columns:
        for page in column.pages:
            pieces.append((page.offset, page.length, f"pages of {column.name}"))
            pieces.append((page.index_offset, page.index_length, "page indexes"))
        pieces.append((column.metadata_offset, column.metadata_length, "column metadata"))
    pieces += [
        (footer.table_offset, footer.table_length, "column offset table"),
        (footer.schema_offset, footer.schema_length, "schema"),
        (footer.metadata_offset, footer.metadata_length, "key-values"),
        (end := footer.metadata_offset + footer.metadata_length, footer.file_length - end, "footer"),
    ]
    pieces.append((0, min(offset for offset, length, _ in pieces if length), "header"))
    merged: list[Report] = []
    position = 0
    for offset, length, what in sorted(piece for piece in pieces if piece[1]):
        if offset > position:
            merged.append({"offset": position, "bytes": offset - position, "what": "not used by anything"})
        if merged and merged[-1]["what"] == what and offset == position:
            merged[-1]["bytes"] += length
        else:
            merged.append({"offset": offset, "bytes": length, "what": what})
        position = max(position, offset + length)
    for section in merged:
        section["share"] = round(section["bytes"] / footer.file_length, 6)
    return merged
