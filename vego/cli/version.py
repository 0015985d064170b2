"""Print the versions of Vego and of what it runs on: what a report of a mistake should begin with."""

from __future__ import annotations

import argparse
import json

HELP = "versions of Vego and of what it runs on"
_NEEDED = ("numpy", "numba", "zstandard")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The form."""
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    """Print them."""
    import platform
    from importlib import metadata

    import vego

    packages = {name: metadata.version(name) for name in _NEEDED}
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    if options.json:
        found = {"vego": vego.__version__, "python": python, "system": system, "packages": packages}
        print(json.dumps(found, indent=2))
        return 0
    print(f"vego {vego.__version__}")
    print(f"python {python} on {system}")
    print(", ".join(f"{name} {version}" for name, version in packages.items()))
    return 0
