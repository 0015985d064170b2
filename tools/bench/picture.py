"""The picture of a comparison: one HTML page that needs nothing else, for wide and narrow screens, light and dark."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import log, log10
from pathlib import Path
from typing import Any

from vego_tools.bench.report import Result, heading
from vego_tools.bench.scale import is_wide, lengths
from vego_tools.terminal import printable

COLOURS = 6  # of lines in a chart, after which they repeat
LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 52, 8, 8, 34, 400, 250  # of the chart, in its own units

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --ink: #1d2329; --soft: #5d6772; --line: #d9d6cc;
  --ours: #0b6e6e; --peer: #a9b2bb; --worse: #b4552d; --card: #ffffff;
  --c0: #0b6e6e; --c1: #b4552d; --c2: #5b5bb5; --c3: #8a6d00; --c4: #a03a6b; --c5: #4a7a2c; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181b; --ink: #e8e6e0; --soft: #a3adb5; --line: #363d43;
  --ours: #4fc3bd; --peer: #66727c; --worse: #ef9468; --card: #1c2226;
  --c0: #4fc3bd; --c1: #ef9468; --c2: #a6a6ff; --c3: #d9bb4a; --c4: #ec86b8; --c5: #98cc74; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1180px; padding: 24px 20px 48px; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums }
h1 { font-size: 24px; margin: 0 0 4px } h2 { font-size: 16px; margin: 0 0 2px } p { margin: 4px 0 }
header p, .about, .note { color: var(--soft); font-size: 13px; overflow-wrap: anywhere }
section { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 14px 16px;
  margin-top: 16px }
.cards { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; margin-top: 16px }
.cards section { margin: 0; align-self: start }
.row { display: grid; grid-template-columns: 130px minmax(60px, 1fr) 84px 150px; gap: 2px 10px; align-items: center;
  padding: 3px 0; border-top: 1px solid var(--line) }
.row:first-of-type { border-top: 0 }
.ratios .row { grid-template-columns: 150px 130px minmax(80px, 1fr) 90px }
.row svg { display: block; width: 100%; height: 14px }
.number { text-align: right } .extra { color: var(--soft); font-size: 13px }
.ours b { color: var(--ours) } .below { color: var(--worse) }
.bar { fill: var(--peer) } .ours .bar, .better { fill: var(--ours) } .worse { fill: var(--worse) }
.even { stroke: var(--soft); stroke-width: 1 }
.chart { display: block; width: 100%; max-width: 560px; height: auto }
.chart text { fill: var(--soft); font-size: 11px } .grid { stroke: var(--line) }
.curve { fill: none; stroke-width: 2 }
.k0 { stroke: var(--c0); fill: var(--c0) } .k1 { stroke: var(--c1); fill: var(--c1) }
.k2 { stroke: var(--c2); fill: var(--c2) } .k3 { stroke: var(--c3); fill: var(--c3) }
.k4 { stroke: var(--c4); fill: var(--c4) } .k5 { stroke: var(--c5); fill: var(--c5) }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px }
.legend svg { width: 22px; height: 10px; margin-right: 6px }
@media (max-width: 900px) { .cards { grid-template-columns: minmax(0, 1fr) } }
@media (max-width: 560px) { body { padding: 16px 12px 32px; font-size: 14px }
  .row { grid-template-columns: minmax(0, 1fr) auto } .row svg { grid-column: 1 / -1; grid-row: 2 }
  .row .extra { grid-column: 1 / -1 } .ratios .row { grid-template-columns: minmax(0, 1fr) auto auto } }
"""


