"""npy and npz, read as streams of rows: an array need not fit in memory. Pickled objects are never loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from vego_tools.convert.errors import ConversionError
from vego_tools.convert.matrices import arrow_type, dtype_of, to_arrow, to_numpy
from vego_tools.convert.source import Source, Window, WriteOptions, chosen, row_width

Array = np.ndarray[Any, Any]
_MOST_VALUES = 1 << 62


class _Stream:
    """The rows of one .npy stream."""

    def __init__(self, file: BinaryIO, name: str, length: int) -> None:
        """`length` is that of the stream in bytes."""
        self._file, self._name = file, name
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ConversionError(f"{name}: npy version {version[0]}.{version[1]} is not known")
        shape, self._fortran, self.dtype = read(file)
        if not shape:
            raise ConversionError(
                f"{name}: one value and no rows; an array of at least one dimension is needed"
            )
        self.rows, self.shape = shape[0], shape[1:]
        self.left = self.rows
        if self.dtype.hasobject:
            arrow_type(np.dtype("O"), (), name)
        self._stride = self.dtype.itemsize * int(np.prod(self.shape, dtype=object))
        size = self._stride * self.rows
        start = file.tell()
        if size > _MOST_VALUES or start + size != length:
            raise ConversionError(
                f"{name}: {length - start:,} bytes of values, expected {size:,} for shape {shape} of {self.dtype}"
            )
        # Columns lie one after the other then, so that no row can be had without the last column.
        self._whole = self._read(self.rows) if self._fortran and self.shape else None

    def _read(self, rows: int) -> Array:
        raw = self._file.read(rows * self._stride)
        if len(raw) != rows * self._stride:
            raise ConversionError(f"{self._name}: ends after {len(raw):,} of {rows * self._stride:,} bytes")
        values = np.frombuffer(raw, self.dtype)
        if self._fortran and self.shape:
            return values.reshape(rows, *self.shape, order="F")
        return values.reshape(rows, *self.shape)

    def skip(self, rows: int) -> None:
        """Leave out rows."""
        step = max((1 << 24) // max(self._stride, 1), 1)
        while rows > 0:
            self.take(min(rows, step))
            rows -= step

    def take(self, rows: int) -> Array:
        """The next rows."""
        rows = min(rows, self.left)
        first = self.rows - self.left
        self.left -= rows
        return self._read(rows) if self._whole is None else self._whole[first : first + rows]


class _Arrays(Source):
    """Columns from named .npy streams of one length."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._fields: list[tuple[str, str, str | None]] = []  # column, stream, field of a structured dtype
        self._lengths: dict[str, int] = {}
        self._types: dict[str, Any] = {}

    def _streams(self, names: set[str]) -> dict[str, _Stream]:
        raise NotImplementedError

    def _describe(self, stream: str, column: str, found: _Stream) -> None:
        members = found.dtype.names
        where = f"{self.path}: {column!r}"
        for name in members or (None,):
            inner, base = found.shape, found.dtype
            if name is not None:
                base, more = found.dtype[name].base, found.dtype[name].shape
                inner = (*inner, *more)
            target = column if name is None else name
            if len(inner) > 1:
                self.notes.append(
                    f"rows of {target!r} have shape {inner} and became vectors of {np.prod(inner)}"
                )
            if base.byteorder == ">":
                self.notes.append(f"{target!r} was big-endian ({base}) and became little-endian")
            self._fields.append((target, stream, name))
            self._types[target] = arrow_type(base, inner, where)
            self._lengths[target] = found.rows

    def _settle(self) -> None:
        import pyarrow as pa

        self.schema = pa.schema(
            [pa.field(n, self._types[n], _may_be_nat(self._types[n])) for n, _, _ in self._fields]
        )
        lengths = set(self._lengths.values())
        self.num_rows = lengths.pop() if len(lengths) == 1 else None

    def default_columns(self) -> tuple[str, ...] | None:
        if self.num_rows is None:
            raise ConversionError(
                f"{self.path}: {_told(self._lengths)}; choose some of one length with --columns"
            )
        return None

    def batches(self, window: Window) -> Iterator[Any]:
        import pyarrow as pa

        schema = chosen(self.schema, window.columns)
        lengths = {name: self._lengths[name] for name in schema.names}
        if len(set(lengths.values())) > 1:
            raise ConversionError(f"{self.path}: {_told(lengths)}; choose some of one length with --columns")
        of = {column: (stream, member) for column, stream, member in self._fields}
        streams = self._streams({of[name][0] for name in schema.names})
        left = window.end(next(iter(lengths.values()), 0)) - window.start
        for stream in streams.values():
            stream.skip(min(window.start, stream.rows))
        rows = window.rows_for(row_width(schema))
        while left > 0:
            parts = {name: stream.take(min(rows, left)) for name, stream in streams.items()}
            arrays = []
            for field in schema:
                stream_name, member = of[field.name]
                values = parts[stream_name]
                arrays.append(to_arrow(values if member is None else values[member], field.type))
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            left -= batch.num_rows
            yield batch


