"""Repair a damaged collection: drop its index, or go back to an earlier version of it.

No rows are deleted: what is newer than the version asked for moves to the directory `set-aside` of the
collection. Run it when an error names this command, and copy the database first if you can.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import lance_fmt
import vego
from vego.repair import Repaired, drop_index, set_aside_versions_after
from vego_tools.terminal import counted, printable

HELP = "drop the index of a damaged collection, or go back to an earlier version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Database, collection and version."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("--collection", metavar="NAME", required=True, help="the damaged collection")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to-version", metavar="N", type=int, help="the version to go back to")
    what.add_argument("--drop-index", action="store_true", help="drop the index; it can be built again")


def run(options: argparse.Namespace) -> int:
    """Repair, then open the collection and say what it has and what it lacks."""
    if options.drop_index:
        version = drop_index(options.directory, options.collection)
        print(f"version {version} of {options.collection!r} has no index: searches scan its rows")
        print("the next large insert builds one, or collection.build_index() does now")
        return 0
    repaired = set_aside_versions_after(options.directory, options.collection, options.to_version)
    moved = [*repaired.manifests, *repaired.files]
    print(f"version {repaired.version} of {options.collection!r} is the newest now")
    print("nothing had to be moved" if not moved else "moved out of the way, nothing was deleted:")
    for path in moved:
        print(f"  {printable(str(options.directory / path))}")
    with vego.open(options.directory, read_only=True, create=False) as database:
        collection = database.collection(options.collection)
        print(
            f"it opens and has {counted(len(collection), 'document')}, those in the write-ahead log included"
        )
        _say_what_is_missing(options.directory, repaired, collection)
    return 0


def _say_what_is_missing(directory: Path, repaired: Repaired, collection: vego.Collection) -> None:
    for path in repaired.files:
        if "$id" not in (schema := _schema(directory / path)):
            continue
        with lance_fmt.open(directory / path) as file:
            ids = file.read(["$id"])["$id"].to_pylist()
        absent = sum(1 for name in ids if name not in collection)
        if absent:
            print(f"{counted(absent, 'document')} of {path} are not in it (columns: {', '.join(schema)}):")
            print("  read them with lance_fmt.open(...).read() and insert those that are still wanted")


def _schema(path: Path) -> list[str]:
    """Column names of a file that moved; none where it is damaged, too."""
    try:
        with lance_fmt.open(path) as file:
            return file.schema.names
    except lance_fmt.FormatError:
        return []
