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
from tests.support.checksums import repair_footer
from vego.cli import main
from vego.cli.arguments import COMMANDS, Parser, command_parser, module_of
from vego.store import LocalStore
from vego_tools import terminal, warmup
from vego_tools.demo.sample import PACKAGES

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vego.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def make_database(path: Path, rows: int = 30, index: str = "hnsw") -> None:
    vectors = np.random.default_rng(1).standard_normal((rows, 4)).astype(np.float32)
    with vego.open(path, dimension=4, index=index) as database:
        documents = database.collection("notes")
        documents.insert_batch(
            ids=[f"n{row}" for row in range(rows)], vectors=vectors, metadata={"number": list(range(rows))}
        )
        documents.delete("n3")


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


# -- stats, warmup -------------------------------------------------------------------------------------


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


def test_warmup_searches_in_every_way_there_is(tmp_path):
    with vego.open(tmp_path / "db", dimension=warmup.DIMENSION, durability="none") as database:
        assert len(list(warmup._steps(database))) > 3
        documents = database.collection("warmup")
        for strategy, (text, ef) in warmup.FILTERED.items():
            query = np.ones(warmup.DIMENSION, np.float32)
            assert documents.explain(query, 1, filter=text, ef=ef).strategy == strategy


def test_version_as_json(capsys):
    assert main(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["vego"] == vego.__version__
    assert found["packages"]["numpy"] == np.__version__


def test_warmup_as_json(capsys):
    assert main(["warmup", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "searching with filters" in {step["step"] for step in found["steps"]}
    assert found["seconds"] >= sum(step["seconds"] for step in found["steps"]) * 0.99


def test_warmup_reports_each_step(capsys):
    assert main(["warmup"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("done in")
    assert any(line.startswith("searching with filters") for line in lines)


# -- repair --------------------------------------------------------------------------------------------


def manifests(database: Path) -> list[Path]:
    return sorted((database / "collections/notes/manifests").glob("*.manifest"))


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_a_damaged_newest_manifest_is_repaired_by_the_command_the_error_names(tmp_path, capsys):
    directory = tmp_path / "db"
    make_database(directory)
    with vego.open(directory) as database:
        documents = database.collection("notes")
        documents.flush()
        documents.insert(id="late", vector=[1, 2, 3, 4])
        documents.flush()
        documents.insert(id="last", vector=[1, 2, 3, 5])  # in the log that follows the version to be damaged
        documents.delete("n7")
        expected = {name: documents.get(name) for name in [*(f"n{row}" for row in range(30)), "late", "last"]}
    assert expected["n3"] is None
    assert expected["n7"] is None
    assert expected["late"] is not None
    flip(manifests(directory)[-1], -3)

    with vego.open(directory) as database, pytest.raises(vego.CorruptionError) as raised:
        database.collection("notes")
    command = str(raised.value).split("`")[1].split()
    assert command[:2] == ["vego", "repair"]
    assert main(command[1:]) == 0

    shown = capsys.readouterr().out
    assert "30 documents" in shown
    assert "set-aside" in shown
    with vego.open(directory) as database:
        documents = database.collection("notes")
        assert {name: documents.get(name) for name in expected} == expected
        documents.insert(id="after", vector=[4, 3, 2, 1])
        documents.flush()
    with vego.open(directory, read_only=True) as database:
        assert len(database.collection("notes")) == 31  # 30 before, and "after"


def test_a_damaged_parent_is_set_aside_and_the_newer_version_kept(tmp_path, capsys):
    directory = tmp_path / "db"
    make_database(directory)
    with vego.open(directory) as database:
        documents = database.collection("notes")
        documents.flush()
        documents.insert(id="late", vector=[1, 2, 3, 4])
        documents.flush()
    parent = manifests(directory)[-2]
    flip(parent, -3)
    with vego.open(directory) as database, pytest.raises(vego.CorruptionError) as raised:
        database.collection("notes")
    capsys.readouterr()
    assert main([*str(raised.value).split("`")[1].split()[1:], "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["moved"]
    assert all((directory / path).exists() for path in done["moved"])
    assert (done["collection"], done["documents"]) == ("notes", 30)
    assert not parent.exists()
    with vego.open(directory) as database:
        assert len(database.collection("notes")) == 30


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_repair_that_was_cut_short_is_finished_by_the_next(renames, tmp_path, monkeypatch, capsys):
    directory = tmp_path / "db"
    make_database(directory)
    with vego.open(directory) as database:
        database.collection("notes").flush()
        database.collection("notes").insert(id="late", vector=[1, 2, 3, 4])
        database.collection("notes").flush()
    newest = manifests(directory)[-1]
    flip(newest, -3)
    command = ["repair", str(directory), "--collection", "notes", "--to-version", str(int(newest.stem) - 1)]
    done = []
    rename = LocalStore.rename

    def failing(store, path, new):
        if len(done) == renames:
            raise vego.StorageError("the disk went away")
        done.append(path)
        rename(store, path, new)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "rename", failing)
        expected = 2 if renames < 2 else 0  # a segment and a manifest move
        assert main(command) == expected
    assert main(command) == 0
    capsys.readouterr()
    with vego.open(directory) as database:
        assert len(database.collection("notes")) == 30


def test_rows_that_only_the_damaged_version_had_are_kept_aside(tmp_path, capsys):
    directory = tmp_path / "db"
    make_database(directory, index="flat")
    many = 2_000  # so many rows become a segment at once, without passing through the log
    with vego.open(directory) as database:
        documents = database.collection("notes")
        documents.flush()
        documents.insert_batch(ids=[f"m{row}" for row in range(many)], vectors=np.ones((many, 4), np.float32))
    newest = manifests(directory)[-1]
    flip(newest, -3)
    version = int(newest.stem) - 1
    assert main(["repair", str(directory), "--collection", "notes", "--to-version", str(version)]) == 0
    assert f"{many:,} documents of collections/notes/set-aside/1/" in capsys.readouterr().out
    with vego.open(directory) as database:
        assert len(database.collection("notes")) == 29
    aside = sorted((directory / "collections/notes/set-aside/1").iterdir())
    assert newest.name in {path.name for path in aside}
    segment = next(path for path in aside if path.suffix == ".lfmt")
    with lance_fmt.open(segment) as file:
        assert file.num_rows == many


def test_repair_to_the_newest_version_moves_nothing(tmp_path, capsys):
    make_database(tmp_path / "db")
    before = sorted(tmp_path.rglob("*"))
    newest = int(manifests(tmp_path / "db")[-1].stem)
    assert main(["repair", str(tmp_path / "db"), "--collection", "notes", "--to-version", str(newest)]) == 0
    assert "nothing had to be moved" in capsys.readouterr().out
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "LOCK"] == [
        path for path in before if path.name != "LOCK"
    ]


@pytest.mark.parametrize(
    ("collection", "version", "message"),
    [("notes", "77", "no version 77; there are"), ("other", "1", "no collection 'other'")],
)
def test_repair_refuses_what_is_not_there(collection, version, message, tmp_path, capsys):
    make_database(tmp_path / "db")
    assert main(["repair", str(tmp_path / "db"), "--collection", collection, "--to-version", version]) == 2
    assert message in capsys.readouterr().err


def test_repair_refuses_a_version_whose_files_are_gone(tmp_path, capsys):
    make_database(tmp_path / "db")
    with vego.open(tmp_path / "db") as database:
        database.collection("notes").flush()
    next((tmp_path / "db/collections/notes/data").iterdir()).unlink()
    newest = int(manifests(tmp_path / "db")[-1].stem)
    assert main(["repair", str(tmp_path / "db"), "--collection", "notes", "--to-version", str(newest)]) == 2
    assert "needs this file" in capsys.readouterr().err


def test_repair_waits_for_no_writer(tmp_path, capsys):
    make_database(tmp_path / "db")
    with vego.open(tmp_path / "db"):
        assert main(["repair", str(tmp_path / "db"), "--collection", "notes", "--to-version", "1"]) == 2
    assert "open for writing" in capsys.readouterr().err


# -- verify, salvage -----------------------------------------------------------------------------------


def make_file(path: Path, rows: int = 3000, **options: object) -> dict[str, list]:
    columns = {
        "number": [row * 7919 % 1009 for row in range(rows)],
        "text": [f"row {row}, {row * 31 % 977}" if row % 3 else None for row in range(rows)],
    }
    lance_fmt.write(path, columns, **options)
    return columns


def test_verify_of_whole_files(tmp_path, capsys):
    make_file(tmp_path / "a.lfmt")
    make_file(tmp_path / "b.lfmt", row_index=["number"], bloom=["text"])
    assert main(["verify", str(tmp_path / "a.lfmt"), str(tmp_path / "b.lfmt")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("every byte is right (3,000 rows, 2 columns)" in line for line in lines)


def test_verify_locates_damage_and_checks_the_other_files(tmp_path, capsys):
    damaged, whole = tmp_path / "damaged one.lfmt", tmp_path / "whole.lfmt"
    make_file(damaged)
    make_file(whole)
    with lance_fmt.open(damaged) as file:
        offset, _, rows, _ = file.column("text").pages[0].blocks[0]
    flip(damaged, offset + 9)
    assert main(["verify", str(damaged), str(whole)]) == 1
    text = capsys.readouterr().out
    assert "1 damaged place\n" in text
    assert f"byte {offset:,}: column 'text', page 0, block 0, rows 0 to {rows - 1}: " in text
    assert f"vego salvage '{damaged}' NEW.lfmt" in text
    assert "whole.lfmt: every byte is right" in text
    assert main(["verify", "--json", str(damaged), str(whole)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [report["rows"] for report in found] == [3000, 3000]
    assert [len(report["damage"]) for report in found] == [1, 0]
    assert found[0]["damage"][0]["column"] == "text"
    assert found[0]["damage"][0]["offset"] == offset


@pytest.mark.parametrize("damage", ["cut", "footer", "schema", "text"])
def test_verify_of_a_file_whose_end_is_damaged(damage, tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    make_file(path)
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        path.write_text("this is no such file, but long enough to be one. " * 9)
    else:
        flip(path, -40 if damage == "footer" else -130)
    assert main(["verify", str(path)]) == 1
    assert "restore it from a copy" in capsys.readouterr().out
    out = tmp_path / "out.lfmt"
    assert main(["salvage", str(path), str(out)]) == 2
    shown = capsys.readouterr()
    assert "nothing of the file can be saved: restore it from a copy" in shown.err
    assert shown.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]


def test_verify_of_files_that_cannot_be_checked(tmp_path, capsys):
    make_file(tmp_path / "a.lfmt")
    newer = bytearray((tmp_path / "a.lfmt").read_bytes())
    newer[-12:-8] = (9).to_bytes(2, "little") + (3).to_bytes(2, "little")
    (tmp_path / "newer.lfmt").write_bytes(repair_footer(bytes(newer)))
    names = ["none.lfmt", "newer.lfmt", ".", "a.lfmt"]
    assert main(["verify", *(str(tmp_path / name) for name in names)]) == 2
    shown = capsys.readouterr()
    assert "none.lfmt: No such file" in shown.err
    assert "format version 9.3" in shown.err
    assert len(shown.err.splitlines()) == 3
    assert "a.lfmt: every byte is right" in shown.out
    assert main(["verify", "--json", *(str(tmp_path / name) for name in names)]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [bool(report["error"]) for report in found] == [True, True, True, False]


def test_salvage_keeps_what_is_left(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    columns = make_file(path, 40_000, row_index=["number"], bloom=["text"])
    with lance_fmt.open(path) as file:
        info = file.column("text")
        blocks = info.pages[0].blocks
        assert len(blocks) > 1
    flip(path, blocks[1][0] + 9)
    before = path.read_bytes()
    first, rows = info.block_rows, blocks[1][2]
    out = tmp_path / "nulls.lfmt"
    assert main(["salvage", str(path), str(out)]) == 0
    text = capsys.readouterr().out
    assert "40,000 of 40,000 rows saved" in text
    assert f"column 'text', page 0, block 1, rows {first} to {first + rows - 1}" in text
    with lance_fmt.open(out) as file:
        file.verify()
        assert (file.indexes("number"), file.indexes("text")) == (("row_index",), ("bloom",))
        assert file.read()["number"].to_pylist() == columns["number"]
        wanted = [None if first <= i < first + rows else v for i, v in enumerate(columns["text"])]
        assert file.read()["text"].to_pylist() == wanted
    assert main(["salvage", str(path), str(tmp_path / "rows.lfmt"), "--skip"]) == 0
    assert f"{40_000 - rows:,} of 40,000 rows saved" in capsys.readouterr().out
    with lance_fmt.open(tmp_path / "rows.lfmt") as file:
        wanted = [v for i, v in enumerate(columns["number"]) if not first <= i < first + rows]
        assert file.read()["number"].to_pylist() == wanted
    assert path.read_bytes() == before


def test_salvage_of_a_whole_file_and_of_a_file_that_lost_a_column(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    columns = make_file(path)
    assert main(["salvage", str(path), str(tmp_path / "same.lfmt")]) == 0
    assert "a plain copy" in capsys.readouterr().out
    with lance_fmt.open(path) as file:
        flip(path, file.column("number").metadata_offset + 3)
    assert main(["salvage", str(path), str(tmp_path / "less.lfmt")]) == 0
    assert "column 'number' could not be read at all" in capsys.readouterr().out
    with lance_fmt.open(tmp_path / "less.lfmt") as file:
        assert file.read().to_pydict() == {"text": columns["text"]}
    with lance_fmt.open(path) as file:
        flip(path, file.column("text").metadata_offset + 3)
    assert main(["salvage", str(path), str(tmp_path / "nothing.lfmt")]) == 2
    assert "no column can be read" in capsys.readouterr().err
    assert not (tmp_path / "nothing.lfmt").exists()


def test_salvage_as_json(tmp_path, capsys):
    path = tmp_path / "x.lfmt"
    make_file(path, 40_000)
    with lance_fmt.open(path) as file:
        flip(path, file.column("text").pages[0].blocks[1][0] + 9)
    assert main(["salvage", str(path), str(tmp_path / "rest.lfmt"), "--skip", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    with lance_fmt.open(tmp_path / "rest.lfmt") as rest:
        assert found["saved_rows"] == rest.num_rows < found["rows"]
    assert sum(place["rows"] for place in found["damage"]) == found["rows"] - found["saved_rows"]
    assert (found["damage"][0]["column"], found["damage"][0]["block"]) == ("text", 1)


def test_salvage_refuses_to_write_over_anything(tmp_path, capsys):
    path, out = tmp_path / "x.lfmt", tmp_path / "out.lfmt"
    make_file(path)
    out.write_text("precious")
    for dest in (out, path, tmp_path):
        assert main(["salvage", str(path), str(dest)]) == 2
        assert "exists; salvage writes a new file" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert main(["salvage", str(path), str(tmp_path / "no" / "out.lfmt")]) == 2
    assert main(["salvage", str(tmp_path / "none.lfmt"), str(tmp_path / "new.lfmt")]) == 2
    assert sorted(tmp_path.iterdir()) == [out, path]


def test_an_interrupted_salvage_leaves_nothing(tmp_path, monkeypatch, capsys):
    make_file(tmp_path / "x.lfmt")

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(lance_fmt.Writer, "write", interrupted)
    assert main(["salvage", str(tmp_path / "x.lfmt"), str(tmp_path / "out.lfmt")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["x.lfmt"]
    assert "Traceback" not in capsys.readouterr().err


def test_names_from_a_damaged_file_cannot_control_the_terminal(tmp_path, capsys):
    path = tmp_path / "evil \x1b[31m.lfmt"
    lance_fmt.write(path, {"\x1b[2J": list(range(100)), "b": list(range(100))})
    with lance_fmt.open(path) as file:
        flip(path, file.column("\x1b[2J").metadata_offset + 3)
    assert main(["verify", str(path)]) == 1
    assert main(["verify", str(tmp_path / "\x1b[31m.lfmt")]) == 2
    assert main(["salvage", str(path), str(tmp_path / "out \x1b[31m.lfmt")]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert "\\x1b[2J" in shown.out


# -- text for terminals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (4_679_497, "4.68 MB"), (99_960, "100 kB"),
     (2.5e9, "2.5 GB"), (999_600, "1 MB"), (3e12, "3 TB")],
)  # fmt: skip
def test_byte_size(count, text):
    assert terminal.byte_size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2e-6, "2 µs"),
        (85.3e-6, "85.3 µs"),
        (0.00124, "1.24 ms"),
        (0.9996, "1 s"),
        (12.6, "12.6 s"),
        (4000, "4,000 s"),
    ],
)
def test_duration(seconds, text):
    assert terminal.duration(seconds) == text


def test_tables_are_aligned_and_no_wider_than_the_terminal():
    rows = [["ab", "x" * 300, "1"], ["日本", "short", "1,000"]]
    lines = terminal.table(["name", "text", "n"], rows, right="n")
    assert max(map(terminal.display_width, lines)) <= terminal.WIDTH
    ends = {terminal.display_width(line) for line in lines}
    assert len(ends) == 1
    assert lines[1].rstrip().endswith("    1")
    assert "…" in lines[1]


def test_style_respects_no_color_and_pipes(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.Style.of_stdout().bold("a") != "a"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.Style.of_stdout().bold("a") == "a"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert terminal.Style.of_stdout().dim("a") == "a"


def test_a_damaged_index_is_dropped_by_the_command_the_error_names(tmp_path, capsys):
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (1500, 8)).astype(np.float32)
    with vego.open(tmp_path / "db", dimension=8, metric="l2") as database:
        database.collection("c").insert_batch(vectors=vectors)
    (path,) = (tmp_path / "db" / "collections" / "c" / "index").iterdir()
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    with vego.open(tmp_path / "db") as database, pytest.raises(vego.CorruptionError) as caught:
        database.collection("c")
    assert str(path) in str(caught.value)
    command = re.search("`vego (.*)`", str(caught.value))
    assert command is not None
    assert main(shlex.split(command[1])) == 0
    assert "no index" in capsys.readouterr().out
    with vego.open(tmp_path / "db") as database:
        collection = database.collection("c")
        assert collection.explain(vectors[0]).strategy == "exact"
        assert collection.search(vectors[3], k=1).distances[0] == 0
        collection.build_index()
        assert collection.explain(vectors[0]).strategy == "graph"
