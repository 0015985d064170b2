"""What can be typed after `vego`: the parser, its help, and a suggestion for what was mistyped."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn

import vego
from vego.cli import demo, inspect_file, repair, salvage, stats, verify, version, warmup
from vego.errors import InvalidArgumentError

COMMANDS = {
    "demo": demo,
    "inspect": inspect_file,
    "stats": stats,
    "verify": verify,
    "salvage": salvage,
    "warmup": warmup,
    "repair": repair,
    "version": version,
}

_ABOUT = """\
Vego is a vector database that lives in a directory and runs inside your program.
`import vego` is the way to use it; this command shows, checks and repairs what is on the disk.
"""

_EXAMPLES = """\
examples:
  vego demo                      build a collection of 5,000 packages and ask it questions
  vego inspect data.lfmt         what is in a file: columns, encodings, sizes, where each byte goes
  vego stats ./mydb --json       what is in a database, for a script

`vego COMMAND --help` explains one command. Exit status: 0 done, 1 damage found, 2 an error.
"""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose mistakes are InvalidArgumentErrors, printed like every other error."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise InvalidArgumentError(f"{message}; `{self.prog} --help` shows how")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of one call; `run` in them is the function to call with them.

    Raises InvalidArgumentError; SystemExit(0) after --help and --version.
    """
    parser = Parser(
        prog="vego",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"vego {vego.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__, allow_abbrev=False)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    first = next((argument for argument in arguments if not argument.startswith("-")), None)
    if first is not None and first not in COMMANDS:
        near = difflib.get_close_matches(first, COMMANDS, 1)
        hint = f"did you mean `vego {near[0]}`?" if near else f"there are {', '.join(COMMANDS)}"
        raise InvalidArgumentError(f"no command {first!r}; {hint}")
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        parser.exit()
    return options
