"""Timestamps, dates, times of day and durations: Python's objects to counts of a unit and back.

What Python's objects cannot hold stays a number: a NumPy scalar of the unit, or an int for a time of day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

import numpy as np

from lance_fmt.constants import TypeId
from lance_fmt.datatype import DataType
from lance_fmt.errors import InvalidDataError
from lance_fmt.misfit import misfit

Array = np.ndarray[Any, Any]

_EPOCH = datetime(1970, 1, 1)
_FIRST_DAY = date(1970, 1, 1)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86400
_FINENESS = ("generic", "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
NO_COUNT = "finer than its unit, of no fixed length, or out of range"
_MAY_BE_MISSING = (date, timedelta, float, np.generic)


def without_nat(values: Sequence[Any]) -> list[Any]:
    """NaT, the missing time of NumPy and pandas (which equals not even itself), made None."""
    return [None if isinstance(v, _MAY_BE_MISSING) and v != v else v for v in values]  # noqa: PLR0124


def from_times(values: Sequence[Any], data_type: DataType) -> Array:
    """Counts of the type's unit, `(n,)` of its dtype, for Python and NumPy times, ints, and None (0)."""
    count = {
        TypeId.TIMESTAMP: to_ticks,
        TypeId.DATE: _days,
        TypeId.TIME: _since_midnight,
        TypeId.DURATION: _length,
    }[data_type.id]
    low, high = limits(data_type)
    ticks = [0 if v is None else count(v, data_type, row) for row, v in enumerate(values)]
    if ticks and not (low <= min(ticks) and max(ticks) <= high):
        row = next(i for i, t in enumerate(ticks) if not low <= t <= high)
        raise misfit(row, values[row], data_type, "out of range")
    return np.array(ticks, data_type.dtype)


def limits(data_type: DataType) -> tuple[int, int]:
    """Smallest and largest count of a type; the smallest int64 is NumPy's NaT."""
    if data_type.id is TypeId.TIME:
        return 0, _DAY * _PER_SECOND[data_type.time_unit] - 1
    held = np.iinfo(np.int32 if data_type.id is TypeId.DATE else np.int64)
    return int(held.min) + (data_type.id is not TypeId.DATE), int(held.max)


def check_range(ticks: Array, data_type: DataType, validity: Array | None) -> None:
    """Raise InvalidDataError unless all valid counts are within the type's limits."""
    low, high = limits(data_type)
    wrong = (ticks < low) | (ticks > high)
    if validity is not None:
        wrong &= validity
    if wrong.any():
        row = int(wrong.argmax())
        raise misfit(row, int(ticks[row]), data_type, f"not in {low}..{high}")


def to_ticks(value: object, data_type: DataType, row: int = 0) -> int:
    """Count of the type's unit since the epoch: of a datetime, a NumPy datetime64, or a plain int."""
    if isinstance(value, np.datetime64):
        return _counted(value, data_type, row)
    if isinstance(value, datetime):
        if (value.tzinfo is None) != (data_type.tz is None):
            which = "naive" if value.tzinfo is None else "zoned"
            raise misfit(row, value, data_type, f"a {which} time")
        since = (value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value) - _EPOCH
        return _in_unit(since, value, data_type, row)
    return _plain(value, data_type, row)


def _days(value: object, data_type: DataType, row: int) -> int:
    if isinstance(value, np.datetime64):
        return _counted(value, data_type, row)
    if isinstance(value, datetime):
        raise misfit(row, value, data_type, "a date and time")
    return (value - _FIRST_DAY).days if isinstance(value, date) else _plain(value, data_type, row)


def _since_midnight(value: object, data_type: DataType, row: int) -> int:
    if not isinstance(value, time):
        return _length(value, data_type, row)
    if value.tzinfo is not None:
        raise misfit(row, value, data_type, "a zoned time")
    since = timedelta(0, value.second, value.microsecond, 0, value.minute, value.hour)
    return _in_unit(since, value, data_type, row)


