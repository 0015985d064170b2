"""What is in one file, as a dict that JSON can hold.

Only metadata is read, never values (unless asked to verify), so a report costs little whatever the size of the file,
and damage is listed beside what can still be read. `sections` accounts for every byte.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lance_fmt

if TYPE_CHECKING:
    from lance_fmt import ColumnSurvey, Damage, DataType, Survey

MAGIC = b"LFMT"
BATCH_ROWS = 65536
# The encodings of all pages are gathered up to so many; of larger files, those of the first page of each column.
MANY_PAGES = 50_000

Report = dict[str, Any]
Progress = Callable[[int, int], None]


def inspect(
    path: Path,
    *,
    columns: Sequence[str] = (),
    verify: bool = False,
    largest: int | None = None,
    page_map: bool = False,
    progress: Progress | None = None,
) -> Report:
    """The report on the file at `path`, whichever of Vego's files it is.

    `columns` limits it to some columns of an `.lfmt` file, `largest` to so many of the largest. `verify` reads and
    decodes every byte, and so adds the size of text and lists; `page_map` adds where pages lie, those of columns that
    were left out, too: (offset, bytes, encoding). Raises CorruptFileError and CorruptionError (nothing
    can be read), UnsupportedVersionError, NewerVersionError, SchemaError (no such column), InvalidDataError (not a
    file of Vego) and OSError.
    """
    if not is_columnar(path):
        return _other(path)
    with lance_fmt.examine(path) as survey:
        positions = positions_of(survey, columns)
        found, raw = _verified(path, [survey.names[p] for p in positions], progress) if verify else ([], {})
        report = _columnar(survey, positions, largest, raw, found, verified=verify)
        if page_map:
            report["page_map"] = _page_map(survey)
        return report


def is_columnar(path: Path) -> bool:
    """Whether the file is, or was, an `.lfmt` file; raises InvalidDataError for a directory, OSError."""
    if path.is_dir():
        raise lance_fmt.InvalidDataError(
            f"{path} is a directory; `vego stats {path}` shows what is in a database"
        )
    with path.open("rb") as file:
        start = file.read(4)
        size = file.seek(0, 2)
        file.seek(max(0, size - 4))
        return path.suffix in (".lfmt", ".del") or MAGIC in (start, file.read(4))


def _other(path: Path) -> Report:
    from vego_tools import database_files

    with path.open("rb") as file:
        start = file.read(4)
    report: Report | None = database_files.inspect(path, start)
    if report is None:
        raise lance_fmt.InvalidDataError(
            f"{path}: not a file of Vego: it starts with {start!r}; expected an .lfmt or .del file, "
            "a .manifest, a .wal or the VEGO file of a database"
        )
    return report


def positions_of(survey: Survey, columns: Sequence[str]) -> list[int]:
    """Positions of columns in the schema (none given: all); SchemaError for one that there is not."""
    if not columns:
        return list(range(survey.num_columns))
    places = {name: i for i, name in enumerate(survey.names)}
    for name in columns:
        if name not in places:
            known = ", ".join(map(repr, survey.names[:20])) + (", …" if len(places) > 20 else "")
            raise lance_fmt.SchemaError(f"{survey.path}: no column {name!r}; there are {known or 'none'}")
    return [places[name] for name in dict.fromkeys(columns)]


def _verified(
    path: Path, names: Sequence[str], progress: Progress | None
) -> tuple[list[Damage], dict[str, int]]:
    """Everything that is wrong with the values, and the sizes of the columns decoded."""
    try:
        file = lance_fmt.open(path)
    except lance_fmt.CorruptFileError:
        return [], {}  # what keeps it from being opened is in the survey
    with file:
        found = file.damage(progress=progress)
        lost = {place.column for place in found}
        raw = {}
        for name in names:
            if name in lost or name not in file.schema.names:
                continue
            batches = file.batches(BATCH_ROWS, [name])
            raw[name] = sum(batch[name].nbytes for batch in batches)
        return found, raw


def _columnar(
    survey: Survey,
    positions: Sequence[int],
    largest: int | None,
    raw: dict[str, int],
    found: Iterable[Damage],
    *,
    verified: bool,
) -> Report:
    sizes = survey.column_bytes()
    shown = list(positions)
    if largest is not None and len(shown) > largest:
        shown = sorted(sorted(shown, key=lambda p: -sizes[p])[:largest])
    recipes = _Recipes(survey, shown)
    columns = [_column(survey, position, recipes, raw) for position in shown]
    lost = [_lost_column(survey, p) for p in range(survey.num_columns) if survey.is_lost(p)]
    return {
        "path": survey.path,
        "kind": "columns",
        "format": f"LFMT {survey.version}",
        "bytes": survey.length,
        "rows": survey.num_rows,
        "column_count": survey.num_columns,
        "footer_crc32c": f"{survey.footer_crc:08x}",
        "verified": verified,
        "damage": _each_once([*map(_damage, survey.damage), *lost, *map(_damage, found), *recipes.damage]),
        "metadata": dict(survey.metadata),
        "columns": columns,
        "columns_left_out": len(positions) - len(shown),
        "others": _others(survey, sorted({*positions} - {*shown}), sizes, recipes),
        "encodings": recipes.summary(),
        "sections": _sections(survey, by_column=len(shown) == len(positions)),
    }


class _Recipes:
    """How pages are encoded, fetched in a few reads for all that will be asked for."""

    def __init__(self, survey: Survey, shown: Sequence[int]) -> None:
        self.damage: list[Report] = []
        self._survey = survey
        first = survey.first_page.tolist()
        every = len(survey.handles) <= MANY_PAGES
        if every:
            self.pages = list(range(len(survey.handles)))
        else:
            starts = {first[p] for p in range(survey.num_columns) if first[p] < first[p + 1]}
            inside = {page for p in shown for page in range(first[p], first[p + 1])}
            self.pages = sorted(starts | inside if len(inside) <= MANY_PAGES else starts)
        self._of = dict(zip(self.pages, survey.recipes(self.pages), strict=True))
        for page in (page for page, recipe in self._of.items() if recipe == "?"):
            self.damage.append(self._place(page))

    def _place(self, page: int) -> Report:
        survey = self._survey
        position = int(survey.first_page.searchsorted(page, "right")) - 1
        number = page - int(survey.first_page[position])
        handle = survey.handles[page]
        start = number << survey.column(position).page_shift
        what = f"index of page {number} of column {survey.names[position]!r} does not match its checksum"
        name, offset, rows = survey.names[position], int(handle["index_offset"]), int(handle["rows"])
        return _damage(lance_fmt.Damage(name, number, None, start, rows, offset, what))

    def of_column(self, position: int) -> list[str | None]:
        """One for each page of the column; None where it was not fetched."""
        first = self._survey.first_page
        return [self._of.get(page) for page in range(int(first[position]), int(first[position + 1]))]

    def first(self, page: int) -> str:
        """That of one page."""
        return self._of.get(page, "?")

    def summary(self) -> list[Report]:
        """Bytes and pages by encoding, most bytes first."""
        sizes = self._survey.handles["data_length"].tolist()
        pages: Counter[str] = Counter()
        total: Counter[str] = Counter()
        for page, recipe in self._of.items():
            pages[recipe] += 1
            total[recipe] += sizes[page]
        return [{"encoding": name, "pages": pages[name], "bytes": size} for name, size in total.most_common()]


def _column(survey: Survey, position: int, recipes: _Recipes, raws: dict[str, int]) -> Report:
    column = survey.column(position)
    found = recipes.of_column(position)
    why, bounds = _meta(survey, position)
    raw = None if column.damage else raws.get(column.name, column.raw_bytes)
    handles = column.pages
    stored = column.length
    pages = [
        _page(handle, page, column, found[page], bounds(page)) for page, handle in enumerate(handles.tolist())
    ]
    low, low_exact = _bound(pages, "minimum", min)
    high, high_exact = _bound(pages, "maximum", max)
    for page in pages:
        for side in ("minimum", "maximum"):
            page[side] = plain(page[side], column.type)
    return {
        "name": column.name,
        "type": "?" if column.type is None else str(column.type),
        "nullable": column.nullable,
        "damage": column.damage,
        "encoding": ", ".join(dict.fromkeys(r for r in found if r and r != "?"))
        or ("?" if found else "none"),
        "nulls": int(handles["nulls"].sum()),
        "nans": int(handles["nans"].sum()),
        "minimum": plain(low, column.type),
        "minimum_exact": low_exact,
        "maximum": plain(high, column.type),
        "maximum_exact": high_exact,
        "bytes": stored,
        "raw_bytes": raw,
        "ratio": round(raw / stored, 3) if raw is not None and stored else None,
        "share": round(stored / survey.length, 6),
        "page_rows": 1 << column.page_shift,
        "block_rows": 1 << column.block_shift,
        "blocks": sum(page["blocks"] for page in pages),
        "indexes": [{"kind": kind, "offset": at, "bytes": size} for kind, at, size in column.auxiliary],
        "why": why,
        "pages": pages,
    }


def _meta(survey: Survey, position: int) -> tuple[list[str], Callable[[int], tuple[Any, Any] | None]]:
    """The evidence of a column, and what tells the bounds of a page; nothing where the metadata is damaged."""
    try:
        return survey.evidence(position).splitlines(), survey.bounds_of(position)
    except lance_fmt.CorruptFileError:
        return [], lambda _: None


def _page(
    handle: tuple[int, ...],
    number: int,
    column: ColumnSurvey,
    recipe: str | None,
    bounds: tuple[Any, Any] | None,
) -> Report:
    offset, length, index_offset, index_length, index_crc, rows, nulls, nans, _, flags, _, _ = handle
    return {
        "offset": offset,
        "bytes": length,
        "first_row": number << column.page_shift,
        "rows": rows,
        "nulls": nulls,
        "nans": nans,
        "encoding": recipe,
        "minimum": None if bounds is None else bounds[0],
        "minimum_exact": bool(flags & 2),
        "maximum": None if bounds is None else bounds[1],
        "maximum_exact": bool(flags & 4),
        "raw_bytes": rows * column.type.stride if column.type is not None and column.type.stride else None,
        "index_offset": index_offset,
        "index_bytes": index_length,
        "index_crc32c": f"{index_crc:08x}",
        "blocks": -(-rows // (1 << column.block_shift)),
    }


def _bound(pages: Sequence[Report], side: str, best: Callable[..., Any]) -> tuple[Any, bool]:
    """The bound of a whole column and whether it is exact; None where a page with values has none."""
    values: list[tuple[Any, bool]] = []
    for page in pages:
        if page["nulls"] + page["nans"] >= page["rows"]:
            continue
        if page[side] is None:
            return None, False
        values.append((page[side], page[f"{side}_exact"]))
    if not values:
        return None, False
    value, exact = best(values, key=lambda pair: pair[0])
    return value, exact


def plain(value: Any, kind: DataType | None) -> Any:
    """A bound as JSON has it: dates and times as ISO 8601, bytes as hexadecimal, what is not finite as text."""
    if value is None or kind is None:
        return value
    if kind.is_time:
        return _time(value, kind)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _time(count: int, kind: DataType) -> str:
    import numpy as np

    if kind.id is lance_fmt.TypeId.DATE:
        return str(np.array(count, "datetime64[D]"))
    if kind.id is lance_fmt.TypeId.DURATION:
        return f"{count} {kind.time_unit}"
    text = str(np.array(count, f"datetime64[{kind.time_unit}]"))
    if kind.id is lance_fmt.TypeId.TIME:
        return text.partition("T")[2]
    return text if kind.tz is None else f"{text} {kind.tz}"


def _others(survey: Survey, positions: Sequence[int], sizes: Any, recipes: _Recipes) -> list[Report]:
    """Columns and bytes of those left out, by type and encoding of the first page, most bytes first."""
    count: Counter[tuple[int, str]] = Counter()
    total: Counter[tuple[int, str]] = Counter()
    names: dict[int, str] = {}
    bytes_of, first = sizes.tolist(), survey.first_page.tolist()
    for position in positions:
        kind = survey.fields[position]
        # Types read from the same bytes are one object: to name each column's would take a while.
        key = 0 if kind is None else id(kind.type)
        if key not in names:
            names[key] = "?" if kind is None else str(kind.type)
        has_pages = first[position] < first[position + 1]
        group = key, recipes.first(first[position]) if has_pages else "none"
        count[group] += 1
        total[group] += bytes_of[position]
    return [
        {"type": names[key], "encoding": encoding, "columns": count[key, encoding], "bytes": size}
        for (key, encoding), size in total.most_common()
    ]


def _page_map(survey: Survey) -> list[tuple[int, int, str]]:
    recipes = _Recipes(survey, [])
    handles = survey.handles[recipes.pages]
    places = handles["data_offset"].tolist(), handles["data_length"].tolist()
    return sorted(zip(*places, (recipes.first(page) for page in recipes.pages), strict=True))


def _damage(place: Damage) -> Report:
    names = ("column", "page", "block", "first_row", "rows", "offset", "what")
    return {name: getattr(place, name) for name in names} | {"text": str(place)}


def _each_once(places: Iterable[Report]) -> list[Report]:
    """What several found is told once."""
    known: dict[tuple[Any, ...], Report] = {}
    for place in places:
        key = place["offset"], place["column"], place["page"]
        known.setdefault(key, place)
    return list(known.values())


def _lost_column(survey: Survey, position: int) -> Report:
    column = survey.column(position)
    rows, offset = survey.num_rows, column.metadata_offset
    return _damage(lance_fmt.Damage(column.name, None, None, 0, rows, offset, column.damage))


def _sections(survey: Survey, *, by_column: bool) -> list[Report]:
    """What every byte of the file belongs to, front to back."""
    names = {"unused": "not used by anything", "lost": "damage hides what this is"}
    return [
        {
            "offset": offset,
            "bytes": length,
            "what": f"{kind} of {survey.names[column]}" if column >= 0 else names.get(kind, kind),
            "kind": kind,
            "share": round(length / survey.length, 6),
        }
        for offset, length, kind, column in survey.regions(by_column=by_column)
    ]
