"""Encodes pages by several threads, and hands them on in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Protocol

from lance_fmt.column import Column
from lance_fmt.page import PageImage

# Pages may wait, for a thread or for those before them, up to so many bytes.
_WAITING_BYTES = 16 << 20


class Encoder(Protocol):
    """What encodes the pages of a column, in their order and by one thread at a time, and puts them in the file."""

    def build(self, page: Column) -> PageImage:
        """Encode a page, by any thread."""

    def put(self, image: PageImage) -> None:
        """Write an encoded page, by the thread that calls `PagePipeline.add` and `PagePipeline.finish`."""


class PagePipeline:
    """Pages on their way through `threads` threads.

    A thread takes the first page of a column that no other is at: columns of one call need not wait for each
    other, and neither need those of the next call.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "lance_fmt-writer")
        self._lock = Lock()
        self._todo: deque[tuple[Encoder, Column, Future[PageImage]]] = deque()
        self._busy: set[Encoder] = set()
        self._sent: deque[tuple[Encoder, int, Future[PageImage]]] = deque()
        self._waiting = 0

    def add(self, encoder: Encoder, page: Column) -> None:
        """A page to be encoded and written; writes those that are ready, and waits if too many are not."""
        future: Future[PageImage] = Future()
        size = page.nbytes
        with self._lock:
            self._todo.append((encoder, page, future))
        self._sent.append((encoder, size, future))
        self._waiting += size
        self._pool.submit(self._work)
        del page
        self._put(lambda done: done or self._waiting > _WAITING_BYTES)

    def finish(self) -> None:
        """Write all pages. Raises what encoding one of them raised."""
        self._put(lambda done: True)  # noqa: ARG005

    def _put(self, wanted: Callable[[bool], bool]) -> None:
        while self._sent and wanted(self._sent[0][2].done()):
            encoder, size, future = self._sent.popleft()
            encoder.put(future.result())
            self._waiting -= size

    def _work(self) -> None:
        while (job := self._taken()) is not None:
            encoder, page, future = job
            try:
                future.set_result(encoder.build(page))
            except BaseException as error:
                future.set_exception(error)
            del job, page
            with self._lock:
                self._busy.discard(encoder)

    def _taken(self) -> tuple[Encoder, Column, Future[PageImage]] | None:
        """The first page of a column that no thread is at, which this one is at from now on."""
        with self._lock:
            for place, job in enumerate(self._todo):
                if job[0] not in self._busy:
                    del self._todo[place]
                    self._busy.add(job[0])
                    return job
        return None

    def stop(self) -> None:
        """End the threads; pages not begun are given up."""
        with self._lock:
            self._todo.clear()
        self._pool.shutdown(cancel_futures=True)
