"""`vego warmup`: all steps, alone and in several processes, and what becomes of those when something fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

import vego
from vego.cli import main
from vego_tools import warmup
from vego_tools.warmup_processes import WarmupError, shared_out


@pytest.fixture(name="children")
def children_fixture(monkeypatch):
    started = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    yield started
    assert all(child.returncode is not None for child in started), "a process is left"


def test_it_searches_in_every_way_there_is(tmp_path):
    with vego.open(tmp_path / "db", dimension=warmup.DIMENSION, durability="none") as database:
        assert len(list(warmup._graph_steps(database))) > 3
        documents = database.collection("warmup")
        for strategy, (text, ef) in warmup.FILTERED.items():
            query = np.ones(warmup.DIMENSION, np.float32)
            assert documents.explain(query, 1, filter=text, ef=ef).strategy == strategy


def test_several_processes_do_what_one_does(capsys, children):
    assert main(["warmup", "--json", "--jobs", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not children
    assert found["seconds"] >= sum(step["seconds"] for step in found["steps"]) * 0.99
    names = {step["step"] for step in found["steps"]} - {"loading the compiler"}
    assert "searching with filters" in names
    assert main(["warmup", "--jobs", "2"]) == 0
    assert len(children) == 2
    *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith("done in")
    assert sorted(line[:40].rstrip() for line in lines) == sorted(names)


def test_jobs_are_counted_from_one(capsys):
    assert main(["warmup", "--jobs", "0"]) == 2
    assert "0 is less than 1" in capsys.readouterr().err


def test_a_part_that_fails_is_named(children, capfd):
    with pytest.raises(WarmupError, match="compiling no such part: KeyError: 'no such part'"):
        list(shared_out(["booleans", "no such part"], 2))
    assert "Traceback" in capfd.readouterr().err


def test_a_process_that_dies_is_reported(children):
    steps = shared_out(["booleans", "floats", "booleans"], 1)
    next(steps)
    children[0].send_signal(signal.SIGKILL)
    with pytest.raises(WarmupError, match="the process ended with status -9"):
        list(steps)


def test_who_stops_listening_leaves_no_process_and_no_file(children, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    steps = shared_out(["booleans", "graph", "l1"], 2)
    assert next(steps)[1] >= 0
    assert list(tmp_path.iterdir())
    assert all(child.poll() is None for child in children)
    steps.close()
    assert not list(tmp_path.iterdir())


def test_an_interrupt_ends_all_without_a_traceback(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-m", "vego.cli", "warmup", "--jobs", "2"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert child.stdout.readline()
    os.killpg(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (130, "vego: interrupted\n")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):  # nobody is left in its group
        os.killpg(child.pid, 0)
