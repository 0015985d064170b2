"""Parts of the warm-up shared out to processes, as compiling is done by one thread of each.

A process is this module: it reads names of parts from its input, a line each, and answers with lines of JSON: a step
that it did, the end of the part, or what went wrong.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

from vego.errors import VegoError

Step = tuple[str, float]
SECONDS_TO_LEAVE = 10  # for a process to remove its files


class WarmupError(VegoError):
    """A process that compiles failed; the message names the part."""


def default_jobs() -> int:
    """One for each processor this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared_out(parts: Sequence[str], jobs: int) -> Iterator[Step]:
    """Do `parts` in `jobs` processes, each taking the next when it is done with one; yields steps as they are done.

    Raises WarmupError where a process fails. No process is left, however this ends.
    """
    # A child that is ended while it makes or removes a directory of its own cannot see to that any more.
    with tempfile.TemporaryDirectory(prefix="vego-warmup-") as directory:
        yield from _shared_out(parts, [_Worker(directory) for _ in range(jobs)])


def _shared_out(parts: Sequence[str], workers: Sequence[_Worker]) -> Iterator[Step]:
    waiting, news = deque(parts), queue.SimpleQueue[Step | BaseException | None]()

    def serve(worker: _Worker) -> None:
        try:
            while waiting:
                with suppress(IndexError):  # another took the last
                    for step in worker.do(waiting.popleft()):
                        news.put(step)
        except BaseException as problem:
            news.put(problem)
        news.put(None)

    threads = [threading.Thread(target=serve, args=(worker,)) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        working = len(workers)
        while working:
            match news.get():
                case None:
                    working -= 1
                case BaseException() as problem:
                    raise problem
                case step:
                    yield step
    finally:
        waiting.clear()
        for worker in workers:
            worker.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


class _Worker:
    """A process that does parts, whose temporary files are in `directory`."""

    def __init__(self, directory: str) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "vego_tools.warmup_processes"],
            env=os.environ | {"TMPDIR": directory, "TEMP": directory, "TMP": directory},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, part: str) -> Iterator[Step]:
        """Have a part done."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with suppress(BrokenPipeError):  # it is dead, and has nothing to say either
            print(part, file=self._child.stdin, flush=True)
        for line in self._child.stdout:
            match json.loads(line):
                case {"step": what, "seconds": seconds}:
                    yield what, seconds
                case {"error": text}:
                    raise WarmupError(f"compiling {part}: {text}")
                case _:
                    return
        raise WarmupError(f"compiling {part}: the process ended with status {self._child.wait()}")

    def stop(self) -> None:
        """End the process, whatever it does; what it has compiled is kept."""
        self._child.terminate()
        try:
            self._child.wait(SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def work() -> None:
    """What a process does until its input ends, or it is told to leave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it is interrupted, too, and ends it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    from vego_tools.warmup import load_compiler, steps_of

    load_compiler()
    for line in sys.stdin:
        try:
            for what, seconds in steps_of(line.strip()):
                print(json.dumps({"step": what, "seconds": seconds}), flush=True)
            answer = {"done": line.strip()}
        except Exception as problem:
            traceback.print_exc()
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        work()
