"""Other processes read while one writes: always a whole state, never an older one than before, never an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import vego

# Every batch gives the same ten ids one number, so a half-seen batch shows as two numbers.
READER = """
import sys
import numpy as np
import vego

last = opened = 0
while last < 60:
    with vego.open(sys.argv[1], read_only=True) as db:
        docs = db.collection("c")
        for turn in range(3):
            numbers = {docs.get(f"d{row}").metadata["turn"] for row in range(10)}
            assert len(numbers) == 1, numbers
            number = numbers.pop()
            assert number >= last, (number, last)
            last = number
            hits = docs.search(np.zeros(4), k=10)
            assert {hit.metadata["turn"] for hit in hits} == {number}
            assert len(docs) == 10 + 1200 * (number // 20), (len(docs), number)
            db.refresh()
    opened += 1
print(opened)
"""


def test_readers_beside_a_writer_in_other_processes(tmp_path: Path) -> None:
    ids = [f"d{row}" for row in range(10)]
    rng = np.random.default_rng(3)
    with vego.open(tmp_path / "db", dimension=4, metric="l2", flush_bytes=2_000) as db:
        docs = db.collection("c")
        docs.insert_batch(ids=ids, vectors=np.zeros((10, 4)), metadata={"turn": [0] * 10})
        readers = [
            subprocess.Popen(
                [sys.executable, "-c", READER, str(tmp_path / "db")],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        turn = 0
        while any(reader.poll() is None for reader in readers):
            turn += 1
            if turn % 20 == 0 and turn <= 60:  # the number and the rows that belong to it, in one batch
                more = [f"more{turn}-{row}" for row in range(1200)]
                vectors = np.concatenate([np.zeros((10, 4)), rng.normal(50, 1, (1200, 4))])
                docs.upsert_batch(ids=ids + more, vectors=vectors, metadata={"turn": [turn] * 1210})
            elif turn <= 60:
                docs.upsert_batch(ids=ids, vectors=np.zeros((10, 4)), metadata={"turn": [turn] * 10})
            else:
                docs.upsert_batch(ids=ids, vectors=np.zeros((10, 4)), metadata={"turn": [60] * 10})
        for reader in readers:
            output, errors = reader.communicate()
            assert reader.returncode == 0, errors
            assert int(output) >= 1
