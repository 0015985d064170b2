"""Two results side by side, and whether Vego got worse.

Compares ratios, not figures: a ratio is taken within one run, so the mood of the machine mostly cancels out. What does
not cancel shows in the rounds of a run, which ought to agree: a ratio that fell by no more than they differ is noise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vego.errors import InvalidArgumentError

THRESHOLD = 0.10  # a change of a ratio by less than this share is nothing
RECALL_LOSS = 0.01
Described = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One ratio, or one recall, of two runs. `verdict`: "same", "noise", "better" or "worse"."""

    what: str
    old: float
    new: float
    change: float  # share by which it grew
    noise: float  # share by which rounds of one run differ
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def line(self) -> str:
        """For people, 100 columns wide."""
        mark = {"same": "", "noise": f"  within noise ({self.noise:.0%})", "worse": "  WORSE"}
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
        for peer, before in peers.items():
            now = new["ratios"].get(subject, {}).get(peer)
            name = f"{new['measure']}: {subject} / {peer}"
            if not before:
                continue
            if now is None:
                if subject not in new["figures"] and peer in new["figures"]:
                    yield Change(f"{name}: no figure", before, 0.0, -1.0, 0.0, "worse")
                continue
            noise = max(_noise(run, engine) for run in (old, new) for engine in (subject, peer))
            change = now / before - 1
            yield Change(name, before, now, change, noise, _verdict(now / before, threshold, noise))


def _verdict(quotient: float, threshold: float, noise: float) -> str:
    off = max(quotient, 1 / quotient) - 1  # the same for twice and for half
    if off <= threshold:
        return "same"
    if off <= noise:
        return "noise"
    return "better" if quotient > 1 else "worse"


def _noise(result: Described, engine: str) -> float:
    """By what share the best two rounds of an engine differ; 0 for what is not timed."""
    key = result.get("key", "")
    many = [one[key] for one in result["rounds"].get(engine, []) if one.get(key)]
    if len(many) < 2:
        return 0.0
    first, second = sorted(many, reverse=bool(result.get("more_is_better")))[:2]
    return float(max(first, second) / min(first, second) - 1)


def _recalls(old: Described, new: Described) -> Iterator[Change]:
    for engine in old["ratios"]:
        before = old["figures"].get(engine, {}).get("recall")
        now = new["figures"].get(engine, {}).get("recall")
        if before is not None and now is not None:
            verdict = "worse" if now < before - RECALL_LOSS else "same"
            yield Change(f"{new['measure']}: recall of {engine}", before, now, now / before - 1, 0.0, verdict)
