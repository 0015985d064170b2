"""A real full disk, and a real read-only one: refused writes leave everything as it was, and say what to do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import vego


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.decode().strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


@pytest.mark.parametrize("rows", [1, 40, 1500])  # through the log, in batches, as segments of their own
def test_full_disk(small_disk: Path, rows: int) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_200_000))
    with vego.open(small_disk / "db", dimension=16, metric="l2") as db:
        docs = db.collection("c")
        written = 0
        with pytest.raises(vego.StorageError, match=r"(?i)space") as caught:
            for batch in range(10_000):
                ids = [f"{batch}-{row}" for row in range(rows)]
                docs.insert_batch(
                    ids=ids, vectors=np.full((rows, 16), batch, np.float32), metadata={"n": [batch] * rows}
                )
                written += rows
        assert str(small_disk / "db") in str(caught.value)
        assert written > 0
        assert len(docs) == written
        assert docs.search(np.zeros(16), k=1)[0].metadata == {"n": 0}
        ballast.unlink()
        docs.insert(id="after", vector=np.full(16, -5), metadata={"n": -5})
        written += 1
    with vego.open(small_disk / "db") as db:
        docs = db.collection("c")
        assert len(docs) == written
        assert docs.get("after") is not None
        for batch in range((written - 1) // rows):
            document = docs.get(f"{batch}-{rows - 1}")
            assert document is not None
            assert document.metadata == {"n": batch}


def test_no_room_for_a_database_at_all(small_disk: Path) -> None:
    with pytest.raises(OSError, match="space"):
        (small_disk / "ballast").write_bytes(bytes(4 << 20))
    with pytest.raises(vego.StorageError, match=r"(?i)space"):
        vego.open(small_disk / "db", dimension=2).collection("c").insert(id="a", vector=[1, 2])


def test_a_read_only_disk(small_disk: Path) -> None:
    with vego.open(small_disk / "db", dimension=2) as db:
        db.collection("c").insert(id="a", vector=[1, 2])
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(vego.ReadOnlyError, match="read_only=True"):
        vego.open(small_disk / "db")
    with pytest.raises(vego.ReadOnlyError):
        vego.open(small_disk / "other")
    with vego.open(small_disk / "db", read_only=True) as db:
        assert db.collection("c").get("a") is not None
