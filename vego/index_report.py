"""What is known about the index of a collection, as a value that shows itself."""

from __future__ import annotations

from dataclasses import dataclass

from vego import display
from vego.index import Calibration, Metric
from vego.index.indexed_rows import State
from vego.options import CollectionOptions
from vego.queries import check_effort


@dataclass(frozen=True, slots=True, repr=False)
class IndexReport:
    """The index of a collection.

    kind: "hnsw", "ivf_pq" and the like (`index=`), or "none" where searches scan.
    documents: live ones. slots: rows of the collection, dead ones too;
    indexed: those in the index, from the first on; coverage: indexed / slots. memory: bytes by part ("vectors",
    "codes", "links" of a graph, "other"), in memory or in mapped files. parameters: how it was built.
    target_recall: what searches aim at that name no `ef`; ef, rerank: what they use for k = 10.
    calibration: the curves, with their date and rows; None where nothing was measured.
    """

    name: str
    metric: str
    kind: str
    documents: int
    slots: int
    indexed: int
    memory: dict[str, int]
    parameters: dict[str, int]
    target_recall: float
    ef: int
    rerank: int
    calibration: Calibration | None

    @property
    def coverage(self) -> float:
        """Share of the slots that the index has; the others are scanned exactly."""
        return self.indexed / self.slots if self.slots else 1.0

    @property
    def curve(self) -> tuple[tuple[int, float], ...]:
        """(ef, recall) for k = 10, as measured; empty where nothing was."""
        return () if self.calibration is None else self.calibration.curves[0].points

    @property
    def reaches_target(self) -> bool:
        """Whether the measured curve reaches `target_recall`; exact searches do."""
        if self.kind == "none":
            return True
        return bool(self.curve) and self.curve[-1][1] >= self.target_recall

    def __repr__(self) -> str:
        return display.index_report_text(self)

    def _repr_html_(self) -> str:
        return display.index_report_html(self)


def report_of(name: str, metric: Metric, options: CollectionOptions, state: State | None) -> IndexReport:
    """The report of a collection; `state` None where it has no rows yet."""
    index = None if state is None else state.index
    effort = check_effort(options, index, 10, name)
    memory: dict[str, int] = {}
    documents = slots = 0
    if state is not None:
        view = state.snapshot.view
        documents, slots = view.live_count, view.rows
        memory["vectors"] = view.vectors.row_bytes * view.rows
        if index is not None:
            memory |= index.memory()
    kind = "none"
    if index is not None:
        kind = index.kind if options.index == "auto" else options.index
    return IndexReport(
        name=name,
        metric=metric.value,
        kind=kind,
        documents=documents,
        slots=slots,
        indexed=0 if index is None else index.rows,
        memory=memory,
        parameters={} if index is None else index.parameters(),
        target_recall=options.target_recall,
        ef=effort.ef,
        rerank=effort.rerank,
        calibration=None if index is None else index.calibration,
    )
