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

import numpy as np

import lance_fmt

if TYPE_CHECKING:
    from lance_fmt import ColumnSurvey, Damage, DataType, Survey

MAGIC = b"LFMT"
BATCH_ROWS = 65536
# The encodings of all pages are gathered up to so many; of larger files, those of the first page of each column.
MANY_PAGES = 50_000

Report = dict[str, Any]
Array = np.ndarray[Any, Any]
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
        found, raw = _verified(path, [survey.name(p) for p in positions], progress) if verify else ([], {})
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
        order = np.argsort(-sizes[shown], kind="stable")[:largest]
        shown = sorted(shown[place] for place in order.tolist())
    recipes = _Recipes(survey, shown)
    columns = [_column(survey, position, recipes, raw) for position in shown]
    lost = [_lost_column(survey, p) for p in np.flatnonzero(survey.lost).tolist()]
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
        first, count = survey.first_page, len(survey.handles)
        self.pages = np.arange(count)
        if count > MANY_PAGES:
            starts = first[:-1][first[:-1] < first[1:]]
            inside = [np.arange(first[p], first[p + 1]) for p in shown]
            few = sum(map(len, inside)) <= MANY_PAGES
            self.pages = np.unique(np.concatenate([starts, *inside] if few else [starts]))
        # By page, a place in `names`, and -1 for those that were not fetched.
        self.codes = np.full(len(survey.handles), -1)
        self.codes[self.pages], self.names = survey.recipe_codes(self.pages)
        for page in np.flatnonzero(self.codes == 0).tolist():
            self.damage.append(self._place(page))

    def _place(self, page: int) -> Report:
        survey = self._survey
        position = int(survey.first_page.searchsorted(page, "right")) - 1
        number = page - int(survey.first_page[position])
        handle = survey.handles[page]
        start = number << survey.column(position).page_shift
        name, offset, rows = survey.name(position), int(handle["index_offset"]), int(handle["rows"])
        what = f"index of page {number} of column {name!r} does not match its checksum"
        return _damage(lance_fmt.Damage(name, number, None, start, rows, offset, what))

    def of_column(self, position: int) -> list[str | None]:
        """One for each page of the column; None where it was not fetched."""
        first = self._survey.first_page
        codes = self.codes[int(first[position]) : int(first[position + 1])]
        return [self.name(code) for code in codes.tolist()]

    def name(self, code: int) -> str | None:
        """The recipe of a page with this code."""
        return None if code < 0 else self.names[code]

    def summary(self) -> list[Report]:
        """Bytes and pages by encoding, most bytes first."""
        sizes = self._survey.handles["data_length"][self.pages]
        groups = _totals(self.codes[self.pages], sizes)
        return [{"encoding": self.names[code], "pages": count, "bytes": size} for code, count, size in groups]


def _totals(keys: Array, sizes: Array) -> list[tuple[int, int, int]]:
    """(key, how often, sum of its sizes) of each key, largest sums first; of equal ones, which came first."""
    each, first, inverse, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    total = np.zeros(len(each), np.int64)
    np.add.at(total, inverse, sizes.astype(np.int64))
    order = np.lexsort((first, -total))
    return list(zip(each[order].tolist(), counts[order].tolist(), total[order].tolist(), strict=True))


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
        "first_page": int(survey.first_page[position]),
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
        meta = survey.meta(position)
        return meta.evidence.splitlines(), survey.bounds_of(position, meta)
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
    where = np.array(positions, np.int64)
    first, kinds = survey.first_page, survey.kinds[where]
    codes = np.full(len(where), -1)
    some = first[where] < first[where + 1]
    codes[some] = recipes.codes[first[where[some]]]
    width = len(recipes.names) + 1
    found = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for key, count, size in _totals((kinds + 1) * width + codes + 1, sizes[where]):
        kind, code = divmod(key, width)
        group = survey.kind_name(kind - 1), recipes.name(code - 1) or "none"
        found[0][group] += count
        found[1][group] += size
    columns, total = found
    return [
        {"type": group[0], "encoding": group[1], "columns": columns[group], "bytes": size}
        for group, size in total.most_common()
    ]


def _page_map(survey: Survey) -> list[tuple[int, int, str]]:
    recipes = _Recipes(survey, [])
    handles = survey.handles[recipes.pages]
    places = handles["data_offset"].tolist(), handles["data_length"].tolist()
    names = [recipes.names[code] for code in recipes.codes[recipes.pages].tolist()]
    return sorted(zip(*places, names, strict=True))


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
            "what": f"{kind} of {survey.name(column)}" if column >= 0 else names.get(kind, kind),
            "kind": kind,
            "share": round(length / survey.length, 6),
        }
        for offset, length, kind, column in survey.regions(by_column=by_column)
    ]
