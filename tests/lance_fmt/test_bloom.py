"""Bloom filters: no false negatives, few false positives, and bit for bit what the specification says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt import bloom
from lance_fmt.errors import CorruptFileError, InvalidDataError
from lance_fmt.wire import Cursor

HASHES = st.integers(0, 2**64 - 1)
SALTS = [0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31]


def naive_places(value: int, blocks: int) -> list[int]:
    """Numbers of the bits of a hash in the whole filter."""
    block = (value // 2**32) * blocks // 2**32
    return [block * 256 + j * 32 + (value % 2**32 * salt % 2**32) // 2**27 for j, salt in enumerate(SALTS)]


def naive_build(hashes: list[int], blocks: int) -> bytes:
    filled = bytearray(32 * blocks)
    for value in hashes:
        for place in naive_places(value, blocks):
            filled[place // 8] |= 1 << place % 8
    return bytes(filled)


@given(st.lists(HASHES, max_size=200), st.lists(HASHES, max_size=30), st.sampled_from([1, 4.5, 10, 16]))
def test_does_as_its_twin(hashes: list[int], others: list[int], bits: float) -> None:
    data = bloom.build(np.array(hashes, np.uint64), bits)
    blocks = max(1, int(np.ceil(len(hashes) * bits / 256)))
    assert data == naive_build(hashes, blocks)
    number = int.from_bytes(data, "little")
    for value in others:
        expected = all(number >> place & 1 for place in naive_places(value, blocks))
        assert bloom.may_contain(memoryview(data), value) == expected


@given(st.lists(HASHES, min_size=1, max_size=300), st.floats(1, 64))
def test_no_false_negatives(hashes: list[int], bits: float) -> None:
    data = bloom.build(np.array(hashes, np.uint64), bits)
    assert all(bloom.may_contain(data, value) for value in hashes)


@given(st.lists(HASHES, max_size=100), st.lists(HASHES, max_size=40), st.integers(0, 2))
def test_any_is_any(hashes: list[int], others: list[int], known: int) -> None:
    data = memoryview(bloom.build(np.array(hashes, np.uint64)))
    asked = others + hashes[:known]
    expected = any(bloom.may_contain(data, value) for value in asked)
    assert bloom.may_contain_any(data, np.array(asked, np.uint64)) == expected


def test_two_in_a_hundred_others_pass_at_most() -> None:
    rng = np.random.default_rng(7)
    data = bloom.build(rng.integers(0, 2**64, 50_000, np.uint64))
    assert len(data) <= 50_000 * 10 // 8 + 32
    others = rng.integers(0, 2**64, 20_000, np.uint64).tolist()
    rate = sum(bloom.may_contain(data, value) for value in others) / len(others)
    assert 0.002 < rate < 0.02


def test_a_filter_of_nothing_holds_nothing() -> None:
    data = bloom.build(np.empty(0, np.uint64))
    assert data == bytes(32)
    assert not bloom.may_contain(data, 0) and not bloom.may_contain(data, 2**64 - 1)
    assert not bloom.may_contain_any(data, np.arange(100, dtype=np.uint64))


@pytest.mark.parametrize(
    ("count", "bits", "blocks"), [(25, 10, 1), (26, 10, 2), (51, 10, 2), (52, 10, 3), (1, 64, 1)]
)
def test_sizes_are_rounded_up(count: int, bits: float, blocks: int) -> None:
    hashes = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert bloom.build(hashes, bits) == naive_build(hashes.tolist(), blocks)


def test_the_last_block_is_used_and_nothing_behind_it() -> None:
    data = bloom.build(np.array([2**64 - 1] * 100, np.uint64))
    assert not any(data[:-32]) and any(data[-32:])


@pytest.mark.parametrize("bits", [0, 0.5, 65, float("nan"), -1])
def test_sizes_that_make_no_sense(bits: float) -> None:
    with pytest.raises(InvalidDataError, match="bits"):
        bloom.build(np.zeros(1, np.uint64), bits)


def test_reading_takes_whole_blocks_that_are_there() -> None:
    data = bytes(range(96))
    cursor = Cursor(data, path="f", base=1000)
    assert bloom.read(cursor, 64) == data[:64]
    for length in (0, 33, 31, 64, 2**64):
        with pytest.raises(CorruptFileError, match=r"f: damaged at byte 1064: Bloom filter"):
            bloom.read(cursor, length)
