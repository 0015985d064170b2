"""Two results side by side: ``python -m benchmarks.compare OLD.json NEW.json``.

Compares ratios, not figures: a ratio is taken within one run, so the mood of the machine mostly cancels out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

NOTABLE = 0.10  # a change of a ratio by less than this share is noise


def ratios(described: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Every ratio of one run, with the name of what it compares."""
    for result in described["results"]:
        for subject, peers in result["ratios"].items():
            for peer, ratio in peers.items():
                if ratio is not None:
                    yield f"{result['measure']}: {subject} / {peer}", ratio


def compare(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for every ratio both runs have."""
    before = dict(ratios(old))
    lines = []
    for name, ratio in ratios(new):
        if name in before:
            change = ratio / before[name] - 1
            mark = "" if abs(change) < NOTABLE else "  better" if change > 0 else "  WORSE"
            lines.append(f"{name:<45} {before[name]:8.2f} x -> {ratio:8.2f} x  {change:+6.0%}{mark}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Print the comparison; 2 where the arguments are not two files."""
    if len(arguments) != 2:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    old, new = (json.loads(Path(one).read_text()) for one in arguments)
    if old["dataset"] != new["dataset"]:
        print(f"not the same data: {old['dataset']} and {new['dataset']}", file=sys.stderr)
        return 2
    print("\n".join(compare(old, new)) or "no ratio is in both")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
