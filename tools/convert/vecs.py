"""fvecs, bvecs, ivecs: rows of an int32 dimension and that many float32, uint8 or int32 values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vego_tools.convert.errors import ConversionError
from vego_tools.convert.matrices import dtype_of, to_arrow, to_numpy, vector_column
from vego_tools.convert.source import BATCH_BYTES, Source, Window, WriteOptions

_LARGEST = 1 << 20
_DTYPES = {"fvecs": "<f4", "bvecs": "u1", "ivecs": "<i4"}


class _VecsSource(Source):
    def __init__(self, path: Path, dtype: str) -> None:
        import pyarrow as pa

        super().__init__(path)
        self._dtype = np.dtype(dtype)
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4)
        if len(head) < 4:
            raise ConversionError(f"{path}: {size} bytes are too few for a vector and its dimension")
        dimension = int.from_bytes(head, "little", signed=True)
        if not 1 <= dimension <= _LARGEST:
            raise ConversionError(f"{path}: begins with dimension {dimension:,}, expected 1 to {_LARGEST:,}")
        self._dimension = dimension
        self._stride = 4 + dimension * self._dtype.itemsize
        if size % self._stride:
            self._find_misfit()
            raise ConversionError(
                f"{path}: {size:,} bytes are no multiple of {self._stride:,}, what a vector of dimension "
                f"{dimension} takes: row {size // self._stride:,} is cut off"
            )
        self.num_rows = size // self._stride
        item = pa.from_numpy_dtype(self._dtype)
        self.schema = pa.schema([pa.field("vector", pa.list_(item, dimension), False)])

    def _find_misfit(self) -> None:
        for _ in self._rows(0, self.path.stat().st_size // self._stride, None):
            pass

    def _rows(self, start: int, stop: int, rows: int | None) -> Iterator[Any]:
        step = rows or max(BATCH_BYTES // self._stride, 1)
        with self.path.open("rb") as file:
            file.seek(start * self._stride)
            for first in range(start, stop, step):
                count = min(step, stop - first)
                raw = np.frombuffer(file.read(count * self._stride), np.uint8).reshape(count, self._stride)
                found = np.ascontiguousarray(raw[:, :4]).view("<i4")[:, 0]
                wrong = np.flatnonzero(found != self._dimension)
                if len(wrong):
                    row = int(wrong[0])
                    raise ConversionError(
                        f"{self.path}: row {first + row:,} has dimension {found[row]:,}, expected "
                        f"{self._dimension}, that of the first row"
                    )
                yield np.ascontiguousarray(raw[:, 4:]).view(self._dtype)

    def batches(self, window: Window) -> Iterator[Any]:
        import pyarrow as pa

        assert self.num_rows is not None
        kind = self.schema.field(0).type
        for values in self._rows(window.start, window.end(self.num_rows), window.batch_rows):
            yield pa.RecordBatch.from_arrays([to_arrow(values, kind)], schema=self.schema)


def open_fvecs(path: Path) -> Source:
    """Open a file of float32 vectors."""
    return _VecsSource(path, "<f4")


def open_bvecs(path: Path) -> Source:
    """Open a file of uint8 vectors."""
    return _VecsSource(path, "u1")


def open_ivecs(path: Path) -> Source:
    """Open a file of int32 vectors."""
    return _VecsSource(path, "<i4")


def _write(path: Path, schema: Any, batches: Iterator[Any], form: str) -> list[str]:
    import pyarrow as pa

    name = vector_column(schema, str(path))
    field = schema.field(name)
    lists = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
    target = np.dtype(_DTYPES[form])
    rounded = 0
    first = 0
    dimension = 0
    with path.open("wb") as file:
        for batch in batches:
            column = batch.column(0)
            if lists:
                column = _of_one_length(column, f"{path}: column {name!r}", first, dimension)
            about = pa.field(name, column.type)
            base, shape = dtype_of(about, str(path))
            if not shape:
                raise ConversionError(f"{path}: column {name!r} is {field.type}; {form} hold vectors")
            dimension = shape[0]
            values = to_numpy(column, base, shape, f"{path}: column {name!r}")
            rounded += _lost(values, target, f"{path}: column {name!r}", first)
            raw = np.empty((len(values), 4 + dimension * target.itemsize), np.uint8)
            raw[:, :4] = np.frombuffer(np.int32(dimension).astype("<i4").tobytes(), np.uint8)
            raw[:, 4:] = np.ascontiguousarray(values.astype(target)).view(np.uint8).reshape(len(values), -1)
            file.write(raw.data)
            first += len(values)
    if not first:
        raise ConversionError(
            f"{path}: no rows, and {form} without a vector say nothing, not even a dimension"
        )
    return [f"{rounded:,} values were rounded to float32"] if rounded else []


def _of_one_length(column: Any, where: str, first: int, dimension: int) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    from vego_tools.convert.retype import retype

    if column.null_count:
        raise ConversionError(f"{where}: {column.null_count} nulls, which these files cannot hold")
    lengths = np.asarray(pc.list_value_length(column))
    expected = dimension or (int(lengths[0]) if len(lengths) else 1)
    wrong = np.flatnonzero(lengths != expected)
    if len(wrong) or not expected:
        row = int(wrong[0]) if len(wrong) else 0
        raise ConversionError(f"{where}: row {first + row:,} has {lengths[row]} values, expected {expected}")
    return retype(column, pa.list_(column.type.value_type, expected))


def _lost(values: Any, target: np.dtype[Any], where: str, first: int) -> int:
    """How many values a float32 rounds; raises ConversionError for what the target cannot hold at all."""
    if np.can_cast(values.dtype, target):
        return 0
    with np.errstate(over="ignore", invalid="ignore"):
        become = values.astype(target)
        same = become == values
        if values.dtype.kind == "f":
            same |= np.isnan(values) & (np.isnan(become) if target.kind == "f" else False)
    if target.kind == "f" and values.dtype.kind == "f":
        too_large = np.isinf(become) & ~np.isinf(values)
        if not too_large.any():
            return int(same.size - np.count_nonzero(same))
        same = ~too_large
    if same.all():
        return 0
    row, place = np.argwhere(~same)[0]
    raise ConversionError(
        f"{where}: row {first + row:,}, item {place}: {values[row, place]} is no {target.name} value"
    )


def write_fvecs(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write float32 vectors."""
    return _write(path, schema, batches, "fvecs")


def write_bvecs(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write uint8 vectors."""
    return _write(path, schema, batches, "bvecs")


def write_ivecs(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write int32 vectors."""
    return _write(path, schema, batches, "ivecs")
