"""Dictionary, FSST, Snappy and Zstandard: what is written comes back, and no bytes do harm."""

from __future__ import annotations

import itertools
import random
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.constants import MAX_DICTIONARY_VALUES, StreamId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.dictionary import Dictionary
from lance_fmt.encodings.fsst import Fsst, Symbols, read_symbols, train
from lance_fmt.encodings.protocol import (
    KINDS,
    STRINGS,
    Kind,
    Recipe,
    Sample,
    Strings,
    Values,
    count_of,
    kind_of,
)
from lance_fmt.encodings.snappy import Snappy
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.encodings.zstd import Zstd
from lance_fmt.errors import CorruptFileError, InvalidDataError, UnsupportedVersionError
from lance_fmt.wire import Cursor

MINE = {encoding.id: encoding for encoding in (Dictionary(), Fsst(), Snappy(), Zstd())}
for _id, _encoding in MINE.items():
    ENCODINGS.setdefault(_id, _encoding)
NUMBERS = [kind for kind in KINDS.values() if not kind.is_bool]
CASES = [(MINE[code], kind) for code in MINE for kind in (STRINGS, *NUMBERS) if MINE[code].accepts(kind)]
IDS = [f"{encoding.name}-{kind.name}" for encoding, kind in CASES]


class PlainChooser:
    """Children are plain, so that a test is about one encoding."""

    effort = 3

    def choose(self, sample: Sample, kind: Kind, *, without: frozenset[StreamId] = frozenset()) -> Recipe:
        return Recipe(StreamId.PLAIN, (Recipe(StreamId.PLAIN),) if kind.is_strings else ())


class AtLeast:
    """Strings of at least one byte that is over `limit`, or numbers over it."""

    interval = None

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.asked = 0

    def mask(self, values: Values) -> np.ndarray[Any, np.dtype[np.bool_]]:
        self.asked += count_of(values)
        if isinstance(values, Strings):
            return np.array([max(row, default=0) > self.limit for row in rows_of(values)], np.bool_)
        return np.asarray(values > self.limit)


def strings(rows: Sequence[bytes]) -> Strings:
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Strings(np.frombuffer(b"".join(rows), np.uint8), offsets)


def rows_of(values: Strings) -> list[bytes]:
    raw, bounds = values.data.tobytes(), values.offsets.tolist()
    return [raw[start:end] for start, end in itertools.pairwise(bounds)]


def same(left: Values, right: Values) -> bool:
    if isinstance(left, Strings):
        assert isinstance(right, Strings)
        return left.offsets.tolist() == right.offsets.tolist() and left.data.tobytes() == right.data.tobytes()
    assert not isinstance(right, Strings)
    return left.dtype == right.dtype and left.tobytes() == right.tobytes()


class Page:
    """Blocks written by one encoding, without the shortcut for constant ones."""

    def __init__(
        self, encoding: Any, kind: Kind, blocks: Sequence[Values], recipe: Recipe | None = None
    ) -> None:
        self.encoding, self.kind, self.counts = encoding, kind, [count_of(block) for block in blocks]
        self.writer = PageWriter()
        self.recipe = recipe or encoding.fixed(Sample(blocks, blocks), kind, PlainChooser())
        self.payloads = [encoding.encode(block, kind, self.recipe, self.writer) for block in blocks]
        self.slots: list[bytes] = list(self.writer.shared.slots)

    def reader(self) -> PageReader:
        return PageReader(SharedViews([memoryview(slot) for slot in self.slots], path="page", base=0))

    def decode(self, block: int = 0) -> Values:
        cursor = Cursor(self.payloads[block], path="page")
        values = self.encoding.decode(cursor, self.counts[block], self.kind, self.reader())
        cursor.expect_end()
        return values

    def match(self, test: Any, block: int = 0) -> np.ndarray[Any, np.dtype[np.bool_]]:
        cursor = Cursor(self.payloads[block], path="page")
        return self.encoding.match(cursor, self.counts[block], self.kind, self.reader(), test)


