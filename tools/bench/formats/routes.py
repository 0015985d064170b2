"""Choosing and timing: each way of a library to its answer is checked, and the fastest right one counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any

import pyarrow as pa

from vego_tools.bench.formats.engines import Engine, Routes
from vego_tools.bench.formats.same import difference

Call = Callable[..., Any]
Arguments = Sequence[tuple[Any, ...]]


@dataclass
class Choice:
    """The route that was chosen, if any did what it should, and why others were not."""

    call: Call | None = None
    route: str = ""
    wrong: dict[str, str] = field(default_factory=dict)  # route -> what was wrong with it


def p50(call: Call, arguments: Arguments, seconds: float) -> float:
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


def once(call: Call, arguments: Arguments) -> float:
    """Seconds of one call."""
    start = perf_counter()
    call(*arguments[0])
    return perf_counter() - start


def fastest(
    engine: Engine,
    routes: Routes,
    arguments: Arguments,
    expected: Callable[..., pa.Table] | None,
    trial: float,
) -> Choice:
    """The fastest of the routes that return ``expected(*arguments)``, or anything if None, by trials of ``trial`` s."""
    choice, least = Choice(), float("inf")
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
            choice.wrong[label] = reason
        elif seconds < least:
            choice.call, choice.route, least = call, label, seconds
    return choice
