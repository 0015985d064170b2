"""What the shell can be asked about: collections of a database, or `.lfmt` files, each as a table with a name.

Everything is opened for reading only, and when it is first asked for.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lance_fmt
import vego
from vego import names
from vego_tools.shell.errors import StatementError
from vego_tools.shell.file_filters import file_filter

SUFFIX = ".lfmt"
_BATCH = 65_536
_FIRST_BATCH = 1_024  # most statements want a few rows only


class Relation(ABC):
    """One table of the shell."""

    kind: str
    name: str

    @property
    @abstractmethod
    def schema(self) -> lance_fmt.Schema:
        """Its columns."""

    @property
    @abstractmethod
    def num_rows(self) -> int:
        """Its rows."""

    @abstractmethod
    def read(
        self, columns: Sequence[str] | None, filter: str | None, start: int, stop: int | None
    ) -> Iterator[lance_fmt.Table]:
        """Columns (None: all) of the rows that pass `filter`, from the `start`-th to the `stop`-th of them."""

    @abstractmethod
    def whole(self) -> lance_fmt.Table:
        """All of it."""

    @abstractmethod
    def facts(self) -> list[tuple[str, Any]]:
        """What `.stats` says of it."""

    def check(self, columns: Sequence[str]) -> None:
        """Raise StatementError for a column there is not."""
        known = self.schema.names
        for name in columns:
            if name not in known:
                hint = _near(name, known)
                raise StatementError(f"no column {name!r} in {self.name}; {hint}")

    def close(self) -> None:  # noqa: B027 (a collection is closed with its database)
        """Close what is open."""


class FileRelation(Relation):
    """An `.lfmt` file."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self._file: lance_fmt.File | None = None

    @property
    def file(self) -> lance_fmt.File:
        """The file, opened."""
        if self._file is None:
            self._file = lance_fmt.open(self.path)
        return self._file

    @property
    def schema(self) -> lance_fmt.Schema:
        """Its columns."""
        return self.file.schema

    @property
    def num_rows(self) -> int:
        """Its rows."""
        return self.file.num_rows

    def read(
        self, columns: Sequence[str] | None, filter: str | None, start: int, stop: int | None
    ) -> Iterator[lance_fmt.Table]:
        """Batch after batch, so that a LIMIT reads no more than it needs."""
        condition = None if filter is None else file_filter(filter, self.schema.names, self.name)
        if condition is None:
            end = self.num_rows if stop is None else min(stop, self.num_rows)
            yield from _pieces(lambda a, b: self.file.read(columns, slice(a, b)), start, end)
            return
        passed = 0
        for table in self.file.batches(_BATCH, columns, filter=condition):
            low, high = max(start - passed, 0), table.num_rows
            if stop is not None:
                high = min(high, stop - passed)
            passed += table.num_rows
            if low < high:
                yield table.slice(low, high)
            if stop is not None and passed >= stop:
                return

    def whole(self) -> lance_fmt.Table:
        """All of it, in memory."""
        return self.file.read()

    def facts(self) -> list[tuple[str, Any]]:
        """Rows, sizes and what the file was written with."""
        file = self.file
        return [
            ("file", str(self.path)),
            ("rows", file.num_rows),
            ("columns", len(file.schema)),
            ("bytes", file.length),
            ("format", file.version),
            *((f"metadata {key}", value) for key, value in file.metadata.items()),
        ]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class CollectionRelation(Relation):
    """A collection of a database."""

    kind = "collection"

    def __init__(self, name: str, open_: Callable[[], vego.Collection]) -> None:
        self.name = name
        self._open = open_

    @property
    def collection(self) -> vego.Collection:
        """The collection, opened."""
        return self._open()

    @property
    def schema(self) -> lance_fmt.Schema:
        """`id`, `vector`, and the keys of the metadata."""
        return self.collection.schema

    @property
    def num_rows(self) -> int:
        """Its documents."""
        return len(self.collection)

    def read(
        self, columns: Sequence[str] | None, filter: str | None, start: int, stop: int | None
    ) -> Iterator[lance_fmt.Table]:
        """One table, in pieces."""
        table = self.collection.to_table(columns, filter=filter)
        end = table.num_rows if stop is None else min(stop, table.num_rows)
        yield from _pieces(table.slice, start, end)

    def whole(self) -> lance_fmt.Table:
        """All documents."""
        return self.collection.to_table()

    def facts(self) -> list[tuple[str, Any]]:
        """What `Collection.stats` says."""
        return list(self.collection.stats().items())


class Catalog:
    """Tables by name. `title` says what they are of; a context manager."""

    def __init__(
        self, title: str, relations: dict[str, Relation], database: vego.Database | None = None
    ) -> None:
        self.title = title
        self.relations = relations
        self.database = database

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all that is open."""
        for relation in self.relations.values():
            relation.close()
        if self.database is not None:
            self.database.close()

    @property
    def only(self) -> Relation | None:
        """The table, where there is just one."""
        return next(iter(self.relations.values())) if len(self.relations) == 1 else None

    def find(self, name: str) -> Relation:
        """The table of that name, in whatever case; raises StatementError that names the near ones."""
        found = self.relations.get(name)
        if found is None:
            alike = [one for known, one in self.relations.items() if known.lower() == name.lower()]
            if len(alike) == 1:
                return alike[0]
            raise StatementError(f"no table {name!r} in {self.title}; {_near(name, list(self.relations))}")
        return found

    def refresh(self) -> None:
        """See what has been written since."""
        if self.database is not None:
            self.database.refresh()
            for name in self.database.collections():
                self.relations.setdefault(name, _relation(self.database, name))


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 3)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    if not known:
        return "there are none"
    more = f" and {len(known) - 12} more" if len(known) > 12 else ""
    return f"there are {', '.join(map(repr, known[:12]))}{more}"


def _pieces(read: Callable[[int, int], lance_fmt.Table], start: int, stop: int) -> Iterator[lance_fmt.Table]:
    size = _FIRST_BATCH
    while start < stop:
        yield read(start, min(start + size, stop))
        start, size = start + size, _BATCH


def _relation(database: vego.Database, name: str) -> Relation:
    return CollectionRelation(name, lambda: database.collection(name))


def open_catalog(path: Path | None) -> Catalog:
    """The catalog of a database, a file, or a directory of files; None: the working directory, or nothing.

    Raises the errors of `vego.open` and `lance_fmt.open` for what is neither, or damaged.
    """
    if path is None:
        here = Path()
        if not ((here / names.MARKER).exists() or any(here.glob(f"*{SUFFIX}"))):
            return Catalog("nothing", {})
        path = here
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() and not (path / names.MARKER).exists() else []
    if files:
        return Catalog(str(path), {file.stem: FileRelation(file) for file in files})
    if path.exists() and not path.is_dir():
        only = FileRelation(path)
        _ = only.file  # what is wrong with it is said at once
        return Catalog(str(path), {only.name: only})
    database = vego.open(path, read_only=True, create=False)
    return Catalog(str(path), {name: _relation(database, name) for name in database.collections()}, database)
