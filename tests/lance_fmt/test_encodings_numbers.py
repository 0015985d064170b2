"""The seven encodings of numbers: what is written comes back bit for bit, and no bytes do harm."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lance_fmt.constants import StreamId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.alp import Alp
from lance_fmt.encodings.bitpacked import BitPacked
from lance_fmt.encodings.byte_stream_split import ByteStreamSplit
from lance_fmt.encodings.delta import Delta
from lance_fmt.encodings.frame_of_reference import FrameOfReference
from lance_fmt.encodings.protocol import KINDS, Kind, Recipe, Sample, kind_of
from lance_fmt.encodings.run_length import RunLength
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.encodings.varint import Varint
from lance_fmt.errors import CorruptFileError, UnsupportedVersionError
from lance_fmt.wire import Cursor

ALL = (BitPacked(), FrameOfReference(), Delta(), Varint(), RunLength(), ByteStreamSplit(), Alp())
MINE = {encoding.id: ENCODINGS.setdefault(encoding.id, encoding) for encoding in ALL}
CASES = [(encoding, kind) for encoding in MINE.values() for kind in KINDS.values() if encoding.accepts(kind)]
IDS = [f"{encoding.name}-{kind.name}" for encoding, kind in CASES]
SIZES = (1, 2, 15, 16, 17, 1000, 8195)
cases = pytest.mark.parametrize(("encoding", "kind"), CASES, ids=IDS)


class SimpleChooser:
    """Children are bit-packed, signed ones in a frame of reference; plain where neither can be."""

    effort = 3

    def choose(self, sample: Sample, kind: Kind, *, without: frozenset[StreamId] = frozenset()) -> Recipe:
        assert sample.blocks
        assert all(len(block) for block in sample.blocks)
        assert StreamId.BITPACKED not in without
        if kind.dtype.kind == "i" and StreamId.FRAME_OF_REFERENCE not in without:
            return Recipe(StreamId.FRAME_OF_REFERENCE, (Recipe(StreamId.BITPACKED),))
        return Recipe(StreamId.BITPACKED if kind.dtype.kind == "u" else StreamId.PLAIN)


class Between:
    """`low <= value <= high`; as an interval, or as a condition that no encoding can see into."""

    def __init__(self, low: int, high: int, *, seen: bool = True) -> None:
        self.low, self.high = low, high
        self.interval = (low, high) if seen else None

    def mask(self, values: Any) -> Any:
        if values.dtype.kind in "iu":
            return np.array([self.low <= value <= self.high for value in values.tolist()], np.bool_)
        with np.errstate(invalid="ignore"):
            wide = values.astype(np.float64)
        return (wide >= self.low) & (wide <= self.high)


def write(encoding: Any, kind: Kind, values: Any, chooser: Any = None) -> bytes:
    recipe = encoding.fixed(Sample([values], [values]), kind, chooser or SimpleChooser())
    payload: bytes = encoding.encode(values, kind, recipe, PageWriter())
    return payload


def reader() -> PageReader:
    return PageReader(SharedViews([], path="page", base=0))


def decode(encoding: Any, kind: Kind, payload: bytes, count: int) -> Any:
    cursor = Cursor(payload, path="page")
    values = encoding.decode(cursor, count, kind, reader())
    cursor.expect_end()
    return values


def match(encoding: Any, kind: Kind, payload: bytes, count: int, test: Any) -> Any:
    cursor = Cursor(payload, path="page")
    mask = encoding.match(cursor, count, kind, reader(), test)
    cursor.expect_end()
    return mask


def check(encoding: Any, kind: Kind, values: Any) -> None:
    back = decode(encoding, kind, write(encoding, kind, values), len(values))
    assert back.dtype == kind.dtype
    assert back.tobytes() == values.tobytes()


def of_bits(kind: Kind, raw: Any) -> Any:
    if kind.is_bool:
        return np.asarray(raw).astype(np.uint64) % 2 == 1
    return np.asarray(raw).astype(f"<u{kind.dtype.itemsize}").view(kind.dtype)


def shapes(kind: Kind, size: int) -> dict[str, Any]:
    """Blocks of `size` values of many shapes."""
    g = np.random.default_rng(size)
    ends = np.array([0, 1, -1], np.int64)
    if kind.is_float:
        info = np.finfo(kind.dtype)
        odd = [0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, info.max, info.tiny, info.smallest_subnormal, 1.1]
        ends = np.array(odd, kind.dtype)
        ends = np.append(
            ends.view(f"<u{kind.dtype.itemsize}"), (ends[2:3].view(f"<u{kind.dtype.itemsize}") + 7)
        )
        some = {"decimals": np.round(g.uniform(-500, 500, size), 2).astype(kind.dtype)}
        some["few exceptions"] = np.where(g.random(size) < 0.05, np.pi, some["decimals"]).astype(kind.dtype)
        some["normal"] = g.standard_normal(size).astype(kind.dtype)
    elif kind.is_integer:
        info = np.iinfo(kind.dtype)
        ends = np.array([info.min, info.max, 0, 1, info.max - 1], kind.dtype)
        some = {"sorted": np.sort(g.integers(info.min, info.max, size, kind.dtype, endpoint=True))}
        some["steps"] = of_bits(kind, np.cumsum(g.integers(0, 9, size)).astype(np.uint64) % 251)
        some["narrow"] = of_bits(kind, g.integers(100, 107, size))
    else:
        some = {"alternating": np.arange(size) % 2 == 0}
    random_bits = g.integers(0, 1 << 64, size, np.uint64)
    runs = np.repeat(random_bits, 37)[:size]
    return some | {
        "constant": of_bits(kind, np.full(size, 77)),
        "extremes": of_bits(kind, g.choice(ends.view(f"<u{ends.itemsize}"), size)),
        "random": of_bits(kind, random_bits),
        "runs": of_bits(kind, runs),
    }


@cases
def test_comes_back_bit_for_bit(encoding: Any, kind: Kind) -> None:
    for size in SIZES:
        for values in shapes(kind, size).values():
            check(encoding, kind, values)


@pytest.mark.parametrize("encoding", MINE.values(), ids=lambda encoding: encoding.name)
@given(data=st.data())
def test_any_values_come_back(encoding: Any, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([kind for kind in KINDS.values() if encoding.accepts(kind)]))
    raw = st.lists(st.one_of(st.integers(0, 255), st.integers(0, (1 << 64) - 1)), min_size=1, max_size=25)
    mask = (1 << (8 * kind.dtype.itemsize)) - 1
    check(encoding, kind, of_bits(kind, np.array([x & mask for x in data.draw(raw)], np.uint64)))


@cases
def test_match_is_the_mask_of_the_values(encoding: Any, kind: Kind) -> None:
    chance = random.Random(kind.name)
    for values in shapes(kind, 300).values():
        payload = write(encoding, kind, values)
        known = sorted({int(x) for x in values[:50].tolist() if np.isfinite(x)} or {0})
        picks = [(chance.choice(known), chance.choice(known)) for _ in range(3)]
        for low, high in [*picks, (-(1 << 70), 1 << 70), (5, 4), (1 << 65, 1 << 66), (-5, known[0])]:
            for seen in (True, False):
                test = Between(low, high, seen=seen and kind.is_integer)
                found = match(encoding, kind, payload, len(values), test)
                assert found.dtype == np.bool_
                assert found.tolist() == test.mask(values).tolist()


@cases
def test_hostile_bytes_do_no_harm(encoding: Any, kind: Kind) -> None:
    chance = random.Random(f"{encoding.name} {kind.name}")
    test = Between(0, 100, seen=kind.is_integer)
    payloads = [write(encoding, kind, values) for values in shapes(kind, 40).values()]
    for _ in range(80):
        payload = bytearray(chance.choice(payloads))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(min(len(payload), chance.choice((8, 24, 1 << 20))))
            payload[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.3:
            del payload[chance.randrange(len(payload)) :]
        elif chance.random() < 0.1:
            payload += bytes(8)
        for count in (40, chance.choice((1, 39, 41, 100_000))):
            for read in (decode, lambda *given: match(*given, test)):
                try:
                    found = read(encoding, kind, bytes(payload), count)
                except (CorruptFileError, UnsupportedVersionError):
                    continue
                assert len(found) == count
                assert found.dtype == (kind.dtype if read is decode else np.bool_)


@pytest.mark.parametrize(
    ("encoding", "code", "count", "payload", "what"),
    [
        (BitPacked(), "u1", 3, "0900000000000000" + "00" * 256, "bit width 9"),
        (BitPacked(), "u4", 3, "0a00000000000000", "packed integers"),
        (FrameOfReference(), "i1", 3, "0001000000000000" + "0100000003000000" + "00" * 8, "base 256"),
        (Delta(), "u2", 1, "0000010000000000" + "00" * 8 + "0100000000000000", "first value 65536"),
        (Varint(), "u4", 1, "80", "ends within a number"),
        (Varint(), "u4", 1, "ffffffff1f", "too large"),
        (Varint(), "u1", 1, "ff02", "too large"),
        (Varint(), "u8", 1, "ffffffffffffffffff02", "too large"),
        (Varint(), "u8", 1, "ffffffffffffffffffff01", "too large"),
        (Varint(), "u4", 1, "8000", "overlong"),
        (Varint(), "u4", 1, "0000", "too many"),
        (Varint(), "u4", 2, "00", "2 numbers in 1 bytes"),
        (RunLength(), "?", 3, "0400000000000000", "4 runs in 3"),
        (RunLength(), "?", 3, "0100000002000000", "first of them 2"),
        (RunLength(), "?", 3, "0100000000000000" + "0100000004000000" + "0400000000000000", "runs of 4"),
        (RunLength(), "?", 3, "0200000000000000" + "0100000008000000" + "0300000000000000", "shortest 0"),
        (Alp(), "f8", 1, "1300000000000000", "exponents 19"),
        (Alp(), "f8", 1, "0102000000000000", "exponents 1 and 2"),
        (Alp(), "f8", 1, "0000000002000000", "2 exceptions"),
    ],
)
def test_what_is_wrong_is_named(encoding: Any, code: str, count: int, payload: str, what: str) -> None:
    with pytest.raises(CorruptFileError, match=what):
        decode(encoding, kind_of(code), bytes.fromhex(payload), count)


def test_exceptions_must_ascend_within_the_block() -> None:
    values = np.array([1.5, np.pi, 2.5, np.nan] * 10)
    payload = bytearray(write(Alp(), kind_of("f8"), values, PlainChooser()))
    place = bytes(payload).index(np.flatnonzero(values * 2 % 1 != 0).astype("<u4").tobytes())
    for position in (1, 40):
        payload[place + 4 : place + 8] = position.to_bytes(4, "little")
        with pytest.raises(CorruptFileError, match="ascend"):
            decode(Alp(), kind_of("f8"), bytes(payload), 40)


class PlainChooser(SimpleChooser):
    def choose(self, sample: Sample, kind: Kind, *, without: frozenset[StreamId] = frozenset()) -> Recipe:
        return Recipe(StreamId.PLAIN)


@cases
def test_children_of_any_encoding(encoding: Any, kind: Kind) -> None:
    for values in shapes(kind, 100).values():
        payload = write(encoding, kind, values, PlainChooser())
        assert decode(encoding, kind, payload, 100).tobytes() == values.tobytes()
        if kind.is_integer:
            test = Between(0, 103)
            assert match(encoding, kind, payload, 100, test).tolist() == test.mask(values).tolist()


def size_of(encoding: Any, values: Any) -> float:
    """Bits for a value."""
    return 8 * len(write(encoding, kind_of(values.dtype), values)) / len(values)


def test_sizes() -> None:
    g = np.random.default_rng(5)
    assert size_of(BitPacked(), g.integers(0, 1024, 8192).astype("<u4")) < 10.1
    assert size_of(FrameOfReference(), g.integers(-900_000, -899_000, 8192)) < 10.1
    assert size_of(Delta(), np.arange(8192) * 3 + 5) < 0.1
    assert size_of(Delta(), np.cumsum(g.integers(0, 2_000_000, 8192))) < 21.2
    assert size_of(Varint(), np.cumsum(g.integers(-60, 60, 8192))) < 8.1
    assert size_of(RunLength(), np.arange(8192) // 256 % 2 == 1) < 0.3
    assert size_of(Alp(), np.round(g.uniform(0, 1000, 8192), 2).astype("<f4")) < 17.1


@pytest.mark.parametrize(
    ("encoding", "suited", "unsuited"),
    [
        (BitPacked(), np.arange(9, dtype="u1"), np.array([0, 255], "u1")),
        (FrameOfReference(), np.arange(7, 90), np.arange(9, dtype="<u8")),
        (Delta(), np.arange(90) * 1000, np.array([0, 9, 0, 9, 0])),
        (Varint(), np.arange(90), np.arange(90) * (1 << 56)),
        (RunLength(), np.arange(90) // 10, np.arange(90)),
        (Alp(), np.arange(90) / 8, np.sqrt(np.arange(2, 90))),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_planning_knows_what_suits(encoding: Any, suited: Any, unsuited: Any) -> None:
    assert encoding.plan(Sample([suited]), kind_of(suited.dtype), SimpleChooser()) is not None
    assert encoding.plan(Sample([unsuited]), kind_of(unsuited.dtype), SimpleChooser()) is None


def test_planes_are_planned_only_where_one_shrinks() -> None:
    values = np.arange(9.0)
    assert ByteStreamSplit().plan(Sample([values]), kind_of("f8"), PlainChooser()) is None
    assert ByteStreamSplit().plan(Sample([values]), kind_of("f8"), SimpleChooser()) is not None


@pytest.mark.parametrize("encoding", [Delta(), FrameOfReference(), RunLength(), ByteStreamSplit()])
def test_a_recipe_serves_blocks_that_were_not_sampled(encoding: Any) -> None:
    kind = kind_of("<i8")
    recipe = encoding.fixed(Sample([np.array([5])]), kind, SimpleChooser())
    for values in shapes(kind, 50).values():
        payload = encoding.encode(values, kind, recipe, PageWriter())
        assert decode(encoding, kind, payload, 50).tobytes() == values.tobytes()


def outcome(read: Any, *given: Any) -> bytes | str:
    try:
        found: bytes = read(*given).tobytes()
    except (CorruptFileError, UnsupportedVersionError) as error:
        return type(error).__name__
    return found


@pytest.mark.parametrize(
    ("encoding", "switch"),
    [(FrameOfReference(), "peek_words"), (Delta(), "peek_words"), (ByteStreamSplit(), "_PLAIN")],
    ids=lambda given: given if isinstance(given, str) else given.name,
)
def test_peeking_at_inner_streams_is_reading_them(
    encoding: Any, switch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the inner streams are the usual ones they are read in place; on any bytes this changes nothing."""
    chance = random.Random(encoding.name)
    cases = []
    for kind in (kind for kind in KINDS.values() if encoding.accepts(kind)):
        test = Between(0, 100, seen=kind.is_integer)
        for size in (1, 2, 16, 17, 33, 129):
            for values in shapes(kind, size).values():
                payload = bytearray(write(encoding, kind, values))
                cases.append((kind, bytes(payload), size, test))
                payload[chance.randrange(min(len(payload), 48))] ^= 1 << chance.randrange(8)
                cases.append((kind, bytes(payload), size, test))
                cases.append((kind, bytes(payload)[: chance.randrange(len(payload))], size, test))

    def outcomes() -> list[bytes | str]:
        reads = [outcome(decode, encoding, kind, data, size) for kind, data, size, _ in cases]
        return reads + [outcome(match, encoding, *case) for case in cases]

    peeked = outcomes()
    module = sys.modules[type(encoding).__module__]
    monkeypatch.setattr(module, switch, -1 if switch == "_PLAIN" else lambda *_: None)
    assert outcomes() == peeked


def test_a_packed_plane_may_be_as_long_as_a_plain_one() -> None:
    values = (np.arange(136) % 3 == 0).astype("<u2")
    payload = write(ByteStreamSplit(), kind_of("<u2"), values)
    assert (payload[0], int.from_bytes(payload[4:8], "little")) == (StreamId.BITPACKED, len(values))
    assert decode(ByteStreamSplit(), kind_of("<u2"), payload, len(values)).tolist() == values.tolist()


@pytest.mark.parametrize("encoding", [FrameOfReference(), Delta(), ByteStreamSplit()], ids=lambda e: e.name)
def test_nothing_may_follow_the_inner_streams(encoding: Any) -> None:
    kind = kind_of("<u2")
    payload = write(encoding, kind, np.arange(200).astype("<u2"))
    with pytest.raises(CorruptFileError, match="too many"):
        decode(encoding, kind, payload + bytes(8), 200)
