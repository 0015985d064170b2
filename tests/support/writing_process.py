"""A process that writes until it is killed, and what a database may hold after it was.

Each call is announced before it begins and acknowledged after it returned (`tests.support.history` reads the lines), on
a pipe: what was written into it was said before the process died.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import vego

KEYS = [f"k{number}" for number in range(40)]
BULK = [f"bulk{number}" for number in range(1100)]  # so many that they become a segment at once
NAMES = {*KEYS, *BULK}
# A large batch takes as long as a hundred small ones: with many of them every death would fall into one.
LARGE = [0.0005, 0.03]
OPTIONS: dict[str, Any] = {
    "dimension": 4,
    "metric": "l2",
    "flush_bytes": 4_000,
    "index": "hnsw",
    "m": 4,
    "ef_construction": 8,
}


def write_forever(directory: Path, life: int, seed: int, say: Callable[[str], None]) -> None:
    """Open the database and change it: small and large batches, deletes, flushes, compactions, graphs."""
    rng, large = random.Random(seed), LARGE[life % 2]
    db = vego.open(directory, **OPTIONS)
    docs = db.collection("c")
    serial = life * 100_000  # below 2^24: a vector of float32 says it exactly
    say("ready")
    while True:
        serial += 1
        choice = rng.random()
        if choice < 0.03:
            rng.choice([docs.flush, docs.compact, docs.build_index, docs.vacuum])()
            continue
        if choice < 0.2:
            names = rng.sample(KEYS, rng.choice([1, 1, 3]))
            say(f"try delete {','.join(names)} {serial}")
            docs.delete_batch(names)
        else:
            count = 1 if choice < 0.7 else 5
            names = KEYS + BULK if rng.random() < large else rng.sample(KEYS, count)
            say(f"try put {','.join(names)} {serial}")
            vectors = np.full((len(names), 4), serial, np.float32)
            docs.upsert_batch(ids=names, vectors=vectors, metadata={"serial": [serial] * len(names)})
        say(f"done {serial}")


class Child:
    """A forked process that runs a function, and the lines that it says."""

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        self.lines: list[str] = []
        self._rest = b""
        self._receive, send = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _live(work, send)
        os.close(send)
        os.set_blocking(self._receive, False)

    def hear(self) -> bool:
        """Take what was said so far; False once nothing more can come."""
        while True:
            try:
                data = os.read(self._receive, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False  # a last line without its end was not said whole
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.lines += [line.decode() for line in lines]

    def hear_until(self, word: str, seconds: float) -> None:
        """Listen for so long at most, or until a line begins so."""
        end = time.monotonic() + seconds
        while self.hear() and not any(line.startswith(word) for line in self.lines):
            left = end - time.monotonic()
            if left <= 0:
                return
            select.select([self._receive], [], [], left)

    def hear_for(self, seconds: float) -> None:
        """Listen for so long, so that the pipe does not fill up."""
        end = time.monotonic() + seconds
        while self.hear() and (left := end - time.monotonic()) > 0:
            select.select([self._receive], [], [], min(left, 0.01))

    def kill(self) -> int:
        """kill -9; hear the rest. The signal it died of."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self, seconds: float = float("inf")) -> int:
        """Hear until it ends, or end it after so long; the signal it died of, 0 if none."""
        end = time.monotonic() + seconds
        while self.hear():
            select.select([self._receive], [], [], 1.0)
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._receive)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _live(work: Callable[[Callable[[str], None]], None], send: int) -> None:
    """The life of the child: it never returns into the code of its parent."""
    try:
        work(lambda line: _say(send, line))
        _say(send, "end")
    except BaseException as error:
        _say(send, f"error {traceback.format_exception(error)!r}")
    finally:
        os._exit(0)


def _say(send: int, line: str) -> None:
    data = memoryview(line.encode() + b"\n")
    while data:
        data = data[os.write(send, data) :]


def stored(directory: Path) -> dict[str, int]:
    """Serial numbers of all documents, after checking that the database agrees with itself."""
    with vego.open(directory, background=False, **OPTIONS) as db:
        docs = db.collection("c")
        found = {}
        for name in docs.to_table(["id"])["id"].to_pylist() if len(docs) else []:
            document = docs.get(name)
            assert document is not None, f"{name} is in the table and nowhere else"
            assert name not in found, f"{name} is there twice"
            assert np.asarray(document.vector).tolist() == [document.metadata["serial"]] * 4, name
            found[name] = document.metadata["serial"]
        assert len(docs) == len(found)
        assert found.keys() <= NAMES
        hits = docs.search(np.zeros(4), k=50, exact=True)
        assert len(hits) == min(50, len(found))
        assert all(hit.metadata["serial"] == found[hit.id] for hit in hits)
        assert len(docs.search(np.zeros(4), k=50)) == min(50, len(found))
    return found


def warm() -> None:
    """Load the kernels before forking, so that no child spends its life on that."""
    import tempfile

    with (
        tempfile.TemporaryDirectory() as place,
        vego.open(Path(place) / "db", background=False, **OPTIONS) as db,
    ):
        docs = db.collection("c")
        docs.upsert_batch(ids=BULK, vectors=np.zeros((len(BULK), 4)), metadata={"serial": [0] * len(BULK)})
        docs.build_index()
        docs.delete_batch(BULK[:300])
        docs.compact(full=True)
        docs.search(np.zeros(4), k=5)
        docs.search(np.zeros(4), k=5, exact=True)
