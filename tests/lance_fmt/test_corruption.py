"""Damaged and forged files: right data or a typed error, never anything else."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import lance_fmt
from lance_fmt import (
    Column,
    CorruptFileError,
    Field,
    FormatError,
    SchemaError,
    UnsupportedVersionError,
    auxiliary,
    column_pages,
    disk_array,
    field,
    footer,
    reader,
    row_index,
)
from lance_fmt.checksum import crc32c
from lance_fmt.constants import StreamId
from lance_fmt.v1 import ENCODINGS, lists
from tests.support.checksums import AgreesWithAll, repair
from tests.support.format_values import file_of, sample_columns


def _small_columns() -> dict[str, Column]:
    """Every layout and every encoding in a file of a few kilobytes."""
    n = 64
    rng = np.random.default_rng(3)
    numbers = (rng.integers(0, 2**16, n) + 10**12).tolist()
    keys = [rng.bytes(20) for _ in range(4)]
    steps = np.cumsum(rng.integers(0, 9, n))
    kind = lance_fmt.struct([Field("x", lance_fmt.decimal(20, 2)), Field("y", lance_fmt.string())])
    return {
        "plain": Column.from_numpy(np.arange(n) * 0.1),
        "v": Column.from_numpy(np.arange(n * 3, dtype=np.float32).reshape(n, 3)),
        "packed": Column.from_pylist(
            [None if i % 5 == 0 else v for i, v in enumerate(numbers)], lance_fmt.int64()
        ),
        "bitpacked": Column.from_numpy((np.arange(n) * 7 % 32).astype(np.uint16)),
        "frame_of_reference": Column.from_pylist(numbers, lance_fmt.int64()),
        "delta": Column.from_numpy(steps),
        "varint": Column.from_numpy(steps.astype(np.uint32)),
        "run_length": Column.from_numpy(np.arange(n) // 9),
        "constant": Column.from_numpy(np.full(n, 7)),
        "dictionary": Column.from_pylist([keys[i * 7 % 4] for i in range(n)], lance_fmt.binary()),
        "byte_stream_split": Column.from_numpy(np.arange(n) * np.float32(0.1)),
        "alp": Column.from_numpy(np.arange(n) / 4),
        "fsst": Column.from_pylist(
            [None if i % 9 == 0 else f"é{i} and é" for i in range(n)], lance_fmt.string()
        ),
        "snappy": Column.from_pylist([f"{i % 7} snap" for i in range(n)], lance_fmt.string()),
        "zstd": Column.from_pylist([{"a": i} for i in range(n)], lance_fmt.json()),
        "flag": Column.from_pylist([True, False, None, True] * (n // 4), lance_fmt.bool_()),
        "tags": Column.from_pylist(
            [["a", None, "bc"][: i % 4] for i in range(n)], lance_fmt.list_(lance_fmt.string(), True)
        ),
        "pair": Column.from_pylist([{"x": i, "y": None if i % 3 else "y"} for i in range(n)], kind),
        "time": Column.from_numpy(np.arange(n).astype("M8[s]")),
        "none": Column.nulls(lance_fmt.float32(), n),
    }


STREAMS = {e.name.lower() for e in StreamId}
FORCED = {name: name for name in _small_columns() if name in STREAMS}
SMALL = file_of(
    _small_columns(), metadata={"who": "test"}, encodings=FORCED, row_index=["packed"], bloom=["fsst"]
)


def _owners() -> list[str]:
    """Whose each byte of the file is: a column's, "" where it is nobody's."""
    owners = [""] * len(SMALL)
    with lance_fmt.open(SMALL) as file:
        for name in file.schema.names:
            info, reader = file.column(name), file._reader(name)
            extents = [(start, stop) for start, stop, _ in reader.regions()]
            extents.append((info.metadata_offset, info.metadata_offset + info.metadata_length))
            for start, stop in extents:
                owners[start:stop] = [name] * (stop - start)
    return owners


def _auxiliary() -> list[int]:
    """Every byte of the row index and the Bloom filters: no row needs them."""
    with lance_fmt.open(SMALL) as file:
        regions = [r for name in file.schema.names for r in file._reader(name).meta.regions]
    return [byte for r in regions for byte in range(r.offset, r.offset + r.length)]


OWNERS = _owners()


def _read_all(data: bytes, name: str = "") -> lance_fmt.Table:
    """Everything, or one column."""
    with lance_fmt.open(data) as file:
        assert file.metadata == {"who": "test"}
        return file.read([name] if name else None)


def _same(table: lance_fmt.Table, columns: dict[str, Column]) -> bool:
    return list(table) == list(columns) and all(table[n].equals(c) for n, c in columns.items())


def test_the_small_file_has_every_encoding() -> None:
    with lance_fmt.open(SMALL) as file:
        used = " ".join(file.column(name).encoding for name in file.schema.names)
    assert set(re.findall(r"[a-z_]+", used)) == STREAMS


def test_a_flip_of_any_byte_is_found() -> None:
    assert _same(_read_all(SMALL), _small_columns())
    spared = set(_auxiliary())
    for position in range(0, len(SMALL), 2):
        position = min(position + position // 16 % 2, len(SMALL) - 1)  # noqa: PLW2901 (all bits of all bytes)
        damaged = bytearray(SMALL)
        damaged[position] ^= 1 << position % 8
        if position not in spared:
            with pytest.raises(CorruptFileError):
                _read_all(bytes(damaged), OWNERS[position] or "plain")


def test_a_flip_of_any_byte_is_found_by_verify() -> None:
    for position in [*range(0, len(SMALL), 61), *_auxiliary()[::9]]:
        damaged = bytearray(SMALL)
        damaged[position] ^= 0xFF
        with pytest.raises(CorruptFileError), lance_fmt.open(bytes(damaged)) as file:
            file.verify()


def test_every_truncation_and_extension_is_found() -> None:
    for length in range(len(SMALL)):
        with pytest.raises(CorruptFileError):
            lance_fmt.open(SMALL[:length])
    for extra in (b"\0", b"LFMT", SMALL):
        with pytest.raises(CorruptFileError):
            lance_fmt.open(SMALL + extra)


def _read_rows(data: bytes, rows: range) -> None:
    with lance_fmt.open(data) as file:
        for row in rows:
            file.row(row)


def test_flips_in_a_file_of_many_pages() -> None:
    vectors = np.random.default_rng(0).standard_normal((3000, 128), dtype=np.float32)
    data = file_of({"v": vectors, "n": np.arange(3000), "s": [f"{i}" * 90 for i in range(3000)]})
    assert len(data) > 1 << 20
    for position in [*np.random.default_rng(1).integers(0, len(data), 60).tolist(), 0, 30, 63]:
        damaged = bytearray(data)
        damaged[position] ^= 1
        with pytest.raises(CorruptFileError), lance_fmt.open(bytes(damaged)) as file:
            file.read()
        with pytest.raises(CorruptFileError):
            _read_rows(bytes(damaged), range(0, 3000, 8))


def test_the_error_says_where() -> None:
    with lance_fmt.open(SMALL) as file:
        page = file.column("fsst").pages[0]
    damaged = bytearray(SMALL)
    damaged[page.offset + 3] ^= 1
    with pytest.raises(CorruptFileError) as caught:
        _read_all(bytes(damaged))
    assert caught.value.offset == page.offset
    assert "column 'fsst', page 0, block 0" in caught.value.what


def test_a_file_cut_while_open(tmp_path: Any) -> None:
    path = tmp_path / "cut.lfmt"
    path.write_bytes(file_of({"s": [f"{i}" * 90 for i in range(3000)]}))
    with lance_fmt.open(path) as file:
        with path.open("r+b") as handle:
            handle.truncate(5000)
        with pytest.raises(CorruptFileError):
            file.read()


@pytest.fixture
def forged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checksums that are always right, as in a file made by an attacker."""
    for module in (reader, column_pages, disk_array, footer, auxiliary, row_index):
        monkeypatch.setattr(module, "crc32c", lambda *_: AgreesWithAll(0))


