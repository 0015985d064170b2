"""Documents come in as columns, documents, dicts, DataFrames and Arrow tables, and come back as they were."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vego
from tests.support.documents import METADATA, VALUES
from tests.support.model import same_value
from vego.table.attributes import MISSING, build_column, metadata_of
from vego.table.values import dump_metadata, load_metadata

EVERYTHING: dict[str, Any] = {
    "none": None,
    "flag": True,
    "whole": -7,
    "huge": 1 << 100,
    "real": 0.1,
    "minus zero": -0.0,
    "nan": float("nan"),
    "text": "grüße \0 日本",
    "bytes": b"\x00\xff",
    "naive": datetime(2024, 2, 29, 12, 30, 1, 999_999),
    "utc": datetime(2024, 2, 29, tzinfo=UTC),
    "offset": datetime(2024, 2, 29, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    "zone": datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    "day": date(2024, 2, 29),
    "strings": ["a", ""],
    "ints": [1, -2],
    "floats": [1.5, float("inf")],
    "empty": [],
    "mixed": [1, 1.0, True, None, "x", b"y", {"deep": [{}]}],
    "object": {"$bytes": "not bytes", "a.b": {"c": None}},
}


@pytest.fixture
def docs(tmp_path: Path) -> Any:
    with vego.open(tmp_path, dimension=2, metric="l2", durability="none") as db:
        yield db.collection("c")


def test_every_kind_of_value_survives_buffer_flush_and_reopen(tmp_path: Path) -> None:
    rows = [EVERYTHING, {}, dict.fromkeys(EVERYTHING), dict.fromkeys(EVERYTHING, "other")]
    with vego.open(tmp_path, dimension=2) as db:
        docs = db.collection("c")
        for position, row in enumerate(rows):
            docs.insert(id=str(position), vector=[position, 1], metadata=row)
        assert all(same_value(docs.get(str(i)).metadata, row) for i, row in enumerate(rows))
        docs.flush()
        assert all(same_value(docs.get(str(i)).metadata, row) for i, row in enumerate(rows))
    with vego.open(tmp_path) as db:
        docs = db.collection("c")
        for i, row in enumerate(rows):
            assert same_value(docs.get(str(i)).metadata, row)


@given(METADATA)
def test_values_through_the_log(metadata: dict[str, Any]) -> None:
    assert same_value(load_metadata(dump_metadata(metadata)), metadata)


@given(st.lists(VALUES | st.just(MISSING), min_size=1, max_size=8))
def test_values_through_a_column(values: list[Any]) -> None:
    field, column = build_column("k", values)
    back = [metadata_of({"k": value}, {"k": field}) for value in column.to_pylist()]
    expected = [{} if value is MISSING else {"k": value} for value in values]
    assert all(map(same_value, back, expected)), (back, expected)


def test_documents_and_dicts(docs: vego.Collection) -> None:
    assert docs.insert(vego.Document("a", [1, 2], {"x": 1})) == "a"
    assert docs.insert_batch(
        [{"id": "b", "vector": (3, 4), "metadata": {"x": 2}}, vego.Document("c", [5, 6])]
    ) == ["b", "c"]
    assert docs.get("b") == vego.Document("b", np.float32([3, 4]), {"x": 2})
    (generated,) = docs.insert_batch([vego.Document(None, [7, 8])])
    assert len(generated) == 32
    assert generated in docs
    with pytest.raises(vego.InvalidArgumentError, match="row 0.*no vector"):
        docs.insert_batch([vego.Document("d")])
    with pytest.raises(vego.InvalidArgumentError, match="unknown keys.*vectr"):
        docs.insert_batch([{"id": "d", "vectr": [1, 2]}])


@pytest.mark.parametrize("count", [3, 3000])  # through the log, and as a segment of its own
def test_columns(docs: vego.Collection, count: int) -> None:
    ids = [f"d{i}" for i in range(count)]
    vectors = np.arange(2 * count, dtype=np.float64).reshape(count, 2)
    metadata = {
        "i": np.arange(count, dtype=np.int16),
        "f": np.linspace(0, 1, count).astype(np.float32),
        "s": [f"s{i}" if i % 3 else None for i in range(count)],
        "b": np.arange(count) % 2 == 0,
        "n": [[i, "x"] for i in range(count)],
    }
    assert docs.insert_batch(ids=ids, vectors=vectors, metadata=metadata) == ids
    for row in (0, 1, count - 1):
        found = docs.get(ids[row])
        assert found is not None
        expected = {
            "i": row, "f": float(metadata["f"][row]), "s": metadata["s"][row], "b": row % 2 == 0, "n": [row, "x"],
        }  # fmt: skip
        assert same_value(found.metadata, expected)
        assert np.array_equal(np.asarray(found.vector), vectors[row].astype(np.float32))
    vectors[0] = 99  # the caller's array stays the caller's
    assert np.array_equal(np.asarray(docs.get(ids[0]).vector), [0, 1])  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [4, 2000])
def test_dataframe(docs: vego.Collection, count: int) -> None:
    frame = pd.DataFrame(
        {
            "id": [f"d{i}" for i in range(count)],
            "vector": [np.float32([i, 1]) for i in range(count)],
            "n": np.arange(count),
            "s": ["a", None] * (count // 2),
            "t": pd.to_datetime(["2024-01-01", None] * (count // 2)),
        }
    )
    docs.insert_batch(frame)
    assert same_value(docs.get("d0").metadata, {"n": 0, "s": "a", "t": datetime(2024, 1, 1)})  # type: ignore[union-attr]
    assert same_value(docs.get("d1").metadata, {"n": 1, "s": None, "t": None})  # type: ignore[union-attr]
    found = docs.search([0, 1], k=2).to_pandas()
    assert list(found["id"]) == ["d0", "d1"]
    with pytest.raises(vego.InvalidArgumentError, match="no column 'embedding'.*vector"):
        docs.insert_batch(frame, vector_column="embedding")


@pytest.mark.parametrize("count", [4, 2000])
def test_arrow(docs: vego.Collection, count: int) -> None:
    flat = np.arange(2 * count, dtype=np.float32)
    table = pa.table(
        {
            "id": [f"d{i}" for i in range(count)],
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat), 2),
            "n": pa.array([i if i % 2 else None for i in range(count)], pa.int32()),
            "tags": pa.array([["x", "y"][: i % 3] for i in range(count)], pa.list_(pa.string())),
            "t": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * count, pa.timestamp("us", "UTC")),
            "struct": pa.array([{"a": i} for i in range(count)]),
        }
    )
    docs.insert_batch(table)
    expected = {"n": 1, "tags": ["x"], "t": datetime(2024, 1, 1, tzinfo=UTC), "struct": {"a": 1}}
    assert same_value(docs.get("d1").metadata, expected)  # type: ignore[union-attr]
    assert docs.get("d2").metadata["n"] is None  # type: ignore[union-attr]
    assert docs.search([0, 1], k=1).to_arrow().column("id").to_pylist() == ["d0"]


def test_dimension_comes_from_the_first_insert(tmp_path: Path) -> None:
    with vego.open(tmp_path) as db:
        docs = db.collection("c", metric="ip")
        assert docs.dimension is None
        assert len(docs) == 0
        assert len(docs.search([1, 2, 3])) == 0
        assert docs.search_batch([[1, 2, 3]], k=2).ids.tolist() == [[None, None]]
        assert docs.insert_batch([]) == []
        docs.insert(id="a", vector=[1, 2, 3])
        assert docs.dimension == 3
    with vego.open(tmp_path) as db:
        assert db.collection("c").dimension == 3
        assert db.collections() == ["c"]
        db.drop("c")
        assert db.collections() == []
        with pytest.raises(vego.CollectionNotFoundError):
            db.drop("c")


@pytest.mark.parametrize("one", [True, False])
def test_what_was_given_may_be_changed_afterwards(tmp_path: Path, one: bool) -> None:
    """Rows written one by one are looked at later."""
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        vector, metadata = np.array([1, 2], np.float32), {"n": 1}
        for name in "ab":
            if one:
                docs.insert(id=name, vector=vector, metadata=metadata)
            else:
                docs.insert_batch(ids=[name], vectors=vector[None], metadata={"n": [1]})
        vector[:], metadata["n"] = 9, 9
        for name in "ab":
            found = docs.get(name)
            assert found is not None
            assert np.array_equal(np.asarray(found.vector), [1, 2])
            assert found.metadata == {"n": 1}


USUAL = {"s": "text", "i": 1, "f": 0.5, "b": True, "n": None}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"id": ""}, vego.InvalidIdError),
        ({"id": "x" * 513}, vego.InvalidIdError),
        ({"id": "\ud800"}, vego.InvalidIdError),
        ({"id": "known"}, vego.DuplicateIdError),
        ({"vector": np.array([1, np.nan], np.float32)}, vego.InvalidVectorError),
        ({"vector": np.array([np.inf, -np.inf], np.float32)}, vego.InvalidVectorError),
        ({"vector": np.array([1, 2, 3], np.float32)}, vego.DimensionMismatchError),
        ({"metadata": {"s": "\ud800"}}, vego.InvalidMetadataError),
        ({"metadata": {"s": object()}}, vego.InvalidMetadataError),
        ({"metadata": [("s", 1)]}, vego.InvalidMetadataError),
        ({"metadata": {"$s": 1}}, vego.InvalidMetadataError),
        ({"metadata": {"": 1}}, vego.InvalidMetadataError),
    ],
)
def test_a_single_document_is_refused_as_in_a_batch(
    tmp_path: Path, change: dict[str, Any], error: type[Exception]
) -> None:
    with vego.open(tmp_path / "db", dimension=2) as db:
        docs = db.collection("c")
        usual = {"id": "new", "vector": np.array([1, 2], np.float32), "metadata": USUAL}
        docs.insert(**usual | {"id": "known"})
        with pytest.raises(error):
            docs.insert(**usual | change)
        assert len(docs) == 1
        docs.insert(**usual)
        assert docs.get("new").metadata == USUAL  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "é"},
        {"id": "x" * 512},
        {"vector": np.array([3e19, -3e19], np.float32)},
        {"vector": np.array([1, 2], np.float64)},
        {"vector": np.arange(4, dtype=np.float32)[::2]},
        {"vector": [1, 2]},
        {"metadata": None},
        {"metadata": {"s": "é", "f": float("inf"), "i": 2**70}},
        {"metadata": {"f": -0.0, "i": True, "fresh": 1}},
        {"metadata": {"s": {"k": [1, None]}}},
        {"metadata": {"s": b"bytes"}},
    ],
)
def test_a_single_document_is_kept_as_in_a_batch(tmp_path: Path, change: dict[str, Any]) -> None:
    first = {"id": "known", "vector": np.array([1, 2], np.float32), "metadata": USUAL}
    given = first | {"id": "new"} | change
    found = []
    for one in (True, False):
        with vego.open(tmp_path / str(one), dimension=2) as db:
            db.collection("c").insert(**first)
            if one:
                db.collection("c").insert(**given)
            else:
                db.collection("c").insert_batch(
                    [vego.Document(given["id"], given["vector"], given["metadata"] or {})]
                )
        with vego.open(tmp_path / str(one)) as db:
            document = db.collection("c").get(given["id"])
            assert document is not None
            assert same_value(document.metadata, given["metadata"] or {})
            assert np.array_equal(np.asarray(document.vector), np.asarray(given["vector"], np.float32))
            found.append(document)
    assert found[0] == found[1]
