"""Kernels of the number encodings against naive twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.encodings.alp import INVERSES, POWERS
from lance_fmt.kernels import loader

UNSIGNED = [np.dtype(code) for code in ("u1", "<u2", "<u4", "<u8")]
types = pytest.mark.parametrize("dtype", UNSIGNED, ids=str)


def bits_in(dtype: Any) -> int:
    return 8 * int(dtype.itemsize)


def signed(number: int) -> int:
    return number - (number >> 63 << 64)


def naive_words(values: list[int], width: int, bits: int) -> list[int]:
    """Each lane as one great number, cut into words."""
    lanes = 1024 // bits
    count = -(-(len(values) // lanes) * width // bits)
    streams = [sum(v << (width * i) for i, v in enumerate(values[lane::lanes])) for lane in range(lanes)]
    return [stream >> (bits * k) & ((1 << bits) - 1) for k in range(count) for stream in streams]


@types
def test_packing(dtype: Any) -> None:
    bits = bits_in(dtype)
    g = np.random.default_rng(bits)
    lanes = 1024 // bits
    for width in range(1, bits + 1):
        for rows in (1, 2, bits + 3):
            raw = g.integers(0, 1 << 64, rows * lanes, np.uint64) >> np.uint64(64 - width)
            values = raw.astype(dtype)
            values.flags.writeable = False
            words = np.zeros(-(-rows * width // bits) * lanes, dtype)
            loader.pack_rows()(values, 0, width, words)
            assert words.tolist() == naive_words(values.tolist(), width, bits)
            base = int(g.integers(0, 1 << 64, dtype=np.uint64)) % (1 << bits)
            raised = np.array([(v + base) % (1 << bits) for v in values.tolist()], dtype)
            raised.flags.writeable = False
            again = np.zeros_like(words)
            loader.pack_rows()(raised, signed(base), width, again)
            assert again.tolist() == words.tolist()
            words.flags.writeable = False
            out = np.empty_like(values)
            loader.unpack_rows()(words, width, signed(base), out)
            assert out.tolist() == [(v + base) % (1 << bits) for v in values.tolist()]
            span = int(values[0])
            mask = np.empty(len(values), np.bool_)
            loader.match_rows()(words, width, signed(base), signed(span), mask)
            assert mask.tolist() == [(v - base) % (1 << bits) <= span for v in values.tolist()]


@types
@given(data=st.data())
def test_running_sum(dtype: Any, data: st.DataObject) -> None:
    number = st.integers(0, (1 << bits_in(dtype)) - 1)
    steps, first = data.draw(st.lists(number, min_size=1, max_size=40)), data.draw(number)
    expected = [(first + sum(steps[:i])) % (1 << bits_in(dtype)) for i in range(len(steps))]
    sums = np.array(steps, dtype)
    loader.running_sum()(signed(first), sums)
    assert sums.tolist() == expected


def naive_varints(values: list[int], bits: int) -> bytes:
    out, before = bytearray(), 0
    for value in values:
        step = (value - before + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        number = 2 * step if step >= 0 else -2 * step - 1
        before = value
        while number >= 128:
            out.append(number % 128 + 128)
            number //= 128
        out.append(number)
    return bytes(out)


@types
@given(data=st.data())
def test_varints(dtype: Any, data: st.DataObject) -> None:
    bits = bits_in(dtype)
    number = st.one_of(st.integers(0, 200), st.integers(0, (1 << bits) - 1))
    values = np.array(data.draw(st.lists(number.map(lambda x: x % (1 << bits)), min_size=1)), dtype)
    values.flags.writeable = False
    room = np.empty(len(values) * -(-bits // 7), np.uint8)
    used = loader.write_varints()(values, room)
    assert room[:used].tobytes() == naive_varints(values.tolist(), bits)
    back = np.empty_like(values)
    packed = np.frombuffer(room[:used].tobytes(), np.uint8)
    assert loader.read_varints()(packed, back) == used
    assert back.tolist() == values.tolist()
    for cut in range(used):
        assert loader.read_varints()(packed[:cut], back) == -1


@types
@given(lengths=st.lists(st.integers(0, 70), min_size=1, max_size=20), extra=st.sampled_from([0, 0, -1, 1]))
def test_runs(dtype: Any, lengths: list[int], extra: int) -> None:
    values = (np.arange(len(lengths)) * 77 + 5).astype(dtype)
    counts = np.array(lengths, np.uint32)
    values.flags.writeable = counts.flags.writeable = False
    size = max(0, sum(lengths) + extra)
    out = np.full(size + 16 + 8, 99, dtype)
    fits = sum(lengths) == size and 0 not in lengths
    assert loader.expand_runs()(values, counts, size, out[: size + 16]) == fits
    assert out[size + 16 :].tolist() == [99] * 8
    if fits:
        assert out[:size].tolist() == np.repeat(values, counts).tolist()


def test_hostile_lengths_write_nothing_outside() -> None:
    values, out = np.zeros(2, np.uint8), np.full(40, 99, np.uint8)
    counts = np.array([3, (1 << 32) - 1], np.uint32)
    values.flags.writeable = counts.flags.writeable = False
    assert not loader.expand_runs()(values, counts, 16, out[:32])
    assert out[32:].tolist() == [99] * 8


@pytest.mark.parametrize("dtype", UNSIGNED[1:], ids=str)
@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("size", [16, 17, 31, 32, 100])
def test_planes(dtype: Any, turn: int, size: int) -> None:
    bits = bits_in(dtype)
    raw = np.random.default_rng(bits).integers(0, 256, (dtype.itemsize, size), np.uint8)
    planes = [np.frombuffer(plane.tobytes(), np.uint8) for plane in raw]
    numbers = [sum(int(plane[i]) << (8 * k) for k, plane in enumerate(planes)) for i in range(size)]
    out = np.empty(size, dtype)
    loader.join_planes(dtype.itemsize)(*planes, turn, out)
    assert out.tolist() == [(n >> turn | n << (bits - turn)) % (1 << bits) if turn else n for n in numbers]


@pytest.mark.parametrize("dtype", UNSIGNED[1:], ids=str)
def test_byte_plane(dtype: Any) -> None:
    bits = bits_in(dtype)
    numbers = np.random.default_rng(bits).integers(0, 1 << 64, 50, np.uint64).astype(dtype)
    numbers.flags.writeable = False
    for shift in (*range(0, bits, 8), 7, bits - 1):
        out = np.empty(50, np.uint8)
        loader.byte_plane()(numbers, shift, out)
        assert out.tolist() == [(n >> shift | n << (bits - shift)) % 256 for n in numbers.tolist()]


@pytest.mark.parametrize(("code", "whole", "limit"), [("<f4", "<i4", 2.0**31), ("<f8", "<i8", 2.0**53)])
def test_decimals(code: str, whole: str, limit: float) -> None:
    values = np.array([0.0, -0.0, 1.25, -3.5, 2.5, 0.125, 1e30, -1e30, np.nan, np.inf, 123456.78], code)
    values.flags.writeable = False
    for e, f in ((0, 0), (2, 0), (10, 8), (3, 3)):
        numbers, wrong = np.empty(len(values), whole), np.empty(len(values), np.bool_)
        exponents = POWERS[e], INVERSES[f], POWERS[f], INVERSES[e]
        total = loader.encode_decimals()(values, limit, *exponents, numbers, wrong)
        products = [float(v) * float(POWERS[e]) * float(INVERSES[f]) for v in values]
        assert numbers.tolist() == [round(p) if abs(p) < limit else 0 for p in products]
        numbers.flags.writeable = False
        back = np.empty(len(values), code)
        loader.decode_decimals()(numbers, POWERS[f], INVERSES[e], back)
        naive = [n * float(POWERS[f]) * float(INVERSES[e]) for n in map(float, numbers.tolist())]
        assert back.tobytes() == np.array(naive).astype(code).tobytes()
        same = [a.tobytes() == b.tobytes() for a, b in zip(values, back, strict=True)]
        assert wrong.tolist() == [not right for right in same]
        assert total == same.count(False)


@pytest.mark.parametrize(("code", "limit", "most"), [("<f4", 2.0**31, 10), ("<f8", 2.0**53, 18)])
def test_exponents_bring_decimals_back(code: str, limit: float, most: int) -> None:
    for digits in range(5):
        values = (np.arange(32) * 37 / 10**digits).astype(code)
        one = np.empty(1, code)
        found = loader.find_exponents()(values.astype(np.float64), limit, most, POWERS, INVERSES, one)
        e, f = divmod(found, 32)
        assert f <= e <= most
        numbers = np.rint(values.astype(np.float64) * POWERS[e] * INVERSES[f])
        assert (numbers * POWERS[f] * INVERSES[e]).astype(code).tolist() == values.tolist()
        assert np.ptp(numbers) <= 32 * 37


def naive_exponents(values: list[float], limit: float, most: int, code: str) -> int:
    """Every pair, value by value."""
    best, found = float("inf"), 0
    pairs = [(e, f) for e in range(most, -1, -1) for f in range(e + 1)]
    for e, f in pairs:
        products = [value * float(POWERS[e]) * float(INVERSES[f]) for value in values]
        whole = [round(p) if abs(p) < limit else None for p in products]
        back = [None if n is None else n * float(POWERS[f]) * float(INVERSES[e]) for n in whole]
        good = [
            n
            for n, b, v in zip(whole, back, values, strict=True)
            if n is not None and b is not None and float(np.array(b).astype(code)) == v
        ]
        width = float(np.ceil(np.log2(float(max(good) - min(good)) + 1))) if good else 0.0
        cost = width * len(good) + 96.0 * (len(values) - len(good))
        if cost < best:
            best, found = cost, e * 32 + f
    return found


@pytest.mark.parametrize(("code", "limit", "most"), [("<f4", 2.0**31, 10), ("<f8", 2.0**53, 18)])
def test_exponents_are_those_of_all_pairs(code: str, limit: float, most: int) -> None:
    g = np.random.default_rng(most)
    odd = [np.nan, np.inf, -0.0, np.pi, 1e30]
    for step in range(30):
        size = int(g.integers(1, 33))
        low = -(10 ** (step % 9)) if step % 2 else 10**7
        values = (g.integers(low, 10**8, size) / (-10.0) ** (step % 7)).astype(code)
        values[g.random(size) < 0.2 * (step % 3)] = odd[step % 5]
        few = values.astype(np.float64)
        found = loader.find_exponents()(few, limit, most, POWERS, INVERSES, np.empty(1, code))
        assert found == naive_exponents(few.tolist(), limit, most, code)


@pytest.mark.parametrize("dtype", UNSIGNED[2:], ids=str)
@given(data=st.data())
def test_exceptions_are_put_where_they_belong(dtype: Any, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=6))
    positions = np.array(places, np.uint32)
    values = np.arange(len(places)).astype(dtype) + dtype.type(100)
    positions.flags.writeable = values.flags.writeable = False
    out = np.zeros(10, dtype)
    fits = places == sorted(set(places)) and places[-1] < 10
    assert loader.put_exceptions()(positions, values, out) == fits
    if fits:
        assert {i: int(v) for i, v in enumerate(out) if v} == dict(zip(places, values.tolist(), strict=True))
