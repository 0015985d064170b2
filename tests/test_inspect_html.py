"""`vego inspect --html`: one page that needs nothing else, of bounded size, with nothing out of a file unescaped."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
from lance_fmt import Column
from vego.cli import main
from vego_tools.inspector import html
from vego_tools.inspector.style import COLOURS, CSS
from vego_tools.inspector.treemap import Box, squarify

VOID = {"meta", "br", "rect", "img", "link"}


class Checker(HTMLParser):
    """Notes tags and attributes, and that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def written(path: Path, *options: str, capsys, status: int = 0) -> str:
    out = path.with_suffix(".html")
    assert main(["inspect", str(path), "--html", str(out), "--overwrite", *options]) == status
    capsys.readouterr()
    return out.read_text(encoding="utf-8")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    path = tmp_path / "sample.lfmt"
    rng = np.random.default_rng(1)
    columns = {
        "n": np.arange(300_000),
        "x": np.round(rng.standard_normal(300_000), 2),
        "v": rng.standard_normal((300_000, 8)).astype(np.float32),
        "t": Column.from_pylist(["red", "green"] * 150_000, lance_fmt.string()),
    }
    lance_fmt.write(path, columns, row_index=["n"])
    return path


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(sample, capsys):
    text = written(sample, capsys=capsys)
    tags = checked(text).seen
    assert not {tag for tag, _ in tags} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
    }
    attributes = {name for _, attrs in tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on") or name in ("src", "href")}
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text


def test_the_picture_shows_each_column_by_its_bytes(sample, capsys):
    text = written(sample, capsys=capsys)
    svg = re.search(r"<svg.*?</svg>", text, re.DOTALL)[0]
    areas: dict[str, float] = {}
    for width, height, title in re.findall(r'width="([\d.]+)" height="([\d.]+)"><title>(.*?)[,:] ', svg):
        areas[title] = areas.get(title, 0) + float(width) * float(height)
    with lance_fmt.examine(sample) as survey:
        sizes = dict(zip(survey.names, survey.column_bytes().tolist(), strict=True))
    for name in ("n", "x", "v"):
        assert areas[name] / sum(areas.values()) == pytest.approx(sizes[name] / sum(sizes.values()), rel=0.02)
    for name in ("n", "x", "v", "t"):
        assert f'<span class="name">{name}</span>' in text


def test_nothing_of_a_file_gets_in_unescaped(tmp_path, capsys):
    nasty = "<script>alert(1)</script>\x1b[31m\"'&"
    path = tmp_path / "<b>nasty.lfmt"
    lance_fmt.write(path, {nasty: [f"{nasty}a", f"{nasty}b"] * 500}, metadata={nasty: nasty})
    text = written(path, capsys=capsys)
    tags = {tag for tag, _ in checked(text).seen}
    assert not tags & {"script", "b<"}
    assert "<b>nasty" not in text
    assert "\x1b" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize("columns", [0, 1, 10_000])
def test_however_many_columns_it_stays_small(columns, tmp_path, capsys):
    path = tmp_path / "wide.lfmt"
    values = [np.arange(4), np.array([0.5, 1.25, 2.0, 9.0]), np.array([True, False, True, True])]
    names = [f"a rather long name of column {i:05}" for i in range(columns)]
    wide = {name: values[i % 3] for i, name in enumerate(names)}
    lance_fmt.write(path, wide, encodings=dict.fromkeys(names, "plain"))  # which nobody has to weigh
    text = written(path, capsys=capsys)
    assert len(text.encode()) < 1_000_000
    checked(text)
    assert f"<b>{columns:,}</b><span>columns</span>" in text
    if columns == 10_000:
        assert "and 9,700 smaller columns" in text
        assert "3,333 columns" in text


def test_many_pages_stay_small(tmp_path, capsys, monkeypatch):
    path = tmp_path / "long.lfmt"
    with lance_fmt.Writer(
        path, lance_fmt.Schema([lance_fmt.Field("s", lance_fmt.string(), False)])
    ) as writer:
        for _ in range(20):
            writer.write({"s": ["x" * 3000 + str(i) for i in range(2000)]})
    text = written(path, capsys=capsys)
    with lance_fmt.examine(path) as survey:
        assert len(survey.handles) > 50
    monkeypatch.setattr(html, "_CELLS", 10)
    fewer = written(path, capsys=capsys)
    assert fewer.count("<rect") < text.count("<rect")
    assert "pages 0 to " in fewer


def test_damage_is_at_the_top(sample, capsys):
    data = bytearray(sample.read_bytes())
    with lance_fmt.open(sample) as file:
        data[file.column("x").metadata_offset] ^= 1
    sample.write_bytes(data)
    text = written(sample, capsys=capsys, status=1)
    assert text.index("Damaged: 1 place") < text.index("Where the bytes are")
    assert "its metadata does not match its checksum" in text
    checked(text)


def test_an_existing_file_is_kept_unless_told_otherwise(sample, tmp_path, capsys):
    out = tmp_path / "report.html"
    out.write_text("mine")
    assert main(["inspect", str(sample), "--html", str(out)]) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main(["inspect", str(sample), "--html", str(sample), "--overwrite"]) == 2
    assert "is FILE itself" in capsys.readouterr().err
    assert lance_fmt.open(sample.read_bytes()).num_rows == 300_000
    assert main(["inspect", str(sample), "--html", str(tmp_path / "no" / "x.html")]) == 2
    (tmp_path / "folder").mkdir()
    assert main(["inspect", str(sample), "--html", str(tmp_path / "folder"), "--overwrite"]) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"sample.lfmt", "report.html", "folder"}
    assert main(["inspect", str(sample), "--html", str(out), "--overwrite"]) == 0
    assert out.read_text().startswith("<!doctype html>")


