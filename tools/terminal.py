"""Plain text for people: aligned tables, sizes, durations, trees, and colour where it is welcome.

Nothing here prints; every function returns text of at most `WIDTH` columns. Text that comes out of a file
goes through `printable`, so that no file can send control sequences to the terminal.
"""

from __future__ import annotations

import os
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lance_fmt.display import printable

__all__ = [
    "WIDTH", "Style", "byte_size", "counted", "display_width", "duration", "file_tree", "printable", "shorten",
    "table", "wrapped",
]  # fmt: skip

WIDTH = 100
MIN_WIDTH = 8  # of a column that had to be cut

_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Style:
    """Bold and dim where the output is a terminal, NO_COLOR is not set and TERM is not "dumb"."""

    enabled: bool

    @classmethod
    def of_stdout(cls) -> Style:
        """The style that suits standard output now."""
        return cls.of(sys.stdout)

    @classmethod
    def of(cls, stream: TextIO) -> Style:
        """The style that suits what is written to `stream`."""
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return cls(enabled=not plain and stream.isatty())

    def bold(self, text: str) -> str:
        """Emphasised, for headings."""
        return f"{_BOLD}{text}{_RESET}" if self.enabled else text

    def dim(self, text: str) -> str:
        """Subdued, for what is secondary."""
        return f"{_DIM}{text}{_RESET}" if self.enabled else text


def display_width(text: str) -> int:
    """Columns a terminal uses for `text`."""
    if text.isascii():
        return len(text)
    return sum(_char_width(char) for char in text)


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shorten(text: str, width: int) -> str:
    """`text` cut to at most `width` columns, with an ellipsis where something is missing."""
    if display_width(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += _char_width(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "", keep: str = "", indent: int = 2
) -> list[str]:
    """Lines of an aligned table, no wider than WIDTH where that is possible.

    `right` names the columns aligned to the right and `keep` others that are never cut, separated by spaces.
    Where lines would be too long, the widest of the remaining columns is cut, down to MIN_WIDTH.
    """
    cells = [[printable(cell) for cell in row] for row in [header, *rows]]
    widths = [max(display_width(row[index]) for row in cells) for index in range(len(header))]
    numbers, kept = right.split(), [*right.split(), *keep.split()]
    elastic = [index for index, name in enumerate(header) if name not in kept]
    excess = sum(widths) + indent + 2 * (len(header) - 1) - WIDTH
    while excess > 0 and elastic:
        widest = max(elastic, key=lambda index: widths[index])
        if widths[widest] <= MIN_WIDTH:
            break
        widths[widest] -= 1
        excess -= 1
    return [_row(row, widths, [name in numbers for name in header], indent) for row in cells]


def _row(cells: Sequence[str], widths: Sequence[int], to_right: Sequence[bool], indent: int) -> str:
    parts = []
    for cell, width, right in zip(cells, widths, to_right, strict=True):
        cut = shorten(cell, width)
        pad = " " * (width - display_width(cut))
        parts.append(pad + cut if right else cut + pad)
    return (" " * indent + "  ".join(parts)).rstrip()


def wrapped(text: str, *, first: str = "  ", then: str = "    ") -> list[str]:
    """`text` broken at spaces into lines no wider than WIDTH, indented with `first` and `then`."""
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)


def byte_size(count: float) -> str:
    """A number of bytes in decimal units: "512 B", "4.1 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.3g} {unit}" if count < 99.95 else f"{count:.0f} {unit}"
    return f"{count / 1000:,.4g} TB"


def duration(seconds: float) -> str:
    """A time with three digits and a unit that suits it: "85.3 µs", "1.24 ms", "12.6 s"."""
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:,.0f} s"


def counted(count: int, what: str) -> str:
    """`count` with the noun `what` in singular or plural."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def file_tree(root: Path) -> list[str]:
    """The files below `root`, indented by directory, with their sizes; sums for the directories."""
    sizes, lines = _walk(root, 0)
    return [_tree_line(f"{root.name or root}/", sizes), *lines]


def _walk(directory: Path, depth: int) -> tuple[int, list[str]]:
    total, lines = 0, []
    for entry in sorted(directory.iterdir()):
        name = "  " * (depth + 1) + printable(entry.name)
        if entry.is_dir() and not entry.is_symlink():
            size, below = _walk(entry, depth + 1)
            lines += [_tree_line(f"{name}/", size), *below]
        else:
            size = entry.lstat().st_size
            lines.append(_tree_line(name, size))
        total += size
    return total, lines


def _tree_line(name: str, size: int) -> str:
    return f"  {shorten(name, 64):<64} {byte_size(size):>9}"
