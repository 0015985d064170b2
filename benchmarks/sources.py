"""When mmap, io_uring, threads, asyncio and reading ahead pay beside plain positioned reads.

Run as ``python -m benchmarks.sources [--mib 64] [--repeats 5] [--folder DIR]``. Prints ratio tables: 2.00 is
twice as fast as the first line of its table. "cold" means that the system's page cache was told to drop the file
before each run; the disk below may still have it in a cache of its own. Every byte read is checksummed, as the
reader does. What is compared takes turns, and the fastest run of each counts, so that a busy machine spoils
little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import lance_fmt
from lance_fmt import aio
from lance_fmt.cache import BlockCache
from lance_fmt.checksum import crc32c
from lance_fmt.errors import InvalidDataError
from lance_fmt.fetch import Extent, Prefetcher, read_many
from lance_fmt.source import CachedSource, FileSource, MmapSource, ReadAt
from lance_fmt.uring import UringSource
from vego_tools.bench.machine import describe

BLOCK = 64 * 1024
ROWS = 500_000
Job = Callable[[], object]
Table = dict[str, dict[str, float]]  # row -> column -> seconds


def drop(path: Path) -> None:
    """Ask the page cache to forget the file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(path: Path, jobs: dict[str, dict[str, Job]], repeats: int) -> Table:
    """Seconds of the fastest run of each job, cold for columns that say so."""
    table: Table = {row: {} for row in jobs}
    for _ in range(repeats):
        for column in next(iter(jobs.values())):
            for row, known in jobs.items():
                if column not in known:
                    continue
                if column.endswith("cold"):
                    drop(path)
                start = time.perf_counter()
                known[column]()
                seconds = time.perf_counter() - start
                table[row][column] = min(seconds, table[row].get(column, float("inf")))
    return table


def both(jobs: dict[str, Job]) -> dict[str, Job]:
    """Each job cold and warm."""
    return {f"{name}, {state}": job for name, job in jobs.items() for state in ("cold", "warm")}


def show(title: str, table: Table) -> None:
    rows = list(table)
    columns = list(table[rows[0]])
    print(f"\n## {title}\n\n| |" + "".join(f" {name} |" for name in columns))
    print("|---|" + "---:|" * len(columns))
    for row in rows:
        cells = [
            f" {table[rows[0]][name] / table[row][name]:.2f} |" if name in table[row] else " - |"
            for name in columns
        ]
        print(f"| {row} |" + "".join(cells), flush=True)


@contextmanager
def opened(make: Callable[[], ReadAt]) -> Iterator[ReadAt]:
    source = make()
    try:
        yield source
    finally:
        source.close()


def kinds(path: Path) -> dict[str, Callable[[], ReadAt]]:
    """Sources of a file, as far as this machine has them."""
    known: dict[str, Callable[[], ReadAt]] = {
        "pread": lambda: FileSource(path),
        "mmap": lambda: MmapSource(path),
        "mmap, random": lambda: MmapSource(path, random=True),
        "io_uring": lambda: UringSource(path),
    }
    try:
        UringSource(path).close()
    except InvalidDataError as error:
        print(f"no io_uring: {error}")
        del known["io_uring"]
    return known


def scan(make: Callable[[], ReadAt], step: int) -> None:
    with opened(make) as source:
        for offset in range(0, source.size(), step):
            crc32c(source.read_at(offset, step))


def single(make: Callable[[], ReadAt], extents: list[Extent]) -> None:
    with opened(make) as source:
        for extent in extents:
            crc32c(source.read_at(*extent))


def together(make: Callable[[], ReadAt], extents: list[Extent], gap: int) -> None:
    with opened(make) as source:
        for part in read_many(source, extents, gap=gap):
            crc32c(part)


