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
    MOST_ROWS,
    Source,
    Window,
    WriteOptions,
    chosen,
    empty_batch,
    processors,
)

ARROW_SCHEMA = "lance_fmt:arrow_schema"
"""Reserved key of a file's key-values: the serialised Arrow schema of what was converted, in base64."""
_FILE_KEY = "lance_fmt:file:"  # before the file's own keys, where they go among a schema's
_FIRST_ROWS = 4096
_THREADS = 2  # each encodes pages in memory of its own
_READ_BYTES = 4 << 20
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
            end = min(start + rows, stop)
            batches = self._file.read(names, slice(start, end)).to_arrow().to_batches()
            width = max(sum(batch.nbytes for batch in batches) / (end - start), 1)
            # None is held while the next are read.
            while batches:
                yield retype_batch(batches.pop(0), target)
            start = end
            if window.batch_rows is None:  # as long as rows prove short enough, larger batches
                rows = max(min(rows * 4, int(_READ_BYTES / width), MOST_ROWS), 64)

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
    written = _written_as(stored)
    kept = [fields[f.name] if f.name in written and f.type.equals(written[f.name]) else f for f in native]
    return pa.schema(kept, {**text, **(stored.metadata or {})} or None)


def _written_as(stored: Any) -> dict[str, Any]:
    """The Arrow types that our types for the columns of an Arrow schema have; not of those that have none."""
    import pyarrow as pa

    try:
        native = _native(lance_fmt.Table.from_arrow(empty_batch(stored)).schema)
    except lance_fmt.FormatError:
        if len(stored) == 1:
            return {}
        return {name: kind for field in stored for name, kind in _written_as(pa.schema([field])).items()}
    return {field.name: field.type for field in native}


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
            path,
            described,
            own,
            options.level,
            row_index=options.row_index,
            bloom=options.bloom,
            threads=min(processors(), _THREADS),
        )
    except lance_fmt.FormatError as error:
        raise ConversionError(f"{path}: {error}") from error
    with writer:
        first = 0
        for batch in batches:
            first += batch.num_rows
            try:
                writer.write(batch, copy=False)
            except lance_fmt.FormatError as error:
                # Pages may wait for a thread: what is wrong may have come with an earlier batch.
                raise ConversionError(f"{path}: in the first {first} rows: {error}") from error
            del batch  # not held while the next are read
    return []
