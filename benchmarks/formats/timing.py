"""Timing in rounds, A B A B, in one process on one core; every engine is given its best round."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any

import pyarrow as pa

from benchmarks.formats.engines import Engine, Routes
from benchmarks.formats.report import Measure, Result
from benchmarks.formats.same import difference

Call = Callable[..., Any]


def p50(call: Call, arguments: Sequence[tuple[Any, ...]], seconds: float) -> float:
    """Median seconds of a call over ever other arguments; of slow calls three, of very slow ones fewer."""
    times: list[float] = []
    deadline = perf_counter() + seconds
    for number in count():
        given = arguments[number % len(arguments)]
        start = perf_counter()
        call(*given)
        end = perf_counter()
        times.append(end - start)
        if end > deadline and (len(times) >= 3 or end > deadline + seconds):
            return median(times)
    raise AssertionError("unreachable")


def once(call: Call, arguments: Sequence[tuple[Any, ...]]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    call(*arguments[0])
    return perf_counter() - start


def choose(
    engine: Engine,
    routes: Routes,
    arguments: Sequence[tuple[Any, ...]],
    expected: Callable[..., pa.Table] | None,
    result: Result,
    trial: float = 0.0,
) -> Call | None:
    """The fastest of the routes that return the source's values; None, with the reason noted, if none does."""
    fastest: tuple[float, str, Call] | None = None
    for label, call in routes.items():
        reason = ""
        try:
            for given in arguments[:2]:
                found = call(*given)
                if expected is not None:
                    reason = reason or difference(engine.to_arrow(found), expected(*given))
            seconds = p50(call, arguments, trial) if not reason else 0.0
        except Exception as error:  # a route that fails is reported, and others are tried
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if reason:
            result.wrong[f"{engine.name} ({label})"] = reason
        elif fastest is None or seconds < fastest[0]:
            fastest = seconds, label, call
    if fastest is None:
        return None
    result.routes[engine.name] = fastest[1]
    return fastest[2]


def rounds(
    result: Result,
    calls: Mapping[str, Call],
    arguments: Mapping[str, Sequence[tuple[Any, ...]]],
    repeats: int,
    *,
    scale: float,
    seconds: float | None = None,
) -> Result:
    """Fill in the figures: p50 over ``seconds`` of calls a round, or one call a round; the best counts."""
    for _ in range(repeats):
        for name, call in calls.items():
            gc.collect()
            given = arguments[name]
            took = once(call, given) if seconds is None else p50(call, given, seconds)
            result.rounds.setdefault(name, []).append(took * scale)
    result.figures |= {name: min(many) for name, many in result.rounds.items()}
    return result


def empty(measure: Measure) -> Result:
    """A result to fill in."""
    return Result(measure)
