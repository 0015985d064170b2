"""Results as text: tables that fit and are safe to show; JSON and CSV that lose nothing."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from lance_fmt.display import float_text, printable, shortened, value_text
from vego_tools.shell.render import MODES, render
from vego_tools.shell.result import Result
from vego_tools.terminal import display_width

EVIL = "a\x1b[31mred\x07\n\u202egnp.exe\x9b2J"
ROWS = [
    (1, "plain", 1.5, None, True),
    (-20_000, EVIL, math.nan, b"\x00\xff", False),
    (3, "日本語 text", 0.1, [1, 2, 3, 4, 5, 6], None),
]
NAMES = ["number", "te\x1bxt", "float", "other", "flag"]


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(mode: str, rows=ROWS, names=NAMES, out=None, **options) -> str:
    out = io.StringIO() if out is None else out
    assert render(Result(names, iter(rows)), out, mode=mode, **options) == min(
        len(rows), options.get("max_rows") or len(rows)
    )
    return out.getvalue()


def test_a_table_is_aligned_with_numbers_to_the_right():
    text = shown("table", [(1, "a", None), (-20, "日本", 2.5)], ["n", "text", "x"])
    assert text == (
        "  n  text     x\n"
        "───  ────  ────\n"
        "  1  a     null\n"
        "-20  日本   2.5\n"
        "(2 rows)\n"
    )  # fmt: skip


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_a_table_fits_the_terminal(width):
    rows = [(row, "word " * 50, "x" * row, row / 3) for row in range(30)]
    lines = shown("table", rows, ["n", "long", "longer", "f"], width=width).splitlines()
    assert max(map(display_width, lines[:-1])) <= width
    assert all(f"{row}" in lines[row + 2] for row in range(30))
    wide = shown("table", [(1,) * 60], [f"column {n}" for n in range(60)], width=width)
    assert "columns do not fit (.mode line shows them)" in wide
    assert max(map(display_width, wide.splitlines()[:-1])) <= width


def test_a_table_is_bounded_and_says_so():
    endless = ((number,) for number in iter(int, 1))  # 0, 0, ... for ever
    out = io.StringIO()
    assert render(Result(["n"], endless), out, max_rows=3) == 3
    assert out.getvalue().endswith("0\n(first 3 rows; .rows all shows the rest)\n")
    assert "(3 rows)" in shown("table", [(1,)] * 3, ["n"], max_rows=3)
    assert shown("table", [], ["n"]).endswith("(0 rows)\n")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("colour", [False, True])
def test_no_value_controls_the_terminal(mode, colour, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "" if colour else "1")
    text = shown(mode, out=Screen())
    for ours in ("\x1b[1m", "\x1b[2m", "\x1b[0m"):
        text = text.replace(ours, "")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "red" in text


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1m" in shown("table", out=Screen())
    assert "\x1b" not in shown("table")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown("table", out=Screen())


def test_json_is_json_of_the_values():
    found = json.loads(shown("json"), parse_constant=pytest.fail)
    assert found == [
        {"number": 1, "te\x1bxt": "plain", "float": 1.5, "other": None, "flag": True},
        {"number": -20_000, "te\x1bxt": EVIL, "float": None, "other": "00ff", "flag": False},
        {"number": 3, "te\x1bxt": "日本語 text", "float": 0.1, "other": [1, 2, 3, 4, 5, 6], "flag": None},
    ]
    assert [json.loads(line) for line in shown("jsonl").splitlines()] == found
    assert json.loads(shown("json", [])) == []
    assert shown("jsonl", []) == ""
    assert list(json.loads(shown("json", [(1, 2, 3)], ["a", "a", "a"]))[0]) == ["a", "a_2", "a_3"]


def test_json_of_what_json_lacks():
    values = {
        "when": datetime(2024, 1, 2, 3, tzinfo=UTC),
        "day": date(2024, 1, 2),
        "for": timedelta(seconds=90),
        "price": Decimal("1.10"),
        "vector": np.array([0.5, math.inf], np.float32),
        "half": np.float16(0.5),
        "nested": {"a": [b"\x01", math.nan]},
        "big": 2**70,
    }
    (found,) = json.loads(shown("json", [tuple(values.values())], list(values)), parse_constant=pytest.fail)
    assert found == {
        "when": "2024-01-02T03:00:00+00:00", "day": "2024-01-02", "for": 90.0, "price": "1.10", "vector": [0.5, None],
        "half": 0.5, "nested": {"a": ["01", None]}, "big": 2**70,
    }  # fmt: skip


def test_csv_comes_back():
    text = shown("csv")
    header, *rows = list(csv.reader(io.StringIO(text, newline="")))
    assert header == NAMES
    assert rows == [
        ["1", "plain", "1.5", "", "true"],
        ["-20000", EVIL, "nan", "00ff", "false"],
        ["3", "日本語 text", "0.1", "[1, 2, 3, 4, 5, 6]", ""],
    ]


def test_lines_show_every_column():
    text = shown("line", width=40)
    assert text.count("── row") == 3
    assert "te\\x1bxt" in text
    assert all(
        f"column {n}" in shown("line", [(1,) * 60], [f"column {n}" for n in range(60)]) for n in range(60)
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (np.bool_(False), "false"), (0.1, "0.1"), (0.1 + 0.2, "0.3"),
        (float(np.float32(0.1)), "0.1"), (173665.47000000003, "173665.47"), (1e300, "1e+300"), (math.inf, "inf"),
        (123456789.125, "123456789.125"), (-0.0, "-0.0"), (2.0, "2.0"), (b"\x00\xff", "x'00ff'"), ([1, 2], "[1, 2]"),
        ({"a": None}, "{a: null}"), (Decimal("1.10"), "1.10"), (date(2024, 1, 2), "2024-01-02"), ([], "[]"),
        (np.arange(6, dtype=np.float32), "[0, 1, 2, 3, … 6 items]"), (12, "12"), ("a\nb", "a\\nb"),
    ],
)  # fmt: skip
def test_values_as_text(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, b"x" * 10**6, list(range(10**5)), ["y" * 10**5] * 9, {f"key {n}" * 50: "v" * 999 for n in range(99)},
     np.zeros(10**6), EVIL * 1000, 10**300],
)  # fmt: skip
def test_texts_of_values_are_bounded(value):
    for width in (10, 60):
        text = value_text(value, width)
        assert len(text) <= width
        assert text.isprintable()
        assert "…" in text


def test_floats_keep_their_first_digits():
    for value in np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100):
        assert float(float_text(value)) == pytest.approx(value, rel=1e-11)
        single = np.float32(value) if 1e-30 < abs(value) < 1e30 else np.float32(1)
        assert np.float32(float_text(float(single))) == single


def test_printable_and_shortened():
    assert printable(EVIL).isprintable()
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