def test_colours_follow_the_reader_and_every_encoding_has_one():
    assert "prefers-color-scheme:dark" in CSS
    known = set(lance_fmt.encodings_for(lance_fmt.int64())) | set(lance_fmt.encodings_for(lance_fmt.string()))
    known |= set(lance_fmt.encodings_for(lance_fmt.float64())) | {"constant"}
    assert known <= set(COLOURS)
    for fill, ink in COLOURS.values():
        assert contrast(fill, ink) >= 3


def contrast(one: str, other: str) -> float:
    """Of two colours, as the WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_families():
    assert html.family("delta(plain)") == "delta"
    assert html.family("dictionary(zstd), dictionary(plain, plain)") == "dictionary"
    assert html.family("plain, zstd(plain)") == "several"
    assert html.family("invented(plain)") == "several"
    assert html.family("?") == "damaged"


@pytest.mark.parametrize("sizes", [[1], [5, 3, 2], [100] + [1] * 50, list(range(200, 0, -1)), [1e9, 1]])
def test_treemaps_tile_their_box(sizes):
    box = Box(10, 20, 300, 200)
    found = squarify(sizes, box)
    for size, place in zip(sizes, found, strict=True):
        assert place.width * place.height == pytest.approx(size / sum(sizes) * 60_000, rel=1e-6)
        assert place.x >= 10 - 1e-6
        assert place.y >= 20 - 1e-6
        assert place.x + place.width <= 310 + 1e-6
        assert place.y + place.height <= 220 + 1e-6
    for i, a in enumerate(found):
        for b in found[i + 1 :]:
            apart = (
                a.x + a.width <= b.x + 1e-6
                or b.x + b.width <= a.x + 1e-6
                or a.y + a.height <= b.y + 1e-6
                or b.y + b.height <= a.y + 1e-6
            )
            assert apart


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_in_a_browser(width, sample, tmp_path, capsys):
    """The page is no wider than the window, and labels are inside of it."""
    text = written(sample, capsys=capsys)
    probe = (
        "<script>document.title='w'+document.documentElement.scrollWidth;"
        "document.body.setAttribute('data-w',document.documentElement.scrollWidth)</script></body>"
    )
    page = tmp_path / "probe.html"
    page.write_text(text.replace("</body>", probe), encoding="utf-8")
    frame = tmp_path / "frame.html"  # headless windows are never narrower than 500 pixels; a frame is
    frame.write_text(
        f'<iframe src="probe.html" style="width:{width}px;height:900px;border:0" onload="document.body.dataset.w='
        'this.contentDocument.body.dataset.w"></iframe>'
    )
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--window-size=1400,1000",
    ]
    command = ["chromium", *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'data-w="(\d+)"', done.stdout)
    assert found is not None, done.stderr[-500:]
    assert int(found[1]) <= width
