"""Ablations on real programs whose every step is known: variants of passing programs with a bug in one function.

A head is trained on the frozen hidden states of a trained backbone, by the meta step of `bilevel` with the table of
`correction`; the Monte Carlo labels are simulated from the known truth, so that what a correction repairs can be counted.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from funprm_worker import ablation_report, plots
from funprm_worker.bilevel import BiLevel, InnerBatch, MetaBatch, Settings
from funprm_worker.correction import CorrectionTable, StepLabel, TableSettings
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import EPSILON, pair_auc, solution_figures
from funprm_worker.program_features import Split, features, with_siblings

K = 8
PASSES = (0.05, 0.9)
"""Chance that a completion of a broken and of a right prefix passes: a generator is wrong now and then, tests are weak."""
BATCH, META_BATCH, RATE = 256, 64, 0.01
TABLE_RATE, ANCHOR = 0.1, 1e-5
Figures = dict[str, float]


@dataclass(frozen=True)
class Arm:
    """How a head is trained. `joint`: the meta rows' verdicts are trained on instead of correcting."""

    form: str = "logit"
    anchor: float = 0.0
    size: str = "step"
    share: float = 1.0
    rows: float = 1.0
    joint: bool = False
    predict: str = "last"


@dataclass(frozen=True)
class Noise:
    """`kind`: `flip` (passes → K - passes), `zero`, `one` on a share `rate` of the noisy steps, or `broadcast`: every step
    gets the final verdict, one trial. Counts are binomial in each of the first three."""

    kind: str
    rate: float


