"""What every encoding owes: values back bit by bit, filters that ask the values, no more depth than allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import lance_fmt
from lance_fmt import Column, CorruptFileError, Cursor, DataType, UnsupportedVersionError
from lance_fmt.block import leaves
from lance_fmt.constants import MAX_STREAM_DEPTH, StreamId
from lance_fmt.encodings import ENCODINGS, Encoding
from lance_fmt.encodings.protocol import (
    Kind,
    Mask,
    Recipe,
    Sample,
    Strings,
    Values,
    count_of,
    kind_of,
)
from lance_fmt.encodings.select import MAX_CASCADE, LevelChooser
from lance_fmt.encodings.streams import PageReader, PageWriter, SharedViews
from lance_fmt.wire import Builder
from lance_fmt.writer import choose_shifts
from tests.support.format_values import file_of
from tests.support.stream_values import EVERY_KIND, depth_of, recipes, shapes, stream_values, strings

_SHAPES = {kind.name: shapes(kind) for kind in EVERY_KIND}
cases = pytest.mark.parametrize(
    ("encoding", "kind"),
    [
        pytest.param(encoding, kind, id=f"{encoding.name}-{kind.name}")
        for encoding in ENCODINGS.values()
        for kind in EVERY_KIND
        if encoding.accepts(kind)
    ],
)


def _open(writer: PageWriter) -> PageReader:
    return PageReader(SharedViews([memoryview(s) for s in writer.shared.slots], path="x", base=0))


@cases
def test_values_come_back_bit_by_bit(encoding: Encoding, kind: Kind) -> None:
    for name, values in _SHAPES[kind.name].items():
        for recipe in recipes(encoding, [values], kind, ("speed", "small")):
            writer = PageWriter()
            data = writer.write(values, kind, recipe)
            assert len(data) % 8 == 0
            cursor = Cursor(data + b"more")
            read = _open(writer).read(cursor, count_of(values), kind)
            assert stream_values(read) == stream_values(values), (name, str(recipe))
            assert cursor.remaining == 4
            assert depth_of(recipe) <= MAX_CASCADE, (name, str(recipe))
            if not isinstance(read, Strings):
                assert read.dtype == kind.dtype


@cases
def test_blocks_that_were_not_planned_for(encoding: Encoding, kind: Kind) -> None:
    """A page is planned from a few of its blocks; the others may hold anything."""
    every = list(_SHAPES[kind.name].values())
    if encoding.id is StreamId.CONSTANT:
        return
    for planned in every[2:4]:
        chooser = LevelChooser("balanced", frozenset({encoding.id}))
        recipe = encoding.fixed(Sample([planned], every), kind, chooser)
        writer = PageWriter()
        blocks = [writer.write(values, kind, recipe) for values in every]
        for data, values in zip(blocks, every, strict=True):
            assert stream_values(_open(writer).read(Cursor(data), count_of(values), kind)) == stream_values(
                values
            )


@dataclass
class Within:
    """Values from `low` to `high`; with `is_open`, no interval is told."""

    low: Any
    high: Any
    is_open: bool
    __test__ = False

    def mask(self, values: Values) -> Mask:
        """Which values lie between the two."""
        if isinstance(values, Strings):
            return np.array([self.low <= v <= self.high for v in stream_values(values)], np.bool_)
        if values.dtype.kind not in "iu":
            return (values >= self.low) & (values <= self.high)
        ends = np.iinfo(values.dtype)
        if self.low > ends.max or self.high < ends.min or self.low > self.high:
            return np.zeros(len(values), np.bool_)
        low, high = max(self.low, int(ends.min)), min(self.high, int(ends.max))
        return (values >= values.dtype.type(low)) & (values <= values.dtype.type(high))

    @property
    def interval(self) -> tuple[int, int] | None:
        """Told of integers."""
        return (self.low, self.high) if isinstance(self.low, int) and not self.is_open else None


def _tests(values: Values, kind: Kind) -> list[Within]:
    if isinstance(values, Strings):
        some = stream_values(values)
        return [Within(b"", b"\xff" * 9, True), Within(min(some), some[-1], True), Within(b"b", b"a", True)]
    every = [v for v in values.tolist() if v == v]
    some = sorted(every)[:: max(1, len(every) // 3)]
    found = [Within(some[0], some[-1], False), Within(some[len(some) // 2], some[len(some) // 2], False)]
    found.append(Within(some[-1], max(every), True))
    if kind.is_integer:
        found += [Within(-(2**70), some[0], False), Within(some[-1], 2**70, False), Within(5, 4, False)]
        found.append(Within(some[0] + 1, some[-1] - 1, False))
    return found


@cases
def test_matching_is_asking_the_decoded_values(encoding: Encoding, kind: Kind) -> None:
    for name, values in _SHAPES[kind.name].items():
        for recipe in list(recipes(encoding, [values], kind))[-1:]:
            writer = PageWriter()
            data = writer.write(values, kind, recipe)
            for test in _tests(values, kind):
                mask = _open(writer).match(Cursor(data), count_of(values), kind, test)
                assert mask.dtype == np.bool_
                assert mask.tolist() == test.mask(values).tolist(), (name, str(recipe), test)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
@given(st.data())
def test_any_values(encoding: Encoding, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([k for k in EVERY_KIND if encoding.accepts(k)]))
    if kind.is_strings:
        values: Values = strings(data.draw(st.lists(st.binary(max_size=12), min_size=1, max_size=30)))
    elif kind.is_bool:
        values = np.array(data.draw(st.lists(st.booleans(), min_size=1)))
    else:
        bits = arrays.arrays(f"<u{kind.dtype.itemsize}", st.integers(1, 200))
        values = data.draw(bits).view(kind.dtype)
    for recipe in recipes(encoding, [values], kind):
        writer = PageWriter()
        raw = writer.write(values, kind, recipe)
        assert stream_values(_open(writer).read(Cursor(raw), count_of(values), kind)) == stream_values(values)


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda k: k.name)
def test_no_values(kind: Kind) -> None:
    nothing: Values = strings([]) if kind.is_strings else np.empty(0, kind.dtype)
    data = PageWriter().write(nothing, kind, Recipe(StreamId.PLAIN))
    assert data == bytes([1]) + bytes(7)
    assert count_of(_open(PageWriter()).read(Cursor(data), 0, kind)) == 0
    for encoding in ENCODINGS.values():
        empty = bytes([encoding.id]) + bytes(7)
        if encoding.accepts(kind):
            assert stream_values(_open(PageWriter()).read(Cursor(empty), 0, kind)) == []
        if not (kind.is_strings and encoding.id is StreamId.CONSTANT):
            with pytest.raises(CorruptFileError):
                _open(PageWriter()).read(Cursor(empty), 1, kind)


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda k: k.name)
def test_an_encoding_of_another_kind_is_refused(kind: Kind) -> None:
    for encoding in ENCODINGS.values():
        if not encoding.accepts(kind):
            for ask in (lambda c: _open(PageWriter()).read(c, 3, kind),
                        lambda c: _open(PageWriter()).match(c, 3, kind, Within(0, 1, True))):  # fmt: skip
                with pytest.raises(
                    CorruptFileError, match=f"{kind.name} values in a stream of {encoding.name}"
                ):
                    ask(Cursor(bytes([encoding.id]) + bytes(39)))


@pytest.mark.parametrize("code", [0, 14, 77, 255])
def test_an_unknown_encoding_is_named(code: int) -> None:
    with pytest.raises(UnsupportedVersionError, match=f"stream encoding id {code} is unknown"):
        _open(PageWriter()).read(Cursor(bytes([code]) + bytes(15)), 1, kind_of("u1"))


def _nested(levels: int) -> bytes:
    """Run-lengths of one run, each in the next, around a plain value: `levels` streams deep."""
    data = Builder().u8(1).raw(bytes(3)).u32(4).u32(7).u32(0).finish()
    for _ in range(levels - 1):
        lengths = Builder().u8(1).raw(bytes(3)).u32(4).u32(1).u32(0).finish()
        payload = Builder().u32(1).u32(0).raw(data).raw(lengths).finish()
        data = Builder().u8(7).raw(bytes(3)).u32(len(payload)).raw(payload).finish()
    return data


def test_streams_nest_so_deep_and_no_deeper() -> None:
    kind = kind_of("<u4")
    # The lengths lie as deep as the values, so the deepest run-length is at the limit less one.
    assert stream_values(_open(PageWriter()).read(Cursor(_nested(MAX_STREAM_DEPTH)), 1, kind)) == [7]
    for deep in (MAX_STREAM_DEPTH + 1, 100, 3000):
        with pytest.raises(CorruptFileError, match="nested more than 8 deep"):
            _open(PageWriter()).read(Cursor(_nested(deep)), 1, kind)
        with pytest.raises(CorruptFileError, match="nested more than 8 deep"):
            _open(PageWriter()).match(Cursor(_nested(deep)), 1, kind, Within(0, 9, False))


@cases
def test_no_prefix_of_a_stream_is_read(encoding: Encoding, kind: Kind) -> None:
    for values in list(_SHAPES[kind.name].values())[:5]:
        for recipe in list(recipes(encoding, [values], kind))[-1:]:
            writer = PageWriter()
            data = writer.write(values, kind, recipe)
            cuts = {0, 1, 7, 8, 9, len(data) // 2, len(data) - 8, len(data) - 1} - {len(data)}
            for cut in cuts:
                with pytest.raises(CorruptFileError):
                    _open(writer).read(Cursor(data[: max(cut, 0)]), count_of(values), kind)


# Types for each kind that encodings may meet, with values that fill several blocks.
_BLOCK = 1 << choose_shifts(lance_fmt.int64(), 1, 8)[1]
_ROWS = _BLOCK * 5 // 2
_TYPES: list[tuple[DataType, Callable[[int], Any]]] = [
    (lance_fmt.bool_(), lambda i: i % 7 == 0),
    (lance_fmt.uint8(), lambda i: i % 200),
    (lance_fmt.uint32(), lambda i: i * 7919 % 10007),
    (lance_fmt.int64(), lambda i: i * i - 10**6),
    (lance_fmt.float32(), lambda i: i % 500 / 4),
    (lance_fmt.float64(), lambda i: i / 100),
    (lance_fmt.string(), lambda i: f"row {i % 300}"),
    (lance_fmt.list_(lance_fmt.uint16(), True), lambda i: [i % 9, None][: i % 3]),
    (lance_fmt.list_(lance_fmt.string(), True), lambda i: [f"t{i % 9}", None][: i % 3]),
    (
        lance_fmt.struct({"n": lance_fmt.uint32(), "t": lance_fmt.string(), "f": lance_fmt.float64()}),
        lambda i: {"n": None if i % 5 == 0 else i, "t": None if i % 3 == 0 else f"t{i % 50}", "f": i / 4},
    ),
]


def _with_nulls(kind: DataType, value: Callable[[int], Any]) -> Column:
    """A page with a block without nulls, one of nulls alone, and one with some."""
    i = np.arange(_ROWS)
    null = (i >= _BLOCK) & (i < 2 * _BLOCK) | (i > 2 * _BLOCK) & (i % 3 == 0)
    some = Column.from_pylist([None, *map(value, range(2000))], kind)
    return some.take(np.where(null, 0, i % 2000 + 1))


@pytest.fixture(scope="module")
def nulled() -> dict[str, Column]:
    """The columns with nulls, by their types."""
    return {str(kind): _with_nulls(kind, value) for kind, value in _TYPES}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda e: e.name)
def test_nulls_under_every_encoding(encoding: Encoding, nulled: dict[str, Column]) -> None:
    columns = {n: c for n, c in nulled.items() if any(encoding.accepts(leaf.kind) for leaf in leaves(c.type))}
    if encoding.id is StreamId.CONSTANT:
        one = np.where(np.arange(_ROWS) % 9 == 0, _BLOCK, 2)
        columns = {name: column.take(one) for name, column in columns.items() if not column.type.is_list}
    data = file_of(columns, encodings=dict.fromkeys(columns, encoding.name))
    with lance_fmt.open(data) as file:
        table = file.read()
        for name, column in columns.items():
            assert table[name].equals(column), name
            picks = [0, _BLOCK - 1, _BLOCK, _BLOCK + 9, 2 * _BLOCK, 2 * _BLOCK + 1, _ROWS - 1]
            assert file.take(picks)[name].equals(column.take(picks)), name
        file.verify()


def test_a_page_has_blocks_of_every_fill(nulled: dict[str, Column]) -> None:
    with lance_fmt.open(file_of({"c": nulled["int64"]}, encodings={"c": "delta"})) as file:
        nulls = [block[2:] for page in file.column("c").pages for block in page.blocks]
    assert nulls[:2] == [(_BLOCK, 0), (_BLOCK, _BLOCK)]
    assert 0 < nulls[2][1] < nulls[2][0]
