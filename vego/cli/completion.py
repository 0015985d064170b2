"""Print the script by which a shell completes `vego`: commands, options, their values, and names of files.

It is made from the commands of this version; make it anew after an upgrade.

examples:
  vego completion bash > ~/.local/share/bash-completion/completions/vego
  vego completion zsh > ~/.zfunc/_vego       where fpath has ~/.zfunc before compinit runs
  eval "$(vego completion bash)"             for this shell only
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PATHS = ("FILE", "DIR", "PATH", "OUT", "SRC", "DST")
HELP = "a script that lets bash or zsh complete all of this"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument("shell", metavar="SHELL", choices=("bash", "zsh"), help="bash or zsh")


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from vego.cli.arguments import COMMANDS, command_parser, module_of

    commands = [Command.of(name, module_of(name).HELP, command_parser(name)) for name in COMMANDS]
    print({"bash": bash, "zsh": zsh}[options.shell](commands), end="")
    return 0


@dataclass(frozen=True, slots=True)
class Value:
    """What an option or a place takes: one of `choices`, or names of files, or anything; `count` of them.

    After the word `files_after` ("": no such word) names of files follow instead.
    """

    label: str
    choices: tuple[str, ...]
    is_path: bool
    count: int  # 0: any number
    files_after: str = ""

    @classmethod
    def of(cls, action: argparse.Action) -> Value | None:
        """None for a flag."""
        if action.nargs == 0:
            return None
        label = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        choices = tuple(map(str, action.choices or getattr(action, "words", None) or ()))
        count = action.nargs if isinstance(action.nargs, int) else 0 if action.nargs in ("*", "+") else 1
        is_path = action.type is Path or label in _PATHS
        return cls(label, choices, is_path, count, getattr(action, "files_after", ""))


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its spellings, its help, and what it takes (None: nothing)."""

    names: tuple[str, ...]
    help: str
    value: Value | None


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a shell needs to know it."""

    name: str
    help: str
    options: tuple[Option, ...]
    places: tuple[Value, ...]

    @classmethod
    def of(cls, name: str, about: str, parser: argparse.ArgumentParser) -> Command:
        """What a parser takes."""
        actions = parser._actions
        options = tuple(
            Option(tuple(action.option_strings), _text(parser, action), Value.of(action))
            for action in actions
            if action.option_strings and action.help is not argparse.SUPPRESS
        )
        places = tuple(
            value for action in actions if not action.option_strings and (value := Value.of(action))
        )
        return cls(name, about, options, places)

    def first_words(self) -> int:
        """The first place that takes words, not names of files; -1 where there is none."""
        return next((number for number, place in enumerate(self.places) if place.choices), -1)


def _text(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help of an option, its %(default)s filled in, on one line."""
    return " ".join(parser._get_formatter()._expand_help(action).split()) if action.help else ""


_BASH = """\
# Completion of `vego` for bash; made by `vego completion bash`.
_vego() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} options= words= place=0 i
    COMPREPLY=()
    if (( COMP_CWORD == 1 )); then
        COMPREPLY=( $(compgen -W "{commands} --help --version" -- "$cur") )
        return
    fi
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    case "${{COMP_WORDS[1]}} $prev" in
{values}
    esac
    for (( i = 2; i < COMP_CWORD; i++ )); do
        case "${{COMP_WORDS[1]}} ${{COMP_WORDS[i-1]}}" in
{takers}
        esac
        [[ ${{COMP_WORDS[i]}} == -* ]] || (( place += 1 ))
    done
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=( $(compgen -W "$options" -- "$cur") )
    elif [[ -n $words ]]; then
        COMPREPLY=( $(compgen -W "$words" -- "$cur") )
    fi
}}
complete -o bashdefault -o default -F _vego vego
"""


def bash(commands: Iterable[Command]) -> str:
    """The script for bash 3.2 and later; names of files are left to the shell's own completion."""
    commands = list(commands)
    values = [
        f'        {_each(command.name, option.names)}) COMPREPLY=( $(compgen -W "{" ".join(choices)}" '
        '-- "$cur") ); return ;;'
        if (choices := option.value.choices)
        else f"        {_each(command.name, option.names)}) return ;;"
        for command in commands
        for option in command.options
        if option.value is not None
    ]
    takers = [
        f"            {_each(command.name, option.names)}) continue ;;"
        for command in commands
        for option in command.options
        if option.value is not None
    ]
    cases = [
        f'        {command.name}) options="{" ".join(_names(command))}"{_words(command)} ;;'
        for command in commands
    ]
    names = " ".join(command.name for command in commands)
    return _BASH.format(
        commands=names, values="\n".join(values), takers="\n".join(takers), cases="\n".join(cases)
    )


def _words(command: Command) -> str:
    """Sets `words` at the place where a command takes some."""
    first = command.first_words()
    if first < 0:
        return ""
    value = command.places[first]
    here = f"(( place {'==' if value.count else '>='} {first} ))"
    if value.files_after:
        here += f' && [[ " ${{COMP_WORDS[*]}} " != *" {value.files_after} "* ]]'
    return f'; {here} && words="{" ".join(value.choices)}"'


def _each(command: str, names: Iterable[str]) -> str:
    return " | ".join(f'"{command} {name}"' for name in names)


def _names(command: Command) -> Iterator[str]:
    for option in command.options:
        yield from option.names


_ZSH = """\
#compdef vego
# Completion of `vego` for zsh; made by `vego completion zsh`.
_vego() {{
    local -a commands
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        _describe -t commands command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{cases}
    esac
}}
if [[ $funcstack[1] == _vego ]]; then
    _vego "$@"
else
    compdef _vego vego
fi
"""


def zsh(commands: Iterable[Command]) -> str:
    """The script for zsh: to be sourced, or as the file _vego of a directory of fpath."""
    commands = list(commands)
    names = "\n".join(f"        {_quoted(f'{command.name}:{_plain(command.help)}')}" for command in commands)
    cases = []
    for command in commands:
        rules = [_rule(option) for option in command.options]
        rules += _places(command)
        cases.append(f"        {command.name})\n            _arguments {' '.join(rules)} ;;")
    return _ZSH.format(commands=names, cases="\n".join(cases))


def _rule(option: Option) -> str:
    """The rule of an option, as `_arguments` reads it."""
    about = f"[{_plain(option.help)}]"
    value = "" if option.value is None else _taken(option.value) * max(option.value.count, 1)
    if len(option.names) == 1:
        return _quoted(f"{option.names[0]}{about}{value}")
    exclusive = _quoted("(" + " ".join(option.names) + ")")
    return exclusive + "{" + ",".join(option.names) + "}" + _quoted(about + value)


def _places(command: Command) -> Iterator[str]:
    """The rules of what stands where no option does."""
    number = 1
    for place in command.places:
        for _ in range(max(place.count, 1)):
            yield _quoted(f"{number if place.count else '*'}{_taken(place)}")
            number += 1


def _taken(value: Value) -> str:
    action = f"({' '.join(value.choices)})" if value.choices else "_files" if value.is_path else ""
    if value.files_after:
        action = f"{{(( $words[(I){value.files_after}] )) && _files || compadd {' '.join(value.choices)}}}"
    return f":{_plain(value.label)}:{action}"


_PUNCTUATION = str.maketrans("[]:\\", "();/")


def _quoted(text: str) -> str:
    """`text` as one word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _plain(text: str) -> str:
    """Help without what `_arguments` and `_describe` take for punctuation."""
    return text.translate(_PUNCTUATION)
