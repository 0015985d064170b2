"""How each format is written, opened, taken from and scanned from Python.

For every row an engine offers *routes*: the documented ways of its API to get there. The harness checks what each
returns, times it, and keeps the fastest, so that no peer loses by a clumsy call. A route returns whatever its
library holds values in; ``to_arrow`` turns that into a pyarrow Table outside the clock, for the check alone.
"""

# ruff: noqa: ARG002, D102 (the base class says what a method does; an engine without a route for a row does not look at what the route is for)

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pyarrow import ipc

Routes = dict[str, Callable[..., Any]]
SMALL_GROUPS = 8192


class Engine:
    """One format in one configuration; an absent route leaves it out of a row."""

    name = ""
    package = ""
    stem = ""  # engines of one stem read one file
    ours = False
    levels_only = (
        False  # differs from another engine in what it writes: shown where size or decoding is the point
    )

    def version(self) -> str:
        """Version of the library; ModuleNotFoundError where it is not installed."""
        module = importlib.import_module(self.package)
        return str(getattr(module, "__version__", "")) or version(self.package)

    def prepare(self, table: pa.Table) -> Any:
        """The table in the library's own form, outside the clock."""
        return table

    def write(self, data: Any, path: Path) -> None:
        """Write one file with the engine's settings."""
        raise NotImplementedError

    def write_for_rows(self, data: Any, path: Path) -> None:
        """What else may serve single rows better, beside the file."""

    def open(self, path: Path) -> Any:
        """A handle that can be kept, where ``take`` and ``filter`` are timed warm."""
        return path

    def opens(self) -> Routes:
        """``(path)`` to a handle."""
        return {"open": self.open}

    def take(self, handle: Any) -> Routes:
        """``(rows)`` to all columns of the rows."""
        return {}

    def first(self) -> Routes:
        """``(path, rows)`` to all columns of the rows, opening the file first."""
        return {}

    def filter(self, handle: Any, columns: list[str], key: str = "id") -> Routes:
        """``(low, high)`` to the columns of the rows with low <= key < high."""
        return {}

    def read(self, columns: list[str] | None = None) -> Routes:
        """``(path)`` to whole columns, opening the file first."""
        return {}

    def close(self, handle: Any) -> None:
        """Let go of the handle."""

    def to_arrow(self, result: Any) -> pa.Table:
        """What a route returned, as Arrow."""
        return result


class Ours(Engine):
    """This project's format, through its public names."""

    package = "lance_fmt"
    ours = True

    def __init__(self, level: str = "balanced", *, mmap: bool = False) -> None:
        self.level, self.mmap = level, mmap
        self.name = "lance_fmt" + ("-mmap" if mmap else "") + ("" if level == "balanced" else f"-{level}")
        self.stem = f"lance_fmt-{level}"
        self.levels_only = level != "balanced"

    def version(self) -> str:
        import lance_fmt

        if self.mmap and "mmap" not in inspect.signature(lance_fmt.open).parameters:
            raise ModuleNotFoundError("lance_fmt.open has no option mmap yet")
        try:
            return version("vego")
        except PackageNotFoundError:
            return ""

    def prepare(self, table: pa.Table) -> Any:
        import lance_fmt

        return lance_fmt.Table.from_arrow(table)

    def write(self, data: Any, path: Path) -> None:
        import lance_fmt

        lance_fmt.write(path, data, level=self.level)

    def open(self, path: Path) -> Any:
        import lance_fmt

        options: dict[str, Any] = {"mmap": True} if self.mmap else {}
        return lance_fmt.open(path, **options)

    def take(self, handle: Any) -> Routes:
        return {"take": handle.take}

    def first(self) -> Routes:
        def first(path: Path, rows: np.ndarray) -> Any:
            with self.open(path) as file:
                return file.take(rows)

        return {"open+take": first}

    def filter(self, handle: Any, columns: list[str], key: str = "id") -> Routes:
        import lance_fmt

        if not hasattr(lance_fmt, "field") or "filter" not in inspect.signature(handle.read).parameters:
            return {}
        where = lance_fmt.field(key)
        return {
            "filter": lambda low, high: handle.read(columns, filter=(where >= low) & (where < high)),
        }

    def read(self, columns: list[str] | None = None) -> Routes:
        def read(path: Path) -> Any:
            with self.open(path) as file:
                return file.read(columns)

        return {"read": read}

    def close(self, handle: Any) -> None:
        handle.close()

    def to_arrow(self, result: Any) -> pa.Table:
        return result.to_arrow()


