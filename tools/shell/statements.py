"""What can be typed into the shell: words, statements, and what they mean.

    input      = { "." command | statement ";" }
    statement  = ["EXPLAIN"] ( search | SQL )
    search     = "SEARCH" name "NEAR" ( "[" number { "," number } "]" | 'id' )
                 { "K" integer | "EF" integer | "EXACT" | "SHOW" name { "," name } } [ "WHERE" filter ]
    select     = "SELECT" ( "*" | "count(*)" | name { "," name } ) "FROM" name
                 [ "WHERE" filter ] [ "LIMIT" integer ] [ "OFFSET" integer ]

`select` is the part of SQL that is understood without DuckDB. Keywords are not case-sensitive; names are plain
words, or within double quotes or backquotes. `filter` is the text of `docs/filters.md`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from vego_tools.shell.errors import StatementError

_WORD = re.compile(
    r"""
      (?P<space>  \s++ | --[^\n]*+ | /\*(?s:.*?)(?:\*/|\Z) )
    | (?P<string> '(?:[^']|'')*+'? )
    | (?P<quoted> "(?:[^"]|"")*+"? | `(?:[^`]|``)*+`? )
    | (?P<dollar> \$(?P<tag>\w*)\$(?s:.*?)(?:\$(?P=tag)\$|\Z) )
    | (?P<number> (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )
    | (?P<name>   [^\W\d][\w$]*+ )
    | (?P<symbol> . )
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word at characters [start, stop): its kind is string, quoted, dollar, number, name or symbol."""

    kind: str
    text: str
    start: int
    stop: int

    @property
    def key(self) -> str:
        """The keyword or symbol it may be, in lower case; empty for anything quoted."""
        return self.text.lower() if self.kind in ("name", "symbol") else ""

    @property
    def closed(self) -> bool:
        """False for something quoted, or a comment, that lacks its end."""
        if self.kind in ("string", "quoted"):
            return len(self.text) > 1 and self.text[-1] == self.text[0]
        if self.kind == "dollar":
            tag = self.text[: self.text.index("$", 1) + 1]
            return len(self.text) >= 2 * len(tag) and self.text.endswith(tag)
        return not self.text.startswith("/*") or (len(self.text) > 3 and self.text.endswith("*/"))

    @property
    def value(self) -> str:
        """The text within quotes, doubled quotes single; the text itself of anything else."""
        if self.kind in ("string", "quoted"):
            return self.text[1:-1].replace(self.text[0] * 2, self.text[0])
        return self.text


def words_of(text: str) -> list[Word]:
    """The words of `text`, comments and space left out, unless a comment is never closed."""
    found = [Word(m.lastgroup or "", m.group(), m.start(), m.end()) for m in _WORD.finditer(text)]
    return [word for word in found if word.kind != "space" or not word.closed]


def split(text: str) -> tuple[list[str], str]:
    """The statements of `text` that end in a semicolon, without it, and what follows the last of them."""
    statements, start = [], 0
    for word in words_of(text):
        if word.kind == "symbol" and word.text == ";":
            if words_of(text[start : word.start]):
                statements.append(text[start : word.start].strip())
            start = word.stop
    rest = text[start:]
    return statements, rest if words_of(rest) else ""


# -- statements ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """`.name argument ...`; `rest` is everything after the name, as it was typed."""

    name: str
    arguments: tuple[str, ...]
    rest: str


@dataclass(frozen=True, slots=True)
class Search:
    """`SEARCH table NEAR ...`: a vector, or the id of the document whose vector it is."""

    table: str
    vector: tuple[float, ...] | None
    id: str | None
    k: int = 10
    ef: int | None = None
    exact: bool = False
    columns: tuple[str, ...] | None = None
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """The part of SQL that needs no DuckDB; `columns` None is `*`, empty is `count(*)`."""

    table: str
    columns: tuple[str, ...] | None
    filter: str | None = None
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Sql:
    """Anything else: text for DuckDB."""

    text: str


@dataclass(frozen=True, slots=True)
class Explain:
    """How a statement would be answered."""

    statement: Search | Sql


Statement = Command | Search | Sql | Explain


def parse(text: str) -> Statement:
    """What one statement (no semicolon) or one dot command says.

    Raises StatementError, which shows the place, for a SEARCH that is not one.
    """
    stripped = text.strip()
    if stripped.startswith("."):
        return _command(stripped)
    words = words_of(text)
    open_ended = next((word for word in words if not word.closed), None)
    if open_ended is not None:
        _fail(text, open_ended.start, "this is never closed")
    if words and words[0].key == "explain" and len(words) > 1 and words[1].key != "analyze":
        inner = parse(text[words[0].stop :])
        return Explain(inner) if isinstance(inner, Search | Sql) else inner
    if words and words[0].key == "search":
        return _Reader(text, words).search()
    return Sql(stripped)


def parse_select(text: str) -> Select | None:
    """`text` as a Select; None where it is other SQL. Raises StatementError for none at all."""
    words = words_of(text)
    if not words or words[0].key != "select":
        return None
    try:
        return _Reader(text, words).select()
    except _OtherSqlError:
        return None


def _command(text: str) -> Command:
    name, _, rest = text[1:].partition(" ")
    try:
        arguments = tuple(shlex.split(rest))
    except ValueError:
        arguments = tuple(rest.split())
    return Command(name.lower(), arguments, rest.strip())


class _OtherSqlError(Exception):
    """SQL beyond `Select`."""


def _fail(text: str, position: int, message: str) -> NoReturn:
    """Raise the error that shows `text` on one line, with the place."""
    before, after = " ".join(text[:position].split()), " ".join(text[position:].split())
    near = f"{before[-40:]} >>> {after[:40]}" if after else f"{before[-60:]} >>> (the end)"
    raise StatementError(f"{message}: {near.strip()}")


class _Reader:
    """Reads the words of one statement from left to right."""

    def __init__(self, text: str, words: Sequence[Word]) -> None:
        self._text = text
        self._words = words
        self._at = 1  # after SEARCH or SELECT

    # -- words

    @property
    def _word(self) -> Word:
        if self._at < len(self._words):
            return self._words[self._at]
        return Word("end", "", len(self._text), len(self._text))

    def _next(self) -> Word:
        word = self._word
        self._at += 1
        return word

    def _took(self, key: str) -> bool:
        found = self._word.key == key
        self._at += found
        return found

    def _expect(self, key: str, where: str) -> None:
        if not self._took(key):
            _fail(self._text, self._word.start, f"expected {key.upper()} {where}")

    def _name(self, what: str) -> str:
        word = self._next()
        if word.kind not in ("name", "quoted"):
            _fail(self._text, word.start, f"expected {what}")
        return word.value

    def _names(self, what: str) -> tuple[str, ...]:
        names = [self._name(what)]
        while self._took(","):
            names.append(self._name(what))
        return tuple(names)

    def _integer(self, what: str) -> int:
        word = self._next()
        if word.kind != "number" or not word.text.isdigit():
            _fail(self._text, word.start, f"expected a whole number after {what}")
        return int(word.text)

    # -- SEARCH

    def search(self) -> Search:
        """The statement."""
        table = self._name("the name of a collection after SEARCH")
        self._expect("near", "and a vector or an id after the name")
        vector, name = self._near()
        k, ef, exact, columns, filter = 10, None, False, None, None
        while self._word.kind != "end":
            word = self._next()
            if word.key == "k":
                k = self._integer("K")
            elif word.key == "ef":
                ef = self._integer("EF")
            elif word.key == "exact":
                exact = True
            elif word.key == "show":
                columns = self._names("names of metadata after SHOW")
            elif word.key == "where":
                filter = self._rest("a filter after WHERE")
            else:
                _fail(self._text, word.start, "expected K n, EF n, EXACT, SHOW names or WHERE filter")
        return Search(table, vector, name, k, ef, exact, columns, filter)

    def _near(self) -> tuple[tuple[float, ...] | None, str | None]:
        word = self._next()
        if word.kind == "string":
            return None, word.value
        if word.key != "[":
            _fail(self._text, word.start, "expected a vector like [0.1, 0.2] or an 'id' after NEAR")
        numbers: list[float] = []
        while not numbers or not self._took("]"):
            if numbers and not self._took(","):
                _fail(self._text, self._word.start, "expected , or ] in the vector")
            sign = -1.0 if self._took("-") else 1.0
            word = self._next()
            if word.kind != "number":
                _fail(self._text, word.start, "expected a number in the vector")
            numbers.append(sign * float(word.text))
        return tuple(numbers), None

    def _rest(self, what: str) -> str:
        """What is left, as it was typed."""
        text = self._text[self._word.start :].strip()
        if not text:
            _fail(self._text, len(self._text), f"expected {what}")
        self._at = len(self._words)
        return text

    # -- SELECT

    def select(self) -> Select:
        """The statement; raises _OtherSqlError for SQL that needs more."""
        columns = self._columns()
        if not self._took("from"):
            raise _OtherSqlError
        word = self._next()
        if word.kind not in ("name", "quoted"):
            raise _OtherSqlError
        limit, offset, end = self._bounds()
        filter = None
        if self._at < end:
            if self._words[self._at].key != "where":
                raise _OtherSqlError
            middle = self._words[self._at + 1 : end]
            if not middle or any(
                part.key in ("order", "group", "having", "union", "join") for part in middle
            ):
                raise _OtherSqlError
            filter = self._text[middle[0].start : middle[-1].stop]
        return Select(word.value, columns, filter, limit, offset)

    def _columns(self) -> tuple[str, ...] | None:
        if self._took("*"):
            return None
        words = [word.key for word in self._words[self._at : self._at + 4]]
        if words == ["count", "(", "*", ")"]:
            self._at += 4
            return ()
        names = []
        while True:
            word = self._next()
            if word.kind not in ("name", "quoted"):
                raise _OtherSqlError
            names.append(word.value)
            if not self._took(","):
                return tuple(names)

    def _bounds(self) -> tuple[int | None, int, int]:
        """LIMIT and OFFSET at the end, and the number of words before them."""
        end, found = len(self._words), {}
        for key in ("offset", "limit"):
            if (
                end - 2 >= self._at
                and self._words[end - 2].key == key
                and self._words[end - 1].text.isdigit()
            ):
                found[key] = int(self._words[end - 1].text)
                end -= 2
        return found.get("limit"), found.get("offset", 0), end
