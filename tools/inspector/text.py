"""Reports of `inspect` as lines for people, 100 columns wide at most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from vego_tools.inspector import evidence
from vego_tools.terminal import byte_size, counted, printable, shorten, table, wrapped

Report = dict[str, Any]

SECTIONS = 40  # of a file, above which neighbours are summed up by kind
PAGES = 6  # of a column in the tree
DAMAGE = 20
GROUPS = 12
_BAR = 10


def lines(report: Report, views: Sequence[str] = (), *, everything: bool = False) -> Iterator[str]:
    """The overview, or the views asked for: tree, pages, why, stats, map."""
    if report["kind"] != "columns":
        yield from _facts(report)
        return
    yield from heading(report)
    if not views:
        yield ""
        yield from _columns(report)
        yield ""
        yield from _map(report, everything=False)
        return
    for view in views:
        yield ""
        yield from VIEWS[view](report, everything=everything)


def heading(report: Report) -> Iterator[str]:
    """What the file is, and what is wrong with it."""
    yield printable(report["path"])
    yield (
        f"  {report['format']}, {report['bytes']:,} bytes, {counted(report['rows'], 'row')}, "
        f"{counted(report['column_count'], 'column')}, footer CRC32C {report['footer_crc32c']}"
    )
    if report["verified"] and not report["damage"]:
        yield "  every byte was read and agrees with its checksum"
    for key, value in report["metadata"].items():
        yield shorten(f"  {printable(key)}: {printable(value)}", 100)
    yield from damaged(report["damage"])


def damaged(places: Sequence[Report]) -> Iterator[str]:
    """What is damaged, and what to do."""
    if not places:
        return
    yield ""
    yield f"  DAMAGED: {counted(len(places), 'place')}"
    for place in places[:DAMAGE]:
        where = f"byte {place['offset']:,}: " if place["offset"] >= 0 else ""
        yield from wrapped(where + printable(place["text"]), first="    ", then="      ")
    if len(places) > DAMAGE:
        yield f"    and {len(places) - DAMAGE:,} more; --json lists all"
    yield "    `vego verify` checks every byte, `vego salvage` saves what can still be read"


def _columns(report: Report) -> Iterator[str]:
    columns = report["columns"]
    most = max((column["bytes"] for column in columns), default=0)
    rows = [
        [
            column["name"],
            column["type"] + ("" if column["nullable"] else " not null"),
            "DAMAGED" if column["damage"] else column["encoding"],
            f"{len(column['pages']):,}",
            byte_size(column["bytes"]),
            "-" if column["raw_bytes"] is None else byte_size(column["raw_bytes"]),
            "-" if column["ratio"] is None else f"{column['ratio']:.1f}x",
            f"{column['share']:.1%}",
            bar(column["bytes"], most),
        ]
        for column in columns
    ]
    header = ["column", "type", "encoding", "pages", "bytes", "raw", "ratio", "share", ""]
    yield from table(header, rows, right="pages bytes raw ratio share")
    left_out = report["columns_left_out"]
    if left_out:
        yield f"  and {counted(left_out, 'smaller column')}; --all shows them, --column NAME one"
        yield ""
        yield from _others(report["others"])
    if any(column["raw_bytes"] is None and not column["damage"] for column in columns):
        yield "  raw is the size of the plain values; --verify adds that of text and lists"


def _others(groups: Sequence[Report]) -> Iterator[str]:
    """Columns that were left out, by type and encoding."""
    rows = [
        [f"{group['columns']:,}", group["type"], group["encoding"], byte_size(group["bytes"])]
        for group in groups[:GROUPS]
    ]
    yield from table(["columns", "type", "encoding", "bytes"], rows, right="columns bytes")
    if len(groups) > GROUPS:
        yield f"  and {len(groups) - GROUPS:,} other types and encodings"


def bar(value: float, most: float, width: int = _BAR) -> str:
    """A bar of eighths of a character; the largest value fills `width`."""
    if most <= 0 or value <= 0:
        return ""
    eighths = max(1, round(8 * width * value / most))
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def _stats(report: Report, *, everything: bool) -> Iterator[str]:  # noqa: ARG001
    rows = [
        [
            column["name"],
            column["type"],
            f"{column['nulls']:,}" if column["nullable"] else "not null",
            f"{column['nulls'] / report['rows']:.1%}" if report["rows"] and column["nulls"] else "",
            f"{column['nans']:,}" if column["nans"] else "",
            value_text(column["minimum"], exact=column["minimum_exact"]),
            value_text(column["maximum"], exact=column["maximum_exact"]),
            "DAMAGED" if column["damage"] else order(column["pages"]),
        ]
        for column in report["columns"]
    ]
    header = ["column", "type", "nulls", "", "NaNs", "min", "max", "pages"]
    yield from table(header, rows, right="nulls NaNs")
    sides = [(c[side], c[f"{side}_exact"]) for c in report["columns"] for side in ("minimum", "maximum")]
    if any(value is not None and not exact for value, exact in sides):
        yield "  ~ marks a bound that the values stay within"
    if any(len(column["pages"]) > 1 for column in report["columns"]):
        yield "  pages: whether their values overlap; the less they do, the more a filter can skip"


def order(pages: Sequence[Report]) -> str:
    """How the bounds of a column's pages lie to each other: "ascending", "apart" or the share that overlaps."""
    known = [(page["minimum"], page["maximum"]) for page in pages if page["minimum"] is not None]
    if len(pages) < 2 or len(known) < len(pages):
        return ""
    if any(type(low) is not type(known[0][0]) for low, _ in known):
        return ""
    steps = list(pairwise(known))
    if all(a[1] <= b[0] for a, b in steps):
        return "ascending"
    if all(a[0] >= b[1] for a, b in steps):
        return "descending"
    ordered = sorted(known)
    overlapping = sum(a[1] > b[0] for a, b in pairwise(ordered))
    return f"{overlapping / (len(ordered) - 1):.0%} overlap" if overlapping else "apart"


