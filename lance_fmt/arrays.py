"""NumPy arrays to the arrays of a column: checked, and without a copy where the layout is the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from lance_fmt import bfloats, schema, times
from lance_fmt.constants import TypeId
from lance_fmt.datatype import DataType
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.inference import number_type

Array = np.ndarray[Any, Any]


def values_of(array: Array, kind: DataType) -> Array:
    """`array` in the layout of a type without children, without a copy where it has it already."""
    item = kind.element if kind.is_vector else kind
    wrong = f"an array of dtype {array.dtype} is no {kind} column"
    if item.is_bfloat16:
        if array.dtype.kind != "f" and not bfloats.is_native(array.dtype):
            raise SchemaError(f"{wrong}; bit patterns are taken by Column({item}(), bits)")
        return bfloats.to_bits(array)
    if kind.is_variable or kind.is_list or kind.is_struct or kind.is_decimal:
        raise SchemaError(wrong)
    if not np.can_cast(array.dtype, kind.dtype, casting="same_kind"):
        raise SchemaError(wrong)
    values = np.ascontiguousarray(array, kind.dtype)
    if array.dtype.kind in "iu" and not np.can_cast(array.dtype, kind.dtype) and (values != array).any():
        raise InvalidDataError(f"values of the {array.dtype} array are out of the range of {kind}")
    return values


def from_ticks(
    array: Array, kind: DataType | None, validity: Array | None
) -> tuple[Array, DataType, Array | None]:
    """Counts of the type's unit, the type, and which rows are not NaT, of datetime64 and timedelta64."""
    unit = np.datetime_data(array.dtype)[0]
    moments = array.dtype.kind == "M"
    if kind is None:
        known = unit if unit in ("s", "ms", "us", "ns") else "us"
        kind = schema.timestamp(known) if moments else schema.duration(known)
    if kind.id not in ((TypeId.TIMESTAMP, TypeId.DATE) if moments else (TypeId.DURATION, TypeId.TIME)):
        raise SchemaError(f"an array of {array.dtype} is no {kind} column")
    valid = ~np.isnat(array)
    if validity is not None:
        valid &= np.asarray(validity, np.bool_)
    counts, right = times.recount(array, kind)
    if not right[valid].all():
        row = int((valid & ~right).argmax())
        raise InvalidDataError(f"row {row}: {array[row]!r} does not fit {kind}: {times.NO_COUNT}")
    return np.where(valid, counts, 0), kind, valid


def type_of(array: Array) -> DataType:
    """The type that holds an array: numbers and bools, 2-D numbers as vectors; SchemaError for others."""
    if array.dtype == np.bool_ and array.ndim == 1:
        return schema.bool_()
    item = number_type(array.dtype)
    if item is None or array.ndim not in (1, 2):
        raise SchemaError(f"no column type holds an array of dtype {array.dtype} and shape {array.shape}")
    return item if array.ndim == 1 else schema.vector(item, array.shape[1])