class Head(nn.Module):
    """logit = θ·h + b, started at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.linear(hidden)
        return out.squeeze(-1)


def call(module: nn.Module, inputs: Any) -> Tensor:
    out: Tensor = module(inputs)
    return out


def truths(split: Split) -> Tensor:
    """Value of every step, 1 until the function with the bug: exact, for one function was changed."""
    return torch.tensor([float(split.rows[int(i)].labels[int(k)] or 0.0) for i, k in _at(split)])


def _at(split: Split) -> Any:
    return zip(split.owner, split.step, strict=True)


def noisy_labels(split: Split, noise: Noise, seed: int) -> tuple[list[StepLabel], Tensor]:
    """A label of each step, the last of a chain clean, and which of them were corrupted, bool [n]."""
    rng = np.random.default_rng(seed)
    truth = truths(split).tolist()
    labels, corrupted = [], []
    for (i, k), value in zip(_at(split), truth, strict=True):
        row = split.rows[int(i)]
        final = int(k) == len(row.completions) - 1
        place = (row.id, row.problem, int(k), len(row.completions))
        passes = int(rng.binomial(K, PASSES[int(value)]))
        wrong = bool(rng.random() < noise.rate) and not final
        if final:
            labels.append(StepLabel(*place, value, 0))
        elif noise.kind == "broadcast":
            labels.append(StepLabel(*place, float(row.verdict or 0), 1))
            wrong = row.verdict != int(value)
        else:
            changed = {"flip": K - passes, "zero": 0, "one": K}[noise.kind]
            labels.append(StepLabel(*place, float(changed if wrong else passes), K))
        corrupted.append(wrong)
    return labels, torch.tensor(corrupted)


def _verdicts(split: Split) -> Tensor:
    return torch.tensor([float(row.verdict or 0) for row in split.rows])


def fit(
    splits: dict[str, Split], labels: list[StepLabel], arm: Arm, steps: int, seed: int
) -> tuple[Head, CorrectionTable]:
    """`steps` meta steps on the training split; outside, verdicts of the meta split on the aggregate `arm.predict`."""
    training, meta = splits["training"], splits["meta"]
    hidden = training.steps
    if arm.joint:
        last = _last(meta)
        hidden = torch.cat([hidden, meta.steps[last]])
        verdicts = _verdicts(meta)
        labels = labels + [
            StepLabel(row.id, row.problem, 0, 1, float(verdicts[i]), 0) for i, row in enumerate(meta.rows)
        ]
    head = Head(hidden.shape[1])
    table = CorrectionTable(
        labels,
        TableSettings(form=arm.form, size=arm.size, rate=TABLE_RATE, anchor=arm.anchor, share=arm.share, seed=seed),  # type: ignore[arg-type]
    )
    optimiser = torch.optim.Adam(head.parameters(), lr=RATE)
    level = BiLevel(head, call, optimiser, table, Settings(inner="bce", outer="bce", predict=arm.predict))
    rng = torch.Generator().manual_seed(seed)
    problems = {name: i for i, name in enumerate(sorted({row.problem for row in meta.rows}))}
    of_problem = torch.tensor([problems[row.problem] for row in meta.rows])
    places = [torch.nonzero(meta.owner == i).squeeze(-1) for i in range(len(meta.rows))]
    for _ in range(steps):
        at = torch.randint(0, len(labels), (BATCH,), generator=rng)
        drawn = torch.randperm(len(meta.rows), generator=rng)[:META_BATCH]
        owner = torch.cat([torch.full((len(places[i]),), k) for k, i in enumerate(drawn.tolist())])
        read = torch.cat([places[i] for i in drawn.tolist()])
        outside = MetaBatch(meta.steps[read], owner, _verdicts(meta)[drawn], of_problem[drawn])
        level.step([InnerBatch(hidden[at], at)], None if arm.form == "none" else outside)
    return head, table


def _last(split: Split) -> Tensor:
    ends = [len(row.completions) - 1 for row in split.rows]
    return torch.tensor([n for n, (i, k) in enumerate(_at(split)) if int(k) == ends[int(i)]])


@torch.no_grad()
def rewards(head: nn.Module, split: Split) -> list[list[float]]:
    """Step rewards of every row."""
    out: list[list[float]] = [[] for _ in split.rows]
    for i, value in zip(split.owner.tolist(), torch.sigmoid(call(head, split.steps)).tolist(), strict=True):
        out[i].append(value)
    return out


def grouped_auc(scores: Sequence[float], labels: Sequence[float], groups: Sequence[str]) -> float:
    """AUC inside each group that has both, meaned over them; .5 where there is none."""
    members: dict[str, tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
    for score, label, group in zip(scores, labels, groups, strict=True):
        members[group][0].append(score)
        members[group][1].append(int(label > 0.5))
    found = [pair_auc(s, y) for s, y in members.values() if 0 < sum(y) < len(y)]
    return float(np.mean([right / pairs for right, pairs in found])) if found else 0.5


def selection(split: Split, scores: Sequence[float]) -> Figures:
    """AUC of programs and Best-of-8 inside a problem, with random and oracle of the same groups."""
    figures = solution_figures(split.rows, scores)
    return {
        name: figures[key]["value"] if figures[key] else 0.0
        for name, key in (("auc", "auc"), ("bestOf8", "bestOf"), ("random", "random"), ("oracle", "oracle"))
    }


def measure(splits: dict[str, Split], head: nn.Module, table: CorrectionTable, corrupted: Tensor) -> Figures:
    """Corrected labels against the truth on the noisy steps, and the head on validation."""
    training, held_out = splits["training"], splits["validation"]
    rows = torch.arange(len(corrupted))
    noisy = ~table.clean[: len(corrupted)]
    truth = truths(training)
    error = (table.corrected(rows) - truth).abs()
    groups = ["all"] * int(noisy.sum())
    values = rewards(head, held_out)
    at = [held_out.rows[int(i)].group + f"/{int(k)}" for i, k in _at(held_out)]
    flat = [values[int(i)][int(k)] for i, k in _at(held_out)]
    return {
        "mae": float(error[noisy].mean()),
        "corruptedMae": float(error[noisy & corrupted].mean()) if bool((noisy & corrupted).any()) else 0.0,
        "labelAuc": grouped_auc(table.corrected(rows)[noisy].tolist(), truth[noisy].tolist(), groups),
        # At one place of the chain of one problem: elsewhere the place itself tells the value.
        "stepAuc": grouped_auc(flat, truths(held_out).tolist(), at),
        **selection(held_out, [sum(one) / len(one) for one in values]),
    }


FORMS = {
    "none": Arm("none"),
    "joint": Arm("none", joint=True),
    "weight": Arm("weight"),
    "logit": Arm(),
    "logit + anchor": Arm(anchor=ANCHOR),
    "additive": Arm("additive"),
    "free": Arm("free"),
}
LABEL_COLUMNS = {"mae": "label MAE", "corruptedMae": "on corrupted", "labelAuc": "label AUC"}
MODEL_COLUMNS = {
    "stepAuc": "step AUC", "auc": "program AUC", "bestOf8": "Best-of-8", "againstBase": "against none",
    "random": "random", "oracle": "oracle",
}  # fmt: skip


def _arms(
    splits: dict[str, Split], arms: dict[str, Arm], noise: Noise, seeds: int, steps: int, report: Callable[[str], None]
) -> dict[str, dict[str, ablation_report.Cell]]:
    """Figures of every arm; Best-of-8 minus that of `none` of the same share of rows."""
    runs: dict[str, list[Figures]] = defaultdict(list)
    for seed in range(seeds):
        for name, arm in arms.items():
            own = splits
            if arm.rows < 1:
                count = len(splits["training"].rows)
                kept = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[: int(count * arm.rows)]
                own = {**splits, "training": splits["training"].taken(kept.sort().values)}
            labels, corrupted = noisy_labels(own["training"], noise, seed)
            runs[name].append(measure(own, *fit(own, labels, arm, steps, seed), corrupted))
    report(f"{noise.kind} {noise.rate:g}: {len(arms)} arms, {seeds} seeds")
    return ablation_report.summary(runs, next(iter(arms)), "bestOf8")


def _noise(splits: dict[str, Split], seeds: int, steps: int, report: Callable[[str], None]) -> dict[str, Any]:
    flip = Noise("flip", 0.4)
    others = [Noise("flip", 0.2), Noise("zero", 0.4), Noise("one", 0.4), Noise("broadcast", 0.0)]
    fewer = {name: FORMS[name] for name in ("none", "joint", "logit", "logit + anchor")}
    out = {"flip 40%": _arms(splits, FORMS, flip, seeds, steps, report)}
    for one in others:
        name = one.kind if one.kind == "broadcast" else f"{one.kind} {one.rate:.0%}"
        out[name] = _arms(splits, fewer, one, seeds, steps, report)
    beside = {name: with_siblings(split) for name, split in splits.items()}
    for one in (flip, Noise("zero", 0.4)):
        name = f"{one.kind} {one.rate:.0%}, distance from the other candidates known"
        out[name] = _arms(beside, fewer, one, seeds, steps, report)
    return out


def _network(splits: dict[str, Split], seeds: int, steps: int, report: Callable[[str], None]) -> dict[str, Any]:
    out = {}
    for share in (0.25, 0.5, 1.0):
        arms = {name: replace(Arm(form), rows=share) for name, form in (("none", "none"), ("table", "logit"), ("network", "network"))}  # fmt: skip
        out[f"{share:.0%} of the rows"] = _arms(splits, arms, Noise("flip", 0.35), seeds, steps, report)
    return out


def _predict(splits: dict[str, Split], seeds: int, steps: int, report: Callable[[str], None]) -> dict[str, Any]:
    """What the outer loss compares with the verdict: an early step of a failing program can be right, its mean is not 0."""
    arms = {"none": Arm("none"), **{rule: Arm(predict=rule) for rule in ("last", "min", "product", "mean")}}
    beside = {name: with_siblings(split) for name, split in splits.items()}
    told = "flip 40%, distance from the other candidates known"
    return {told: _arms(beside, arms, Noise("flip", 0.4), seeds, steps, report)}


def _table_size(splits: dict[str, Split], seeds: int, steps: int, report: Callable[[str], None]) -> dict[str, Any]:
    named = {
        "step": "one a step",
        "problem-step": "problem × step",
        "bucket": "pass-count bucket",
        "global": "one global",
    }
    arms = {"none": Arm("none"), **{name: Arm(size=size) for size, name in named.items()}}
    arms |= {f"{share:.0%} of the steps": Arm(share=share) for share in (0.1, 0.25, 0.5)}
    return {"flip 35%": _arms(splits, arms, Noise("flip", 0.35), seeds, steps, report)}


def granular(split: Split, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, owners and value labels of the steps of one granularity: `function`, `line` or `program`."""
    if kind == "function":
        return split.steps, split.owner, truths(split)
    if kind == "program":
        return split.steps[_last(split)], torch.arange(len(split.rows)), _verdicts(split)
    values = [float(split.rows[int(i)].labels[int(k)] or 0.0) for i, k in zip(split.line_owner, split.line_step, strict=True)]  # fmt: skip
    return split.lines, split.line_owner, torch.tensor(values)


