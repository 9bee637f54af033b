"""Is a run still healthy? Each alarm is a pure function of what the run measured. Light: no torch."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

SPREAD = 0.02
SPREAD_STEPS = 200
TOUCHES = 10
SIGN_CHANGES = 0.6
OSCILLATING_ROWS = 0.2
DOUBLING_EVALUATIONS = 3
FROZEN = 1e-6
LOGIT_FLOOR, VALUE_FLOOR = 0.5, 0.125
"""Below it |δ| may double: the first moves away from 0 do at every look. A logit's step is worth at most ¼ of value."""


@dataclass(frozen=True)
class Alarm:
    """`name` of what is wrong, `where` it shows, and the curve that shows it."""

    name: str
    where: str
    curve: tuple[float, ...]

    def line(self) -> str:
        return f"{self.name}: {self.where}; {', '.join(f'{x:.3g}' for x in self.curve[-8:])}"


def collapse(steps: Sequence[int], spread: Sequence[float]) -> Alarm | None:
    """`spread[i]`: standard deviation of the rewards within problems, meaned, at training step `steps[i]`.

    Under 0.02 at every look of 200 steps the model says the same of all candidates of a problem.
    """
    since: int | None = None
    for step, value in zip(steps, spread, strict=True):
        since = None if value >= SPREAD else step if since is None else since
        if since is not None and step - since >= SPREAD_STEPS:
            return Alarm(
                "collapse", f"spread within problems under {SPREAD} from step {since} to {step}", tuple(spread)
            )
    return None


def oscillation(changes: Sequence[Sequence[float]]) -> Alarm | None:
    """`changes[i]`: the changes of table row i at its touches. Rows with fewer than ten touches say nothing yet.

    Alarm when more than a fifth of the rows changed sign in over 60 % of their last ten touches.
    """
    shares = []
    for row in changes:
        last = [change for change in row if change != 0][-TOUCHES:]
        if len(last) == TOUCHES:
            turns = sum((a > 0) != (b > 0) for a, b in itertools.pairwise(last))
            shares.append(turns / (TOUCHES - 1))
    swinging = [share for share in shares if share > SIGN_CHANGES]
    if not shares or len(swinging) / len(shares) <= OSCILLATING_ROWS:
        return None
    return Alarm("oscillation", f"{len(swinging)} of {len(shares)} table rows turn at most touches", tuple(swinging))


def divergence(delta_p99: Sequence[float], floor: float = LOGIT_FLOOR) -> Alarm | None:
    """`delta_p99`: |δ| at its 99th percentile at each evaluation. Alarm when it at least doubles over three in a row."""
    for at in range(DOUBLING_EVALUATIONS, len(delta_p99)):
        window = delta_p99[at - DOUBLING_EVALUATIONS : at + 1]
        rising = all(b > a for a, b in itertools.pairwise(window))
        if rising and window[0] >= floor and window[-1] >= 2 * window[0]:
            return Alarm(
                "divergence", f"|δ| doubled in the evaluations up to number {at + 1}", tuple(delta_p99[: at + 1])
            )
    return None


def noise_fitting(validation_auc: Sequence[float], raw_fit: Sequence[float]) -> Alarm | None:
    """`raw_fit`: loss against the raw MC labels. Alarm when it falls three evaluations in a row while AUC falls too."""
    for at in range(DOUBLING_EVALUATIONS, len(validation_auc)):
        auc, fit = (series[at - DOUBLING_EVALUATIONS : at + 1] for series in (validation_auc, raw_fit))
        falls = [all(b < a for a, b in itertools.pairwise(one)) for one in (auc, fit)]
        if all(falls):
            return Alarm(
                "noise fitting", f"validation AUC falls while raw labels fit better, evaluation {at + 1}", tuple(auc)
            )
    return None


def frozen(table_change: Sequence[float], touches: int) -> Alarm | None:
    """`table_change`: largest |change| of the table between evaluations; `touches`: rows touched since the first."""
    if touches > 0 and len(table_change) >= DOUBLING_EVALUATIONS and max(table_change[-DOUBLING_EVALUATIONS:]) < FROZEN:
        return Alarm("table frozen", f"{touches} touches moved no entry by {FROZEN}", tuple(table_change))
    return None
