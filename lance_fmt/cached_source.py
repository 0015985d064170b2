"""A source that keeps what it reads from a slow one, block by block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

from lance_fmt.cache import BlockCache
from lance_fmt.errors import InvalidDataError
from lance_fmt.source import ReadAt

_BACKGROUND_THREADS = 4
_BACKGROUND_BYTES = 8 << 20
_BACKGROUND_STEP = 1 << 20


class CachedSource:
    """Serves reads of a slow source, such as object storage, from aligned blocks of it kept in `cache`.

    Missing blocks that lie next to each other come with one request; a block that another thread is
    fetching is waited for, not asked for twice. A read longer than a quarter of the cache goes past it. The
    object must not change while it is open. `close` closes the slow source too.
    """

    def __init__(self, source: ReadAt, cache: BlockCache | None = None, block_size: int = 64 * 1024) -> None:
        if block_size < 1:
            raise InvalidDataError(f"block size {block_size} is not positive")
        self.name = source.name
        self._source = source
        self._cache = BlockCache() if cache is None else cache
        self._block_size = block_size
        self._size = source.size()
        self._keys = BlockCache.new_keys()
        self._lock = threading.Lock()
        self._loading: dict[int, Future[bytes]] = {}
        self._background: ThreadPoolExecutor | None = None
        self._background_bytes = 0
        self._closed = False

    def read_at(self, offset: int, length: int) -> memoryview:
        """Bytes at `offset`, read-only."""
        if self._closed:
            raise InvalidDataError(f"{self.name} is closed")
        stop = min(offset + length, self._size)
        if stop <= offset:
            return memoryview(b"")
        first, last = offset // self._block_size, (stop - 1) // self._block_size
        skip = offset - first * self._block_size
        block = self._cache.get(self._keys + first) if first == last else None
        if block is None:
            if stop - offset > self._cache.budget // 4:
                return memoryview(self._source.read_at(offset, stop - offset))
            blocks = self._blocks(first, last)
            block = blocks[0] if first == last else b"".join(blocks)
        return memoryview(block)[skip : skip + stop - offset]

    def _blocks(self, first: int, last: int) -> list[bytes]:
        """Blocks `first..last`, up to the first that the source does not have whole."""
        have: dict[int, bytes] = {}
        others: dict[int, Future[bytes]] = {}
        mine: dict[int, Future[bytes]] = {}
        with self._lock:
            for number in range(first, last + 1):
                known = self._cache.get(self._keys + number)
                if known is not None:
                    have[number] = known
                elif number in self._loading:
                    others[number] = self._loading[number]
                else:
                    mine[number] = self._loading[number] = Future()
        try:
            for begin, end in _runs(list(mine)):
                for number, block in enumerate(self._fetch(begin, end), begin):
                    have[number] = block
                    mine[number].set_result(block)
        finally:
            with self._lock:
                for number, future in mine.items():
                    del self._loading[number]
                    future.cancel()  # no result: the fetch failed, or the source ended early
        blocks = []
        for number in range(first, last + 1):
            block = have.get(number) or self._await(number, others.get(number))
            blocks.append(block)
            if len(block) < self._expected(number, number):
                break
        return blocks

    def _expected(self, first: int, last: int) -> int:
        """Bytes of blocks `first..last`."""
        return min((last + 1) * self._block_size, self._size) - first * self._block_size

    def _await(self, number: int, future: Future[bytes] | None) -> bytes:
        """The block another thread was fetching; fetched here if that failed."""
        if future is None:
            return b""
        try:
            return future.result()
        except CancelledError:
            return next(self._fetch(number, number))

    def _fetch(self, first: int, last: int) -> Iterator[bytes]:
        """Ask for blocks `first..last` with one request, and keep those that are whole."""
        data = memoryview(self._source.read_at(first * self._block_size, self._expected(first, last)))
        for number in range(first, last + 1):
            at = (number - first) * self._block_size
            block = bytes(data[at : at + self._block_size])  # a copy: it must not keep its neighbours alive
            if len(block) == self._expected(number, number):
                self._cache.put(self._keys + number, block, len(block) + 100)
            yield block

    def will_need(self, offset: int, length: int) -> None:
        """Fetch these bytes in the background, several requests at a time; too many at once are ignored."""
        stop = min(offset + length, self._size)
        for start in range(offset, stop, _BACKGROUND_STEP):
            end = min(start + _BACKGROUND_STEP, stop)
            with self._lock:
                if self._closed or self._background_bytes + end - start > _BACKGROUND_BYTES:
                    return
                if self._background is None:
                    self._background = ThreadPoolExecutor(_BACKGROUND_THREADS, "lance_fmt read-ahead")
                self._background_bytes += end - start
                self._background.submit(self._read_ahead, start, end)

    def _read_ahead(self, start: int, stop: int) -> None:
        try:
            self._blocks(start // self._block_size, (stop - 1) // self._block_size)
        except Exception:
            return  # whoever reads these bytes meets the error and reports it
        finally:
            with self._lock:
                self._background_bytes -= stop - start

    def size(self) -> int:
        """Bytes of the object when it was opened."""
        return self._size

    def close(self) -> None:
        """Wait for requests under way, forget the blocks, and close the source."""
        with self._lock:
            self._closed = True
            background, self._background = self._background, None
        if background is not None:
            background.shutdown(cancel_futures=True)
        self._cache.forget(self._keys)
        self._source.close()


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers; they are rising."""
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[start], numbers[i - 1]
            start = i