WORDS = [
    b"",
    b"a",
    b"Gda\xc5\x84sk",
    b"http://example.org/",
    "東京都".encode(),
    b"zebra",
    b"\x00",
    b"a\x00",
    b"\xff\xfe",
]
STRING_SHAPES: dict[str, list[bytes]] = {
    "one": [b"only"],
    "two": [b"x", b"yy"],
    "seventeen": [b"row %d" % i for i in range(17)],
    "thousand": [b"https://example.com/item?id=%d" % (i * 37 % 999) for i in range(1000)],
    "many": [WORDS[i * 7 % 9] + b"%d" % (i % 50) for i in range(8195)],
    "empty": [b""] * 5,
    "some empty": [b"", b"a", b"", b"", b"bc", b""],
    "large": [b"0123456789 some text " * 50_000],
    "large and small": [b"x", bytes(range(256)) * 4096, b""],
    "repeated": [b"same string again"] * 300,
    "random": [random.Random(i).randbytes(i % 23) for i in range(700)],
    "Unicode": ["Zażółć gęślą jaźń 漢字 🎉"[i % 20 :].encode() for i in range(400)],
}


def numbers(kind: Kind, count: int, distinct: int) -> np.ndarray[Any, np.dtype[Any]]:
    rng = np.random.default_rng(count)
    bits = rng.integers(0, 2**64, distinct, dtype=np.uint64).astype(f"<u{kind.dtype.itemsize}")
    return bits[rng.integers(0, distinct, count)].view(kind.dtype)


@pytest.mark.parametrize(("encoding", "kind"), CASES, ids=IDS)
def test_what_is_written_comes_back(encoding: Any, kind: Kind) -> None:
    shapes: list[Values] = [numbers(kind, n, min(n, 60)) for n in (1, 2, 17, 1000, 8195)]
    if kind.is_strings:
        shapes = [strings(rows) for rows in STRING_SHAPES.values()]
    for values in shapes:
        page = Page(encoding, kind, [values])
        assert same(page.decode(), values)
        test = AtLeast(100)
        with np.errstate(all="ignore"):
            assert page.match(test).tolist() == AtLeast(100).mask(values).tolist()


@pytest.mark.parametrize(("encoding", "kind"), CASES, ids=IDS)
def test_blocks_of_a_page_and_blocks_that_were_not_sampled(encoding: Any, kind: Kind) -> None:
    one: Values = strings([b"b", b"a", b"b"]) if kind.is_strings else np.array([3, 1, 3], kind.dtype)
    two: Values = strings([b"c", b"a"]) if kind.is_strings else np.array([7, 1], kind.dtype)
    page = Page(encoding, kind, [one, two])
    assert same(page.decode(0), one)
    assert same(page.decode(1), two)
    recipe = encoding.fixed(Sample([one], [one]), kind, PlainChooser())
    other = Page(encoding, kind, [two, one], recipe)
    assert same(other.decode(0), two)
    assert same(other.decode(1), one)


@pytest.mark.parametrize("encoding", MINE.values(), ids=lambda encoding: encoding.name)
@given(
    rows=st.lists(
        st.binary(max_size=40) | st.sampled_from(WORDS) | st.text(max_size=9).map(str.encode), min_size=1
    )
)
def test_any_strings_come_back(encoding: Any, rows: list[bytes]) -> None:
    values = strings(rows)
    page = Page(encoding, STRINGS, [values])
    assert same(page.decode(), values)
    assert page.match(AtLeast(97)).tolist() == AtLeast(97).mask(values).tolist()


@pytest.mark.parametrize("encoding", [Dictionary(), Snappy(), Zstd()], ids=lambda encoding: encoding.name)
@given(data=st.data())
def test_any_numbers_come_back(encoding: Any, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(NUMBERS))
    bits = data.draw(st.lists(st.integers(0, 2 ** (8 * kind.dtype.itemsize) - 1), min_size=1))
    values = np.array(bits, f"<u{kind.dtype.itemsize}").view(kind.dtype)
    assert same(Page(encoding, kind, [values]).decode(), values)


