"""How a search is answered: exact scan, scan of matching rows, or walk of the graph.

The filter has been evaluated before, so the number of matching rows is known, not estimated. What a walk and a
scan cost is the index's to say (`scan_is_cheaper`, measured by `python -m benchmarks.planner`).
"""

from __future__ import annotations

from dataclasses import dataclass

from vego.index import scan_is_cheaper

GATHER_ROWS = 512  # up to here an exact float scan of the matches costs less than walking anything


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search did and why.

    strategy: "empty", "exact" (float scan of all rows), "gather" (float scan of the matches), "codes" (8-bit scan
    of the matches, best re-ranked), "graph", or "filtered graph".
    rows: live rows. matches: rows that pass the filter. indexed: slots in the graph; the others are scanned exactly.
    partitions: how many the collection has in files; pruned: in how many of them no row can match the filter, and
    taken: in how many every row does. Of both, no column is read.
    """

    strategy: str
    reason: str
    rows: int
    matches: int
    indexed: int
    ef: int
    partitions: int = 0
    pruned: int = 0
    taken: int = 0

    def __str__(self) -> str:
        share = self.matches / self.rows if self.rows else 0.0
        of_partitions = (
            f"\n  {self.pruned:,} of {self.partitions:,} partitions pruned, {self.taken:,} taken whole"
            if self.partitions
            else ""
        )
        return (
            f"{self.strategy}: {self.reason}\n"
            f"  {self.matches:,} of {self.rows:,} rows match ({share:.1%}); {self.indexed:,} slots in the graph; "
            f"ef={self.ef}{of_partitions}"
        )


def choose(*, slots: int, rows: int, matches: int, indexed: int, ef: int, exact: bool) -> Plan:
    """Pick the cheapest strategy that keeps its promise of k results whenever k rows match."""

    def plan(strategy: str, reason: str) -> Plan:
        return Plan(strategy, reason, rows, matches, indexed, ef)

    if matches == 0:
        return plan("empty", "no row matches")
    if exact:
        return plan("exact" if matches == slots else "gather", "exact=True was asked for")
    if indexed == 0:
        return plan(
            "exact" if matches == slots else "gather", "there is no graph (few rows, or index='flat')"
        )
    if matches <= GATHER_ROWS:
        return plan("gather", f"at most {GATHER_ROWS} rows match")
    if matches == slots:
        return plan("graph", "every slot is live and matches")
    if scan_is_cheaper(matches, slots, ef):
        return plan("codes", "scanning the codes of the matches costs less than walking past the others")
    return plan("filtered graph", "so many rows match that a walk costs less than a scan of them")
