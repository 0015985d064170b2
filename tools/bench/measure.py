"""Timing, inside the process of one engine.

One query at a time: each call timed by itself. Batches: repeated until they have run long enough, the
fastest pass kept. Answers are collected inside the clock and judged outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from time import perf_counter, perf_counter_ns
from typing import Any

import numpy as np

from vego_tools.bench.data import Dataset, Judge, K
from vego_tools.bench.engines.base import Database

BatchEngine = Any  # an Index, or Vego, which is a Database that has batches too
EFFORTS = (10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160, 200, 256, 320, 400, 512, 640, 800)
HIGHEST_RECALL = 0.992  # a curve stops here: it is read at 0.95 and 0.99
BATCH_SECONDS = 0.2
BATCH_PASSES = 3


def percentiles(nanoseconds: Sequence[int]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    p50, p99 = np.percentile(np.asarray(nanoseconds), (50, 99)) / 1e6
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


def curve(engine: BatchEngine, dataset: Dataset) -> list[dict[str, float]]:
    """Queries per second and recall of batch search, for rising efforts until the recall is high enough."""
    judge = Judge(dataset)
    points: list[dict[str, float]] = []
    for effort in EFFORTS:
        answers = engine.search_batch(dataset.queries, K, effort)
        recall = judge.recall(engine.batch_rows(answers))
        points.append({"effort": effort, "recall": recall, "qps": _rate(engine, dataset.queries, effort)})
        if recall >= HIGHEST_RECALL:
            break
    return points


def _rate(engine: BatchEngine, queries: np.ndarray, effort: int) -> float:
    passes, fastest = 0, float("inf")
    deadline = perf_counter() + BATCH_SECONDS
    while passes < BATCH_PASSES or perf_counter() < deadline:
        start = perf_counter()
        engine.search_batch(queries, K, effort)
        fastest = min(fastest, perf_counter() - start)
        passes += 1
    return len(queries) / fastest


def rate_at(points: Sequence[dict[str, float]], recall: float) -> float | None:
    """Queries per second at ``recall``, along the curve's chords (log rate over recall), or None."""
    reached = [point["qps"] for point in points if point["recall"] >= recall]
    if not reached:
        return None
    best = max(reached)
    for low, high in pairwise(points):
        if low["recall"] < recall < high["recall"]:
            share = (recall - low["recall"]) / (high["recall"] - low["recall"])
            best = max(best, float(low["qps"] ** (1 - share) * high["qps"] ** share))
    return best


def tune(engine: Database, dataset: Dataset, label: str, floor: float, seconds: float) -> dict[str, float]:
    """Set and return the first of the engine's efforts whose recall reaches ``floor``; else the best one."""
    tried = []
    for effort in engine.efforts:
        engine.set_effort(effort)
        recall = searches(engine, dataset, label, seconds)["recall"]
        tried.append({"effort": effort, "recall": recall})
        if recall >= floor:
            return tried[-1]
    best = max(tried, key=lambda one: one["recall"])
    engine.set_effort(int(best["effort"]))
    return best


def searches(engine: Database, dataset: Dataset, label: str, seconds: float) -> dict[str, Any]:
    """Latency of single searches under a filter: all queries, or those that fit into ``seconds``."""
    where = engine.translate(dataset.filters[label] if label else None)
    for query in dataset.queries[:20]:
        engine.search(query, K, where)
    answers: list[list[str]] = []
    times: list[int] = []
    deadline = perf_counter() + seconds
    for query in dataset.queries:
        start = perf_counter_ns()
        ids, _ = engine.search(query, K, where)
        times.append(perf_counter_ns() - start)
        answers.append(ids)
        if perf_counter() > deadline and len(times) >= 50:
            break
    rows = [[int(one) for one in answer] for answer in answers]
    judge = Judge(dataset, label)
    return {
        **percentiles(times),
        "recall": judge.recall(rows),
        "queries": len(times),
        "fewest_results": min(len(answer) for answer in rows),
        "expected_results": judge.expected,
    }


def gets(engine: Database, ids: Sequence[str], seconds: float) -> dict[str, Any]:
    """Latency of fetching whole documents by id."""
    for one in ids[:20]:
        engine.get(one)
    times = _timed(engine.get, ids[20:], seconds)
    return {**percentiles(times), "gets": len(times)}


def _timed(call: Callable[[str], object], arguments: Sequence[str], seconds: float) -> list[int]:
    times = []
    deadline = perf_counter() + seconds
    for argument in arguments:
        start = perf_counter_ns()
        call(argument)
        times.append(perf_counter_ns() - start)
        if perf_counter() > deadline and len(times) >= 50:
            break
    return times