def test_equal_columns_give_equal_files() -> None:
    rows = STRING_SHAPES["thousand"]
    for encoding in MINE.values():
        pages = [Page(encoding, STRINGS, [strings(rows)]) for _ in range(2)]
        assert pages[0].payloads == pages[1].payloads
        assert pages[0].slots == pages[1].slots


def test_a_dictionary_is_sorted_and_does_not_depend_on_the_order_of_rows() -> None:
    rows = [b"bb", b"", b"b", b"a\x00", b"a", b"abcdefghz", b"abcdefgh", b"abcdefghy"]
    pages = [Page(Dictionary(), STRINGS, [strings(order)]) for order in (rows, rows[::-1])]
    assert pages[0].slots == pages[1].slots
    assert b"".join(sorted(rows)) in pages[0].slots[0]
    page = Page(Dictionary(), kind_of("<f4"), [np.array([1.0, -1.0, 0.0, -0.0], np.float32)])
    assert page.slots[0][16:32] == np.array([0.0, 1.0, -0.0, -1.0], np.float32).tobytes()


def test_a_dictionary_keeps_every_nan_and_zero_apart() -> None:
    values = np.array([0x7FF8000000000001, 0x7FF8000000000000, 0, 1 << 63, 0x7FF8000000000001], np.uint64)
    page = Page(Dictionary(), kind_of("<f8"), [values.view(np.float64)])
    assert page.decode().view(np.uint64).tolist() == values.tolist()  # type: ignore[union-attr]
    assert page.slots[0][:8] == struct.pack("<Q", 4)


@pytest.mark.parametrize("count", [256, 257, 65536])
def test_dictionary_codes_are_as_small_as_the_count_allows(count: int) -> None:
    values = np.arange(count, dtype=np.uint32)
    page = Page(Dictionary(), kind_of("<u4"), [values])
    assert same(page.decode(), values)
    assert struct.unpack("<I", page.payloads[0][12:16]) == (count * (1 if count == 256 else 2),)


def test_a_dictionary_asks_each_value_once() -> None:
    test = AtLeast(5)
    page = Page(Dictionary(), kind_of("<i4"), [np.arange(1000, dtype=np.int32) % 10] * 2)
    reader = page.reader()
    for payload in page.payloads:
        page.encoding.match(Cursor(payload), 1000, page.kind, reader, test)
    assert test.asked == 10


def test_a_dictionary_is_planned_only_where_values_repeat() -> None:
    def plan(values: Values, kind: Kind) -> Recipe | None:
        return Dictionary().plan(Sample([values], [values]), kind, PlainChooser())

    integers = kind_of("<i8")
    assert plan(np.arange(100_000), integers) is None
    assert plan(np.arange(1000), integers) is None
    assert plan(np.arange(100_000) % 3000, integers) is not None
    assert plan(np.repeat(np.arange(2000), 50), integers) is not None
    assert plan(strings([b"%d" % i for i in range(20_000)]), STRINGS) is None
    assert plan(strings([b"%d" % (i % 900) for i in range(20_000)]), STRINGS) is not None
    assert plan(strings([b"%d" % (i % 20) * 20_000 for i in range(60)]), STRINGS) is None
    assert plan(np.tile(np.arange(10_000), 12), integers) is not None
    sample = Sample([np.arange(100) % 3])
    assert Dictionary().plan(sample, integers, PlainChooser()) is None
    with pytest.raises(InvalidDataError, match="distinct"):
        Dictionary().fixed(Sample([np.arange(MAX_DICTIONARY_VALUES + 1)]), integers, PlainChooser())


@pytest.mark.parametrize("encoding", [Fsst(), Snappy(), Zstd()], ids=lambda encoding: encoding.name)
def test_noise_is_refused(encoding: Any) -> None:
    noise = strings([random.Random(1).randbytes(20_000)])
    assert encoding.plan(Sample([noise], [noise]), STRINGS, PlainChooser()) is None
    text = strings(STRING_SHAPES["thousand"])
    assert encoding.plan(Sample([text], [text]), STRINGS, PlainChooser()) is not None


