"""Sizes, durations, tables and styles as a terminal shows them."""

from __future__ import annotations

import sys

import pytest

from vego_tools import terminal


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (4_679_497, "4.68 MB"), (99_960, "100 kB"),
     (2.5e9, "2.5 GB"), (999_600, "1 MB"), (3e12, "3 TB")],
)  # fmt: skip
def test_byte_size(count, text):
    assert terminal.byte_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2e-6, "2 µs"),
        (85.3e-6, "85.3 µs"),
        (0.00124, "1.24 ms"),
        (0.9996, "1 s"),
        (12.6, "12.6 s"),
        (4000, "4,000 s"),
    ],
)
def test_duration(seconds, text):
    assert terminal.duration(seconds) == text


def test_tables_are_aligned_and_no_wider_than_the_terminal():
    rows = [["ab", "x" * 300, "1"], ["日本", "short", "1,000"]]
    lines = terminal.table(["name", "text", "n"], rows, right="n")
    assert max(map(terminal.display_width, lines)) <= terminal.WIDTH
    ends = {terminal.display_width(line) for line in lines}
    assert len(ends) == 1
    assert lines[1].rstrip().endswith("    1")
    assert "…" in lines[1]


def test_style_respects_no_color_and_pipes(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.Style.of_stdout().bold("a") != "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.Style.of_stdout().bold("a") == "a"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert terminal.Style.of_stdout().dim("a") == "a"
