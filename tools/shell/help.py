"""What `.help` says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class About:
    """A dot command: its name and other names, its arguments, and what it does."""

    name: str
    arguments: str
    help: str
    aliases: tuple[str, ...] = ()


COMMANDS = (
    About("help", "[TOPIC]", "this list, or one of: statements, search, filters, modes"),
    About("tables", "", "what can be asked about", ("collections",)),
    About("schema", "[NAME]", "columns and their types"),
    About("stats", "[NAME]", "rows, sizes, index"),
    About("head", "[NAME] [N]", "the first rows (10)"),
    About("get", "ID [NAME]", "one document of a collection"),
    About("explain", "STATEMENT", "how it would be answered; EXPLAIN before a statement does the same"),
    About("mode", "MODE", "how results are shown: table, line, json, jsonl or csv"),
    About("rows", "N|all", "rows of a table that are shown"),
    About("output", "[FILE [--overwrite]]", "results go to a file; without one, to the terminal again"),
    About("timer", "on|off", "say how long a statement took"),
    About("engine", "duckdb|vego", "what answers SQL"),
    About("open", "PATH", "leave this and open another database, file, or directory of files"),
    About("refresh", "", "see what has been written since"),
    About("quit", "", "leave (so do .exit, ctrl-D and the end of input)", ("exit",)),
)

_STATEMENTS = """\
Statements end with a semicolon, an empty line, or the end of input.

  SELECT section, count(*) FROM packages GROUP BY section ORDER BY 2 DESC LIMIT 5;
  SEARCH packages NEAR 'gnome-chess' K 5 WHERE installed_kib < 2000;
  EXPLAIN SEARCH packages NEAR [0.1, 0.2, 0.3] K 5;

SQL is DuckDB's where that is installed (pip install 'vego[duckdb]'); without it, or after `.engine vego`:

  SELECT *|count(*)|column, ... FROM table [WHERE filter] [LIMIT n] [OFFSET n];

Names that are no plain words go in double quotes: "my column". Nothing here changes a database or a file.
"""

_SEARCH = """\
SEARCH collection NEAR [0.1, 0.2, ...] | 'id'     the vector, or that of a document
    [K n]                 how many (10)
    [EF n]                candidates the walk of the graph keeps: more is slower and finds more
    [EXACT]               scan instead of walking the graph
    [SHOW key, ...]       metadata to show (all)
    [WHERE filter]        last; see `.help filters`

The result has rank, id and distance (smaller is nearer), and the metadata.
"""

_FILTERS = """\
The filter of SEARCH, and of SELECT without DuckDB:

  year >= 2020 and (section in ('libs', 'web') or author is null)
  price between 5 and 10      not (name = 'x')      time >= timestamp '2024-01-31T12:00:00Z'

A missing value matches no comparison and no negated one; ask for it with `is null`. Names that are no plain
words go in backquotes.
"""

_MODES = """\
  table   aligned, cut to the terminal, so many rows as `.rows` says
  line    a line for each value: for rows of many columns
  json    one array of objects        jsonl   an object a line
  csv     with a header

json, jsonl and csv are complete whatever `.rows` says. NaN is null in JSON; bytes are hexadecimal.
"""

TOPICS = {"statements": _STATEMENTS, "search": _SEARCH, "filters": _FILTERS, "modes": _MODES}


def overview() -> str:
    """The list of commands, and what a statement is."""
    lines = [f"  .{one.name + ' ' + one.arguments:<30} {one.help}" for one in COMMANDS]
    return "\n".join([*lines, "", _STATEMENTS])