def naive_symbols(slot: bytes) -> list[bytes]:
    count, sizes = slot[0], slot[1 : 1 + slot[0]]
    rest, found = slot[1 + count :], []
    for size in sizes:
        found.append(rest[:size])
        rest = rest[size:]
    assert not rest
    return found


@pytest.mark.parametrize("shape", STRING_SHAPES)
def test_fsst_by_the_specification(shape: str) -> None:
    values = strings(STRING_SHAPES[shape])
    page = Page(Fsst(), STRINGS, [values])
    slot, size = struct.unpack("<II", page.payloads[0][:8])
    symbols = naive_symbols(page.slots[slot])
    assert len(symbols) <= 255
    assert all(1 <= len(symbol) <= 8 for symbol in symbols)
    (child,) = struct.unpack("<I", page.payloads[0][12:16])
    codes = page.payloads[0][16 + -(-child // 8) * 8 :]
    assert len(codes) == size
    out, at = [], 0
    while at < size:
        out.append(codes[at + 1 : at + 2] if codes[at] == 255 else symbols[codes[at]])
        at += 2 if codes[at] == 255 else 1
    assert b"".join(out) == values.data.tobytes()


def test_fsst_halves_addresses() -> None:
    table, codes, size = train([strings(STRING_SHAPES["thousand"])])
    assert codes * 2 < size
    assert isinstance(read_symbols(Cursor(table.data)), Symbols)


def test_fsst_leaves_no_code_free_for_a_page_of_some_size() -> None:
    values = strings([b"the same few words"] * 3000)
    table, codes, size = train([values])
    assert table.data[0] == 255
    assert codes * 7 < size
    page = Page(Fsst(), STRINGS, [values, strings([b"OTHER LETTERS", bytes(range(256))])])
    assert same(page.decode(1), strings([b"OTHER LETTERS", bytes(range(256))]))


def payload_of(*, slot: int = 0, size: int | None = None, lengths: list[int], codes: bytes) -> bytes:
    child = struct.pack("<BxxxI", 1, 4 * len(lengths)) + struct.pack(f"<{len(lengths)}I", *lengths)
    child += bytes(-len(child) % 8)
    return struct.pack("<II", slot, len(codes) if size is None else size) + child + codes


@pytest.mark.parametrize(
    ("slot", "payload", "message"),
    [
        (b"\x01\x02ab", payload_of(lengths=[4], codes=b"\x00\x00"), None),
        (b"\x00", payload_of(lengths=[1], codes=b"\xff\x41"), None),
        (b"\x01\x02ab", payload_of(lengths=[3], codes=b"\x00\x00"), "do not stand for"),
        (b"\x01\x02ab", payload_of(lengths=[5], codes=b"\x00\x00"), "do not stand for"),
        (b"\x01\x02ab", payload_of(lengths=[4], codes=b"\x00\x01"), "without a symbol"),
        (b"\x01\x02ab", payload_of(lengths=[4], codes=b"\x00\x00\x01"), "without a symbol"),
        (b"\x01\x02ab", payload_of(lengths=[2], codes=b"\x00\xff"), "do not stand for"),
        (b"\x01\x02ab", payload_of(lengths=[2], codes=b"\x00" * 4000), "do not stand for"),
        (b"\x01\x02ab", payload_of(lengths=[1 << 24], codes=b"\x00" * 8), "cannot stand for"),
        (b"\x01\x02ab", payload_of(lengths=[0xFFFFFFFF], codes=b"\x00" * 8), "lengths sum"),
        (b"\x01\x02ab", payload_of(lengths=[2], size=9, codes=b"\x00"), "9 bytes expected"),
        (b"\x01\x02ab", payload_of(slot=1, lengths=[2], codes=b"\x00"), "shared slot 1"),
        (b"\x01\x00ab", payload_of(lengths=[2], codes=b"\x00"), "1..8"),
        (b"\x01\x09abcdefghi", payload_of(lengths=[2], codes=b"\x00"), "1..8"),
        (b"\x01\x02abc", payload_of(lengths=[2], codes=b"\x00"), "too many"),
        (b"\x01\x02a", payload_of(lengths=[2], codes=b"\x00"), "2 bytes expected"),
        (b"\xff" + b"\x01" * 255 + b"a" * 255, payload_of(lengths=[1], codes=b"\xfe"), None),
    ],
)
def test_fsst_refuses_what_no_writer_makes(slot: bytes, payload: bytes, message: str | None) -> None:
    reader = PageReader(SharedViews([memoryview(slot)], path="page", base=0))
    if message is None:
        Fsst().decode(Cursor(payload), 1, STRINGS, reader)
    else:
        with pytest.raises(CorruptFileError, match=message):
            Fsst().decode(Cursor(payload), 1, STRINGS, reader)


def compressed_payload(size: int, frame: bytes, word: int = 0) -> bytes:
    return struct.pack("<II", size, word) + frame


@pytest.mark.parametrize(
    ("encoding", "payload", "message"),
    [
        (Zstd(), compressed_payload(80, zstandard.compress(bytes(80))), None),
        (Zstd(), compressed_payload(80, zstandard.compress(bytes(81))), "frame of 81"),
        (Zstd(), compressed_payload(81, zstandard.compress(bytes(81))), "80 bytes expected"),
        (Zstd(), compressed_payload(80, zstandard.compress(bytes(80)) + b"x"), "Zstandard"),
        (Zstd(), compressed_payload(80, b""), "more than the format allows"),
        (Zstd(), compressed_payload(80, zstandard.compress(bytes(80)), word=1), "slot|zero"),
        (
            Zstd(),
            compressed_payload(80, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(80))),
            "frame of",
        ),
        (Snappy(), compressed_payload(80, snappy.compress(bytes(80))), None),
        (Snappy(), compressed_payload(80, snappy.compress(bytes(79))), "declare"),
        (Snappy(), compressed_payload(80, b"\xff\xff\xff\xff\xff\xff"), "declare"),
        (Snappy(), compressed_payload(80, snappy.compress(bytes(80))[:-1]), "damaged"),
        (Snappy(), compressed_payload(80, snappy.compress(bytes(80)) + b"x"), "damaged"),
        (Snappy(), compressed_payload(80, b"\x50"), "more than the format allows"),
        (Snappy(), compressed_payload(80, snappy.compress(bytes(80)), word=1), "zero"),
    ],
)
def test_compressors_refuse_what_no_writer_makes(encoding: Any, payload: bytes, message: str | None) -> None:
    reader = PageReader(SharedViews([], path="page", base=0))
    if message is None:
        assert not encoding.decode(Cursor(payload), 10, kind_of("<i8"), reader).any()
    else:
        with pytest.raises(CorruptFileError, match=message):
            encoding.decode(Cursor(payload), 10, kind_of("<i8"), reader)


def test_snappy_never_makes_more_of_its_bytes_than_the_limit() -> None:
    from lance_fmt.encodings.snappy import MAX_RATIO

    assert len(snappy.compress(bytes(1 << 24))) * MAX_RATIO > 1 << 24


def dictionary_slot(count: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("<QBxxxI", count, stream, len(payload)) + payload + bytes(-len(payload) % 8)


def coded(codes: bytes, slot: int = 0, zero: int = 0) -> bytes:
    return struct.pack("<IIBxxxI", slot, zero, 1, len(codes)) + codes + bytes(-len(codes) % 8)


@pytest.mark.parametrize(
    ("slot", "payload", "message"),
    [
        (dictionary_slot(2, 1, b"xy"), coded(b"\x00\x01\x01"), None),
        (dictionary_slot(2, 1, b"xy"), coded(b"\x00\x01\x02"), "code 2 of 2"),
        (dictionary_slot(2, 1, b"xy"), coded(b"\x00\x01\x01", slot=1), "shared slot 1"),
        (dictionary_slot(2, 1, b"xy"), coded(b"\x00\x01\x01", zero=1), "zero"),
        (dictionary_slot(0, 1, b""), coded(b"\x00\x01\x01"), "dictionary of 0"),
        (dictionary_slot(1 << 40, 1, b"xy"), coded(b"\x00\x01\x01"), "dictionary of"),
        (dictionary_slot(2, 1, b"xy") + b"z", coded(b"\x00\x01\x01"), "too many"),
        (dictionary_slot(2, 8, struct.pack("<II", 0, 0)), coded(b"\x00\x01\x01"), "nested|within"),
    ],
)
def test_dictionaries_refuse_what_no_writer_makes(slot: bytes, payload: bytes, message: str | None) -> None:
    views = SharedViews([memoryview(slot)], path="page", base=0)
    kind, test = kind_of("u1"), AtLeast(0x78)
    if message is None:
        assert Dictionary().decode(Cursor(payload), 3, kind, PageReader(views)).tolist() == [*b"xyy"]  # type: ignore[union-attr]
        assert Dictionary().match(Cursor(payload), 3, kind, PageReader(views), test).tolist() == [
            False,
            True,
            True,
        ]
    else:
        with pytest.raises(CorruptFileError, match=message):
            Dictionary().decode(Cursor(payload), 3, kind, PageReader(views))
        with pytest.raises(CorruptFileError, match=message):
            Dictionary().match(Cursor(payload), 3, kind, PageReader(views), test)


def test_a_dictionary_of_long_strings_cannot_fill_the_memory() -> None:
    page = Page(Dictionary(), STRINGS, [strings([b"x" * 100_000, b"y"] + [b"y"] * 9)])
    page.payloads[0] = coded(bytes(4000))
    page.counts[0] = 4000
    with pytest.raises(CorruptFileError, match="more than"):
        page.decode()


def test_slots_of_one_encoding_are_none_of_another() -> None:
    text = Page(Fsst(), STRINGS, [strings([b"abc"])])
    words = Page(Dictionary(), STRINGS, [strings([b"abc"])])
    views = SharedViews([memoryview(words.slots[0])], path="page", base=0)
    Dictionary().decode(Cursor(words.payloads[0]), 1, STRINGS, PageReader(views))
    with pytest.raises(CorruptFileError, match="no symbol table"):
        Fsst().decode(Cursor(text.payloads[0]), 1, STRINGS, PageReader(views))
    with pytest.raises(CorruptFileError, match="no dictionary"):
        Dictionary().decode(Cursor(words.payloads[0]), 1, kind_of("u1"), PageReader(views))


def damaged(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(changed) + 1)
        action = rng.randrange(4)
        if action == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif action == 1 and at < len(changed):
            changed[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF])
        elif action == 2:
            del changed[at : at + rng.randint(1, 9)]
        else:
            changed[at:at] = rng.randbytes(rng.randint(1, 9))
    return bytes(changed)


@pytest.mark.parametrize(
    ("encoding", "kind"), [case for case in CASES if case[1].name in ("strings", "int32")]
)
def test_damage_is_reported_or_harmless(encoding: Any, kind: Kind) -> None:
    values: Values = numbers(kind, 60, 9)
    if kind.is_strings:
        values = strings([WORDS[i * 5 % 9] * (i % 3) for i in range(60)])
    page = Page(encoding, kind, [values])
    payload, slots = page.payloads[0], page.slots
    for seed in range(600):
        rng = random.Random(seed)
        page.payloads, page.slots = [payload], list(slots)
        if slots and seed % 2:
            page.slots[0] = damaged(slots[0], rng)
        else:
            page.payloads[0] = damaged(payload, rng)
        for read in (page.decode, lambda: page.match(AtLeast(90))):
            try:
                found = read()
            except (CorruptFileError, UnsupportedVersionError):
                continue
            assert count_of(found) == 60
