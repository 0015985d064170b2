"""`Column`: values of one type in memory, in the layout that encodings write and read.

| type                    | values                  | offsets         |
|-------------------------|-------------------------|-----------------|
| bool, numbers           | (n,) of the type        | None            |
| timestamp               | (n,) int64              | None            |
| vector                  | (n, dimension)          | None            |
| string, binary, json    | uint8 bytes             | int64 (n + 1,)  |
| list                    | child `Column`          | int64 (n + 1,)  |

Row i of a variable-length type is `values[offsets[i]:offsets[i + 1]]`; offsets need not start at 0. What
lies in the slot of a null is unspecified. Arrays may be read-only views of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lance_fmt import pyvalues, schema
from lance_fmt.constants import TypeId
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.kernels import loader
from lance_fmt.pyvalues import Parts
from lance_fmt.schema import DataType

Array = np.ndarray[Any, Any]


class Column:
    """Immutable values of one type. `validity` is None (no nulls) or bool `(n,)`, True where valid."""

    __slots__ = ("offsets", "type", "validity", "values")

    def __init__(
        self,
        type: DataType,  # noqa: A002
        values: Array | Column,
        offsets: Array | None = None,
        validity: Array | None = None,
    ) -> None:
        self.type = type
        self.values = values
        self.offsets = offsets
        self.validity = validity

    def __len__(self) -> int:
        return len(self.values if self.offsets is None else self.offsets) - (self.offsets is not None)

    def __repr__(self) -> str:
        head = ", ".join(repr(v) for v in self.slice(0, min(5, len(self))).to_pylist())
        return f"Column<{self.type}>[{len(self)}]({head}{', ...' if len(self) > 5 else ''})"

    @property
    def array(self) -> Array:
        """`values` of any type but list."""
        if isinstance(self.values, Column):
            raise SchemaError("a list column has a child column, not an array")
        return self.values

    @property
    def child(self) -> Column:
        """`values` of a list column."""
        if not isinstance(self.values, Column):
            raise SchemaError(f"a {self.type} column has no child column")
        return self.values

    @property
    def bounds(self) -> Array:
        """`offsets` of a variable-length column."""
        if self.offsets is None:
            raise SchemaError(f"a {self.type} column has no offsets")
        return self.offsets

    @property
    def null_count(self) -> int:
        """Rows that are null."""
        return 0 if self.validity is None else len(self) - int(np.count_nonzero(self.validity))

    @property
    def nbytes(self) -> int:
        """Bytes of the rows in memory: values of variable-length rows counted by their offsets."""
        size = 0 if self.validity is None else self.validity.nbytes
        if self.offsets is None:
            return size + self.array.nbytes
        start, stop = int(self.offsets[0]), int(self.offsets[-1])
        inner = self.values.slice(start, stop).nbytes if isinstance(self.values, Column) else stop - start
        return size + self.offsets.nbytes + inner

    @staticmethod
    def from_pylist(
        values: Sequence[Any],
        type: DataType,  # noqa: A002
        *,
        validity: Sequence[bool] | None = None,
    ) -> Column:
        """A column of Python values; None is a null.

        `validity` is for JSON columns: where it is True, None means the JSON value `null`.
        Raises InvalidDataError naming the row of a value that does not fit.
        """
        if validity is None:
            return _assemble(pyvalues.from_pylist(values, type), type)
        if type.id is not TypeId.JSON or len(validity) != len(values):
            raise InvalidDataError("validity goes with JSON values, one flag for each")
        pieces = [pyvalues.json_bytes(v, i) if ok else b"" for i, (v, ok) in enumerate(zip(values, validity))]  # noqa: B905
        flags = np.array(validity, np.bool_)
        data = np.frombuffer(b"".join(pieces), np.uint8)
        return Column(type, data, pyvalues.offsets_of([len(p) for p in pieces]), _none_if_full(flags))

    @staticmethod
    def from_numpy(array: Array, type: DataType | None = None, validity: Array | None = None) -> Column:  # noqa: A002
        """A column over `array`, without a copy where the layout allows.

        1-D numbers, bools and datetime64 (NaT becomes null); 2-D numbers are vectors; objects and NumPy
        strings go through Python values. `type` overrides what the dtype says, within the same kind.
        """
        array = np.asarray(array)
        if array.dtype.kind in "OUST":
            rows = [v.item() if isinstance(v, np.generic) else v for v in array.tolist()]
            return Column.from_pylist(rows, type or pyvalues.infer_type(rows))
        if array.dtype.kind == "M":
            array, type, validity = _from_datetime64(array, type, validity)  # noqa: A001
        found = type or _type_of(array)
        wanted = (len(array), found.dimension) if found.is_vector else (len(array),)
        if found.is_variable or found.is_list or array.shape != wanted:
            raise SchemaError(f"an array of dtype {array.dtype} and shape {array.shape} is no {found} column")
        if not np.can_cast(array.dtype, found.dtype, casting="same_kind"):
            raise SchemaError(f"an array of dtype {array.dtype} is no {found} column")
        values = np.ascontiguousarray(array, found.dtype)
        if array.dtype.kind in "iu" and not np.can_cast(array.dtype, found.dtype) and (values != array).any():
            raise InvalidDataError(f"values of the {array.dtype} array are out of the range of {found}")
        if validity is not None:
            validity = np.asarray(validity, np.bool_)
            if validity.shape != (len(array),):
                raise SchemaError(f"validity has shape {validity.shape}, expected ({len(array)},)")
        return Column(found, values, None, None if validity is None else _none_if_full(validity))

    @staticmethod
    def nulls(type: DataType, length: int) -> Column:  # noqa: A002
        """`length` nulls."""
        return Column.from_pylist([None] * length, type)

    @staticmethod
    def concat(columns: Sequence[Column]) -> Column:
        """Rows of all `columns` (at least one, all of the same type), one after the other."""
        if len(columns) == 1:
            return columns[0]
        if not columns:
            raise InvalidDataError("concat needs at least one column")
        kind = columns[0].type
        if any(c.type != kind for c in columns):
            raise SchemaError(f"columns of types {sorted({str(c.type) for c in columns})} do not concatenate")
        validity = None
        if any(c.validity is not None for c in columns):
            flags = [np.ones(len(c), np.bool_) if c.validity is None else c.validity for c in columns]
            validity = np.concatenate(flags)
        if columns[0].offsets is None:
            return Column(kind, np.concatenate([c.array for c in columns]), None, validity)
        lengths = np.concatenate([np.diff(c.bounds) for c in columns])
        spans = [(int(c.bounds[0]), int(c.bounds[-1])) for c in columns]
        values: Array | Column
        if kind.is_list:
            values = Column.concat([c.child.slice(a, b) for c, (a, b) in zip(columns, spans, strict=True)])
        else:
            values = np.concatenate([c.array[a:b] for c, (a, b) in zip(columns, spans, strict=True)])
        return Column(kind, values, pyvalues.offsets_of(lengths), validity)

    def slice(self, start: int, stop: int) -> Column:
        """Rows `start..stop`, `0 <= start <= stop <= len`, as views."""
        validity = None if self.validity is None else self.validity[start:stop]
        if self.offsets is not None:
            return Column(self.type, self.values, self.offsets[start : stop + 1], validity)
        return Column(self.type, self.array[start:stop], None, validity)

    def take(self, indices: Array | Sequence[int]) -> Column:
        """The rows at `indices` (non-negative, any order, repeats allowed), copied."""
        rows = np.asarray(indices, np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise InvalidDataError(f"row numbers must be in 0..{len(self) - 1}")
        validity = None if self.validity is None else _none_if_full(self.validity[rows])
        if self.offsets is None:
            return Column(self.type, self.array[rows], None, validity)
        begins = self.offsets[rows]
        lengths = self.offsets[rows + 1] - begins
        out_offsets = pyvalues.offsets_of(lengths)
        if isinstance(self.values, Column):
            inner = np.repeat(begins - out_offsets[:-1], lengths)
            return Column(self.type, self.values.take(inner + np.arange(len(inner))), out_offsets, validity)
        out = np.empty(int(out_offsets[-1]), np.uint8)
        if out.size:
            source = np.ascontiguousarray(self.array)
            loader.gather_bytes()(source, self.offsets, rows, out_offsets, out)
        return Column(self.type, out, out_offsets, validity)

    def equals(self, other: Column) -> bool:
        """Same type, length, nulls and, bit for bit, values (NaN equals the same NaN)."""
        if self.type != other.type or len(self) != len(other):
            return False
        mine = np.ones(len(self), np.bool_) if self.validity is None else self.validity
        theirs = np.ones(len(self), np.bool_) if other.validity is None else other.validity
        if not np.array_equal(mine, theirs):
            return False
        if not mine.all():
            rows = np.flatnonzero(mine)
            return (
                Column(self.type, self.values, self.offsets)
                .take(rows)
                .equals(Column(self.type, other.values, other.offsets).take(rows))
            )
        if self.offsets is None:
            return np.ascontiguousarray(self.array).tobytes() == np.ascontiguousarray(other.array).tobytes()
        if not np.array_equal(np.diff(self.bounds), np.diff(other.bounds)):
            return False
        ours, others = self.compact(), other.compact()
        if isinstance(ours.values, Column):
            return ours.values.equals(others.child)
        return np.array_equal(ours.values, others.array)

    def compact(self) -> Column:
        """The same rows with offsets that start at 0 and values that hold nothing else."""
        if self.offsets is None or (self.offsets[0] == 0 and self.offsets[-1] == len(self.values)):
            return self
        start, stop = int(self.offsets[0]), int(self.offsets[-1])
        inside = (
            self.values.slice(start, stop) if isinstance(self.values, Column) else self.values[start:stop]
        )
        return Column(self.type, inside, self.offsets - start, self.validity)

    def to_pylist(self) -> list[Any]:
        """Python values, None for nulls (and for the JSON value null); vectors as 1-D arrays."""
        return pyvalues.to_pylist(_parts(self), self.type)

    def getter(self) -> Callable[[int], Any]:
        """A fast function from row number (not checked) to that row's Python value."""
        return pyvalues.scalar_getter(_parts(self), self.type)

    def to_numpy(self) -> Array:
        """An array: without a copy for numbers, bools, timestamps (datetime64) and vectors without nulls.

        Timestamps with nulls have NaT; anything else with nulls, and strings, lists and JSON, come as an
        object array with None for nulls.
        """
        if self.type.id is TypeId.TIMESTAMP:
            times = self.array.view(f"M8[{self.type.time_unit}]")
            if self.validity is not None:
                times = times.copy()
                times[~self.validity] = np.datetime64("NaT")
            return times
        if self.offsets is None and self.validity is None:
            return self.array
        rows = np.empty(len(self), object)
        for i, value in enumerate(self.to_pylist()):
            rows[i] = value
        return rows


