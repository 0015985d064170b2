"""The tables of TPC-H, made by tpchgen-cli, and its 22 queries."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lance_fmt

TABLES = ("customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier")
_QUERIES = Path(__file__).with_name("queries.sql")


def queries(scale: float) -> dict[int, str]:
    """The text of each query by its number, for data of a scale factor."""
    text = _QUERIES.read_text().replace("{fraction}", f"{0.0001 / scale:.10f}")
    parts = re.split(r"^-- Q(\d+):.*$", text, flags=re.MULTILINE)
    return {int(number): sql.strip() for number, sql in zip(parts[1::2], parts[2::2], strict=True)}


def generator() -> str | None:
    """Where tpchgen-cli is, beside this Python or on the path; None where it is not installed."""
    beside = Path(sys.executable).with_name("tpchgen-cli")
    return str(beside) if beside.exists() else shutil.which("tpchgen-cli")


def make_parquet(folder: Path, scale: float) -> None:
    """All tables as Parquet files of `folder`; raises RuntimeError without tpchgen-cli."""
    program = generator()
    if program is None:
        raise RuntimeError(
            "tpchgen-cli is not installed: pip install tpchgen-cli, or give a folder with the tables"
        )
    command = [program, "parquet", "-s", f"{scale:g}", "--output-dir", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def make_files(parquet: Path, folder: Path, level: str = "balanced") -> None:
    """The tables of a folder of Parquet as files of this format, their types as they are."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        with pq.ParquetFile(parquet / f"{name}.parquet") as source:
            schema = lance_fmt.Table.from_arrow(source.schema_arrow.empty_table()).schema
            with lance_fmt.Writer(folder / f"{name}.lfmt", schema, level=level) as writer:
                for batch in source.iter_batches(1 << 19):
                    writer.write(lance_fmt.Table.from_arrow(batch))


def same(one: Sequence[Sequence[Any]], other: Sequence[Sequence[Any]]) -> bool:
    """Whether two results are the same; averages, which are floats, up to the order of their sums."""

    def equal(a: Any, b: Any) -> bool:
        return (
            math.isclose(a, b, rel_tol=1e-9)
            if isinstance(a, float) and isinstance(b, float)
            else bool(a == b)
        )

    rows = zip(one, other, strict=False)
    return len(one) == len(other) and all(all(map(equal, a, b)) for a, b in rows)
