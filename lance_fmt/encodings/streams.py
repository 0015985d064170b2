"""Streams: header, payload and padding around what encodings write, and the recursion between them.

FORMAT.md, "Streams". A stream may hold streams; `PageWriter` and `PageReader` are what encodings get to write
and read them, and to reach the bytes that the blocks of a page share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from lance_fmt.constants import MAX_STREAM_DEPTH, STREAM_ALIGNMENT, StreamId
from lance_fmt.encodings import ENCODINGS
from lance_fmt.encodings.constant import is_constant
from lance_fmt.encodings.protocol import Encoding, Kind, Mask, Recipe, Strings, Test, Values, count_of
from lance_fmt.errors import UnsupportedVersionError
from lance_fmt.wire import FRAME, Cursor

T = TypeVar("T")
_BY_CODE: dict[int, Encoding] = {int(code): encoding for code, encoding in ENCODINGS.items()}
_CONSTANT = Recipe(StreamId.CONSTANT)


class SharedSlots:
    """What the blocks of a page share, while it is written."""

    def __init__(self) -> None:
        self.slots: list[bytes] = []
        self._places: dict[tuple[str, bytes], int] = {}

    def add(self, data: bytes, owner: str) -> int:
        """Slot of `data`; equal data of the same owner, an encoding of one kind, gets the same slot.

        A slot is parsed once for all its readers, so that it must mean the same to all.
        """
        place = self._places.setdefault((owner, data), len(self.slots))
        if place == len(self.slots):
            self.slots.append(data)
        return place

    def cut(self, count: int) -> None:
        """Forget all but the first `count` slots."""
        del self.slots[count:]
        self._places = {key: place for key, place in self._places.items() if place < count}


class PageWriter:
    """Writes the streams of one page. `trace` lists (encoding, kind, values, bytes) of every stream written."""

    def __init__(self, *, trace: list[tuple[StreamId, Kind, int, int]] | None = None) -> None:
        self.shared = SharedSlots()
        self.trace = trace

    def write(self, values: Values, kind: Kind, recipe: Recipe) -> bytes:
        """A whole stream of `values`; CONSTANT where they are all equal, whatever the recipe says."""
        count = count_of(values)
        if not count:
            return FRAME.pack(StreamId.PLAIN, 0)
        if recipe.id is not StreamId.CONSTANT and is_constant(values):
            recipe = _CONSTANT
        payload = ENCODINGS[recipe.id].encode(values, kind, recipe, self)
        size = values.size if isinstance(values, Strings) else 0
        return self.framed(payload, count, kind, recipe.id, size)

    def framed(self, payload: bytes, count: int, kind: Kind, stream: StreamId, size: int = 0) -> bytes:
        """A whole stream of a payload that the caller has made of `count` values, of strings `size` bytes."""
        if self.trace is not None:
            self.trace.append((stream, kind, count, size))
        return b"".join((FRAME.pack(stream, len(payload)), payload, bytes(-len(payload) % STREAM_ALIGNMENT)))


class SharedViews:
    """The shared slots of a page that is read, each parsed at most once for all its blocks."""

    def __init__(self, slots: Sequence[memoryview], *, path: str, base: int) -> None:
        self._slots = slots
        self._path = path
        self._base = base
        self._parsed: dict[int, Any] = {}

    def get(self, slot: int, parse: Callable[[Cursor], T], cursor: Cursor) -> T:
        """`parse` of a slot; `cursor` only serves the error where there is none."""
        known = self._parsed.get(slot)
        if known is None:
            if not 0 <= slot < len(self._slots):
                raise cursor.fail(f"shared slot {slot} of a page that has {len(self._slots)}")
            offset = self._base + sum(len(s) for s in self._slots[:slot])
            known = parse(Cursor(self._slots[slot], path=self._path, base=offset))
            self._parsed[slot] = known
        found: T = known
        return found


class PageReader:
    """Reads the streams of a block. Made for each block: it counts how deep the nesting goes."""

    __slots__ = ("_cursor", "_depth", "_views")

    def __init__(self, views: SharedViews) -> None:
        self._views = views
        self._depth = 0
        self._cursor: Cursor | None = None

    def _enter(self, cursor: Cursor, kind: Kind) -> tuple[Encoding, Cursor]:
        if self._depth >= MAX_STREAM_DEPTH:
            raise cursor.fail(f"streams nested more than {MAX_STREAM_DEPTH} deep")
        code, payload = cursor.framed(STREAM_ALIGNMENT, "stream")
        self._cursor = payload
        encoding = _BY_CODE.get(code)
        if encoding is None:
            raise UnsupportedVersionError(
                f"{cursor.path}: stream encoding id {code} is unknown to this reader: use a newer release"
            )
        if not encoding.accepts(kind):
            raise payload.fail(f"{kind.name} values in a stream of {encoding.name}")
        return encoding, payload

    def read(self, cursor: Cursor, count: int, kind: Kind) -> Values:
        """The next stream of `cursor`: exactly `count` values of `kind`."""
        encoding, payload = self._enter(cursor, kind)
        if not count:
            payload.expect_end("stream of no values")
            return _empty(kind)
        self._depth += 1
        values = encoding.decode(payload, count, kind, self)
        self._depth -= 1
        if payload.remaining:
            payload.expect_end("stream")
        return values

    def match(self, cursor: Cursor, count: int, kind: Kind, test: Test) -> Mask:
        """Which of the next stream's values pass `test`."""
        encoding, payload = self._enter(cursor, kind)
        if not count:
            payload.expect_end("stream of no values")
            return np.zeros(0, np.bool_)
        self._depth += 1
        mask = encoding.match(payload, count, kind, self, test)
        self._depth -= 1
        payload.expect_end("stream")
        return mask

    def shared(self, slot: int, parse: Callable[[Cursor], T]) -> T:
        """`parse` of a shared slot, done once for a page."""
        return self._views.get(slot, parse, self._cursor or Cursor(b""))


def _empty(kind: Kind) -> Values:
    nothing = np.empty(0, kind.dtype)
    return Strings(nothing, np.zeros(1, np.int64)) if kind.is_strings else nothing
