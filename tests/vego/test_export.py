"""`Collection.to_table` and `.schema`: every document as it is, in one table of typed columns."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

import lance_fmt
import vego


def filled(database: vego.Database) -> vego.Collection:
    """Rows in three files and the log; keys of one type, of several, of None, nested; deleted and replaced rows."""
    notes = database.collection("notes")
    vectors = np.random.default_rng(0).standard_normal((3600, 4)).astype(np.float32)
    for part in range(3):
        rows = range(part * 1200, (part + 1) * 1200)
        notes.insert_batch(
            ids=[f"n{row}" for row in rows],
            vectors=vectors[rows.start : rows.stop],
            metadata={
                "year": list(rows),
                "mixed": [row if part != 1 else str(row) for row in rows],
                "when": [datetime(2024, 1, 1, tzinfo=UTC)] * len(rows),
                "some": [None if row % 3 else f"text {row}" for row in rows],
                "nested": [{"a": [row]} for row in rows],
                f"only {part}": [1.5] * len(rows),
            },
        )
    notes.delete_batch([f"n{row}" for row in range(0, 3600, 7)])
    notes.insert(id="late", vector=[1, 0, 0, 0], metadata={"year": 5, "new": True, "void": None})
    notes.upsert(id="n1", vector=[1, 1, 0, 0], metadata={"year": 6, "mixed": None})
    return notes


@pytest.mark.parametrize("state", ["open", "flushed", "reopened"])
def test_every_document_comes_as_it_is(state, tmp_path):
    database = vego.open(tmp_path / "db", dimension=4)
    notes = filled(database)
    if state == "flushed":
        notes.flush()
    if state == "reopened":
        database.close()
        database = vego.open(tmp_path / "db", read_only=True)
        notes = database.collection("notes")
    table = notes.to_table()
    assert table.schema == notes.schema
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds == {
        "id": "string", "vector": "vector<float32, 4>", "year": "int64", "mixed": "json", "when": "timestamp<us, UTC>",
        "some": "string", "nested": "json", "only 0": "float64", "only 1": "float64", "only 2": "float64",
        "new": "bool",
        "void": "json",
    }  # fmt: skip
    ids = table["id"].to_pylist()
    assert len(ids) == len(set(ids)) == len(notes)
    keys = table.schema.names[2:]
    values = {key: table[key].to_pylist() for key in keys}
    vectors = table["vector"].to_numpy()
    for row, name in enumerate(ids):
        document = notes.get(name)
        assert np.array_equal(vectors[row], document.vector)
        assert {key: values[key][row] for key in keys} == {key: document.metadata.get(key) for key in keys}
    database.close()


def test_columns_and_filters(tmp_path):
    with vego.open(tmp_path / "db", dimension=4) as database:
        notes = filled(database)
        few = notes.to_table(["year", "id"], filter="year < 7 and year != 4")
        assert list(few) == ["year", "id"]
        ids = [
            name
            for name in notes.to_table(["id"])["id"].to_pylist()
            if notes.get(name).metadata["year"] in (1, 2, 3, 5, 6)
        ]
        assert few["id"].to_pylist() == ids
        assert notes.to_table([], filter=vego.field("new") == True).num_rows == 1  # noqa: E712
        assert notes.to_table(filter="year > 100000").num_rows == 0
        with pytest.raises(
            vego.UnknownFieldError, match="no column 'nope'; there are 'id', 'vector', 'year'"
        ):
            notes.to_table(["nope"])
        with pytest.raises(vego.UnknownFieldError, match="names field 'nope'"):
            notes.to_table(filter="nope > 1")


def test_a_table_stays_while_documents_change(tmp_path):
    with vego.open(tmp_path / "db", dimension=2) as database:
        notes = database.collection("notes")
        notes.insert_batch(ids=["a", "b"], vectors=[[1, 2], [3, 4]], metadata={"n": [1, 2]})
        table = notes.to_table()
        notes.upsert(id="a", vector=[9, 9], metadata={"n": 9})
        notes.delete("b")
        assert table["id"].to_pylist() == ["a", "b"]
        assert table["vector"].to_numpy().tolist() == [[1, 2], [3, 4]]
        assert notes.to_table().to_pydict() | {"vector": 0} == {"id": ["a"], "vector": 0, "n": [9]}


def test_keys_called_id_and_vector_keep_their_names(tmp_path):
    with vego.open(tmp_path / "db") as database:
        odd = database.collection("odd")
        assert list(odd.schema) == []
        assert odd.to_table().num_rows == 0
        odd.insert(id="a", vector=[1, 2], metadata={"id": 7, "vector": "v"})
        table = odd.to_table()
        assert table.to_pydict() | {"$vector": None} == {
            "$id": ["a"],
            "$vector": None,
            "id": [7],
            "vector": ["v"],
        }


def test_a_table_of_documents_is_a_file(tmp_path):
    with vego.open(tmp_path / "db", dimension=4) as database:
        table = filled(database).to_table()
    lance_fmt.write(tmp_path / "notes.lfmt", table, schema=table.schema)
    with lance_fmt.open(tmp_path / "notes.lfmt") as file:
        back = file.read()
        assert file.schema == table.schema
        assert all(back[name].equals(table[name]) for name in table)


def test_damage_is_told(tmp_path):
    with vego.open(tmp_path / "db", dimension=4) as database:
        filled(database).flush()
    path = sorted((tmp_path / "db/collections/notes/data").iterdir())[0]
    with lance_fmt.open(path) as file:
        offset = file.column("year").pages[0].offset + 3
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with vego.open(tmp_path / "db", read_only=True) as database, pytest.raises(vego.CorruptionError):
        database.collection("notes").to_table(["year"])
