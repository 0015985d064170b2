"""Timing in rounds, A B A B, in one process on one core; every engine is given its best round."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping

import pyarrow as pa

from benchmarks.formats.report import Measure, Result
from vego_tools.bench.formats.engines import Engine, Routes
from vego_tools.bench.formats.routes import Arguments, Call, fastest, once, p50


def choose(
    engine: Engine,
    routes: Routes,
    arguments: Arguments,
    expected: Callable[..., pa.Table] | None,
    result: Result,
    trial: float = 0.0,
) -> Call | None:
    """The fastest of the routes that return the source's values; None, with the reason noted, if none does."""
    choice = fastest(engine, routes, arguments, expected, trial)
    result.wrong |= {f"{engine.name} ({route})": reason for route, reason in choice.wrong.items()}
    if choice.call is not None:
        result.routes[engine.name] = choice.route
    return choice.call


def rounds(
    result: Result,
    calls: Mapping[str, Call],
    arguments: Mapping[str, Arguments],
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
