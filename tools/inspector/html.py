"""A report as one page of HTML: pictures of the file without scripts, fonts or anything from elsewhere.

However many columns and pages a file has, the page stays below a megabyte: the largest are shown one by one, the
others together.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from vego_tools.inspector import evidence
from vego_tools.inspector.style import COLOURS, CSS
from vego_tools.inspector.text import by_kind, value_text
from vego_tools.inspector.treemap import Box, squarify
from vego_tools.terminal import byte_size, counted, printable, shorten

Report = dict[str, Any]
_Run = tuple[float, str, str]  # bytes, colour, title
_Block = tuple[float, list[_Run], str, str]  # bytes, what is in it, name, what is said of it

COLUMNS = 300  # of the largest that are listed
_FEW = 80  # columns all of which have a rectangle of their own
_MAPPED = 150  # of more, those of at least this share
_LEAST = 0.004
_GROUP_CELLS = 60  # rectangles of columns that are shown together
_CELLS = 1200  # rectangles of pages
_WHY = 40  # columns with their evidence
_ROWS, _BINS = 6, 200  # of the picture from the first byte to the last
_DAMAGE = 50
_WIDTH, _HEIGHT = 1000.0, 560.0
_NAME = 80


def write(report: Report, path: Path) -> int:
    """Write the page to `path`, whole or not at all; returns its bytes. Raises OSError."""
    text = page(report).encode("utf-8")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(text)


def page(report: Report) -> str:
    """The page. Any report will do; one of a manifest or log becomes a list of facts."""
    name = text_of(Path(report["path"]).name)
    parts = _columnar(report) if report["kind"] == "columns" else _facts_only(report)
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{name}: Vego file report</title>\n<style>{CSS}</style></head>\n"
        f'<body><main><header><h1>{name}</h1><p class="path">{text_of(report["path"], 400)}</p></header>\n'
        f"{body}\n<footer>Written by <code>vego inspect --html</code></footer></main></body></html>\n"
    )


def text_of(value: object, width: int = _NAME) -> str:
    """Anything out of a file, safe for HTML: on one line, cut, and with its entities escaped."""
    return escape(shorten(printable(str(value)), width))


def family(recipe: str | None) -> str:
    """The encoding that gives a recipe its colour: the outermost, "several" where streams differ in it."""
    if not recipe or recipe == "?":
        return "damaged" if recipe else "several"
    depth, names, start = 0, [], 0
    for place, char in enumerate(recipe + ","):
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            names.append(recipe[start:place].strip().partition("(")[0])
            start = place + 1
    known = {name if name in COLOURS else "several" for name in names}
    return known.pop() if len(known) == 1 else "several"


def _columnar(report: Report) -> Iterator[str]:
    yield _facts(report)
    if report["damage"]:
        yield _damage(report["damage"])
    if report["columns"]:
        yield _section(
            "Where the bytes are",
            "Each column is a block, each rectangle in it a page or a run of alike pages. Area is bytes in the file, "
            "colour the outermost encoding. Point at one to see what it is. Many small columns are shown by type.",
            treemap(report) + _legend(report),
        )
    yield _section(
        "From the first byte to the last",
        f"The file in {_ROWS} rows, read like text: where each part lies.",
        strip(report) + f'<p class="ends"><span>byte 0</span><span>byte {report["bytes"]:,}</span></p>',
    )
    if report["columns"]:
        yield _section(
            "Columns", "The bars: bytes in the file, and what is left of the plain values.", _table(report)
        )
        why = _why(report)
        if why:
            yield _section(
                "Why these encodings",
                "What was weighed when the file was written: bytes of a sample and time to decode it.",
                why,
            )
    yield _section("Every byte", "", _sections(report))


def _section(title: str, text: str, body: str) -> str:
    said = f'<p class="soft">{text}</p>' if text else ""
    return f"<section><h2>{title}</h2>{said}{body}</section>"


def _facts(report: Report) -> str:
    raw = [column["raw_bytes"] for column in report["columns"]]
    facts = [
        (byte_size(report["bytes"]), f"{report['bytes']:,} bytes"),
        (f"{report['rows']:,}", "rows"),
        (f"{report['column_count']:,}", "columns"),
        (f"{sum(e['pages'] for e in report['encodings']):,}", "pages"),
        (report["format"], f"fingerprint {report['footer_crc32c']}"),
    ]
    if raw and None not in raw and not report["columns_left_out"] and report["bytes"]:
        facts.insert(
            1, (f"{sum(raw) / report['bytes']:.1f}×", f"smaller than {byte_size(sum(raw))} of plain values")
        )
    if report["verified"] and not report["damage"]:
        facts.append(("verified", "every byte agrees with its checksum"))
    items = "".join(f"<li><b>{text_of(big)}</b><span>{text_of(small)}</span></li>" for big, small in facts)
    pairs = [f"{text_of(k)}: {text_of(v, 200)}" for k, v in list(report["metadata"].items())[:20]]
    keys = f'<p class="soft" style="margin-top:10px">{" · ".join(pairs)}</p>' if pairs else ""
    return f'<ul class="facts">{items}</ul>{keys}'


def _damage(places: Sequence[Report]) -> str:
    items = "".join(
        f"<li>{_byte(place['offset'])}{text_of(place['text'], 300)}</li>" for place in places[:_DAMAGE]
    )
    more = f"<li>and {len(places) - _DAMAGE:,} more</li>" if len(places) > _DAMAGE else ""
    return (
        f'<section class="bad"><h2>Damaged: {counted(len(places), "place")}</h2><ul>{items}{more}</ul>'
        '<p class="soft"><code>vego verify</code> checks every byte, <code>vego salvage</code> saves what is left.</p>'
        "</section>"
    )


def _byte(offset: int) -> str:
    return f"byte {offset:,}: " if offset >= 0 else ""


# -- the treemap -----------------------------------------------------------------------------------------


def treemap(report: Report) -> str:
    """Columns by bytes, and in them their pages, as SVG with labels over it; small columns of a type as one."""
    columns = sorted((c for c in report["columns"] if c["bytes"]), key=lambda c: -c["bytes"])
    whole = sum(c["bytes"] for c in columns) + sum(group["bytes"] for group in report["others"])
    large = [c for c in columns if c["bytes"] >= _LEAST * whole][:_MAPPED]
    few = report["column_count"] <= _FEW
    shown = columns if few else large
    blocks = [_block_of(c, max(1, round(_CELLS * c["bytes"] / whole))) for c in shown]
    blocks += _groups([] if few else columns[len(shown) :], report["others"])
    blocks.sort(key=lambda block: -block[0])
    boxes = squarify([block[0] for block in blocks], Box(0, 0, _WIDTH, _HEIGHT))
    cells, frames, labels = [], [], []
    for (_, runs, name, said), box in zip(blocks, boxes, strict=True):
        cells += _cells(runs, box)
        frames.append(_rect(box, "col"))
        labels.append(_label(box, max(runs)[1], name, said))
    return (
        f'<div class="map"><svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="columns and pages by size">{"".join(cells)}{"".join(frames)}</svg>{"".join(labels)}</div>'
    )


def _block_of(column: Report, most: int) -> _Block:
    said = f"{column['encoding']}, {byte_size(column['bytes'])}"
    return column["bytes"], _runs(column, most), column["name"], said


def _groups(columns: Sequence[Report], others: Sequence[Report]) -> list[_Block]:
    """Columns too small to be seen by themselves, by type; cells of one colour stand for some columns each."""
    count: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for each in (*({**column, "columns": 1} for column in columns), *others):
        key = each["type"], family(each["encoding"])
        count[key] += each["columns"]
        total[key] += each["bytes"]
    found: list[_Block] = []
    for kind in dict.fromkeys(kind for kind, _ in total):
        runs = []
        inside = {colour: size for (name, colour), size in total.items() if name == kind}
        for colour, size in inside.items():
            number = count[kind, colour]
            pieces = min(number, _GROUP_CELLS)
            title = f"{counted(number, 'column')} of {kind}, {colour}: {byte_size(size)}"
            runs += [(size / pieces, colour, title)] * pieces
        number = sum(count[kind, colour] for colour in inside)
        size = sum(inside.values())
        found.append((size, runs, counted(number, "column"), f"{kind}, {byte_size(size)}"))
    return found


def _runs(column: Report, most: int) -> list[_Run]:
    """(bytes, encoding, title) of runs of neighbouring pages, about `most` of them; indexes stand last."""
    pages = column["pages"]
    step = -(-len(pages) // most) or 1
    found: list[_Run] = []
    name = shorten(printable(column["name"]), _NAME)
    start = 0
    while start < len(pages):
        stop = start + 1
        kind = family(pages[start]["encoding"])
        while stop < min(start + step, len(pages)) and family(pages[stop]["encoding"]) == kind:
            stop += 1
        run = pages[start:stop]
        size = sum(page["bytes"] + page["index_bytes"] for page in run)
        numbers = f"page {start}" if stop == start + 1 else f"pages {start} to {stop - 1}"
        rows = f"rows {run[0]['first_row']:,} to {run[-1]['first_row'] + run[-1]['rows'] - 1:,}"
        found.append(
            (max(size, 1), kind, f"{name}, {numbers}: {run[0]['encoding']}, {byte_size(size)}, {rows}")
        )
        start = stop
    for index in column["indexes"]:
        found.append((index["bytes"], "structure", f"{name}: {index['kind']}, {byte_size(index['bytes'])}"))
    rest = int(column["bytes"] - sum(size for size, _, _ in found))
    if rest > 0:
        kind = "damaged" if column["damage"] else "structure"
        found.append((rest, kind, f"{name}: column metadata, {byte_size(rest)}"))
    return found


def _cells(runs: Sequence[_Run], box: Box) -> list[str]:
    ordered = sorted(runs, key=lambda run: -run[0])
    boxes = squarify([size for size, _, _ in ordered], box)
    return [
        _rect(place, f"f-{kind}", title)
        for (_, kind, title), place in zip(ordered, boxes, strict=True)
        if place.width > 0.3 and place.height > 0.3
    ]


def _rect(box: Box, style: str, title: str = "") -> str:
    inside = f"><title>{escape(title)}</title></rect>" if title else "/>"
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    return f'<rect class="{style}" {place}{inside}'


def _label(box: Box, kind: str, name: str, said: str) -> str:
    if box.width < 40 or box.height < 20:
        return ""
    x, y, w, h = (
        100 * v for v in (box.x / _WIDTH, box.y / _HEIGHT, box.width / _WIDTH, box.height / _HEIGHT)
    )
    return (
        f'<i class="i-{kind}" style="left:{x:.2f}%;top:{y:.2f}%;width:{w:.2f}%;height:{h:.2f}%">'
        f"<span>{text_of(name)}<small>{text_of(said, 60)}</small></span></i>"
    )


def _legend(report: Report) -> str:
    total: Counter[str] = Counter()
    for each in report["encodings"]:
        total[family(each["encoding"])] += each["bytes"]
    whole = sum(total.values()) or 1
    items = [
        f'<li><span class="key b-{kind}"></span>{kind.replace("_", " ")} '
        f'<span class="soft">{_percent(size / whole)}</span></li>'
        for kind, size in total.most_common()
    ]
    items.append('<li><span class="key b-structure"></span>indexes and metadata</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "&lt;0.1%"


# -- the strip -------------------------------------------------------------------------------------------


def strip(report: Report) -> str:
    """The file from its first byte to its last, in rows of bins, each in the colour of what lies in its middle."""
    pieces = _pieces(report)
    size = report["bytes"] / (_ROWS * _BINS)
    found: list[tuple[str, str]] = []
    place = 0
    for number in range(_ROWS * _BINS):
        middle = (number + 0.5) * size
        while place < len(pieces) - 1 and pieces[place][1] <= middle:
            place += 1
        start, end, kind, title = pieces[place]
        found.append(
            (kind, title if end - start >= size / 2 else f"small parts, {kind.replace('_', ' ')} here")
        )
    height, rects = 100 / _ROWS, []
    for row in range(_ROWS):
        start = 0
        cells = found[row * _BINS : (row + 1) * _BINS]
        for stop in range(1, _BINS + 1):
            if stop < _BINS and cells[stop] == cells[start]:
                continue
            kind, title = cells[start]
            rects.append(_rect(Box(start, row * height, stop - start, height * 0.88), f"f-{kind}", title))
            start = stop
    return (
        f'<div class="strip"><svg viewBox="0 0 {_BINS} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="what lies where in the file">{"".join(rects)}</svg></div>'
    )


def _pieces(report: Report) -> list[tuple[int, int, str, str]]:
    """(start, end, colour, title), front to back: sections, those of pages cut at every page."""
    pages = iter([*report["page_map"], (report["bytes"] + 1, 0, "")])
    offset, length, recipe = next(pages)
    found: list[tuple[int, int, str, str]] = []
    for section in report["sections"]:
        start, end = section["offset"], section["offset"] + section["bytes"]
        title = f"{shorten(printable(section['what']), _NAME)}: {byte_size(section['bytes'])} from byte {start:,} on"
        if section["kind"] != "pages":
            found.append((start, end, "damaged" if section["kind"] == "lost" else "structure", title))
            continue
        while offset < end:
            if offset >= start and length:
                found.append((offset, min(offset + length, end), family(recipe), title))
            offset, length, recipe = next(pages)
    return found or [(0, report["bytes"], "structure", "")]


# -- tables ----------------------------------------------------------------------------------------------


def _table(report: Report) -> str:
    columns = sorted(report["columns"], key=lambda c: -c["bytes"])
    most = max((column["bytes"] for column in columns), default=1) or 1
    rows = "".join(_row(column, most) for column in columns)
    left = report["columns_left_out"]
    if left:
        size = sum(group["bytes"] for group in report["others"])
        rows += f'<tr><td class="wide" colspan="6">and {left:,} smaller columns, {byte_size(size)} together</td></tr>'
    heads = "".join(
        f"<th>{name}</th>" for name in ("column", "encoding", "stored", "of plain values", "nulls", "range")
    )
    return f'<table class="cards list"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _row(column: Report, most: int) -> str:
    kind = _colour(column)
    pages = counted(len(column["pages"]), "page")
    said = "damaged: " + column["damage"] if column["damage"] else column["encoding"]
    stored = f"{byte_size(column['bytes'])}{_bar(column['bytes'] / most, kind)}"
    ratio = ""
    if column["ratio"]:
        ratio = f"{_times(column['ratio'])} {_bar(1 / column['ratio'], kind)}"
        ratio += f'<span class="soft">plain {byte_size(column["raw_bytes"])}</span>'
    nulls = f"{column['nulls']:,}" if column["nullable"] else "none allowed"
    low, high = (value_text(column[side], exact=column[f"{side}_exact"]) for side in ("minimum", "maximum"))
    bounds = f"{text_of(low, 40)} to {text_of(high, 40)}" if column["minimum"] is not None else ""
    return (
        f'<tr><td class="wide"><span class="name">{text_of(column["name"])}</span><br>'
        f'<span class="soft">{text_of(column["type"])}, {pages}</span></td>'
        f'<td class="wide"><span class="enc"><span class="key b-{kind}"></span>'
        f"<code>{text_of(said, 90)}</code></span></td>"
        f'<td class="one" data-k="stored">{stored}</td><td class="one">{ratio or "–"}</td>'
        f'<td class="one" data-k="nulls">{nulls}</td><td class="soft">{bounds}</td></tr>'
    )


def _colour(column: Report) -> str:
    """That of most of its bytes."""
    sizes: Counter[str] = Counter()
    for each in column["pages"]:
        sizes[family(each["encoding"])] += each["bytes"] + 1
    return sizes.most_common(1)[0][0] if sizes else "damaged" if column["damage"] else "structure"


def _times(ratio: float) -> str:
    """How much smaller or larger than the plain values."""
    if 0.95 < ratio < 1.05:
        return "as large"
    return f"{ratio:.1f}× smaller" if ratio > 1 else f"{1 / ratio:.1f}× larger"


def _bar(share: float, kind: str) -> str:
    return f'<div class="bar"><b class="b-{kind}" style="width:{100 * min(max(share, 0), 1):.1f}%"></b></div>'


def _why(report: Report) -> str:
    columns = sorted((c for c in report["columns"] if c["why"]), key=lambda c: -c["bytes"])
    found = []
    chosen = next((c for c in columns if any("sampled" in line for line in c["why"])), None)
    for column in columns[:_WHY]:
        opened = " open" if column is chosen else ""
        body = "".join(_evidence(line) for line in column["why"][: evidence.RUNS])
        more = len(column["why"]) - evidence.RUNS
        body += f'<p class="soft">and from {more:,} other pages on</p>' if more > 0 else ""
        found.append(
            f'<details{opened}><summary><b>{text_of(column["name"])}</b><span class="soft">'
            f"{text_of(column['encoding'], 60)}</span></summary>{body}</details>"
        )
    if len(columns) > _WHY:
        found.append(f'<p class="soft">and {len(columns) - _WHY:,} smaller columns</p>')
    return "".join(found)


def _evidence(line: str) -> str:
    parsed = evidence.parse(line)
    if parsed is None:
        return f"<p>{text_of(line, 400)}</p>"
    first, streams = parsed
    found = []
    for weighed in streams:
        title = f"from page {first} on" + (f", {weighed.stream}" if weighed.stream else "")
        remarks = "".join(f"; {remark}" for remark in weighed.remarks)
        found.append(f'<p class="soft">{text_of(title)}: {text_of(weighed.chosen + remarks, 120)}</p>')
        if weighed.candidates:
            found.append(_candidates(weighed))
    return "".join(found)


def _candidates(weighed: evidence.Weighed) -> str:
    raw = max([weighed.sampled, *(size for _, size, _ in weighed.candidates)])
    slowest = max(time for _, _, time in weighed.candidates) or 1
    rows = []
    for recipe, size, time in sorted(weighed.candidates, key=lambda c: c[1]):
        kind = family(recipe)
        chosen = ' class="chosen"' if recipe == weighed.chosen else ""
        rows.append(
            f'<tr{chosen}><td class="wide"><span class="enc"><span class="key b-{kind}"></span>'
            f"<code>{text_of(recipe, 90)}</code></span></td>"
            f'<td data-k="bytes">{size:,}{_bar(size / raw, kind)}</td>'
            f'<td data-k="decoding">{time:,} µs{_bar(time / slowest, "structure")}</td></tr>'
        )
    heads = f"<th>candidate</th><th>bytes of {weighed.sampled:,}</th><th>decoding</th>"
    return f'<table class="cards"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _sections(report: Report) -> str:
    sections = report["sections"]
    if len(sections) > 40:
        sections = by_kind(sections)
    rows = "".join(
        f'<tr><td class="num">{s["offset"]:,}</td><td class="num">{s["bytes"]:,}</td>'
        f'<td class="num">{s["share"]:.2%}</td><td>{text_of(s["what"])}</td></tr>'
        for s in sections
    )
    heads = '<th class="num">offset</th><th class="num">bytes</th><th class="num">share</th><th>what</th>'
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _facts_only(report: Report) -> Iterable[str]:
    items = [(k, v) for k, v in report.items() if k not in ("path", "kind")]
    rows = "".join(f"<tr><td>{text_of(k)}</td><td>{text_of(v, 600)}</td></tr>" for k, v in items)
    return [_section(text_of(report["kind"]), "", f"<table><tbody>{rows}</tbody></table>")]
