"""Plain text for people: aligned tables, sizes, durations, trees, and colour where it is welcome.

Nothing here prints; every function returns text of at most `WIDTH` columns. Text that comes out of a file goes
through `printable`, so that no file can send control sequences to the terminal.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH = 100

_BOLD, _DIM, _RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Style:
    """Bold and dim where the output is a terminal, NO_COLOR is not set and TERM is not "dumb"."""

    enabled: bool

    @classmethod
    def of_stdout(cls) -> Style:
        """The style that suits standard output now."""
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return cls(enabled=not plain and sys.stdout.isatty())

    def bold(self, text: str) -> str:
        """Emphasised, for headings."""
        return f"{_BOLD}{text}{_RESET}" if self.enabled else text

    def dim(self, text: str) -> str:
        """Subdued, for what is secondary."""
        return f"{_DIM}{text}{_RESET}" if self.enabled else text


def printable(text: str) -> str:
    """`text` on one line: line breaks, control characters and the like as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


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


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "", indent: int = 2) -> list[str]:
    """Lines of an aligned table no wider than WIDTH. `right`: names of the columns aligned to the right, in one string.

    Where the lines would be too long the widest column is cut.
    """
    cells = [[printable(cell) for cell in row] for row in [header, *rows]]
    widths = [max(display_width(row[index]) for row in cells) for index in range(len(header))]
    room = WIDTH - indent - 2 * (len(header) - 1)
    while sum(widths) > room and max(widths) > 8:
        widest = widths.index(max(widths))
        widths[widest] = max(8, widths[widest] - (sum(widths) - room))
    numbers = right.split()
    lines = []
    for row in cells:
        parts = []
        for index, cell in enumerate(row):
            cut = shorten(cell, widths[index])
            pad = " " * (widths[index] - display_width(cut))
            parts.append(pad + cut if header[index] in numbers else cut + pad)
        lines.append((" " * indent + "  ".join(parts)).rstrip())
    return lines


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
