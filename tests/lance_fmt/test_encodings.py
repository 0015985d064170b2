"""Every encoding on every kind of values: the blocks of a page come back one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column, CorruptFileError, Cursor
from lance_fmt.v1 import ENCODINGS, Encoding, lists
from lance_fmt.v1.integers import packed_size, read_integers, write_integers
from lance_fmt.wire import Builder
from tests.support.format_values import repeated, sample_columns

EVERY = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
SAMPLES = {name: repeated(c, 300) for name, c in sample_columns(9).items() if c.validity is None}
SAMPLES["one value"] = Column.from_numpy(np.full(300, -7, np.int8))
SAMPLES["extremes"] = Column.from_numpy(np.array([-(2**63), 2**63 - 1, 0] * 100))
SAMPLES["no items"] = Column.from_pylist([[]] * 300, lance_fmt.list_(lance_fmt.string()))
STARTS = [0, 1, 100, 228, 300]
pairs = pytest.mark.parametrize(
    ("encoding", "name"),
    [
        pytest.param(encoding, name, id=f"{encoding.name}-{name}")
        for encoding in ENCODINGS.values()
        for name, column in SAMPLES.items()
        if lists.accepts(encoding, column.type)
    ],
)


def _bare(column: Column) -> Column:
    return Column(column.type, column.values, column.offsets)


@pairs
def test_blocks_come_back(encoding: Encoding, name: str) -> None:
    column = SAMPLES[name]
    encoded = lists.encode(encoding, column, STARTS, 3)
    if encoded is None:
        assert encoding.name == "dictionary"
        return
    shared = lists.open_shared(encoding, Cursor(encoded.shared), column.type)
    for block, (a, b) in zip(encoded.blocks, pairwise(STARTS), strict=True):
        decoded = lists.decode(encoding, Cursor(bytes(block)), b - a, column.type, shared)
        assert decoded.equals(_bare(column.slice(a, b)))


@pairs
def test_a_block_is_used_up_exactly(encoding: Encoding, name: str) -> None:
    column = SAMPLES[name]
    encoded = lists.encode(encoding, column, [0, 300], 3)
    if encoded is None:
        return
    block = bytes(encoded.blocks[0])
    shared = lists.open_shared(encoding, Cursor(encoded.shared), column.type)
    for wrong in (block + b"\0", block[:-1], block[:10], b""):
        with pytest.raises(CorruptFileError):
            lists.decode(encoding, Cursor(wrong), 300, column.type, shared)


@EVERY
def test_there_is_a_sample_of_each(encoding: Encoding) -> None:
    written = [
        name
        for name, column in SAMPLES.items()
        if lists.accepts(encoding, column.type) and lists.encode(encoding, column, STARTS, 3) is not None
    ]
    assert len(written) >= 8


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000])
@pytest.mark.parametrize("top", [0, 1, 1000, 2**40, 2**64 - 1])
def test_integers(count: int, top: int) -> None:
    values = np.linspace(0, 1, count)
    numbers = np.array([min(int(v * top), top) for v in values.tolist()], np.uint64)
    raw = write_integers(numbers, 0)
    assert len(raw) == (
        16 + packed_size(count, max(numbers.tolist(), default=0).bit_length()) if count else 0
    )
    cursor = Cursor(raw + b"rest")
    assert read_integers(cursor, count).tolist() == numbers.tolist()
    assert cursor.remaining == 4


def test_integers_wrap_around_their_base() -> None:
    numbers = np.array([2**64 - 2, 2**64 - 1, 0, 1], np.uint64)
    raw = write_integers(numbers, 2**64 - 2)
    assert Cursor(raw[8:]).u64() == 2
    assert read_integers(Cursor(raw), 4).tolist() == numbers.tolist()


def _zstd_block(size: int, content: bytes) -> bytes:
    import zstandard

    return Builder().u64(size).raw(zstandard.ZstdCompressor().compress(content)).finish()


@pytest.mark.parametrize(
    "block",
    [
        _zstd_block(2**40, b"a" * 8),
        _zstd_block(16, b"a" * 8),
        _zstd_block(8, b"a" * 16),
        _zstd_block(7, b"a" * 7),
        _zstd_block(2**27, b"a" * 8),
        _zstd_block(8, b"a" * 8) + b"more",
        Builder().u64(8).raw(b"no frame at all").finish(),
    ],
)
def test_zstandard_believes_no_size(block: bytes) -> None:
    encoding = ENCODINGS[lance_fmt.constants.EncodingId.ZSTD]
    good = encoding.decode(Cursor(_zstd_block(8, b"a" * 8)), 1, lance_fmt.int64(), None)
    assert good.array.tolist() == [0x6161616161616161]
    with pytest.raises(CorruptFileError):
        encoding.decode(Cursor(block), 1, lance_fmt.int64(), None)


def test_strings_of_half_characters_are_refused() -> None:
    plain = ENCODINGS[lance_fmt.constants.EncodingId.PLAIN]
    whole = Column.from_pylist(["aä", "b"], lance_fmt.string())
    for offsets in ([0, 2, 4], [0, 3, 4]):
        column = Column(lance_fmt.binary(), whole.array, np.array(offsets))
        block = bytes(plain.encode(column, [0, 2], 0).blocks[0])  # type: ignore[union-attr]
        if offsets[1] == 3:
            assert plain.decode(Cursor(block), 2, lance_fmt.string(), None).equals(whole)
        else:
            with pytest.raises(CorruptFileError, match="inside a UTF-8 character"):
                plain.decode(Cursor(block), 2, lance_fmt.string(), None)


def test_unused_bits_of_a_bitmap_are_zero() -> None:
    plain = ENCODINGS[lance_fmt.constants.EncodingId.PLAIN]
    with pytest.raises(CorruptFileError, match="bitmap"):
        plain.decode(Cursor(b"\xff"), 3, lance_fmt.bool_(), None)


def test_a_code_without_a_value_is_refused() -> None:
    encoding = ENCODINGS[lance_fmt.constants.EncodingId.DICTIONARY]
    values = Column.from_pylist([5, 9], lance_fmt.int64())
    codes = np.array([0, 1, 2], np.uint64)
    with pytest.raises(CorruptFileError, match="code 2 without a value"):
        encoding.decode(Cursor(write_integers(codes, 0)), 3, lance_fmt.int64(), values)


@EVERY
def test_lists_claim_no_more_items_than_the_format_allows(encoding: Encoding) -> None:
    """Items of width 0 take no bytes: only the limit keeps a few bytes from asking for any amount of memory."""
    values = Column.from_pylist([5], lance_fmt.int64())
    for claim in (2**24 + 1, 2**40, 2**63, 2**64 - 1):
        lengths = write_integers(np.array([claim], np.uint64), claim)
        block = lengths + write_integers(np.zeros(1, np.uint64), 0)
        with pytest.raises(CorruptFileError, match="possible here"):
            lists.decode(encoding, Cursor(block), 1, lance_fmt.list_(lance_fmt.int64()), values)
