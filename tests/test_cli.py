"""The command line: what it prints, how it ends, and that no mistake of a user ends in a traceback."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lance_fmt
import vego
from tests.support.command_line import make_database
from vego.cli import main
from vego.cli.arguments import COMMANDS, Parser, command_parser, module_of
from vego_tools import terminal
from vego_tools.demo.sample import PACKAGES

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vego.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


# -- help, mistakes, exit statuses ---------------------------------------------------------------------


def test_help_names_every_command_and_gives_examples(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert "vego inspect data.lfmt" in text
    assert max(map(len, text.splitlines())) <= terminal.WIDTH
    for name, (heading, _) in COMMANDS.items():
        under = text.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]
        assert f"  {name} " in under
        assert module_of(name).HELP in under


def test_without_arguments_help_is_shown(capsys):
    assert main([]) == 0
    assert "vego demo" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: vego {name}")
    assert module_of(name).__doc__.splitlines()[0].split()[0] in text
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_no_wider_than_the_terminal_and_keeps_examples(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([name, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    examples = [line for line in module_of(name).__doc__.splitlines() if line.startswith("  ")]
    assert set(examples) <= set(lines)
    assert max(len(line) for line in lines if line not in examples) <= 80
    assert max(map(len, lines)) <= terminal.WIDTH


@pytest.mark.parametrize("name", COMMANDS)
def test_modules_of_commands_are_light(name):
    """The help of all of them is shown by `vego --help`: what is heavy is imported when it is needed."""
    code = (
        f"import sys, argparse; from vego.cli.arguments import command_parser; command_parser({name!r}); "
        "heavy = {'numpy', 'numba', 'pyarrow', 'duckdb', 'prompt_toolkit', 'pandas'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def options_of(name: str) -> dict[str, str]:
    """The options of a command, by the spelling that is documented, and their help."""
    actions = command_parser(name)._actions
    return {
        option: action.help or ""
        for action in actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    }


def test_every_command_and_option_is_in_the_docs_with_its_arguments():
    guide = (ROOT / "docs/command-line.md").read_text()
    for name in COMMANDS:
        section = re.search(rf"^## `vego {name}\b.*?(?=^## |\Z)", guide, re.MULTILINE | re.DOTALL)
        assert section is not None, f"`vego {name}` has no section in docs/command-line.md"
        for option in options_of(name):
            assert f"`{option}" in section[0], f"{option} of `vego {name}` is not in docs/command-line.md"
        for action in command_parser(name)._actions:
            if not action.option_strings and isinstance(action.metavar, str):
                assert action.metavar in section[0], f"{action.metavar} of `vego {name}` is not in the docs"


def test_the_docs_name_no_command_or_option_there_is_not():
    guide = (ROOT / "docs/command-line.md").read_text()
    for section in re.split(r"^## ", guide, flags=re.MULTILINE)[1:]:
        name = re.match(r"`vego ([\w-]+)", section)
        if name is None:
            continue
        assert name[1] in COMMANDS
        for row in re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE):
            assert row in options_of(name[1]), f"docs/command-line.md: `vego {name[1]}` has no {row}"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"demo", "completion"}))
def test_what_is_data_can_be_had_as_json(name):
    assert "--json" in options_of(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name):
    parser = command_parser(name)
    assert isinstance(parser, Parser)
    for action in parser._actions:
        assert action.help, f"{action.option_strings or action.dest} of `vego {name}` has no help"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspct", "x"], "did you mean `vego inspect`?"),
        (["zzz"], "there are demo, shell, inspect"),
        (["--versoin"], "did you mean `vego --version`?"),
        (["stats", "--jsno", "x"], "did you mean --json?"),
        (["repair", "--colection", "x"], "did you mean --collection?"),
        (["completion", "fish"], "invalid choice: 'fish'"),
        (["inspect"], "required: FILE"),
        (["inspect", "x", "--jsn"], "--jsn"),
        (["inspect", "/no/such/file.lfmt"], "/no/such/file.lfmt: No such file"),
        (["inspect", "/"], "`vego stats /` shows"),
        (["stats", "/no/such/database"], "not a Vego database"),
        (["repair", "/no/such/database", "--collection", "a", "--to-version", "1"], "not a Vego database"),
        (["repair", "x", "--collection", "a", "--to-version", "one"], "invalid int value"),
        (["verify"], "required: PATH"),
        (["salvage", "x.lfmt"], "required: OUT"),
        (["salvage", "/no/such/file.lfmt", "/no/such/copy.lfmt"], "/no/such/file.lfmt: No such file"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, message, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.startswith("vego: ")
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path, capsys):
    assert main(["inspect", str(tmp_path / "\x1b[31mred\n.lfmt")]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_ctrl_c_is_status_130(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(module_of("version"), "run", interrupted)
    assert main(["version"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_as_a_program():
    done = run("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"vego {vego.__version__}\n")
    failed = run("inspect", "/no/such/file.lfmt")
    assert failed.returncode == 2
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_streams_are_no_error(redirection):
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m vego.cli version {redirection}",
        shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_once():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "vego.cli", "version"],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "vego: No space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_cannot_show_a_character_shows_another(encoding, tmp_path):
    lance_fmt.write(tmp_path / "x.lfmt", {"name ż": ["日本"]})
    command = [sys.executable, "-m", "vego.cli", "shell", str(tmp_path), "--engine", "vego", "-c", ".head"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "TERM": "nonsense", "COLUMNS": "7"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert ("日本" if encoding == "utf-8" else "??") in done.stdout.decode(encoding)


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", str(PACKAGES), "--json"],
        ["verify", *[str(PACKAGES)] * 3],
        ["shell", str(PACKAGES), "--engine", "vego", "--mode", "csv", "-c", "SELECT * FROM packages"],
        ["completion", "bash"],
    ],
)
def test_a_reader_that_leaves_early_is_no_error(arguments):
    command = [sys.executable, "-m", "vego.cli", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        message = process.stderr.read()
    assert message == b""
    assert process.returncode in (0, 128 + signal.SIGPIPE)


@pytest.mark.parametrize("arguments", [["--help"], ["inspect", str(PACKAGES), "pages"]])
def test_starting_is_light(arguments):
    """numba alone takes longer to import than these commands take to run."""
    code = (
        "import sys; from vego.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(f'{status}: numba was imported' if status or 'numba' in sys.modules else 0)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


# -- stats -------------------------------------------------------------------------------------


def test_stats(tmp_path, capsys):
    make_database(tmp_path / "db")
    assert main(["stats", str(tmp_path / "db")]) == 0
    text = capsys.readouterr().out
    assert "collection notes" in text
    assert "dimension 4, metric cosine" in text
    assert "29, 1 deleted row" in text
    assert "number" in text
    assert "VEGO" in text


def test_stats_as_json_agree_with_the_files(tmp_path, capsys):
    make_database(tmp_path / "db")
    assert main(["stats", str(tmp_path / "db"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["documents"] for one in found["collections"]] == [29]
    on_disk = {
        path.relative_to(tmp_path / "db").as_posix(): path.stat().st_size
        for path in (tmp_path / "db").rglob("*")
        if path.is_file()
    }
    assert found["files"] == on_disk
    assert found["bytes"] == sum(on_disk.values())


def test_stats_change_nothing(tmp_path):
    make_database(tmp_path / "db")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "db").rglob("*")}
    assert main(["stats", str(tmp_path / "db")]) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "db").rglob("*")} == before


def test_version_as_json(capsys):
    assert main(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["vego"] == vego.__version__
    assert found["packages"]["numpy"] == np.__version__
