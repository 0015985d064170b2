"""Makes the two files the demo ships: `python -m vego_tools.demo.make_sample SOURCE`.

SOURCE holds 30,000 Debian packages (`meta.jsonl.xz`, `vectors_f16.npy`: MiniLM-L6 embeddings of title and
description) and 500 packages that are not among them, as queries by their one-line title (`queries.jsonl.xz`,
`queries_f32.npy`). The choice is deterministic: for 40 queries picked by hand their nearest neighbours, then
packages in the order of a hash of their names. Origin and licence of the texts: README.md beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lance_fmt
from vego_tools.demo.sample import PACKAGES, PACKAGES_SCHEMA, QUERIES, QUERIES_SCHEMA

ROWS = 5_000
NEIGHBOURS = 25
DESCRIPTION_LENGTH = 300
# Rows of queries.jsonl.xz whose texts read like something a person would look for.
CHOSEN = [
    28, 34, 41, 47, 64, 84, 101, 111, 114, 124, 145, 153, 164, 173, 181, 198, 202, 217, 250, 251,
    255, 274, 280, 289, 300, 311, 337, 346, 352, 377, 387, 395, 418, 438, 456, 464, 467, 469, 471, 479,
]  # fmt: skip
# Parts of a package rather than something to search for; they come in as neighbours only.
LEFT_OUT = {"libdevel", "doc", "debug", "oldlibs", "localization", "tasks", "introspection"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write both files, to --to or over the shipped ones."""
    parser = argparse.ArgumentParser(description="Make the sample data of the demo.")
    parser.add_argument(
        "source", type=Path, help="directory with meta.jsonl.xz, vectors_f16.npy, queries.jsonl.xz"
    )
    parser.add_argument("--to", type=Path, default=PACKAGES.parent, help="directory to write to")
    options = parser.parse_args(arguments)
    packages = read_lines(options.source / "meta.jsonl.xz")
    vectors = np.load(options.source / "vectors_f16.npy")
    all_queries = read_lines(options.source / "queries.jsonl.xz")
    queries = [all_queries[row] for row in CHOSEN]
    query_vectors = np.load(options.source / "queries_f32.npy")[CHOSEN]
    rows = choose(packages, vectors, query_vectors)
    written = [
        (PACKAGES.name, package_columns([packages[row] for row in rows], vectors[rows]), PACKAGES_SCHEMA),
        (QUERIES.name, query_columns(queries, query_vectors), QUERIES_SCHEMA),
    ]
    for name, columns, schema in written:
        about = {"origin": "Debian 12 package index", "embedding": "all-MiniLM-L6-v2"}
        summary = lance_fmt.write(options.to / name, columns, schema=schema, metadata=about, level="small")
        print(f"{name}: {summary.num_rows:,} rows, {summary.length:,} bytes")
    return 0


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of an xz-compressed file, one a line."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def choose(
    packages: Sequence[dict[str, Any]], vectors: NDArray[np.float16], queries: NDArray[np.float32]
) -> list[int]:
    """ROWS row numbers, ascending: neighbours of the queries, then others by hash, no title twice."""
    nearest = np.argsort(-(queries @ vectors.astype(np.float32).T), axis=1, kind="stable")[:, :NEIGHBOURS]
    others = sorted(
        range(len(packages)), key=lambda row: hashlib.sha256(packages[row]["package"].encode()).digest()
    )
    wanted = dict.fromkeys(map(int, nearest.ravel()))
    titles = {packages[row]["title"] for row in wanted}
    for row in others:
        if len(wanted) == ROWS:
            break
        package = packages[row]
        if package["section"] not in LEFT_OUT and package["title"] not in titles and package["description"]:
            wanted[row] = None
            titles.add(package["title"])
    return sorted(wanted)


def package_columns(packages: Sequence[dict[str, Any]], vectors: NDArray[np.float16]) -> dict[str, Any]:
    """The columns of packages.lfmt."""
    columns: dict[str, Any] = {
        name: [package.get(name) for package in packages] for name in PACKAGES_SCHEMA.names
    }
    columns["id"] = [package["package"] for package in packages]
    columns["vector"] = vectors
    columns["description"] = [trimmed(package["description"]) for package in packages]
    columns["maintainer"] = [package["maintainer"].partition(" <")[0].strip('"') for package in packages]
    return columns


def query_columns(queries: Sequence[dict[str, Any]], vectors: NDArray[np.float32]) -> dict[str, Any]:
    """The columns of queries.lfmt."""
    return {
        "text": [query["query"] for query in queries],
        "package": [query["package"] for query in queries],
        "vector": vectors,
    }


def trimmed(text: str) -> str:
    """`text`, cut at a space if it is longer than DESCRIPTION_LENGTH."""
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    return text[: DESCRIPTION_LENGTH - 1].rsplit(" ", 1)[0] + "…"


if __name__ == "__main__":
    sys.exit(main())
