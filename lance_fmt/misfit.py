"""The refusal of a Python value that a column's type does not hold."""

from __future__ import annotations

from lance_fmt.datatype import DataType
from lance_fmt.errors import InvalidDataError


class MisfitError(InvalidDataError):
    """A value does not fit; `row` says where, `detail` what and why (the message says both)."""

    row = -1
    detail = ""


def misfit_at(row: int, detail: str) -> MisfitError:
    """The error for the value in `row`; the caller raises it."""
    error = MisfitError(f"row {row}: {detail}")
    error.row, error.detail = row, detail
    return error


def misfit(row: int, value: object, data_type: DataType, why: str = "") -> MisfitError:
    """The error for `value` in `row` of a column of the type; the caller raises it."""
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return misfit_at(row, f"{shown} does not fit {data_type}{why and ': ' + why}")
