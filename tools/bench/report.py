"""From measured rounds to figures, ratios, and a table of plain text.

Every engine is given its best round: on a shared machine the slower rounds measure the neighbours. A ratio
is how many times better Vego is than the peer, so more than 1 is in Vego's favour whichever way the figure
runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vego_tools.bench.measure import rate_at
from vego_tools.terminal import printable

Rounds = dict[str, list[dict[str, Any]]]  # engine -> its rounds


@dataclass(frozen=True)
class Column:
    """One more figure shown beside the measured one."""

    title: str
    key: str
    form: str


@dataclass(frozen=True)
class Measure:
    """One row of the comparison: what is read from the rounds, which way is better, what the subject is held to."""

    name: str
    title: str
    key: str
    unit: str
    form: str
    more_is_better: bool
    columns: tuple[Column, ...] = ()
    subjects: tuple[str, ...] = ("vego",)
    targets: Mapping[str, float] = field(default_factory=dict)  # peer -> least ratio


RECALL = Column("recall", "recall", ".3f")
EFFORT = Column("effort", "effort", ".0f")
P99 = Column("p99 ms", "p99_ms", ".3f")
FEWEST = Column("results", "fewest_results", ".0f")
RECALLS = {"batch-0.95": 0.95, "batch-0.99": 0.99}
_INDEX = ("vego", "vego-index")

MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "batch-0.95",
            "HNSW, batch of queries, k=10: queries/s at recall 0.95",
            "qps_0.95",
            "q/s",
            ",.0f",
            True,
            (Column("recall <=", "best_recall", ".3f"), Column("build s", "build_s", ".1f")),
            _INDEX,
        ),
        Measure(
            "batch-0.99",
            "HNSW, batch of queries, k=10: queries/s at recall 0.99",
            "qps_0.99",
            "q/s",
            ",.0f",
            True,
            (),
            _INDEX,
        ),
        Measure(
            "search",
            "One search at a time, k=10: p50",
            "p50_ms",
            "p50 ms",
            ".3f",
            False,
            (P99, RECALL, EFFORT),
        ),
        Measure(
            "filter 1 %",
            "One filtered search at a time, filter keeps about 1 %, k=10: p50",
            "p50_ms",
            "p50 ms",
            ".3f",
            False,
            (P99, RECALL, EFFORT, FEWEST),
        ),
        Measure(
            "filter 26 %",
            "One filtered search at a time, filter keeps about 26 %, k=10: p50",
            "p50_ms",
            "p50 ms",
            ".3f",
            False,
            (P99, RECALL, EFFORT, FEWEST),
        ),
        Measure(
            "get",
            "Get one whole document by id: p50",
            "p50_ms",
            "p50 ms",
            ".4f",
            False,
            (Column("p99 ms", "p99_ms", ".4f"),),
        ),
        Measure(
            "load",
            "Load rows with metadata, index built, durable",
            "rows_per_s",
            "rows/s",
            ",.0f",
            True,
            (Column("seconds", "seconds", ".1f"), Column("MB on disk", "mega_bytes", ".0f")),
        ),
        Measure(
            "start",
            "New process, kernels cached: import, open, first answer",
            "total_s",
            "s",
            ".2f",
            False,
            (Column("import s", "import_s", ".2f"), Column("process s", "process_s", ".2f")),
        ),
    )
}


@dataclass
class Result:
    """One measure of one run."""

    measure: Measure
    figures: dict[str, dict[str, Any]]  # engine -> its best figures
    rounds: Rounds
    floor: float | None = None  # the least recall that counts
    note: str = ""

    def ratio(self, peer: str, subject: str) -> float | None:
        """How many times better the subject is than the peer."""
        ours = self.figures.get(subject, {}).get(self.measure.key)
        theirs = self.figures.get(peer, {}).get(self.measure.key)
        if not ours or not theirs:
            return None
        return float(ours / theirs if self.measure.more_is_better else theirs / ours)

    def verdict(self, peer: str) -> str:
        """``met``, ``missed``, or empty: nothing to compare. Below the recall floor is missed."""
        ratio = self.ratio(peer, self.measure.subjects[0])
        if ratio is None or peer not in self.measure.targets:
            return ""
        if self.short(self.measure.subjects[0]):
            return "missed (answers)"
        return "met" if ratio >= self.measure.targets[peer] else "missed"

    def short(self, engine: str) -> bool:
        """Whether the engine stayed below the recall floor, or gave fewer results than there are."""
        figures = self.figures[engine]
        return self.floor is not None and (
            figures["recall"] < self.floor or figures["fewest_results"] < figures["expected_results"]
        )

    @classmethod
    def from_json(cls, described: dict[str, Any], measure: Measure) -> Result:
        """What ``to_json`` described, of this measure."""
        return cls(
            measure, described["figures"], described["rounds"], described.get("floor"), described["note"]
        )

    def to_json(self) -> dict[str, Any]:
        """Figures, ratios and every round."""
        peers = [name for name in self.figures if name not in self.measure.subjects]
        return {
            "measure": self.measure.name,
            "title": self.measure.title,
            "key": self.measure.key,
            "unit": self.measure.unit,
            "more_is_better": self.measure.more_is_better,
            "floor": self.floor,
            "note": self.note,
            "figures": self.figures,
            "ratios": {one: {peer: self.ratio(peer, one) for peer in peers} for one in self.measure.subjects},
            "targets": dict(self.measure.targets),
            "verdicts": {peer: self.verdict(peer) for peer in peers},
            "rounds": self.rounds,
        }


def heading(described: Mapping[str, Any]) -> list[str]:
    """What was measured on what: data, machine, versions, who was left out."""
    host, data = described["machine"], described["dataset"]
    parts = []
    if "vectors" in data:
        name, rows, dimension = data["vectors"]
        parts.append(f"{name}: {rows:,} x {dimension}, cosine, {described['queries']} queries, k=10")
    if "table" in data:
        name, rows, columns = data["table"]
        parts.append(f"{name}: {rows:,} rows x {columns} columns")
    lines = [
        "; ".join(parts),
        f"{host['processor']}, {host['cores']} cores, {described['cores']} used; Python {host['python']}; "
        f"load average {host['load']}",
        "  ".join(f"{name} {number}" for name, number in described["versions"].items()),
        f"best of {described['rounds']} interleaved rounds; recall is counted by distance; "
        "'vego is 2 x': twice as good as the engine of that line",
    ]
    if host["load"] and host["load"][0] > described["cores"] + 1:
        lines.append("others are using this machine: p99 and narrow ratios are not to be trusted")
    lines += [f"{name} left out: {reason}" for name, reason in described["skipped"].items()]
    return [printable(line) for line in lines if line]


def best_of(rounds: Rounds, more_is_better: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Every figure's best over an engine's rounds: the least, or the most for the keys named."""
    return {
        engine: {key: (max if key in more_is_better else min)(one[key] for one in many) for key in many[0]}
        for engine, many in rounds.items()
        if many
    }


