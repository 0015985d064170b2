"""Datasets of the Lance project, through its own package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vego_tools.convert.source import Source, Window, WriteOptions, cut, row_width, selected
from vego_tools.convert.substitutes import write_fitted


class _LanceSource(Source):
    def __init__(self, path: Path) -> None:
        import lance

        super().__init__(path)
        self._dataset = lance.dataset(str(path))
        self.schema = self._dataset.schema
        self.num_rows = self._dataset.count_rows()

    def batches(self, window: Window) -> Iterator[Any]:
        names = None if window.columns is None else list(window.columns)
        scanner = self._dataset.scanner(
            columns=names,
            batch_size=window.rows_for(row_width(self.schema)),
            batch_readahead=1,
            fragment_readahead=1,
            scan_in_order=True,
        )
        rows = Window(None, window.start, window.stop)
        for batch in cut(selected(scanner.to_batches(), rows), window.batch_rows):
            yield batch if names is None else batch.select(names)


def open_source(path: Path) -> Source:
    """Open a Lance dataset, its latest version."""
    return _LanceSource(path)


def write(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write a Lance dataset."""
    import lance
    import pyarrow as pa

    def put(target: Any, rows: Iterator[Any], where: Path) -> None:
        reader = pa.RecordBatchReader.from_batches(target, rows)
        lance.write_dataset(reader, str(where), mode="create")

    write_fitted(path, schema, batches, put)
    return []
