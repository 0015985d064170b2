"""The report of `inspector` as lines for people, 100 columns wide at most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vego_tools.terminal import byte_size, counted, printable, shorten, table, wrapped

Report = dict[str, Any]


def lines(report: Report, *, pages: bool) -> Iterator[str]:
    """The lines; `pages` adds a table of every page."""
    if report["kind"] != "columns":
        yield from _facts(report)
        return
    columns = report["columns"]
    yield printable(report["path"])
    yield (
        f"  {report['format']}, {report['bytes']:,} bytes, {counted(report['rows'], 'row')}, "
        f"{counted(len(columns), 'column')}, footer CRC32C {report['footer_crc32c']}"
    )
    if report["verified"]:
        yield "  every byte was read and agrees with its checksum"
    for key, value in report["metadata"].items():
        yield shorten(f"  {printable(key)}: {printable(value)}", 100)
    yield ""
    yield from _columns(columns)
    if pages:
        for column in columns:
            yield ""
            yield from _pages(column)
    yield ""
    yield from _sections(report)


def _columns(columns: list[Report]) -> Iterator[str]:
    rows = [
        [
            column["name"],
            column["type"],
            column["encoding"],
            f"{len(column['pages'])}",
            f"{column['blocks']:,}",
            byte_size(column["bytes"]),
            "-" if column["raw_bytes"] is None else byte_size(column["raw_bytes"]),
            "-" if column["ratio"] is None else f"{column['ratio']:.1f}x",
            f"{column['share']:.1%}",
        ]
        for column in columns
    ]
    header = ["column", "type", "encoding", "pages", "blocks", "bytes", "raw", "ratio", "share"]
    yield from table(header, rows, right="pages blocks bytes raw ratio share", keep="encoding")
    values = [
        [
            column["name"],
            f"{column['nulls']:,}" if column["nullable"] else "not null",
            _value(column["minimum"], exact=column["minimum_exact"]),
            _value(column["maximum"], exact=column["maximum_exact"]),
        ]
        for column in columns
        if column["nullable"] or column["minimum"] is not None
    ]
    if any(column["raw_bytes"] is None for column in columns):
        yield "  raw is the size of the plain values; --verify adds that of text and lists"
    if values:
        yield ""
        yield from table(["column", "nulls", "min", "max"], values, right="nulls")
    sides = [(column[side], column[f"{side}_exact"]) for column in columns for side in ("minimum", "maximum")]
    if any(value is not None and not exact for value, exact in sides):
        yield "  ~ marks a bound that the values stay within"


def _pages(column: Report) -> Iterator[str]:
    yield (
        f"pages of {printable(column['name'])}: up to {column['page_rows']:,} rows each, "
        f"in blocks of {column['block_rows']:,}"
    )
    rows = [
        [
            f"{number}",
            f"{page['offset']:,}",
            f"{page['bytes']:,}",
            f"{page['first_row']:,}",
            f"{page['rows']:,}",
            f"{page['nulls']:,}",
            f"{page['blocks']}",
            page["encoding"],
            page["index_crc32c"],
            _value(page["minimum"]),
            _value(page["maximum"]),
        ]
        for number, page in enumerate(column["pages"])
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
    for why in column["why"]:
        yield from wrapped(f"why {printable(why)}")


def _sections(report: Report) -> Iterator[str]:
    sections = report["sections"]
    known = sum(section["bytes"] for section in sections if section["what"] != "not used by anything")
    yield f"sections: {known / report['bytes']:.0%} of the {report['bytes']:,} bytes"
    rows = [
        [f"{section['offset']:,}", f"{section['bytes']:,}", f"{section['share']:.1%}", section["what"]]
        for section in sections
    ]
    yield from table(["offset", "bytes", "share", "what"], rows, right="offset bytes share")


def _value(value: object, *, exact: bool = True) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}"
    else:
        text = str(value) or '""'
    return printable(text) + ("" if exact else " ~")


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
