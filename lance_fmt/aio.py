"""Files in asyncio programs: the same reader, its calls run by a few threads of the file.

    async with await lance_fmt.aio.open("x.lfmt") as file:
        table = await file.read(["price"])
        async for batch in file.batches(10_000):
            ...

Decoding releases the interpreter's lock, so the event loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from lance_fmt import reader
from lance_fmt.errors import InvalidDataError
from lance_fmt.schema import Schema
from lance_fmt.table import Table

THREADS = 4
T = TypeVar("T")


async def open(source: Any, *, threads: int = THREADS, **keywords: Any) -> AsyncFile:
    """Open a file as `lance_fmt.open` does, whose keywords and errors are these.

    At most `threads` calls of the file run at the same time, others wait. Cancelled while opening, it closes
    what it opened.
    """
    if threads < 1:
        raise InvalidDataError(f"{threads} threads are too few")
    pool = ThreadPoolExecutor(threads, "lance_fmt.aio")
    opening = pool.submit(reader.open, source, **keywords)
    try:
        return AsyncFile(await asyncio.wrap_future(opening), pool)
    except BaseException:
        opening.add_done_callback(_close_unwanted)
        pool.shutdown(wait=False)
        raise


def _close_unwanted(opening: Future[reader.File]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class AsyncFile:
    """An open file. Make one with `await lance_fmt.aio.open(...)`; it is an async context manager.

    A call whose task is cancelled before a thread took it is not made; one that runs is left to end, and
    its answer is dropped. `file` is the `lance_fmt.File`, for what needs no waiting.
    """

    def __init__(self, file: reader.File, pool: ThreadPoolExecutor) -> None:
        self.file = file
        self._pool = pool

    @property
    def schema(self) -> Schema:
        """Fields in file order."""
        return self.file.schema

    @property
    def num_rows(self) -> int:
        """Rows in the file."""
        return self.file.num_rows

    def _submit(self, call: Callable[..., T], *arguments: Any, **keywords: Any) -> Future[T]:
        try:
            return self._pool.submit(call, *arguments, **keywords)
        except RuntimeError:  # the pool was shut down
            raise InvalidDataError(f"{self.file.path} is closed") from None

    async def read(self, *arguments: Any, **keywords: Any) -> Table:
        """`File.read`."""
        return await asyncio.wrap_future(self._submit(self.file.read, *arguments, **keywords))

    async def take(self, *arguments: Any, **keywords: Any) -> Table:
        """`File.take`."""
        return await asyncio.wrap_future(self._submit(self.file.take, *arguments, **keywords))

    async def row(self, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """`File.row`."""
        return await asyncio.wrap_future(self._submit(self.file.row, *arguments, **keywords))

    async def batches(self, *arguments: Any, **keywords: Any) -> AsyncIterator[Table]:
        """`File.batches`; the next batch is read while the caller works on one."""
        batches = self.file.batches(*arguments, **keywords)
        coming = self._submit(next, batches, None)
        try:
            while (table := await asyncio.wrap_future(coming)) is not None:
                coming = self._submit(next, batches, None)
                yield table
        finally:
            coming.cancel()

    async def close(self) -> None:
        """Wait for the calls under way, then close the file, even if the waiting is cancelled."""
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        self._pool.shutdown()
        self.file.close()

    async def __aenter__(self) -> AsyncFile:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
