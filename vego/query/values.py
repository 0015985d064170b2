"""The values filters compare: their kinds, their exact comparison, and the normal form of a literal.

Every value is (kind, canonical value). Values of different kinds are never equal and never ordered: `==`
and the order comparisons are false between them, `!=` is true. A boolean is no number; int and float
compare as the exact numbers they are; a time is nanoseconds since 1970 UTC (a naive datetime or a date
counts as UTC). One conversion exists: a text literal that reads as ISO 8601 compares with a stored time
as that time. Both `matches` and `evaluate` stand on this file.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np

from vego.errors import FilterError

Literal: TypeAlias = "bool | int | float | str | bytes | dt.datetime | dt.date"
"""What a filter may compare with. `None` is no literal: it spells the null tests."""

MAX_INTEGER_BITS = 1024

NAN = math.nan
"""The one object that stands for NaN in a `Key`, so that dictionaries find it by identity."""

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_NO_VALUE = "a filter compares with a value, found {}; test for missing values with `is null`"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class Kind(IntEnum):
    """Values compare only within a kind."""

    BOOL = 1
    NUMBER = 2
    STRING = 3
    BYTES = 4
    TIME = 5
    OTHER = 6


Key: TypeAlias = tuple[Kind, Any]
"""A value in canonical form: equal values have equal keys. That of an OTHER is None: no literal equals it."""

_OTHER: Key = (Kind.OTHER, None)


def key_of(value: object) -> Key | None:
    """Return the key of a stored value; None where it is missing (None, NaT)."""
    make = _KEY_BY_TYPE.get(type(value))
    return make(value) if make is not None else _key_of_subclass(value)


def _time_key(value: dt.datetime) -> Key | None:
    if _is_nat(value):
        return None
    return Kind.TIME, _nanoseconds(value)


def _is_nat(value: dt.datetime) -> bool:
    return bool(value != value)  # noqa: PLR0124 - pandas.NaT, a datetime by class, equals nothing


def _float_key(value: float) -> Key:
    return Kind.NUMBER, NAN if math.isnan(value) else value


def _date_key(value: dt.date) -> Key:
    return Kind.TIME, (value.toordinal() - _EPOCH.toordinal()) * 86_400_000_000_000


_KEY_BY_TYPE: Mapping[type, Callable[[Any], Key | None]] = {
    type(None): lambda _: None,
    bool: lambda value: (Kind.BOOL, value),
    int: lambda value: (Kind.NUMBER, value),
    float: _float_key,
    str: lambda value: (Kind.STRING, value),
    bytes: lambda value: (Kind.BYTES, value),
    dt.datetime: _time_key,
    dt.date: _date_key,
    list: lambda _: _OTHER,
    dict: lambda _: _OTHER,
    tuple: lambda _: _OTHER,
}


_KIND_AS_IT_IS = {bool: Kind.BOOL, int: Kind.NUMBER, float: Kind.NUMBER, str: Kind.STRING, bytes: Kind.BYTES}
"""Kinds of the literals that are their own canonical value; no literal is NaN."""


def _key_of_subclass(value: object) -> Key | None:
    key: Key | None = _OTHER
    if isinstance(value, np.datetime64):
        key = None if np.isnat(value) else (Kind.TIME, _datetime64_nanoseconds(value))
    elif isinstance(value, np.bool_):
        key = Kind.BOOL, bool(value)
    elif isinstance(value, np.timedelta64):  # a subclass of np.integer
        pass
    elif isinstance(value, int | np.integer):
        key = Kind.NUMBER, int(value)
    elif isinstance(value, float | np.floating):
        key = _float_key(float(value))
    elif isinstance(value, str):
        key = Kind.STRING, str.__str__(value)
    elif isinstance(value, bytes | bytearray | memoryview):
        key = Kind.BYTES, bytes(value)
    elif isinstance(value, dt.datetime):
        key = _time_key(value)
    elif isinstance(value, dt.date):
        key = _date_key(value)
    return key


def _nanoseconds(value: dt.datetime) -> int:
    aware = value if value.utcoffset() is not None else value.replace(tzinfo=dt.UTC)
    return int((aware - _EPOCH) // _MICROSECOND) * 1000


def _datetime64_nanoseconds(value: np.datetime64) -> int:
    unit, _ = np.datetime_data(value.dtype)
    if unit == "ns":
        return int(value.astype("datetime64[ns]").astype(np.int64))
    return int(value.astype("datetime64[us]").astype(np.int64)) * 1000


def as_literal(value: object) -> Literal:
    """Return `value` as the plain Python value a filter holds: NumPy scalars unwrapped, datetimes in UTC.

    Raises FilterError for None, NaN, lone surrogates, integers beyond 1,024 bits, and other types.
    """
    if (
        (type(value) is int and value.bit_length() <= MAX_INTEGER_BITS)
        or (type(value) is str and value.isascii())
        or type(value) is bool
    ):  # most are what they are to be already
        return value
    if isinstance(value, np.datetime64):
        return _literal_datetime64(value)
    if isinstance(value, dt.datetime):
        return _utc(value)
    if isinstance(value, dt.date):
        return dt.date(value.year, value.month, value.day)
    key = key_of(value)
    if key is None:
        raise FilterError(
            "a filter compares with a value, found None; test for missing values with `is null`"
        )
    kind, plain = key
    if kind is Kind.OTHER:
        raise FilterError(
            f"a filter cannot compare with {type(value).__name__} {_short(value)}; "
            "use a bool, int, float, str, bytes, datetime or date, or is_in([...]) for several values"
        )
    if kind is Kind.NUMBER:
        _check_number(plain)
    if kind is Kind.STRING:
        _check_text(plain)
    return plain  # type: ignore[no-any-return]


def _literal_datetime64(value: np.datetime64) -> dt.datetime:
    if np.isnat(value):
        raise FilterError(_NO_VALUE.format("NaT"))
    microseconds = value.astype("datetime64[us]")
    plain = microseconds.item()
    if not isinstance(plain, dt.datetime) or microseconds != value:
        raise FilterError(f"{value!r} is no datetime of whole microseconds between the years 1 and 9999")
    return plain.replace(tzinfo=dt.UTC)


def _utc(value: dt.datetime) -> dt.datetime:
    if _is_nat(value):
        raise FilterError(_NO_VALUE.format("NaT"))
    if value.utcoffset() is None:
        plain = value.replace(tzinfo=dt.UTC)
    else:
        try:
            plain = value.astimezone(dt.UTC)
        except OverflowError as error:
            raise FilterError(f"{value!r} lies outside the years 1 to 9999 in UTC") from error
    return dt.datetime.combine(plain.date(), plain.timetz())


def _check_number(value: int | float) -> None:
    if isinstance(value, float) and math.isnan(value):
        raise FilterError("a filter cannot compare with NaN: it equals nothing, not even itself")
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise FilterError(
            f"an integer of {value.bit_length():,} bits; a filter takes {MAX_INTEGER_BITS:,} at most"
        )


def _check_text(value: str) -> None:
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise FilterError(f"text {_short(value)} holds a lone surrogate, which UTF-8 cannot store")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def counterpart(literal: Literal, kind: Kind) -> Any:
    """Return the canonical value that values of `kind` are compared with; None if there is none."""
    if _KIND_AS_IT_IS.get(type(literal)) is kind:
        return literal
    key = key_of(literal)
    if key is not None and key[0] is kind:
        return key[1]
    if kind is Kind.TIME and isinstance(literal, str):
        try:
            return _nanoseconds(dt.datetime.fromisoformat(literal))
        except ValueError:
            return None
    return None


def compare(op: str, key: Key, literal: Literal) -> bool:
    """Compare a present value with a literal; `op` is a key of `COMPARISONS`."""
    kind, value = key
    other = counterpart(literal, kind)
    return op == "!=" if other is None else COMPARISONS[op](value, other)
