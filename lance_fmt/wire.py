"""Little-endian bytes, bounds-checked: the one place that packs and unpacks binary structures.

`Cursor` reads hostile bytes: every read is checked against the end first, so a wrong length becomes a
`CorruptFileError` naming the byte, never an IndexError, a short slice or a huge allocation.
"""

from __future__ import annotations

import struct

from lance_fmt.errors import CorruptFileError

_U8 = struct.Struct("<B")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_U64_PAIR = struct.Struct("<QQ")
# What `framed` reads: a code, three bytes of nothing, and the bytes that follow.
FRAME = struct.Struct("<B3xI")


class Cursor:
    """Reads one structure front to back.

    `path` and `base` (file position of `data[0]`) only serve error messages.
    """

    __slots__ = ("_base", "_data", "_path", "_position")

    def __init__(self, data: bytes | bytearray | memoryview, *, path: str = "<bytes>", base: int = 0) -> None:
        self._data = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
        self._path = path
        self._base = base
        self._position = 0

    @property
    def path(self) -> str:
        """What error messages call the source."""
        return self._path

    @property
    def offset(self) -> int:
        """File position of the next byte."""
        return self._base + self._position

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    @property
    def rest(self) -> memoryview:
        """What has not been read, as a view."""
        return self._data[self._position :] if self._position else self._data

    def fail(self, what: str) -> CorruptFileError:
        """An error that points at the current byte; the caller raises it."""
        return CorruptFileError(self._path, self._base + self._position, what)

    def take(self, length: int, what: str = "bytes") -> memoryview:
        """The next `length` bytes, as a view."""
        start = self._position
        stop = start + length
        if length < 0 or stop > len(self._data):
            raise self.fail(f"{what}: {length} bytes expected, {self.remaining} left")
        self._position = stop
        return self._data[start:stop]

    def at(self, position: int) -> Cursor:
        """Another cursor over the same bytes, behind the first `position` of them."""
        other = Cursor.__new__(Cursor)
        other._data, other._path, other._base, other._position = self._data, self._path, self._base, position
        return other

    def framed(self, alignment: int, what: str = "frame") -> tuple[int, Cursor]:
        """A piece behind a header of 8 bytes: its code (u8), and a cursor over it (u32 bytes, then padding)."""
        data, start = self._data, self._position + FRAME.size
        if start > len(data):
            raise self.fail(f"{what}: 8 bytes of header expected, {self.remaining} left")
        code, length = FRAME.unpack_from(data, self._position)
        end = start + length + -length % alignment
        if end > len(data):
            raise self.fail(f"{what}: {length} bytes expected, {len(data) - start} left")
        self._position = end
        inner = Cursor.__new__(Cursor)
        inner._data = data[start : start + length]
        inner._path, inner._base, inner._position = self._path, self._base + start, 0
        return code, inner

    def u8(self, what: str = "u8") -> int:
        """Unsigned 8-bit integer."""
        return self.record(_U8, what)[0]

    def u16(self, what: str = "u16") -> int:
        """Unsigned 16-bit integer."""
        return self.record(_U16, what)[0]

    def u32(self, what: str = "u32") -> int:
        """Unsigned 32-bit integer."""
        return self.record(_U32, what)[0]

    def u64(self, what: str = "u64") -> int:
        """Unsigned 64-bit integer."""
        return self.record(_U64, what)[0]

    def u64_pair(self, what: str = "u64 pair") -> tuple[int, int]:
        """Two unsigned 64-bit integers, in one step."""
        first, second = self.record(_U64_PAIR, what)
        return first, second

    def record(self, layout: struct.Struct, *what: str) -> tuple[int, ...]:
        """The numbers of a fixed layout, in one step; `what` is what a message calls them."""
        start = self._position
        stop = start + layout.size
        if stop > len(self._data):
            name = "".join(what) or "record"
            raise self.fail(f"{name}: {layout.size} bytes expected, {self.remaining} left")
        self._position = stop
        return layout.unpack_from(self._data, start)

    def u32s(self, count: int, what: str = "u32s") -> tuple[int, ...]:
        """`count` unsigned 32-bit integers."""
        return struct.unpack(f"<{count}I", self.take(4 * count, what))

    def u64s(self, count: int, what: str = "u64s") -> tuple[int, ...]:
        """`count` unsigned 64-bit integers."""
        return struct.unpack(f"<{count}Q", self.take(8 * count, what))

    def blob(self, what: str = "blob") -> bytes:
        """Bytes with a u32 length before them."""
        return bytes(self.take(self.record(_U32, "length of ", what)[0], what))

    def text(self, what: str = "text") -> str:
        """UTF-8 with a u32 length before it."""
        raw = self.blob(what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail(f"{what}: not UTF-8 ({error.reason})") from None

    def expect_end(self, what: str = "structure") -> None:
        """Raise unless every byte has been read."""
        if self.remaining:
            raise self.fail(f"{what}: {self.remaining} bytes too many")


class Builder:
    """Writes one structure front to back; each method returns the builder, so calls chain."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def raw(self, data: bytes | bytearray | memoryview) -> Builder:
        """Bytes as they are."""
        part = bytes(data) if isinstance(data, bytearray) else data
        self._parts.append(part)
        self._size += part.nbytes if isinstance(part, memoryview) else len(part)
        return self

    def u8(self, value: int) -> Builder:
        """Unsigned 8-bit integer."""
        return self.raw(_U8.pack(value))

    def u16(self, value: int) -> Builder:
        """Unsigned 16-bit integer."""
        return self.raw(_U16.pack(value))

    def u32(self, value: int) -> Builder:
        """Unsigned 32-bit integer."""
        return self.raw(_U32.pack(value))

    def u64(self, value: int) -> Builder:
        """Unsigned 64-bit integer."""
        return self.raw(_U64.pack(value))

    def blob(self, data: bytes) -> Builder:
        """Bytes with a u32 length before them."""
        return self.u32(len(data)).raw(data)

    def text(self, value: str) -> Builder:
        """UTF-8 with a u32 length before it."""
        return self.blob(value.encode("utf-8"))

    def finish(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._parts)
