"""The 22 queries of TPC-H through DuckDB: over files of this format, the answers are those over Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow")
duckdb = pytest.importorskip("duckdb")

from benchmarks.tpch.data import TABLES, generator, make_files, make_parquet, queries, same  # noqa: E402
from lance_fmt.interop.dataset import Dataset  # noqa: E402
from lance_fmt.interop.duckdb import register  # noqa: E402

SCALE = 0.01
# At this scale no order is large enough for Q18, and no parts are for Q20 in every edition of the generator.
MAY_BE_EMPTY = {2, 18, 19, 20}
QUERIES = queries(SCALE)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    if generator() is None:
        pytest.skip("tpchgen-cli is not installed")
    folder = tmp_path_factory.mktemp("tpch")
    parquet, files = folder / "parquet", folder / "files"
    make_parquet(parquet, SCALE)
    make_files(parquet, files)
    found = {kind: duckdb.connect() for kind in ("parquet", "registered", "dataset")}
    for name in TABLES:
        source = Path(parquet / f"{name}.parquet")
        found["parquet"].execute(f"create view {name} as select * from '{source}'")
        register(found["registered"], name, files / f"{name}.lfmt", threads=1)
        found["dataset"].register(name, Dataset(files / f"{name}.lfmt", threads=1))
    yield found
    for connection in found.values():
        connection.close()


def test_there_are_22() -> None:
    assert list(QUERIES) == list(range(1, 23))
    assert all("{" not in sql for sql in QUERIES.values())


def test_tables_are_the_same(tables: dict[str, Any]) -> None:
    for name in TABLES:
        expected = tables["parquet"].execute(f"select * from {name}").fetchall()
        for kind in ("registered", "dataset"):
            assert sorted(tables[kind].execute(f"select * from {name}").fetchall()) == sorted(expected)
            types = [row[:2] for row in tables[kind].execute(f"describe {name}").fetchall()]
            assert types == [row[:2] for row in tables["parquet"].execute(f"describe {name}").fetchall()]


@pytest.mark.parametrize("number", QUERIES)
def test_query(tables: dict[str, Any], number: int) -> None:
    expected = tables["parquet"].execute(QUERIES[number]).fetchall()
    assert expected or number in MAY_BE_EMPTY
    for kind in ("registered", "dataset"):
        assert same(tables[kind].execute(QUERIES[number]).fetchall(), expected), kind
