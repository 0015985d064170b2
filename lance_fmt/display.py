"""How files, schemas, columns and tables show themselves: `repr` for consoles, HTML for notebooks.

Everything here is bounded in size, reads next to nothing, and lets no text of a file pass unescaped: control
characters become escapes, and HTML its entities. Colours follow the page's own, so dark and light both work.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lance_fmt.column import Column
    from lance_fmt.schema import Schema

ROWS = 10  # of a table that are shown
COLUMNS = 20
FIELDS = 50  # of a schema that are shown
CELL = 60  # characters
ITEMS = 4  # of a vector or list
_LARGE = 1 << 20  # bytes of one value that is only named, not decoded
_EXACT = 12  # characters of a float that is shown to the last digit


# -- text ----------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """`text` on one line: line breaks, control characters and the like as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shortened(text: str, width: int = CELL) -> str:
    """`text` in at most `width` characters, with an ellipsis where something is missing."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def value_text(value: Any, width: int = CELL) -> str:
    """A Python value as text on one line of at most `width` characters; floats to 12 digits."""
    import numpy as np  # not above: the command line escapes text without it

    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return float_text(value)
    if isinstance(value, str):
        return shortened(printable(value[: width + 1]), width)
    if isinstance(value, bytes):
        head = value[: width // 2].hex()
        return shortened(f"x'{head}'" if len(value) <= width // 2 else f"x'{head}…", width)
    if isinstance(value, np.ndarray | list | tuple):
        return shortened(_items_text(value, width), width)
    if isinstance(value, Mapping):
        some = ", ".join(
            f"{value_text(key, width)}: {value_text(item, width)}" for key, item in _first(value.items(), 8)
        )
        return shortened(f"{{{some}{', …' if len(value) > 8 else ''}}}", width)
    return shortened(printable(str(value)), width)


def _items_text(values: Any, width: int) -> str:
    """The first items, as many as leave room for how many there are; those of vectors to four digits."""
    vector = hasattr(values, "dtype") and values.dtype.kind == "f"
    some = [f"{item:.4g}" if vector else value_text(item, width) for item in values[:ITEMS]]
    if len(values) <= ITEMS:
        return f"[{', '.join(some)}]"
    ending = f"… {len(values):,} items]"
    while len(some) > 1 and sum(map(len, some)) + 2 * len(some) + 1 + len(ending) > width:
        some.pop()
    return f"[{', '.join(some)}, {ending}"


def _first(items: Iterable[Any], count: int) -> list[Any]:
    return [item for _, item in zip(range(count), items, strict=False)]


def float_text(value: Any) -> str:
    """A float in the fewest digits that tell it from its neighbours, those of float32 where it is one; 12 at most."""
    text = repr(float(value))
    if len(text) <= _EXACT:
        return text
    try:
        if struct.unpack("f", struct.pack("f", value))[0] == value:
            import numpy as np

            return str(np.float32(value))
    except OverflowError:
        pass
    return f"{float(value):.12g}"


def preview(column: Column, count: int = ROWS, width: int = CELL) -> list[str]:
    """The first values of a column; a large one is named, not decoded."""
    shown = []
    for row in range(min(count, len(column))):
        one = column.slice(row, row + 1)
        large = one.nbytes > _LARGE
        shown.append(
            f"<{one.nbytes:,} bytes of {column.type}>" if large else value_text(one.to_pylist()[0], width)
        )
    return shown


def column_repr(column: Column) -> str:
    """A column in one line: type, length, and the first values as Python writes them."""
    shown = []
    for row in range(min(5, len(column))):
        one = column.slice(row, row + 1)
        if one.nbytes > _LARGE:
            shown.append(f"<{one.nbytes:,} bytes>")
            continue
        value = one.to_pylist()[0]
        shown.append(value_text(value) if column.type.is_vector else shortened(repr(value)))
    return (
        f"Column<{shortened(str(column.type))}>[{len(column)}]"
        f"({', '.join(shown)}{', ...' if len(column) > 5 else ''})"
    )


def listed(parts: Iterable[object], total: int, limit: int = COLUMNS) -> str:
    """The first of `total` parts, joined by commas, and how many more there are."""
    some = ", ".join(shortened(printable(str(part))) for part in _first(parts, limit))
    return some if total <= limit else f"{some}, ... {total - limit:,} more"


# -- HTML ----------------------------------------------------------------------------------------------

_STYLE = (
    "<style>.vego-out{font-size:13px;line-height:1.45}.vego-out p{margin:.2em 0}"
    ".vego-out .vego-scroll{overflow-x:auto}"
    ".vego-out table{border-collapse:collapse;margin:.4em 0;width:auto;border:0}"
    ".vego-out th,.vego-out td{text-align:left;padding:.15em .8em .15em 0;border:0;background:none;"
    "white-space:nowrap;vertical-align:top}"
    ".vego-out thead tr:last-child>*{border-bottom:1px solid}"
    ".vego-out .vego-num{text-align:right;font-variant-numeric:tabular-nums}"
    ".vego-out .vego-dim{opacity:.65;font-weight:normal}</style>"
)


def html_block(
    title: str,
    facts: Iterable[str] = (),
    header: Sequence[str] = (),
    rows: Iterable[Sequence[str]] = (),
    *,
    under: Sequence[str] = (),
    right: Sequence[int] = (),
    note: str = "",
) -> str:
    """A title, a line of facts, and a table; every text is escaped here.

    `under` is a second, subdued line of the header, `right` the columns aligned to the right, `note` what is said
    below the table.
    """
    out = [f'{_STYLE}<div class="vego-out"><p><b>{escaped(title)}</b></p>']
    line = " · ".join(map(escaped, facts))
    if line:
        out.append(f'<p class="vego-dim">{line}</p>')
    if header:
        head = _html_row("th", header, right)
        if under:
            head += _html_row("th", under, right, "vego-dim")
        body = "".join(_html_row("td", row, right) for row in rows)
        out.append(
            f'<div class="vego-scroll"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'
        )
    if note:
        out.append(f'<p class="vego-dim">{escaped(note)}</p>')
    return "".join(out) + "</div>"


def escaped(text: str) -> str:
    """`text` for HTML, control characters as escapes."""
    from html import escape  # its table of entities is large, and few programs show HTML

    return escape(printable(text))


def _html_row(tag: str, cells: Sequence[str], right: Sequence[int], extra: str = "") -> str:
    parts = []
    for place, cell in enumerate(cells):
        classes = " ".join(filter(None, ("vego-num" if place in right else "", extra)))
        parts.append(
            f"<{tag}{f' class={chr(34)}{classes}{chr(34)}' if classes else ''}>{escaped(cell)}</{tag}>"
        )
    return f"<tr>{''.join(parts)}</tr>"


def counted(count: int, what: str) -> str:
    """`count` with the noun `what` in singular or plural."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def more(total: int, shown: int, what: str) -> str:
    """What is said of that which is not shown; nothing where all is."""
    return f"… {total - shown:,} more {what}" if total > shown else ""