def raw_reads(folder: Path, mib: int, repeats: int) -> None:
    """Blocks of a file, in order and scattered, one by one and many at once."""
    path = folder / "raw"
    rng = np.random.default_rng(1)
    path.write_bytes(rng.bytes(mib << 20))
    places = rng.permutation((mib << 20) // BLOCK)[: 4 * mib].tolist()  # a quarter of the blocks
    large = [(place * BLOCK, BLOCK) for place in places]
    small = [(place * BLOCK, 4096) for place in places]
    rows: dict[str, dict[str, Job]] = {}
    for name, make in kinds(path).items():
        rows[name] = both(
            {
                "scattered 64 KiB": lambda m=make: single(m, large),
                "scattered 4 KiB": lambda m=make: single(m, small),
                "scan": lambda m=make: scan(m, 1 << 20),
            }
        )
        if name.startswith("mmap"):
            continue  # nothing to merge
        for gap in (0, BLOCK):
            rows[f"{name}, read_many, gaps of {gap >> 10} KiB"] = both(
                {
                    "scattered 64 KiB": lambda m=make, g=gap: together(m, large, g),
                    "scattered 4 KiB": lambda m=make, g=gap: together(m, small, g),
                }
            )
    show(f"Blocks of a file of {mib} MiB", timed(path, rows, repeats))
    path.unlink()


def sample_file(folder: Path) -> Path:
    """Eight columns of different kinds."""
    path, rows = folder / "columns.lfmt", ROWS
    rng = np.random.default_rng(2)
    words = np.array([f"word {i}" for i in range(5000)], object)
    columns: dict[str, object] = {
        "id": np.arange(rows),
        "small": rng.integers(0, 1000, rows),
        "time": np.cumsum(rng.integers(0, 1000, rows)),
        "price": np.round(rng.random(rows) * 100, 2),
        "noise": rng.random(rows),
        "word": words[rng.integers(0, 5000, rows)].tolist(),
        "text": [f"row {i} of {j}" for i, j in enumerate(rng.integers(0, 1 << 40, rows).tolist())],
        "vector": rng.random((rows // 8, 64)).astype(np.float32).repeat(8, axis=0)[:rows, :16],
    }
    lance_fmt.write(path, columns)
    return path


def read_columns(make: Callable[[], ReadAt], threads: int) -> None:
    with lance_fmt.open(make()) as file:
        names = file.schema.names
        if threads == 1:
            file.read(names)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda name: file.read([name]), names))


def take_rows(make: Callable[[], ReadAt], rows: np.ndarray) -> None:
    with lance_fmt.open(make()) as file:
        file.take(rows)


def whole_files(path: Path, repeats: int) -> None:
    """Reading a file of eight columns: by source, and by columns in parallel."""
    rows = np.random.default_rng(3).integers(0, ROWS, 500)
    reads = {
        name: both({"read": lambda m=make: read_columns(m, 1), "take 500": lambda m=make: take_rows(m, rows)})
        for name, make in kinds(path).items()
    }
    show(f"A file of 8 columns and {path.stat().st_size >> 20} MiB", timed(path, reads, repeats))
    make = kinds(path)["pread"]
    parallel = {
        f"{threads} thread{'s' * (threads > 1)}": both({"read": lambda t=threads: read_columns(make, t)})
        for threads in (1, 2, 4)
    }
    show(f"Columns in parallel ({os.cpu_count()} cores)", timed(path, parallel, repeats))
    with lance_fmt.open(path) as file:

        def halves(threads: int, name: str) -> None:
            half = file.num_rows // 2
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda part: file.read([name], part), (slice(0, half), slice(half, None))))

        columns: dict[str, dict[str, Job]] = {
            row: {name: lambda t=threads, n=name: halves(t, n) for name in file.schema.names}
            for row, threads in (("1 thread", 1), ("2 threads", 2))
        }
        show("Two halves of one column, warm", timed(path, columns, repeats))


def asynchronous(path: Path, repeats: int) -> None:
    """Sixteen small takes of an asyncio program: one after the other on its loop, and awaited together."""
    picks = np.random.default_rng(4).integers(0, ROWS, (16, 50))

    def plain() -> None:
        with lance_fmt.open(path, cache=BlockCache(0)) as file:
            for rows in picks:
                file.take(rows)

    def awaited(threads: int) -> None:
        async def gather() -> None:
            async with await aio.open(path, threads=threads, cache=BlockCache(0)) as file:
                await asyncio.gather(*(file.take(rows) for rows in picks))

        asyncio.run(gather())

    jobs = {"synchronous": both({"takes": plain})}
    for threads in (1, 2, 4):
        jobs[f"asyncio, {threads} thread{'s' * (threads > 1)}"] = both(
            {"takes": lambda t=threads: awaited(t)}
        )
    show("Sixteen takes of 50 rows", timed(path, jobs, repeats))


class Distant(FileSource):
    """A file each read of which takes as long as a request to object storage nearby."""

    def read_at(self, offset: int, length: int) -> bytes:
        time.sleep(0.005)
        return super().read_at(offset, length)


def ahead(folder: Path, mib: int, repeats: int) -> None:
    """Blocks of two interleaved columns in order, and every fifth block, with and without a Prefetcher."""
    path = folder / "ahead"
    path.write_bytes(np.random.default_rng(5).bytes(mib << 20))
    pages = (mib << 20) // (1 << 20)  # of 1 MiB: those of a column are every second one

    def locate(column: int) -> Callable[[int, int], list[Extent]]:
        def extents(first: int, last: int) -> list[Extent]:
            last = min(last, pages // 2 * 16 - 1)
            return [
                (((block // 16 * 2 + column) * 16 + block % 16) * BLOCK, BLOCK)
                for block in range(first, last + 1)
            ]

        return extents

    def run(make: Callable[[], ReadAt], prefetch: bool, step: int, width: int) -> None:
        with opened(make) as source:
            prefetcher = Prefetcher(source)
            for first in range(0, pages // 2 * 16, step):
                for column in (0, 1):
                    places = locate(column)
                    if prefetch:
                        prefetcher.note(column, first, first + width - 1, places)
                    for part in read_many(source, places(first, first + width - 1)):
                        crc32c(part)

    sources: dict[str, Callable[[], ReadAt]] = {
        "file": lambda: FileSource(path),
        "map": lambda: MmapSource(path),
        "5 ms away": lambda: CachedSource(Distant(path)),
    }
    rows: dict[str, dict[str, Job]] = {"as they come": {}, "with a Prefetcher": {}}
    for name, make in sources.items():
        for pattern, step, width in (("in order", 4, 4), ("every fifth", 5, 1)):
            for row, prefetch in (("as they come", False), ("with a Prefetcher", True)):
                job = lambda m=make, p=prefetch, s=step, w=width: run(m, p, s, w)  # noqa: E731
                known = both({f"{name}, {pattern}": job})
                rows[row] |= known if name != "5 ms away" else dict(list(known.items())[:1])
    show(f"Two columns read in turns, {mib} MiB", timed(path, rows, repeats))
    path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        raw_reads(folder, options.mib, options.repeats)
        ahead(folder, options.mib, options.repeats)
        path = sample_file(folder)
        whole_files(path, options.repeats)
        asynchronous(path, options.repeats)


if __name__ == "__main__":
    main()
