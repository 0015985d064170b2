"""Figures, ratios and targets as plain text.

A ratio is our figure divided by the engine's: of times and bytes, so less than 1 is in our favour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS = "lance_fmt"
REFERENCES = ("arrow-mmap",)  # shown for scale: no format one would choose for its size


@dataclass(frozen=True)
class Target:
    """What our figure is held to: at most ``limit``, or at most ``limit`` times the best of ``peers``."""

    limit: float
    peers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"<= {self.limit:g}" + (f" x {' / '.join(self.peers)}" if self.peers else "")

    def met(self, figure: float, figures: Mapping[str, float]) -> bool | None:
        """None where no such peer was measured."""
        if not self.peers:
            return figure <= self.limit
        bars = [figures[one] for one in self.peers if one in figures]
        return figure <= self.limit * min(bars) if bars else None


@dataclass(frozen=True)
class Measure:
    """One row of the comparison; all figures are better when smaller."""

    name: str
    title: str
    unit: str
    form: str
    targets: tuple[Target, ...] = ()


@dataclass
class Result:
    """What came out: a figure for each engine, every round, the route taken, and who was wrong."""

    measure: Measure
    figures: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, list[float]] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    parts: dict[str, dict[str, float]] = field(default_factory=dict)

    def verdict(self, engine: str) -> str:
        """Of each target, for one of our engines."""
        words = {True: "met", False: "MISSED", None: "no peer"}
        if engine not in self.figures or not engine.startswith(OURS):
            return ""
        return ", ".join(
            words[target.met(self.figures[engine], self.figures)] for target in self.measure.targets
        )

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "row": self.measure.name,
            "unit": self.measure.unit,
            "targets": [str(target) for target in self.measure.targets],
            "figures": self.figures,
            "verdicts": {one: self.verdict(one) for one in self.figures if one.startswith(OURS)},
            "rounds": self.rounds,
            "routes": self.routes,
            "wrong": self.wrong,
            "notes": self.notes,
            "parts": self.parts,
        }


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns under each other: the first ``left`` and the last flush left, the others flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    last = len(widths) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left or i == last else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def table(result: Result) -> str:
    """One row of the comparison, an engine a line."""
    measure = result.measure
    goal = "; ".join(str(target) for target in measure.targets)
    title = f"{measure.name}: {measure.title}" + (f" [target {goal}]" if goal else "")
    own = result.figures.get(OURS)
    lines = [["  engine", measure.unit, "ours / it", "target", "route"]]
    for engine, figure in result.figures.items():
        ratio = f"{own / figure:.2f}" if own is not None and figure and engine != OURS else ""
        lines.append(
            [
                f"  {engine}",
                format(figure, measure.form),
                ratio,
                result.verdict(engine),
                result.routes.get(engine, ""),
            ]
        )
    lines += [[f"  {engine}", "WRONG", "", "", reason[:70]] for engine, reason in result.wrong.items()]
    notes = [f"  {note}" for note in result.notes]
    return "\n".join([title, aligned(lines), *([grid(result)] if result.parts else []), *notes])


def grid(result: Result) -> str:
    """The parts of a figure (columns of a table, files of a folder) by engine."""
    engines = list(dict.fromkeys(engine for one in result.parts.values() for engine in one))
    lines = [["    part", *engines, ""]]
    for part, figures in result.parts.items():
        cells = [format(figures[one], ",.3f") if one in figures else "-" for one in engines]
        peers = [value for one, value in figures.items() if not one.startswith((OURS, *REFERENCES))]
        mine = figures.get(OURS)
        mark = "" if mine is None or not peers or mine <= min(peers) * 1.001 else "< peer better"
        lines.append([f"    {part[:34]}", *cells, mark])
    return aligned(lines)


def summary(results: Sequence[Result]) -> str:
    """One line a row: ours, the best peer, the verdict."""
    lines = [["row", "unit", "ours", "best peer", "ours / it", "target", "", "who"]]
    for result in results:
        own = result.figures.get(OURS)
        peers = {
            one: value
            for one, value in result.figures.items()
            if not one.startswith(OURS) and one not in REFERENCES
        }
        best = min(peers, key=peers.__getitem__) if peers else ""
        form = result.measure.form
        lines.append(
            [
                result.measure.name,
                result.measure.unit,
                "-" if own is None else format(own, form),
                format(peers[best], form) if best else "-",
                f"{own / peers[best]:.2f}" if own is not None and best and peers[best] else "-",
                "; ".join(str(target) for target in result.measure.targets) or "-",
                result.verdict(OURS),
                best,
            ]
        )
    return aligned(lines)