def curve_figures(rounds: Rounds, build_seconds: dict[str, float]) -> dict[str, dict[str, Any]]:
    """Rates at recall 0.95 and 0.99 from the best round of every point of the curve."""
    figures: dict[str, dict[str, Any]] = {}
    for engine, many in rounds.items():
        if not many:
            continue
        best: dict[float, dict[str, float]] = {}
        for point in (point for one in many for point in one["points"]):
            known = best.get(point["effort"])
            if known is None or point["qps"] > known["qps"]:
                best[point["effort"]] = point
        points = [best[effort] for effort in sorted(best)]
        figures[engine] = {
            **{f"qps_{recall}": rate_at(points, recall) for recall in RECALLS.values()},
            "best_recall": max(point["recall"] for point in points),
            "build_s": build_seconds.get(engine),
            "points": points,
        }
    return figures


def table(result: Result) -> str:
    """The measure as text, at most 100 columns wide."""
    measure = result.measure
    subjects = [name for name in measure.subjects if name in result.figures]
    heads = ["", measure.unit, *(column.title for column in measure.columns)]
    held = ["target"] if measure.targets else []
    heads += [*(f"{name} is" for name in subjects), *held, ""]
    lines = [heads]
    for engine, figures in result.figures.items():
        cells = [
            f"{printable(engine)}{' !' if result.short(engine) else ''}",
            _cell(figures.get(measure.key), measure.form),
        ]
        cells += [_cell(figures.get(column.key), column.form) for column in measure.columns]
        if engine in measure.subjects:
            cells += [""] * (len(subjects) + len(held) + 1)
        else:
            ratios = [result.ratio(engine, subject) for subject in subjects]
            cells += ["-" if ratio is None else f"{ratio:.2f} x" for ratio in ratios]
            target = measure.targets.get(engine)
            cells += [f"{target:g} x" if target is not None and ratios else "" for _ in held]
            cells.append(result.verdict(engine))
        lines.append(cells)
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    body = [
        "  "
        + "  ".join(
            cell.ljust(width) if i in (0, len(heads) - 1) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    notes = [f"  {printable(result.note)}"] if result.note else []
    if any(result.short(engine) for engine in result.figures):
        notes.append(f"  ! recall below {result.floor}, or results missing: not comparable")
    return "\n".join([measure.title, *body, *notes])


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