def _tree(report: Report, *, everything: bool) -> Iterator[str]:
    columns = report["columns"]
    most = max((column["bytes"] for column in columns), default=0)
    other = Counter[str]()
    for section in report["sections"]:
        if section["kind"] not in (
            "pages",
            "page indexes",
            "row index",
            "Bloom filters",
            "auxiliary regions",
        ):
            other[section["kind"]] += section["bytes"]
    rest = [f"{name:<22} {byte_size(size):>9}" for name, size in other.items()]
    for place, column in enumerate(columns):
        last = place == len(columns) - 1 and not rest
        text = f"{shorten(printable(column['name']), 22):<22} {byte_size(column['bytes']):>9}  "
        kind = shorten(printable(column["type"]), 24)
        encoding = "DAMAGED" if column["damage"] else column["encoding"]
        yield shorten(f"  {'└─' if last else '├─'} {text}{kind}, {printable(encoding)}", 84) + (
            f"  {bar(column['bytes'], most)}"
        )
        yield from _tree_pages(column, "     " if last else "  │  ", everything=everything)
    if report["columns_left_out"]:
        yield f"  ├─ … {counted(report['columns_left_out'], 'smaller column')}"
    for place, text in enumerate(rest):
        yield f"  {'└─' if place == len(rest) - 1 else '├─'} {text}"


def _tree_pages(column: Report, indent: str, *, everything: bool) -> Iterator[str]:
    pages = column["pages"]
    shown = len(pages) if everything or len(pages) <= PAGES + 1 else PAGES
    leaves = [
        f"page {number:<5} rows {page['first_row']:,} to {page['first_row'] + page['rows'] - 1:,}"
        f"  {byte_size(page['bytes'])}  {printable(page['encoding'] or '')}"
        for number, page in enumerate(pages[:shown])
    ]
    if shown < len(pages):
        leaves.append(f"… {len(pages) - shown:,} more pages")
    leaves += [f"{index['kind']}  {byte_size(index['bytes'])}" for index in column["indexes"]]
    for place, text in enumerate(leaves):
        yield shorten(f"{indent}{'└─' if place == len(leaves) - 1 else '├─'} {text}", 100)