def save(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: under another name first."""
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content.encode() if isinstance(content, str) else content)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def page(described: Mapping[str, Any], results: Sequence[Result]) -> str:
    """The page: ratios of all measures first, then the figures of each."""
    shown = [result for result in results if _figures(result)]
    about, *facts = heading(described)
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Vego beside its peers: {_text(about)}</title><style>{STYLE}</style></head><body>",
            f"<header><h1>Vego beside its peers</h1><p>{_text(about)}</p>",
            *(f"<p>{_text(line)}</p>" for line in facts),
            f"<p>Measured {_text(described['when'])}.</p></header>",
            *_overview(shown),
            '<div class="cards">',
            *(line for result in shown for line in _card(result)),
            "</div></body></html>",
            "",
        ]
    )


def _text(value: object) -> str:
    return escape(printable(str(value)))


def _figures(result: Result) -> dict[str, float]:
    key = result.measure.key
    return {name: one[key] for name, one in result.figures.items() if (one.get(key) or 0) > 0}


def _overview(results: Sequence[Result]) -> Iterator[str]:
    """Every ratio on one axis: to the right of the middle Vego is better, to the left the peer."""
    found = [
        (result, peer, ratio)
        for result in results
        for peer in _figures(result)
        if peer not in result.measure.subjects
        and not result.short(peer)
        and (ratio := result.ratio(peer, result.measure.subjects[0]))
    ]
    if not found:
        return
    reach = max(2.0, *(max(ratio, 1 / ratio) for *_, ratio in found))
    yield '<section class="ratios"><h2>How many times better Vego is</h2>'
    yield (
        '<p class="about">The line in the middle is equality; bars to the right: Vego is better, to the left: '
        "the peer is. The scale is logarithmic.</p>"
    )
    before = ""
    for result, peer, ratio in found:
        name = result.measure.name
        share = 50 * log(ratio) / log(reach)
        kind, start = ("better", 50.0) if ratio >= 1 else ("worse", 50 + share)
        yield (
            f'<div class="row"><span class="measure">{_text(name) if name != before else ""}</span>'
            f"<span>{_text(peer)}</span>"
            f'<svg role="img" aria-label="{ratio:.2f} times"><rect class="{kind}" x="{start:.2f}%" y="2" '
            f'width="{abs(share):.2f}%" height="10" rx="1"/><line class="even" x1="50%" x2="50%" y1="0" y2="14"/></svg>'
            f'<span class="number">{_times(ratio)}</span></div>'
        )
        before = name
    yield "</section>"


def _times(ratio: float) -> str:
    return f"{ratio:,.2f} ×" if ratio < 100 else f"{ratio:,.0f} ×"


def _card(result: Result) -> Iterator[str]:
    measure, figures = result.measure, _figures(result)
    scale = "; logarithmic scale" if is_wide(figures.values()) else ""
    direction = "more is better" if measure.more_is_better else "less is better"
    length = lengths(figures.values())
    yield f"<section><h2>{_text(measure.title)}</h2>"
    yield f'<p class="about">{_text(measure.unit)}, {direction}{scale}</p>'
    for name, value in figures.items():
        ours = name in measure.subjects
        label = f"<b>{_text(name)}</b>" if ours else _text(name)
        yield (
            f'<div class="row{" ours" if ours else ""}"><span>{label}</span>'
            f'<svg role="img" aria-label="{value:g} {_text(measure.unit)}"><rect class="bar" y="2" '
            f'width="{100 * length(value):.2f}%" height="10" rx="1"/></svg>'
            f'<span class="number">{format(value, measure.form)}</span>'
            f'<span class="extra">{_extra(result, name)}</span></div>'
        )
    if result.note:
        yield f'<p class="note">{_text(result.note)}</p>'
    if measure.name == "batch-0.95":
        yield from _curves({name: one["points"] for name, one in result.figures.items()})
    yield "</section>"


def _extra(result: Result, name: str) -> str:
    parts = []
    recall = result.figures[name].get("recall")
    if recall is not None:
        below = ' class="below"' if result.short(name) else ""
        parts.append(f"<span{below}>recall {recall:.3f}{'!' if below else ''}</span>")
    ratio = None if name in result.measure.subjects else result.ratio(name, result.measure.subjects[0])
    if ratio is not None and not result.short(name):
        parts.append(_times(ratio))
    return ", ".join(parts)


def _curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    """Recall against queries a second: right and up is better."""
    points = [point for many in curves.values() for point in many]
    low = min(0.9, *(point["recall"] for point in points))
    bottom, top = (log10(bound([point["qps"] for point in points])) for bound in (min, max))
    bottom, top = bottom - 0.05, top + 0.05

    def place(recall: float, qps: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (recall - low) / (1 - low)
        return x, TOP + (HEIGHT - TOP - BOTTOM) * (top - log10(qps)) / (top - bottom)

    yield f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="queries a second over recall">'
    for share in range(6):
        recall = low + (1 - low) * share / 5
        x, _ = place(recall, 10**top)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        anchor = "end" if share == 5 else "middle"
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="{anchor}">{recall:.3g}</text>'
    for exponent in range(9):
        for value in (10.0**exponent, 2 * 10.0**exponent, 5 * 10.0**exponent):
            if bottom <= log10(value) <= top:
                _, y = place(low, value)
                yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                yield f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:,.0f}</text>'
    yield f'<text x="{LEFT}" y="{HEIGHT - 4}">recall@10, and queries a second (logarithmic)</text>'
    for number, many in enumerate(curves.values()):
        kind = f"k{number % COLOURS}"
        places = [place(point["recall"], point["qps"]) for point in many]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline class="curve {kind}" style="fill:none" points="{line}"/>'
        yield from (f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places)
    yield '</svg><div class="legend">'
    for number, name in enumerate(curves):
        kind = f"k{number % COLOURS}"
        yield f'<span><svg><rect class="{kind}" y="3" width="22" height="4"/></svg>{_text(name)}</span>'
    yield "</div>"
