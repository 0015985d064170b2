"""Strings as codes of a dictionary: written and read they are what the strings are, byte for byte."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, Field, Schema, Table, Writer, zonemap
from lance_fmt.coded import CodedColumn, from_dictionary, joined
from lance_fmt.encodings.coded import Coded, code_type, strings_of

WORDS = (b"", b"AIR", b"AIR MAIL", b"a word that is longer than eight bytes", "größer".encode(), b"zz")


def coded(
    rng: np.random.Generator, rows: int, *, nulls: bool = False, words: tuple[bytes, ...] = WORDS
) -> CodedColumn:
    codes = rng.integers(0, len(words), rows).astype(code_type(words))
    validity = rng.random(rows) < 0.9 if nulls else None
    return CodedColumn(lance_fmt.string(), codes, words, validity)


def plain(column: CodedColumn) -> Column:
    """The same rows as strings, those of nulls empty."""
    found = [None if column.validity is not None and not column.validity[i] else column.words[c].decode()
             for i, c in enumerate(column.codes.tolist())]  # fmt: skip
    return Column.from_pylist(found, column.type)


@given(
    st.lists(st.binary(max_size=12), min_size=1, max_size=9),
    st.lists(st.integers(0, 8), min_size=1, max_size=40),
)
def test_codes_are_strings(listed: list[bytes], picks: list[int]) -> None:
    words = tuple(sorted(set(listed)))
    codes = np.array([pick % len(words) for pick in picks], code_type(words))
    values = Coded(codes, words)
    found = [words[code] for code in codes]
    assert (values.rows, values.size, values.first()) == (len(found), len(b"".join(found)), found[0])
    expected = strings_of(found)
    assert values.data.tobytes() == expected.data.tobytes()
    assert values.offsets.tolist() == expected.offsets.tolist()
    assert values.counts.tolist() == [found.count(word) for word in words]


@pytest.mark.parametrize("nulls", [False, True])
def test_a_coded_column_is_a_column(nulls: bool) -> None:
    rng = np.random.default_rng(1)
    column = coded(rng, 500, nulls=nulls)
    same = plain(column)
    assert column.to_pylist() == same.to_pylist()
    assert column.equals(same)
    assert column.null_count == same.null_count
    assert len(column) == 500
    rows = rng.permutation(500)[:80]
    assert column.take(rows).to_pylist() == same.take(rows).to_pylist()
    assert column.slice(20, 90).copied().to_pylist() == same.slice(20, 90).to_pylist()
    if not nulls:
        assert column.nbytes == same.nbytes


@pytest.mark.parametrize("nulls", [False, True])
def test_bounds_are_those_of_the_strings(nulls: bool) -> None:
    column = coded(np.random.default_rng(2), 1000, nulls=nulls)
    same = plain(column)
    assert zonemap.measure(column) == zonemap.measure(same)
    starts = [0, 3, 400, 1000]
    counts = [column.slice(a, b).null_count for a, b in pairwise(starts)]
    ours, theirs = (zonemap.measure_blocks(c, starts, counts) for c in (column, same))
    for side in ("low", "high", "known"):
        assert getattr(ours, side).tolist() == getattr(theirs, side).tolist()
    gone = CodedColumn(column.type, column.codes, column.words, np.zeros(1000, np.bool_))
    assert not zonemap.measure(gone).flags
    assert zonemap.measure_blocks(gone, starts, [3, 397, 600]).low is None


@pytest.mark.parametrize("level", ["speed", "balanced", "small"])
@pytest.mark.parametrize("nulls", [False, True])
def test_the_bytes_written_are_the_same(level: str, nulls: bool) -> None:
    rng = np.random.default_rng(3)
    many = tuple(sorted({f"{i * 7919 % 3000:05}".encode() for i in range(3000)}))
    batches = [
        coded(rng, 70_000, nulls=nulls, words=words) for words in (WORDS, WORDS[1:4], (b"new", b"zz"), many)
    ]
    batches += [CodedColumn(lance_fmt.string(), np.zeros(60_000, np.uint8), (b"only",)) for _ in range(3)]

    def written(columns: list[Column], threads: int) -> bytes:
        sink = io.BytesIO()
        schema = Schema([Field("s", lance_fmt.string())])
        with Writer(sink, schema, level=level, row_index=["s"], bloom=["s"], threads=threads) as writer:
            for column in columns:
                writer.write(Table({"s": column}, schema), copy=False)
        return sink.getvalue()

    strings = [plain(batch) for batch in batches]
    expected = written(strings, 1)
    assert written(list(batches), 1) == expected
    assert written(list(batches), 2) == expected
    with lance_fmt.open(expected) as file:
        assert file.read()["s"].equals(Column.concat(strings))


def test_joining_keeps_codes_of_few_words() -> None:
    rng = np.random.default_rng(4)
    parts = [coded(rng, 50, words=WORDS[:3]), coded(rng, 60, nulls=True, words=WORDS[2:]), coded(rng, 9)]
    whole = joined(parts)
    assert isinstance(whole, CodedColumn)
    assert whole.words == WORDS
    assert whole.to_pylist() == [value for part in parts for value in part.to_pylist()]
    assert not isinstance(joined([parts[0], plain(parts[1])]), CodedColumn)
    far = [coded(rng, 9, words=tuple(f"{k}{i:05}".encode() for i in range(4000))) for k in (1, 2)]
    assert not isinstance(joined(far), CodedColumn)
    assert joined(far).to_pylist() == far[0].to_pylist() + far[1].to_pylist()


@pytest.mark.parametrize("index", [pa.int8(), pa.int32(), pa.uint64()])
@pytest.mark.parametrize("value", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()])
def test_dictionaries_of_arrow(index: Any, value: Any) -> None:
    words = pa.array(["z", "a", "", "a", "größer"]).cast(value)
    array = pa.DictionaryArray.from_arrays(pa.array([0, None, 4, 3, 1, 2], index), words)
    kind = lance_fmt.binary() if value == pa.binary() else lance_fmt.string()
    for part in (array, array.slice(1, 4)):
        column = from_dictionary(part, kind)
        assert column is not None
        assert column.to_pylist() == part.to_pylist()
        assert list(column.words) == sorted(set(column.words))


def test_dictionaries_that_are_left_alone() -> None:
    def found(indices: Any, words: Any) -> Column | None:
        return from_dictionary(pa.DictionaryArray.from_arrays(indices, words, safe=False), lance_fmt.string())

    rows = pa.array([0, 1], pa.int32())
    assert found(rows, pa.array(["a", None])) is None
    assert found(pa.array([None], pa.int32()), pa.array([], pa.string())) is None
    assert found(rows, pa.array([str(i) for i in range(5000)])) is None
    for hostile in (2, -1):  # there is no such word
        assert found(pa.array([0, hostile], pa.int32()), pa.array(["a", "b"])) is None
    empty = found(pa.array([], pa.int32()), pa.array(["a"]))
    assert empty is not None
    assert len(empty) == 0


def test_record_batches_are_written_as_they_are() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1], pa.int32()), pa.array(["b", "a"]))
    columns = {"n": pa.array([1, 2, None, 4]), "s": words}
    for names in (["n", "s"], ["s"]):
        batch = pa.RecordBatch.from_pydict({name: columns[name] for name in names})
        schema = Table.from_arrow(batch).schema
        sink = io.BytesIO()
        with Writer(sink, schema) as writer:
            writer.write(batch)
            writer.write(Table.from_arrow(batch))
        with lance_fmt.open(sink.getvalue()) as file:
            assert file.read().to_pydict() == {name: columns[name].to_pylist() * 2 for name in names}
        with pytest.raises(lance_fmt.SchemaError), Writer(io.BytesIO(), schema) as writer:
            writer.write(batch.rename_columns([name.upper() for name in names]))
