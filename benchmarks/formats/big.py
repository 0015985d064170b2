"""One process that only writes, or only reads, a large file in batches, and says how much memory it took.

``python -m benchmarks.formats.big ENGINE write|read PATH BATCHES``; a batch is 16,384 rows, about 10 MB. Prints
one JSON object. The peak counts everything: interpreter, libraries, kernels.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

BATCH = 16_384
DIMENSION = 128
WORDS = (
    "steel",
    "garden",
    "chair",
    "blue",
    "portable",
    "kettle",
    "oak",
    "lamp",
    "woollen",
    "blanket",
    "quiet",
)


def batches(count: int) -> Iterator[dict[str, Any]]:
    """Columns as the made-up table has them, from one batch that is shifted."""
    random = np.random.default_rng(7)
    vectors = random.standard_normal((BATCH, DIMENSION), dtype=np.float32)
    picked = random.integers(0, len(WORDS), (BATCH, 6)).tolist()
    titles = [" ".join(WORDS[word] for word in words) for words in picked]
    price = (random.integers(0, 100_001, BATCH) / 100).astype(np.float32)
    steps = np.cumsum(random.integers(1, 2_000_000, BATCH))
    for number in range(count):
        yield {
            "id": np.arange(number * BATCH, (number + 1) * BATCH),
            "ts": steps + number * int(steps[-1]),
            "price": price,
            "title": titles,
            "vector": np.roll(vectors, number, axis=0),
        }


def raw_bytes(columns: dict[str, Any]) -> int:
    """Bytes of the values in memory."""
    return sum(
        value.nbytes if isinstance(value, np.ndarray) else sum(map(len, value)) for value in columns.values()
    )


def ours(task: str, path: Path, count: int) -> int:
    import lance_fmt
    from lance_fmt import Column, string

    if task == "read":
        with lance_fmt.open(path) as file:
            return sum(table.num_rows for table in file.batches(BATCH))
    writer, rows, titles = None, 0, None
    for columns in batches(count):
        titles = titles or Column.from_pylist(columns["title"], string())
        table = lance_fmt.Table.of(columns | {"title": titles})
        writer = writer or lance_fmt.Writer(path, table.schema)
        writer.write(table)
        rows += table.num_rows
    if writer is not None:
        writer.close()
    return rows


def _arrow(count: int) -> Iterator[Any]:
    import pyarrow as pa

    for columns in batches(count):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(columns["vector"].reshape(-1)), DIMENSION)
        yield pa.record_batch({**columns, "vector": vectors})


def parquet(task: str, path: Path, count: int) -> int:
    import pyarrow.parquet as pq

    if task == "read":
        return sum(batch.num_rows for batch in pq.ParquetFile(path).iter_batches(BATCH, use_threads=False))
    writer, rows = None, 0
    for batch in _arrow(count):
        writer = writer or pq.ParquetWriter(path, batch.schema)
        writer.write_batch(batch, row_group_size=BATCH)
        rows += batch.num_rows
    if writer is not None:
        writer.close()
    return rows


def lance(task: str, path: Path, count: int) -> int:
    from lance.file import LanceFileReader, LanceFileWriter

    if task == "read":
        found = LanceFileReader(str(path)).read_all(batch_size=BATCH, batch_readahead=1)
        return sum(batch.num_rows for batch in found.to_batches())
    rows = 0
    with LanceFileWriter(str(path)) as writer:
        for batch in _arrow(count):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def vortex(task: str, path: Path, count: int) -> int:
    import pyarrow as pa
    import vortex as vx

    if task == "read":
        file = vx.open(str(path), without_segment_cache=True)
        return sum(batch.num_rows for batch in file.to_arrow(batch_size=BATCH))
    schema = next(_arrow(1)).schema
    vx.io.write(pa.RecordBatchReader.from_batches(schema, _arrow(count)), str(path))
    return count * BATCH


def peak_mb() -> float:
    """Peak resident memory of this process, not of the one it was forked from."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    engine, task, path, count = sys.argv[1:]
    start = perf_counter()
    work = {"lance_fmt": ours, "parquet-snappy": parquet, "lance": lance, "vortex": vortex}[engine]
    rows = work(task, Path(path), int(count))
    answer = {"seconds": perf_counter() - start, "peak_mb": peak_mb(), "rows": rows}
    if rows != int(count) * BATCH:
        raise SystemExit(f"{rows} rows, expected {int(count) * BATCH}")
    print(json.dumps(answer | {"raw_mb": raw_bytes(next(batches(1))) * int(count) / 1e6}))


if __name__ == "__main__":
    main()
