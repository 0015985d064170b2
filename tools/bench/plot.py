"""The picture of a comparison as an image, by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from vego.errors import InvalidArgumentError
from vego_tools.bench.report import Result, heading
from vego_tools.bench.scale import is_wide

OURS, PEER, BELOW = "#0b6e6e", "#9aa5b1", "#d9a441"
COLUMNS = 2


def check() -> None:
    """Raise InvalidArgumentError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise InvalidArgumentError(f"an image needs matplotlib ({error}): pip install 'vego[plot]'") from None


def image(described: dict[str, Any], results: Sequence[Result]) -> bytes:
    """A PNG: one panel of bars for each measure that has figures."""
    check()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [result for result in results if _bars(result)]
    lines = -(-max(len(shown), 1) // COLUMNS)
    figure = Figure(figsize=(12, 1.2 + 2.6 * lines), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle("Vego beside its peers\n" + heading(described)[0], fontsize=11, x=0.01, ha="left")
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for panel, result in zip(panels, shown, strict=False):
        _draw(panel, result)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


def _bars(result: Result) -> dict[str, float]:
    return {
        name: one[result.measure.key]
        for name, one in result.figures.items()
        if (one.get(result.measure.key) or 0) > 0
    }


def _draw(panel: Any, result: Result) -> None:
    measure, bars = result.measure, _bars(result)
    colours = [OURS if name in measure.subjects else BELOW if result.short(name) else PEER for name in bars]
    drawn = panel.barh(list(bars), list(bars.values()), color=colours)
    labels = []
    for name, value in bars.items():
        recall = result.figures[name].get("recall")
        ratio = None if name in measure.subjects else result.ratio(name, measure.subjects[0])
        labels.append(
            format(value, measure.form)
            + (f", recall {recall:.3f}" if recall is not None else "")
            + (f" ({ratio:.2f} x)" if ratio is not None else "")
        )
    panel.bar_label(drawn, labels, padding=4, fontsize=7)
    if is_wide(bars.values()):
        panel.set_xscale("log")
        panel.set_xlim(min(bars.values()) / 2, max(bars.values()) * 30)
    else:
        panel.set_xlim(0, max(bars.values()) * 1.7)
    panel.invert_yaxis()
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    direction = "more is better" if measure.more_is_better else "less is better"
    panel.set_title(f"{measure.title}\n{measure.unit}, {direction}", fontsize=9, loc="left")
