"""Repair a damaged database; the errors that need it, and `vego verify`, name the command.

No rows are deleted: what is taken out of the way moves to the directory `set-aside` of the collection. Copy the
database first if you can.

examples:
  vego repair ./mydb --collection notes --drop-index
  vego repair ./mydb --collection notes --to-version 12
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vego.errors import InvalidArgumentError

if TYPE_CHECKING:
    import vego

HELP = "repair a damaged database, as an error or `vego verify` says"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Database, collection, and what to do."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("--collection", metavar="NAME", help="the damaged collection (not with --marker)")
    parser.add_argument("--to-version", metavar="N", type=int, help="the version to go back to")
    parser.add_argument("--drop-index", action="store_true", help="drop the index; it can be built again")
    parser.add_argument(
        "--set-aside",
        metavar="N",
        type=int,
        action="append",
        help="take an old version away; may be repeated",
    )
    parser.add_argument(
        "--salvage", action="store_true", help="keep of damaged segments the rows that can still be read"
    )
    parser.add_argument("--cut-log", action="store_true", help="keep of the log what comes before the damage")
    parser.add_argument("--marker", action="store_true", help="write the file VEGO anew")
    parser.add_argument("--json", action="store_true", help="what was done, as JSON")


def run(options: argparse.Namespace) -> int:
    """Repair, and say what was done and, where rows are missing now, which."""
    asked = [options.marker, options.drop_index, options.cut_log, options.salvage]
    asked += [options.to_version is not None, options.set_aside is not None]
    if sum(asked) != 1:
        raise InvalidArgumentError(
            "which repair? `vego repair --help` lists them, `vego verify DIR` says which helps"
        )
    if (options.collection is None) != options.marker:
        raise InvalidArgumentError("--collection NAME: which one is damaged? (not with --marker)")
    done, lines = _repaired(options)
    if options.json:
        print(json.dumps(done, indent=2, ensure_ascii=False))
    else:
        for line in lines:
            print(line)
    return 0


def _repaired(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """What was done, for a script and for a reader."""
    if options.drop_index:
        return _drop_index(options)
    if options.cut_log:
        return _cut_log(options)
    if options.salvage:
        return _salvage(options)
    if options.marker:
        return _marker(options)
    done = _go_back(options) if options.set_aside is None else _set_aside(options)
    return done, _lines(options, done)


def _marker(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from vego.repair import write_marker

    found = write_marker(options.directory)
    return {"database_id": found}, [f"the marker is whole; the id of the database is {found}"]


def _cut_log(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from vego.repair import cut_log
    from vego_tools.terminal import counted, printable

    cut = cut_log(options.directory, options.collection)
    done = {"collection": options.collection, "kept": cut.kept, "lost": cut.lost, "moved": list(cut.moved)}
    if not cut.moved:
        return done, [f"the log of {options.collection!r} is whole: nothing was done"]
    lost = (
        f"; lost are the first damaged one and {counted(cut.lost, 'write')} known to follow it"
        if cut.cut
        else ""
    )
    return done, [
        f"{counted(cut.kept, 'write')} in the log of {options.collection!r} kept{lost}",
        "moved out of the way, nothing was deleted:",
        *(f"  {printable(str(options.directory / path))}" for path in cut.moved),
    ]


def _salvage(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from vego.salvaging import salvage_segments
    from vego_tools.terminal import counted, printable

    done = salvage_segments(options.directory, options.collection)
    report = {"collection": options.collection} | asdict(done)
    if not done.segments:
        return report, [f"no segment of {options.collection!r} is damaged: nothing was done"]
    return report, [
        f"version {done.version} of {options.collection!r} has what could be read of "
        f"{counted(len(done.segments), 'damaged segment')}; {counted(done.lost_rows, 'document')} lost",
        *(
            f"  {file}: values of {printable(repr(key))} were lost and are null"
            for file, key in done.lost_values
        ),
        *(
            f"  {file}: which rows were deleted is not known any more; they are back"
            for file in done.lost_masks
        ),
        "collection.build_index() builds the graph again where one was dropped with its rows",
    ]


def _set_aside(options: argparse.Namespace) -> dict[str, Any]:
    from vego.repair import set_aside_versions

    repaired = set_aside_versions(options.directory, options.collection, options.set_aside)
    return _described(options, repaired.version, [*repaired.manifests, *repaired.files], ())


def _drop_index(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from vego.repair import drop_index

    version = drop_index(options.directory, options.collection)
    return {"collection": options.collection, "version": version, "index": None}, [
        f"version {version} of {options.collection!r} has no index: searches scan its rows",
        "the next large insert builds one, or collection.build_index() does now",
    ]


def _go_back(options: argparse.Namespace) -> dict[str, Any]:
    from vego.repair import set_aside_versions_after

    repaired = set_aside_versions_after(options.directory, options.collection, options.to_version)
    return _described(options, repaired.version, [*repaired.manifests, *repaired.files], repaired.files)


def _described(
    options: argparse.Namespace, version: int, moved: list[str], files: tuple[str, ...]
) -> dict[str, Any]:
    """What moved, what the collection has now, and which rows of `files`, which moved, it lacks."""
    import vego

    with vego.open(options.directory, read_only=True, create=False) as database:
        collection = database.collection(options.collection)
        missing = [
            {"file": path, "documents": absent, "columns": columns}
            for path in files
            if (columns := _schema(options.directory / path)) and "$id" in columns
            if (absent := _absent(options.directory / path, collection)) != 0
        ]
        return {
            "collection": options.collection,
            "version": version,
            "moved": moved,
            "documents": len(collection),
            "missing": missing,
        }


def _absent(path: Path, collection: vego.Collection) -> int | None:
    """How many documents of a file are not in the collection; None where damage hides which it has."""
    import lance_fmt

    try:
        with lance_fmt.open(path) as file:
            ids = file.read(["$id"])["$id"].to_pylist()
    except lance_fmt.CorruptFileError:
        return None
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
    moved = done["moved"]
    lines = [
        f"version {version} of {name} is the newest now",
        "nothing had to be moved" if not moved else "moved out of the way, nothing was deleted:",
        *(f"  {printable(str(options.directory / path))}" for path in moved),
        f"it opens and has {counted(done['documents'], 'document')}, those in the write-ahead log included",
    ]
    for one in done["missing"]:
        known = one["documents"] is not None
        absent = counted(one["documents"], "document") if known else "an unknown number of documents"
        columns = printable(", ".join(one["columns"]))
        rest = "read them with lance_fmt.open(...).read()" if known else "save them with `vego salvage`"
        lines += [
            f"{absent} of {one['file']} are not in it (columns: {columns}):",
            f"  {rest} and insert those that are still wanted",
        ]
    return lines
