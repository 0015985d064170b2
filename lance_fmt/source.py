"""Where a reader gets bytes from: a file, bytes in memory, or any object with `read_at`.

Reads carry their own position, so one source serves many threads.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lance_fmt.errors import CorruptFileError, InvalidDataError

_LARGEST_READ = 1 << 30


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
        self._lock = None if hasattr(os, "pread") else threading.Lock()

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

    def _read_some(self, offset: int, view: memoryview) -> int:
        if self._lock is None:
            return os.preadv(self._file.fileno(), [view], offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.readinto(view) or 0

    def size(self) -> int:
        """Length of the file now."""
        return os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class BytesSource:
    """Bytes in memory (or mapped); reads are views of them."""

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "<bytes>") -> None:
        self.name = name
        self._data = memoryview(data).cast("B")

    def read_at(self, offset: int, length: int) -> memoryview:
        """A view of the bytes at `offset`."""
        return self._data[offset : offset + length]

    def size(self) -> int:
        """Length of the bytes."""
        return len(self._data)

    def close(self) -> None:
        """Nothing to release: arrays made by reads may still look at the bytes."""


def open_source(source: object) -> ReadAt:
    """A source for a path, bytes, or an object that is one already."""
    if isinstance(source, str | os.PathLike):
        return FileSource(source)
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
    """Like `read_exactly`, as an array: filled directly from a file, a view of bytes in memory."""
    if not isinstance(source, FileSource):
        return np.frombuffer(read_exactly(source, offset, length, what), np.uint8)
    buffer = np.empty(length, np.uint8)
    done = source.read_into(offset, buffer)
    if done != length:
        raise CorruptFileError(source.name, offset, f"{what}: {length} bytes expected, {done} there")
    return buffer