class OurRow(Ours):
    """One row as a dict of Python values: the other way to one row."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "lance_fmt.row"
        self._schema: pa.Schema | None = None

    def take(self, handle: Any) -> Routes:
        self._schema = handle.take([0]).to_arrow().schema
        return {"row": lambda rows: handle.row(int(rows[0]))}

    def first(self) -> Routes:
        return {}

    def filter(self, handle: Any, columns: list[str], key: str = "id") -> Routes:
        return {}

    def read(self, columns: list[str] | None = None) -> Routes:
        return {}

    def to_arrow(self, result: Any) -> pa.Table:
        return pa.Table.from_pylist([result], schema=self._schema)


class Parquet(Engine):
    """pyarrow.parquet; single rows and ranges from a second file with row groups of 8,192 rows."""

    package = "pyarrow"

    def __init__(self, compression: str) -> None:
        self.compression = compression
        self.name = self.stem = f"parquet-{compression}"

    def write(self, data: Any, path: Path) -> None:
        pq.write_table(data, path, compression=self.compression)

    def write_for_rows(self, data: Any, path: Path) -> None:
        small = path.with_suffix(".groups")
        pq.write_table(data, small, compression=self.compression, row_group_size=SMALL_GROUPS)

    def open(self, path: Path) -> Any:
        return path.with_suffix(".groups")

    def opens(self) -> Routes:
        return {
            "ParquetFile": pq.ParquetFile,
            "memory_map": lambda path: pq.ParquetFile(path, memory_map=True),
        }

    def take(self, handle: Any) -> Routes:
        dataset = pads.dataset(handle, format="parquet")

        files = pq.ParquetFile(handle), pq.ParquetFile(handle, memory_map=True)
        return {
            "read_row_groups+take": lambda rows: _from_groups(files[0], rows),
            "read_row_groups+take, memory_map": lambda rows: _from_groups(files[1], rows),
            "dataset.take": lambda rows: dataset.take(pa.array(rows), use_threads=False),
        }

    def first(self) -> Routes:
        def first(path: Path, rows: np.ndarray) -> pa.Table:
            return _from_groups(pq.ParquetFile(path.with_suffix(".groups"), memory_map=True), rows)

        return {"read_row_groups+take, memory_map": first}

    def filter(self, handle: Any, columns: list[str], key: str = "id") -> Routes:
        dataset = pads.dataset(handle, format="parquet")
        mapped = pq.ParquetFile(handle, memory_map=True)
        where = mapped.schema_arrow.get_field_index(key)
        statistics = [
            mapped.metadata.row_group(i).column(where).statistics for i in range(mapped.num_row_groups)
        ]
        bounds = [(one.min, one.max) for one in statistics]

        def chosen(low: int, high: int) -> pa.Table:
            wanted = [i for i, (a, b) in enumerate(bounds) if a < high and b >= low]
            table = mapped.read_row_groups(wanted, columns, use_threads=False)
            return table.filter((pads.field(key) >= low) & (pads.field(key) < high))

        return {
            "row groups by statistics+filter, memory_map": chosen,
            "dataset.to_table(filter)": lambda low, high: dataset.to_table(
                columns, filter=(pads.field(key) >= low) & (pads.field(key) < high), use_threads=False
            ),
        }

    def read(self, columns: list[str] | None = None) -> Routes:
        def route(**options: Any) -> Callable[[Path], pa.Table]:
            return lambda path: pq.read_table(path, columns=columns, use_threads=False, **options)

        return {"read_table": route(), "read_table, memory_map": route(memory_map=True)}


def _from_groups(file: pq.ParquetFile, rows: np.ndarray) -> pa.Table:
    wanted, inverse = np.unique(rows // SMALL_GROUPS, return_inverse=True)
    table = file.read_row_groups(wanted.tolist(), use_threads=False)
    return table.take(pa.array(inverse * SMALL_GROUPS + rows % SMALL_GROUPS))


class Lance(Engine):
    """A Lance file; the dataset around the same data where that is faster or, for filters, the only way."""

    name = stem = "lance"
    package = "lance"

    def write(self, data: Any, path: Path) -> None:
        from lance.file import LanceFileWriter

        with LanceFileWriter(str(path), data.schema) as writer:
            writer.write_batch(data)

    def write_for_rows(self, data: Any, path: Path) -> None:
        import lance

        lance.write_dataset(data, str(path.with_suffix(".dataset")))

    def open(self, path: Path) -> Any:
        from lance.file import LanceFileReader

        return path, LanceFileReader(str(path))

    def _dataset(self, handle: Any) -> Any:
        import lance

        return lance.dataset(str(handle[0].with_suffix(".dataset")))

    def take(self, handle: Any) -> Routes:
        dataset = self._dataset(handle)
        return {
            "file.take_rows": lambda rows: handle[1].take_rows(rows.tolist()).to_table(),
            "dataset.take": lambda rows: dataset.take(rows.tolist()),
        }

    def first(self) -> Routes:
        from lance.file import LanceFileReader

        return {
            "file.take_rows": lambda path, rows: (
                LanceFileReader(str(path)).take_rows(rows.tolist()).to_table()
            ),
            "dataset.take": lambda path, rows: self._dataset((path,)).take(rows.tolist()),
        }

    def filter(self, handle: Any, columns: list[str], key: str = "id") -> Routes:
        dataset = self._dataset(handle)
        return {
            "dataset.to_table(filter)": lambda low, high: dataset.to_table(
                columns, filter=f"`{key}` >= {low} AND `{key}` < {high}"
            )
        }

    def read(self, columns: list[str] | None = None) -> Routes:
        from lance.file import LanceFileReader

        def route(batch: int) -> Callable[[Path], pa.Table]:
            return lambda path: (
                LanceFileReader(str(path), columns=columns).read_all(batch_size=batch).to_table()
            )

        return {f"file.read_all, batches of {batch}": route(batch) for batch in (8192, 65536, 1 << 20)}


class Vortex(Engine):
    """vortex-data: the default writer or the compact one; the reader with or without a memory map."""

    package = "vortex"

    def __init__(self, *, compact: bool = False, mmap: bool = False) -> None:
        self.compact, self.mmap = compact, mmap
        self.stem = "vortex-compact" if compact else "vortex"
        self.name = self.stem + ("-mmap" if mmap else "")
        self.levels_only = compact
        self._schema: pa.Schema | None = None  # of scalars, which do not carry one

    def version(self) -> str:
        importlib.import_module("vortex")
        return version("vortex-data")

    def write(self, data: Any, path: Path) -> None:
        import vortex as vx

        options = vx.io.VortexWriteOptions
        (options.compact() if self.compact else options.default()).write(data, str(path))

    def open(self, path: Path) -> Any:
        import vortex as vx

        return vx.open(str(path), memory_map=self.mmap)

    def take(self, handle: Any) -> Routes:
        import vortex as vx

        def indices(rows: np.ndarray) -> Any:
            return vx.array(pa.array(rows))

        repeated = handle.to_repeated_scan()
        self._schema = handle.dtype.to_arrow_schema()
        return {
            "scan(indices)": lambda rows: handle.scan(indices=indices(rows)).read_all().to_arrow_array(),
            "to_arrow(indices)": lambda rows: handle.to_arrow(indices=indices(rows)).read_all(),
            "RepeatedScan.scalar_at": lambda rows: [repeated.scalar_at(row) for row in rows.tolist()],
        }

    def first(self) -> Routes:
        import vortex as vx

        return {
            "scan(indices)": lambda path, rows: (
                self.open(path).scan(indices=vx.array(pa.array(rows))).read_all().to_arrow_array()
            ),
            "to_arrow(indices)": lambda path, rows: (
                self.open(path).to_arrow(indices=vx.array(pa.array(rows))).read_all()
            ),
        }

    def filter(self, handle: Any, columns: list[str], key: str = "id") -> Routes:
        import vortex.expr as ve

        column = ve.column(key)

        def where(low: int, high: int) -> Any:
            return (column >= low) & (column < high)

        return {
            "scan(expr)": lambda low, high: (
                handle.scan(columns, expr=where(low, high)).read_all().to_arrow_array()
            ),
            "to_arrow(expr)": lambda low, high: handle.to_arrow(columns, expr=where(low, high)).read_all(),
        }

    def read(self, columns: list[str] | None = None) -> Routes:
        return {
            "scan.to_arrow_array": lambda path: self.open(path).scan(columns).read_all().to_arrow_array(),
            "scan.to_arrow_table": lambda path: self.open(path).scan(columns).read_all().to_arrow_table(),
            "to_arrow.read_all": lambda path: self.open(path).to_arrow(columns).read_all(),
        }

    def to_arrow(self, result: Any) -> pa.Table:
        if isinstance(result, list):
            return pa.Table.from_pylist([scalar.as_py() for scalar in result], schema=self._schema)
        return result if isinstance(result, pa.Table) else pa.Table.from_struct_array(result)


class Arrow(Engine):
    """Arrow IPC mapped into memory: no encoding, no checksum; how fast a take can be."""

    name = stem = "arrow-mmap"
    package = "pyarrow"

    def write(self, data: Any, path: Path) -> None:
        with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, data.schema) as writer:
            writer.write_table(data)

    def open(self, path: Path) -> Any:
        return ipc.open_file(pa.memory_map(str(path))).read_all()

    def take(self, handle: Any) -> Routes:
        return {"table.take": lambda rows: handle.take(pa.array(rows))}

    def first(self) -> Routes:
        return {"open+take": lambda path, rows: self.open(path).take(pa.array(rows))}


def all_engines() -> list[Engine]:
    """Every configuration, ours first."""
    return [
        Ours(), OurRow(), Ours(mmap=True), Ours("small"), Ours("speed"),
        Parquet("snappy"), Parquet("zstd"), Lance(),
        Vortex(), Vortex(mmap=True), Vortex(compact=True), Arrow(),
    ]  # fmt: skip
