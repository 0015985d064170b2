"""How a search is answered: exact scan, scan of matching rows, walk of the graph, or scan of inverted lists.

The filter has been evaluated before, so the number of matching rows is known, not estimated. What walks and scans cost
is written down in `vego/index/kernels/filter_costs.py`, as `python -m benchmarks.planner` measures it.
"""

from __future__ import annotations

from typing import NamedTuple

from vego.index import PAST, THROUGH, scan_beats_reads, scan_beats_walk, walk_may_pay

LEAST_BUCKETS = (
    0.9  # share of the slots that has to match for buckets to have what a search without a filter finds
)
GATHER_ROWS = 256  # up to here an exact float scan of the matches costs about what a scan of their codes does


class Effort(NamedTuple):
    """How hard a search tries: candidates held by a walk, how many of them, or of a scan of codes, are scored exactly,
    or everything exactly."""

    ef: int
    rerank: int
    scan_rerank: int
    exact: bool = False


class Plan(NamedTuple):
    """What a search does and why.

    strategy: "empty", "exact" (float scan of all rows), "gather" (float scan of the matches), "codes" (8-bit scan
    of the matches, best re-ranked), "lists" (scan of inverted lists), "buckets" (of hash tables), "graph", or
    "filtered graph". What `explain` returns has for the last "graph past"
    (a walk past rows that do not match), "graph through" (a walk of matching rows, two links at a time), or "codes",
    as each query decides by the rows around it.
    rows: live rows. matches: rows that pass the filter. indexed: slots in the graph or lists; others are scanned.
    ef, rerank: candidates held by a walk, or lists looked at, and rows scored exactly by a walk or a scan of codes.
    visited: rows whose distance was computed; None before the search has run, and where some of the lists are scanned.
    partitions: how many the collection has in files; pruned: in how many of them no row can match the filter, and
    taken: in how many every row does. Of both, no column is read.
    """

    strategy: str
    reason: str
    rows: int
    matches: int
    indexed: int
    ef: int
    rerank: int
    visited: int | None = None
    partitions: int = 0
    pruned: int = 0
    taken: int = 0

    @property
    def exact(self) -> bool:
        """Whether every matching row was compared in full precision, so that recall is 1."""
        return self.strategy in ("empty", "exact", "gather")

    def __str__(self) -> str:
        share = self.matches / self.rows if self.rows else 0.0
        visited = "" if self.visited is None else f"{self.visited:,} rows visited; "
        quality = "exact" if self.exact else "approximate"
        of_partitions = (
            f"\n  {self.pruned:,} of {self.partitions:,} partitions pruned, {self.taken:,} taken whole"
            if self.partitions
            else ""
        )
        return (
            f"{self.strategy}: {self.reason}\n"
            f"  {self.matches:,} of {self.rows:,} rows match ({share:.1%}); {self.indexed:,} slots indexed\n"
            f"  {visited}ef={self.ef}, rerank={self.rerank}; {quality}{of_partitions}"
        )


def choose(
    *,
    slots: int,
    rows: int,
    matches: int,
    indexed: int,
    width: int,
    effort: Effort,
    lists: int = 0,
    on_disk: bool = False,
    buckets: bool = False,
) -> Plan:
    """Pick the cheapest strategy that keeps its promise of k results whenever k rows match.

    width: bytes of a code of the graph. lists: how many inverted lists there are instead of a graph; 0 where none are.
    on_disk: whether the nodes of the graph are read from the disk.
    buckets: whether there are hash tables instead.
    """
    whole = "exact" if matches == slots else "gather"

    def plan(strategy: str, reason: str) -> Plan:
        depth = effort.scan_rerank if strategy == "codes" else effort.rerank
        return Plan(strategy, reason, rows, matches, indexed, effort.ef, depth)

    if matches == 0:
        return plan("empty", "no row matches")
    if effort.exact:
        return plan(whole, "exact=True was asked for")
    if indexed == 0:
        return plan(whole, "there is no index (few rows, or index='flat')")
    if on_disk:
        if matches == slots:
            return plan("graph", "every slot is live and matches")
        if scan_beats_reads(matches, slots, width, effort.ef):
            return plan(
                "codes", "scanning the codes of the matches costs less than reading nodes that do not match"
            )
        return plan("filtered graph", "so many rows match that a walk reads few others")
    if matches <= GATHER_ROWS:
        return plan(whole, f"at most {GATHER_ROWS} rows match")
    if buckets and matches < LEAST_BUCKETS * slots:
        return plan(
            whole, "what matches is farther away than the nearest buckets, and bits are soon compared"
        )
    if buckets:
        return plan("buckets", f"rows of the {effort.ef:,} nearest buckets of each table are scored")
    if lists == 1:
        return plan("lists", "there is one list, of all rows: the codes of those that match are scanned")
    if lists:
        # As many rows that match are looked at as rows where all do.
        effort = effort._replace(ef=min(-(-effort.ef * slots // matches), lists))
        return plan("lists", f"rows of the nearest lists are scanned, of {effort.ef:,} of {lists:,} lists")
    if matches == slots:
        if scan_beats_walk(matches, width, effort.ef):
            return plan("codes", "scanning all codes costs less than a walk with so many candidates")
        return plan("graph", "every slot is live and matches")
    if not walk_may_pay(matches, width, effort.ef):
        return plan("codes", "scanning the codes of the matches costs less than a walk")
    return plan("filtered graph", "so many rows match that a walk may cost less than a scan of them")


WALKS = {
    PAST: ("graph past", "so many rows near the query match that walking past the others costs least"),
    THROUGH: (
        "graph through",
        "few rows near the query match: only those are scored, links are followed two at a time",
    ),
}


def walked(plan: Plan, way: int, visited: int) -> Plan:
    """The plan of a filtered walk after it has run."""
    reason = "hardly any row near the query matches, or the walk took too long: the matches were scanned"
    strategy, reason = WALKS.get(way, ("codes", reason))
    return plan._replace(strategy=strategy, reason=reason, visited=visited)