def fit_plain(hidden: Tensor, labels: Tensor, steps: int, seed: int) -> Head:
    """A head by BCE alone."""
    head = Head(hidden.shape[1])
    optimiser = torch.optim.Adam(head.parameters(), lr=RATE)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        at = torch.randint(0, len(labels), (BATCH,), generator=rng)
        loss = nn.functional.binary_cross_entropy_with_logits(head(hidden[at]), labels[at])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return head


AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda r: float(np.mean(r)),
    "median": lambda r: float(np.median(r)),
    "min": min,
    "max": max,
    "product": lambda r: float(np.prod(r)),
    "last": lambda r: r[-1],
    "logodds": lambda r: float(np.mean([np.log(v / (1 - v)) for v in np.clip(r, 1e-6, 1 - 1e-6)])),
}


def _granularity(splits: dict[str, Split], seeds: int, steps: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Function, line and program steps under every aggregate; labels are the true values, or the broadcast verdict."""
    training, held_out = splits["training"], splits["validation"]
    out: dict[str, Any] = {}
    for truth in ("true values", "broadcast verdicts"):
        runs: dict[str, list[Figures]] = defaultdict(list)
        for seed in range(seeds):
            for kind in ("function", "line", "program"):
                hidden, owner, labels = granular(training, kind)
                target = labels if truth == "true values" else _verdicts(training)[owner]
                head = fit_plain(hidden, target, steps, seed)
                hidden, owner, _ = granular(held_out, kind)
                values: list[list[float]] = [[] for _ in held_out.rows]
                with torch.no_grad():
                    for i, value in zip(owner.tolist(), torch.sigmoid(head(hidden)).tolist(), strict=True):
                        values[i].append(value)
                for rule in AGGREGATES if kind != "program" else ("last",):
                    runs[f"{kind}, {rule}"].append(selection(held_out, [AGGREGATES[rule](one) for one in values]))
        out[truth] = ablation_report.summary(runs, "function, mean", "bestOf8")
        report(f"granularity, {truth}")
    return out


def attributions(split: Split, value: nn.Module, own: nn.Module) -> dict[str, list[list[float]]]:
    """Each function's own doing by the three rules of method.md 5a; the lowest names the function."""
    with torch.no_grad():
        first = torch.sigmoid(call(value, split.empty)).tolist()
    out: dict[str, list[list[float]]] = {"ratio": [], "logit difference": [], "own head": rewards(own, split)}
    for start, chain in zip(first, rewards(value, split), strict=True):
        before = [start, *chain[:-1]]
        out["ratio"].append([v / max(b, EPSILON) for v, b in zip(chain, before, strict=True)])
        bounded = np.clip([start, *chain], 1e-6, 1 - 1e-6)
        out["logit difference"].append(np.diff(np.log(bounded / (1 - bounded))).tolist())
    return out


PLACES = ("first", "second", "third", "fourth or later")


def _attribution(splits: dict[str, Split], seeds: int, steps: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Heads trained on the true values and on own verdicts. Step AUC, and whether the lowest names the mutated function."""
    training, held_out = splits["training"], splits["validation"]
    own_truth = torch.tensor([float(training.rows[int(i)].own[int(k)] or 0) for i, k in _at(training)])
    places = [held_out.rows[int(i)].group + f"/{int(k)}" for i, k in _at(held_out)]
    own_labels = [float(held_out.rows[int(i)].own[int(k)] or 0) for i, k in _at(held_out)]
    runs: dict[str, list[Figures]] = defaultdict(list)
    for seed in range(seeds):
        value = fit_plain(training.steps, truths(training), steps, seed)
        own = fit_plain(training.steps, own_truth, steps, seed)
        values = rewards(value, held_out)
        chosen = selection(held_out, [sum(one) / len(one) for one in values])
        flat = [values[int(i)][int(k)] for i, k in _at(held_out)]
        step_auc = grouped_auc(flat, truths(held_out).tolist(), places)
        for name, given in attributions(held_out, value, own).items():
            hits: dict[str, list[float]] = defaultdict(list)
            for row, one in zip(held_out.rows, given, strict=True):
                bugs = [k for k, own_verdict in enumerate(row.own) if own_verdict == 0]
                if len(bugs) != 1 or row.verdict != 0 or len(one) < 2:
                    continue
                hit = float(int(np.argmin(one)) == bugs[0])
                for key in ("top1", PLACES[min(3, bugs[0])]):
                    hits[key].append(hit)
                hits["chance"].append(1 / len(one))
            flat_own = [given[int(i)][int(k)] for i, k in _at(held_out)]
            runs[name].append(
                {
                    "valueAuc": step_auc,
                    "ownAuc": grouped_auc(flat_own, own_labels, places),
                    **{key: float(np.mean(found)) for key, found in sorted(hits.items())},
                    "programs": float(len(hits["top1"])),
                    **chosen,
                }
            )
    report("attribution")
    return {"one bug a program": ablation_report.summary(runs, "ratio", "top1")}


TOP1_COLUMNS = {
    "valueAuc": "value AUC", "ownAuc": "own AUC", "top1": "top-1", "againstBase": "against ratio", "chance": "chance",
    **{place: f"bug in the {place}" for place in PLACES}, "programs": "programs", "bestOf8": "Best-of-8", "random": "random",
}  # fmt: skip
PROGRAMS: dict[str, tuple[Callable[..., dict[str, Any]], dict[str, str], str]] = {
    "noise": (_noise, {**LABEL_COLUMNS, **MODEL_COLUMNS}, "bestOf8"),
    "network": (_network, {**LABEL_COLUMNS, **MODEL_COLUMNS}, "bestOf8"),
    "predict": (_predict, {**LABEL_COLUMNS, **MODEL_COLUMNS}, "bestOf8"),
    "table-size": (_table_size, {**LABEL_COLUMNS, **MODEL_COLUMNS}, "bestOf8"),
    "granularity": (
        _granularity,
        {"auc": "program AUC", "bestOf8": "Best-of-8", "againstBase": "against function, mean", "random": "random", "oracle": "oracle"},
        "bestOf8",
    ),
    "attribution": (_attribution, TOP1_COLUMNS, "top1"),
}  # fmt: skip


def ablate_programs(
    name: str, data: Path, run: Path, out: Path, seeds: int, steps: int, report: Callable[[str], None]
) -> None:
    """Writes `out`/programs-NAME.json, .md and .svg. `data`: rows of mutations; `run`: folder of a `train` run.

    Raises `WorkerError("bad_config")` for under two seeds, and as `features`.
    """
    if seeds < 2:
        raise WorkerError("bad_config", f"--seeds {seeds}: an interval needs at least 2")
    splits = features(data, run, report)
    compute, _, _ = PROGRAMS[name]
    tables = compute(splits, seeds, steps, report)
    sizes = {
        split: {
            "rows": len(one.rows), "problems": len({row.problem for row in one.rows}), "steps": len(one.owner),
            "passing": int(_verdicts(one).sum()),
        }
        for split, one in splits.items()
    }  # fmt: skip
    page({"ablation": name, "seeds": seeds, "steps": steps, "data": sizes, "tables": tables}, out)


def page(facts: dict[str, Any], out: Path) -> None:
    """Writes what the figures say."""
    name, sizes = facts["ablation"], facts["data"]
    _, columns, figure = PROGRAMS[name]
    told = "; ".join(
        f"{k} {v['rows']} rows of {v['problems']} problems, {v['passing']} passing" for k, v in sizes.items()
    )
    text = [
        f"# Programs: {name}",
        "",
        "Variants of passing programs with a bug in one function (true step labels); a linear head on the frozen hidden "
        f"states of the trained small model, {facts['steps']} steps, {facts['seeds']} seeds; ± is half a 95 % t interval over seeds (noise, "
        f"batches), not over problems. {told}. Noisy labels are K = {K} draws that pass with {PASSES[1]} after a right "
        f"prefix and {PASSES[0]} after a broken one, then corrupted. Best-of-8 by the mean reward among the variants of "
        "one problem, unless the row names a rule. Step AUC is inside one problem at one place of the chain.",
    ]
    drawn: dict[str, str] = {}
    for place, (title, rows) in enumerate(facts["tables"].items()):
        text += ["", f"## {title}", "", *ablation_report.table(rows, columns)]
        text += ["", ablation_report.reading(rows, next(iter(rows)), columns[figure])]
        figures = {arm: (one[figure]["value"], one[figure]["half"]) for arm, one in rows.items()}
        drawn[str(place + 1)] = plots.bars(f"{title}: {columns[figure]}", columns[figure], figures)
    ablation_report.write(out, f"programs-{name}", facts, text, drawn)
