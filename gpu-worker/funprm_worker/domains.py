"""Leave-one-domain-out: does the reward model know anything of a kind of problem that its verdicts never came from?

One short fine-tune for each domain left out, and one on all, from the same language model, with equal steps and seed. Each
keeps its last weights: a checkpoint chosen on validation groups of the domain would have seen it.
"""

import gzip
import json
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from funprm_worker.config import Config
from funprm_worker.cut_backbone import ORIGIN
from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import paired_figures, solution_figures
from funprm_worker.export import measured
from funprm_worker.prefix_encoder import load_trained, longest_row
from funprm_worker.rows import Row, read_rows
from funprm_worker.train import clusters_of, encode_rows, mean, step_rewards, train
from funprm_worker.trivial import fit_and_score

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
A_CLUSTER = 12
A_GROUP = 2
"""Intervals are over problems: many clusters of one problem cost time and tell little."""


def set_of(row: Row) -> str:
    return row.id.split("/", 1)[0]


SCORERS = ("prm", "encoder", "trivial")
ENCODER_ROWS = 300
"""Programs of each domain that the head on the frozen encoder learns from; the control takes two thirds of each, so that all
heads see as many."""


def leave_one_out(
    config: Config,
    out: Path,
    report: Callable[[str], None],
    scorers: Sequence[str] = SCORERS,
    encoder: Path | None = None,
    checkpoint: Path | None = None,
    others: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    """Trains what is not trained yet under `config.run`, one folder an arm, and writes `out`.json and `out`.md.

    `prm` is a fine-tune of `config`, `encoder` a linear head on the frozen encoder in that folder, `trivial` the scorer of
    words; `checkpoint` is the model that ships, only measured, beside them; `others`, by name, are further models of all
    domains that it is compared with. Raises `WorkerError("bad_config")` for another scorer, `encoder` without its folder, or
    others without the model that ships.
    """
    if not set(scorers) <= set(SCORERS) or ("encoder" in scorers) != (encoder is not None):
        raise WorkerError(
            "bad_config", f"scorers {', '.join(scorers)}: choose of {', '.join(SCORERS)}; --encoder goes with encoder"
        )
    if others and checkpoint is None:
        raise WorkerError("bad_config", "--other is compared with --checkpoint; give both")
    held_out = held_out_rows(config)
    arms: dict[str, tuple[str, ...]] = {ALL: (), **DOMAINS}
    found: dict[str, dict[str, dict[str, float]]] = {}
    facts: dict[str, Any] = {"seed": config.seed}
    for arm, left_out in arms.items():
        _split(config, arm, left_out)
    facts["rowsInTraining"] = {arm: _count(config, arm) for arm in arms}
    if "trivial" in scorers:
        found["trivial"] = {arm: _trivial(config, arm, left_out, held_out, report) for arm, left_out in arms.items()}
    if encoder is not None:
        found["encoder"], facts["encoder"] = _encoder(config, encoder, held_out, report)
    if "prm" in scorers:
        found["prm"] = {arm: _prm(config, arm, left_out, held_out, report) for arm, left_out in arms.items()}
        facts["prm"] = {
            "steps": config.reward.steps,
            "paddedTokensAStep": config.reward.tokens,
            "precision": config.precision,
            "start": _start(config),
        }
    whole = {} if checkpoint is None else _measured(config, checkpoint, held_out, report)
    facts["domains"] = {}
    for domain, rows in by_domain(held_out).items():
        one: dict[str, Any] = {"sets": list(DOMAINS[domain]), "rows": len(rows), "scorers": {}}
        for name, scores in found.items():
            without, control = ([scores[arm].get(row.id) for row in rows] for arm in (domain, ALL))
            one["scorers"][name] = {
                "without": solution_figures(rows, without),
                "with": solution_figures(rows, control),
                "difference": paired_figures(rows, without, control),
            }
        if checkpoint is not None:
            one["checkpoint"] = solution_figures(rows, [whole.get(row.id) for row in rows])
        facts["domains"][domain] = one
    if checkpoint is not None:
        theirs = [whole.get(row.id) for row in held_out]
        facts["checkpoint"] = {
            "all": solution_figures(held_out, theirs),
            "minus": {
                name: paired_figures(held_out, theirs, [scores[ALL].get(row.id) for row in held_out])
                for name, scores in found.items()
            },
        }
        facts["others"] = {}
        for name, folder in others.items():
            measured_other = _measured(config, folder, held_out, report)
            ours = [measured_other.get(row.id) for row in held_out]
            facts["others"][name] = {
                "all": solution_figures(held_out, ours),
                "minusCheckpoint": paired_figures(held_out, ours, theirs),
                "domains": {
                    domain: solution_figures(rows, [measured_other.get(row.id) for row in rows])
                    for domain, rows in by_domain(held_out).items()
                },
            }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    out.with_suffix(".md").write_text(_page(facts))


def by_domain(rows: Sequence[Row]) -> dict[str, list[Row]]:
    return {domain: [row for row in rows if set_of(row) in sets] for domain, sets in DOMAINS.items()}


def held_out_rows(config: Config) -> list[Row]:
    """Rows of validation and of meta groups (no correction here: neither is trained on): of each group its `A_GROUP` largest
    clusters with both verdicts, at most `A_CLUSTER` rows of one, drawn by hash."""
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
    groups: dict[str, list[list[Row]]] = defaultdict(list)
    for (group, _), cluster in sorted(clusters.items()):
        kept = sorted(cluster, key=lambda row: sha256(row.id.encode()).hexdigest())[:A_CLUSTER]
        if {row.verdict for row in kept} == {0, 1}:
            groups[group].append(kept)
    return [row for one in groups.values() for kept in sorted(one, key=len, reverse=True)[:A_GROUP] for row in kept]


def _folder(config: Config, arm: str) -> Path:
    return Path(config.run) / arm.replace(" ", "-")


def _split(config: Config, arm: str, left_out: tuple[str, ...]) -> None:
    data = _folder(config, arm) / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in ("training", "meta", "validation"):
        _copy(Path(config.data) / f"{name}.jsonl.gz", data / f"{name}.jsonl.gz", left_out if name == "training" else ())


def _judged(left_out: tuple[str, ...], held_out: list[Row]) -> list[Row]:
    """An arm is measured on its own domain, the control on all."""
    return [row for row in held_out if not left_out or set_of(row) in left_out]


def _kept(path: Path, make: Callable[[], dict[str, float]]) -> dict[str, float]:
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(json.dumps(make()))
        part.replace(path)
    loaded: dict[str, float] = json.loads(path.read_text())
    return loaded


def _prm(
    config: Config, arm: str, left_out: tuple[str, ...], held_out: list[Row], report: Callable[[str], None]
) -> dict[str, float]:
    folder = _folder(config, arm)

    def make() -> dict[str, float]:
        report(f"{arm}: fine-tune of {config.reward.steps} steps")
        # One look, at the end: the last weights are kept.
        settings = replace(
            config,
            data=str(folder / "data"),
            run=str(folder),
            checkpoint=replace(config.checkpoint, every=config.reward.steps),
        )
        train(settings, report)
        model, encoder = load_trained(folder / "best"), Encoder.load(folder / "tokenizer.json")
        encoded = encode_rows(_judged(left_out, held_out), encoder, config.model.max_tokens, 1.0)
        rewards = step_rewards(model, encoded, encoder.pad_id, precision=config.precision)
        return {one.row.id: mean(values) for one, values in zip(encoded, rewards, strict=True)}

    return _kept(folder / "scores.json", make)


def _measured(config: Config, checkpoint: Path, held_out: list[Row], report: Callable[[str], None]) -> dict[str, float]:
    """Scores of a checkpoint with its tokenizer.json beside its weights."""

    def make() -> dict[str, float]:
        report(f"scoring {len(held_out)} programs by {checkpoint}")
        encoder = Encoder.load(checkpoint / "tokenizer.json")
        model = load_trained(checkpoint)
        encoded = encode_rows(held_out, encoder, min(config.model.max_tokens, longest_row(model)), 1.0)
        rewards = step_rewards(model, encoded, encoder.pad_id, precision=config.precision)
        return {one.row.id: mean(values) for one, values in zip(encoded, rewards, strict=True)}

    weights = sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    return _kept(Path(config.run) / f"checkpoint-{weights[:12]}.json", make)


def _start(config: Config) -> str:
    """What the fine-tunes start from: the line that `cut-backbone` left, or the tokens that a run's language model saw."""
    folder = Path(config.backbone.folder) if config.backbone is not None else None
    if folder is not None and (folder / ORIGIN).is_file():
        return (folder / ORIGIN).read_text().strip()
    if folder is None or not (folder.parent / "config.json").exists():
        return "one language model"
    pretrain = json.loads((folder.parent / "config.json").read_text())["pretrain"]
    return f"one language model, pretrained on {pretrain['steps'] * pretrain['tokens']:,} tokens"


def _mixed_rows(config: Config, arm: str) -> list[list[Row]]:
    """The arm's training clusters with both verdicts."""
    training = list(read_rows(_folder(config, arm) / "data" / "training.jsonl.gz"))
    clusters = clusters_of(training, config.reward.per_side, config.seed, config.reward.consistency > 0)
    return [[row for row in one if row.verdict is not None] for one in clusters if {r.verdict for r in one} >= {0, 1}]


def _trivial(
    config: Config, arm: str, left_out: tuple[str, ...], held_out: list[Row], report: Callable[[str], None]
) -> dict[str, float]:
    """The trivial scorer on the arm's clusters with both verdicts: what words alone carry over."""

    def make() -> dict[str, float]:
        report(f"{arm}: trivial scorer")
        rows = _judged(left_out, held_out)
        scores = fit_and_score([row for one in _mixed_rows(config, arm) for row in one], rows, config.seed)
        return {row.id: score for row, score in zip(rows, scores, strict=True)}

    return _kept(_folder(config, arm) / "trivial.json", make)


def _encoder(
    config: Config, folder: Path, held_out: list[Row], report: Callable[[str], None]
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Scores by arm of a head on the frozen encoder, and what the encoder is and costs."""
    import torch

    from funprm_worker.encoder_head import CODE_TOKENS, STATEMENT_TOKENS, Embedder, fit_head, scores_of

    torch.set_num_threads(config.threads)
    learned: dict[str, list[Row]] = {domain: [] for domain in DOMAINS}
    for cluster in sorted(_mixed_rows(config, ALL), key=lambda one: sha256(one[0].id.encode()).hexdigest()):
        domain = next((name for name, sets in DOMAINS.items() if set_of(cluster[0]) in sets), None)
        if domain is not None and len(learned[domain]) < ENCODER_ROWS:
            learned[domain] += cluster
    kept = Path(config.run) / "embedded.pt"
    if not kept.exists():
        embedder = Embedder(folder)
        rows = [*held_out, *(row for one in learned.values() for row in one)]
        report(f"encoding {len(rows)} programs")
        started = time.process_time()
        vectors = embedder.embed(rows)
        cost = {
            "parameters": embedder.parameters_total(),
            "tokens": sum(len(embedder.ids(row)) for row in rows),
            "cpuSeconds": round(time.process_time() - started, 1),
        }
        torch.save({"ids": [row.id for row in rows], "vectors": vectors, "cost": cost}, kept)
    state: dict[str, Any] = torch.load(kept, weights_only=True)
    place = {name: i for i, name in enumerate(state["ids"])}

    def vectors_of(rows: list[Row]) -> Any:
        return state["vectors"][[place[row.id] for row in rows]]

    found = {}
    sizes = {}
    for arm, left_out in {ALL: (), **DOMAINS}.items():
        rows = [
            row
            for domain, one in learned.items()
            if domain != arm
            for row in (one[: len(one) * 2 // 3] if arm == ALL else one)
        ]
        sizes[arm] = len(rows)
        head = fit_head(rows, vectors_of(rows), config.seed)
        judged = _judged(left_out, held_out)
        found[arm] = dict(zip((row.id for row in judged), scores_of(head, vectors_of(judged)), strict=True))
    facts: dict[str, Any] = {
        **state["cost"],
        "name": folder.name,
        "programsLearnedFrom": sizes,
        "statementTokens": STATEMENT_TOKENS,
        "codeTokens": CODE_TOKENS,
        "all": solution_figures(held_out, [found[ALL].get(row.id) for row in held_out]),
    }
    return found, facts


def _copy(source: Path, target: Path, left_out: tuple[str, ...]) -> None:
    if target.exists():
        return
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    if not left_out:
        os.link(source, part) if source.stat().st_dev == target.parent.stat().st_dev else shutil.copy(source, part)
    else:
        with (
            gzip.open(source, "rt", encoding="utf-8") as lines,
            gzip.open(part, "wt", encoding="utf-8", compresslevel=1) as out,
        ):
            out.writelines(line for line in lines if _set_in(line) not in left_out)
    part.replace(target)


def _set_in(line: str) -> str:
    """The set of a row by its id, without reading the rest; the statement's own quotes stand escaped in JSON."""
    found = re.search(r'"id": ?"([^"/]+)/', line)
    return found[1] if found else ""


def _count(config: Config, arm: str) -> int:
    with gzip.open(Path(config.run) / arm.replace(" ", "-") / "data" / "training.jsonl.gz", "rt") as lines:
        return sum(1 for _ in lines)


NAMES = {
    "prm": "causal model, fine-tuned",
    "encoder": "frozen encoder, linear head",
    "trivial": "trivial scorer",
}


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
        "Made by `funprm-worker leave-one-out`. Each scorer is trained four times, without the verdicts of a domain and, as the"
        " control, with those of all, and measured on the domain's validation and meta groups. Inside one problem and generator;"
        " of classes, of which each generator wrote one or two, inside one problem: there recognising the generator helps."
        f" At most {A_GROUP} clusters of a problem and {A_CLUSTER} programs of a cluster. In brackets the 95 % bootstrap interval"
        " over problems and their number. One seed: a difference also holds the noise of training.",
        "",
    ]
    if "prm" in facts:
        prm = facts["prm"]
        lines += [
            f"The causal model: {prm['steps']} steps of {prm['paddedTokensAStep']} padded tokens each from {prm['start']}.",
            "",
        ]
    if "encoder" in facts:
        encoder = facts["encoder"]
        lines += [
            f"The encoder {encoder['name']}: {encoder['parameters']:,} parameters, frozen; whole programs, {encoder['statementTokens']} tokens of"
            f" the statement and {encoder['codeTokens']} of the code; heads learned from"
            f" {', '.join(map(str, encoder['programsLearnedFrom'].values()))} programs. Encoding took"
            f" {encoder['cpuSeconds']} CPU seconds for {encoder['tokens']:,} tokens, bfloat16, one pass a program.",
            "",
        ]
    for title, key, paired in (
        ("Within-problem AUC", "auc", "auc"),
        ("Best-of-8 minus random", "lift", "bestOf"),
    ):
        lines += [
            f"## {title}",
            "",
            "| domain | scorer | trained without it | trained on all | difference, paired |",
            "|---|---|---|---|---|",
        ]
        signed = key == "lift"
        for domain, one in facts["domains"].items():
            for name, found in one["scorers"].items():
                cells = [figure(found[arm][key], signed) for arm in ("without", "with")]
                lines.append(
                    f"| {domain} | {NAMES[name]} | {' | '.join(cells)} | {figure(found['difference'][paired], True)} |"
                )
            if "checkpoint" in one:
                lines.append(
                    f"| {domain} | the model that ships, as it is | | {figure(one['checkpoint'][key], signed)} | |"
                )
        lines.append("")
    if "checkpoint" in facts:
        lines += [
            "## The model that ships against scorers of all domains, paired over all problems",
            "",
            "| against | within-problem AUC | Best-of-8 |",
            "|---|---|---|",
        ]
        lines += [
            f"| {NAMES[name]} | {figure(gap['auc'], True)} | {figure(gap['bestOf'], True)} |"
            for name, gap in facts["checkpoint"]["minus"].items()
        ]
        lines.append("")
    if facts.get("others"):
        lines += [
            "## Other models of all domains, minus the model that ships",
            "",
            f"| model | {' | '.join(DOMAINS)} | all | within-problem AUC, paired | Best-of-8, paired |",
            f"|{'---|' * (len(DOMAINS) + 4)}",
        ]
        for name, one in facts["others"].items():
            cells = [figure(one["domains"][domain]["auc"]) for domain in DOMAINS]
            gap = one["minusCheckpoint"]
            lines.append(
                f"| {name} | {' | '.join(cells)} | {figure(one['all']['auc'])} | {figure(gap['auc'], True)} | {figure(gap['bestOf'], True)} |"
            )
        lines.append("")
    lines += ["## Rows", "", "| domain | sets | held-out programs | training rows without it |", "|---|---|---|---|"]
    lines += [
        f"| {domain} | {', '.join(one['sets'])} | {one['rows']} | {facts['rowsInTraining'][domain]} |"
        for domain, one in facts["domains"].items()
    ]
    lines += [f"| {ALL} | | | {facts['rowsInTraining'][ALL]} |"]
    return "\n".join(lines) + "\n"
