"""Types, fields, schemas, and their bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import lance_fmt
from lance_fmt import CorruptFileError, Cursor, DataType, Field, Schema, SchemaError
from tests.support.format_values import TYPES


def test_types_read_like_themselves() -> None:
    assert str(lance_fmt.vector(lance_fmt.float32(), 384)) == "vector<float32, 384>"
    assert str(lance_fmt.list_(lance_fmt.string())) == "list<string>"
    assert str(lance_fmt.timestamp("us", "UTC")) == "timestamp<us, UTC>"
    assert str(lance_fmt.timestamp("ns")) == "timestamp<ns>"
    assert lance_fmt.timestamp("us") != lance_fmt.timestamp("us", "UTC")
    assert len({*TYPES, *map(_copy, TYPES)}) == len(TYPES)


def _copy(kind: DataType) -> DataType:
    return DataType(kind.id, kind.item, kind.dimension, kind.unit, kind.tz)


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_fields_come_back_and_cut_ones_do_not(kind: DataType) -> None:
    field = Field("näme", kind, nullable=False, metadata={"k": "v", "ü": ""})
    raw = field.to_bytes()
    assert Field.get(Cursor(raw)) == field
    for length in range(len(raw)):
        with pytest.raises(CorruptFileError):
            Field.get(Cursor(raw[:length]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: lance_fmt.vector(lance_fmt.string(), 3),
        lambda: lance_fmt.vector(lance_fmt.int8(), 0),
        lambda: lance_fmt.vector(lance_fmt.int8(), 2**20 + 1),
        lambda: lance_fmt.timestamp("minutes"),
        lambda: Schema([Field("a", lance_fmt.int8()), Field("a", lance_fmt.int16())]),
        lambda: Schema([])["b"],
    ],
)
def test_what_cannot_be(make: Callable[[], object]) -> None:
    with pytest.raises(SchemaError):
        make()


def test_a_schema_is_a_sequence_and_a_mapping() -> None:
    schema = Schema([Field("a", lance_fmt.int8()), Field("b", lance_fmt.string(), nullable=False)])
    assert [f.name for f in schema] == schema.names == ["a", "b"]
    assert schema["b"] is schema[1]
    assert "a" in schema
    assert "c" not in schema
    assert repr(schema) == "Schema(a: int8, b: string not null)"
    assert schema == Schema(list(schema))
    assert hash(schema) == hash(Schema(list(schema)))
