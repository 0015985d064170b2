"""The hash of values: known vectors, and Python, kernel and a naive twin alike."""

from __future__ import annotations

import struct
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt import schema
from lance_fmt.column import Column
from lance_fmt.errors import InvalidDataError, SchemaError
from lance_fmt.hashing import hash_bytes, hash_column, hash_value

M = 2**64
PRIMES = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)
VECTORS = {
    b"": 0xEF46DB3751D8E999,
    b"a": 0xD24EC4F1A98C6E5B,
    b"abc": 0x44BC2CF5AD770999,
    b"asdf": 0x415872F599CEA71E,
    b"Nobody inspects the spammish repetition": 0xFBCEA83C8A378BF1,
    b"The quick brown fox jumps over the lazy dog": 0x0B242D361FDA71BC,
    b"Call me Ishmael. Some years ago--never mind how long precisely-": 0x02A2E85470D6FD96,
}


def rotate(value: int, bits: int) -> int:
    return (value * 2**bits) % M + value // 2 ** (64 - bits)


def naive_round(state: int, lane: int) -> int:
    return rotate((state + lane * PRIMES[1]) % M, 31) * PRIMES[0] % M


def naive_xxh64(data: bytes) -> int:
    """The steps of the specification, one after the other."""
    one, two, three, four, five = PRIMES
    accumulators = [(one + two) % M, two, 0, -one % M]
    rest = data
    if len(data) < 32:
        state = five
    else:
        while len(rest) >= 32:
            lanes, rest = struct.unpack("<4Q", rest[:32]), rest[32:]
            accumulators = [naive_round(s, lane) for s, lane in zip(accumulators, lanes, strict=True)]
        state = sum(rotate(s, bits) for s, bits in zip(accumulators, (1, 7, 12, 18), strict=True)) % M
        for s in accumulators:
            state = ((state ^ naive_round(0, s)) * one + four) % M
    state = (state + len(data)) % M
    while len(rest) >= 8:
        state ^= naive_round(0, int.from_bytes(rest[:8], "little"))
        state, rest = (rotate(state, 27) * one + four) % M, rest[8:]
    if len(rest) >= 4:
        state ^= int.from_bytes(rest[:4], "little") * one % M
        state, rest = (rotate(state, 23) * two + three) % M, rest[4:]
    for byte in rest:
        state = rotate(state ^ byte * five % M, 11) * one % M
    state = (state ^ state // 2**33) * two % M
    state = (state ^ state // 2**29) * three % M
    return state ^ state // 2**32


def test_known_vectors() -> None:
    column = Column.from_pylist(list(VECTORS), schema.binary())
    assert hash_column(column).tolist() == list(VECTORS.values())
    assert [hash_value(v) for v in VECTORS] == list(VECTORS.values())
    assert [naive_xxh64(v) for v in VECTORS] == list(VECTORS.values())
    assert hash_value(0) == 0x34C96ACDCADB1BBB  # eight bytes of zero


def test_every_length_hashes_alike() -> None:
    data = np.random.default_rng(1).bytes(200)
    strings = [data[n % 7 : n % 7 + n] for n in range(150)]
    expected = [naive_xxh64(s) for s in strings]
    assert hash_column(Column.from_pylist(strings, schema.binary())).tolist() == expected
    assert [hash_bytes(s) for s in strings] == expected


@given(st.lists(st.binary(max_size=80)))
def test_byte_strings(values: list[bytes]) -> None:
    hashes = hash_column(Column.from_pylist(values, schema.binary()))
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [hash_value(v) for v in values] == [naive_xxh64(v) for v in values]


@given(st.lists(st.text(max_size=20), min_size=3))
def test_text_is_its_utf8_wherever_offsets_begin(values: list[str]) -> None:
    part = Column.from_pylist(values, schema.string()).slice(1, len(values) - 1)
    expected = [naive_xxh64(v.encode()) for v in values[1:-1]]
    assert hash_column(part).tolist() == [hash_value(v) for v in values[1:-1]] == expected


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers(values: list[int]) -> None:
    expected = [naive_xxh64((v % M).to_bytes(8, "little")) for v in values]
    array = np.array(values, np.int64)
    before = array.copy()
    assert hash_column(Column.from_numpy(array)).tolist() == [hash_value(v) for v in values] == expected
    assert (array == before).all()
    assert hash_column(Column(schema.timestamp("us"), array)).tolist() == expected


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"])
def test_equal_integers_of_different_widths_hash_alike(dtype: str) -> None:
    info = np.iinfo(dtype)
    values = [0, 1, 100, int(info.max), int(info.min)]
    array = np.array(values, dtype)
    assert hash_column(Column.from_numpy(array)).tolist() == [hash_value(v) for v in values]
    assert [hash_value(v) for v in array] == [hash_value(v) for v in values]


def test_bools_hash_as_numbers() -> None:
    assert hash_column(Column.from_numpy(np.array([True, False]))).tolist() == [hash_value(1), hash_value(0)]
    assert hash_value(True) == hash_value(1)


@given(st.lists(st.floats(allow_nan=False)))
def test_floats(values: list[float]) -> None:
    expected = [naive_xxh64(struct.pack("<d", 0.0 if v == 0 else v)) for v in values]
    assert hash_column(Column.from_numpy(np.array(values, np.float64))).tolist() == expected
    assert [hash_value(v) for v in values] == expected


@given(st.lists(st.floats(allow_nan=False, width=16)))
def test_equal_floats_of_different_widths_hash_alike(values: list[float]) -> None:
    expected = [hash_value(v) for v in values]
    for dtype in (np.float16, np.float32):
        assert hash_column(Column.from_numpy(np.array(values, dtype))).tolist() == expected
        assert [hash_value(dtype(v)) for v in values] == expected


def test_types_that_are_held_as_others() -> None:
    column = Column.from_pylist([1.5, -0.0, -300.0], schema.bfloat16())
    assert hash_column(column).tolist() == [hash_value(v) for v in (1.5, 0.0, -300.0)]
    dates = Column(schema.date(), np.array([-1, 20_000], np.int32))
    assert hash_column(dates).tolist() == [hash_value(-1), hash_value(20_000)]
    with pytest.raises(SchemaError, match="decimal"):
        hash_column(Column.from_pylist([Decimal("1.5")], schema.decimal(5, 1)))


def test_minus_zero_is_zero() -> None:
    assert hash_value(-0.0) == hash_value(0.0)
    assert len(set(hash_column(Column.from_numpy(np.array([0.0, -0.0]))).tolist())) == 1


def test_rows_without_a_value_do_not_disturb_others() -> None:
    column = Column.from_pylist(["x", None, "y"], schema.string())
    hashes = hash_column(column)
    assert (int(hashes[0]), int(hashes[2])) == (hash_value("x"), hash_value("y"))
    floats = hash_column(Column.from_numpy(np.array([1.5, np.nan, 2.5])))
    assert (int(floats[0]), int(floats[2])) == (hash_value(1.5), hash_value(2.5))


def test_every_second_row_of_an_array() -> None:
    array = np.arange(20)[::2]
    assert hash_column(Column(schema.int64(), array)).tolist() == [hash_value(v) for v in range(0, 20, 2)]


def test_refusals() -> None:
    with pytest.raises(InvalidDataError, match="NaN"):
        hash_value(float("nan"))
    for number in (2**64, -(2**63) - 1):
        with pytest.raises(InvalidDataError, match="64 bits"):
            hash_value(number)
    with pytest.raises(SchemaError, match="NoneType"):
        hash_value(None)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="vector"):
        hash_column(Column.from_numpy(np.zeros((2, 3), np.float32)))
    with pytest.raises(SchemaError, match="list"):
        hash_column(Column.from_pylist([[1]], schema.list_(schema.int64())))