def _exercise(data: bytes, names: set[str]) -> None:
    """Use a forged file in every way; only the package's own errors may come out.

    `names` are the columns to use; "" stands for all.
    """
    for use in (_use_read, _use_rows, _use_info, _use_filters, _use_what_is_left):
        try:
            with lance_fmt.open(data) as file:
                use(file, file.schema.names if "" in names else sorted(names))
        except FormatError:
            continue


def _use_read(file: lance_fmt.File, names: list[str]) -> None:
    for column in file.read(names).values():
        column.to_pylist()


def _use_rows(file: lance_fmt.File, names: list[str]) -> None:
    for row in range(0, min(file.num_rows, 100), 13):
        file.row(row, names)


def _use_info(file: lance_fmt.File, names: list[str]) -> None:
    for name in names:
        file.column(name)


VALUES = {"packed": 10**12 + 5, "fsst": "é3 and é", "dictionary": b"", "snappy": "3 snap", "flag": True}


def _use_filters(file: lance_fmt.File, names: list[str]) -> None:
    for name in names:
        with suppress(SchemaError):  # a struct has no order
            value = VALUES.get(name, 5)
            assert all(0 <= row < file.num_rows for row in file.find(name, value))
            file.read([name], filter=field(name).is_null() | ~(field(name) <= value))


def _use_what_is_left(file: lance_fmt.File, names: list[str]) -> None:
    if file.num_rows < 1000:
        file.read(names, on_damage="null")
        file.read(names, on_damage="skip")
    if len(names) == 1:
        file.damage(names[0])
    else:
        file.verify()


