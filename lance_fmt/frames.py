"""pandas in and out; imports pandas and pyarrow only when used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lance_fmt import arrow
from lance_fmt.column import Column
from lance_fmt.constants import TypeId
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.inference import infer_type
from lance_fmt.optional import need

_TYPES = ("numpy", "nullable", "arrow")


def is_frame(thing: object) -> bool:
    """Whether this is a pandas DataFrame; pandas is not imported to see."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(thing, pandas.DataFrame)


def to_pandas(columns: Mapping[str, Column], types: str, to_arrow: Callable[[], Any]) -> Any:
    """A pandas DataFrame of columns of the `types` asked for."""
    if types not in _TYPES:
        raise InvalidDataError(f"types {types!r} is not one of {', '.join(_TYPES)}")
    pd = need("pandas", "pandas")
    if types == "arrow":
        return to_arrow().to_pandas(types_mapper=pd.ArrowDtype)
    data = {name: pd.Series(_values(pd, column, types)) for name, column in columns.items()}
    for name, column in columns.items():
        if not len(column) and isinstance(data[name].dtype, np.dtype) and data[name].dtype.kind == "O":
            data[name] = data[name].astype(object)
    return pd.DataFrame(data)


def _values(pd: Any, column: Column, types: str) -> Any:
    """An array where pandas has a type for it, else a list of Python values."""
    kind = column.type
    plain = kind.is_number or kind.id is TypeId.BOOL
    if plain and kind.id is not TypeId.FLOAT16 and (column.validity is not None or types == "nullable"):
        return _masked(pd, column)
    if kind.id is TypeId.TIMESTAMP and kind.tz is not None:
        return pd.DatetimeIndex(column.to_numpy()).tz_localize("UTC").tz_convert(kind.tz)
    if kind.id in (TypeId.DURATION, TypeId.TIMESTAMP):
        return column.to_numpy()
    if (plain or kind.is_bfloat16) and column.validity is None:
        return column.to_numpy()
    if kind.id is TypeId.STRING:
        return pd.array(column.to_pylist(), dtype="string" if types == "nullable" else "str")
    rows = np.empty(len(column), object)
    for i, value in enumerate(column.to_pylist()):
        rows[i] = value
    return rows


def _masked(pd: Any, column: Column) -> Any:
    """Numbers or bools beside which flags say what is null: pandas' nullable types; NaN stays a value."""
    mask = np.zeros(len(column), np.bool_) if column.validity is None else ~column.validity
    kinds = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
    make = kinds.get(column.array.dtype.kind, pd.arrays.IntegerArray)
    return make(np.array(column.array), mask)


def from_series(name: str, series: Any) -> Column:
    """The column of a pandas Series."""
    where = f"column {name!r}"
    if isinstance(series.dtype, np.dtype):
        return _from_numpy(where, series)
    pd = need("pandas", "pandas")
    if isinstance(series.dtype, pd.PeriodDtype | pd.IntervalDtype):
        raise SchemaError(
            f"{where}: {series.dtype} has no counterpart: convert it to timestamps or numbers first"
        )
    if isinstance(series.dtype, pd.SparseDtype):
        return _from_numpy(where, series.sparse.to_dense())
    if hasattr(series.array, "_mask") and series.to_numpy(na_value=0).dtype.kind in "biuf":
        # The values beneath pandas' nullable types, NaN among them, as they are.
        return Column.from_numpy(np.asarray(series.array._data), None, ~np.asarray(series.array._mask))
    pa = need("pyarrow", "arrow")
    if isinstance(series.dtype, pd.ArrowDtype):
        return arrow.column_from_arrow(series.array.__arrow_array__(), where)
    return arrow.column_from_arrow(pa.array(series, from_pandas=True), where)


def _from_numpy(where: str, series: Any) -> Column:
    values = series.to_numpy()
    try:
        if values.dtype.kind in "biufMm":
            return Column.from_numpy(values)
        missing = series.isna().to_numpy()
        rows = [None if gone else v for v, gone in zip(series.tolist(), missing.tolist(), strict=True)]
        return Column.from_pylist(rows, infer_type(rows))
    except InvalidDataError as error:
        raise type(error)(f"{where}: {error}") from error
    except TypeError as error:
        raise SchemaError(f"{where}: {error}") from error
