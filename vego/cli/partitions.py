"""List the partitions of collections: their values, documents, segment files and bytes; or drop one of them.

Partitions are what `db.collection(NAME, partition_by=KEY)` makes. A value is written as JSON: 2026, "2026", true, null;
what is no JSON is text, such as 2026-11-21.

examples:
  vego partitions ./mydb
  vego partitions ./mydb --collection events --json
  vego partitions ./mydb --collection events --drop 2026-11-20
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

HELP = "the partitions of collections: documents, files, bytes; drops one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The database, the form, and what to drop."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="the database")
    parser.add_argument("--collection", metavar="NAME", help="only this one")
    parser.add_argument("--drop", metavar="VALUE", help="drop the partition of this value (JSON, else text)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    """Print them, or drop one and say how many documents it had."""
    if options.drop is not None:
        return _drop(options)
    import vego
    from vego_tools.terminal import byte_size, printable, table

    with vego.open(options.directory, read_only=True) as db:
        if options.collection is None:
            every = [db.collection(name) for name in db.collections()]
            chosen = [docs for docs in every if docs.options.partition_by is not None]
        else:
            chosen = [db.collection(options.collection, create=False)]
        found = {docs.name: (docs.options.partition_by, docs.partitions()) for docs in chosen}
    if options.json:
        listed = {
            name: {"partition_by": key, "partitions": [asdict(one) for one in partitions]}
            for name, (key, partitions) in found.items()
        }
        print(json.dumps(listed, indent=2, ensure_ascii=False))
        return 0
    for name, (key, partitions) in found.items():
        print(f"{printable(name)}, by {printable(str(key))}")
        rows = [
            [
                printable(json.dumps(one.value, ensure_ascii=False)),
                f"{one.documents:,}",
                str(one.segments),
                byte_size(one.bytes),
            ]
            for one in partitions
        ]
        header = ["value", "documents", "segments", "bytes"]
        print("\n".join(table(header, rows, right="documents segments bytes", keep="documents")))
    return 0


def _drop(options: argparse.Namespace) -> int:
    import vego
    from vego.errors import InvalidArgumentError
    from vego_tools.terminal import counted, printable

    if options.collection is None:
        raise InvalidArgumentError("--drop needs --collection NAME, the collection to drop from")
    value = _value(options.drop)
    with vego.open(options.directory, create=False, background=False) as db:
        dropped = db.collection(options.collection, create=False).drop_partition(value)
    if options.json:
        done = {"collection": options.collection, "value": value, "documents": dropped}
        print(json.dumps(done, indent=2, ensure_ascii=False))
    else:
        shown = printable(json.dumps(value, ensure_ascii=False))
        print(f"{printable(options.collection)}: {counted(dropped, 'document')} of partition {shown} dropped")
    return 0


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
