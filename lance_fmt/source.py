"""Where a reader gets bytes from: a file, a mapped file, bytes in memory, or any object with `read_at`.

Reads carry their own position, so one source serves many threads. Three methods are optional: `read_into` fills
an array without a copy, `will_need` is a hint that bytes are about to be read (`fetch.Prefetcher` gives it), and
`mapped` offers all bytes as memory that outlives `close` (`File.mapped` asks for it), or None.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lance_fmt.arena import PIECE, lease
from lance_fmt.errors import CorruptFileError, InvalidDataError

_LARGEST_READ = 1 << 30
_HINT_STEP = 128 * 1024  # Linux cuts one hint at the read-ahead of the device, which is 128 KiB or more


@runtime_checkable
class ReadAt(Protocol):
    """A readable object of known size. `read_at` may be called from several threads at once."""

    name: str

    def read_at(self, offset: int, length: int) -> bytes | bytearray | memoryview:
        """Exactly `length` bytes from `offset`; fewer only where the object ends."""

    def size(self) -> int:
        """Bytes in the object."""

    def close(self) -> None:
        """Release it; reads afterwards are an error."""


class FileSource:
    """A local file, read by position."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 (close() closes it)
        self._lock = None if hasattr(os, "pread") and hasattr(os, "preadv") else threading.Lock()

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes at `offset`."""
        if self._lock is None and length <= _LARGEST_READ:
            return os.pread(self._file.fileno(), length, offset)
        buffer = np.empty(length, np.uint8)
        return buffer[: self.read_into(offset, buffer)].tobytes()

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> int:
        """Fill `buffer` from `offset`; returns the bytes read, fewer only at the end of the file."""
        view = buffer.data
        done = 0
        while done < len(view):
            count = self._read_some(offset + done, view[done : done + _LARGEST_READ])
            if not count:
                break
            done += count
        return done

    def read_each(self, offsets: Sequence[int], length: int) -> list[bytes]:
        """`length` bytes from each of `offsets`: many small reads in one go."""
        if self._lock is None:
            descriptor = self._file.fileno()
            return [os.pread(descriptor, length, offset) for offset in offsets]
        return [self.read_at(offset, length) for offset in offsets]

    def _read_some(self, offset: int, view: memoryview) -> int:
        if self._lock is None:
            return os.preadv(self._file.fileno(), [view], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(view) or 0

    def will_need(self, offset: int, length: int) -> None:
        """Ask the system to read these bytes into its cache, without waiting."""
        if hasattr(os, "posix_fadvise"):
            for start in range(offset, offset + length, _HINT_STEP):
                step = min(_HINT_STEP, offset + length - start)
                os.posix_fadvise(self._file.fileno(), start, step, os.POSIX_FADV_WILLNEED)

    def size(self) -> int:
        """Length of the file now."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class MmapSource:
    """A local file mapped into memory: reads are views of the map, nothing is copied.

    Arrays made by reads keep the map alive after `close`; it goes with the last of them. A file that another
    program shortens while it is mapped ends the process with SIGBUS at the next look behind its new end, so
    map only files that are replaced, never rewritten (as `lance_fmt` and `vego` do). `random` tells the
    system not to read ahead of what is touched. On Windows a mapped file can be neither deleted nor replaced.
    """

    def __init__(self, path: str | os.PathLike[str], *, random: bool = False) -> None:
        self.name = os.fspath(path)
        self._map: mmap.mmap | None = None
        self._view: memoryview | None = memoryview(b"")
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size:  # nothing cannot be mapped
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._view = memoryview(self._map)
        if random and self._map is not None and hasattr(mmap, "MADV_RANDOM"):
            self._map.madvise(mmap.MADV_RANDOM)

    def _open_view(self) -> memoryview:
        view = self._view
        if view is None:
            raise InvalidDataError(f"{self.name} is closed")
        return view

    def read_at(self, offset: int, length: int) -> memoryview:
        """A view of the bytes at `offset`, read-only."""
        return self._open_view()[offset : offset + length]

    def mapped(self) -> memoryview:
        """All bytes, read-only."""
        return self._open_view()

    def will_need(self, offset: int, length: int) -> None:
        """Ask the system to read these bytes into memory, without waiting."""
        mapped = self._map
        if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        stop = min(offset + length, len(mapped))
        for place in range(offset - offset % mmap.PAGESIZE, stop, _HINT_STEP):
            mapped.madvise(mmap.MADV_WILLNEED, place, min(_HINT_STEP, stop - place))

    def size(self) -> int:
        """Length of the file when it was mapped."""
        return len(self._open_view())

    def close(self) -> None:
        """Let go of the map. What reads returned stays valid."""
        self._map = self._view = None


class BytesSource:
    """Bytes in memory (or mapped); reads are views of them."""

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "<bytes>") -> None:
        self.name = name
        self._data = memoryview(data).cast("B")

    def read_at(self, offset: int, length: int) -> memoryview:
        """A view of the bytes at `offset`."""
        return self._data[offset : offset + length]

    def mapped(self) -> memoryview:
        """All bytes."""
        return self._data

    def size(self) -> int:
        """Length of the bytes."""
        return len(self._data)

    def close(self) -> None:
        """Nothing to release: arrays made by reads may still look at the bytes."""


def open_source(source: object, mmap: bool = False) -> ReadAt:
    """A source for a path (mapped if `mmap`), bytes, or an object that is one already."""
    if isinstance(source, str | os.PathLike):
        return MmapSource(source) if mmap else FileSource(source)
    if mmap:
        raise InvalidDataError(f"only a file at a path can be mapped, not {type(source).__name__}")
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesSource(source)
    if isinstance(source, ReadAt):
        return source
    raise InvalidDataError(
        f"{type(source).__name__} is not a path, bytes, or an object with read_at and size"
    )


def read_exactly(source: ReadAt, offset: int, length: int, what: str) -> memoryview:
    """`length` bytes at `offset`, or CorruptFileError where the source ends before."""
    data = memoryview(source.read_at(offset, length))
    if len(data) != length:
        raise CorruptFileError(source.name, offset, f"{what}: {length} bytes expected, {len(data)} there")
    return data


def read_array(source: ReadAt, offset: int, length: int, what: str) -> NDArray[np.uint8]:
    """Like `read_exactly`, as an array: filled directly where the source offers that, or a view of its bytes."""
    fill = getattr(source, "read_into", None)
    if fill is None:
        return np.frombuffer(read_exactly(source, offset, length, what), np.uint8)
    buffer = np.empty(length, np.uint8) if length < PIECE // 2 else lease(length)
    done = fill(offset, buffer)
    if done != length:
        raise CorruptFileError(source.name, offset, f"{what}: {length} bytes expected, {done} there")
    return buffer


def read_rows(source: ReadAt, offsets: Sequence[int], length: int) -> NDArray[np.uint8]:
    """An array `(len(offsets), length)` of the bytes at each offset; CorruptFileError where one is cut off."""
    each = getattr(source, "read_each", None)
    pieces = each(offsets, length) if each else [source.read_at(offset, length) for offset in offsets]
    raw = b"".join(pieces)
    if len(raw) != len(offsets) * length:
        short = next(i for i, piece in enumerate(pieces) if len(piece) != length)
        what = f"row: {length} bytes expected, {len(pieces[short])} there"
        raise CorruptFileError(source.name, offsets[short], what)
    return np.frombuffer(bytearray(raw), np.uint8).reshape(-1, length)