def _may_be_nat(kind: Any) -> bool:
    """Whether values may be missing: NumPy has "not a time", and nothing else."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_fixed_size_list(kind) else kind
    return bool(pa.types.is_temporal(kind))


def _told(lengths: dict[str, int]) -> str:
    return "arrays of different lengths: " + ", ".join(
        f"{n!r} ({rows:,} rows)" for n, rows in lengths.items()
    )


class _NpySource(_Arrays):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = path.open("rb")
        try:
            found = self._streams({""})[""]
            self._describe("", "vector" if found.shape else "value", found)
            self._settle()
        except BaseException:
            self._file.close()
            raise

    def _streams(self, names: set[str]) -> dict[str, _Stream]:
        self._file.seek(0)
        return {name: _Stream(self._file, str(self.path), self.path.stat().st_size) for name in names}

    def close(self) -> None:
        self._file.close()


class _NpzSource(_Arrays):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._zip = zipfile.ZipFile(path)
        self._open: list[Any] = []  # an archive stays open as long as one of its members
        try:
            members = [info.filename for info in self._zip.infolist() if info.filename.endswith(".npy")]
            if not members:
                raise ConversionError(f"{path}: a zip archive without an .npy file in it")
            for member in members:
                with self._zip.open(member) as file:
                    self._describe(member, member.removesuffix(".npy"), self._stream(file, member))
            self._settle()
        except BaseException:
            self.close()
            raise

    def _stream(self, file: Any, member: str) -> _Stream:
        return _Stream(file, f"{self.path}: {member!r}", self._zip.getinfo(member).file_size)

    def _streams(self, names: set[str]) -> dict[str, _Stream]:
        found = {}
        for name in names:
            self._open.append(self._zip.open(name))
            found[name] = self._stream(self._open[-1], name)
        return found

    def close(self) -> None:
        for member in self._open:
            member.close()
        self._zip.close()


def open_npy(path: Path) -> Source:
    """Open an .npy file: column `vector`, `value` of one dimension, or the fields of a structured dtype."""
    return _NpySource(path)


def open_npz(path: Path) -> Source:
    """Open an .npz file: a column for each array."""
    return _NpzSource(path)


class _NpyWriter:
    """Writes rows to an .npy file whose length is told at the end."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._file = path.open("wb")
        self._dtype, self._shape, self._rows = dtype.newbyteorder("<"), shape, 0
        self._header()

    def _header(self) -> None:
        # Leaves room for the first axis to grow, so that writing it again takes the same bytes.
        about = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._shape),
        }
        npy.write_array_header_1_0(self._file, about)

    def write(self, values: Array) -> None:
        """Append rows."""
        self._file.write(np.ascontiguousarray(values, self._dtype).reshape(-1).view(np.uint8).data)
        self._rows += len(values)

    def finish(self) -> None:
        """Tell the length."""
        self._file.seek(0)
        self._header()
        self._file.close()

    def close(self) -> None:
        """Release the file as it is."""
        self._file.close()


def write_npy(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write the only column as one array; several columns of numbers as one structured array."""
    fields = [(f.name, *dtype_of(f, str(path))) for f in schema]
    single = len(fields) == 1
    dtype, shape = (fields[0][1], fields[0][2]) if single else (np.dtype(fields), ())
    writer = _NpyWriter(path, dtype, shape)
    try:
        for batch in batches:
            arrays = {
                name: to_numpy(a, base, inner, f"{path}: column {name!r}")
                for (name, base, inner), a in zip(fields, batch.columns, strict=True)
            }
            if single:
                writer.write(next(iter(arrays.values())))
                continue
            rows = np.empty(batch.num_rows, dtype)
            for name, values in arrays.items():
                rows[name] = values
            writer.write(rows)
        writer.finish()
    finally:
        writer.close()
    return []


def write_npz(path: Path, schema: Any, batches: Iterator[Any], options: WriteOptions) -> list[str]:  # noqa: ARG001
    """Write an array for each column."""
    fields = [(f.name, *dtype_of(f, str(path))) for f in schema]
    spools = [path.with_name(f"{place}.npy") for place in range(len(fields))]
    writers = [_NpyWriter(spool, base, shape) for spool, (_, base, shape) in zip(spools, fields, strict=True)]
    try:
        for batch in batches:
            for writer, (name, base, shape), array in zip(writers, fields, batch.columns, strict=True):
                writer.write(to_numpy(array, base, shape, f"{path}: column {name!r}"))
        for writer in writers:
            writer.finish()
    finally:
        for writer in writers:
            writer.close()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for spool, (name, _, _) in zip(spools, fields, strict=True):
            archive.write(spool, f"{name}.npy")
            spool.unlink()
    return []
