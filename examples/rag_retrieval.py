"""The retrieval half of retrieval-augmented generation, over this project's own documents. Runs offline, in seconds.

`python examples/rag_retrieval.py [QUESTION...]` cuts the documents into passages, makes vectors of them, keeps both in
a collection, and for each question prints what a language model would be given: passages with their sources.

The vectors come from latent semantic analysis (TF-IDF and a singular value decomposition), which needs nothing but
NumPy. With an embedding model at hand, replace `Embedder`; the rest stays as it is.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import vego

ROOT = Path(__file__).resolve().parents[1]
WORDS_OF_PASSAGE, WORDS_OF_PROMPT, DIMENSION = 90, 220, 96
QUESTIONS = {  # and the documents that answer each
    "What is lost when the process is killed in the middle of an insert?": "README.md tuning.md reliability.md",
    "How do I save what is left of a damaged file?": "files.md command-line.md inspector.md backup.md",
    "How are documents found whose field is null?": "filters.md",
    "Which option keeps more candidates while searching?": "tuning.md searching.md",
    "Can several processes read a database while one writes to it?": "getting-started.md sharing.md",
    "Is a comparison with NaN true or false?": "files.md",
}
STOP = re.compile(
    "(a|an|and|are|as|at|be|by|do|for|from|has|have|how|i|in|is|it|its|not|of|on|or|that|the|to|what|which)$"
)


def passages(paths: Sequence[Path]) -> Iterator[dict[str, str]]:
    """Pieces of the documents of at most WORDS_OF_PASSAGE words, each under the heading it stands under."""
    for path in paths:
        heading = path.stem
        lines: list[str] = []
        for line in [*path.read_text(encoding="utf-8").splitlines(), "# end"]:
            is_heading = re.match(r"#{1,4} ", line) is not None
            if lines and (is_heading or sum(len(one.split()) for one in lines) >= WORDS_OF_PASSAGE):
                yield {"source": path.name, "heading": heading, "text": "\n".join(lines).strip()}
                lines = []
            if is_heading:
                heading = line.lstrip("# ")
            elif line.strip():
                lines.append(line)


def terms(text: str) -> list[str]:
    """Words without their endings, roughly."""
    found = re.findall(r"[a-z][a-z0-9_]+", text.lower())
    return [re.sub(r"(ing|ed|es|s)$", "", one) for one in found if not STOP.match(one)]


class Embedder:
    """Text to unit vectors: TF-IDF weights, on the axes along which the texts it is made from differ most."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(terms(text)) for text in texts]
        documents = Counter(term for one in counts for term in one)
        self.column = {term: i for i, term in enumerate(sorted(documents))}
        self.weight = np.array([np.log(len(texts) / documents[term]) + 1 for term in self.column])
        matrix = np.stack([self._row(one) for one in counts])
        _, _, axes = np.linalg.svd(matrix, full_matrices=False)
        self.axes = axes[:DIMENSION].T

    def _row(self, counts: Counter[str]) -> np.ndarray:
        row = np.zeros(len(self.column))
        for term, count in counts.items():
            if term in self.column:
                row[self.column[term]] = (1 + np.log(count)) * self.weight[self.column[term]]
        return np.asarray(row / max(float(np.linalg.norm(row)), 1e-9))

    def __call__(self, text: str) -> np.ndarray:
        """Float32 (DIMENSION,)."""
        vector = self._row(Counter(terms(text))) @ self.axes
        return (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)


def build(directory: Path) -> tuple[vego.Database, Embedder]:
    """A database of the project's passages."""
    found = list(passages([ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]))
    texts = [f"{one['heading']}\n{one['text']}" for one in found]
    embed = Embedder(texts)
    db = vego.open(directory, dimension=min(DIMENSION, len(found)), metric="cosine")
    db.collection("passages").insert_batch(
        ids=[f"{one['source']}#{i}" for i, one in enumerate(found)],
        vectors=np.stack([embed(text) for text in texts]),
        metadata={key: [one[key] for one in found] for key in ("source", "heading", "text")},
    )
    return db, embed


def prompt(question: str, hits: vego.Hits) -> str:
    """The question with as many of the nearest passages as fit, numbered, so that an answer can name its sources."""
    parts: list[str] = []
    words = 0
    for hit in hits:
        text = hit.metadata["text"]
        if parts and words + len(text.split()) > WORDS_OF_PROMPT:
            break
        words += len(text.split())
        parts.append(f"[{len(parts) + 1}] {hit.metadata['source']}, {hit.metadata['heading']}\n{text}")
    context = "\n\n".join(parts)
    return f"Answer from these passages only, and name them.\n\n{context}\n\nQuestion: {question}\n"


def main(questions: Sequence[str]) -> None:
    """Ask."""
    with tempfile.TemporaryDirectory() as directory:
        db, embed = build(Path(directory))
        with db:
            collection = db.collection("passages")
            print(f"{len(collection)} passages, vectors of {collection.dimension}\n")
            if questions:
                for question in questions:
                    print(prompt(question, collection.search(embed(question), k=4)))
                return
            right = 0
            for question, sources in QUESTIONS.items():
                hits = collection.search(embed(question), k=3)
                right += any(hit.metadata["source"] in sources.split() for hit in hits)
                print(question)
                for hit in hits:
                    print(f"  {hit.score:.2f}  {hit.metadata['source']:<20} {hit.metadata['heading']}")
            print(f"\na document that answers is among the first three for {right} of {len(QUESTIONS)}\n")

            question = "How do I save what is left of a damaged file?"
            only = vego.field("source") != "README.md"  # metadata narrows the search before it is made
            print(prompt(question, collection.search(embed(question), k=4, filter=only)))


if __name__ == "__main__":
    main(sys.argv[1:])
