"""The asyncio face gives what the reader gives, in few threads, and survives cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lance_fmt
from lance_fmt import BlockCache, BytesSource, InvalidDataError, SchemaError, aio

ROWS = 5000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lance_fmt.write(tmp_path / "x.lfmt", {"n": np.arange(ROWS), "text": [f"row {i}" for i in range(ROWS)]})
    return tmp_path / "x.lfmt"


class Gate(BytesSource):
    """Bytes whose reads wait until the gate is open; counts how many wait at once."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "gate")
        self.open = threading.Event()
        self.open.set()
        self.lock = threading.Lock()
        self.inside = self.most = self.calls = self.closed = 0

    def read_at(self, offset: int, length: int) -> memoryview:
        with self.lock:
            self.calls += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(10)
        with self.lock:
            self.inside -= 1
        assert not self.closed
        return super().read_at(offset, length)

    def close(self) -> None:
        self.closed += 1


async def until(condition: Any) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("waited in vain")


def test_it_gives_what_the_reader_gives(path: Path) -> None:
    async def main() -> None:
        with lance_fmt.open(path) as plain:
            async with await aio.open(str(path), cache=BlockCache(1 << 20)) as file:
                assert file.num_rows == ROWS
                assert file.schema == plain.schema
                for arguments, keywords in [
                    ((), {}),
                    ((["n"],), {}),
                    ((), {"columns": ["text"], "rows": slice(5, 50)}),
                ]:
                    expected = plain.read(*arguments, **keywords).to_pydict()
                    assert (await file.read(*arguments, **keywords)).to_pydict() == expected
                assert (await file.take([9, 3], columns=["n"]))["n"].to_pylist() == [9, 3]
                assert await file.row(7, ["text"]) == {"text": "row 7"}
                sizes = [batch.num_rows async for batch in file.batches(900, columns=["n"])]
                assert sizes == [900] * 5 + [500]
                rows = await asyncio.gather(*(file.row(i, ["n"]) for i in range(50)))
                assert [row["n"] for row in rows] == list(range(50))

    asyncio.run(main())


def test_errors_are_those_of_the_reader(path: Path) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await aio.open(path.with_name("missing"))
        with pytest.raises(TypeError):
            await aio.open(path, colour="red")
        with pytest.raises(InvalidDataError, match="threads"):
            await aio.open(path, threads=0)
        file = await aio.open(path)
        with pytest.raises(SchemaError, match="no column"):
            await file.read(["missing"])
        with pytest.raises(InvalidDataError, match="batch size"):
            async for _ in file.batches(0):
                pass
        await file.close()
        await file.close()
        for call in (file.read(), file.take([1]), file.row(1)):
            with pytest.raises(InvalidDataError, match="closed"):
                await call
        with pytest.raises(InvalidDataError, match="closed"):
            async for _ in file.batches():
                pass

    asyncio.run(main())


def test_few_calls_run_at_once(path: Path) -> None:
    async def main() -> None:
        source = Gate(path.read_bytes())
        async with await aio.open(source, threads=3) as file:
            source.open.clear()
            reads = [asyncio.create_task(file.read(rows=slice(i, i + 1))) for i in range(20)]
            await until(lambda: source.inside == 3)
            source.open.set()
            assert [(await read)["n"].to_pylist()[0] for read in reads] == list(range(20))
            assert source.most == 3

    asyncio.run(main())


def test_cancelled_calls(path: Path) -> None:
    async def main() -> None:
        source = Gate(path.read_bytes())
        async with await aio.open(source, threads=1) as file:
            await file.read(["n"], rows=slice(0, 1))
            source.open.clear()
            calls = source.calls
            reads = [asyncio.create_task(file.read(["n"], rows=slice(0, 1))) for _ in range(5)]
            await until(lambda: source.inside == 1)
            for read in reads[:4]:
                read.cancel()
            for read in reads[:4]:
                with pytest.raises(asyncio.CancelledError):
                    await read
            source.open.set()
            assert (await reads[4])["n"].to_pylist() == [0]
            assert source.calls == calls + 2  # the one that ran, and the one still wanted
            with pytest.raises(asyncio.TimeoutError):
                source.open.clear()
                await asyncio.wait_for(file.row(4000), 0.01)
            source.open.set()
            assert (await file.row(4000))["n"] == 4000
        assert source.closed == 1

    asyncio.run(main())


def test_cancelled_while_opening(path: Path) -> None:
    async def main() -> None:
        source = Gate(path.read_bytes())
        source.open.clear()
        opening = asyncio.create_task(aio.open(source))
        await until(lambda: source.inside == 1)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert not source.closed
        source.open.set()
        await until(lambda: source.closed == 1)

    asyncio.run(main())


def test_closing_waits_for_calls_under_way(path: Path) -> None:
    async def main() -> None:
        source = Gate(path.read_bytes())
        file = await aio.open(source)
        source.open.clear()
        read = asyncio.create_task(file.read())
        await until(lambda: source.inside == 1)
        closing = asyncio.create_task(file.close())
        await asyncio.sleep(0.02)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert not source.closed
        source.open.set()
        assert (await read).num_rows == ROWS
        await until(lambda: source.closed == 1)

    asyncio.run(main())


def test_batches_left_early(path: Path) -> None:
    async def main() -> None:
        async with await aio.open(path) as file:
            batches = file.batches(100)
            async for batch in batches:
                assert batch["n"].to_pylist()[0] == 0
                break
            await batches.aclose()
            assert await file.row(0) == {"n": 0, "text": "row 0"}

    asyncio.run(main())


def test_the_next_batch_is_read_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*arguments: Any) -> Iterator[lance_fmt.Table]:
        for batch in plain.batches(*arguments):
            made.append(batch.num_rows)
            yield batch

    async def main() -> None:
        async with await aio.open(path) as file:
            monkeypatch.setattr(file.file, "batches", counted)
            number = 0
            async for _ in file.batches(1000):
                number += 1
                await until(lambda wanted=number: len(made) == min(wanted + 1, 5))
            assert number == len(made) == 5

    with lance_fmt.open(path) as plain:
        asyncio.run(main())
