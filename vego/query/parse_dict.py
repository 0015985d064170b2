"""The dict spelling of filters, as MongoDB and Chroma write them: `{"year": {"$gte": 2020}, "author":
"Alice"}`.

Entries of one dict must all hold. Where a value is missing the three-valued logic of this package holds,
not MongoDB's: `{"x": {"$ne": 1}}` does not match documents without `x`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vego.errors import FilterError, FilterSyntaxError
from vego.query.expr import MAX_DEPTH, MAX_NODES, Compare, Expr, In, IsNull, Not, all_of, any_of

_COMPARISONS = {"$eq": "==", "$ne": "!=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_FIELD_OPERATORS = (*_COMPARISONS, "$in", "$nin", "$exists", "$not")
_LOGICAL_OPERATORS = ("$and", "$or", "$nor", "$not")
_DICTS = (dict, Mapping)  # what most are is looked for first

_Path = tuple[Any, ...]
"""The keys that lead to a part of the filter, outermost first; they become text in an error only."""


def parse_dict(spelled: Mapping[str, Any]) -> Expr | None:
    """Return the filter the dict spells, None if it is empty. Raises FilterSyntaxError with the path."""
    return _document(spelled, (), 1) if spelled else None


def _document(spelled: object, path: _Path, depth: int) -> Expr:
    if not isinstance(spelled, _DICTS) or not spelled:
        raise _error(path, f"expected a dict of conditions, found {_short(spelled)}")
    _check_size(spelled, path, depth)
    exprs = [_entry(key, value, (*path, key), depth) for key, value in spelled.items()]
    return exprs[0] if len(exprs) == 1 else _built(path, all_of, exprs)


def _entry(key: object, value: Any, path: _Path, depth: int) -> Expr:
    if not isinstance(key, str) or not key:
        raise _error(path, f"expected a field name or an operator, found {_short(key)}")
    if key == "$not":
        return _built(path, Not, _document(value, path, depth + 1))
    if key in ("$and", "$or", "$nor"):
        return _logical(key, value, path, depth)
    if not key.startswith("$"):
        return _condition(key, value, path, depth)
    if key in _FIELD_OPERATORS:
        raise _error(path, f"{key} belongs within a field: {{'field': {{{key!r}: ...}}}}")
    raise _unknown_operator(key, path, _LOGICAL_OPERATORS)


def _logical(key: str, value: object, path: _Path, depth: int) -> Expr:
    if not isinstance(value, list | tuple) or not value:
        raise _error(path, f"{key} takes a list of dicts, one at least, found {_short(value)}")
    _check_size(value, path, depth)
    exprs = [_document(item, (*path, position), depth + 1) for position, item in enumerate(value)]
    if key == "$and":
        return _built(path, all_of, exprs)
    expr = _built(path, any_of, exprs)
    return _built(path, Not, expr) if key == "$nor" else expr


def _condition(field: str, value: Any, path: _Path, depth: int) -> Expr:
    if not isinstance(value, _DICTS):
        return _equal(field, value, path)
    if not value:
        raise _error(path, "an empty dict tests nothing; give an operator such as {'$eq': 1}")
    _check_size(value, path, depth)
    exprs = [_test(field, operator, operand, (*path, operator), depth) for operator, operand in value.items()]
    return exprs[0] if len(exprs) == 1 else _built(path, all_of, exprs)


def _test(field: str, operator: object, operand: Any, path: _Path, depth: int) -> Expr:
    if not isinstance(operator, str) or not operator.startswith("$"):
        raise _error(
            path, f"a field cannot be compared with a dict; expected an operator, found {_short(operator)}"
        )
    if operator == "$eq":
        return _equal(field, operand, path)
    if operator == "$ne" and operand is None:
        return _built(path, Not, IsNull(field))
    if operator in _COMPARISONS:
        return _built(path, Compare, field, _COMPARISONS[operator], operand)
    if operator in ("$in", "$nin"):
        if isinstance(operand, str | bytes | Mapping) or not isinstance(operand, Iterable):
            raise _error(path, f"{operator} takes a list of values, found {_short(operand)}")
        expr = _built(path, In, field, operand)
        return expr if operator == "$in" else _built(path, Not, expr)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise _error(path, f"$exists takes True or False, found {_short(operand)}")
        return _built(path, Not, IsNull(field)) if operand else IsNull(field)
    if operator == "$not":
        if not isinstance(operand, Mapping):
            raise _error(
                path, f"$not takes a dict of operators, found {_short(operand)}; use $ne for a value"
            )
        return _built(path, Not, _condition(field, operand, path, depth + 1))
    raise _unknown_operator(operator, path, _FIELD_OPERATORS)


def _equal(field: str, value: Any, path: _Path) -> Expr:
    if value is None:
        return IsNull(field)
    if isinstance(value, list | tuple | set | frozenset):
        raise _error(
            path, f"a field cannot be compared with a list; use {{'$in': [...]}}, found {_short(value)}"
        )
    return _built(path, Compare, field, "==", value)


def _built(path: _Path, node: Any, *arguments: Any) -> Expr:
    try:
        return node(*arguments)  # type: ignore[no-any-return]
    except FilterSyntaxError:
        raise
    except FilterError as error:
        raise _error(path, str(error)) from error


def _check_size(spelled: Mapping[str, Any] | Sequence[Any], path: _Path, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FilterSyntaxError(f"the filter is nested more than {MAX_DEPTH} levels deep")
    if len(spelled) > MAX_NODES:
        raise _error(path, f"{len(spelled):,} conditions; {MAX_NODES:,} at most. Use $in for many values")


def _unknown_operator(operator: str, path: _Path, known: tuple[str, ...]) -> FilterSyntaxError:
    close = difflib.get_close_matches(operator.lower(), known, n=1, cutoff=0.7)
    way_out = f"did you mean {close[0]}?" if close else f"the operators here are {' '.join(known)}"
    return _error(path, f"unknown operator {operator[:40]!r}; {way_out}")


def _error(path: _Path, message: str) -> FilterSyntaxError:
    spelled = "filter" + "".join(f"[{key!r}]" for key in path)
    shown = spelled if len(spelled) <= 200 else f"{spelled[:60]}...{spelled[-120:]}"
    return FilterSyntaxError(f"{shown}: {message}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
