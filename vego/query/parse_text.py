"""The text spelling of filters: `year >= 2020 and (section in ('libs', 'web') or author is null)`.

    filter      = or
    or          = and { ("or" | "||") and }
    and         = not { ("and" | "&&") not }
    not         = { "not" | "!" } condition
    condition   = "(" or ")" | field test | value comparison field
    test        = comparison value | ["not"] "in" list | "is" ["not"] "null"
                | ["not"] "between" value "and" value
    comparison  = "==" | "=" | "!=" | "<>" | "<" | "<=" | ">" | ">="
    list        = "(" [value {"," value}] ")" | "[" [value {"," value}] "]"
    value       = number | "inf" | string | x'00ff' | "true" | "false" | "null"
                | ("timestamp" | "date") string

Keywords have no case. A field is a plain word with dots, or any text within backquotes. Recursive
descent, one word ahead; parentheses nest 32 deep, so the stack is bounded.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any

from vego.errors import FilterError, FilterSyntaxError
from vego.query.expr import (
    KEYWORDS,
    MAX_DEPTH,
    MAX_IN_VALUES,
    MAX_NODES,
    And,
    Compare,
    Expr,
    In,
    IsNull,
    Not,
    Or,
    spell_name,
    spell_text,
)
from vego.query.tokens import Token, TokenKind, parse_time, syntax_error, token_at
from vego.query.values import Literal

_COMPARISONS = {"==": "==", "=": "==", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WORDS = {"true": True, "false": False, "null": None, "inf": float("inf"), "infinity": float("inf")}
_QUOTE_AHEAD = re.compile(r"\s*+['\"]")
_TESTS = "== != < <= > >=, in (...), not in (...), is null, is not null, between"


def parse_text(text: str) -> Expr:
    """Return the filter that `text` spells. Raises FilterSyntaxError with the position of the mistake."""
    return _Parser(text).parse()


class _Parser:
    """`token` is the next word not consumed yet."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.token = token_at(text, 0)
        self.parentheses = 0
        self.conditions = 0

    def parse(self) -> Expr:
        if self.token.kind is TokenKind.END:
            raise self.error("the filter is empty; pass None to match every document", self.token)
        expr = self.disjunction()
        end = self.token
        if end.kind is TokenKind.END:
            return expr
        if end.text == ")":
            raise self.error("this `)` closes nothing", end)
        raise self.error(f"expected `and`, `or` or the end, found {end.described()}", end)

    def disjunction(self) -> Expr:
        return self.joined(Or, ("or", "||"), self.conjunction)

    def conjunction(self) -> Expr:
        return self.joined(And, ("and", "&&"), self.negation)

    def joined(self, node: type[And] | type[Or], words: tuple[str, str], operand: Callable[[], Expr]) -> Expr:
        start = self.token
        exprs = [operand()]
        while self.token.word in words:
            self.advance()
            exprs.append(operand())
        return exprs[0] if len(exprs) == 1 else self.built(start, node, tuple(exprs))

    def negation(self) -> Expr:
        start = self.token
        negations = 0
        while self.token.word in ("not", "!"):
            negations += 1
            if negations > MAX_DEPTH:
                raise self.error(f"more than {MAX_DEPTH} `not` in a row", start)
            self.advance()
        expr = self.condition()
        for _ in range(negations):
            expr = self.built(start, Not, expr)
        return expr

    def condition(self) -> Expr:
        if self.token.text == "(" and self.token.kind is TokenKind.SYMBOL:
            return self.parenthesised()
        self.conditions += 1
        if self.conditions > MAX_NODES:
            raise self.error(f"more than {MAX_NODES:,} conditions; use `in` for many values", self.token)
        expr = self.mirrored() if self.at_value() else self.test()
        if self.token.word in _COMPARISONS:
            raise self.error("comparisons do not chain; write `x >= 1 and x < 5`", self.token)
        return expr

    def parenthesised(self) -> Expr:
        opening = self.advance()
        self.parentheses += 1
        if self.parentheses > MAX_DEPTH:
            raise self.error(f"parentheses nested more than {MAX_DEPTH} deep", opening)
        expr = self.disjunction()
        if self.token.text != ")":
            if self.token.kind is TokenKind.END:
                raise self.error("this `(` is never closed", opening)
            raise self.error(f"expected `and`, `or` or `)`, found {self.token.described()}", self.token)
        self.advance()
        self.parentheses -= 1
        return expr

    def test(self) -> Expr:
        name = self.field()
        start = self.token
        if start.word in _COMPARISONS:
            op = self.comparison()
            return self.compared(start, name, op, self.value(f"after `{start.text}`"))
        if start.word == "is":
            return self.null_test(name)
        negated = start.word == "not"
        if negated:
            self.advance()
        if self.token.word == "in":
            expr = self.membership(name)
        elif self.token.word == "between":
            expr = self.range(name)
        else:
            raise self.no_test(name, start, negated)
        return self.built(start, Not, expr) if negated else expr

    def no_test(self, name: str, start: Token, negated: bool) -> FilterSyntaxError:
        if negated:
            return self.error(
                f"expected `in` or `between` after `not`, found {self.token.described()}", self.token
            )
        message = f"expected a comparison after the field {spell_name(name)}, found {start.described()}"
        if start.word in ("and", "or", "&&", "||", ")") or start.kind is TokenKind.END:
            return self.error(f"{message}; write `{spell_name(name)} == true` for a true field", start)
        close = difflib.get_close_matches(start.word, ("in", "is", "between", "not in"), n=1)
        if close:
            return self.error(f"{message}; did you mean `{close[0]}`?", start)
        return self.error(f"{message}; the comparisons are {_TESTS}", start)

    def field(self) -> str:
        token = self.token
        if token.kind is TokenKind.QUOTED_NAME:
            self.advance()
            return str(token.value)
        if token.kind is TokenKind.NAME:
            if token.word in KEYWORDS:
                raise self.error(
                    f"expected a condition, found the keyword `{token.text}`; "
                    "a field of that name goes in backquotes",
                    token,
                )
            self.advance()
            return token.text
        raise self.error(f"expected a condition, found {token.described()}", token)

    def null_test(self, name: str) -> Expr:
        start = self.advance()
        negated = self.token.word == "not"
        if negated:
            self.advance()
        if self.token.word != "null":
            raise self.error(
                f"expected `null` after `is`, found {self.token.described()}; compare values with `==`",
                self.token,
            )
        self.advance()
        return self.built(start, Not, IsNull(name)) if negated else IsNull(name)

    def comparison(self) -> str:
        token = self.advance()
        glued = self.text[token.position : token.stop + 1]
        meant = {"=>": ">=", "=<": "<=", "===": "==", "!==": "!="}.get(glued)
        if meant is not None:
            raise self.error(f"unknown operator `{glued}`; did you mean `{meant}`?", token)
        return _COMPARISONS[token.word]

    def compared(self, start: Token, name: str, op: str, value: Literal | None) -> Expr:
        if value is not None:
            return self.built(start, Compare, name, op, value)
        if op not in ("==", "!="):
            raise self.error(f"nothing is `{start.text} null`; write `is null` or `is not null`", start)
        return IsNull(name) if op == "==" else self.built(start, Not, IsNull(name))

    def mirrored(self) -> Expr:
        start = self.token
        value = self.value("")
        op_token = self.token
        if op_token.word not in _COMPARISONS:
            raise self.error(
                f"{start.described()} is a value, not a condition; "
                f"expected a comparison such as `field == {start.text[:40]}`",
                start,
            )
        op = self.comparison()
        if self.at_value():
            raise self.error(
                f"expected a field after `{op_token.text}`: one side of a comparison is a field", self.token
            )
        return self.compared(op_token, self.field(), _MIRRORED[op], value)

    def membership(self, name: str) -> Expr:
        start = self.advance()
        closing = {"(": ")", "[": "]"}.get(self.token.text if self.token.kind is TokenKind.SYMBOL else "")
        if closing is None:
            raise self.error(
                f"expected a list after `in`, like `in (1, 2)`, found {self.token.described()}", self.token
            )
        opening = self.advance()
        values: list[Literal] = []
        while self.token.text != closing:
            if values:
                self.separator(opening, closing)
            values.append(self.present_value("in the list"))
            if len(values) > MAX_IN_VALUES:
                raise self.error(f"more than {MAX_IN_VALUES:,} values in one list", start)
        self.advance()
        return self.built(start, In, name, tuple(values))

    def separator(self, opening: Token, closing: str) -> None:
        if self.token.kind is TokenKind.END:
            raise self.error(f"this `{opening.text}` is never closed", opening)
        if self.token.text != ",":
            raise self.error(f"expected `,` or `{closing}`, found {self.token.described()}", self.token)
        self.advance()

    def range(self, name: str) -> Expr:
        start = self.advance()
        low = self.present_value("after `between`")
        if self.token.word not in ("and", "&&"):
            raise self.error(
                f"expected `and` and the upper bound, found {self.token.described()}", self.token
            )
        self.advance()
        high = self.present_value("as the upper bound")
        bounds = self.built(start, Compare, name, ">=", low), self.built(start, Compare, name, "<=", high)
        return self.built(start, And, bounds)

    def present_value(self, where: str) -> Literal:
        token = self.token
        value = self.value(where)
        if value is None:
            raise self.error(f"`null` cannot stand {where}; test for it with `is null`", token)
        return value

    def at_value(self) -> bool:
        if self.token.kind is TokenKind.VALUE or self.token.word in ("true", "false", "null"):
            return True
        return self.token.word in ("timestamp", "date") and self.quote_follows(self.token)

    def quote_follows(self, token: Token) -> bool:
        return _QUOTE_AHEAD.match(self.text, token.stop) is not None

    def value(self, where: str) -> Literal | None:
        token = self.token
        if token.kind is TokenKind.VALUE:
            self.advance()
            return token.value
        if token.word in _WORDS:
            self.advance()
            return _WORDS[token.word]
        if token.word in ("timestamp", "date") and self.quote_follows(token):
            self.advance()
            return parse_time(self.text, self.advance(), token.word)
        message = f"expected a value {where}, found {token.described()}"
        if token.kind is TokenKind.NAME and token.word not in KEYWORDS:
            raise self.error(f"{message}; text goes in quotes: {spell_text(token.text)}", token)
        if token.kind is TokenKind.QUOTED_NAME:
            raise self.error(
                f"{message}; backquotes name fields, text goes in quotes: {spell_text(str(token.value))}",
                token,
            )
        raise self.error(message, token)

    def advance(self) -> Token:
        token = self.token
        self.token = token_at(self.text, token.stop)
        return token

    def built(self, token: Token, node: Callable[..., Expr], *arguments: Any) -> Expr:
        try:
            return node(*arguments)
        except FilterError as error:
            raise self.error(str(error), token) from error

    def error(self, message: str, token: Token) -> FilterSyntaxError:
        return syntax_error(self.text, token.position, message)
