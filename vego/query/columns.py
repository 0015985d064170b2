"""One metadata field of a whole collection in memory, in slot order, held in the form that filters fastest.

All numbers, or all times: an array (`NumericRows`). Anything else: codes into a dictionary of distinct
values (`DictionaryRows`). A column changes over when a value comes that its form cannot hold exactly.

Thread safety: one writer, any number of readers. `rows` is an immutable view, and each append publishes
a new one by one assignment; a reader that holds a view, or asks for the first n rows, is not disturbed
by appends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lance_fmt import Column
from vego.query.dictionary_rows import DictionaryRows, ValueDictionary
from vego.query.numeric_rows import INTEGERS, Mask, Numbers, NumericRows
from vego.query.values import NAN, Key, Kind, key_of

Rows: TypeAlias = NumericRows | DictionaryRows

_EXACT = 1 << 53
"""Integers up to this magnitude are float64 numbers."""
_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_INT64_MAX = np.iinfo(np.int64).max


class FilterColumn:
    """A growable column of metadata values. `len()` is the number of rows.

    rows: those there are now, as a view that later appends leave alone; not to be set from outside.
    """

    def __init__(self) -> None:
        self.rows: Rows = DictionaryRows.missing(0)

    def __len__(self) -> int:
        return self.rows.count

    def extend(self, values: Sequence[object]) -> None:
        """Append Python values; None and NaT are missing ones. Lists and dicts equal no literal."""
        types = set(map(type, values))
        if types <= {str, type(None)}:
            self._append_keyed(Kind.STRING, values)
        elif types <= {int, float, type(None)}:
            self._append_plain(Kind.NUMBER, values)
        else:
            keys = [key_of(value) for value in values]
            kinds = {key[0] for key in keys if key is not None}
            kind = kinds.pop() if len(kinds) == 1 else None
            if kind in (Kind.NUMBER, Kind.TIME):
                self._append_plain(kind, [None if key is None else key[1] for key in keys])
            else:
                self._append_keys(keys)

    def extend_missing(self, count: int) -> None:
        """Append `count` rows without a value."""
        rows = self.rows
        if isinstance(rows, DictionaryRows):
            self.rows = rows.appended(np.zeros(count, dtype=np.uint8))
        elif count:
            self.rows = rows.appended(
                np.zeros(count, dtype=rows.values.dtype), np.zeros(count, dtype=np.bool_)
            )

    def extend_column(self, column: Column) -> None:
        """Append a file's column; numbers, booleans and times without a Python object each."""
        kind, present = column.type, column.validity
        if kind.is_list or kind.is_vector:
            self._append_codes(Kind.OTHER, [None], np.zeros(len(column), dtype=np.intp), present)
        elif kind.is_variable:
            self.extend(column.to_pylist())
        elif kind.is_number:
            self._append_array(column.array, present)
        elif kind.unit is not None:
            self._append_timestamps(column.array, present, _NANOSECONDS[kind.time_unit])
        else:
            self._append_codes(Kind.BOOL, [False, True], column.array.astype(np.intp), present)

    def _append_plain(self, kind: Kind, plain: Sequence[Any]) -> None:
        """Append canonical values of one kind, None being missing."""
        present = _present(plain)
        filled = plain if present is None else [0 if value is None else value for value in plain]
        numbers = _microseconds(filled) if kind is Kind.TIME else _numbers(filled)
        if numbers is None:
            self._append_keyed(kind, [_one_nan(value) for value in plain])
        else:
            self._append_numbers(kind, numbers, present)

    def _append_array(self, array: NDArray[Any], present: Mask | None) -> None:
        if present is not None:
            array = np.where(present, array, array.dtype.type(0))
        if array.dtype.kind == "f":
            self._append_numbers(Kind.NUMBER, array.astype(np.float64, copy=False), present)
        elif array.dtype == np.uint64 and len(array) and array.max() > _INT64_MAX:
            self._append_plain(Kind.NUMBER, _objects(array, present))
        else:
            self._append_numbers(Kind.NUMBER, array.astype(np.int64, copy=False), present)

    def _append_timestamps(self, array: NDArray[Any], present: Mask | None, nanoseconds: int) -> None:
        if present is not None:
            array = np.where(present, array, 0)
        factor, limit = nanoseconds // 1000, _INT64_MAX // max(nanoseconds // 1000, 1)
        if factor and (not len(array) or (array.max() <= limit and array.min() >= -limit)):
            self._append_numbers(Kind.TIME, array * np.int64(factor), present)
        elif not factor and not (array % 1000).any():
            self._append_numbers(Kind.TIME, array // 1000, present)
        else:
            times = [None if value is None else value * nanoseconds for value in _objects(array, present)]
            self._append_plain(Kind.TIME, times)

    def _append_numbers(self, kind: Kind, numbers: Numbers, present: Mask | None) -> None:
        """Append an int64 or float64 array (0 where missing) of numbers, or int64 microseconds."""
        rows, numbers = self.rows, _narrowed(numbers)
        if isinstance(rows, DictionaryRows) and len(rows.dictionary) == 1:
            rows = NumericRows.missing(kind, numbers.dtype, rows.count)
        if isinstance(rows, NumericRows) and rows.kind is kind:
            common = _with_common_type(rows, numbers)
            if common is not None:
                rows, numbers = common
                self.rows = rows.appended(numbers, present)
                return
        distinct, codes = np.unique(numbers, return_inverse=True)
        self._append_codes(kind, _canonical(kind, distinct), codes, present)

    def _append_keyed(self, kind: Kind, values: Sequence[Any]) -> None:
        """Append canonical values of one kind, None being missing, to the dictionary."""
        rows = self._dictionary_rows()
        self.rows = rows.appended(rows.dictionary.codes(kind, values))

    def _append_keys(self, keys: Sequence[Key | None]) -> None:
        rows = self._dictionary_rows()
        self.rows = rows.appended([0 if key is None else rows.dictionary.code(*key) for key in keys])

    def _append_codes(
        self, kind: Kind, distinct: Sequence[Any], inverse: NDArray[np.intp], present: Mask | None
    ) -> None:
        """Append `distinct[inverse]`; a distinct value that no present row has is left out."""
        rows = self._dictionary_rows()
        self.rows = rows.appended(_translated(rows.dictionary, kind, distinct, inverse, present))

    def _dictionary_rows(self) -> DictionaryRows:
        """Return the rows as codes, converted if they are numbers so far."""
        rows = self.rows
        if isinstance(rows, DictionaryRows):
            return rows
        distinct, inverse = np.unique(rows.values[: rows.count], return_inverse=True)
        present = None if rows.present is None else rows.present[: rows.count]
        empty = DictionaryRows.missing(0)
        return empty.appended(
            _translated(empty.dictionary, rows.kind, _canonical(rows.kind, distinct), inverse, present)
        )


def _translated(
    dictionary: ValueDictionary,
    kind: Kind,
    distinct: Sequence[Any],
    inverse: NDArray[np.intp],
    present: Mask | None,
) -> NDArray[np.int64]:
    """Return the codes of `distinct[inverse]`, 0 where not present."""
    used = np.bincount(inverse if present is None else inverse[present], minlength=len(distinct))
    translation = np.zeros(len(distinct), dtype=np.int64)
    for position in np.flatnonzero(used).tolist():
        translation[position] = dictionary.code(kind, distinct[position])
    codes = translation[inverse]
    return codes if present is None else np.where(present, codes, 0)


def _canonical(kind: Kind, distinct: Numbers) -> list[Any]:
    values = distinct.tolist()
    if kind is Kind.TIME:
        return [value * 1000 for value in values]
    return [_one_nan(value) for value in values]


def _one_nan(value: Any) -> Any:
    return NAN if isinstance(value, float) and math.isnan(value) else value


def _present(plain: Sequence[Any]) -> Mask | None:
    return np.array([value is not None for value in plain], dtype=np.bool_) if None in plain else None


def _objects(array: NDArray[Any], present: Mask | None) -> list[Any]:
    values = array.tolist()
    return (
        values
        if present is None
        else [value if ok else None for value, ok in zip(values, present, strict=True)]
    )


def _numbers(values: Sequence[int | float]) -> Numbers | None:
    """Return the values as int64, or float64 if there are floats; None where that is not exact."""
    types = set(map(type, values))
    if float not in types:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            return None
    if int in types and not all(-_EXACT <= value <= _EXACT for value in values if type(value) is int):
        return None
    return np.array(values, dtype=np.float64)


def _narrowed(numbers: Numbers) -> Numbers:
    """Return integers as the narrowest of int8, int16, int32 and int64 that holds them all: less to compare."""
    if numbers.dtype.kind != "i":
        return numbers
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    for dtype, (least, most) in INTEGERS.items():
        if least <= low and high <= most:
            return numbers.astype(dtype, copy=False)
    return numbers


def _microseconds(nanoseconds: Sequence[int]) -> Numbers | None:
    """Return times as int64 microseconds; None where that would not be exact."""
    if any(value % 1000 for value in nanoseconds):
        return None
    try:
        return np.array([value // 1000 for value in nanoseconds], dtype=np.int64)
    except OverflowError:
        return None


def _with_common_type(rows: NumericRows, numbers: Numbers) -> tuple[NumericRows, Numbers] | None:
    """Return both with one dtype; None where making the integers floats would not be exact."""
    if rows.values.dtype == numbers.dtype:
        return rows, numbers
    if rows.values.dtype.kind == numbers.dtype.kind:
        wider = max(rows.values.dtype, numbers.dtype, key=lambda dtype: dtype.itemsize)
        return rows.cast(wider), numbers.astype(wider)
    integers = rows.values[: rows.count] if rows.values.dtype.kind == "i" else numbers
    if len(integers) and not (integers.min() >= -_EXACT and integers.max() <= _EXACT):
        return None
    if integers is numbers:
        return rows, numbers.astype(np.float64)
    return rows.cast(numbers.dtype), numbers
