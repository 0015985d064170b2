"""What the selection of encodings weighed, from the evidence that the writer left in the file.

The evidence is text for people (FORMAT.md, "Column metadata"), so whatever does not look as our writer's does is shown
as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vego_tools.terminal import printable, table, wrapped

RUNS = 3  # of pages of one column that are shown
_PAGE = re.compile(r"page (\d+): (.*)", re.DOTALL)
_SAMPLE = re.compile(r"of (\d+) bytes sampled: (.*)", re.DOTALL)
_CANDIDATE = re.compile(r"(\S.*) (\d+) bytes, (\d+) us")


@dataclass(slots=True)
class Weighed:
    """One stream of a page: the recipe chosen, and (recipe, bytes, microseconds to decode) of all that were tried."""

    stream: str
    chosen: str
    sampled: int = 0
    candidates: list[tuple[str, int, int]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def parse(line: str) -> tuple[int, list[Weighed]] | None:
    """A line of evidence: the page it is about, and its streams; None where it is not of our writer's form."""
    found = _PAGE.fullmatch(line)
    if found is None:
        return None
    streams: list[Weighed] = []
    for piece in found[2].split("; "):
        sample = _SAMPLE.fullmatch(piece)
        candidate = _CANDIDATE.fullmatch(sample[2] if sample else piece)
        if candidate is not None and streams:
            streams[-1].sampled = int(sample[1]) if sample else streams[-1].sampled
            streams[-1].candidates.append((candidate[1], int(candidate[2]), int(candidate[3])))
        elif piece.startswith("as the page before") and streams:
            streams[-1].remarks.append(piece)
        elif piece.startswith("validity "):
            streams.append(Weighed("validity", piece.removeprefix("validity ")))
        else:
            path, colon, recipe = piece.rpartition(": ")
            streams.append(Weighed(_stream(path) if colon else "", recipe))
    return int(found[1]), streams


def _stream(path: str) -> str:
    """What people call a stream of a list or struct: "#" lengths, "?" validity, "[]" items, ".x" a field."""
    name = path.rstrip("#?").lstrip(".").replace("[]", " items").strip()
    if path.endswith("#"):
        return f"lengths of {name or 'lists'}"
    return f"validity of {name}" if path.endswith("?") else name


def lines(why: Sequence[str], *, everything: bool) -> Iterator[str]:
    """The evidence of one column."""
    shown = why if everything else why[:RUNS]
    for line in shown:
        parsed = parse(line)
        if parsed is None:
            yield from wrapped(printable(line))
            continue
        page, streams = parsed
        for weighed in streams:
            yield from _weighed(f"from page {page} on", weighed)
    if len(shown) < len(why):
        yield f"  … and from {len(why) - len(shown):,} other pages on; --all shows them"


def _weighed(where: str, weighed: Weighed) -> Iterator[str]:
    stream = f", {weighed.stream}" if weighed.stream else ""
    remarks = "".join(f"; {remark}" for remark in weighed.remarks)
    yield from wrapped(printable(f"{where}{stream}: {weighed.chosen}{remarks}"))
    if not weighed.candidates:
        return
    raw = max(weighed.sampled, 1)
    rows = [
        [
            "→" if recipe == weighed.chosen else "",
            recipe,
            f"{size:,}",
            f"{size / raw:.0%}",
            f"{microseconds:,} µs",
        ]
        for recipe, size, microseconds in sorted(weighed.candidates, key=lambda c: c[1])
    ]
    header = ["", f"of a sample of {weighed.sampled:,} bytes", "bytes", "share", "decoding"]
    yield from table(header, rows, right="bytes share decoding", indent=4)