def schema_html(schema: Schema, title: str = "Schema", facts: Iterable[str] = ()) -> str:
    """The fields of a schema, the first FIELDS of them."""
    shown = schema.fields[:FIELDS]
    header = ["", "column", "type", ""]
    rows = [
        [str(number), shortened(one.name), shortened(str(one.type)), "" if one.nullable else "not null"]
        for number, one in enumerate(shown)
    ]
    if any(one.metadata for one in shown):
        header.append("metadata")
        rows = [[*row, _text_of(one.metadata)] for row, one in zip(rows, shown, strict=True)]
    note = more(len(schema), FIELDS, "columns")
    return html_block(title, facts or [counted(len(schema), "column")], header, rows, right=[0], note=note)


def _text_of(metadata: Mapping[str, str]) -> str:
    """Key-values in one cell."""
    return shortened(", ".join(f"{key}={value[:CELL]}" for key, value in _first(metadata.items(), 8)))


def file_html(file: Any) -> str:
    """An open file: where, how large, which columns. Reads its schema, no values."""
    facts = [
        counted(file.num_rows, "row"),
        counted(file.footer.num_columns, "column"),
        f"{file.length:,} bytes",
        f"format {file.version}",
    ]
    if file.metadata:
        facts.append(_text_of(file.metadata))
    return schema_html(file.schema, shortened(file.path, 200), facts)


def column_html(column: Column) -> str:
    """A column: type, length, nulls, and the first values."""
    facts = [counted(len(column), "row"), f"{column.null_count:,} null", f"{column.nbytes:,} bytes in memory"]
    rows = [(str(row), text) for row, text in enumerate(preview(column))]
    note = more(len(column), ROWS, "rows")
    return html_block(
        f"Column of {shortened(str(column.type))}", facts, ("", "value"), rows, right=[0], note=note
    )


def table_html(columns: Mapping[str, Column], num_rows: int) -> str:
    """The first rows of the first columns of a table."""
    names = list(columns)[:COLUMNS]
    shown = [preview(columns[name]) for name in names]
    count = min(num_rows, ROWS)
    kinds = [columns[name].type for name in names]
    numbers = [
        place + 1 for place, kind in enumerate(kinds) if kind.is_number or kind.is_decimal or kind.is_bfloat16
    ]
    note = ", ".join(filter(None, (more(num_rows, count, "rows"), more(len(columns), len(names), "columns"))))
    return html_block(
        "Table",
        [counted(num_rows, "row"), counted(len(columns), "column")],
        ["", *(shortened(name) for name in names)],
        [[str(row), *(column[row] for column in shown)] for row in range(count)],
        under=["", *(shortened(str(kind), 40) for kind in kinds)],
        right=[0, *numbers],
        note=note,
    )
