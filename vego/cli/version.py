"""Print the versions of Vego, its file format and what they run on."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata

import vego

HELP = "versions of Vego and of what it runs on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but --help."""
    parser.set_defaults()


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command takes them
    """Print them."""
    print(f"vego {vego.__version__}")
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "numba", "zstandard")))
    return 0
