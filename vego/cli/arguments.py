"""What can be typed after `vego`: the commands, their help, and a suggestion for what was mistyped.

A command is one module of `vego.cli` with HELP (one line), a docstring (the help of the command), `add_arguments`
and `run`. It is imported when it is typed, and must not import anything heavy before `run`: `--help` imports all.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

import vego
from vego.errors import InvalidArgumentError

COMMANDS = {  # what is typed: heading in the help, module
    "demo": ("begin", "vego.cli.demo"),
    "shell": ("begin", "vego.cli.shell"),
    "inspect": ("look inside", "vego.cli.inspect_file"),
    "stats": ("look inside", "vego.cli.stats"),
    "versions": ("look inside", "vego.cli.versions"),
    "partitions": ("look inside", "vego.cli.partitions"),
    "convert": ("data in and out", "vego.cli.convert"),
    "backup": ("keep it safe", "vego.cli.backup"),
    "restore": ("keep it safe", "vego.cli.restore"),
    "verify": ("check and repair", "vego.cli.verify"),
    "salvage": ("check and repair", "vego.cli.salvage"),
    "repair": ("check and repair", "vego.cli.repair"),
    "compact": ("make it fast", "vego.cli.compact"),
    "bench": ("make it fast", "vego.cli.bench"),
    "warmup": ("make it fast", "vego.cli.warmup"),
    "completion": ("about", "vego.cli.completion"),
    "version": ("about", "vego.cli.version"),
}

_ABOUT = """\
Vego is a vector database that lives in a directory and runs inside your program.
`import vego` is the way to use it; this command shows, asks, checks and repairs what is on disk.
"""

_EXAMPLES = """\
examples:
  vego demo                      build a collection of 5,000 packages and ask it questions
  vego shell vego-demo           ask it more: SQL, `SEARCH packages NEAR 'chess' K 5`, .help
  vego inspect data.lfmt         what is in a file: columns, encodings, sizes, where each byte goes
  vego stats ./mydb --json       what is in a database, for a script

exit status:
  0  done         1  damage or a difference was found      2  an error, told in one line
  130  interrupted      141  whoever read the output left, as in `vego ... | head`
  143  terminated: what was open has been closed

`vego COMMAND --help` explains one command. `--json` gives data to scripts, NO_COLOR switches
colours off, and `vego completion bash` prints what lets the shell complete all this.
"""


def module_of(name: str) -> ModuleType:
    """The module of a command."""
    return import_module(COMMANDS[name][1])


def _terminal_width() -> int:
    with suppress(ValueError):
        if (width := int(os.environ.get("COLUMNS", ""))) > 0:
            return width
    with suppress(OSError, ValueError, AttributeError):  # no terminal, closed, none
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    return 80


class Help(argparse.RawDescriptionHelpFormatter):
    """Paragraphs flow to the width of the terminal; those with an indented line, such as examples, stay."""

    def __init__(self, prog: str) -> None:
        # argparse makes one of these for each argument, and to measure the terminal imports `shutil`.
        super().__init__(prog, width=_terminal_width() - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = [part for part in text.strip("\n").split("\n\n") if part.strip()]
        return "\n\n".join(
            "\n".join(indent + line for line in part.rstrip().splitlines())
            if any(line.startswith(" ") for line in part.splitlines())
            else argparse.HelpFormatter._fill_text(self, part, width, indent)
            for part in paragraphs
        )


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose mistakes are InvalidArgumentErrors, printed like every other error."""

    def __init__(self, **options: Any) -> None:
        settings: dict[str, Any] = {"formatter_class": Help, "allow_abbrev": False}
        super().__init__(**(settings | options))

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise InvalidArgumentError(f"{message}; `{self.prog} --help` shows how")

    def check_options(self, arguments: Iterable[str]) -> None:
        """Raise InvalidArgumentError for the first option there is not, before anything else is complained of."""
        known = set(self._option_string_actions)
        for sub in subparsers_of(self).values():
            known |= set(sub._option_string_actions)
        for argument in arguments:
            if argument == "--":
                return
            name = argument.partition("=")[0]
            if len(name) > 2 and name.startswith("--") and " " not in name and name not in known:
                hint = suggestion(name, known)
                self.error(f"no option {name!r}" + (f", did you mean {hint}?" if hint else ""))


def subparsers_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands below this one, by name; empty where there are none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def suggestion(typed: str, known: Iterable[str]) -> str:
    """The one of `known` that may have been meant, or nothing."""
    import difflib

    near = difflib.get_close_matches(typed, list(known), 1, cutoff=0.6)
    return near[0] if near else ""


def command_parser(name: str) -> Parser:
    """The parser of what follows `vego NAME`."""
    module = module_of(name)
    parser = Parser(prog=f"vego {name}", description=module.__doc__)
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def overview() -> str:
    """What `vego --help` prints."""
    lines = ["usage: vego COMMAND [ARGUMENTS]", "       vego --help | --version", "", _ABOUT.rstrip()]
    headings = dict.fromkeys(heading for heading, _ in COMMANDS.values())
    for heading in headings:
        lines += ["", f"{heading}:"]
        lines += [
            f"  {name:<11} {module_of(name).HELP}"
            for name, (under, _) in COMMANDS.items()
            if under == heading
        ]
    return "\n".join([*lines, "", _EXAMPLES])


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of one call; `run` in them is the function to call with them.

    Raises InvalidArgumentError; SystemExit(0) after --help and --version.
    """
    first = arguments[0] if arguments else "--help"
    if first in COMMANDS:
        parser = command_parser(first)
        parser.check_options(arguments[1:])
        return parser.parse_intermixed_args(arguments[1:])  # options may stand between the words
    if first in ("--help", "-h", "help"):
        if len(arguments) > 1 and arguments[1] in COMMANDS:
            print(command_parser(arguments[1]).format_help(), end="")
        else:
            print(overview(), end="")
        raise SystemExit(0)
    if first == "--version":
        print(f"vego {vego.__version__}")
        raise SystemExit(0)
    kind = "option" if first.startswith("-") else "command"
    near = suggestion(first, ("--help", "--version") if kind == "option" else COMMANDS)
    hint = f"did you mean `vego {near}`?" if near else f"there are {', '.join(COMMANDS)}"
    raise InvalidArgumentError(f"no {kind} {first!r}; {hint}")
