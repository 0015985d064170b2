"""Targets that are decoders: every encoding of streams, and those of pages of format 1.0.

The first bytes of an input choose the encoding, the kind of values and how many; then come what the page shares
and the payload.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

import lance_fmt
from fuzz.files import GOLDEN
from fuzz.target import FILE_ERRORS, Target
from lance_fmt import Column, Cursor, v1
from lance_fmt.constants import EncodingId, StreamId, TypeId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.protocol import KINDS, STRINGS, Kind, Sample, Strings, Values, count_of
from lance_fmt.encodings.select import LevelChooser
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.errors import InvalidDataError

_Id = TypeVar("_Id", bound=int)
_HEAD = struct.Struct("<BBIB")  # encoding, kind, count, shared slots
_STREAM = struct.Struct("<B3xI")
_U16 = struct.Struct("<H")
_ALL_KINDS: list[Kind] = [*KINDS.values(), STRINGS]
_MOST_VALUES = (1 << 20) - 1
_COUNT = 200


@dataclass(frozen=True, slots=True)
class Between:
    """A condition as filters ask it, made from values of the block: `low <= value <= high`."""

    low: Any
    high: Any

    def mask(self, values: Values) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which values pass."""
        if isinstance(values, Strings):
            raw, ends = values.data.tobytes(), values.offsets.tolist()
            rows = [raw[a:b] for a, b in itertools.pairwise(ends)]
            return np.array([self.low <= row <= self.high for row in rows], np.bool_)
        with np.errstate(invalid="ignore"):
            return np.asarray((values >= self.low) & (values <= self.high))

    @property
    def interval(self) -> tuple[int, int] | None:
        """The bounds, of integers."""
        if isinstance(self.low, np.integer) and isinstance(self.high, np.integer):
            return int(self.low), int(self.high)
        return None


def stream(data: bytes) -> None:
    """One stream: exactly `count` values of the kind, or a refusal; `match` says what the values say."""
    if len(data) < _HEAD.size:
        return
    code, kind_code, count, slots = _HEAD.unpack_from(data)
    kind = _ALL_KINDS[kind_code % len(_ALL_KINDS)]
    count &= _MOST_VALUES
    shared, at = _slots(data, _HEAD.size, slots % 4)
    payload = data[at:]
    whole = _STREAM.pack(_known(code, ENCODINGS), len(payload)) + payload + bytes(-len(payload) % 8)
    try:
        values = _reader(shared).read(Cursor(whole), count, kind)
    except FILE_ERRORS:
        values = None
    else:
        _check(values, count, kind)
    test = _test_of(values, kind)
    try:
        mask = _reader(shared).match(Cursor(whole), count, kind, test)
    except FILE_ERRORS:
        assert values is None, "what decodes can be matched"
    else:
        assert mask.dtype == np.bool_
        assert mask.shape == (count,)
        assert values is None or np.array_equal(mask, test.mask(values)), f"match of {test} differs"


def _known(code: int, ids: Iterable[_Id]) -> _Id:
    """The id that has this number, or another: numbers stay what they are when encodings come."""
    known = list(ids)
    return next((identity for identity in known if identity == code), known[code % len(known)])


def _reader(shared: list[memoryview]) -> PageReader:
    return PageReader(SharedViews(shared, path="fuzz", base=0))


def _slots(data: bytes, at: int, number: int) -> tuple[list[memoryview], int]:
    """`number` shared slots, each after its length."""
    found = []
    for _ in range(number):
        length = _U16.unpack_from(data, at)[0] if at + 2 <= len(data) else 0
        found.append(memoryview(data)[at + 2 : at + 2 + length])
        at += 2 + length
    return found, at


def _check(values: Values, count: int, kind: Kind) -> None:
    assert count_of(values) == count, f"{count_of(values)} values of {count}"
    if isinstance(values, Strings):
        assert kind.is_strings
        assert values.data.dtype == np.uint8
        assert values.data.ndim == 1
        offsets = values.offsets
        assert offsets.dtype == np.int64
        assert offsets[0] == 0
        assert offsets[-1] == len(values.data)
        assert (offsets[1:] >= offsets[:-1]).all()
        return
    assert not kind.is_strings
    assert values.dtype == kind.dtype
    assert values.shape == (count,)
    assert values.flags.c_contiguous
    if kind.is_bool:
        assert (values.view(np.uint8) <= 1).all()


