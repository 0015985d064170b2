"""Pruning never skips a zone with a row that is returned, nor takes one whole with a row that is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.filter import Expression, Zones, bind, evaluate_columns, field, prune
from tests.support.format_filter_strategies import SCHEMA, columns_of, expressions, rows

MODES = ["exact", "wide", "unknown", "prefix"]


def zones_of(name: str, tables: list[list[dict[str, Any]]], mode: str) -> Zones:
    kind, text = SCHEMA[name].type, name in ("s", "y")
    sort = np.uint64 if text and mode == "prefix" else object
    if not text and name != "d":
        sort = np.float64 if name[0] in "fh" else np.int64 if name == "t" or name[0] == "i" else np.uint64
    n = len(tables)
    low, high = np.zeros(n, sort), np.zeros(n, sort)
    rows_, nulls, nans = (np.zeros(n, np.int64) for _ in range(3))
    known = np.zeros(n, np.bool_)
    for i, table in enumerate(tables):
        column = columns_of(table, (name,))[name]
        values: list[Any] = column.to_pylist()
        rows_[i], nulls[i] = len(values), column.null_count
        if text:
            values = [v.encode() if isinstance(v, str) else v for v in values if v is not None]
        elif name == "t":
            values = column.array[[v is not None for v in values]].tolist() if values else []
        else:
            values = [int(v * 100) if name == "d" else v for v in values if v is not None]
        nans[i] = sum(isinstance(v, float) and math.isnan(v) for v in values)
        values = [v for v in values if v == v]
        known[i] = bool(values) and (mode != "unknown" or i % 2 == 0)
        if known[i]:
            low[i], high[i] = bounds_of(values, kind.is_float or kind.is_bfloat16, mode, sort)
    return Zones(
        rows_, nulls, None if mode == "wide" else nans, known, low, high, prefix=text and mode == "prefix"
    )


def bounds_of(values: list[Any], floating: bool, mode: str, sort: Any) -> tuple[Any, Any]:
    low, high = min(values), max(values)
    if isinstance(low, bytes):
        if mode == "prefix":
            return tuple(int.from_bytes(v[:8].ljust(8, b"\0"), "big") for v in (low, high))  # type: ignore[return-value]
        return (low[:2], high[:2] + b"\xff" * 80) if mode == "wide" else (low, high)
    if mode == "wide":
        if floating:
            return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
        least, most = (-(2**100), 2**100) if sort is object else (np.iinfo(sort).min, np.iinfo(sort).max)
        return max(least, low - 1), min(most, high + 1)
    return low, high


@given(expressions(), st.sampled_from(MODES), st.data())
def test_only_what_is_proven(expression: Expression, mode: str, data: st.DataObject) -> None:
    tables = data.draw(st.lists(rows(expression.columns(), 3), min_size=1, max_size=5))
    bound = bind(expression, SCHEMA)
    zones = {name: zones_of(name, tables, mode) for name in bound.columns}
    may, every = prune(bound, zones, len(tables))
    assert may.dtype == every.dtype == np.bool_
    assert may.shape == every.shape == (len(tables),)
    for i, table in enumerate(tables):
        found = evaluate_columns(bound, columns_of(table, bound.columns))
        assert may[i] or not found.any()
        assert not every[i] or found.all()


def numbers(lows: list[int], highs: list[int], nulls: list[int]) -> dict[str, Zones]:
    n = len(lows)
    known = np.ones(n, np.bool_)
    return {"i64": Zones(np.full(n, 10), np.array(nulls), None, known, np.array(lows), np.array(highs))}


def test_bounds_prove_both_ways() -> None:
    zones = numbers([0, 5, 10, 10], [4, 10, 20, 20], [0, 0, 0, 1])
    may, every = prune(bind(field("i64") >= 10, SCHEMA), zones, 4)
    assert (may.tolist(), every.tolist()) == ([False, True, True, True], [False, False, True, False])
    may, every = prune(bind(~(field("i64") >= 10), SCHEMA), zones, 4)
    assert (may.tolist(), every.tolist()) == ([True, True, False, False], [True, False, False, False])
    assert prune(bind(field("i64").isin([7, 30]), SCHEMA), zones, 4)[0].tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert prune(bind(field("i64") > 2**64, SCHEMA), zones, 4)[0].tolist() == [False] * 4


def test_missing_statistics_prove_nothing() -> None:
    may, every = prune(bind(field("i64") > 2**70, SCHEMA), {}, 3)
    assert may.all() and not every.any()


def test_prefixes_prune_strings() -> None:
    lows, highs = (np.array([int.from_bytes(t, "big") for t in ts], np.uint64) for ts in (
        [b"aaaaaaaa", b"abc\0\0\0\0\0", b"abd\0\0\0\0\0"], [b"abbzzzzz", b"abczzzzz", b"b\0\0\0\0\0\0\0"]))  # fmt: skip
    n = np.zeros(3, np.int64)
    zones = {"s": Zones(n + 5, n, None, np.ones(3, np.bool_), lows, highs, prefix=True)}
    may, every = prune(bind(field("s").startswith("abc"), SCHEMA), zones, 3)
    assert (may.tolist(), every.tolist()) == ([False, True, False], [False, True, False])


def test_padding_of_prefixes_proves_nothing() -> None:
    n = np.zeros(1, np.int64)
    bound = np.array([int.from_bytes(b"ab\0\0\0\0\0\0", "big")], np.uint64)
    zones = {"s": Zones(n + 1, n, None, np.ones(1, np.bool_), bound, bound, prefix=True)}
    assert prune(bind(field("s") < "ab\0", SCHEMA), zones, 1)[0].all()
    assert not prune(bind(field("s") >= "ab\0", SCHEMA), zones, 1)[1].any()
