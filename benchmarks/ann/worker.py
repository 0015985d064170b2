"""The process of one peer: builds, answers, judges itself by the data set, and idles while others are timed."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.ann.data import Dataset, K
from benchmarks.ann.peers.base import Peer, load_peer

PASS_SECONDS = 0.12
ENOUGH = 0.995  # a curve stops here


def memory() -> int:
    """Resident bytes of this process, or 0 where the system does not say."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def serve(
    connection: Connection, folder: Path, dataset: tuple[str, str], name: str, cores: list[int]
) -> None:
    """Answer "build" and "round" until the other end closes; ("error", text) for what fails."""
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        data = Dataset.load(folder, *dataset)
        peer = load_peer(name, data.metric, max(1, len(cores)))
        connection.send(("ready", peer.parameters))
        settings: list[Any] = list(peer.settings)
        while True:
            try:
                asked = connection.recv()
            except EOFError:
                return
            if asked == "build":
                connection.send(("built", build(peer, data)))
            else:
                points = sweep(peer, data, settings)
                settings = [
                    point["setting"] for point in points
                ]  # the curve is known from the first round on
                connection.send(("round", points))
    except Exception as error:  # whatever a library raises is its result
        connection.send(("error", f"{type(error).__name__}: {error}"))


def settle() -> None:
    """Give back what is free."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone keeps freed memory and can be told to let go
        ctypes.CDLL(None).malloc_trim(0)


def build(peer: Peer, data: Dataset) -> dict[str, float]:
    """Seconds to index all rows, and bytes held beyond the raw vectors."""
    warm = type(peer)(data.metric, peer.threads)
    few = data.vectors[: min(10_000, len(data.vectors))]
    warm.build(few)  # libraries and kernels are loaded before the clock starts
    for setting in warm.settings[:2]:
        warm.search(data.queries[:64], K, setting)
    del warm
    few @ few.T  # NumPy's own workspace is nobody's index
    settle()
    before = memory()
    start = perf_counter()
    peer.build(data.vectors)
    seconds = perf_counter() - start
    settle()
    held = memory() - before - (data.vectors.nbytes if peer.copies else 0)
    return {"seconds": seconds, "bytes": held}


def sweep(peer: Peer, data: Dataset, settings: list[Any]) -> list[dict[str, Any]]:
    """Recall and queries/s of every setting, until the recall is enough."""
    points = []
    for setting in settings:
        rows = np.asarray(peer.search(data.queries, K, setting))
        recall = data.recall(rows)
        fastest, passes, deadline = float("inf"), 0, perf_counter() + PASS_SECONDS
        while passes < 2 or perf_counter() < deadline:
            start = perf_counter()
            peer.search(data.queries, K, setting)
            fastest = min(fastest, perf_counter() - start)
            passes += 1
        points.append({"setting": setting, "recall": recall, "qps": len(data.queries) / fastest})
        if recall >= ENOUGH and not isinstance(setting, tuple):
            break
    return points
