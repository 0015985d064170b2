"""A session of the shell: what is open, how results are shown, and what each statement does. Reads no terminal."""

from __future__ import annotations

import difflib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from vego_tools.shell import duck, engine
from vego_tools.shell.catalog import Catalog, CollectionRelation, Relation, open_catalog
from vego_tools.shell.errors import StatementError
from vego_tools.shell.help import COMMANDS, TOPICS, overview
from vego_tools.shell.output import FileOutput
from vego_tools.shell.render import MODES, render
from vego_tools.shell.result import Result, facts
from vego_tools.shell.statements import Command, Explain, Search, Sql, parse
from vego_tools.terminal import Style, byte_size, counted, duration, printable

ENGINES = ("duckdb", "vego")
SHOWN_ROWS = 100  # of a table for people
_UNLIMITED = 100_000  # columns of a pipe


@dataclass(slots=True)
class Settings:
    """How results are shown. `max_rows` None: all. `engine` answers SQL."""

    mode: str = "table"
    max_rows: int | None = None
    timer: bool = False
    engine: str = "vego"


class Session:
    """Carries out statements on a catalog and writes what they give to `out`."""

    def __init__(self, catalog: Catalog, out: TextIO, settings: Settings) -> None:
        self.catalog = catalog
        self.settings = settings
        self.done = False
        self._stdout = out
        self._file: FileOutput | None = None
        self._duck: duck.Duck | None = None

    @property
    def out(self) -> TextIO:
        """Where results go now."""
        return self._stdout if self._file is None else self._file.stream

    def run(self, text: str) -> None:
        """Carry out one statement, without its semicolon, or one dot command.

        Raises StatementError and the errors of what is asked for; the session can go on after any of them.
        """
        started = time.perf_counter()
        statement = parse(text)
        if isinstance(statement, Command):
            self._command(statement)
            return
        if isinstance(statement, Sql) and not statement.text:
            return
        self.show(self._answer(statement))
        if self.settings.timer:
            self._say(f"({duration(time.perf_counter() - started)})")

    def show(self, result: Result) -> None:
        """Write a result."""
        wide = self.out.isatty()
        width = shutil.get_terminal_size((100, 24)).columns if wide else _UNLIMITED
        mode, max_rows = self.settings.mode, self.settings.max_rows
        render(result, self.out, mode=mode, max_rows=max_rows, width=width)
        self.out.flush()

    def close(self, *, failed: bool = False) -> None:
        """Finish the output file, or discard it where the session failed, and close what is open."""
        file, self._file = self._file, None
        try:
            if file is not None and failed:
                file.discard()
            elif file is not None:
                file.finish()
        finally:
            self._close_tables()

    # -- statements ----------------------------------------------------------------------------------------

    def _answer(self, statement: Search | Sql | Explain) -> Result:
        if isinstance(statement, Explain):
            return self._explain(statement.statement)
        if isinstance(statement, Search):
            return engine.search(self.catalog, statement)
        if " ".join(statement.text.lower().split()) in ("show tables", "show all tables"):
            return self._tables()
        if self.settings.engine == "duckdb":
            return self._sql().run(statement.text)
        return engine.select(self.catalog, statement.text)

    def _explain(self, statement: Search | Sql) -> Result:
        if isinstance(statement, Search):
            return engine.explain_search(self.catalog, statement)
        if self.settings.engine == "duckdb":
            plans = [str(row[-1]) for row in self._sql().run(f"EXPLAIN {statement.text}")]
            return Result(["plan"], [(line,) for plan in plans for line in plan.splitlines()])
        return engine.explain_select(self.catalog, statement.text)

    def _sql(self) -> duck.Duck:
        if self._duck is None:
            if not duck.installed():
                raise StatementError(
                    "SQL needs DuckDB: pip install 'vego[duckdb]'; `.engine vego` does without"
                )
            self._duck = duck.Duck(self.catalog)
        return self._duck

    def _tables(self) -> Result:
        rows = [
            (relation.name, relation.kind, relation.num_rows, len(relation.schema))
            for relation in self.catalog.relations.values()
        ]
        return Result(["name", "kind", "rows", "columns"], rows)

    # -- dot commands --------------------------------------------------------------------------------------

    def _command(self, command: Command) -> None:
        name = next((one.name for one in COMMANDS if command.name in (one.name, *one.aliases)), None)
        if name is None:
            known = [name for one in COMMANDS for name in (one.name, *one.aliases)]
            near = difflib.get_close_matches(command.name, known, 1)
            hint = f"did you mean `.{near[0]}`?" if near else "`.help` lists them"
            raise StatementError(f"no command `.{command.name}`; {hint}")
        methods: dict[str, Callable[[Command], None]] = {
            "help": self._do_help,
            "tables": self._do_tables,
            "schema": self._do_schema,
            "stats": self._do_stats,
            "head": self._do_head,
            "get": self._do_get,
            "explain": self._do_explain,
            "mode": self._do_mode,
            "rows": self._do_rows,
            "output": self._do_output,
            "timer": self._do_timer,
            "engine": self._do_engine,
            "open": self._do_open,
            "refresh": self._do_refresh,
            "quit": self._do_quit,
        }
        methods[name](command)

    def _say(self, text: str) -> None:
        """Tell people something that is no result; a program that reads JSON or CSV is not told."""
        if self.settings.mode in ("table", "line") and self._file is None:
            self._stdout.write(Style.of(self._stdout).dim(printable(text)) + "\n")
            self._stdout.flush()

    def _chosen(self, command: Command, place: int = 0) -> Relation:
        """The table that a command names, or the only one."""
        if len(command.arguments) > place:
            return self.catalog.find(command.arguments[place])
        only = self.catalog.only
        if only is None:
            raise StatementError(f".{command.name}: which table? There are {self._names()}")
        return only

    def _names(self) -> str:
        return ", ".join(map(repr, list(self.catalog.relations)[:12])) or "none; `.open PATH` opens some"

    def _choice(self, command: Command, choices: tuple[str, ...], now: str) -> str:
        if not command.arguments:
            raise StatementError(f".{command.name} is {now}; choose one of {', '.join(choices)}")
        chosen: str = command.arguments[0]
        if chosen not in choices:
            near = difflib.get_close_matches(chosen, choices, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(choices)}"
            raise StatementError(f".{command.name} {chosen}: {hint}")
        return chosen

    def _do_help(self, command: Command) -> None:
        if not command.arguments:
            self._stdout.write(overview())
        elif command.arguments[0].lower().lstrip(".") in TOPICS:
            self._stdout.write(TOPICS[command.arguments[0].lower().lstrip(".")])
        else:
            raise StatementError(f".help {command.arguments[0]}: the topics are {', '.join(TOPICS)}")

    def _do_tables(self, _: Command) -> None:
        self.show(self._tables())

    def _do_schema(self, command: Command) -> None:
        several = not command.arguments and self.catalog.only is None
        relations = list(self.catalog.relations.values()) if several else [self._chosen(command)]
        self.show(
            Result(
                ["table", "column", "type", "null"],
                [
                    (relation.name, field.name, str(field.type), field.nullable)
                    for relation in relations
                    for field in relation.schema
                ],
            )
        )

    def _do_stats(self, command: Command) -> None:
        if not command.arguments and self.catalog.only is None:
            self.show(self._tables())
        else:
            self.show(facts(self._chosen(command).facts()))

    def _do_head(self, command: Command) -> None:
        arguments = list(command.arguments)
        count = int(arguments.pop()) if arguments and arguments[-1].isdigit() else 10
        relation = self._chosen(Command("head", tuple(arguments), ""))
        names = relation.schema.names
        rows = (
            row
            for table in relation.read(None, None, 0, count)
            for row in zip(*table.to_pydict().values(), strict=True)
        )
        self.show(Result(names, rows))

    def _do_get(self, command: Command) -> None:
        if not command.arguments:
            raise StatementError(".get ID [COLLECTION]: which document?")
        relation = self._chosen(command, 1)
        if not isinstance(relation, CollectionRelation):
            raise StatementError(f".get: documents have ids, {relation.name} is a {relation.kind}")
        document = relation.collection.get(command.arguments[0])
        if document is None:
            raise StatementError(f".get: no document {command.arguments[0]!r} in {relation.name}")
        self.show(facts([("id", document.id), ("vector", document.vector), *document.metadata.items()]))

    def _do_explain(self, command: Command) -> None:
        if not command.rest:
            raise StatementError(".explain STATEMENT: which statement?")
        self.run(f"EXPLAIN {command.rest.rstrip(';')}")

    def _do_mode(self, command: Command) -> None:
        self.settings.mode = self._choice(command, MODES, self.settings.mode)

    def _do_rows(self, command: Command) -> None:
        given = command.arguments[0] if command.arguments else ""
        if given != "all" and not (given.isdigit() and int(given)):
            raise StatementError(f".rows is {self.settings.max_rows or 'all'}; give a number, or all")
        self.settings.max_rows = None if given == "all" else int(given)

    def _do_timer(self, command: Command) -> None:
        now = "on" if self.settings.timer else "off"
        self.settings.timer = self._choice(command, ("on", "off"), now) == "on"

    def _do_engine(self, command: Command) -> None:
        chosen = self._choice(command, ENGINES, self.settings.engine)
        if chosen == "duckdb" and not duck.installed():
            raise StatementError("DuckDB is not installed: pip install 'vego[duckdb]'")
        self.settings.engine = chosen

    def _do_output(self, command: Command) -> None:
        words = [word for word in command.arguments if word != "--overwrite"]
        before, self._file = self._file, None
        if before is not None:
            size = before.finish()
            self._say(f"{before.path}: {byte_size(size)}")
        if words:
            overwrite = len(words) < len(command.arguments)
            self._file = FileOutput(Path(words[0]).expanduser(), overwrite=overwrite)

    def _do_open(self, command: Command) -> None:
        if not command.arguments:
            raise StatementError(".open PATH: a database, an .lfmt file, or a directory of them")
        catalog = open_catalog(Path(command.arguments[0]).expanduser())
        self._close_tables()
        self.catalog = catalog
        self._say(self.title())

    def _do_refresh(self, _: Command) -> None:
        self.catalog.refresh()
        if self._duck is not None:
            self._duck.forget()

    def _do_quit(self, _: Command) -> None:
        self.done = True

    # -- about ---------------------------------------------------------------------------------------------

    def title(self) -> str:
        """What is open, in one line."""
        kinds = {relation.kind for relation in self.catalog.relations.values()}
        what = kinds.pop() if len(kinds) == 1 else "table"
        return f"{self.catalog.title}: {counted(len(self.catalog.relations), what)}"

    def _close_tables(self) -> None:
        if self._duck is not None:
            self._duck.close()
            self._duck = None
        self.catalog.close()
