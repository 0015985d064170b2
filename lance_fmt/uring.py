"""A file whose blocks are read many at a time through Linux's io_uring (the extra `uring`).

`fetch.read_many` hands all requests of a batch to `UringSource.read_many`, which keeps up to `depth` of them
with the kernel at once. That pays where many scattered blocks have to come from a disk; from the page cache
it does not. Single reads are those of a `FileSource`.
"""

from __future__ import annotations

import importlib
import itertools
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from lance_fmt.errors import InvalidDataError
from lance_fmt.source import FileSource

_LARGEST = 1 << 30  # one request of the kernel is shorter than 2 GiB


class UringSource(FileSource):
    """A local file read through an io_uring of `depth` entries (1 to 4096).

    Raises InvalidDataError where the package or the kernel does not offer it, OSError for the file. One batch is
    under way at a time; other threads wait for it, or read single blocks meanwhile.
    """

    def __init__(self, path: str | os.PathLike[str], depth: int = 64) -> None:
        if not 1 <= depth <= 4096:
            raise InvalidDataError(f"depth {depth} of an io_uring is not in 1..4096")
        self._kernel = _package()
        super().__init__(path)
        self._depth = depth
        self._batch = threading.Lock()
        self._tokens = itertools.count(1)
        self._flying: dict[int, bytearray] = {}  # the kernel writes into these: never let go of one early
        self._wakeup = -1
        self._ring = self._kernel.Ring()
        self._entry = self._kernel.Cqe()
        try:
            self._kernel.io_uring_queue_init(depth, self._ring)
        except OSError as error:
            super().close()
            raise InvalidDataError(
                f"the kernel refuses an io_uring ({error}); FileSource reads the same file without"
            ) from None
        # The package waits with the interpreter's lock held; reading an eventfd lets other threads run.
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC)
        self._kernel.io_uring_register_eventfd(self._ring, self._wakeup)

    def read_many(self, requests: Sequence[tuple[int, int]]) -> list[memoryview]:
        """The bytes at each (offset, length), in order; fewer only where the file ends."""
        with self._batch:
            if self._wakeup < 0:
                raise InvalidDataError(f"{self.name} is closed")
            return self._read_batch(requests)

    def _read_batch(self, requests: Sequence[tuple[int, int]]) -> list[memoryview]:
        buffers = [bytearray(length if length <= _LARGEST else 0) for _, length in requests]
        waiting: dict[int, int] = {}
        got = [0] * len(requests)
        todo = iter([i for i, buffer in enumerate(buffers) if buffer])
        more = True
        while more or waiting:
            while more and len(self._flying) < self._depth:
                number = next(todo, None)
                more = number is not None
                if number is not None:
                    waiting[self._prepare(requests[number][0], buffers[number])] = number
            self._kernel.io_uring_submit(self._ring)
            for token, count in self._reap() if self._flying else []:
                if token in waiting:  # else left over from a batch that was interrupted
                    got[waiting.pop(token)] = count
        return [
            self._finish(*request, buffer, count)
            for request, buffer, count in zip(requests, buffers, got, strict=True)
        ]

    def _prepare(self, offset: int, buffer: bytearray) -> int:
        """Queue one read; returns its token."""
        token = next(self._tokens)
        self._flying[token] = buffer
        entry = self._kernel.io_uring_get_sqe(self._ring)
        self._kernel.io_uring_prep_read(entry, self._file.fileno(), buffer, offset)
        entry.user_data = token
        return token

    def _reap(self) -> list[tuple[int, int]]:
        """Wait for at least one read; tokens and byte counts of all that are done (0 for failed ones)."""
        done = []
        while not (ready := self._kernel.io_uring_cq_ready(self._ring)):
            os.eventfd_read(self._wakeup)
        for _ in range(ready):
            self._kernel.io_uring_wait_cqe(self._ring, self._entry)
            entry = self._entry[0]
            token = int(entry.user_data)
            try:
                count = int(entry.res)
            except OSError:
                count = 0
            self._kernel.io_uring_cqe_seen(self._ring, entry)
            self._flying.pop(token, None)
            done.append((token, count))
        return done

    def _finish(self, offset: int, length: int, buffer: bytearray, count: int) -> memoryview:
        """What the kernel did not deliver is read the plain way, which also raises the right error."""
        if len(buffer) < length:
            return memoryview(self.read_at(offset, length))
        if count < length:
            count += self.read_into(offset + count, np.frombuffer(buffer, np.uint8)[count:])
        return memoryview(buffer)[:count]

    def close(self) -> None:
        """Wait for reads under way, then close the ring and the file."""
        with self._batch:
            if self._wakeup >= 0:
                while self._flying:
                    self._reap()
                self._kernel.io_uring_queue_exit(self._ring)
                os.close(self._wakeup)
                self._wakeup = -1
        super().close()


def _package() -> Any:
    try:
        return importlib.import_module("liburing")
    except ImportError as error:
        raise InvalidDataError(
            f"io_uring needs Linux and the extra `uring`: pip install 'vego[uring]' ({error})"
        ) from None
