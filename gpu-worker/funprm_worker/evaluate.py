"""Figures of a scorer on held-out rows, each with a 95 % interval from a bootstrap over groups (problems).

AUC and Best-of-8 are measured inside one (group, pool): in a mixed pool a scorer wins by recognising the model.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from funprm_worker.rows import Row

EPSILON = 0.01
"""Floor of the denominator of the attribution ratio, as in src/domain/reward.ts."""


def pair_auc(scores: Sequence[float], labels: Sequence[int]) -> tuple[float, int]:
    """Sum over pairs (positive, negative) of 1 for right order and 0.5 for a tie, and the number of pairs."""
    positive = np.array([s for s, y in zip(scores, labels, strict=True) if y == 1])
    negative = np.array([s for s, y in zip(scores, labels, strict=True) if y == 0])
    difference = positive[:, None] - negative[None, :]
    return float((difference > 0).sum() + 0.5 * (difference == 0).sum()), difference.size


def best_of(scores: Sequence[float], labels: Sequence[int], n: int) -> float:
    """Chance that the highest of `n` drawn without replacement passes; ties share. Exact, by order statistics."""
    order = sorted(set(scores), reverse=True)
    total, remaining = 0.0, len(scores)
    n = min(n, remaining)
    value = np.asarray(scores)
    label = np.asarray(labels)
    for score in order:
        tied = value == score
        count = int(tied.sum())
        none_above = _draws(remaining, n, len(scores))
        none_here = _draws(remaining - count, n, len(scores))
        total += (none_above - none_here) * float(label[tied].mean())
        remaining -= count
    return total


def _draws(available: int, n: int, size: int) -> float:
    """Chance that all of n drawn from `size` fall into `available` of them."""
    if available < n:
        return 0.0
    chance = 1.0
    for k in range(n):
        chance *= (available - k) / (size - k)
    return chance


def interval(by_group: dict[str, tuple[float, float]], seed: int = 0, rounds: int = 1000) -> dict[str, Any] | None:
    """Weighted mean Σnum/Σden over groups with its 95 % bootstrap interval; None without groups."""
    if not by_group:
        return None
    pairs = np.array([by_group[g] for g in sorted(by_group)])
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(pairs), (rounds, len(pairs)))
    sums = pairs[draws].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    total = pairs.sum(axis=0)
    return {
        "value": round(float(total[0] / total[1]), 4),
        "ci": [round(float(low), 4), round(float(high), 4)],
        "problems": len(pairs),
    }


def solution_figures(rows: Sequence[Row], scores: Sequence[float | None], n: int = 8) -> dict[str, Any]:
    """`auc` (every mixed cluster weighs the same), `bestOf`, `random`, `oracle` at N and `lift` = bestOf - random, paired by
    problem, with intervals."""
    return {name: interval(by_group) for name, by_group in _by_group(rows, scores, n).items()}


def paired_figures(
    rows: Sequence[Row], scores: Sequence[float | None], other: Sequence[float | None], n: int = 8
) -> dict[str, Any]:
    """`auc` and `bestOf` of `scores` minus those of `other` on the same rows, the interval over problems."""
    ours, theirs = _by_group(rows, scores, n), _by_group(rows, other, n)
    return {
        name: interval({g: (value - theirs[name][g][0], count) for g, (value, count) in ours[name].items()})
        for name in ("auc", "bestOf")
    }


def _by_group(rows: Sequence[Row], scores: Sequence[float | None], n: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Of each figure and group: the sum over its clusters, and their number."""
    clusters: dict[tuple[str, str], list[tuple[float, int]]] = defaultdict(list)
    for row, score in zip(rows, scores, strict=True):
        if row.verdict is not None and row.pool != "constructed":
            clusters[row.group, row.pool].append((-1.0 if score is None else score, row.verdict))
    totals: dict[str, dict[str, tuple[float, float]]] = {
        name: {} for name in ("auc", "bestOf", "random", "lift", "oracle")
    }

    def add(name: str, group: str, value: float) -> None:
        before = totals[name].get(group, (0.0, 0.0))
        totals[name][group] = (before[0] + value, before[1] + 1)

    for (group, _), members in sorted(clusters.items()):
        values, labels = [m[0] for m in members], [m[1] for m in members]
        if 0 < sum(labels) < len(labels):
            right, pairs = pair_auc(values, labels)
            add("auc", group, right / pairs)
            if len(members) >= n:
                chosen, chance = best_of(values, labels, n), sum(labels) / len(labels)
                add("bestOf", group, chosen)
                add("random", group, chance)
                add("lift", group, chosen - chance)
                add("oracle", group, best_of(labels, labels, n))
    return totals


def step_figures(
    rows: Sequence[Row], rewards: Sequence[Sequence[float] | None], empty: dict[tuple[str, str], float]
) -> dict[str, Any]:
    """Step AUC where every function has a verdict of its own, inside one (group, pool).

    `value`: reward against the min-rule label. `own`: the attribution ratio against the function's own verdict.
    `empty` holds v_0 by (problem, pool).
    """
    truth: dict[str, dict[tuple[str, str], tuple[list[float], list[int]]]] = {
        "value": defaultdict(lambda: ([], [])),
        "own": defaultdict(lambda: ([], [])),
    }
    for row, values in zip(rows, rewards, strict=True):
        if values is None or all(own is None for own in row.own):
            continue
        before = empty.get((row.problem, row.pool), 1.0)
        for k, value in enumerate(values):
            label, own = row.labels[k], row.own[k]
            if label is not None and row.source[k] == "min_rule":
                truth["value"][row.group, row.pool][0].append(value)
                truth["value"][row.group, row.pool][1].append(int(label))
            if own is not None:
                truth["own"][row.group, row.pool][0].append(value / max(before, EPSILON))
                truth["own"][row.group, row.pool][1].append(own)
            before = value
    figures: dict[str, Any] = {}
    for name, clusters in truth.items():
        by_group: dict[str, tuple[float, float]] = {}
        for (group, _), (scores, labels) in sorted(clusters.items()):
            if 0 < sum(labels) < len(labels):
                right, pairs = pair_auc(scores, labels)
                before_sum = by_group.get(group, (0.0, 0.0))
                by_group[group] = (before_sum[0] + right / pairs, before_sum[1] + 1)
        figures[name] = interval(by_group)
    return figures
