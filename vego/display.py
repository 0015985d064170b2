"""How databases, collections, documents and hits show themselves: `repr` for consoles, HTML for notebooks.

Bounded in size and escaped, as everything of `lance_fmt.display`, whose looks these share. A database opens none of
its collections to be shown; a collection reads no values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lance_fmt.display import counted, html_block, listed, more, printable, shortened, value_text

__all__ = [
    "collection_html", "database_html", "document_html", "document_text", "hit_html", "hits_html", "id_text",
    "index_report_html", "index_report_text", "listed", "metadata_text",
]  # fmt: skip

HITS = 20
KEYS = 8  # of metadata that get a column of their own
NAMES = 50  # of collections that are listed
_ID = 60


def id_text(name: object) -> str:
    """An id in at most 60 characters, on one line."""
    return shortened(printable(str(name)), _ID)


def metadata_text(metadata: Mapping[str, Any], width: int = 72) -> str:
    """Metadata as `key=value, ...` in at most `width` characters, on one line."""
    text = ""
    for key, value in metadata.items():
        shown = repr(value[:width]) if isinstance(value, str) else value_text(value, width)
        text += f"{', ' if text else ''}{printable(key[:width])}={printable(shown)}"
        if len(text) > width:
            break
    return shortened(text, width)


def document_text(document: Any) -> str:
    """A document in one line: its id, the size and the first components of its vector, its metadata."""
    vector = "None" if document.vector is None else value_text(document.vector)
    return (
        f"Document(id={document.id!r:.70}, vector={vector}, metadata={{{metadata_text(document.metadata)}}})"
    )


def document_html(document: Any) -> str:
    """A document: its metadata, a row a key."""
    vector = "no vector" if document.vector is None else f"vector {value_text(document.vector)}"
    return html_block(f"Document {id_text(document.id)}", [vector], *_pairs(document.metadata))


def hit_html(hit: Any) -> str:
    """One answer and its metadata."""
    facts = [f"distance {_distance(hit.distance)}", f"score {hit.score:.4f}"]
    return html_block(f"Hit {id_text(hit.id)}", facts, *_pairs(hit.metadata))


def _pairs(metadata: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    if not metadata:
        return (), ()
    rows = [(shortened(key), value_text(value, 200)) for key, value in list(metadata.items())[:NAMES]]
    return ("key", "value"), rows


def hits_html(hits: Any, metric: str) -> str:
    """The nearest HITS answers, a column for each of the first KEYS keys of their metadata."""
    shown = list(hits[:HITS])
    metadata = [hit.metadata for hit in shown]
    known = list(dict.fromkeys(key for one in metadata for key in one))
    keys = known[:KEYS]
    rows = [
        [
            str(number),
            _distance(hit.distance),
            id_text(hit.id),
            *(value_text(one[key]) if key in one else "" for key in keys),
        ]
        for number, (hit, one) in enumerate(zip(shown, metadata, strict=True), 1)
    ]
    header = ["", "distance", "id", *(shortened(key) for key in keys)]
    numbers = [
        3 + place for place, key in enumerate(keys) if all(_is_number(one.get(key)) for one in metadata)
    ]
    notes = (more(len(hits), len(shown), "hits"), more(len(known), len(keys), "keys"))
    note = ", ".join(filter(None, notes))
    title = counted(len(hits), "hit")
    return html_block(title, [metric], header, rows, right=[0, 1, *numbers], note=note)


def _distance(distance: float) -> str:
    """Four digits; what rounds to nothing has no sign."""
    return f"{round(distance, 4) + 0.0:.4f}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def collection_html(collection: Any, *, closed: bool) -> str:
    """A collection: documents, vectors, index, and the columns of its documents with their types."""
    title = f"Collection {collection.name}"
    if closed:
        return html_block(title, ["closed"])
    stats = collection.stats()
    facts = [counted(stats["documents"], "document")]
    if stats["dimension"] is None:
        return html_block(title, [*facts, stats["metric"], "the first insert sets the dimension"])
    facts += [f"dimension {stats['dimension']}", stats["metric"], f"version {stats['version']}"]
    facts.append(
        f"{stats['index']}, {stats['indexed_slots']:,} rows in the graph"
        if stats["indexed_slots"]
        else "no graph: searches are exact"
    )
    schema = collection.schema
    rows = [(shortened(field.name), shortened(str(field.type))) for field in schema.fields[:NAMES]]
    note = more(len(schema), NAMES, "columns")
    return html_block(title, facts, ("column", "type"), rows, note=note)


BAR = 40  # characters of a full bar


def index_report_text(report: Any) -> str:
    """An index report: what is covered, the recall curve as bars, memory."""
    lines = [f"{report.kind} index of {printable(report.name)}: {_coverage(report)}"]
    lines += [f"  {fact}" for fact in _index_facts(report)]
    for ef, recall in report.curve:
        bar = "#" * round(BAR * max(0.0, recall - 0.5) / 0.5)
        mark = " <- target" if ef >= report.ef and recall >= report.target_recall else ""
        lines.append(f"  ef {ef:>6}  {recall:.3f}  {bar:<{BAR}}{mark}".rstrip())
        if mark:
            break
    return "\n".join(lines)


def index_report_html(report: Any) -> str:
    """An index report: facts, and the recall curve as a table with bars."""
    rows = [
        (f"{ef:,}", f"{recall:.3f}", "\u2588" * round(BAR / 2 * max(0.0, recall - 0.5) / 0.5))
        for ef, recall in report.curve
    ]
    header = ("ef", "recall@10", "0.5 to 1") if rows else ()
    title = f"Index of {shortened(report.name)}"
    return html_block(title, [_coverage(report), *_index_facts(report)], header, rows, right=[0, 1])


def _coverage(report: Any) -> str:
    if report.kind == "none":
        return f"{counted(report.documents, 'document')}, {report.metric}; no graph: searches are exact"
    return (
        f"{report.indexed:,} of {report.slots:,} rows ({report.coverage:.0%}), {report.metric}, "
        f"{counted(report.documents, 'document')} live"
    )


def _index_facts(report: Any) -> list[str]:
    memory = ", ".join(f"{part} {size / 1e6:,.1f} MB" for part, size in report.memory.items())
    facts = [f"memory: {memory}"] if memory else []
    if report.kind == "none":
        return facts
    facts.append("built with " + ", ".join(f"{key}={value}" for key, value in report.parameters.items()))
    facts.append(f"target recall {report.target_recall:g}: ef={report.ef}, rerank={report.rerank} for k = 10")
    measured = report.calibration
    if measured is None:
        return [
            *facts,
            "recall was not measured (an index of an earlier version); build_index() after inserts does",
        ]
    facts.append(f"recall measured {measured.when} on {measured.rows:,} rows, {measured.queries} queries")
    if report.reaches_target:
        return facts
    way_out = (
        "raise m or ef_construction"
        if report.kind in ("hnsw", "disk")
        else "take finer codes, or index='hnsw'"
    )
    return [*facts, f"the target was not reached: {way_out}"]


def database_html(database: Any, *, closed: bool) -> str:
    """A database: where it is, and the names of its collections."""
    title = f"Database {shortened(database.path, 200)}"
    if closed:
        return html_block(title, ["closed"])
    names = database.collections()
    facts = [counted(len(names), "collection"), "read-only" if database.read_only else "open for writing"]
    rows = [(shortened(name),) for name in names[:NAMES]]
    header = ("collection",) if names else ()
    return html_block(title, facts, header, rows, note=more(len(names), NAMES, "collections"))
