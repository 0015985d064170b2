"""Makes the golden files, once: `python -m tests.support.golden_files`.

A builder never changes after its file is committed; a new version of the format gets new builders and new
names. Files that exist are never written again.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lance_fmt
from lance_fmt import Column, DataType, Field, Table
from tests.support.format_values import file_of, sample_columns

FOLDER = Path(__file__).resolve().parents[1] / "golden"


def types_1_0() -> Table:
    """Every type, with and without nulls."""
    return Table(sample_columns(40))


def pages_1_0() -> Table:
    """Every encoding, several pages and blocks."""
    i = np.arange(3000)
    columns = {
        "packed": Column.from_numpy(i * 7919 % 1021 + 10**6),
        "dictionary": Column.from_pylist([f"{(k * k) % 7:050d}" for k in range(3000)], lance_fmt.string()),
        "zstd": Column.from_pylist([f"text number {k % 900} " * 40 for k in range(3000)], lance_fmt.string()),
        "plain": Column.from_numpy((np.arange(3000 * 8) % 251).astype(np.float32).reshape(3000, 8) / 7),
    }
    return Table(columns)


def rows_1_0() -> Table:
    """More rows than one page of numbers holds."""
    i = np.arange(140_000)
    some = Column.from_numpy(i // 5000, None, i // 5000 % 2 == 0)
    return Table({"some": some, "none": Column.nulls(lance_fmt.bool_(), len(i))})


_ROWS = 90
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_POINT = lance_fmt.struct(
    [
        Field("x", lance_fmt.float32(), False, {"unit": "m"}),
        Field("label", lance_fmt.string()),
        Field("tags", lance_fmt.list_(lance_fmt.string(), True)),
    ]
)


def _numbers(dtype: Any) -> np.ndarray[Any, Any]:
    """Runs, small numbers and both ends of the integers."""
    i = np.arange(_ROWS)
    values = (i // 5 * 3 % 100).astype(dtype)
    if np.dtype(dtype).kind in "iu":
        values[[7, 60]] = np.iinfo(dtype).min, np.iinfo(dtype).max
    return values


def _floats(dtype: Any) -> np.ndarray[Any, Any]:
    """Numbers of one decimal place, and what is special about floats."""
    values = (np.arange(_ROWS) * 7 % 100 / 10).astype(dtype)
    values[[3, 30, 31, 62, 63]] = float("nan"), -0.0, float("inf"), -float("inf"), np.finfo(dtype).max
    return values


def _texts() -> list[str]:
    words = ["red", "grün", "", "a sentence that is repeated, a sentence that is repeated", "x" * 70, "日本"]
    return [words[i * i % 11 % 6] if i % 3 else f"https://example.org/item/{i}" for i in range(_ROWS)]


def _point(i: int) -> dict[str, Any]:
    tags = [None if j == 1 else f"tag {j}" for j in range(i % 4)]
    return {
        "x": i / 4,
        "label": None if i % 4 == 2 else f"point {i % 9}",
        "tags": None if i % 5 == 1 else tags,
    }


def _plain_columns() -> dict[str, Column]:
    """A column of each type without types inside, no nulls."""
    i = np.arange(_ROWS)
    columns = {name: Column.from_numpy(_numbers(name)) for name in _INTEGERS}
    columns |= {name: Column.from_numpy(_floats(name)) for name in ("float16", "float32", "float64")}
    words = np.stack([i.astype(np.int64) * 10**17, -(i % 2)], axis=1).astype(np.int64).view(np.uint64)
    columns["bool"] = Column.from_numpy(i // 7 % 2 == 0)
    columns["bfloat16"] = Column(lance_fmt.bfloat16(), (i * 977 % 65536).astype(np.uint16))
    columns["decimal"] = Column(lance_fmt.decimal(38, 5), words)
    columns["string"] = Column.from_pylist(_texts(), lance_fmt.string())
    columns["binary"] = Column.from_pylist(
        [bytes(range(k % 5)) + b"\xff\0" * (k % 3) for k in range(_ROWS)], lance_fmt.binary()
    )
    columns["json"] = Column.from_pylist(
        [[{"a": k % 8}, [1, "ä", None], "text"][k % 3] for k in range(_ROWS)], lance_fmt.json()
    )
    columns["date"] = Column(lance_fmt.date(), (i * 31 - 500).astype(np.int32))
    columns |= {f"time {unit}": Column(lance_fmt.time(unit), i * 100) for unit in ("s", "ms")}
    columns |= {f"duration {unit}": Column(lance_fmt.duration(unit), i * i - 99) for unit in ("us", "ns")}
    columns["timestamp us"] = Column(lance_fmt.timestamp("us"), 1_700_000_000 + i * 60)
    columns["timestamp zone"] = Column(lance_fmt.timestamp("us", "Europe/Berlin"), i * 10**9)
    return columns


def _lists(item: DataType, values: list[Any], *, nullable: bool = False) -> Column:
    rows = [values[k : k + k % 4] for k in range(_ROWS - 4)] + [[], [], [], []]
    return Column.from_pylist(rows, lance_fmt.list_(item, nullable))


def _nested_columns() -> dict[str, Column]:
    """Vectors, lists and structs, and some of each in others."""
    i = np.arange(_ROWS)
    points = [_point(k) for k in range(_ROWS)]
    halves = (i[:, None] * [1, 3]).astype(np.uint16)
    scores = [None if k % 6 == 1 else k * 11 % 256 for k in range(_ROWS)]
    matrix = [[[[k, j], None][: k % 3] for j in range(k % 3)] for k in range(_ROWS)]
    rows = lance_fmt.list_(lance_fmt.vector(lance_fmt.int8(), 2), True)
    return {
        "vector": Column.from_numpy((i[:, None] * [1.0, 0.5, -0.25] % 9).astype(np.float32)),
        "vector of bfloat16": Column(lance_fmt.vector(lance_fmt.bfloat16(), 2), halves),
        "list": _lists(lance_fmt.uint16(), list(range(_ROWS))),
        "list of strings": _lists(lance_fmt.string(), _texts()),
        "list with nulls": _lists(lance_fmt.uint8(), scores, nullable=True),
        "list of lists": Column.from_pylist(matrix, lance_fmt.list_(rows)),
        "struct": Column.from_pylist(points, _POINT),
        "list of structs": _lists(_POINT, points),
        "struct of struct": Column.from_pylist(
            [{"p": None if k % 7 == 2 else p, "d": Decimal(f"{k}.5")} for k, p in enumerate(points)],
            lance_fmt.struct({"p": _POINT, "d": lance_fmt.decimal(9, 1)}),
        ),
    }


def _with_nulls(column: Column) -> Column:
    """Every fourth row null, and some next to each other."""
    i = np.arange(_ROWS)
    return Column(column.type, column.values, column.offsets, (i % 4 != 1) & ((i < 40) | (i > 44)))


def types_1_1() -> Table:
    """Every type of 1.1, with nulls; and vectors without, which are one array on disk."""
    columns = {
        f"{name}?": _with_nulls(column) for name, column in (_plain_columns() | _nested_columns()).items()
    }
    vectors = {name: _nested_columns()[name] for name in ("vector", "vector of bfloat16")}
    return Table({**columns, **vectors, "nothing": Column.nulls(_POINT, _ROWS)})


def auxiliary_1_1() -> Table:
    """What row indexes and Bloom filters hold: integers, floats, times and byte strings."""
    kept = ("int32", "uint64", "float32", "float64", "string", "binary", "json", "date", "timestamp us")
    columns = _plain_columns()
    ids = Column.from_pylist([f"id-{k * 7919 % 1009:04d}" for k in range(_ROWS)], lance_fmt.string())
    return Table({"id": ids, **{f"{name}?": _with_nulls(columns[name]) for name in kept}})


def blocks_1_1() -> Table:
    """Several blocks of a page: full, mixed, and of nulls alone; a dictionary shared by them."""
    i = np.arange(50_000)
    null = (i > 16_000) & (i < 34_000) | (i % 1000 == 7)
    words = Column.from_pylist([f"category {k}" for k in range(5)], lance_fmt.string())
    columns = {
        "delta": Column.from_numpy(i * 3 + 10**9, None, ~null),
        "run_length": Column.from_numpy(i // 2500 % 2 == 0, None, ~null),
        "dictionary": words.take(i // 1250 % 5),
        "constant": Column.from_numpy(np.full(len(i), 2.5, np.float32), None, ~null),
        "frame_of_reference": Column.from_numpy(
            ((i * 2654435761 >> 13) % 4 - 9).astype(np.int16), None, ~null
        ),
    }
    return Table(columns)


_BYTES = ("string", "binary", "json")
_WITH_BYTES = (*_BYTES, "list of strings", "struct", "list of structs")
_SIGNED = ("int8", "int16", "int32", "int64", "decimal", "date", "time ms", "duration ns", "timestamp us")
_UNSIGNED = ("uint8", "uint16", "uint32", "uint64", "bfloat16", "vector of bfloat16")
_WITH_INTEGERS = (*_SIGNED, *_UNSIGNED, "list", "list with nulls", "list of strings", "list of lists")
_REALS = ("float16", "float32", "float64", "vector")
# The columns of each encoding's file: every kind of value that it is defined for.
ENCODED_1_1: dict[str, tuple[str, ...]] = {
    "plain": ("bool", *_WITH_INTEGERS, *_REALS, *_WITH_BYTES),
    "constant": ("bool", "int8", "int64", "uint16", "float32", "bfloat16", "decimal", "string", "json", "vector one"),
    "bitpacked": (*_UNSIGNED, "list", "list with nulls", "list of strings"),
    "frame_of_reference": _WITH_INTEGERS,
    "delta": _WITH_INTEGERS,
    "varint": _WITH_INTEGERS,
    "run_length": ("bool", *_WITH_INTEGERS, *_REALS, "struct"),
    "dictionary": (*_WITH_INTEGERS, *_REALS, *_WITH_BYTES),
    "byte_stream_split": ("int16", "int32", "int64", "uint16", "uint32", "uint64", "bfloat16", "decimal", "date",
                          "timestamp us", "list", *_REALS),
    "alp": ("float32", "float64", "vector", "struct"),
    "fsst": _WITH_BYTES,
    "snappy": (*_WITH_INTEGERS, *_REALS, *_WITH_BYTES),
    "zstd": (*_WITH_INTEGERS, *_REALS, *_WITH_BYTES),
}  # fmt: skip


def _encoded_1_1(encoding: str) -> Table:
    """Each type that an encoding can write, with nulls."""
    known = _plain_columns() | _nested_columns()
    known["vector one"] = Column.from_numpy(np.ones((_ROWS, 3), np.float64))
    columns = {name: known[name] for name in ENCODED_1_1[encoding]}
    if encoding == "constant":
        columns = {name: column.take(np.full(_ROWS, 4)) for name, column in columns.items()}
    return Table({f"{name}?": _with_nulls(column) for name, column in columns.items()})


# Of format 1.0; of 1.1; all.
GOLDEN: dict[str, Callable[[], Table]] = {
    "v1.0-types.lfmt": types_1_0,
    "v1.0-pages.lfmt": pages_1_0,
    "v1.0-rows.lfmt": rows_1_0,
}
GOLDEN_1_1: dict[str, Callable[[], Table]] = {
    "v1.1-types.lfmt": types_1_1,
    "v1.1-auxiliary.lfmt": auxiliary_1_1,
    "v1.1-blocks.lfmt": blocks_1_1,
    **{f"v1.1-{name}.lfmt": partial(_encoded_1_1, name) for name in ENCODED_1_1},
}
ALL_GOLDEN = GOLDEN | GOLDEN_1_1
METADATA = {"made by": "tests.support.golden_files", "ü": ""}


def options_of(name: str) -> dict[str, Any]:
    """How the file is written: which encodings are asked for, what is indexed."""
    columns = list(ALL_GOLDEN[name]())
    if name == "v1.1-auxiliary.lfmt":
        return {"row_index": columns, "bloom": columns}
    if name == "v1.1-blocks.lfmt":
        return {"encodings": {column: column for column in columns}}
    encoding = name.removeprefix("v1.1-").removesuffix(".lfmt")
    return {"encodings": dict.fromkeys(columns, encoding)} if encoding in ENCODED_1_1 else {}


def build(name: str) -> bytes:
    """The bytes of a file as the package writes it today."""
    return file_of(ALL_GOLDEN[name](), metadata=METADATA, **options_of(name))


def main() -> None:
    """Write the files that are missing."""
    FOLDER.mkdir(exist_ok=True)
    for name in ALL_GOLDEN:
        path = FOLDER / name
        if not path.exists():
            path.write_bytes(build(name))
            print(f"wrote {path.name}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