def _test_of(values: Values | None, kind: Kind) -> Between:
    """An interval from the first value to the middle one, so that some pass."""
    if isinstance(values, Strings) or kind.is_strings:
        some = _strings(values, 8) if isinstance(values, Strings) else [b"a", b"b"]
        return Between(min(some, default=b""), max(some, default=b""))
    if values is None or not len(values):
        return Between(kind.dtype.type(0), kind.dtype.type(1))
    pair = values[0], values[len(values) // 2]
    return Between(min(pair), max(pair))


def _strings(values: Strings, most: int) -> list[bytes]:
    ends = values.offsets[: most + 1].tolist()
    return [values.data[a:b].tobytes() for a, b in itertools.pairwise(ends)]


def _samples(kind: Kind) -> Iterator[Values]:
    """Values that suit one encoding or another."""
    i = np.arange(_COUNT)
    if kind.is_strings:
        for rows in (
            [b"abc" * (k % 5) for k in i],
            [f"https://example.org/{k % 17}".encode() for k in i],
            [b"same"] * _COUNT,
        ):
            offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
            yield Strings(np.frombuffer(b"".join(rows), np.uint8), offsets)
        return
    yield (i // 20 % 3).astype(kind.dtype)
    yield np.full(_COUNT, 1, kind.dtype)
    yield (i * 7919 % 100 / (4 if kind.is_float else 1)).astype(kind.dtype)
    if kind.is_float:
        yield np.where(i % 50 == 0, np.nan, i / 10).astype(kind.dtype)


def _streams() -> list[bytes]:
    """A stream of every encoding, kind and sample of values that go together."""
    found = []
    for identity, encoding in ENCODINGS.items():
        for number, kind in enumerate(_ALL_KINDS):
            for values in _samples(kind) if encoding.accepts(kind) else ():
                made = _written(identity, values, kind)
                if made is not None:
                    found.append(_HEAD.pack(identity, number, _COUNT, made[0]) + made[1])
    return found


def _written(identity: StreamId, values: Values, kind: Kind) -> tuple[int, bytes] | None:
    """How many slots, and these and the payload; None where the encoding does not take the values."""
    sample = Sample([values], [values])
    writer = PageWriter()
    try:
        recipe = ENCODINGS[identity].fixed(sample, kind, LevelChooser("small"))
        payload = ENCODINGS[identity].encode(values, kind, recipe, writer)
    except InvalidDataError:
        return None
    slots = [bytes(slot) for slot in writer.shared.slots]
    if len(slots) > 3 or any(len(slot) > 0xFFFF for slot in slots):
        return None
    return len(slots), b"".join(_U16.pack(len(slot)) + slot for slot in slots) + payload


_V1_TYPES = [
    lance_fmt.bool_(),
    lance_fmt.int8(),
    lance_fmt.int16(),
    lance_fmt.int32(),
    lance_fmt.int64(),
    lance_fmt.uint8(),
    lance_fmt.uint16(),
    lance_fmt.uint32(),
    lance_fmt.uint64(),
    lance_fmt.float16(),
    lance_fmt.float32(),
    lance_fmt.float64(),
    lance_fmt.string(),
    lance_fmt.binary(),
    lance_fmt.json(),
    lance_fmt.timestamp("us"),
    lance_fmt.list_(lance_fmt.string()),
    lance_fmt.list_(lance_fmt.int16()),
    lance_fmt.list_(lance_fmt.float64()),
    lance_fmt.vector(lance_fmt.float32(), 3),
    lance_fmt.vector(lance_fmt.int8(), 5),
]


def v1_block(data: bytes) -> None:
    """A block of a page of format 1.0: exactly so many rows, or a refusal."""
    if len(data) < _HEAD.size:
        return
    code, kind_code, rows, slots = _HEAD.unpack_from(data)
    kind = _V1_TYPES[kind_code % len(_V1_TYPES)]
    rows &= _MOST_VALUES
    shared, at = _slots(data, _HEAD.size, slots % 2)
    dictionary = bytes(shared[0]) if shared else b""
    try:
        decode = v1.block_decoder(Cursor(dictionary), len(dictionary), _known(code, v1.ENCODINGS), kind)
        column = decode(Cursor(data[at:]), rows, 0)
    except FILE_ERRORS:
        return
    _check_column(column, rows, kind)


def _check_column(column: Column, rows: int, kind: lance_fmt.DataType) -> None:
    assert len(column) == rows
    assert column.type == kind
    if kind.is_list or kind.is_variable:
        bounds = column.bounds
        inside = len(column.child) if kind.is_list else len(column.array)
        assert bounds[0] == 0
        assert bounds[-1] == inside
        assert (bounds[1:] >= bounds[:-1]).all()
    if kind.id is not TypeId.JSON and rows <= 1000 and column.nbytes < 1 << 20:
        assert len(column.to_pylist()) == rows


def _v1_blocks() -> list[bytes]:
    """Blocks without nulls of the golden files of 1.0."""
    found = []
    for path in sorted(GOLDEN.glob("v1.0-*.lfmt")):
        data = path.read_bytes()
        with lance_fmt.open(data) as file:
            for name in file.schema.names:
                info = file.column(name)
                if info.type in _V1_TYPES:
                    found += [made for page in info.pages[:1] if (made := _v1_input(data, info.type, page))]
    return [made for made in found if len(made) < 4096]


def _v1_input(data: bytes, kind: lance_fmt.DataType, page: Any) -> bytes | None:
    if page.nulls or not page.blocks:
        return None
    code = EncodingId[page.encoding.upper()]
    offset, length, rows, _ = page.blocks[0]
    index = data[page.index_offset : page.index_offset + page.index_length]
    shared = index[len(index) - page.shared_bytes :]
    slots = [shared] if shared else []
    head = _HEAD.pack(code, _V1_TYPES.index(kind), rows, len(slots))
    return head + b"".join(_U16.pack(len(s)) + s for s in slots) + data[offset : offset + length]


DECODER_TARGETS: dict[str, Target] = {
    "stream": Target(stream, _streams),
    "v1_block": Target(v1_block, _v1_blocks),
}
