"""The words of the text spelling: one regular expression, literals decoded, every error with its position."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from vego.errors import FilterSyntaxError
from vego.query.values import Literal

MAX_DIGITS: Final = 310


class TokenKind(Enum):
    """What a word is; operators and punctuation are symbols."""

    NAME = "name"
    QUOTED_NAME = "quoted name"
    VALUE = "value"
    SYMBOL = "symbol"
    END = "end"


@dataclass(frozen=True)
class Token:
    """A word at characters [position, stop); `value` is the literal, or the name within backquotes."""

    kind: TokenKind
    text: str
    position: int
    stop: int
    value: Literal | None = None

    @property
    def word(self) -> str:
        """The keyword this may be, in lower case; empty for anything but a plain name or a symbol."""
        return self.text.lower() if self.kind in (TokenKind.NAME, TokenKind.SYMBOL) else ""

    def described(self) -> str:
        """Return how an error message speaks of it."""
        if self.kind is TokenKind.END:
            return "the end"
        text = self.text if len(self.text) <= 40 else f"{self.text[:37]}..."
        return f"`{text}`" if self.kind in (TokenKind.NAME, TokenKind.QUOTED_NAME, TokenKind.SYMBOL) else text


_TOKEN = re.compile(
    r"""
      (?P<bytes>   [xX]'[^']*+(?P<bytes_end>')? )
    | (?P<name>    [^\W\d]\w*+(?:\.\w++)*+ )
    | (?P<quoted>  `(?P<quoted_body>(?:[^`]|``)*+)(?P<quoted_end>`)? )
    | (?P<single>  '(?P<single_body>(?:[^'\\]++|\\.|'')*+)(?P<single_end>')? )
    | (?P<double>  "(?P<double_body>(?:[^"\\]++|\\.|"")*+)(?P<double_end>")? )
    | (?P<number>  [+-]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+\w*+ )
    | (?P<infinite>[+-](?:inf|infinity)\b )
    | (?P<symbol>  ==|!=|<>|<=|>=|&&|\|\||[=<>!()\[\],] )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_SPACE = re.compile(r"\s*+")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|''|\"\"", re.DOTALL)
_SIMPLE_ESCAPES = {
    "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0",
    "\\": "\\", "'": "'", '"': '"', "/": "/", "`": "`",
}  # fmt: skip
_STRAY = {
    "&": "write `and` or `&&`",
    "|": "write `or` or `||`",
    "~": "write `not` or `!`",
    "-": "a field name with a hyphen goes in backquotes",
    ";": "a filter is one condition",
    "‘": "use straight quotes",
    "’": "use straight quotes",
    "“": "use straight quotes",
    "”": "use straight quotes",
}


def syntax_error(text: str, position: int, message: str) -> FilterSyntaxError:
    """Return the error that shows `text` with a caret under `position`."""
    start = text.rfind("\n", 0, position) + 1
    stop = text.find("\n", position)
    stop = len(text) if stop < 0 else stop
    first = max(start, position - 60)
    last = min(stop, position + 60)
    shown = text[first:last].expandtabs(1)
    lead = "..." if first > start else ""
    tail = "..." if last < stop else ""
    caret = " " * (len(lead) + position - first) + "^"
    return FilterSyntaxError(
        f"{message} (at character {position})\n  {lead}{shown}{tail}\n  {caret}", position
    )


def token_at(text: str, position: int) -> Token:
    """Return the word after the white space at `position`. Raises FilterSyntaxError if there is none."""
    space = _SPACE.match(text, position)
    position = space.end() if space else position
    if position == len(text):
        return Token(TokenKind.END, "", position, position)
    match = _TOKEN.match(text, position)
    if match is None:
        hint = _STRAY.get(text[position])
        raise syntax_error(
            text, position, f"unexpected character {text[position]!r}" + (f"; {hint}" if hint else "")
        )
    group = match.lastgroup or ""
    start, stop, word = match.start(), match.end(), match.group()
    if group == "symbol":
        return Token(TokenKind.SYMBOL, word, start, stop)
    if group == "name":
        return Token(TokenKind.NAME, word, start, stop)
    if group == "infinite":
        return Token(TokenKind.VALUE, word, start, stop, float(word))
    if group == "number":
        return Token(TokenKind.VALUE, word, start, stop, _number(text, start, word))
    return _quoted(text, match)


def _quoted(text: str, match: re.Match[str]) -> Token:
    start, stop, word = match.start(), match.end(), match.group()
    family = next(name for name in ("bytes", "quoted", "single", "double") if match[name] is not None)
    if match[f"{family}_end"] is None:
        what = "backquoted name" if family == "quoted" else "string"
        raise syntax_error(text, start, f"this {what} is never closed; double a quote inside to keep it")
    if family == "quoted":
        name = match["quoted_body"].replace("``", "`")
        if not name:
            raise syntax_error(text, start, "a field name cannot be empty")
        return Token(TokenKind.QUOTED_NAME, word, start, stop, name)
    if family == "bytes":
        return Token(TokenKind.VALUE, word, start, stop, _bytes(text, start, word))
    body_start = match.start(f"{family}_body")
    return Token(
        TokenKind.VALUE, word, start, stop, _unescape(text, body_start, match[f"{family}_body"], word[0])
    )


def _number(text: str, position: int, word: str) -> int | float:
    digits = sum(character.isdigit() for character in word)
    if digits > MAX_DIGITS:
        raise syntax_error(text, position, f"a number of {digits:,} digits; {MAX_DIGITS} at most")
    try:
        if not word.isascii() or "_" in word:
            raise ValueError(word)
        value = int(word) if word.lstrip("+-").isdigit() else float(word)
    except ValueError:
        way_out = "write digits only, or put text in quotes"
        raise syntax_error(text, position, f"malformed number `{word[:40]}`; {way_out}") from None
    if value in (float("inf"), float("-inf")):
        raise syntax_error(text, position, f"the number `{word[:40]}` is too large; write `inf` for infinity")
    return value


def _bytes(text: str, position: int, word: str) -> bytes:
    try:
        return bytes.fromhex(word[2:-1])
    except ValueError:
        raise syntax_error(
            text, position, "bytes are written as pairs of hexadecimal digits: x'00ff'"
        ) from None


def _unescape(text: str, position: int, body: str, quote: str) -> str:
    other = '""' if quote == "'" else "''"

    def replace(match: re.Match[str]) -> str:
        escape = match.group()
        if escape[0] != "\\":
            return escape if escape == other else quote
        digits = match[1] or match[2] or match[3]
        simple = _SIMPLE_ESCAPES.get(match[4] or "")
        if simple is not None:
            return simple
        if digits is None or int(digits, 16) > 0x10FFFF:
            raise syntax_error(
                text, position + match.start(), f"unknown escape `{escape}`; write `\\\\` for a backslash"
            )
        return chr(int(digits, 16))

    if "\\" not in body and quote not in body:
        return body
    plain = _ESCAPE.sub(replace, body)
    try:
        # Joins the surrogate pairs JSON spells characters beyond U+FFFF with.
        return plain.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise syntax_error(
            text, position - 1, "this string holds a lone surrogate, which UTF-8 cannot store"
        ) from None


def parse_time(text: str, token: Token, word: str) -> dt.datetime | dt.date:
    """Return the literal `timestamp '...'` or `date '...'`; `word` tells which, `token` is what is quoted."""
    spelled = token.value
    assert isinstance(spelled, str)
    try:
        if word == "date":
            return dt.date.fromisoformat(spelled)
        return dt.datetime.fromisoformat(spelled)
    except ValueError:
        example = "2024-01-31" if word == "date" else "2024-01-31T12:00:00Z"
        raise syntax_error(
            text, token.position, f"{token.described()} is no {word} in ISO 8601, like '{example}'"
        ) from None