@pytest.mark.usefixtures("forged")
def test_a_forged_byte_anywhere() -> None:
    for position in range(64, len(SMALL) - 4, 29):
        damaged = bytearray(SMALL)
        damaged[position] ^= (0x01, 0x80, 0xFF)[position % 3]
        _exercise(bytes(damaged), {OWNERS[position]})


@pytest.mark.usefixtures("forged")
def test_forged_words_anywhere() -> None:
    rng = np.random.default_rng(5)
    for _ in range(100):
        damaged, owners = bytearray(SMALL), set()
        for _ in range(int(rng.integers(1, 4))):
            position = int(rng.integers(64, len(SMALL) - 12))
            word = [2**64 - 1, 2**63, 0, 2**31, 1][int(rng.integers(5))].to_bytes(8, "little")
            size = [1, 2, 4, 8][int(rng.integers(4))]
            damaged[position : position + size] = word[:size]
            owners.add(OWNERS[position])
        _exercise(bytes(damaged), owners)


def _patched_footer(**changes: Any) -> bytes:
    fields = {f: getattr(lance_fmt.open(SMALL).footer, f) for f in footer.Footer.__dataclass_fields__}
    return SMALL[:-64] + footer.Footer(**{**fields, **changes}).to_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"num_rows": 65},
        {"num_rows": 2**60},
        {"table_offset": 0},
        {"table_offset": 2**63},
        {"num_columns": 2**32 - 1},
        {"schema_length": 2**32 - 1},
        {"file_length": 1},
    ],
)
def test_a_forged_footer(changes: dict[str, int]) -> None:
    with pytest.raises(CorruptFileError):
        _read_all(_patched_footer(**changes))


def test_newer_versions_and_features_are_named() -> None:
    with pytest.raises(UnsupportedVersionError, match=r"version 9\.3"):
        lance_fmt.open(_patched_footer(version=(9, 3)))
    with pytest.raises(UnsupportedVersionError, match="0x8"):
        lance_fmt.open(_patched_footer(features=8))


def test_a_newer_minor_version_is_read() -> None:
    assert _same(_read_all(_patched_footer(version=(1, 200))), _small_columns())


def test_a_newer_header_is_named() -> None:
    head = bytearray(SMALL[:60])
    head[4] = 7
    data = bytes(head) + crc32c(bytes(head)).to_bytes(4, "little") + SMALL[64:]
    with pytest.raises(UnsupportedVersionError, match=r"version 7\."):
        lance_fmt.open(data)


@pytest.mark.usefixtures("forged")
def test_unknown_type_and_encoding_ids_are_named() -> None:
    with lance_fmt.open(SMALL) as file:
        schema_offset, info = file.footer.schema_offset, file.column("plain")
    name_and_nullable = 4 + len("plain") + 1
    data = bytearray(SMALL)
    data[schema_offset + name_and_nullable] = 99
    with pytest.raises(UnsupportedVersionError, match="type id 99"):
        _ = lance_fmt.open(bytes(data)).schema
    data = bytearray(SMALL)
    data[info.metadata_offset + 24 + 44] = 77
    with pytest.raises(UnsupportedVersionError, match="encoding id 77"):
        lance_fmt.open(bytes(data)).read(["plain"])


@pytest.mark.parametrize("nulls", [15, 17, 1])
def test_null_counts_that_the_values_contradict_are_found(nulls: int) -> None:
    data = bytearray(file_of({"n": [1, None, 3, 4] * 16}))
    with lance_fmt.open(bytes(data)) as file:
        info = file.column("n")
    for place in (info.pages[0].index_offset + 8 + 12, info.metadata_offset + 24 + 36):
        assert int.from_bytes(data[place : place + 4], "little") == 16
        data[place : place + 4] = nulls.to_bytes(4, "little")
    with lance_fmt.open(repair(data)) as file, pytest.raises(CorruptFileError):
        file.read()


def test_a_forged_null_in_a_column_that_may_have_none_is_found_by_verify() -> None:
    data = file_of({"n": [1, 2, None]})
    schema = lance_fmt.open(data).footer.schema_offset
    changed = bytearray(data)
    changed[schema + 4 + len("n")] ^= 1  # nullable
    with lance_fmt.open(repair(changed)) as file:
        assert not file.schema["n"].nullable
        with pytest.raises(CorruptFileError, match="nulls where none may be"):
            file.verify()
        assert [place.block for place in file.damage()] == [0]


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 40))
@example(b"\0" * 15 + b"\x41", 3, 0)
def test_blocks_of_noise(encoding: Any, noise: bytes, rows: int, which: int) -> None:
    columns = list(sample_columns(4).values())
    kind = columns[which % len(columns)].type
    _decode_noise(lambda: lists.decode(encoding, lance_fmt.Cursor(noise), rows, kind, None))
    _decode_noise(lambda: lists.open_shared(encoding, lance_fmt.Cursor(noise), kind))


def _decode_noise(decode: Callable[[], object]) -> None:
    try:
        decode()
    except CorruptFileError:
        return
