"""What may follow the text before the cursor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lance_fmt import FormatError
from vego.errors import VegoError
from vego_tools.shell.catalog import Catalog
from vego_tools.shell.help import COMMANDS, TOPICS
from vego_tools.shell.render import MODES
from vego_tools.shell.statements import words_of

BEGINNINGS = ("SELECT", "SEARCH", "EXPLAIN", "WITH", "DESCRIBE", "SUMMARIZE")
KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "LIMIT", "OFFSET", "JOIN", "ON", "AND", "OR", "NOT",
    "IN", "BETWEEN", "IS", "NULL", "LIKE", "AS", "DESC", "DISTINCT", "count(*)",
)  # fmt: skip
SEARCH_WORDS = (
    "NEAR",
    "K",
    "EF",
    "EXACT",
    "SHOW",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "IS",
    "NULL",
)
_BEFORE_TABLES = ("from", "join", "search", "describe", "summarize", "into")
_OURS = {*BEGINNINGS, *KEYWORDS, *SEARCH_WORDS}
_PLAIN = re.compile(r"[^\W\d]\w*")


def candidates(text: str, catalog: Catalog) -> tuple[list[str], int]:
    """Words that may stand at the end of `text`, sorted as they should be offered, and how many characters of
    them are typed already."""
    if text.lstrip().startswith("."):
        return _command(text.lstrip(), catalog)
    words = words_of(text)
    if words and not words[-1].closed and words[-1].kind != "quoted":
        return [], 0
    typing = (
        words[-1] if words and words[-1].stop == len(text) and words[-1].kind in ("name", "quoted") else None
    )
    typed = typing.text if typing is not None else ""
    before = [word.key for word in (words[:-1] if typing is not None else words)]
    prefix = typed.lstrip('"`')
    return _matching(_following(before, text, catalog), prefix), len(typed)


def _following(before: Sequence[str], text: str, catalog: Catalog) -> Iterator[str]:
    if not before:
        yield from BEGINNINGS
    elif before == ["explain"]:
        yield from ("SELECT", "SEARCH")
    elif before[-1] in _BEFORE_TABLES:
        yield from map(quoted, catalog.relations)
    else:
        yield from _columns(text, catalog)
        yield from SEARCH_WORDS if "search" in before[:2] else KEYWORDS


def _columns(text: str, catalog: Catalog) -> Iterator[str]:
    """Columns of the tables that the statement names, or of the only one."""
    named = {word.value.lower() for word in words_of(text)}
    relations = [relation for name, relation in catalog.relations.items() if name.lower() in named]
    if not relations and catalog.only is not None:
        relations = [catalog.only]
    for relation in relations:
        with suppress(VegoError, FormatError, OSError):  # the statement will say what is wrong with it
            yield from map(quoted, relation.schema.names)


def _command(text: str, catalog: Catalog) -> tuple[list[str], int]:
    name, space, rest = text[1:].partition(" ")
    if not space:
        known = [f".{one}" for about in COMMANDS for one in (about.name, *about.aliases)]
        return _matching(known, text), len(text)
    typed = rest.rpartition(" ")[2]
    if name == "explain":
        return candidates(rest, catalog)
    if name in ("open", "output"):
        return _paths(rest), len(rest)
    words: dict[str, Iterable[str]] = {
        "schema": catalog.relations,
        "stats": catalog.relations,
        "head": catalog.relations,
        "mode": MODES,
        "timer": ("on", "off"),
        "engine": ("duckdb", "vego"),
        "rows": ("all",),
        "help": TOPICS,
    }
    return _matching(words.get(name, ()), typed), len(typed)


def _paths(typed: str) -> list[str]:
    """Files and directories that begin as `typed` does."""
    directory, _, start = typed.rpartition("/")
    folder = Path(f"{directory}/" if "/" in typed else ".").expanduser()
    with suppress(OSError):
        lead = f"{directory}/" if "/" in typed else ""
        return sorted(
            f"{lead}{entry.name}{'/' if entry.is_dir() else ''}"
            for entry in folder.iterdir()
            if entry.name.startswith(start) and (start or not entry.name.startswith("."))
        )
    return []


def _matching(words: Iterable[str], prefix: str) -> list[str]:
    low = prefix.lower()
    found = [word for word in dict.fromkeys(words) if word.lower().lstrip('"').startswith(low)]
    return [word.lower() if prefix.islower() and word in _OURS else word for word in found]


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'
