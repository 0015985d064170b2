"""A vector database in fifteen lines. Run it with `python examples/quickstart.py`."""

import tempfile

import vego

with tempfile.TemporaryDirectory() as directory, vego.open(directory, dimension=3, metric="cosine") as db:
    books = db.collection("books")
    books.insert(id="dune", vector=[0.9, 0.1, 0.2], metadata={"title": "Dune", "year": 1965})
    books.insert_batch(
        ids=["emma", "solaris"],
        vectors=[[0.1, 0.9, 0.3], [0.8, 0.2, 0.4]],
        metadata={"title": ["Emma", "Solaris"], "year": [1815, 1961]},
    )
    for hit in books.search([1.0, 0.0, 0.3], k=2, filter="year >= 1900"):
        print(f"{hit.score:.3f}  {hit.id:<8} {hit.metadata}")