def _assemble(parts: Parts, kind: DataType) -> Column:
    values = parts.values
    inner = _assemble(values, kind.element) if isinstance(values, Parts) else values
    return Column(kind, inner, parts.offsets, parts.validity)


def _parts(column: Column) -> Parts:
    values = column.values
    return Parts(_parts(values) if isinstance(values, Column) else values, column.offsets, column.validity)


def _none_if_full(validity: Array) -> Array | None:
    return None if validity.all() else validity


def _from_datetime64(
    array: Array, kind: DataType | None, validity: Array | None
) -> tuple[Array, DataType, Array | None]:
    unit = np.datetime_data(array.dtype)[0]
    if kind is None:
        kind = schema.timestamp(unit if unit in ("s", "ms", "us", "ns") else "us")
    if kind.id is not TypeId.TIMESTAMP:
        raise SchemaError(f"an array of {array.dtype} is no {kind} column")
    valid = ~np.isnat(array)
    if validity is not None:
        valid &= np.asarray(validity, np.bool_)
    ticks = array.astype(f"M8[{kind.time_unit}]").astype(np.int64)
    return np.where(valid, ticks, 0), kind, valid


def _type_of(array: Array) -> DataType:
    if array.dtype == np.bool_ and array.ndim == 1:
        return schema.bool_()
    item = pyvalues.number_type(array.dtype)
    if item is None or array.ndim not in (1, 2):
        raise SchemaError(f"no column type holds an array of dtype {array.dtype} and shape {array.shape}")
    return item if array.ndim == 1 else schema.vector(item, array.shape[1])