def _length(value: object, data_type: DataType, row: int) -> int:
    if isinstance(value, np.timedelta64):
        return _counted(value, data_type, row)
    if isinstance(value, timedelta):
        return _in_unit(value, value, data_type, row)
    return _plain(value, data_type, row)


def recount(ticks: Any, data_type: DataType) -> tuple[Any, Any]:
    """Counts of the type's unit in a NumPy time or an array of them, and which are right.

    Wrong are those out of range (NumPy wraps around) and, except for timestamps, finer than the unit.
    """
    source = np.datetime_data(ticks.dtype)[0]
    counts = ticks.astype(f"{ticks.dtype.kind}8[{data_type.time_unit}]")
    right = counts.astype(ticks.dtype) == ticks
    if ticks.dtype.kind == "m" and source in ("Y", "M"):  # of no fixed length
        right = np.zeros_like(right)
    if data_type.id is TypeId.TIMESTAMP and _FINENESS.index(source) > _FINENESS.index(data_type.time_unit):
        right = np.ones_like(right)
    return counts.astype(np.int64), right


def _counted(value: Any, data_type: DataType, row: int) -> int:
    count, right = recount(value, data_type)
    if not right:
        raise misfit(row, value, data_type, NO_COUNT)
    return int(count)


def _in_unit(since: timedelta, value: object, data_type: DataType, row: int) -> int:
    micros = (since.days * _DAY + since.seconds) * 10**6 + since.microseconds
    nanos = micros * 1000 + int(getattr(since, "nanoseconds", 0))  # pandas' timedelta goes down to those
    ticks, lost = divmod(nanos * _PER_SECOND[data_type.time_unit], 10**9)
    if lost:
        raise misfit(row, value, data_type, f"finer than one {data_type.time_unit}")
    return ticks


def _plain(value: object, data_type: DataType, row: int) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool | np.timedelta64):
        raise misfit(row, value, data_type)
    return int(value)


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The time zone of that name: "UTC", an offset such as "+02:00", or an IANA name."""
    if name in ("UTC", "Z"):
        return UTC
    if name[:1] in "+-" and len(name) == 6 and name[3] == ":" and (name[1:3] + name[4:]).isdecimal():
        minutes = int(name[1:3]) * 60 + int(name[4:])
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if name[0] == "-" else minutes))
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidDataError(
            f"time zone {name!r} is neither an offset like +02:00 nor known here"
        ) from None


def as_numpy(ticks: Array, data_type: DataType) -> Array:
    """Counts as datetime64, or as timedelta64 for durations and times of day (since midnight)."""
    letter = "m" if data_type.id in (TypeId.TIME, TypeId.DURATION) else "M"
    return np.asarray(ticks, np.int64).view(f"{letter}8[{data_type.time_unit}]")


def to_times(ticks: Array, data_type: DataType) -> list[Any]:
    """Python's objects for counts of the type's unit."""
    if data_type.id is TypeId.TIME:
        return _times_of_day(ticks, data_type)
    times = as_numpy(ticks, data_type)
    if data_type.time_unit == "ns":
        return list(times)
    # NumPy gives an int, or None, where Python's type does not reach; those stay NumPy's.
    rows = [t if isinstance(t, date | timedelta) else times[i] for i, t in enumerate(times.tolist())]
    if data_type.tz is None:
        return rows
    place = zone(data_type.tz)
    return [_zoned(t, place) for t in rows]


def _times_of_day(ticks: Array, data_type: DataType) -> list[Any]:
    if data_type.time_unit == "ns":
        return list(ticks.tolist())
    last = limits(data_type)[1]
    step = 10**6 // _PER_SECOND[data_type.time_unit]
    return [
        (_EPOCH + timedelta(microseconds=t * step)).time() if 0 <= t <= last else t for t in ticks.tolist()
    ]


def _zoned(moment: Any, place: tzinfo) -> Any:
    if not isinstance(moment, datetime):
        return moment
    try:
        return moment.replace(tzinfo=UTC).astimezone(place)
    except OverflowError:
        return moment.replace(tzinfo=UTC)
