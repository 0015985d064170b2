"""Completion scripts, run by the shells they are for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vego.cli import main
from vego.cli.arguments import COMMANDS, Parser, command_parser
from vego.cli.completion import Command, zsh
from vego.cli.completion import bash as completion_bash

BASH, ZSH = shutil.which("bash"), shutil.which("zsh")
COMPLETE = """
source /dev/stdin <<'SCRIPT'
{script}
SCRIPT
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_vego
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    command = [sys.executable, "-m", "vego.cli", "completion"]
    root = Path(__file__).resolve().parents[1]
    return {
        shell: subprocess.run([*command, shell], cwd=root, capture_output=True, text=True, check=True).stdout
        for shell in ("bash", "zsh")
    }


def bash(script: str, *words: str) -> list[str]:
    """What bash would offer for the last of `words`."""
    quoted = " ".join(f'"{word}"' for word in words)
    done = subprocess.run(
        [BASH, "--norc", "-c", COMPLETE.format(script=script, words=quoted)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_offers_commands_and_every_option(scripts):
    script = scripts["bash"]
    assert bash(script, "vego", "") == [*COMMANDS, "--help", "--version"]
    assert sorted(bash(script, "vego", "ver")) == ["verify", "version", "versions"]
    assert bash(script, "vego", "nothing") == []
    for name in COMMANDS:
        known = [option for action in command_parser(name)._actions for option in action.option_strings]
        assert bash(script, "vego", name, "-") == known
        long = [option for option in known if option.startswith("--")]
        assert bash(script, "vego", name, "x", "--") == long


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_bash_offers_values_and_leaves_files_to_the_shell(scripts):
    script = scripts["bash"]
    assert bash(script, "vego", "completion", "") == ["bash", "zsh"]
    assert bash(script, "vego", "completion", "z") == ["zsh"]
    assert bash(script, "vego", "shell", "db", "--mode", "js") == ["json", "jsonl"]
    assert bash(script, "vego", "shell", "--mode", "=", "c") == ["csv"]
    assert bash(script, "vego", "shell", "--mode", "=") == ["table", "line", "json", "jsonl", "csv"]
    assert bash(script, "vego", "shell", "-c", "--") == []  # any text
    assert bash(script, "vego", "inspect", "") == []
    views = ["tree", "pages", "map", "page", "head"]
    assert bash(script, "vego", "inspect", "f.lfmt", "") == views
    assert bash(script, "vego", "inspect", "--json", "f.lfmt", "tree", "pa") == ["pages", "page"]
    assert bash(script, "vego", "inspect", "--column", "price", "") == []  # FILE stands behind it
    assert bash(script, "vego", "inspect", "diff", "a", "") == []
    assert "complete -o bashdefault -o default -F _vego vego" in script


@pytest.mark.skipif(ZSH is None, reason="needs zsh")
def test_zsh_accepts_the_script_and_its_rules(scripts, tmp_path):
    """`_arguments` is replaced by a function that shows the rules it is given; one line for each command."""
    (tmp_path / "_vego").write_text(scripts["zsh"])
    names = " ".join(COMMANDS)
    script = f"""
        compdef() {{ :; }}; source {tmp_path}/_vego
        _arguments() {{ print -rl -- "${{@}}"; print -- ---; }}
        _describe() {{ print -rl -- "${{(@P)4}}"; }}
        words=(vego ''); CURRENT=2; _vego; print -- ---
        for one in {names}; do words=(vego $one ''); CURRENT=3; _vego; done
    """
    done = subprocess.run([ZSH, "-f", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    offered, *rules = done.stdout.split("---\n")
    assert [line.partition(":")[0] for line in offered.split("\n")[:-1]] == list(COMMANDS)
    assert len(rules) == len(COMMANDS) + 1
    for name, text in zip(COMMANDS, rules, strict=False):
        for action in command_parser(name)._actions:
            for option in action.option_strings:
                assert re.search(rf"^(\(.*\))?{re.escape(option)}\[", text, re.MULTILINE), (name, option)
    assert "1:SHELL:(bash zsh)" in rules[list(COMMANDS).index("completion")]
    views = "{(( $words[(I)diff] )) && _files || compadd tree pages map page head}"
    assert f"1:FILE:_files\n*:VIEW:{views}" in rules[list(COMMANDS).index("inspect")]
    assert "*:PATH:_files" in rules[list(COMMANDS).index("verify")]


def nasty() -> Command:
    """A command whose help and values are full of what shells give a meaning to."""
    parser = Parser(prog="vego nasty")
    parser.add_argument("--option", metavar="A:B", help='it\'s [not] a: rule, \\ `$(echo no)` "x"')
    parser.add_argument("--pair", metavar=("OLD", "NEW"), nargs=2, type=Path, help="two")
    parser.add_argument("first", metavar="FIRST", choices=("one", "two"))
    parser.add_argument("rest", metavar="REST", nargs="*", type=Path)
    return Command.of("nasty", "it's: [nasty]", parser)


@pytest.mark.skipif(ZSH is None, reason="needs zsh")
def test_help_is_never_taken_for_rules_by_zsh(tmp_path):
    (tmp_path / "_vego").write_text(zsh([nasty()]))
    script = f"""
        compdef() {{ :; }}; source {tmp_path}/_vego
        _arguments() {{ print -rl -- "${{@}}"; }}
        words=(vego nasty ''); CURRENT=3; _vego
    """
    done = subprocess.run([ZSH, "-f", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[2:] == [
        '--option[it\'s (not) a; rule, / `$(echo no)` "x"]:A;B:',
        "--pair[two]:PAIR:_files:PAIR:_files",
        "1:FIRST:(one two)",
        "*:REST:_files",
    ]


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_values_of_the_nasty_command_in_bash():
    script = completion_bash([nasty()])
    assert bash(script, "vego", "nasty", "--") == ["--help", "--option", "--pair"]
    assert bash(script, "vego", "nasty", "t") == ["two"]


@pytest.mark.skipif(ZSH is None, reason="needs zsh")
def test_zsh_completes_for_real(scripts, tmp_path):
    """In a terminal of its own, with its own completion system."""
    pytest.importorskip("pty")
    from tests.support.terminals import Terminal

    (tmp_path / "_vego").write_text(scripts["zsh"])
    (tmp_path / "other-file.lfmt").touch()
    setup = f"cd {tmp_path}; fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -d dump; PS1='ready> '\n"
    environment = {"TERM": "vt100", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    with Terminal([ZSH, "-f", "-i"], environment) as terminal:
        terminal.type(setup)
        at = terminal.wait_for("ready> ", after=terminal.wait_for("PS1='ready> '"))
        terminal.type("vego comple\t")
        at = terminal.wait_for("completion", after=at)
        terminal.type(" z\t")
        at = terminal.wait_for("zsh", after=at)
        terminal.type("\x15vego repair --drop\t")
        terminal.wait_for("--drop-index", after=at)
        terminal.type("\x15vego inspect some.lfmt tr\t")
        at = terminal.wait_for("tree", after=at)
        terminal.type("\x15vego inspect diff some.lfmt other-fi\t")
        terminal.wait_for("other-file.lfmt", after=at)
        terminal.type("\x15exit\r")


def test_an_unknown_shell_is_refused(capsys):
    assert main(["completion", "fish"]) == 2
    assert "'bash', 'zsh'" in capsys.readouterr().err
