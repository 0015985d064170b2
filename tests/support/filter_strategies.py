"""Hypothesis strategies for filters and metadata, with values that often meet or lie side by side."""

from __future__ import annotations

import datetime as dt

import numpy as np
from hypothesis import strategies as st

from vego.query import And, Compare, Expr, In, IsNull, Not, Or

FIELDS = ("a", "b.c", "not", "two words", "zeit`raum", "größe")
any_field = st.sampled_from(FIELDS)
OPS = ("==", "!=", "<", "<=", ">", ">=")

_OFFSETS = st.sampled_from([-11, -5, 0, 2, 13]).map(lambda hours: dt.timezone(dt.timedelta(hours=hours)))
_MOMENTS = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))

booleans = st.booleans()
small_integers = st.integers(-3, 3)
integers = st.one_of(
    small_integers,
    st.integers(),
    st.builds(
        lambda base, step: base + step,
        st.sampled_from([2**53, -(2**53), 2**63, -(2**63), 2**64]),
        small_integers,
    ),
)
floats = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1.0, 0.5, 1.5, -2.5, 2.0**53, 2.0**63, -(2.0**63), 1e300, float("inf"), float("-inf")]
    ),
    st.floats(allow_nan=False),
)
texts = st.one_of(
    st.sampled_from(
        [
            "",
            "a",
            "b",
            "A",
            "'",
            '"',
            "\\",
            "\n",
            "1",
            "2024-01-01",
            "2024-01-01T00:00:00+00:00",
            "\U0001f40d",
        ]
    ),
    st.text(max_size=6),
)
binaries = st.one_of(st.sampled_from([b"", b"a", b"b"]), st.binary(max_size=4))
times = st.one_of(
    st.sampled_from(
        [
            dt.datetime(2024, 1, 1),
            dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
            dt.datetime(2024, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
            dt.date(2024, 1, 1),
        ]
    ),
    _MOMENTS,
    st.builds(lambda moment, zone: moment.replace(tzinfo=zone), _MOMENTS, _OFFSETS),
    st.dates(),
)
literals = st.one_of(booleans, integers, floats, texts, binaries, times)

nanoseconds = st.integers(-(2**62), 2**62).map(lambda count: np.datetime64(count, "ns"))
others = st.sampled_from([[], [1], {"a": 1}, {}, (1, 2)])
numpy_scalars = st.sampled_from([np.int8(1), np.uint64(2**63), np.float32(0.5), np.bool_(True), np.str_("a")])
missing = st.sampled_from([None, np.datetime64("NaT")])
anything = st.one_of(literals, st.none(), st.just(float("nan")), others, numpy_scalars, nanoseconds, missing)

VALUES_OF_A_COLUMN = st.sampled_from(
    [
        booleans,
        small_integers,
        integers.filter(lambda value: -(2**63) <= value < 2**63),
        integers,
        st.one_of(floats, st.just(float("nan"))),
        st.one_of(small_integers, floats),
        st.one_of(integers, floats, st.just(float("nan"))),
        texts,
        binaries,
        times,
        st.one_of(times, nanoseconds),
        others,
        anything,
    ]
)
"""Strategies for the values of one column, uniform ones among them."""


def columns(rows: int) -> st.SearchStrategy[list[object]]:
    """One field of `rows` documents, usually of one type, often with missing values."""
    return VALUES_OF_A_COLUMN.flatmap(
        lambda values: st.lists(st.one_of(values, values, st.none()), min_size=rows, max_size=rows)
    )


def leaves(fields: st.SearchStrategy[str] = any_field) -> st.SearchStrategy[Expr]:
    return st.one_of(
        st.builds(Compare, fields, st.sampled_from(OPS), literals),
        st.builds(Compare, fields, st.sampled_from(OPS), literals),
        st.builds(In, fields, st.lists(literals, max_size=8).map(tuple)),
        st.builds(IsNull, fields),
    )


def expressions(fields: st.SearchStrategy[str] = any_field) -> st.SearchStrategy[Expr]:
    return st.recursive(
        leaves(fields),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.lists(inner, min_size=2, max_size=4).map(lambda exprs: And(tuple(exprs))),
            st.lists(inner, min_size=2, max_size=4).map(lambda exprs: Or(tuple(exprs))),
        ),
        max_leaves=12,
    )
