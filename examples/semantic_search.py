"""Search 5,000 package descriptions by meaning. Uses the sample data that Vego ships; no model is needed.

`python examples/semantic_search.py [DIR]` keeps the database in DIR (default: a temporary directory).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import lance_fmt
import vego
from vego_tools.demo.sample import PACKAGES, QUERIES


def main(directory: Path) -> None:
    """Build the database once, then ask it questions."""
    with vego.open(directory, dimension=384, metric="cosine") as db:
        packages = db.collection("packages")
        if not len(packages):
            load(packages)
        with lance_fmt.open(QUERIES) as file:
            questions = file.read(rows=slice(0, 3)).to_pydict()
        for text, vector in zip(questions["text"], questions["vector"], strict=True):
            show(f"{text}?", packages.search(vector, k=3))

        # "More like this": the vector of a document is a query, too.
        example = packages.get("gnome-chess")
        assert example is not None
        small_games = (vego.field("section") == "games") & (vego.field("installed_kib") < 1000)
        show("small games like gnome-chess", packages.search(example.vector, k=3, filter=small_games))
        print(packages.explain(example.vector, k=3, filter=small_games))


def load(packages: vego.Collection) -> None:
    """Read the columns of a file and insert them as they are."""
    with lance_fmt.open(PACKAGES) as file:
        columns = file.read().to_pydict()
    ids, vectors = columns.pop("id"), columns.pop("vector")
    packages.insert_batch(ids=ids, vectors=vectors, metadata=columns, progress=True)


def show(question: str, hits: vego.Hits) -> None:
    """Print the answers."""
    print(question)
    for hit in hits:
        print(f"  {hit.score:.3f}  {hit.id:<24} {hit.metadata['title']}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
