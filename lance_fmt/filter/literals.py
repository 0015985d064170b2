"""A filter's literals as exact numbers or bytes of a column's type.

Numbers and times become fractions (times: of the column's unit), so that 2.5 on integers, 2^53 + 1 on floats
and microseconds on a column of seconds compare as the real numbers they are.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from lance_fmt.constants import TypeId
from lance_fmt.datatype import DataType
from lance_fmt.errors import SchemaError

Number = Fraction | float
"""An exact number; as a float only NaN and the infinities."""

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "D": 86400 * 10**9}
_ATTOSECONDS = {
    "W": 604800 * 10**18, "D": 86400 * 10**18, "h": 3600 * 10**18, "m": 60 * 10**18, "s": 10**18,
    "ms": 10**15, "us": 10**12, "ns": 10**9, "ps": 10**6, "fs": 10**3, "as": 1,
}  # fmt: skip
_EPOCH = dt.datetime(1970, 1, 1)


def misfit(column: str, value: object, kind: DataType, why: str = "") -> SchemaError:
    """The error for a literal that a column of the type cannot be compared with; the caller raises it."""
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return SchemaError(f"column {column!r} ({kind}) cannot be compared with {shown}{why and ': ' + why}")


def as_text(column: str, value: object, kind: DataType) -> bytes:
    """Bytes of a literal for a column of strings or binary."""
    if kind.id is TypeId.STRING:
        if isinstance(value, str):
            try:
                return value.encode("utf-8")
            except UnicodeEncodeError:
                raise misfit(column, value, kind, "a lone surrogate has no UTF-8") from None
        raise misfit(column, value, kind, "it takes a str")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise misfit(column, value, kind, "it takes bytes")


def as_number(column: str, value: Any, kind: DataType) -> Number:
    """The exact number of a literal for a column of bools, numbers, decimals or times."""
    if kind.is_time:
        return _time(column, value, kind)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) != (kind.id is TypeId.BOOL):
        raise misfit(column, value, kind, "True and False go with bool columns, and only they do")
    if isinstance(value, float) and not math.isfinite(value):
        return value
    if isinstance(value, Decimal) and not value.is_finite():
        raise misfit(column, value, kind, "not a finite number")
    if isinstance(value, Decimal) and abs(value.adjusted()) > 10_000:
        raise misfit(column, value, kind, "out of range")
    if isinstance(value, int | float | Fraction | Decimal):
        return Fraction(value) * (10**kind.scale if kind.is_decimal else 1)
    raise misfit(column, value, kind, "it takes a number")


def _time(column: str, value: Any, kind: DataType) -> Fraction:
    if isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64):
        return Fraction(int(value))
    if isinstance(value, str):
        value = _parse(column, value, kind)
    if isinstance(value, np.generic | dt.date | dt.timedelta) and value != value:  # noqa: PLR0124 (NaT)
        raise misfit(column, value, kind, "test for nulls with is_null()")
    nanoseconds = _since(column, value, kind)
    if nanoseconds is None:
        raise misfit(column, value, kind, "it takes a time of that kind, or a count of the unit as an int")
    return nanoseconds / _NANOSECONDS[kind.time_unit]


def _parse(column: str, text: str, kind: DataType) -> object:
    try:
        if kind.id is TypeId.TIMESTAMP:
            return dt.datetime.fromisoformat(text)
        if kind.id is TypeId.DATE:
            return dt.date.fromisoformat(text)
        if kind.id is TypeId.TIME:
            return dt.time.fromisoformat(text)
    except ValueError:
        raise misfit(column, text, kind, "not an ISO 8601 time") from None
    raise misfit(column, text, kind, "it takes a timedelta")


def _since(column: str, value: Any, kind: DataType) -> Fraction | None:
    """Nanoseconds since the type's zero; None where the value is of another kind."""
    dated = kind.id in (TypeId.TIMESTAMP, TypeId.DATE)
    if isinstance(value, np.datetime64 if dated else np.timedelta64):
        return _numpy(column, value, kind)
    if kind.id is TypeId.TIMESTAMP and isinstance(value, dt.date):
        moment = value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
        if (moment.tzinfo is None) != (kind.tz is None):
            which = "without a zone" if moment.tzinfo is None else "with a zone"
            wants = "none" if kind.tz is None else "one, such as tzinfo=datetime.UTC"
            raise misfit(column, value, kind, f"a time {which}, the column has {wants}")
        offset = moment.utcoffset() or dt.timedelta(0)
        since = _nanoseconds(moment.replace(tzinfo=None) - _EPOCH) - _nanoseconds(offset)
        return Fraction(since + int(getattr(value, "nanosecond", 0)))
    if kind.id is TypeId.DATE and isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return Fraction((value - _EPOCH.date()).days * _NANOSECONDS["D"])
    if kind.id is TypeId.TIME and isinstance(value, dt.time) and value.tzinfo is None:
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return Fraction(seconds * 10**9 + value.microsecond * 1000)
    if not dated and isinstance(value, dt.timedelta):
        return Fraction(_nanoseconds(value) + int(getattr(value, "nanoseconds", 0)))
    return None


def _nanoseconds(length: dt.timedelta) -> int:
    return ((length.days * 86400 + length.seconds) * 10**6 + length.microseconds) * 1000


def _numpy(column: str, value: Any, kind: DataType) -> Fraction:
    unit, count = np.datetime_data(value.dtype)
    if unit in ("Y", "M") and isinstance(value, np.datetime64):
        value, unit, count = value.astype("M8[D]"), "D", 1
    if unit not in _ATTOSECONDS:
        raise misfit(column, value, kind, "months and years have no fixed length")
    return Fraction(int(value.astype(np.int64)) * count * _ATTOSECONDS[unit], 10**9)


def float_at_most(number: Number) -> float:
    """The largest float64 that is not above `number` (not NaN)."""
    found = _near(number)
    return math.nextafter(found, -math.inf) if found > number else found


def float_at_least(number: Number) -> float:
    """The smallest float64 that is not below `number` (not NaN)."""
    found = _near(number)
    return math.nextafter(found, math.inf) if found < number else found


def _near(number: Number) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
