"""Leave-one-domain-out: does the reward model know anything of a kind of problem that its verdicts never came from?

One short fine-tune for each domain left out, and one on all, from the same language model, with equal steps and seed. Each
keeps its last weights: a checkpoint chosen on validation groups of the domain would have seen it.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from funprm_worker.config import Config
from funprm_worker.evaluate import paired_figures, solution_figures
from funprm_worker.export import measured
from funprm_worker.rows import Row, read_rows
from funprm_worker.train import best_model, encode_rows, mean, step_rewards, train

DOMAINS = {
    "contests": ("codeforces_guni", "leetcode_zsr", "livecodebench_v1_v5", "debugbench_python"),
    "classes": ("classeval", "realclasseval_csn"),
    "HumanEval and MBPP": (
        "humaneval_codet", "humaneval_guni", "humaneval_multi", "humanevalfix_python", "mbpp_mpl", "mbpp_multi",
        "mint_codegen",
    ),
}  # fmt: skip
"""Domain → sets; mint_codegen holds problems of HumanEval and MBPP. A row's id begins with its set."""

ALL = "all domains"
A_CLUSTER = 24


def set_of(row: Row) -> str:
    return row.id.split("/", 1)[0]


def leave_one_out(config: Config, out: Path, report: Callable[[str], None]) -> None:
    """Trains what is not trained yet under `config.run`, one folder an arm, and writes `out`.json and `out`.md."""
    held_out = held_out_rows(config)
    scores = {arm: _arm(config, arm, left_out, held_out, report) for arm, left_out in {ALL: (), **DOMAINS}.items()}
    table: dict[str, Any] = {}
    for domain, sets in DOMAINS.items():
        rows = [row for row in held_out if set_of(row) in sets]
        without, control = ([scores[arm].get(row.id) for row in rows] for arm in (domain, ALL))
        table[domain] = {
            "sets": list(sets),
            "rows": len(rows),
            "without": solution_figures(rows, without),
            "with": solution_figures(rows, control),
            "difference": paired_figures(rows, without, control),
        }
    facts = {
        "steps": config.reward.steps,
        "paddedTokensAStep": config.reward.tokens,
        "seed": config.seed,
        "precision": config.precision,
        "rowsInTraining": {arm: _count(config, arm) for arm in scores},
        "domains": table,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    out.with_suffix(".md").write_text(_page(facts))


def held_out_rows(config: Config) -> list[Row]:
    """Rows of validation and of meta groups (no correction here: neither is trained on), in clusters with both verdicts, at
    most `A_CLUSTER` of one, drawn by hash."""
    rows = [
        # Each model wrote one program of a class or two: a cluster there is a problem.
        replace(row, pool="any") if set_of(row) in DOMAINS["classes"] else row
        for name in ("validation", "meta")
        for row in read_rows(Path(config.data) / f"{name}.jsonl.gz")
    ]
    clusters: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in measured(rows):
        if row.verdict is not None:
            clusters[row.group, row.pool].append(row)
    kept = [
        sorted(cluster, key=lambda row: sha256(row.id.encode()).hexdigest())[:A_CLUSTER]
        for cluster in clusters.values()
    ]
    return [row for cluster in kept if {one.verdict for one in cluster} == {0, 1} for row in cluster]


def _arm(
    config: Config, arm: str, left_out: tuple[str, ...], held_out: list[Row], report: Callable[[str], None]
) -> dict[str, float]:
    """Score of every held-out row it is measured on: of its own domain, or of all."""
    folder = Path(config.run) / arm.replace(" ", "-")
    kept = folder / "scores.json"
    if kept.exists():
        loaded: dict[str, float] = json.loads(kept.read_text())
        return loaded
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in ("training", "meta", "validation"):
        _copy(Path(config.data) / f"{name}.jsonl.gz", data / f"{name}.jsonl.gz", left_out if name == "training" else ())
    # One look, at the end: the last weights are kept.
    settings = replace(
        config,
        data=str(data),
        run=str(folder),
        checkpoint=replace(config.checkpoint, every=config.reward.steps),
    )
    report(f"{arm}: {_count(config, arm)} training rows")
    train(settings, report)
    model, encoder = best_model(settings)
    rows = [row for row in held_out if not left_out or set_of(row) in left_out]
    encoded = encode_rows(rows, encoder, config.model.max_tokens, 1.0)
    rewards = step_rewards(model, encoded, encoder.pad_id, precision=config.precision)
    scores = {one.row.id: mean(values) for one, values in zip(encoded, rewards, strict=True)}
    kept.write_text(json.dumps(scores))
    return scores


def _copy(source: Path, target: Path, left_out: tuple[str, ...]) -> None:
    if target.exists():
        return
    part = target.with_suffix(".part")
    with (
        gzip.open(source, "rt", encoding="utf-8") as lines,
        gzip.open(part, "wt", encoding="utf-8", compresslevel=1) as out,
    ):
        out.writelines(line for line in lines if json.loads(line)["id"].split("/", 1)[0] not in left_out)
    part.replace(target)


def _count(config: Config, arm: str) -> int:
    with gzip.open(Path(config.run) / arm.replace(" ", "-") / "data" / "training.jsonl.gz", "rt") as lines:
        return sum(1 for _ in lines)


def _page(facts: dict[str, Any]) -> str:
    def figure(value: Any, signed: bool = False) -> str:
        if value is None:
            return "n/a"
        sign = "+" if signed else ""
        return (
            f"{value['value']:{sign}.3f} [{value['ci'][0]:{sign}.3f}, {value['ci'][1]:{sign}.3f}] ({value['problems']})"
        )

    lines = [
        "# Leave one domain out",
        "",
        f"Made by `funprm-worker leave-one-out`. Each model: {facts['steps']} steps of {facts['paddedTokensAStep']} padded tokens, seed {facts['seed']},"
        f" {facts['precision']}, from one language model that was pretrained on package sources alone and saw no program of any set;"
        " its tokenizer was fitted on text of all sets, without verdicts. One seed: a difference between two models holds the noise of training too."
        f" Figures inside one problem and generator (of classes: inside one problem, where recognising the generator helps) on validation and meta groups of the domain, at most {A_CLUSTER} programs of one; in brackets the 95 % bootstrap interval over problems and their number.",
        "",
        "| domain | within-problem AUC, trained without it | trained on all domains | difference, paired |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {domain} | {figure(one['without']['auc'])} | {figure(one['with']['auc'])} | {figure(one['difference']['auc'], True)} |"
        for domain, one in facts["domains"].items()
    ]
    lines += [
        "",
        "| domain | Best-of-8 minus random, trained without it | trained on all domains | difference of Best-of-8, paired | random | oracle |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {domain} | {figure(one['without']['lift'], True)} | {figure(one['with']['lift'], True)} | {figure(one['difference']['bestOf'], True)}"
        f" | {figure(one['with']['random'])} | {figure(one['with']['oracle'])} |"
        for domain, one in facts["domains"].items()
    ]
    lines += ["", "| trained on | rows |", "|---|---|"]
    lines += [
        f"| {arm if arm == ALL else f'all but {arm}'} | {rows} |" for arm, rows in facts["rowsInTraining"].items()
    ]
    lines += ["", "| domain | sets | held-out rows |", "|---|---|---|"]
    lines += [f"| {domain} | {', '.join(one['sets'])} | {one['rows']} |" for domain, one in facts["domains"].items()]
    return "\n".join(lines) + "\n"
