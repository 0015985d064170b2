"""Columns and filters over them, with values where comparisons go wrong."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st

from lance_fmt import schema as types
from lance_fmt.column import Column
from lance_fmt.filter import And, Compare, Expression, IsIn, IsNan, IsNull, Match, Not, Or
from lance_fmt.schema import Field, Schema

LONG = "ab" * 40
TEXTS = [
    "",
    "a",
    "ab",
    "abc",
    "a\0",
    "ab\0\0",
    "abcdefgh",
    "abcdefgh\0",
    "abcdefghi",
    "é",
    "日本",
    "\U0010ffff",
    LONG,
    LONG + "c",
    LONG + "é",
]
FLOATS = [
    0.0,
    -0.0,
    1.5,
    0.1,
    -2.25,
    math.inf,
    -math.inf,
    math.nan,
    5e-324,
    65504.0,
    float(2**53),
    1e300,
    -1e300,
]
SCHEMA = Schema(
    [
        Field("i8", types.int8()), Field("u64", types.uint64()), Field("i64", types.int64()), Field("b", types.bool_()),
        Field("f32", types.float32()), Field("f64", types.float64()), Field("s", types.string()),
        Field("y", types.binary()), Field("t", types.timestamp("us")), Field("d", types.decimal(30, 2)),
        Field("h", types.bfloat16()),
    ]
)  # fmt: skip
MOMENTS = [
    dt.datetime(1970, 1, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
    dt.datetime(2024, 2, 29, 1, 2, 3, 4),
]
INTEGERS = [
    0,
    1,
    -1,
    2,
    3,
    127,
    -128,
    128,
    255,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**70),
]
NUMBERS: list[Any] = [*INTEGERS, *FLOATS, 2.5, -0.5, Decimal("0.1"), Decimal("1.25")]


def within(low: int, high: int) -> list[int]:
    return [i for i in INTEGERS if low <= i <= high]


VALUES: dict[str, list[Any]] = {
    "i8": within(-128, 127), "u64": within(0, 2**64 - 1), "i64": within(-(2**63), 2**63 - 1), "b": [True, False],
    "f32": [float(np.float32(f)) for f in FLOATS if not 1e40 < abs(f) < math.inf], "f64": FLOATS, "s": TEXTS,
    "y": [t.encode() for t in TEXTS] + [b"\xff", b"\xff\xff", b"a\xff"], "t": MOMENTS,
    "d": [Decimal(0), Decimal("0.10"), Decimal("-1.25"), Decimal(2**64), Decimal(-(2**64)) + Decimal("0.01")],
    "h": [0.0, -0.0, 1.5, -2.25, math.inf, -math.inf, math.nan],
}  # fmt: skip


def literals_of(name: str) -> st.SearchStrategy[Any]:
    own = st.sampled_from(VALUES[name])
    if name in ("b", "s", "y", "t"):
        return own
    if name == "d":
        return st.sampled_from([*VALUES["d"], *INTEGERS, 0.125, 2**200])
    return st.sampled_from([*NUMBERS, *VALUES[name]])


@st.composite
def conditions(draw: st.DrawFn) -> Expression:
    name = draw(st.sampled_from(SCHEMA.names))
    kinds = (
        ["compare", "compare", "in", "null"]
        + (["nan"] * (name[0] in "fh"))
        + (["match"] * 3 * (name in "sy"))
    )
    kind = draw(st.sampled_from(kinds))
    if kind == "compare":
        return Compare(
            name, draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">="])), draw(literals_of(name))
        )
    if kind == "in":
        return IsIn(name, tuple(draw(st.lists(literals_of(name), max_size=4))))
    if kind == "match":
        return Match(name, draw(st.sampled_from(["prefix", "suffix", "contains"])), draw(literals_of(name)))
    return IsNan(name) if kind == "nan" else IsNull(name)


def expressions() -> st.SearchStrategy[Expression]:
    def joined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.one_of(parts.map(And), parts.map(Or), inner.map(Not))

    return st.recursive(conditions(), joined, max_leaves=6)


@st.composite
def rows(draw: st.DrawFn, names: tuple[str, ...], max_size: int = 12) -> list[dict[str, Any]]:
    row = st.fixed_dictionaries(
        {n: st.one_of(st.none(), st.sampled_from(v)) for n, v in VALUES.items() if n in names}
    )
    return draw(st.lists(row, max_size=max_size))


def columns_of(table: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, Column]:
    return {
        f.name: Column.from_pylist([row[f.name] for row in table], f.type) for f in SCHEMA if f.name in names
    }
