"""Kernels over byte strings against naive twins."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lance_fmt.encodings.fsst import compress, read_symbols, train
from lance_fmt.encodings.protocol import Strings
from lance_fmt.encodings.text import valid_text
from lance_fmt.kernels.bounds import extreme_strings
from lance_fmt.kernels.distinct import code_numbers, code_strings
from lance_fmt.kernels.fsst import count_symbols, decompress, knows_codes
from lance_fmt.kernels.gather import gather_bytes, offsets_of_indices, take_numbers
from lance_fmt.kernels.prefixes import prefix_numbers
from lance_fmt.wire import Cursor

GUARD = 0xA5


def joined(rows: Sequence[bytes], slack: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return np.frombuffer(b"".join(rows) + bytes(slack), np.uint8), offsets


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=12), st.integers(0, 20), st.data())
def test_gather_does_as_its_twin_and_writes_nowhere_else(
    rows: list[bytes], slack: int, data: st.DataObject
) -> None:
    indices = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20)), np.int64)
    source, offsets = joined(rows, slack)
    expected = b"".join(rows[i] for i in indices)
    out_offsets = np.empty(len(indices) + 1, np.int64)
    assert offsets_of_indices(offsets, indices, 1 << 30, out_offsets) == len(expected)
    assert out_offsets.tolist() == joined([rows[i] for i in indices])[1].tolist()
    around = np.full(len(expected) + 64, GUARD, np.uint8)
    gather_bytes(source, offsets, indices, out_offsets, around[32 : 32 + len(expected)])
    assert around.tobytes() == bytes([GUARD]) * 32 + expected + bytes([GUARD]) * 32


def test_offsets_of_indices_refuses_strangers_and_too_much() -> None:
    offsets = np.array([0, 3, 10], np.int64)
    out = np.empty(3, np.int64)
    for indices, limit, answer in (([1, 1], 14, 14), ([1, 1], 13, -2), ([0, 2], 99, -1), ([-1, 0], 99, -1)):
        assert offsets_of_indices(offsets, np.array(indices, np.int64), limit, out) == answer


@pytest.mark.parametrize("values", ["u1", "u8"])
@pytest.mark.parametrize("codes", ["u1", "u2"])
def test_take_numbers_does_as_its_twin(values: str, codes: str) -> None:
    rng = np.random.default_rng(1)
    table = rng.integers(0, 255, 200).astype(values)
    places = rng.integers(0, 200, 1001).astype(codes)
    out = np.empty(1001, values)
    assert take_numbers(table, places, out) == places.max()
    assert out.tolist() == table[places].tolist()
    before = out.copy()
    places[500] = 200
    assert take_numbers(table, places, out) == 200
    assert out.tolist() == before.tolist()


def first_places(values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    places: dict[Any, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return list(places), codes


# Few numbers in few slots, so that values collide.
@given(
    st.lists(st.sampled_from([0, 1, 2, 2**32, 2**63, 2**64 - 1, 7 << 40]) | st.integers(0, 9), max_size=60)
)
def test_code_numbers_does_as_its_twin(numbers: list[int]) -> None:
    values = np.array(numbers, np.uint64)
    expected, codes = first_places(numbers)
    known, table = np.zeros(32, np.uint64), np.zeros(64, np.uint32)
    out = np.zeros(len(numbers), np.uint32)
    assert code_numbers(values, known, 0, table, out) == len(expected)
    assert known[: len(expected)].tolist() == expected
    assert out.tolist() == codes
    again = np.zeros(len(numbers), np.uint32)
    assert code_numbers(values, known[: len(expected)], len(expected), table, again) == len(expected)
    assert again.tolist() == codes
    stranger = np.array([12345], np.uint64)
    assert (
        code_numbers(
            stranger,
            known[: len(expected)],
            len(expected),
            table,
            out[:1].copy() if len(out) else np.zeros(1, np.uint32),
        )
        == -1
    )


@given(
    st.lists(
        st.binary(max_size=20)
        | st.sampled_from([b"", b"\0", b"\0\0", b"a", b"a\0", b"abcdefgh", b"abcdefgh\0"]),
        max_size=40,
    )
)
def test_code_strings_does_as_its_twin(rows: list[bytes]) -> None:
    data, offsets = joined(rows, 8)
    expected, codes = first_places(rows)
    starts, sizes = np.zeros(64, np.int64), np.zeros(64, np.int64)
    table, out = np.zeros(128, np.uint32), np.zeros(len(rows), np.uint32)
    count = code_strings(data, offsets, data, starts, sizes, 0, table, out)
    assert [data.tobytes()[a : a + n] for a, n in zip(starts[:count], sizes[:count], strict=True)] == expected
    assert out.tolist() == codes
    others, bounds = joined(rows[::-1], 8)
    again = np.zeros(len(rows), np.uint32)
    assert code_strings(others, bounds, data, starts[:count], sizes[:count], count, table, again) == count
    assert again.tolist() == codes[::-1]
    if rows:
        known = starts[: count - 1], sizes[: count - 1]
        table[:] = 0
        assert code_strings(data, offsets, data, *known, 0, table, out) == -1


def test_code_strings_tells_apart_what_differs_in_the_first_words_only() -> None:
    rows = [b"%08d%s" % (i, tail) for i in range(60) for tail in (b"", b"12345678", b"xyz")]
    data, offsets = joined(rows, 8)
    starts, sizes, out = np.zeros(180, np.int64), np.zeros(180, np.int64), np.zeros(180, np.uint32)
    assert code_strings(data, offsets, data, starts, sizes, 0, np.zeros(256, np.uint32), out) == 180
    assert out.tolist() == list(range(180))


def naive_compress(data: bytes, symbols: dict[bytes, int]) -> bytes:
    """Longest symbol first, escaped bytes where there is none."""
    out, at = bytearray(), 0
    while at < len(data):
        for size in range(8, 0, -1):
            piece = data[at : at + size]
            if len(piece) == size and piece in symbols:
                out.append(symbols[piece])
                at += size
                break
        else:
            out += bytes([255, data[at]])
            at += 1
    return bytes(out)


def naive_decompress(codes: bytes, symbols: Sequence[bytes]) -> bytes | None:
    out, at = bytearray(), 0
    while at < len(codes):
        if codes[at] == 255:
            if at + 1 == len(codes):
                return None
            out.append(codes[at + 1])
            at += 2
        elif codes[at] < len(symbols):
            out += symbols[codes[at]]
            at += 1
        else:
            return None
    return bytes(out)


def symbols_of(slot: bytes) -> list[bytes]:
    ends = np.cumsum([1 + slot[0], *slot[1 : 1 + slot[0]]]).tolist()
    return [slot[a:b] for a, b in itertools.pairwise(ends)]


def text(seed: int, count: int) -> bytes:
    rng = random.Random(seed)
    words = [
        b"http",
        b"://",
        b"www.",
        b"example",
        b".org/",
        b"a",
        b"index",
        b".html",
        "ż".encode(),
        b"\x00",
        b"Z9",
    ]
    return b"".join(rng.choice(words) for _ in range(count))


@pytest.mark.parametrize("seed", range(6))
def test_fsst_compress_does_as_its_twin_where_no_symbol_was_dropped(seed: int) -> None:
    data = text(seed, 300)
    table, _, _ = train([Strings(np.frombuffer(data, np.uint8), np.array([0, len(data)]))])
    symbols = symbols_of(table.data)
    # The tables of the kernel keep two of the symbols that start with the same three bytes.
    kept: dict[bytes, int] = {}
    starts: dict[bytes, int] = {}
    for code, symbol in enumerate(symbols):
        starts[symbol[:3]] = starts.get(symbol[:3], 0) + (len(symbol) > 2)
        if len(symbol) < 3 or starts[symbol[:3]] <= 2:
            kept[symbol] = code
    for piece in (data, data[:7], data[:1], data[5:6], b""):
        codes = compress(np.frombuffer(piece, np.uint8), table)
        assert codes.tobytes() == naive_compress(piece, kept)
        assert naive_decompress(codes.tobytes(), symbols) == piece


@given(st.binary(max_size=80), st.integers(0, 255), st.integers(-3, 3))
def test_fsst_decompress_does_as_its_twin_and_writes_nowhere_else(raw: bytes, count: int, error: int) -> None:
    rng = random.Random(count)
    symbols = [rng.randbytes(rng.randint(1, 8)) for _ in range(count)]
    slot = bytes([count]) + bytes(map(len, symbols)) + b"".join(symbols)
    words, lengths, _ = read_symbols(Cursor(slot))
    expected = naive_decompress(raw, symbols + [b""] * (255 - count))
    total = max(0, (0 if expected is None else len(expected)) + error)
    around = np.full(total + 64 + 64, GUARD, np.uint8)
    found = decompress(np.frombuffer(raw, np.uint8), words, lengths, total, around[: total + 64])
    assert (around[total + 64 :] == GUARD).all()
    if expected is None or len(expected) > total:
        assert found == -1
    else:
        assert found == len(expected)
        assert around[:found].tobytes() == expected
        assert knows_codes(np.frombuffer(raw, np.uint8), count) is (
            naive_decompress(raw, symbols) is not None
        )


def test_fsst_counts_codes_first_bytes_and_neighbours() -> None:
    lengths, firsts = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    lengths[:2], firsts[:2] = (3, 1), (ord("x"), ord("y"))
    singles, pairs, seen = np.zeros(512, np.uint32), np.zeros(512 * 512, np.uint32), np.zeros(9, np.uint32)
    x, z = 256 + ord("x"), 256 + 90
    listed = count_symbols(np.array([0, 1, 255, 90, 0, 1], np.uint8), lengths, firsts, singles, pairs, seen)
    assert {i: int(singles[i]) for i in np.flatnonzero(singles)} == {0: 2, 1: 2, x: 2, z: 1}
    expected = {(0, 1): 2, (1, z): 1, (z, 0): 1, (z, x): 1}
    assert {divmod(int(i), 512): int(pairs[i]) for i in np.flatnonzero(pairs)} == expected
    assert seen[:listed].tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "valid"),
    [
        ([b""], True),
        ([b"", b""], True),
        ([b"ascii", b"", b"only"], True),
        (["zażółć".encode(), b"", "🎉".encode()], True),
        ([b"\xc5", b"\x82"], False),
        ([b"\xc5", b"", b"\x82"], False),
        ([b"a", b"\x82"], False),
        ([b"\xc5"], False),
        ([b"ok", b"\xff"], False),
        ([b"\xed\xa0\x80"], False),
        ([b"\xc0\x80"], False),
        ([b"\xf0\x9f", b"\x8e\x89"], False),
    ],
)
def test_text_is_text_string_by_string(rows: list[bytes], valid: bool) -> None:
    assert valid_text(*joined(rows)) is valid


@pytest.mark.parametrize("lead", range(0x80, 0x100))
def test_every_pair_and_triple_of_a_lead_byte_is_judged_as_python_does(lead: int) -> None:
    for second in (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF):
        for rest in (b"", b"\x80", b"\xbf", b"\x7f", b"\x80\x80", b"\x80\xc0", b"\x80\x80a", b"\x80\x80\x80"):
            row = bytes([lead, second]) + rest
            assert valid_text(*joined([row])) is decodes(row)
            assert valid_text(*joined([b"1234567" + row + b"89"])) is decodes(row + b"89")


def decodes(row: bytes) -> bool:
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.lists(st.text(max_size=5).map(str.encode) | st.binary(max_size=5), max_size=8))
def test_text_is_what_python_decodes(rows: list[bytes]) -> None:
    assert valid_text(*joined(rows)) is all(map(decodes, rows))


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=20)
            | st.sampled_from(
                [b"", b"\0", b"a\0", b"abcdefgh", b"abcdefgh\0", b"abcdefgh\xff", b"abcdefghabcdefgh"]
            ),
            st.booleans(),
        ),
        max_size=40,
    ),
    st.booleans(),
)
def test_extreme_strings_does_as_its_twin(drawn: list[tuple[bytes, bool]], every: bool) -> None:
    rows = [row for row, _ in drawn]
    valid = np.array([] if every else [ok for _, ok in drawn], np.bool_)
    counted = [row for row, ok in drawn if ok or every]
    data, offsets = joined(rows, 0)
    keys, out = np.empty(len(rows), np.uint64), np.empty(2, np.int64)
    prefix_numbers(data, offsets, keys)
    found = extreme_strings(data, offsets, keys, valid, out)
    assert found == bool(counted)
    if counted:
        assert [rows[row] for row in out.tolist()] == [min(counted), max(counted)]
        assert every or valid[out].all()
