"""Random predicates through every engine give the rows that a naive reading of them gives, nulls and NaN included."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import lance_fmt

pa = pytest.importorskip("pyarrow")
pc = pytest.importorskip("pyarrow.compute")

from lance_fmt.interop.arrow_scan import ArrowScan  # noqa: E402

ROWS = 700
KINDS = {
    "i": lance_fmt.int32(),
    "f": lance_fmt.float64(),
    "s": lance_fmt.string(),
    "d": lance_fmt.date(),
    "b": lance_fmt.bool_(),
    "m": lance_fmt.decimal(9, 2),
    "t": lance_fmt.timestamp("us"),
}
START = datetime.date(2020, 1, 1)
VALUES: dict[str, list[Any]] = {
    "i": [-3, -1, 0, 1, 2, 7, 2**31 - 1],
    "f": [-1.5, -0.0, 0.0, 0.25, 2.0, math.inf, -math.inf],
    "s": ["", "a", "ab", "b", "ba", "é", "O'Neil"],
    "d": [START + datetime.timedelta(days) for days in (0, 1, 5, 400)],
    "b": [True, False],
    "m": [Decimal(text) for text in ("-1.25", "0.00", "0.05", "3.00", "1234567.89")],
    "t": [datetime.datetime(2020, 1, day, hour) for day in (1, 2) for hour in (0, 13)],
}
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def make_rows() -> list[dict[str, Any]]:
    random = np.random.default_rng(4)
    rows = []
    for number in range(ROWS):
        row: dict[str, Any] = {"id": number}
        for name, values in VALUES.items():
            known = [*values, None] + ([math.nan] if name == "f" else [])
            row[name] = known[random.integers(len(known))]
        rows.append(row)
    return rows


DATA = make_rows()

# A predicate is a nested tuple: ("not", p), ("and" | "or", p, q), ("null", column), ("in", column, values),
# or (operator, column, value).
leaves = st.sampled_from(list(KINDS)).flatmap(
    lambda name: st.one_of(
        st.tuples(st.sampled_from(list(OPERATORS)), st.just(name), st.sampled_from(VALUES[name])),
        st.tuples(
            st.just("in"), st.just(name), st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=3)
        ),
        st.tuples(st.just("null"), st.just(name)),
    )
)
predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=5,
)


def truth(p: Any, row: dict[str, Any], *, nan_is_largest: bool) -> bool | None:
    """True, False, or None where it is unknown."""
    if p[0] == "not":
        inner = truth(p[1], row, nan_is_largest=nan_is_largest)
        return None if inner is None else not inner
    if p[0] in ("and", "or"):
        found = [truth(part, row, nan_is_largest=nan_is_largest) for part in p[1:]]
        decisive = p[0] == "or"
        return decisive if decisive in found else None if None in found else not decisive
    value = row[p[1]]
    if p[0] == "null":
        return value is None
    if value is None:
        return None
    if p[0] == "in":
        return value in p[2]
    if nan_is_largest and isinstance(value, float) and math.isnan(value):
        return p[0] in (">", ">=", "<>")
    return OPERATORS[p[0]](value, p[2])


def naive(p: Any, *, nan_is_largest: bool) -> list[int]:
    return [row["id"] for row in DATA if truth(p, row, nan_is_largest=nan_is_largest)]


def sql_literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime.datetime):
        return f"timestamp '{value}'"
    if isinstance(value, datetime.date):
        return f"date '{value}'"
    if isinstance(value, float):
        return f"cast('{value}' as double)"
    if isinstance(value, Decimal):
        return f"cast('{value}' as decimal(9, 2))"
    return str(value)


def sql(p: Any) -> str:
    if p[0] == "not":
        return f"(not {sql(p[1])})"
    if p[0] in ("and", "or"):
        return f"({sql(p[1])} {p[0]} {sql(p[2])})"
    if p[0] == "null":
        return f"({p[1]} is null)"
    if p[0] == "in":
        return f"({p[1]} in ({', '.join(map(sql_literal, p[2]))}))"
    return f"({p[1]} {p[0]} {sql_literal(p[2])})"


def polars_expression(p: Any) -> Any:
    import polars as pl

    if p[0] == "not":
        return ~polars_expression(p[1])
    if p[0] in ("and", "or"):
        left, right = polars_expression(p[1]), polars_expression(p[2])
        return left & right if p[0] == "and" else left | right
    column = pl.col(p[1])
    if p[0] == "null":
        return column.is_null()
    if p[0] == "in":
        return column.is_in(p[2])
    value = pl.lit(p[2], dtype=pl.Decimal(9, 2)) if p[1] == "m" else p[2]
    methods = {"=": "eq", "<>": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
    return getattr(column, methods[p[0]])(value)


def arrow_expression(p: Any) -> Any:
    if p[0] == "not":
        return ~arrow_expression(p[1])
    if p[0] in ("and", "or"):
        left, right = arrow_expression(p[1]), arrow_expression(p[2])
        return left & right if p[0] == "and" else left | right
    column = pc.field(p[1])
    if p[0] == "null":
        return column.is_null()
    kind = ArrowScan(_open_file[0], [p[1]]).schema.field(0).type
    if p[0] == "in":
        return column.isin(pa.array(p[2], kind))
    return OPERATORS[p[0]](column, pa.scalar(p[2], kind))


_open_file: list[Any] = []


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    where = tmp_path_factory.mktemp("predicates") / "x.lfmt"
    schema = lance_fmt.Schema(
        [lance_fmt.Field("id", lance_fmt.int64())] + [lance_fmt.Field(n, k) for n, k in KINDS.items()]
    )
    lance_fmt.write(where, {name: [row[name] for row in DATA] for name in schema.names}, schema=schema)
    with lance_fmt.open(where) as file:
        _open_file[:] = [file]
        yield where
    _open_file.clear()


@pytest.fixture(scope="module")
def connections(path: Path) -> Iterator[list[Any]]:
    """DuckDB over the source that `register` makes, all filters taken over, and over the plain Dataset."""
    duckdb = pytest.importorskip("duckdb")
    from lance_fmt.interop import duckdb as interop
    from lance_fmt.interop.dataset import Dataset

    patch = pytest.MonkeyPatch()
    patch.setattr(interop, "_WORTH_PUSHING", 2.0)
    own, plain = duckdb.connect(), duckdb.connect()
    interop.register(own, "x", path, threads=1)
    plain.register("x", Dataset(path, threads=1))
    yield [own, plain]
    own.close()
    plain.close()
    patch.undo()


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(predicates)
@example(("not", ("in", "f", [0.0])))
@example(("not", (">", "f", 2.0)))
@example(("and", ("<>", "f", 0.25), ("not", ("null", "i"))))
def test_duckdb(connections: list[Any], p: Any) -> None:
    for connection in connections:
        found = connection.execute(f"select id from x where {sql(p)} order by id").fetchall()
        assert [row[0] for row in found] == naive(p, nan_is_largest=True), sql(p)


@quick
@given(predicates)
@example(("not", (">", "f", 2.0)))
@example(("=", "f", 0.0))
def test_polars(path: Path, p: Any) -> None:
    pytest.importorskip("polars")
    from lance_fmt.interop import polars as interop

    found = interop.scan(path, threads=1).filter(polars_expression(p)).select("id").collect()
    assert found["id"].to_list() == naive(p, nan_is_largest=True)


@quick
@given(predicates)
def test_polars_translations_lose_no_row(path: Path, p: Any) -> None:
    pytest.importorskip("polars")
    from lance_fmt.interop import polars as interop

    pushed = interop.translate(polars_expression(p), _open_file[0].schema)
    if pushed is not None:
        rows = set(_open_file[0].read(["id"], filter=pushed)["id"].to_pylist())
        assert rows >= set(naive(p, nan_is_largest=True))


@quick
@given(predicates)
@example(("not", ("<", "f", -1.5)))
@example(("and", ("=", "i", -3), ("=", "i", -1)))
@example(("or", ("not", ("in", "i", [-3])), ("not", ("in", "i", [-1]))))
def test_datafusion(path: Path, p: Any) -> None:
    datafusion = pytest.importorskip("datafusion")
    from lance_fmt.interop import datafusion as interop

    context = datafusion.SessionContext()
    interop.register(context, "x", path, threads=1)
    found = context.sql(f"select id from x where {sql(p)} order by id").to_pydict().get("id", [])
    expected = naive(p, nan_is_largest=True)
    if found != expected:
        # DataFusion 55 takes `i not in (a) or i not in (b)` to be true of nulls, whoever holds the table.
        alone = datafusion.SessionContext()
        alone.from_arrow(_open_file[0].read().to_arrow(), "x")
        assume(
            alone.sql(f"select id from x where {sql(p)} order by id").to_pydict().get("id", []) == expected
        )
    assert found == expected, sql(p)


@quick
@given(predicates)
@example(("not", ("in", "s", ["a"])))
@example(("in", "f", [0.0, 2.0]))
@example(("not", ("not", ("not", ("<", "f", 2.0)))))
def test_pyarrow_expressions(path: Path, p: Any) -> None:
    from lance_fmt.interop.dataset import Dataset
    from lance_fmt.interop.expressions import translate

    expression = arrow_expression(p)
    whole = _open_file[0].read().to_arrow()
    expected = whole.filter(expression)["id"].to_pylist()
    assert (
        Dataset(_open_file[0], threads=1).to_table(columns=["id"], filter=expression)["id"].to_pylist()
        == expected
    )
    pushed, exact = translate(expression, _open_file[0].schema)
    if pushed is not None:
        rows = _open_file[0].read(["id"], filter=pushed)["id"].to_pylist()
        assert rows == expected if exact else set(rows) >= set(expected)
