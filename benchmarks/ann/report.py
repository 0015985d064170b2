"""Tables and the picture of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vego_tools.bench.measure import rate_at

RECALLS = (0.90, 0.95, 0.99)
Points = Sequence[Mapping[str, Any]]


def best_points(rounds: Sequence[Points]) -> list[dict[str, Any]]:
    """Of every setting its fastest round."""
    best: dict[str, dict[str, Any]] = {}
    for points in rounds:
        for point in points:
            key = str(point["setting"])
            if key not in best or point["qps"] > best[key]["qps"]:
                best[key] = dict(point)
    return list(best.values())


def frontier(points: Points) -> list[dict[str, Any]]:
    """The points that no other beats in both recall and speed, by rising recall."""
    kept: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda one: (-one["recall"], -one["qps"])):
        if not kept or point["qps"] > kept[-1]["qps"]:
            kept.append(dict(point))
    return kept[::-1]


def figures(rounds: Mapping[str, Sequence[Points]]) -> dict[str, dict[str, Any]]:
    """Of every peer its frontier, its rate at each recall (None: not reached), and its best recall."""
    out = {}
    for name, of_peer in rounds.items():
        points = frontier(best_points(of_peer))
        rates = {f"{recall:.2f}": rate_at(points, recall) for recall in RECALLS}
        out[name] = {"points": points, "rates": rates, "best_recall": points[-1]["recall"] if points else 0.0}
    return out


def table(described: Mapping[str, Any]) -> str:
    """One data set: a line per peer, then how many times the best peer Vego is."""
    lines = [
        f"{described['dataset']}: {described['rows']:,} x {described['dimension']}, {described['metric']}, "
        f"{described['queries']} queries, k = 10, {described['rounds']} rounds, cores {described['pinned']}",
        f"{'':<16}{'build s':>9}{'B/row over raw':>16}"
        + "".join(f"{'q/s @' + format(recall, '.2f'):>13}" for recall in RECALLS)
        + f"{'best recall':>13}",
    ]
    peers = described["peers"]
    for name, one in peers.items():
        rates = [one["rates"][f"{recall:.2f}"] for recall in RECALLS]
        lines.append(
            f"{name:<16}{one['build']['seconds']:>9.1f}{one['build']['bytes'] / described['rows']:>16.0f}"
            + "".join(f"{rate:>13,.0f}" if rate else f"{'-':>13}" for rate in rates)
            + f"{one['best_recall']:>13.3f}"
        )
    lines += ratios(peers)
    lines += [f"left out: {name}: {why}" for name, why in described["skipped"].items()]
    return "\n".join(lines)


def ratios(peers: Mapping[str, Any]) -> Iterable[str]:
    """Vego beside the best of the others at each recall, and beside hnswlib in build time."""
    if "vego" not in peers or len(peers) < 2:
        return
    text = f"{'vego / best':<16}"
    hnswlib = peers.get("hnswlib")
    build = hnswlib["build"]["seconds"] / peers["vego"]["build"]["seconds"] if hnswlib else None
    text += (f"{build:>8.2f}x" if build else f"{'':>9}") + f"{'':>16}"
    for recall in RECALLS:
        mine = peers["vego"]["rates"][f"{recall:.2f}"]
        others = [one["rates"][f"{recall:.2f}"] or 0.0 for name, one in peers.items() if name != "vego"]
        text += f"{mine / max(others):>12.2f}x" if mine and max(others) else f"{'-':>13}"
    yield text


def picture(described: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Recall against queries/s, a panel per data set, as PNG. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2 * len(described), 4.8), layout="constrained")
    panels = figure.subplots(1, len(described), squeeze=False)[0]
    for panel, one in zip(panels, described, strict=True):
        for name, peer in one["peers"].items():
            points = [point for point in peer["points"] if point["recall"] >= 0.8]
            panel.plot(
                [point["recall"] for point in points],
                [point["qps"] for point in points],
                marker=".",
                label=name,
                linewidth=2.5 if name == "vego" else 1.2,
            )
        panel.set_yscale("log")
        panel.set_title(f"{one['dataset']}: {one['rows']:,} x {one['dimension']}, {one['metric']}")
        panel.set_xlabel("recall@10")
        panel.set_ylabel("queries/s")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=8)
    figure.savefig(path, dpi=130)
