"""A reader made from FORMAT.md alone reads what the package writes."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import numpy as np
import pytest
import snappy  # type: ignore[import-untyped]
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import Column, CorruptFileError, Cursor, Field, InvalidDataError, UnsupportedVersionError
from lance_fmt.block import leaves
from lance_fmt.encodings import ENCODINGS, Encoding
from lance_fmt.encodings.protocol import KINDS, Kind, count_of
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.hashing import hash_value
from lance_fmt.writer import choose_shifts
from tests.support import naive_reader
from tests.support.format_values import columns as columns_of
from tests.support.format_values import data_types, fewer, file_of, repeated, sample_columns
from tests.support.golden_files import FOLDER, GOLDEN, METADATA
from tests.support.naive_reader import Seen
from tests.support.naive_streams import Bytes, Streams
from tests.support.stream_values import EVERY_KIND, first_of, recipes, shapes, stream_values


def stored(column: Column) -> list[Any]:
    """Values as the format stores them: bytes for text, ints for times and decimals, floats as their bits."""
    kind = column.type
    valid = [True] * len(column) if column.validity is None else column.validity.tolist()
    rows: list[Any]
    if kind.is_list:
        items, bounds = stored(column.child), column.bounds.tolist()
        rows = [items[bounds[i] : bounds[i + 1]] for i in range(len(column))]
    elif kind.is_struct:
        members = {f.name: stored(c) for f, c in zip(kind.fields, column.children, strict=True)}
        rows = [{name: values[i] for name, values in members.items()} for i in range(len(column))]
    elif kind.is_decimal:
        rows = [high * 2**64 + low for low, high in zip(column.array[:, 0].tolist(),
                column.array[:, 1].view(np.int64).tolist(), strict=True)]  # fmt: skip
    elif kind.is_variable:
        rows = Column(lance_fmt.binary(), column.values, column.offsets).to_pylist()
    else:
        array = column.array
        rows = (array.view(f"<u{array.itemsize}") if array.dtype.kind == "f" else array).tolist()
    return [row if ok else None for row, ok in zip(rows, valid, strict=True)]


def _check(data: bytes, columns: dict[str, Column], seen: Seen | None = None) -> dict[str, str]:
    found, metadata = naive_reader.read(data, seen)
    assert list(found) == list(columns)
    for name, column in columns.items():
        assert found[name] == stored(column), name
    return metadata


def new_columns(rows: int = 40) -> dict[str, Column]:
    """A column of each type since 1.1, with nulls wherever there may be some."""
    i = np.arange(rows)
    valid = i % 3 != 1
    bits = Column(lance_fmt.bfloat16(), (i * 977 % 65536).astype(np.uint16), None, valid)
    words = np.stack([i * 10**17, -(i % 2)], axis=1).astype(np.int64).view(np.uint64)
    strings = Column.from_pylist(
        [f"item {k % 7}" if k % 4 else None for k in range(rows)], lance_fmt.string()
    )
    point = lance_fmt.struct(
        [
            Field("x", lance_fmt.float64(), False),
            Field("name", lance_fmt.string()),
            Field("tags", lance_fmt.list_(lance_fmt.string(), True)),
            Field("when", lance_fmt.struct({"day": lance_fmt.date(), "price": lance_fmt.decimal(9, 2)})),
        ]
    )
    points = [
        {
            "x": k / 4,
            "name": None if k % 5 == 2 else f"näme {k}",
            "tags": None if k % 6 == 1 else [None if j % 2 else f"t{j}" for j in range(k % 4)],
            "when": None if k % 7 == 3 else {"day": None, "price": None if k % 2 else k},
        }
        for k in range(rows)
    ]
    nested = lance_fmt.list_(lance_fmt.list_(lance_fmt.vector(lance_fmt.bfloat16(), 3), True))
    matrix = [[[[1.0, k, j], None][: k % 3] for j in range(k % 4)] for k in range(rows)]
    return {
        "bfloat16": bits,
        "decimal": Column(lance_fmt.decimal(38, 5), words, None, valid),
        "date": Column(lance_fmt.date(), (i * 31 - 500).astype(np.int32), None, valid),
        "time": Column(lance_fmt.time("ms"), i * 1000, None, valid),
        "duration": Column(lance_fmt.duration("ns"), i * i - 99, None, valid),
        "vector": Column(
            lance_fmt.vector(lance_fmt.bfloat16(), 3), (i[:, None] * [1, 3, 7]).astype(np.uint16), None, valid
        ),
        "strings": strings,
        "struct": Column.from_pylist([p if k % 8 else None for k, p in enumerate(points)], point),
        "list of structs": Column.from_pylist(
            [None if k % 5 == 1 else points[k : k + k % 4] for k in range(rows)], lance_fmt.list_(point)
        ),
        "list of lists": Column.from_pylist(matrix, nested),
        "nulls": Column.nulls(point, rows),
    }


@pytest.mark.parametrize("level", ["speed", "balanced", "small"])
def test_every_type(level: str) -> None:
    columns = {name: repeated(column, 300) for name, column in sample_columns().items()}
    columns |= {name: repeated(column, 300) for name, column in new_columns().items()}
    seen = Seen()
    assert _check(file_of(columns, level=level, metadata={"a": "b"}), columns, seen) == {"a": "b"}
    assert seen.version == (1, 1)
    assert seen.features == 3


@fewer
@given(st.data(), st.sampled_from(["speed", "balanced", "small"]))
def test_any_type(data: st.DataObject, level: str) -> None:
    column = data.draw(data_types().flatmap(columns_of))
    _check(file_of({"c": column}, level=level), {"c": column})


@cache
def _samples() -> dict[str, Column]:
    """Every type, short and in runs, one row and some hundred, with and without nulls."""
    found = sample_columns(60) | new_columns(60)
    runs = {f"{name}, runs": column.take(np.arange(300) // 7 % 60) for name, column in found.items()}
    return found | runs | {f"{name}, one": column.slice(0, 1) for name, column in found.items()}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
def test_every_encoding_on_every_type_it_accepts(encoding: Encoding) -> None:
    columns: dict[int, dict[str, Column]] = {}
    for name, column in _samples().items():
        if any(encoding.accepts(leaf.kind) for leaf in leaves(column.type)):
            written = column
            if encoding.name == "constant":
                if column.type.is_vector or column.type.is_list:
                    continue
                written = column.take(np.zeros(9, np.int64))
            columns.setdefault(len(written), {})[name] = written
    assert columns
    seen = Seen()
    for found in columns.values():
        _check(file_of(found, encodings=dict.fromkeys(found, encoding.name)), found, seen)
    assert int(encoding.id) in seen.encodings


def test_many_blocks_and_pages() -> None:
    columns = {
        "vector": Column.from_numpy(np.arange(100 * 900, dtype=np.float32).reshape(-1, 100)),
        "long": Column.from_pylist([f"{i % 97}" * 900 for i in range(900)], lance_fmt.string()),
        "few": Column.from_pylist(
            [f"{i % 3}" * 50 if i % 5 else None for i in range(900)], lance_fmt.string()
        ),
        "number": Column.from_numpy(np.arange(900) ** 3 % 1009),
        "half": Column.from_pylist(
            [f"{i % 89}" * 700 if i % 100 < 50 else None for i in range(900)], lance_fmt.string()
        ),
    }
    for encodings in ({}, {"long": "zstd", "few": "dictionary", "vector": "byte_stream_split"}):
        data = file_of(columns, encodings=encodings)
        with lance_fmt.open(data) as file:
            assert len(file.column("long").pages) > 1
            assert {block[3] for page in file.column("half").pages for block in page.blocks} != {0}
        _check(data, columns)


def test_all_encodings_at_once_of_blocks_of_every_fill() -> None:
    """Blocks without nulls, of nulls alone, and mixed, in one page."""
    block = 1 << choose_shifts(lance_fmt.int32(), 1, 4)[1]
    i = np.arange(block * 5 // 2)
    validity = (i < block) | (i >= 2 * block) & (i % 3 != 0)
    columns = {
        name: Column.from_numpy((i * 7919 % 1009).astype(np.int32), None, validity)
        for name in ("plain", "delta", "run_length", "dictionary")
    }
    data = file_of(columns, encodings={name: name for name in columns})
    with lance_fmt.open(data) as file:
        (page,) = file.column("delta").pages
        assert [block[3] for block in page.blocks][:2] == [0, block]
    _check(data, columns)


def test_codes_of_dictionaries_are_as_wide_as_said() -> None:
    columns = {
        f"{n}": Column.from_numpy(np.arange(700) * 2**40 % (n * 2**40)) for n in (1, 2, 200, 256, 257, 700)
    }
    columns["text"] = Column.from_pylist([f"{i * 7 % 300}" for i in range(700)], lance_fmt.string())
    _check(file_of(columns, encodings=dict.fromkeys(columns, "dictionary")), columns)


def test_indexes_and_filters_find_every_value() -> None:
    columns = {
        "number": Column.from_numpy(np.arange(5000) * 3 % 4001),
        "text": Column.from_pylist([f"id {i}" if i % 9 else None for i in range(5000)], lance_fmt.string()),
        "float": Column.from_numpy(np.array([0.5, float("nan"), -0.0, 0.0] * 1250)),
    }
    seen = Seen()
    _check(file_of(columns, row_index=list(columns), bloom=list(columns)), columns, seen)
    assert seen.features & 4
    for name, column in columns.items():
        index, (bloom,) = seen.auxiliary[name][1], seen.auxiliary[name][2]
        values = column.to_pylist()
        assert len(index.entries) == sum(v is not None and v == v for v in values)
        for row in range(0, 5000, 97):
            if values[row] is not None and values[row] == values[row]:
                value_hash = hash_value(values[row])
                assert row in index.candidates(value_hash)
                assert naive_reader.may_contain(bloom, value_hash)
        absent = [hash_value(f"absent {i}") for i in range(200)]
        assert sum(naive_reader.may_contain(bloom, h) for h in absent) < 40


def test_a_file_of_plain_vectors_is_one_of_1_0() -> None:
    seen = Seen()
    columns = {"v": Column.from_numpy(np.ones((5, 4), np.float32))}
    _check(file_of(columns), columns, seen)
    assert (seen.version, seen.features) == ((1, 0), 0)


def test_no_rows_and_no_columns() -> None:
    none = {name: column.slice(0, 0) for name, column in (sample_columns() | new_columns()).items()}
    _check(file_of(none), none)
    _check(file_of({}), {})


def test_golden_files() -> None:
    for name in ("v1.0-types.lfmt", "v1.0-pages.lfmt"):
        assert _check((FOLDER / name).read_bytes(), dict(GOLDEN[name]())) == METADATA


def test_constant_where_all_are_equal() -> None:
    columns = {
        "a": Column.from_pylist(["x"] * 9, lance_fmt.string()),
        "b": Column.from_pylist([True] * 9, lance_fmt.bool_()),
    }
    seen = Seen()
    _check(file_of(columns, encodings={"a": "constant", "b": "constant"}), columns, seen)
    assert seen.encodings == {2}
    with pytest.raises(InvalidDataError, match="constant"):
        file_of({"a": ["x", "y"]}, encodings={"a": "constant"})


_LETTERS = {**{kind.name: kind.dtype.char for kind in KINDS.values()}, "int64": "q", "uint64": "Q"}
_LETTERS |= {"int32": "i", "uint32": "I", "strings": "s"}


def _damaged(random: Random, stream: bytes, slots: list[bytes]) -> tuple[bytes, list[bytes]]:
    """A byte or two changed, mostly where headers are."""
    parts = [bytearray(stream), *map(bytearray, slots)]
    for _ in range(random.choice([1, 1, 2])):
        part = random.choice([parts[0], random.choice(parts)])
        place = random.randrange(min(len(part), random.choice([40, 10**6])))
        part[place] = random.choice(
            [part[place] ^ 1 << random.randrange(8), random.randrange(14), 0, 127, 128, 255]
        )
    return bytes(parts[0]), [bytes(part) for part in parts[1:]]


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
def test_readers_agree_on_what_is_damaged(encoding: Encoding) -> None:
    """Whatever bytes: both give the same values, or both refuse."""
    random = Random(encoding.name)
    for kind in EVERY_KIND:
        for values in shapes(kind).values() if encoding.accepts(kind) else ():
            few = first_of(values, 25)
            recipe = next(recipes(encoding, [few], kind), None)
            if recipe is None:
                continue
            writer = PageWriter()
            whole = writer.write(few, kind, recipe)
            for _ in range(12):
                data, slots = _damaged(random, whole, writer.shared.slots)
                assert _by_package(data, slots, count_of(few), kind) == _by_naive(
                    data, slots, count_of(few), kind
                )


def _by_package(data: bytes, slots: list[bytes], count: int, kind: Kind) -> Any:
    cursor = Cursor(data)
    try:
        read = PageReader(SharedViews([memoryview(s) for s in slots], path="", base=0)).read(
            cursor, count, kind
        )
    except (CorruptFileError, UnsupportedVersionError):
        return None
    return stream_values(read), cursor.remaining


def _by_naive(data: bytes, slots: list[bytes], count: int, kind: Kind) -> Any:
    source = Bytes(data)
    try:
        read = Streams(slots).read(source, count, _LETTERS[kind.name])
    except (AssertionError, KeyError, IndexError, StopIteration, snappy.UncompressError, zstandard.ZstdError):
        return None
    top = 1 << 8 * kind.dtype.itemsize
    return (read if kind.is_strings else [int(v) % top for v in read]), len(data) - source.at
