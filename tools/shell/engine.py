"""Answers without DuckDB: the plain SELECT of one table, SEARCH, and how either is carried out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import vego
from vego_tools.shell.catalog import Catalog, CollectionRelation, FileRelation, Relation
from vego_tools.shell.errors import StatementError
from vego_tools.shell.result import Result, facts
from vego_tools.shell.statements import Search, Select, parse_select

_NEEDS_DUCKDB = (
    "without DuckDB only `SELECT columns FROM table WHERE filter LIMIT n` and SEARCH are understood; "
    "pip install 'vego[duckdb]' brings all of SQL"
)


def select(catalog: Catalog, text: str) -> Result:
    """The answer to a SELECT in text; raises StatementError where it needs DuckDB."""
    wanted = parse_select(text)
    if wanted is None:
        raise StatementError(_NEEDS_DUCKDB)
    relation = catalog.find(wanted.table)
    start, stop = wanted.offset, None if wanted.limit is None else wanted.offset + wanted.limit
    if wanted.columns == ():
        count = [[_count(relation, wanted)]]
        return Result(["count"], count[start:stop])
    relation.check(wanted.columns or ())
    names = relation.schema.names if wanted.columns is None else wanted.columns
    return Result(names, _rows(relation, wanted, names, start, stop))


def _count(relation: Relation, wanted: Select) -> int:
    if wanted.filter is None:
        return int(relation.num_rows)
    return sum(table.num_rows for table in relation.read([], wanted.filter, 0, None))


def _rows(
    relation: Relation, wanted: Select, names: Sequence[str], start: int, stop: int | None
) -> Iterator[tuple[Any, ...]]:
    distinct = list(dict.fromkeys(names))
    for table in relation.read(distinct, wanted.filter, start, stop):
        values = table.to_pydict()
        yield from zip(*(values[name] for name in names), strict=True)


def explain_select(catalog: Catalog, text: str) -> Result:
    """How a SELECT is answered here."""
    wanted = parse_select(text)
    if wanted is None:
        raise StatementError(_NEEDS_DUCKDB)
    relation = catalog.find(wanted.table)
    relation.check(wanted.columns or ())
    columns = "all columns" if wanted.columns is None else ", ".join(wanted.columns) or "no column"
    pairs: list[tuple[str, Any]] = [
        ("scan", f"{relation.kind} {relation.name}, {relation.num_rows:,} rows"),
        ("columns", columns),
    ]
    if wanted.filter is not None:
        how = (
            "pushed into the file: pages and blocks that cannot match are not read"
            if isinstance(relation, FileRelation)
            else "columns of the filter are kept in memory"
        )
        pairs.append(("filter", f"{wanted.filter} ({how})"))
    if wanted.limit is not None:
        pairs.append(("limit", f"{wanted.limit:,} rows from row {wanted.offset:,} on; then reading stops"))
    return facts(pairs)


# -- SEARCH ----------------------------------------------------------------------------------------------


def search(catalog: Catalog, wanted: Search) -> Result:
    """The nearest documents; raises StatementError, and the errors of `Collection.search`."""
    collection, vector = _query(catalog, wanted)
    hits = collection.search(vector, wanted.k, filter=wanted.filter, ef=wanted.ef, exact=wanted.exact)
    metadata = [hit.metadata for hit in hits]
    keys = wanted.columns
    if keys is None:
        keys = tuple(dict.fromkeys(key for one in metadata for key in one))
    else:
        known = collection.schema.names[2:]
        for key in keys:
            if key not in known:
                raise StatementError(
                    f"SHOW {key}: no such key in {wanted.table}; there are {', '.join(known)}"
                )
    rows = [
        (rank, hit.id, float_of(hit.distance), *(one.get(key) for key in keys))
        for rank, (hit, one) in enumerate(zip(hits, metadata, strict=True), 1)
    ]
    note = "" if len(rows) == wanted.k else "fewer documents match than were asked for"
    return Result(["rank", "id", "distance", *keys], rows, note)


def explain_search(catalog: Catalog, wanted: Search) -> Result:
    """The plan of a search, as `Collection.explain` tells it."""
    collection, vector = _query(catalog, wanted)
    plan = collection.explain(vector, wanted.k, filter=wanted.filter, ef=wanted.ef, exact=wanted.exact)
    return facts(
        [
            ("strategy", plan.strategy),
            ("reason", plan.reason),
            ("rows", plan.rows),
            ("matches", plan.matches),
            ("indexed", plan.indexed),
            ("ef", plan.ef),
        ]
    )


def float_of(value: float) -> float:
    """A float32 distance as the float with the fewest digits that stands for it."""
    return float(str(np.float32(value)))


def _query(catalog: Catalog, wanted: Search) -> tuple[vego.Collection, Any]:
    relation = catalog.find(wanted.table)
    if not isinstance(relation, CollectionRelation):
        raise StatementError(f"SEARCH needs a collection of a database; {relation.name} is a {relation.kind}")
    collection = relation.collection
    if wanted.vector is not None:
        return collection, np.array(wanted.vector, np.float32)
    document = collection.get(wanted.id or "")
    if document is None:
        raise StatementError(f"NEAR {wanted.id!r}: no document of that id in {wanted.table}")
    return collection, document.vector
