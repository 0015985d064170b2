"""What the tests of the command line are run on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import vego


def make_database(path: Path, rows: int = 30, index: str = "hnsw") -> None:
    """A collection `notes`, one document of it deleted."""
    vectors = np.random.default_rng(1).standard_normal((rows, 4)).astype(np.float32)
    with vego.open(path, dimension=4, index=index) as database:
        documents = database.collection("notes")
        documents.insert_batch(
            ids=[f"n{row}" for row in range(rows)], vectors=vectors, metadata={"number": list(range(rows))}
        )
        documents.delete("n3")


def manifests(database: Path) -> list[Path]:
    """Oldest first."""
    return sorted((database / "collections/notes/manifests").glob("*.manifest"))


def flip(path: Path, offset: int) -> None:
    """Damage one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
