"""`.lfmt` files. What Arrow says of a column beyond our types is kept in the key-values and comes back."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance_fmt
from vego_tools.convert.errors import ConversionError
from vego_tools.convert.retype import retype_batch
from vego_tools.convert.source import (
    BATCH_BYTES,
    MOST_ROWS,
    Source,
    Window,
    WriteOptions,
    chosen,
    empty_batch,
)

ARROW_SCHEMA = "lance_fmt:arrow_schema"
"""Reserved key of a file's key-values: the serialised Arrow schema of what was converted, in base64."""
_FILE_KEY = "lance_fmt:file:"  # before the file's own keys, where they go among a schema's
_FIRST_ROWS = 4096
_CACHE_BYTES = 8 << 20  # enough for blocks that two batches share


class _LfmtSource(Source):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = lance_fmt.open(path, cache=lance_fmt.BlockCache(_CACHE_BYTES))
        try:
            self.num_rows = self._file.num_rows
            self._native = _native(self._file.schema)
            self.schema = _restored(self._native, self._file.metadata)
        except BaseException:
            self._file.close()
            raise

    def batches(self, window: Window) -> Iterator[Any]:
        assert self.num_rows is not None
        target = chosen(self.schema, window.columns)
        names = target.names
        stop, start = window.end(self.num_rows), window.start
        rows = window.batch_rows or _FIRST_ROWS
        while start < stop:
            table = self._file.read(names, slice(start, min(start + rows, stop)))
            size = 0
            for batch in table.to_arrow().to_batches():
                size += batch.nbytes
                yield retype_batch(batch, target)
            start += rows
            if window.batch_rows is None:  # as long as rows prove short enough, larger batches
                width = max(size / max(table.num_rows, 1), 1)
                rows = max(min(rows * 4, int(BATCH_BYTES / width), MOST_ROWS), 64)

    def close(self) -> None:
        self._file.close()


def open_source(path: Path) -> Source:
    """Open an `.lfmt` file; the Arrow schema it was converted from comes back."""
    return _LfmtSource(path)


def _native(schema: lance_fmt.Schema) -> Any:
    """The Arrow schema our types have by themselves."""
    columns = {f.name: lance_fmt.Column.from_pylist([], f.type) for f in schema}
    return lance_fmt.Table(columns, schema, 0).to_arrow().schema


def _restored(native: Any, metadata: dict[str, str]) -> Any:
    """`native` with every field that the stored schema still describes as it was."""
    import pyarrow as pa

    own = {_FILE_KEY + k: v for k, v in metadata.items() if k != ARROW_SCHEMA}
    text = {**(native.metadata or {}), **{k.encode(): v.encode() for k, v in own.items()}}
    raw = metadata.get(ARROW_SCHEMA)
    if raw is None:
        return native.with_metadata(text or None)
    try:
        stored = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(raw, validate=True)))
        fields = {f.name: f for f in stored}
    except (ValueError, OSError, pa.ArrowException):
        return native.with_metadata(text or None)
    kept = []
    for field in native:
        was = fields.get(field.name)
        kept.append(was if was is not None and _stands_for(was, field) else field)
    return pa.schema(kept, {**text, **(stored.metadata or {})} or None)


def _stands_for(was: Any, native: Any) -> bool:
    """Whether a column of the Arrow field `was` is written as one of `native`."""
    import pyarrow as pa

    try:
        written = lance_fmt.Table.from_arrow(empty_batch(pa.schema([was]))).schema
    except lance_fmt.FormatError:
        return False
    return bool(_native(written).field(0).type.equals(native.type))


def write(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:
    """Write an `.lfmt` file."""
    text = {k.decode("utf-8", "replace"): v for k, v in (schema.metadata or {}).items()}
    own = {
        k.removeprefix(_FILE_KEY): v.decode("utf-8", "replace")
        for k, v in text.items()
        if k.startswith(_FILE_KEY)
    }
    rest = {k: v for k, v in text.items() if not k.startswith(_FILE_KEY)}
    schema = schema.with_metadata(rest or None)
    try:
        described = lance_fmt.Table.from_arrow(empty_batch(schema)).schema
        if not _native(described).equals(schema, check_metadata=True):
            own[ARROW_SCHEMA] = base64.b64encode(schema.serialize()).decode()
        writer = lance_fmt.Writer(
            path, described, own, options.level, row_index=options.row_index, bloom=options.bloom
        )
    except lance_fmt.FormatError as error:
        raise ConversionError(f"{path}: {error}") from error
    with writer:
        first = 0
        for batch in batches:
            try:
                table = lance_fmt.Table.from_arrow(batch)
                writer.write(lance_fmt.Table(dict(table), described, batch.num_rows))
            except lance_fmt.FormatError as error:
                raise ConversionError(f"{path}: rows {first} to {first + batch.num_rows}: {error}") from error
            first += batch.num_rows
    return []
