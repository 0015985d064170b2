"""`Table`, and its way to pandas and Arrow and back."""

from __future__ import annotations

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column, Field, Schema, SchemaError, Table, TypeId
from tests.support.format_values import sample_columns


def test_columns_of_all_kinds_are_taken() -> None:
    table = Table.of(
        {"a": [1, None], "b": np.array([1.0, 2.0]), "c": Column.from_pylist(["x", "y"], lance_fmt.string())}
    )
    assert str(table.schema) == "Schema(a: int64, b: float64, c: string)"
    assert table.to_pydict() == {"a": [1, None], "b": [1.0, 2.0], "c": ["x", "y"]}
    assert table.slice(1, 2).to_pydict() == {"a": [None], "b": [2.0], "c": ["y"]}
    assert Table.of(table) is table
    assert repr(table) == "Table[2 rows](a: int64, b: float64, c: string)"


def test_the_schema_gives_types_and_order() -> None:
    schema = Schema([Field("b", lance_fmt.int8()), Field("a", lance_fmt.float32(), nullable=False)])
    table = Table.of({"a": [1, 2], "b": [3, 4]}, schema)
    assert list(table) == ["b", "a"]
    assert table["a"].array.dtype == np.float32
    assert table.schema is schema


def test_what_does_not_fit_together() -> None:
    with pytest.raises(SchemaError, match="'b' has 2 rows, expected 1"):
        Table.of({"a": [1], "b": [1, 2]})
    with pytest.raises(SchemaError, match="the schema says"):
        Table.of({"a": [1]}, Schema([Field("b", lance_fmt.int8())]))
    with pytest.raises(SchemaError, match="'a' is int64, the schema says int8"):
        Table.of({"a": Column.from_numpy(np.arange(3))}, Schema([Field("a", lance_fmt.int8())]))
    with pytest.raises(KeyError, match="no column 'b'; there are 'a'"):
        Table.of({"a": [1]})["b"]
    with pytest.raises(SchemaError, match="column 'z'"):
        Table.of({"z": np.zeros(2, complex)})


def test_arrow_and_back() -> None:
    pytest.importorskip("pyarrow")
    table = Table(sample_columns())
    arrow = table.to_arrow()
    arrow.validate(full=True)
    again = Table.from_arrow(arrow)
    for name in table:
        assert again[name].equals(table[name]), name
    part = Table.from_arrow(arrow.slice(7, 20))
    for name in table:
        assert part[name].equals(table[name].slice(7, 27)), name


def test_arrow_values_are_the_same() -> None:
    pytest.importorskip("pyarrow")
    columns = {n: c for n, c in sample_columns().items() if c.type.id not in (TypeId.JSON, TypeId.TIMESTAMP)}
    table = Table(columns)
    for name, column in columns.items():
        ours = [v.tolist() if isinstance(v, np.ndarray) else v for v in column.to_pylist()]
        np.testing.assert_equal(table.to_arrow()[name].to_pylist(), ours)


def test_other_arrow_types() -> None:
    pa = pytest.importorskip("pyarrow")
    chunks = pa.chunked_array([["a", None], ["b"]])
    table = Table.from_arrow(
        pa.table(
            {
                "chunks": chunks,
                "codes": chunks.dictionary_encode(),
                "lists": pa.chunked_array([[[1], None], [[2, 3]]]),
            }
        )
    )
    assert table.to_pydict() == {
        "chunks": ["a", None, "b"],
        "codes": ["a", None, "b"],
        "lists": [[1], None, [2, 3]],
    }
    with pytest.raises(SchemaError, match="'d': Arrow type decimal256.*at most 38"):
        Table.from_arrow(pa.table({"d": pa.array([1]).cast(pa.decimal256(40))}))
    assert Table.from_arrow(pa.table({"n": pa.nulls(2)})).to_pydict() == {"n": [None, None]}


def test_metadata_goes_along() -> None:
    pa = pytest.importorskip("pyarrow")
    schema = Schema(
        [Field("a", lance_fmt.int8(), nullable=False, metadata={"k": "v"}), Field("j", lance_fmt.json())],
        {"über": "alles"},
    )
    assert schema == Schema(list(schema))
    arrow = Table.of({"a": [1], "j": [{"x": 1}]}, schema).to_arrow()
    again = Table.from_arrow(arrow).schema
    assert again == schema
    assert again.metadata == {"über": "alles"}
    frame = pytest.importorskip("pandas").DataFrame({"a": [1]}, index=["row"])
    there = Table.from_arrow(pa.Table.from_pandas(frame))
    assert there.to_arrow().to_pandas().equals(frame)


def test_pandas_and_back() -> None:
    pd = pytest.importorskip("pandas")
    data = {"i": [1, 2], "f": [0.5, 1.5], "s": ["a", None], "b": [True, False], "l": [["a"], []]}
    frame = Table.of(data).to_pandas()
    assert frame["i"].dtype == np.int64
    assert Table.from_pandas(frame).to_pydict() == data
    times = pd.DataFrame({"t": pd.to_datetime(["2024-01-01", None])})
    assert Table.from_pandas(times)["t"].null_count == 1
    assert len(Table(sample_columns()).to_pandas()) == 40
    vectors = Table.of({"v": np.eye(2, dtype=np.float32)}).to_pandas()
    assert str(Table.from_pandas(vectors).schema["v"].type) == "vector<float32, 2>"
