"""Real power cuts: a file system of its own is shut down under a writer, mounted again, and everything is there.

The ioctl drops what was not synced and cuts the journal, as a power failure does; mounting replays the journal. Only
acknowledgements that had arrived before the cut count.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.history import replay
from tests.vego.test_durability import CHILD, LARGE, NAMES, stored

EXT4_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
CUTS = int(os.environ.get("VEGO_POWER_CUTS", "6"))


class Disk:
    """An ext4 image on a loop device, mounted at `place`."""

    def __init__(self, directory: Path) -> None:
        self.image = directory / "image"
        self.place = directory / "mounted"
        self.place.mkdir()
        with self.image.open("wb") as file:
            file.truncate(64 << 20)
        self._run("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def _run(self, *command: str) -> None:
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip(f"there is no {command[0]}")
        if done.returncode:
            pytest.skip(f"{command[0]} does not work here: {done.stderr.decode().strip()}")

    def mount(self) -> None:
        self._run("mount", "-o", "loop,commit=1", str(self.image), str(self.place))

    def cut(self) -> None:
        """Power off and on again."""
        handle = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.place)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    disk = Disk(tmp_path)
    yield disk
    subprocess.run(["umount", "-l", str(disk.place)], check=False, capture_output=True)


@pytest.mark.crash
def test_power_cuts_lose_nothing_acknowledged(disk: Disk) -> None:
    seed = int(os.environ.get("VEGO_SEED", random.SystemRandom().randrange(10_000)))
    print(f"VEGO_SEED={seed}")
    rng = random.Random(seed)
    state: dict[str, int] = {}
    acknowledged = 0
    for turn in range(CUTS):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(disk.place / "db"), str(seed + turn), LARGE[turn % 2]],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        lines: list[str] = []
        reader = threading.Thread(target=lambda lines=lines, out=child.stdout: lines.extend(out), daemon=True)
        reader.start()
        time.sleep(rng.uniform(0.05, 1.5))
        before = len(lines)
        disk.cut()
        child.kill()
        reader.join()
        child.wait()
        child.stdout.close()
        # What was printed after the cut may have been in memory only; what was tried may have reached the disk.
        known = [line.strip() for line in lines[:before]]
        later = [line.strip() for line in lines[before:] if line.endswith("\n")]
        acknowledged += sum(line.startswith("done") for line in known)
        disk.unmount()
        disk.mount()
        found = stored(disk.place / "db", NAMES)
        possible = [replay(known + later[:count], state) for count in range(len(later) + 1)]
        assert any(found in states for states in possible), f"seed {seed}, turn {turn}"
        state = found
    assert acknowledged > CUTS
    disk.unmount()
