"""The three kinds of open file of a `LocalStore`: one that is read, one that is being made, one that grows.

Writing never reports success for less than everything: short writes continue, a failed append is rolled back,
and a failed sync or close poisons the store and is never tried again.
"""

# The calls of `os` are the seam at which the tests inject faults.
# ruff: noqa: PTH108

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vego.errors import ClosedError, CommitUncertainError, CorruptionError, StorageError
from vego.store.descriptor import CREATE, Descriptor, open_regular, sync_contents, sync_file, write_all
from vego.store.failures import NO_ROOM, reading, storage_error, writing
from vego.store.guard import Guard

_GATHER = 256 * 1024  # small writes are gathered to this many bytes before the system sees them


class LocalReader:
    """A file open for reading at any offset, by any number of threads."""

    def __init__(self, path: str, guard: Guard) -> None:
        self._guard = guard
        self.name = path
        self._map: memoryview | None = None
        with reading("open", path):
            self._descriptor: Descriptor | None = open_regular(path)
            self._size = os.fstat(self._descriptor.number).st_size

    def size(self) -> int:
        """Bytes, as of opening."""
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; CorruptionError if the file ends before that."""
        descriptor = self._in_use()
        self._check_range(offset, length)
        try:
            data = os.pread(descriptor.number, length, offset)
        except OSError as error:
            raise storage_error(error, "read", self.name, writing=False) from error
        if len(data) == length:
            return data
        buffer = bytearray(length)
        buffer[: len(data)] = data
        self._fill(descriptor, memoryview(buffer), offset, len(data))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> int:
        """Fill `buffer`, uint8 (n,), from `offset` and return n; CorruptionError if the file ends before."""
        descriptor = self._in_use()
        self._check_range(offset, len(buffer))
        self._fill(descriptor, buffer.data, offset, 0)
        return len(buffer)

    def mapped(self) -> memoryview | None:
        """The file as read-only memory, also after `close`; None where it cannot be mapped."""
        descriptor = self._in_use()
        if self._map is None and self._size:
            with suppress(
                OSError, ValueError
            ):  # a file system without maps; ValueError: the file is shorter now
                self._map = memoryview(mmap.mmap(descriptor.number, self._size, access=mmap.ACCESS_READ))
        return self._map

    def close(self) -> None:
        """Reads in progress finish; the descriptor closes with the last of them."""
        self._descriptor = self._map = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _in_use(self) -> Descriptor:
        self._guard.check_read()
        descriptor = self._descriptor
        if descriptor is None:
            raise ClosedError(f"{self.name}: read after close")
        return descriptor

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self._size:
            raise CorruptionError(
                self.name,
                max(offset, 0),
                f"{length} bytes expected, but the file has {self._size} bytes in all",
            )

    def _fill(self, descriptor: Descriptor, view: memoryview, offset: int, done: int) -> None:
        while done < len(view):
            try:
                count = os.preadv(descriptor.number, [view[done:]], offset + done)
            except OSError as error:
                raise storage_error(error, "read", self.name, writing=False) from error
            if count <= 0:
                raise CorruptionError(
                    self.name, offset + done, f"the file was cut while open: it had {self._size} bytes"
                )
            done += count


class LocalNewFile:
    """A file in the making: under its final name, but nobody refers to it before `commit`."""

    def __init__(self, path: str, guard: Guard) -> None:
        guard.check_write()
        self._guard = guard
        self._committed = False
        self._pending = bytearray()
        self._written = 0
        self.name = path
        with writing("create", path):
            self._descriptor = Descriptor(path, CREATE)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append all of `data`; its length in bytes."""
        self._check()
        view = memoryview(data).cast("B")
        if len(self._pending) + len(view) > _GATHER:
            self._flush()
        if len(view) > _GATHER:
            self._put(view)
        else:
            self._pending += view
        return len(view)

    def tell(self) -> int:
        """Bytes written so far."""
        return self._written + len(self._pending)

    def commit(self) -> None:
        """Make the contents durable and close; a failure poisons the store: a retry would prove nothing."""
        self._check()
        self._flush()
        try:
            sync_file(self._descriptor.number)
            self._descriptor.close()
        except BaseException as error:
            self._guard.poison(f"sync of {self.name} failed: {error!r}")
            if isinstance(error, OSError):
                raise storage_error(error, "sync", self.name, writing=False) from error
            raise
        self._committed = True

    def discard(self) -> None:
        """Remove the file unless it was committed; in a forked child it belongs to the parent and stays."""
        if self._committed or self._guard.closed:
            return
        self._committed = True
        with suppress(OSError):  # the file goes away, so what could not be written does not matter
            self._descriptor.close()
        with writing("remove", self.name):
            os.unlink(self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.discard()
        except Exception:
            if error is None:
                raise  # else the first error says more than that the remains could not be removed

    def _check(self) -> None:
        self._guard.check_write()
        if self._committed:
            raise ClosedError(f"{self.name}: written after it was committed or discarded")

    def _flush(self) -> None:
        if self._pending:
            self._put(memoryview(bytes(self._pending)))
            self._pending.clear()

    def _put(self, view: memoryview) -> None:
        with writing("write", self.name):
            write_all(self._descriptor.number, view, self._written)
        self._written += len(view)


class LocalAppendFile:
    """A log file. `size` counts complete appends only; bytes beyond it are never left behind knowingly."""

    def __init__(self, path: str, guard: Guard) -> None:
        guard.check_write()
        self._guard = guard
        self._size = 0
        self.name = path
        with writing("create", path):
            self._descriptor: Descriptor | None = Descriptor(path, CREATE)

    @property
    def size(self) -> int:
        """Bytes of all complete appends."""
        return self._size

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Append all of `data` or nothing; the offset where it starts.

        Raises StorageError for a full disk, with the file as before and usable. Any other failure poisons the
        store.
        """
        descriptor = self._in_use()
        start = self._size
        try:
            write_all(descriptor.number, data, start)
        except BaseException as error:
            self._roll_back(descriptor, error)
            if isinstance(error, OSError):
                raise storage_error(error, "append", self.name, writing=False) from error
            raise
        self._size = start + (len(data) if isinstance(data, bytes) else memoryview(data).nbytes)
        return start

    def sync(self) -> None:
        """Make every append so far durable; a failure is a CommitUncertainError and poisons the store.

        After an interrupt it may be called again: the system reported no failure, so nothing passes for clean that
        is not.
        """
        descriptor = self._in_use()
        guard = self._guard
        try:
            sync_contents(descriptor.number)
        except OSError as error:
            # No call of Python comes before this: an interrupt in its place would hide the failure.
            guard.poisoned = guard.poisoned or f"sync of {self.name} failed: {error}"
            raise CommitUncertainError(
                f"{self.name}: cannot sync: {os.strerror(error.errno or 0)}; it is not known whether the "
                "last writes are durable; look after the disk, then close the database and open it again"
            ) from error

    def truncate(self, size: int) -> None:
        """Drop the bytes from `size` on; a failure poisons the store."""
        descriptor = self._in_use()
        if not 0 <= size <= self._size:
            raise StorageError(f"{self.name}: cannot truncate {self._size} bytes to {size}")
        try:
            os.ftruncate(descriptor.number, size)
        except OSError as error:
            self._guard.poison(f"truncation of {self.name} failed: {error}")
            raise storage_error(error, "truncate", self.name, writing=False) from error
        self._size = size

    def close(self) -> None:
        """Close without making anything durable; in a second call nothing happens."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None or self._guard.closed:
            return
        try:
            descriptor.close()
        except OSError as error:
            self._guard.poison(f"close of {self.name} failed: {error}")
            raise storage_error(error, "close", self.name, writing=False) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _in_use(self) -> Descriptor:
        self._guard.check_write()
        descriptor = self._descriptor
        if descriptor is None:
            raise ClosedError(f"{self.name}: written after close")
        return descriptor

    def _roll_back(self, descriptor: Descriptor, cause: BaseException) -> None:
        """Cut off a partial append. Want of room and an interrupt are harmless then; nothing else is."""
        try:
            os.ftruncate(descriptor.number, self._size)
        except OSError as error:
            self._guard.poison(f"append to {self.name} failed ({cause}) and could not be undone ({error})")
            return
        if isinstance(cause, OSError) and cause.errno not in NO_ROOM:
            self._guard.poison(f"append to {self.name} failed: {cause}")
