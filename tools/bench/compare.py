"""Two results side by side, and whether Vego got worse.

Compares ratios, not figures: a ratio is taken within one run, so the mood of the machine mostly cancels out. What does
not cancel shows in the rounds of a run, which ought to agree. A change counts where the best rounds and the median ones
moved by more than the threshold, and by more than the rounds of either run differ: their ranges do not overlap then.
What most of the peers do not show is a change of the peer that does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from vego.errors import InvalidArgumentError

THRESHOLD = 0.10  # a change of a ratio by less than this share is nothing
RECALL_LOSS = 0.01
TRIM = 7  # of so many rounds, the best and the worst are left out: accidents
Described = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One ratio, or one recall, of two runs. `verdict`: "same", "noise", "peer", "better" or "worse"."""

    what: str
    old: float
    new: float
    change: float  # share by which it grew
    noise: float  # share by which the ratios of the rounds of one run differ
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def line(self) -> str:
        """For people, 100 columns wide."""
        mark = {
            "same": "",
            "noise": f"  within noise ({self.noise:.0%})",
            "peer": "  beside this one only",
            "worse": "  WORSE",
        }
        return (
            f"{self.what:<45} {self.old:8.2f} -> {self.new:8.2f}  {self.change:+6.0%}"
            f"{mark.get(self.verdict, '  better')}"
        )


def load(path: Path) -> Described:
    """A result of `vego bench --json` or of `benchmarks.run`. Raises InvalidArgumentError where it is none."""
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        for result in described["results"]:
            if not {"measure", "title", "figures", "ratios", "rounds"} <= set(result):
                raise KeyError("figures and ratios")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidArgumentError(
            f"{path}: not a result of a comparison; `vego bench --json > FILE` makes one"
        ) from None
    return dict(described)


def compare(old: Described, new: Described, threshold: float = THRESHOLD) -> list[Change]:
    """What both runs have: every ratio, and every recall of Vego. What Vego no longer has is worse.

    Raises InvalidArgumentError where the runs are not of the same data.
    """
    if old.get("dataset") != new.get("dataset"):
        raise InvalidArgumentError(
            f"not the same data: {old.get('dataset')} and {new.get('dataset')}; compare runs of one data set"
        )
    before = {result["measure"]: result for result in old["results"]}
    changes: list[Change] = []
    for result in new["results"]:
        if result["measure"] in before:
            changes += _ratios(before[result["measure"]], result, threshold)
            changes += _recalls(before[result["measure"]], result)
    return changes


def worse(changes: list[Change]) -> list[Change]:
    """The regressions among them."""
    return [one for one in changes if one.verdict == "worse"]


def _ratios(old: Described, new: Described, threshold: float) -> Iterator[Change]:
    for subject, peers in old["ratios"].items():
        after = new["ratios"].get(subject, {})
        moved = [
            _direction(after[peer] / before, threshold)
            for peer, before in peers.items()
            if before and after.get(peer)
        ]
        for peer, before in peers.items():
            now = after.get(peer)
            name = f"{new['measure']}: {subject} / {peer}"
            if not before:
                continue
            if now is None:
                if subject not in new["figures"] and peer in new["figures"]:
                    yield Change(f"{name}: no figure", before, 0.0, -1.0, 0.0, "worse")
                continue
            rounds = [_rounds(run, subject, peer) or [whole] for run, whole in ((old, before), (new, now))]
            noise = max(many[-1] / many[0] - 1 for many in rounds)
            verdict = _verdict(now / before, rounds, threshold, noise)
            alone = 2 * moved.count(_direction(now / before, threshold)) <= len(moved)
            if alone and verdict in ("better", "worse"):
                verdict = "peer"
            yield Change(name, before, now, now / before - 1, noise, verdict)


def _verdict(best: float, rounds: list[list[float]], threshold: float, noise: float) -> str:
    if _distance(best) <= threshold:
        return "same"
    old, new = rounds
    middle = median(new) / median(old)
    agree = (best > 1) == (middle > 1)
    if not agree or min(_distance(best), _distance(middle)) <= max(threshold, noise):
        return "noise"
    return "better" if best > 1 else "worse"


def _direction(quotient: float, threshold: float) -> int:
    """-1, 0 or 1 as a ratio fell, stayed or grew."""
    return 0 if _distance(quotient) <= threshold else 1 if quotient > 1 else -1


def _distance(quotient: float) -> float:
    """By what share two figures differ: the same for twice and for half."""
    return max(quotient, 1 / quotient) - 1


def _rounds(result: Described, subject: str, peer: str) -> list[float]:
    """The ratio in each round, in which both ran one after the other, ascending; accidents left out."""
    key = result.get("key", "")
    sides = (result["rounds"].get(engine, []) for engine in (subject, peer))
    pairs = [
        (ours[key], theirs[key])
        for ours, theirs in zip(*sides, strict=False)
        if ours.get(key) and theirs.get(key)
    ]
    more = result.get("more_is_better")
    ratios = sorted(ours / theirs if more else theirs / ours for ours, theirs in pairs)
    cut = len(ratios) // TRIM
    return ratios[cut : len(ratios) - cut]


def _recalls(old: Described, new: Described) -> Iterator[Change]:
    for engine in old["ratios"]:
        before = old["figures"].get(engine, {}).get("recall")
        now = new["figures"].get(engine, {}).get("recall")
        if before is not None and now is not None:
            verdict = "worse" if now < before - RECALL_LOSS else "same"
            yield Change(f"{new['measure']}: recall of {engine}", before, now, now / before - 1, 0.0, verdict)
