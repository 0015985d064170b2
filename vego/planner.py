"""How a search is answered: by an exact scan of the rows that match, or in the way that the index proposes.

The filter has been evaluated before, so the number of matching rows is known, not estimated. Each kind of index has its
own rule (`VectorIndex.way`); what walks and scans cost is written down in `vego/index/kernels/filter_costs.py`, as
`python -m benchmarks.planner` measures it.
"""

from __future__ import annotations

from typing import NamedTuple

from vego.index import VectorIndex


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


def choose(slots: int, rows: int, matches: int, effort: Effort, index: VectorIndex | None) -> Plan:
    """Pick the cheapest strategy that keeps its promise of k results whenever k rows match.

    slots: live and dead, of which `index` covers a prefix.
    """
    indexed = 0 if index is None else index.rows
    ef, rerank, scan_rerank, exact = effort
    strategy = "exact" if matches == slots else "gather"
    if matches == 0:
        strategy, reason = "empty", "no row matches"
    elif exact:
        reason = "exact=True was asked for"
    elif index is None or indexed == 0:
        reason = "there is no index (few rows, or index='flat')"
    elif matches <= index.gather_rows:
        reason = f"at most {index.gather_rows} rows match"
    else:
        strategy, reason, ef, _ = index.way(slots, matches, ef)
        rerank = scan_rerank if strategy == "codes" else rerank
    return Plan(strategy, reason, rows, matches, indexed, ef, rerank)
