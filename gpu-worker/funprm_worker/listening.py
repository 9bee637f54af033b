"""Whether the meta problems may repair labels: what their gradient says of labels whose truth is known (ADR 17)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from funprm_worker.correction import StepLabel
from funprm_worker.evaluate import interval

CHANCE = 0.5


class Listening:
    """The first outer gradient of each clean verdict among `labels`, before the model was fitted to it.

    A gradient below 0 would raise the label, one above 0 lower it. Who cannot tell right from wrong where it is known
    cannot where it is not: the table then only adds noise to labels that were mostly right.
    """

    def __init__(self, labels: Sequence[StepLabel]) -> None:
        self.labels = labels
        self.first: dict[int, float] = {}

    def hear(self, rows: Tensor, gradient: Tensor) -> None:
        """`gradient` [n] is dL/dr̃ of `rows` int64 [n]; rows that are no clean verdict of `labels` are passed over."""
        for row, value in zip(rows.tolist(), gradient.tolist(), strict=True):
            if row < len(self.labels) and self.labels[row].trials == 0:
                self.first.setdefault(row, value)

    def agreement(self) -> dict[str, Any] | None:
        """Share of verdicts whose side the gradient takes, right and wrong ones weighing the same, with its 95 % interval
        over problems; None where one of the two was not heard. A gradient of 0 counts half."""
        sides = [[row for row in self.first if (self.labels[row].passes >= CHANCE) == right] for right in (False, True)]
        if not all(sides):
            return None
        shares: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        for right, rows in enumerate(sides):
            for row in rows:
                gradient = self.first[row]
                agrees = CHANCE if gradient == 0 else float((gradient < 0) == bool(right))
                agreed, all_of = shares[self.labels[row].problem]
                shares[self.labels[row].problem] = (agreed + agrees / len(rows), all_of + 1 / len(rows))
        return interval(dict(shares))


def knows(agreement: dict[str, Any] | None) -> bool:
    """True where the whole interval lies above chance."""
    return agreement is not None and bool(agreement["ci"][0] > CHANCE)