def _pages(report: Report, *, everything: bool) -> Iterator[str]:  # noqa: ARG001
    for number, column in enumerate(report["columns"]):
        if number:
            yield ""
        yield (
            f"pages of {printable(column['name'])}, from page {column['first_page']:,} of the file on: "
            f"up to {column['page_rows']:,} rows each, in blocks of {column['block_rows']:,}"
        )
        rows = [
            [
                f"{place}",
                f"{page['offset']:,}",
                f"{page['bytes']:,}",
                f"{page['first_row']:,}",
                f"{page['rows']:,}",
                f"{page['nulls']:,}",
                f"{page['blocks']}",
                page["encoding"] or "",
                page["index_crc32c"],
                value_text(page["minimum"], exact=page["minimum_exact"]),
                value_text(page["maximum"], exact=page["maximum_exact"]),
            ]
            for place, page in enumerate(column["pages"])
        ]
        header = [
            "page",
            "offset",
            "bytes",
            "first",
            "rows",
            "nulls",
            "blocks",
            "encoding",
            "crc32c",
            "min",
            "max",
        ]
        yield from table(header, rows, right="page offset bytes first rows nulls blocks")


def _why(report: Report, *, everything: bool) -> Iterator[str]:
    for number, column in enumerate(report["columns"]):
        if number:
            yield ""
        yield f"{printable(column['name'])}: {printable(column['type'])}"
        if column["damage"]:
            yield "  what was weighed is lost: " + printable(column["damage"])
        elif not column["why"]:
            yield "  its writer left no reasons"
        else:
            yield from evidence.lines(column["why"], everything=everything)


def _map(report: Report, *, everything: bool) -> Iterator[str]:
    sections = report["sections"]
    unknown = ("not used by anything", "damage hides what this is")
    known = sum(section["bytes"] for section in sections if section["what"] not in unknown)
    yield f"sections: {known / report['bytes']:.0%} of the {report['bytes']:,} bytes"
    if len(sections) > SECTIONS and not everything:
        sections = by_kind(sections)
    rows = [
        [f"{section['offset']:,}", f"{section['bytes']:,}", f"{section['share']:.1%}", section["what"]]
        for section in sections
    ]
    yield from table(["offset", "bytes", "share", "what"], rows, right="offset bytes share")


def by_kind(sections: Sequence[Report]) -> list[Report]:
    """Sections of one kind as one, at the place of the first."""
    found: dict[str, Report] = {}
    for section in sections:
        known = found.setdefault(section["kind"], section | {"bytes": 0, "share": 0.0, "count": 0})
        for name in ("bytes", "share"):
            known[name] += section[name]
        known["count"] += 1
        if known["count"] > 1:
            known["what"] = f"{section['kind']} ({known['count']:,} stretches)"
    return list(found.values())


def value_text(value: object, *, exact: bool = True) -> str:
    """A bound for people: "-" where it is not known, "~" behind one that is not exact."""
    if value is None:
        return "-"
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    else:
        text = str(value) or '""'
    return f"{printable(text)}{'' if exact else ' ~'}"


def _facts(report: Report) -> Iterator[str]:
    yield printable(report["path"])
    yield f"  {report['kind']}, {report['bytes']:,} bytes"
    for key, value in report.items():
        if key in ("path", "kind", "bytes"):
            continue
        if isinstance(value, list | tuple):
            yield f"  {key}: {counted(len(value), 'entry') if len(value) == 1 else f'{len(value):,} entries'}"
            for entry in value:
                yield from ("    " + line for line in _wrapped(entry))
        elif isinstance(value, dict):
            yield f"  {key}: {', '.join(f'{name}={printable(str(item))}' for name, item in value.items())}"
        else:
            yield f"  {key}: {'none' if value is None or value == '' else printable(str(value))}"


def _wrapped(entry: Report) -> list[str]:
    facts = [
        f"{name}={printable(str(value))}" for name, value in entry.items() if not isinstance(value, dict)
    ]
    inner = [f"{name}: {item}" for name, item in entry.items() if isinstance(item, dict)]
    return [", ".join(facts), *inner]


VIEWS = {"tree": _tree, "pages": _pages, "why": _why, "stats": _stats, "map": _map}
