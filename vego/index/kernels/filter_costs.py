"""What walks and scans under a mask cost, as measured by `python -m benchmarks.planner`. No numba: planners read it.

Times are nanoseconds, of which only ratios count; nodes are scored ones, for each candidate held.
"""

from __future__ import annotations

PAST_NODES = 15  # walking past rejected nodes, where all are accepted; 1 / share as many where fewer are
THROUGH_NODES = 50  # walking through accepted nodes only, two links at a time
WIDEN = 0.1  # then 1 + WIDEN / share times as many candidates are held, as fewer links lead to each
LEAST_SHARE = 0.08  # below it, accepted nodes are no longer connected well enough for that
HOP_NODES = 1  # what looking at a rejected neighbour's links costs
CONFIDENCE = 0.8  # share of the budget that a walk may be expected to take
MOST_NODES = (
    600  # for each candidate held: a walk that takes more was misjudged, however large the collection
)
READ = 15_000.0  # one of several records read at once: benchmarks/disk_graph.py, nothing cached
PAST, THROUGH, SCAN = 0, 1, 2  # how a query was answered


def _scan(rows: int, code_width: int) -> float:
    return rows * (3.0 + 0.075 * code_width)


def walk_budget(accepted: int, code_width: int, ef: int) -> int:
    """Scored nodes for which a walk costs what a scan of `accepted` codes of `code_width` bytes does."""
    scan = _scan(accepted, code_width)
    return min(int(scan / (55.0 + 0.12 * code_width)), MOST_NODES * ef)


def walk_may_pay(accepted: int, code_width: int, ef: int) -> bool:
    """Whether a walk could cost less than that scan, at least if all nodes near the query are accepted."""
    return PAST_NODES * ef <= CONFIDENCE * walk_budget(accepted, code_width, ef)


def scan_beats_walk(rows: int, code_width: int, ef: int) -> bool:
    """Whether a scan of all codes costs less than half of what a walk that holds `ef` candidates is taken to cost."""
    return 2 * walk_budget(rows, code_width, ef) <= PAST_NODES * ef


def scan_beats_reads(accepted: int, rows: int, code_width: int, ef: int) -> bool:
    """Whether a scan of codes costs less than a walk that reads nodes from the disk until it met `ef` accepted ones."""
    return _scan(accepted, code_width) <= READ * ef * (rows / max(1, accepted) - 1)
