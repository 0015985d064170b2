"""The type of Python values and of NumPy arrays that come without one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from lance_fmt import bfloats, decimals, schema
from lance_fmt.constants import MAX_DECIMAL_DIGITS, TypeId
from lance_fmt.datatype import DataType
from lance_fmt.errors import InvalidDataError

_EXACT_ITEMS = frozenset({TypeId.DATE, TypeId.TIME, TypeId.DURATION, TypeId.DECIMAL})  # what JSON cannot say


def infer_type(values: Sequence[Any]) -> DataType:
    """The narrowest type of this format that holds all `values`; InvalidDataError if there is none.

    bool, int64 (uint64 above 2^63), float64, decimal, string, binary, timestamp<us>, date, time<us>,
    duration<us>, lists of numbers, strings, dates, times, durations and decimals; else JSON.
    """
    present = [v for v in values if v is not None]
    kinds = {type(v) for v in present}
    if not kinds:
        return schema.json()
    if all(issubclass(k, bool | np.bool_) for k in kinds):
        return schema.bool_()
    if any(issubclass(k, np.timedelta64) for k in kinds):  # to NumPy an integer, to everybody else a time
        return _time_type(present, kinds)
    if all(issubclass(k, int | np.integer) and k is not bool for k in kinds):
        return schema.uint64() if max(present) > np.iinfo(np.int64).max else schema.int64()
    if all(issubclass(k, float | int | np.floating | np.integer) and k is not bool for k in kinds):
        return schema.float64()
    if all(issubclass(k, str) for k in kinds):
        return schema.string()
    if all(issubclass(k, bytes | bytearray | memoryview) for k in kinds):
        return schema.binary()
    if all(issubclass(k, np.ndarray) for k in kinds) and len({(v.shape, v.dtype) for v in present}) == 1:
        return _array_type(present[0])
    if all(issubclass(k, list | tuple) for k in kinds):
        return _list_type(present)
    if Decimal in kinds and all(issubclass(k, Decimal | int) and k is not bool for k in kinds):
        return _decimal_type(present)
    return _time_type(present, kinds)


def _time_type(present: Sequence[Any], kinds: set[type]) -> DataType:
    unit = "ns" if any(_is_fine(v) for v in present) else "us"
    if all(issubclass(k, datetime | np.datetime64) for k in kinds):
        zones = {getattr(v, "tzinfo", None) is not None for v in present}
        if len(zones) == 1:
            return schema.timestamp(unit, "UTC" if zones.pop() else None)
    if all(issubclass(k, date) and not issubclass(k, datetime) for k in kinds):
        return schema.date()
    if all(issubclass(k, time) for k in kinds):
        return schema.time("us")
    if all(issubclass(k, timedelta | np.timedelta64) for k in kinds):
        return schema.duration(unit)
    return schema.json()


def _is_fine(value: object) -> bool:
    return isinstance(value, np.datetime64 | np.timedelta64) and np.datetime_data(value)[0] == "ns"


def _list_type(present: Sequence[Any]) -> DataType:
    items = [item for v in present for item in v]
    inner = infer_type(items)
    complete = all(item is not None for item in items)
    if inner.id in _EXACT_ITEMS:
        return schema.list_(inner, nullable=not complete)
    if complete and (inner.is_number or inner.id is TypeId.STRING):
        return schema.list_(inner)
    return schema.json()


def _decimal_type(present: Sequence[Decimal | int]) -> DataType:
    for value in present:
        if isinstance(value, Decimal) and not value.is_finite():
            raise InvalidDataError(f"no column type holds the decimal {value}")
    precision, scale = decimals.digits_of(present)
    if precision > MAX_DECIMAL_DIGITS:
        raise InvalidDataError(
            f"decimals of {precision} digits, {scale} after the point; {MAX_DECIMAL_DIGITS} are possible"
        )
    return schema.decimal(precision, scale)


def _array_type(array: np.ndarray[Any, Any]) -> DataType:
    item = number_type(array.dtype)
    if array.ndim != 1 or item is None:
        raise InvalidDataError(f"no column type holds arrays of shape {array.shape} and dtype {array.dtype}")
    return schema.vector(item, array.shape[0])


_NUMBER_TYPES = [
    t() for t in (schema.int8, schema.int16, schema.int32, schema.int64, schema.uint8, schema.uint16)
] + [t() for t in (schema.uint32, schema.uint64, schema.float16, schema.float32, schema.float64)]
_BY_DTYPE = {t.dtype: t for t in _NUMBER_TYPES}


def number_type(dtype: np.dtype[Any]) -> DataType | None:
    """The number type of a NumPy dtype (any byte order), or None."""
    return schema.bfloat16() if bfloats.is_native(dtype) else _BY_DTYPE.get(dtype.newbyteorder("<"))
