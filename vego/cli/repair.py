"""Repair a damaged collection: drop its index, or go back to an earlier version of it.

No rows are deleted: what is newer than the version asked for moves to the directory `set-aside` of the
collection. Run it when an error names this command, and copy the database first if you can.

examples:
  vego repair ./mydb --collection notes --drop-index
  vego repair ./mydb --collection notes --to-version 12
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import vego

HELP = "drop the index of a damaged collection, or go back to an earlier version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Database, collection and version."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("--collection", metavar="NAME", required=True, help="the damaged collection")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to-version", metavar="N", type=int, help="the version to go back to")
    what.add_argument("--drop-index", action="store_true", help="drop the index; it can be built again")
    parser.add_argument("--json", action="store_true", help="what was done, as JSON")


def run(options: argparse.Namespace) -> int:
    """Repair, then open the collection and say what it has and what it lacks."""
    done = _drop_index(options) if options.drop_index else _go_back(options)
    if options.json:
        print(json.dumps(done, indent=2, ensure_ascii=False))
    else:
        for line in _lines(options, done):
            print(line)
    return 0


def _drop_index(options: argparse.Namespace) -> dict[str, Any]:
    from vego.repair import drop_index

    version = drop_index(options.directory, options.collection)
    return {"collection": options.collection, "version": version, "index": None}


def _go_back(options: argparse.Namespace) -> dict[str, Any]:
    """What moved, what the collection has now, and which rows of the files that moved it lacks."""
    import vego
    from vego.repair import set_aside_versions_after

    repaired = set_aside_versions_after(options.directory, options.collection, options.to_version)
    with vego.open(options.directory, read_only=True, create=False) as database:
        collection = database.collection(options.collection)
        missing = [
            {"file": path, "documents": absent, "columns": columns}
            for path in repaired.files
            if (columns := _schema(options.directory / path)) and "$id" in columns
            if (absent := _absent(options.directory / path, collection))
        ]
        return {
            "collection": options.collection,
            "version": repaired.version,
            "moved": [*repaired.manifests, *repaired.files],
            "documents": len(collection),
            "missing": missing,
        }


def _absent(path: Path, collection: vego.Collection) -> int:
    import lance_fmt

    with lance_fmt.open(path) as file:
        ids = file.read(["$id"])["$id"].to_pylist()
    return sum(1 for name in ids if name not in collection)


def _schema(path: Path) -> list[str]:
    """Column names of a file that moved; none where it is damaged, too."""
    import lance_fmt

    try:
        with lance_fmt.open(path) as file:
            return file.schema.names
    except lance_fmt.FormatError:
        return []


def _lines(options: argparse.Namespace, done: dict[str, Any]) -> list[str]:
    from vego_tools.terminal import counted, printable

    name, version = repr(done["collection"]), done["version"]
    if options.drop_index:
        return [
            f"version {version} of {name} has no index: searches scan its rows",
            "the next large insert builds one, or collection.build_index() does now",
        ]
    moved = done["moved"]
    lines = [
        f"version {version} of {name} is the newest now",
        "nothing had to be moved" if not moved else "moved out of the way, nothing was deleted:",
        *(f"  {printable(str(options.directory / path))}" for path in moved),
        f"it opens and has {counted(done['documents'], 'document')}, those in the write-ahead log included",
    ]
    for one in done["missing"]:
        absent, columns = counted(one["documents"], "document"), printable(", ".join(one["columns"]))
        lines += [
            f"{absent} of {one['file']} are not in it (columns: {columns}):",
            "  read them with lance_fmt.open(...).read() and insert those that are still wanted",
        ]
    return lines
