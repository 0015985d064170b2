"""HDF5 as ann-benchmarks has it: datasets `train`, `test`, `neighbors`, `distances`; any others of one length too."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vego_tools.convert.errors import ConversionError
from vego_tools.convert.matrices import arrow_type, dtype_of, to_arrow, to_numpy, vector_column
from vego_tools.convert.source import Source, Window, WriteOptions, chosen, row_width

ATTRIBUTE = b"hdf5:"  # before the names of a file's attributes among a schema's metadata
_CHUNK_BYTES = 1 << 20
_RESERVE = 1 << 19  # for what HDF5 writes of its own
_MOST_COMPRESSED = 1100  # times; what deflate can do at best


class _Hdf5Source(Source):
    def __init__(self, path: Path) -> None:
        import h5py
        import pyarrow as pa

        super().__init__(path)
        self._file = h5py.File(path, "r")
        try:
            found = {n: d for n, d in self._file.items() if isinstance(d, h5py.Dataset) and d.ndim in (1, 2)}
            if not found:
                names = ", ".join(map(repr, self._file)) or "nothing"
                raise ConversionError(
                    f"{path}: no dataset of rows at the top, expected train (and test, neighbors, distances); "
                    f"there is {names}"
                )
            for name, dataset in found.items():
                _check_stored(f"{path}: dataset {name!r}", dataset)
            self._rows = {name: dataset.shape[0] for name, dataset in found.items()}
            self._all = pa.schema(
                [
                    pa.field(n, arrow_type(d.dtype, d.shape[1:], f"{path}: dataset {n!r}"), False)
                    for n, d in found.items()
                ],
                self._attributes(),
            )
            self.schema = self._all
            self._settle()
        except BaseException:
            self._file.close()
            raise

    def _attributes(self) -> dict[bytes, bytes] | None:
        text = {ATTRIBUTE + n.encode(): v.encode() for n, v in self._file.attrs.items() if isinstance(v, str)}
        lost = [n for n, v in self._file.attrs.items() if not isinstance(v, str)]
        if lost:
            self.notes.append(f"attributes that are not text are left out: {', '.join(map(repr, lost))}")
        return text or None

    def _settle(self) -> None:
        lengths = set(self._rows.values())
        self.num_rows = lengths.pop() if len(lengths) == 1 else None

    def default_columns(self) -> tuple[str, ...] | None:
        """`train`, where datasets differ in length and nobody says which."""
        if self.num_rows is not None:
            return None
        if "train" not in self._rows:
            told = ", ".join(f"{n!r} ({rows:,} rows)" for n, rows in self._rows.items())
            raise ConversionError(
                f"{self.path}: datasets of different lengths and none is 'train': {told}; choose with --columns"
            )
        others = [name for name in self._rows if name != "train"]
        self.notes.append(
            f"dataset 'train' was converted; {', '.join(map(repr, others))} have other lengths: "
            f"--columns {','.join(others)}"
        )
        return ("train",)

    def batches(self, window: Window) -> Iterator[Any]:
        import pyarrow as pa

        schema = chosen(self._all, window.columns)
        lengths = {n: self._rows[n] for n in schema.names}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{n!r} has {rows:,}" for n, rows in lengths.items())
            raise ConversionError(
                f"{self.path}: datasets of different lengths: {told} rows; choose with --columns"
            )
        stop = window.end(next(iter(lengths.values())))
        rows = window.rows_for(row_width(schema))
        for start in range(window.start, stop, rows):
            end = min(start + rows, stop)
            arrays = [to_arrow(self._file[f.name][start:end], f.type) for f in schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def close(self) -> None:
        self._file.close()


def _check_stored(where: str, dataset: Any) -> None:
    """Raises ConversionError where a shape speaks of values that are not in the file.

    HDF5 would read them as zeros, and from a damaged shape for years.
    """
    size = dataset.size * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    most = stored * (_MOST_COMPRESSED if dataset.id.get_create_plist().get_nfilters() else 1)
    if size > most:
        raise ConversionError(
            f"{where}: {stored:,} bytes of values, expected {size:,} for shape {dataset.shape}"
        )


def open_source(path: Path) -> Source:
    """Open an HDF5 file: a column for each dataset of one or two dimensions."""
    return _Hdf5Source(path)


def write(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write a dataset for each column; a single one of vectors by another name becomes `train`."""
    import h5py

    fields = [(f.name, *dtype_of(f, str(path))) for f in schema]
    notes = []
    known = {"train", "test", "neighbors", "distances"}
    if len(fields) == 1 and fields[0][2] and fields[0][0] not in known:
        notes.append(f"column {vector_column(schema, str(path))!r} is the dataset 'train'")
        fields = [("train", *fields[0][1:])]
    for name, base, _ in fields:
        if base.kind in "mM":
            raise ConversionError(
                f"{path}: column {name!r}: HDF5 has no type for times; leave it out (--columns)"
            )
        if "/" in name or name in ("", "."):
            raise ConversionError(f"{path}: {name!r} is no name for a dataset")
    with h5py.File(path, "w", track_order=True) as file:
        for key, value in (schema.metadata or {}).items():
            if key.startswith(ATTRIBUTE):
                file.attrs[key.removeprefix(ATTRIBUTE).decode()] = value.decode("utf-8", "replace")
        datasets = [_dataset(file, *field) for field in fields]
        first = 0
        for batch in batches:
            _check_room(path, batch.nbytes + _RESERVE + 2 * _CHUNK_BYTES * len(datasets))
            for dataset, (name, base, shape), array in zip(datasets, fields, batch.columns, strict=True):
                values = to_numpy(array, base, shape, f"{path}: column {name!r}")
                dataset.resize(first + len(values), axis=0)
                dataset[first:] = values
            first += batch.num_rows
    return notes


def _check_room(path: Path, size: int) -> None:
    """Raises OSError while there is still room: a file that HDF5 cannot finish, it cannot close either, and crashes."""
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _dataset(file: Any, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    each = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    rows = max(_CHUNK_BYTES // each, 1)
    return file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(rows, *shape))
