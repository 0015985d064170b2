"""What graphs have in common, wherever their nodes are: how hard a search tries, counted in candidates of a walk."""

from __future__ import annotations

from vego.index.calibration import Calibrated, Calibration
from vego.options import MAX_EF

STEPS = (
    1.0,
    1.6,
    2.4,
    3.2,
    4.8,
    6.4,
    9.6,
    12.8,
    19.2,
    25.6,
    51.2,
    102.4,
)  # ef at which recall is measured, in k
SPARE = 6  # candidates held besides the k, however easy the data
ALL_MATCH = "every slot is live and matches"
USUAL_EF = 64  # of a graph that nobody has measured


def walk_effort(calibration: Calibration, k: int, target: float) -> tuple[int, int]:
    """The ef of a walk that reaches a recall of `target`, and how many to score exactly."""
    ef, rerank = calibration.effort(k, target)
    ef = min(max(ef, k + SPARE), MAX_EF)
    return ef, min(max(rerank, k), ef)


class Walked(Calibrated):
    """An index whose `ef` is the candidates that a walk holds, each of which can be scored exactly."""

    def efforts(self, k: int) -> list[int]:
        """The ef at which recall is measured."""
        efs = [int(step * k) for step in STEPS]
        return efs[: 1 + sum(ef < self.rows for ef in efs)]

    def deepest(self, k: int, ef: int) -> int:  # noqa: ARG002
        """All that a walk finds can be scored exactly."""
        return ef

    def effort(self, k: int, target: float) -> tuple[int, int] | None:
        """The ef that reaches a recall of `target`, and how many to score exactly; None where nobody measured."""
        return None if self.calibration is None else walk_effort(self.calibration, k, target)

    @staticmethod
    def usual_effort(k: int) -> tuple[int, int]:
        """`effort` where nobody has measured."""
        return max(USUAL_EF, k), max(2 * k, k + 10)
