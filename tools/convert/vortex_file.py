"""Vortex files, through their own package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vego_tools.convert.source import Source, Window, WriteOptions, cut, row_width, selected
from vego_tools.convert.substitutes import write_fitted


class _VortexSource(Source):
    def __init__(self, path: Path) -> None:
        import vortex

        super().__init__(path)
        self._file = vortex.open(str(path))
        self.schema = self._file.to_arrow(batch_size=1024).schema
        self.num_rows = len(self._file)

    def batches(self, window: Window) -> Iterator[Any]:
        names = None if window.columns is None else list(window.columns)
        batches = self._file.to_arrow(names, batch_size=window.rows_for(row_width(self.schema)))
        for batch in cut(selected(batches, Window(None, window.start, window.stop)), window.batch_rows):
            yield batch if names is None else batch.select(names)


def open_source(path: Path) -> Source:
    """Open a Vortex file."""
    return _VortexSource(path)


def write(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write a Vortex file."""
    import pyarrow as pa
    import vortex

    def put(target: Any, rows: Iterator[Any], where: Path) -> None:
        vortex.io.write(pa.RecordBatchReader.from_batches(target, rows), str(where))

    write_fitted(path, schema, batches, put)
    return []
