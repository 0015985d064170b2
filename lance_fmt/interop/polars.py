"""Files as lazy frames of Polars, with projection, filters and `head` pushed down.

    frame = lance_fmt.interop.polars.scan("trips.lfmt")
    frame.filter(pl.col("fare") > 50).select("distance").head(10).collect()

What a filter says in Polars' terms is said in this format's as far as it can be; Polars then filters the batches
itself. NaN is larger than all numbers in Polars and equals itself: translations say so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lance_fmt.constants import TypeId
from lance_fmt.filter import And, Compare, Expression, bind
from lance_fmt.filter.expression import IsIn, IsNan, IsNull, Match, Not, Or
from lance_fmt.interop.arrow_scan import BATCH_ROWS, ArrowScan
from lance_fmt.interop.expressions import Untranslatable, literal_of
from lance_fmt.optional import need
from lance_fmt.reader import File, open
from lance_fmt.schema import Schema

_OPERATORS = {"Eq": "==", "NotEq": "!=", "Lt": "<", "LtEq": "<=", "Gt": ">", "GtEq": ">="}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def scan(source: File | str | os.PathLike[str], *, threads: int | None = None) -> Any:
    """A polars LazyFrame over `source`, a File or the path of one, which stays open as long as the frame.

    `threads` decode (None: one for each processor). Raises MissingPackageError and what `lance_fmt.open` raises.
    """
    pl = need("polars", "polars")
    need("pyarrow", "arrow")
    from polars.io.plugins import register_io_source

    file = source if isinstance(source, File) else open(source, mmap=True)

    def batches(
        with_columns: list[str] | None, predicate: Any, n_rows: int | None, batch_size: int | None
    ) -> Iterator[Any]:
        columns = file.schema.names if with_columns is None else list(with_columns)
        needed = [] if predicate is None else [n for n in predicate.meta.root_names() if n not in columns]
        pushed = None if predicate is None else translate(predicate, file.schema)
        # Where every row counts, no more of them are decoded than asked for.
        few = n_rows is not None and predicate is None
        rows = range(min(n_rows or 0, file.num_rows)) if few else None
        reading = ArrowScan(file, columns + needed, filter=pushed, rows=rows, threads=threads)
        left = file.num_rows if n_rows is None else n_rows
        for batch in reading.batches():
            frame = pl.DataFrame(batch)
            if predicate is not None:
                frame = frame.filter(predicate).select(columns)
            frame = frame.head(left)
            left -= len(frame)
            yield from frame.iter_slices(batch_size or BATCH_ROWS)
            if not left:
                return

    empty = pl.DataFrame(ArrowScan(file).schema.empty_table())
    return register_io_source(batches, schema=empty.schema, is_pure=True, explain_name=Path(file.path).name)


def translate(predicate: Any, schema: Schema) -> Expression | None:
    """A filter that every row passes for which the polars `predicate` is true; None where nothing can be said."""
    try:
        tree = json.loads(predicate.meta.serialize(format="json"))
    except Exception:  # polars raises several for what it cannot serialise, such as functions
        return None
    found = []
    for part in _conjuncts(tree):
        try:
            one = _filter(part, schema)
            bind(one, schema)
        except (Untranslatable, ValueError, RecursionError, LookupError, TypeError, AttributeError):
            continue  # a part of another shape: polars filters anyway
        found.append(one)
    if not found:
        return None
    return found[0] if len(found) == 1 else And(tuple(found))


def _conjuncts(node: Any) -> list[Any]:
    binary = node.get("BinaryExpr") if isinstance(node, dict) else None
    if binary is not None and binary["op"] in ("And", "LogicalAnd"):
        return _conjuncts(binary["left"]) + _conjuncts(binary["right"])
    return [node]


def _filter(node: Any, schema: Schema) -> Expression:
    if "BinaryExpr" in node:
        binary = node["BinaryExpr"]
        op, left, right = binary["op"], binary["left"], binary["right"]
        if op in ("And", "LogicalAnd", "Or", "LogicalOr"):
            return (And if op.endswith("And") else Or)((_filter(left, schema), _filter(right, schema)))
        if op not in _OPERATORS:
            raise Untranslatable(op)
        return _comparison(_OPERATORS[op], left, right, schema)
    if "Column" in node:
        column = _column(node, schema)
        if schema[column].type.id is not TypeId.BOOL:
            raise Untranslatable(column)
        return Compare(column, "==", True)
    (family, function), *others = node["Function"]["function"].items()
    if others:
        raise Untranslatable(others)
    if family == "Boolean":
        return _boolean(function, node["Function"]["input"], schema)
    if family == "StringExpr":
        return _match(function, node["Function"]["input"], schema)
    raise Untranslatable(family)


def _boolean(function: Any, inputs: list[Any], schema: Schema) -> Expression:
    if function == "Not":
        return Not(_filter(inputs[0], schema))
    column = _column(inputs[0], schema)
    if function in ("IsNull", "IsNotNull"):
        return IsNull(column) if function == "IsNull" else Not(IsNull(column))
    if function in ("IsNan", "IsNotNan"):
        return IsNan(column) if function == "IsNan" else Not(IsNan(column))
    if isinstance(function, dict) and "IsIn" in function and not function["IsIn"].get("nulls_equal"):
        return _membership(column, inputs[1], schema)
    if isinstance(function, dict) and "IsBetween" in function:
        closed = function["IsBetween"]["closed"]
        low = ">=" if closed in ("Both", "Left") else ">"
        high = "<=" if closed in ("Both", "Right") else "<"
        parts = ((low, inputs[1]), (high, inputs[2]))
        return And(tuple(_comparison(op, inputs[0], value, schema) for op, value in parts))
    raise Untranslatable(function)


def _comparison(op: str, left: Any, right: Any, schema: Schema) -> Expression:
    if "Literal" in left:
        left, right, op = right, left, _MIRRORED.get(op, op)
    column = _column(left, schema)
    kind = schema[column].type
    (value,) = _values(right)
    literal = literal_of(value, kind)
    if not kind.is_float:
        return Compare(column, op, literal)
    if literal != literal:  # noqa: PLR0124 (NaN)
        raise Untranslatable("NaN")
    compared = Compare(column, op, literal)
    return Or((compared, IsNan(column))) if op in (">", ">=") else compared


def _membership(column: str, node: Any, schema: Schema) -> Expression:
    kind = schema[column].type
    values = _values(node)
    if hasattr(values.type, "value_type") and not hasattr(values, "dictionary"):  # one list of values
        values = values[0].values
    items = [literal_of(value, kind) for value in values if value.is_valid]
    if len(items) < len(values) or any(item != item for item in items):  # noqa: PLR0124 (NaN)
        raise Untranslatable("nulls or NaN among the values")
    return IsIn(column, items)


def _match(function: Any, inputs: list[Any], schema: Schema) -> Expression:
    column = _column(inputs[0], schema)
    names = {"StartsWith": "prefix", "EndsWith": "suffix"}
    (value,) = _values(inputs[1])
    if isinstance(function, str) and function in names:
        return Match(column, names[function], value.as_py())
    if isinstance(function, dict) and function.get("Contains", {}).get("literal"):
        return Match(column, "contains", value.as_py())
    raise Untranslatable(function)


def _column(node: Any, schema: Schema) -> str:
    name = node.get("Column") if isinstance(node, dict) else None
    if name not in schema.names:
        raise Untranslatable(node)
    return str(name)


def _values(node: Any) -> Any:
    """A constant of the tree as an Arrow array of one value: polars reads its own notation."""
    import polars as pl

    if not isinstance(node, dict) or "Literal" not in node:
        raise Untranslatable(node)
    text = json.dumps(node).encode()
    try:
        return pl.select(pl.Expr.deserialize(text, format="json")).to_series().to_arrow()
    except pl.exceptions.PolarsError:  # JSON has no infinity, for one
        raise Untranslatable(node) from None
