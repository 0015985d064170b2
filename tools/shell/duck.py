"""SQL through DuckDB over the tables of a catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from vego_tools.shell.catalog import Catalog, FileRelation, Relation
from vego_tools.shell.errors import StatementError
from vego_tools.shell.result import Result

_CHUNK = 1_024


def installed() -> bool:
    """Whether DuckDB, and pyarrow to hand it tables, can be imported."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("duckdb", "pyarrow"))


class Duck:
    """A DuckDB in memory that knows the tables of a catalog by name, each from when it is first used."""

    def __init__(self, catalog: Catalog) -> None:
        import duckdb

        self._errors, self._unknown = duckdb.Error, duckdb.CatalogException
        # What is typed decides what is read: no variable of this program, and nothing from the network.
        self._connection = duckdb.connect(
            config={"autoinstall_known_extensions": "false", "python_enable_replacements": "false"}
        )
        self._worker = ThreadPoolExecutor(1)
        self._catalog = catalog
        self._known: set[str] = set()

    def forget(self) -> None:
        """Take every table anew when it is next used."""
        for name in self._known:
            self._connection.unregister(name)
        self._known.clear()

    def run(self, text: str) -> Result:
        """The answer to one statement of SQL; raises StatementError with what DuckDB says."""
        try:
            self._register(text)
            answer = self._patiently(lambda: self._connection.execute(text))
            names = [column[0] for column in answer.description or ()]
        except self._unknown as error:
            hint = f"; tables here: {', '.join(self._catalog.relations) or 'none'}"
            raise StatementError(_message(error).partition("! Did you mean")[0].rstrip("!") + hint) from None
        except self._errors as error:
            raise StatementError(_message(error)) from None
        return Result(names, self._rows(answer))

    def close(self) -> None:
        """Forget everything."""
        self._worker.shutdown()
        self._connection.close()

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, done beside this thread: DuckDB does not look for ctrl-C, so somebody must."""
        future = self._worker.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._connection.interrupt()
            wait([future])
            raise

    def _rows(self, answer: Any) -> Iterator[tuple[Any, ...]]:
        while True:
            try:
                rows = self._patiently(lambda: answer.fetchmany(_CHUNK))
            except self._errors as error:
                raise StatementError(_message(error)) from None
            if not rows:
                return
            yield from rows

    def _register(self, text: str) -> None:
        """Make the tables that `text` names known to DuckDB."""
        for name in self._connection.get_table_names(text):
            known = {one.lower(): relation for one, relation in self._catalog.relations.items()}
            relation = known.get(name.strip('"').lower())
            if relation is not None and relation.name not in self._known:
                self._take(relation)
                self._known.add(relation.name)

    def _take(self, relation: Relation) -> None:
        if isinstance(relation, FileRelation):
            from lance_fmt.interop.duckdb import register

            register(self._connection, relation.name, relation.file)
        else:
            self._connection.register(relation.name, relation.whole().to_arrow())


def _message(error: Exception) -> str:
    """What DuckDB says, on one line, without the marks under the statement."""
    return " ".join(str(error).replace("^", " ").split())
