"""`Column`: values of one type in memory, in the layout that encodings write and read.

| type                         | values                              | offsets         |
|------------------------------|-------------------------------------|-----------------|
| bool, numbers                | (n,) of the type                    | None            |
| timestamp, time, duration    | (n,) int64                          | None            |
| date                         | (n,) int32                          | None            |
| bfloat16                     | (n,) uint16 bit patterns            | None            |
| decimal                      | (n, 2) uint64: low and high words   | None            |
| vector                       | (n, dimension)                      | None            |
| string, binary, json         | uint8 bytes                         | int64 (n + 1,)  |
| list                         | child `Column`                      | int64 (n + 1,)  |
| struct                       | tuple of child `Column`s of n rows  | None            |

Row i of a variable-length type is `values[offsets[i]:offsets[i + 1]]`; offsets need not start at 0. What
lies in the slot of a null is unspecified: a child may hold anything below a null. A child that may not be
null has no validity. Arrays may be read-only views of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lance_fmt import arrays, bfloats, display, pyvalues, times
from lance_fmt.arena import Arena
from lance_fmt.constants import TypeId
from lance_fmt.datatype import DataType
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.inference import infer_type
from lance_fmt.kernels import loader
from lance_fmt.pyvalues import Parts, offsets_of

Array = np.ndarray[Any, Any]


class Column:
    """Immutable values of one type. `validity` is None (no nulls) or bool `(n,)`, True where valid.

    `length` need not be given; it is compared. Raises SchemaError where the children of a list or struct do
    not go with the type: their number, types, lengths, or nulls where the type says there are none.
    """

    __slots__ = ("offsets", "type", "validity", "values")

    def __init__(
        self,
        type: DataType,  # noqa: A002
        values: Array | Column | Sequence[Column],
        offsets: Array | None = None,
        validity: Array | None = None,
        *,
        length: int | None = None,
    ) -> None:
        self.type = type
        self.values: Array | Column | tuple[Column, ...]
        self.offsets = offsets
        self.validity = validity
        if type.is_struct:
            self.values = _members(type, values, validity)
        elif isinstance(values, Column):
            self.values = _items(type, values, offsets, validity)
        else:
            self.values = values  # type: ignore[assignment]
        if length is not None and len(self) != length:
            raise SchemaError(f"a {type} column of {len(self)} rows, expected {length}")

    def __len__(self) -> int:
        if self.offsets is not None:
            return len(self.offsets) - 1
        return len(self.values[0] if isinstance(self.values, tuple) else self.values)

    def __repr__(self) -> str:
        return display.column_repr(self)

    def _repr_html_(self) -> str:
        return display.column_html(self)

    @property
    def array(self) -> Array:
        """`values` of any type but list and struct."""
        if not isinstance(self.values, np.ndarray):
            raise SchemaError(f"a {self.type} column has child columns, not an array")
        return self.values

    @property
    def child(self) -> Column:
        """`values` of a list column."""
        if not isinstance(self.values, Column):
            raise SchemaError(f"a {self.type} column has no single child column")
        return self.values

    @property
    def children(self) -> tuple[Column, ...]:
        """`values` of a struct column, in the order of its fields."""
        if not isinstance(self.values, tuple):
            raise SchemaError(f"a {self.type} column has no fields")
        return self.values

    def field(self, name: str) -> Column:
        """The child column of a struct's field; below a null of the struct it may hold anything."""
        for member, child in zip(self.type.fields, self.children, strict=True):
            if member.name == name:
                return child
        known = ", ".join(repr(member.name) for member in self.type.fields)
        raise SchemaError(f"no field {name!r}; there are {known}")

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
        if isinstance(self.values, tuple):
            return size + sum(child.nbytes for child in self.values)
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
        return Column(type, data, offsets_of([len(p) for p in pieces]), _none_if_full(flags))

    @staticmethod
    def from_numpy(array: Array, type: DataType | None = None, validity: Array | None = None) -> Column:  # noqa: A002
        """A column over `array`, without a copy where the layout allows.

        1-D numbers, bools, datetime64 and timedelta64 (NaT becomes null); 2-D numbers are vectors; objects
        and NumPy strings go through Python values. `type` overrides what the dtype says, within the same
        kind. Floats of any width, and the bfloat16 that other packages add to NumPy, become `bfloat16`
        where the type says so; bit patterns in uint16 are taken by `Column(bfloat16(), bits)` only.
        """
        array = np.asarray(array)
        if array.dtype.kind in "OUST":
            rows = [
                v.item() if isinstance(v, np.generic) and v.dtype.kind not in "mM" else v
                for v in array.tolist()
            ]
            return Column.from_pylist(rows, type or infer_type(rows))
        if array.dtype.kind in "mM":
            array, type, validity = arrays.from_ticks(array, type, validity)  # noqa: A001
        found = type or arrays.type_of(array)
        if array.ndim < 1 or array.shape != (
            (len(array), found.dimension) if found.is_vector else (len(array),)
        ):
            raise SchemaError(f"an array of dtype {array.dtype} and shape {array.shape} is no {found} column")
        values = arrays.values_of(array, found)
        if validity is not None:
            validity = np.asarray(validity, np.bool_)
            if validity.shape != (len(array),):
                raise SchemaError(f"validity has shape {validity.shape}, expected ({len(array)},)")
        valid = None if validity is None else _none_if_full(validity)
        if found.id is TypeId.TIME:
            times.check_range(values, found, valid)
        return Column(found, values, None, valid)

    @staticmethod
    def nulls(type: DataType, length: int) -> Column:  # noqa: A002
        """`length` nulls."""
        return _blank(type, length, np.zeros(length, np.bool_))

    @staticmethod
    def concat(columns: Sequence[Column], arena: Arena | None = None) -> Column:
        """Rows of all `columns` (at least one, all of the same type), one after the other.

        With an `arena`, its memory holds the result, also of a single column.
        """
        if len(columns) == 1 and arena is None:
            return columns[0]
        if not columns:
            raise InvalidDataError("concat needs at least one column")
        kind = columns[0].type
        if any(c.type is not kind and c.type != kind for c in columns):
            raise SchemaError(f"columns of types {sorted({str(c.type) for c in columns})} do not concatenate")
        join = np.concatenate if arena is None else arena.join
        validity = None
        if any(c.validity is not None for c in columns):
            validity = join(
                [np.ones(len(c), np.bool_) if c.validity is None else c.validity for c in columns]
            )
        if kind.is_struct:
            members = zip(*(c.children for c in columns), strict=True)
            return Column(kind, tuple(Column.concat(m, arena) for m in members), None, validity)
        if columns[0].offsets is None:
            return Column(kind, join([c.array for c in columns]), None, validity)
        spans = [(int(c.bounds[0]), int(c.bounds[-1])) for c in columns]
        offsets = _joined_offsets([c.bounds for c in columns], arena)
        values: Array | Column
        if kind.is_list:
            children = [c.child.slice(a, b) for c, (a, b) in zip(columns, spans, strict=True)]
            values = Column.concat(children, arena)
        else:
            values = join([c.array[a:b] for c, (a, b) in zip(columns, spans, strict=True)])
        return Column(kind, values, offsets, validity)

    def slice(self, start: int, stop: int) -> Column:
        """Rows `start..stop`, `0 <= start <= stop <= len`, as views."""
        validity = None if self.validity is None else self.validity[start:stop]
        if self.offsets is not None:
            return Column(self.type, self.values, self.offsets[start : stop + 1], validity)
        if isinstance(self.values, tuple):
            return Column(self.type, tuple(c.slice(start, stop) for c in self.values), None, validity)
        return Column(self.type, self.array[start:stop], None, validity)

    def take(self, indices: Array | Sequence[int]) -> Column:
        """The rows at `indices` (non-negative, any order, repeats allowed), copied."""
        rows = np.asarray(indices, np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise InvalidDataError(f"row numbers must be in 0..{len(self) - 1}")
        validity = None if self.validity is None else _none_if_full(self.validity[rows])
        if isinstance(self.values, tuple):
            return Column(self.type, tuple(c.take(rows) for c in self.values), None, validity)
        if self.offsets is None:
            return Column(self.type, self.array[rows], None, validity)
        begins = self.offsets[rows]
        lengths = self.offsets[rows + 1] - begins
        out_offsets = offsets_of(lengths)
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
        if isinstance(self.values, tuple):
            return all(a.equals(b) for a, b in zip(self.values, other.children, strict=True))
        if self.offsets is None:
            return np.ascontiguousarray(self.array).tobytes() == np.ascontiguousarray(other.array).tobytes()
        if not np.array_equal(np.diff(self.bounds), np.diff(other.bounds)):
            return False
        ours, others = self.compact(), other.compact()
        if isinstance(ours.values, Column):
            return ours.values.equals(others.child)
        return np.array_equal(ours.array, others.array)

    def compact(self) -> Column:
        """The same rows with offsets that start at 0 and values that hold nothing else, at every level."""
        if isinstance(self.values, tuple):
            return Column(self.type, tuple(c.compact() for c in self.values), None, self.validity)
        if self.offsets is None:
            return self
        start, stop = int(self.offsets[0]), int(self.offsets[-1])
        offsets = self.offsets - start if start else self.offsets
        if isinstance(self.values, Column):
            return Column(self.type, self.values.slice(start, stop).compact(), offsets, self.validity)
        if start == 0 and stop == len(self.values):
            return self
        return Column(self.type, self.values[start:stop], offsets, self.validity)

    def to_pylist(self) -> list[Any]:
        """Python values, None for nulls (and for the JSON value null); vectors as 1-D arrays."""
        return pyvalues.to_pylist(_parts(self), self.type)

    def getter(self) -> Callable[[int], Any]:
        """A fast function from row number (not checked) to that row's Python value."""
        return pyvalues.scalar_getter(_parts(self), self.type)

    def __dlpack_device__(self) -> tuple[int, int]:
        """Main memory, in DLPack's terms."""
        return 1, 0

    def __dlpack__(self, **keywords: Any) -> Any:
        """Capsule of a DLPack tensor `(n,)` or, of vectors, `(n, dimension)`, over this very memory.

        Of numbers, bools and vectors without nulls; NumPy, PyTorch and JAX take it with `from_dlpack`. Raises
        BufferError, as its protocol says, for anything else, bfloat16 among it.
        """
        items = self.type.element if self.type.is_vector else self.type
        if not (items.is_number or items.id is TypeId.BOOL) or self.validity is not None:
            nulls = " with nulls" if self.validity is not None else ""
            raise BufferError(f"a column of {self.type}{nulls} is no tensor; to_numpy() makes an array of it")
        return self.array.__dlpack__(**keywords)

    def to_numpy(self) -> Array:
        """An array: without a copy for numbers, bools, times (64 bits) and vectors without nulls.

        Timestamps and dates are datetime64, durations and times of day (since midnight) timedelta64, with NaT
        for nulls; bfloat16 becomes float32. Anything else with nulls, and strings, JSON, decimals, lists and
        structs, come as an object array with None for nulls.
        """
        if self.type.is_time:
            ticks = times.as_numpy(self.array, self.type)
            if self.validity is not None:
                ticks = ticks.copy()
                ticks[~self.validity] = (
                    np.timedelta64("NaT") if ticks.dtype.kind == "m" else np.datetime64("NaT")
                )
            return ticks
        if isinstance(self.values, np.ndarray) and self.offsets is None and self.validity is None:
            if self.type.is_bfloat16 or (self.type.is_vector and self.type.element.is_bfloat16):
                return bfloats.to_floats(self.values)
            if not self.type.is_decimal:
                return self.values
        rows = np.empty(len(self), object)
        for i, value in enumerate(self.to_pylist()):
            rows[i] = value
        return rows


def _members(kind: DataType, values: object, validity: Array | None) -> tuple[Column, ...]:
    """The children of a struct, checked; those of fields that are not nullable without validity."""
    if not isinstance(values, tuple | list) or len(values) != len(kind.fields):
        raise SchemaError(f"a {kind} column takes {len(kind.fields)} child columns, one for each field")
    members = []
    for field, child in zip(kind.fields, values, strict=True):
        where = f"field {field.name!r} of {kind}"
        if child.type != field.type:
            raise SchemaError(f"{where}: a {child.type} column, expected {field.type}")
        if len(child) != len(values[0]):
            raise SchemaError(f"{where}: {len(child)} rows, expected {len(values[0])} as in the first field")
        if child.validity is not None and not field.nullable:
            wrong = ~child.validity if validity is None else validity & ~child.validity
            if wrong.any():
                raise SchemaError(f"{where}: null in row {int(wrong.argmax())}, yet not nullable")
            child = Column(child.type, child.values, child.offsets)  # noqa: PLW2901
        members.append(child)
    return tuple(members)


def _items(kind: DataType, child: Column, offsets: Array | None, validity: Array | None) -> Column:
    """The child of a list, checked; without validity if the items are not nullable."""
    if not kind.is_list or offsets is None or child.type != kind.element:
        raise SchemaError(
            f"a {child.type} column with{'out' if offsets is None else ''} offsets is no {kind} column"
        )
    if child.validity is None or kind.item_nullable:
        return child
    lengths = np.diff(offsets) if validity is None else np.where(validity, np.diff(offsets), 0)
    nulls = np.concatenate([[0], np.cumsum(~child.validity)])
    wrong = (nulls[offsets[:-1] + lengths] - nulls[offsets[:-1]]) > 0
    if wrong.any():
        raise SchemaError(
            f"a null in the list of row {int(wrong.argmax())}, yet items of {kind} are not nullable"
        )
    return Column(child.type, child.values, child.offsets)


def _assemble(parts: Parts, kind: DataType) -> Column:
    values: Array | Column | tuple[Column, ...]
    if isinstance(parts.values, tuple):
        values = tuple(_assemble(p, f.type) for p, f in zip(parts.values, kind.fields, strict=True))
    else:
        values = _assemble(parts.values, kind.element) if isinstance(parts.values, Parts) else parts.values
    return Column(kind, values, parts.offsets, parts.validity)


def _parts(column: Column) -> Parts:
    values: Array | Parts | tuple[Parts, ...]
    if isinstance(column.values, tuple):
        values = tuple(_parts(child) for child in column.values)
    else:
        values = _parts(column.values) if isinstance(column.values, Column) else column.values
    return Parts(values, column.offsets, column.validity)


def _none_if_full(validity: Array) -> Array | None:
    return None if validity.all() else validity


def _joined_offsets(parts: Sequence[Array], arena: Arena | None = None) -> Array:
    """Offsets from 0 of the rows of all `parts`, one after the other."""
    count = sum(map(len, parts)) - len(parts) + 1
    offsets = np.empty(count, np.int64) if arena is None else arena.take(8 * count).view(np.int64)
    offsets[0] = at = end = 0
    for part in parts:
        stop = at + len(part) - 1
        np.add(part[1:], end - part[0], out=offsets[at + 1 : stop + 1])
        at, end = stop, int(offsets[stop])
    return offsets


def _blank(kind: DataType, length: int, validity: Array | None) -> Column:
    """Rows of zeros and empty values."""
    if kind.is_struct:
        gone = np.zeros(length, np.bool_)
        members = [_blank(member.type, length, gone if member.nullable else None) for member in kind.fields]
        return Column(kind, members, None, validity)
    if kind.is_list:
        return Column(kind, _blank(kind.element, 0, None), np.zeros(length + 1, np.int64), validity)
    if kind.is_variable:
        return Column(kind, np.empty(0, np.uint8), np.zeros(length + 1, np.int64), validity)
    width = {"vector": kind.dimension, "decimal": 2}.get(kind.id.name.lower())
    return Column(kind, np.zeros((length, width) if width else length, kind.dtype), None, validity)
