"""The worker processes: one per engine, asked one at a time, so that no engine disturbs another's clock.

An engine that is not installed, crashes, raises or overruns its time is left out with its reason; others go
on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "LANCE_CPU_THREADS",
)
TASK_SECONDS = 300


class EngineError(Exception):
    """The engine gave no answer; the message says why."""


def environment(threads: int) -> dict[str, str]:
    """The environment of every engine's process."""
    return os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))


def answer_of(task: str, line: str) -> dict[str, Any]:
    """One line of a worker as its answer; raises ``EngineError`` where it is a refusal."""
    answer: dict[str, Any] = json.loads(line)
    if "missing" in answer:
        raise EngineError(f"not installed ({answer['missing']}): pip install 'vego[bench]'")
    if "error" in answer:
        raise EngineError(f"{task}: {answer['error']}")
    return answer


class Process:
    """One engine's worker."""

    def __init__(self, module: str, name: str, folder: Path, threads: int, log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("w") as errors:
            self._child = subprocess.Popen(  # noqa: S603 - our own module, under this interpreter
                [sys.executable, "-m", module, name, str(folder), str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(threads),
                cwd=log.parent,
            )
        try:
            self.about = self._answer("start")
        except EngineError:
            self.stop()
            raise

    def ask(self, task: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one task; raises ``EngineError``."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps({"task": task, **arguments}) + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise EngineError(f"{task}: the process has ended; {self._last_words()}") from None
        return self._answer(task)

    def _answer(self, task: str) -> dict[str, Any]:
        assert self._child.stdout is not None
        watchdog = threading.Timer(TASK_SECONDS, self._child.kill)
        watchdog.start()
        line = self._child.stdout.readline()
        overdue = watchdog.finished.is_set()
        watchdog.cancel()
        if not line:
            how = f"no answer within {TASK_SECONDS} s" if overdue else "the process ended"
            raise EngineError(f"{task}: {how}; {self._last_words()}")
        return answer_of(task, line)

    def _last_words(self) -> str:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return words[-1] if words else "it said nothing"

    def stop(self) -> None:
        """End the process."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()


class Pool:
    """The workers that still answer, and why the others do not; ``module`` is what a worker runs."""

    def __init__(self, module: str, folder: Path, threads: int, say: Callable[[str], None]) -> None:
        self._module = module
        self._folder = folder
        self._threads = threads
        self._say = say
        self._workers: dict[str, Process] = {}
        self.versions: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def start(self, names: Iterable[str]) -> None:
        """Start a worker for each engine."""
        for name in names:
            try:
                worker = Process(
                    self._module, name, self._folder, self._threads, self._folder / f"{name}.log"
                )
            except EngineError as error:
                self.skip(name, str(error))
            else:
                self._workers[name] = worker
                self.versions[name] = worker.about["version"]

    def names(self, among: Iterable[str]) -> list[str]:
        """Those of ``among`` that still answer."""
        return [name for name in among if name in self._workers]

    def ask(self, name: str, task: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer, or None once the engine has failed."""
        if name not in self._workers:
            return None
        try:
            return self._workers[name].ask(task, **arguments)
        except EngineError as error:
            self.skip(name, str(error))
            return None

    def stop(self, names: Iterable[str]) -> None:
        """End these workers."""
        for name in self.names(names):
            self._workers.pop(name).stop()

    def skip(self, name: str, reason: str) -> None:
        """Leave the engine out from here on."""
        self.skipped[name] = reason
        self._say(f"{name} left out: {reason}")
        if name in self._workers:
            self._workers.pop(name).stop()
