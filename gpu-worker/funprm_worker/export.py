"""From the best checkpoint of a run to a bundle: measured on held-out groups, exported, described in its manifest."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from funprm_worker import pretraining_text
from funprm_worker.bundle import OnnxScorer, write_bundle
from funprm_worker.config import Config
from funprm_worker.cut_backbone import ORIGIN
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import solution_figures, step_figures
from funprm_worker.model import RewardModel, load_model
from funprm_worker.onnx_graph import round_weights, write_onnx
from funprm_worker.rows import Row, read_rows
from funprm_worker.train import EncodedRow, best_model, choice_sample, encode_rows, mean, step_rewards
from funprm_worker.trivial import fit_and_score

PARITY_TOLERANCE = 1e-4
"""The int8 weights are multiplied out by the runtime: what is left is the order of fp32 sums."""

GATE = {"kendall": 0.98, "samePick": 0.99}
"""int8 ships only when it ranks and picks like fp32 (performance.md G15)."""


def export(config: Config, name: str, version: str, out: Path, report: Callable[[str], None]) -> None:
    """Writes `out/`: manifest.json, model.onnx, tokenizer.json, MODEL_CARD.md. Minutes on two cores."""
    torch.set_num_threads(config.threads)
    model, encoder = best_model(config)
    validation = list(read_rows(Path(config.data) / "validation.jsonl.gz"))
    chosen_on = {row.group for row in choice_sample(validation, config)}
    rows = measured(validation)
    encoded = encode_rows(rows, encoder, config.model.max_tokens, 1.0)
    # The checkpoint's own choice rows are enough to compare two roundings of one model.
    compared = encode_rows(choice_sample(validation, config), encoder, config.model.max_tokens, 1.0)
    report(f"scoring {len(compared)} validation rows in fp32")
    exact = step_rewards(model, compared, encoder.pad_id)
    round_weights(model)
    agreement = picks_agree(compared, exact, step_rewards(model, compared, encoder.pad_id))
    int8 = agreement["kendall"] >= GATE["kendall"] and agreement["samePick"] >= GATE["samePick"]
    if not int8:
        model, _ = best_model(config)
    report(f"{'int8' if int8 else 'fp32'}: scoring {len(encoded)} of {len(rows)} validation rows")
    rewards = step_rewards(model, encoded, encoder.pad_id, precision=config.precision)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_text((Path(config.run) / "tokenizer.json").read_text())
    write_onnx(model, out / "model.onnx", int8=int8)
    training = list(read_rows(Path(config.data) / "training.jsonl.gz"))
    origin = origin_of(config)
    card: Any = json.loads((Path(config.data) / "card.json").read_text())
    facts = {
        "name": name,
        "version": version,
        "weights": "int8" if int8 else "fp32",
        "maxTokens": config.model.max_tokens,
        "parameters": model.parameters_total(),
        "trainedOn": {
            **trained_on(training, card),
            "languageModelText": pretraining_text.described() if origin is None else f"that of {origin}",
        },
        "method": method(config, len(training), origin),
        "metrics": {
            "split": f"validation, every (group, generator) with both verdicts; scored in {config.precision}",
            "rows": len(encoded),
            "tooLong": len(rows) - len(encoded),
            "solution": figures(encoded, rewards),
            "notChosenOn": subset(encoded, rewards, lambda row: row.group not in chosen_on),
            "multiStep": subset(encoded, rewards, lambda row: len(row.completions) > 1),
            "steps": steps(encoded, rewards),
            "trivial": trivial(training, encoded, config.seed),
            "int8AgainstFp32": agreement,
        },
        "licence": f"{licence_of(origin)} (weights); the sets and their licences stand in trainedOn",
    }
    parity = parity_rows(encoded, config.seed)
    manifest = write_bundle(out, facts, parity, PARITY_TOLERANCE)
    check_torch_parity(model, encoded, out, encoder.pad_id)
    report(json.dumps(manifest["metrics"], indent=1))


def measured(rows: Iterable[Row]) -> list[Row]:
    """The validation rows that a figure rests on: clusters of one (group, pool) with both verdicts, and classeval.

    Elsewhere every choice is equally good. The empty prefix is needed where attributions are judged, on classeval.
    """
    kept, clusters = [], defaultdict[tuple[str, str | None], list[Row]](list)
    for row in rows:
        if row.id.startswith("classeval/"):
            kept.append(row)
        elif row.verdict is not None and row.pool != "constructed":
            clusters[row.group, row.pool].append(row)
    mixed = [members for members in clusters.values() if {row.verdict for row in members} == {0, 1}]
    return kept + [row for members in mixed for row in members]


def figures(encoded: list[EncodedRow], rewards: list[list[float]]) -> dict[str, Any]:
    return solution_figures([one.row for one in encoded], [mean(r) for r in rewards])


def subset(encoded: list[EncodedRow], rewards: list[list[float]], keep: Callable[[Row], bool]) -> dict[str, Any]:
    kept = [i for i, one in enumerate(encoded) if keep(one.row)]
    return {"rows": len(kept), **figures([encoded[i] for i in kept], [rewards[i] for i in kept])}


def steps(encoded: list[EncodedRow], rewards: list[list[float]]) -> dict[str, Any]:
    empty = {(one.row.problem, one.row.pool): rewards[i][0] for i, one in enumerate(encoded) if one.row.empty_prefix}
    classes = [i for i, one in enumerate(encoded) if one.row.id.startswith("classeval/") and not one.row.empty_prefix]
    return {
        "set": "classeval",
        "rows": len(classes),
        **step_figures([encoded[i].row for i in classes], [rewards[i] for i in classes], empty),
    }


def trivial(training: list[Row], encoded: list[EncodedRow], seed: int) -> dict[str, Any]:
    held_out = [one.row for one in encoded if one.row.verdict is not None]
    return solution_figures(held_out, fit_and_score(training, held_out, seed))


def picks_agree(
    encoded: list[EncodedRow], a: list[list[float]], b: list[list[float]], seed: int = 0
) -> dict[str, float]:
    """Kendall's tau over random pairs of rows of one (group, pool), and the share of Best-of-8 draws with the same pick."""
    clusters: dict[tuple[str, str], list[int]] = {}
    for i, one in enumerate(encoded):
        if one.row.verdict is not None:
            clusters.setdefault((one.row.group, one.row.pool), []).append(i)
    rng = random.Random(seed)
    score_a, score_b = [mean(r) for r in a], [mean(r) for r in b]
    concordant = pairs = same = draws = 0
    for members in clusters.values():
        if len(members) < 2:
            continue
        for _ in range(min(20, len(members) * (len(members) - 1) // 2)):
            i, j = rng.sample(members, 2)
            difference = (score_a[i] - score_a[j]) * (score_b[i] - score_b[j])
            concordant += 1 if difference > 0 else -1 if difference < 0 else 0
            pairs += 1
        if len(members) >= 8:
            for _ in range(5):
                drawn = rng.sample(members, 8)
                same += max(drawn, key=lambda i: score_a[i]) == max(drawn, key=lambda i: score_b[i])
                draws += 1
    return {"kendall": round(concordant / max(1, pairs), 4), "samePick": round(same / max(1, draws), 4)}


def origin_of(config: Config) -> str | None:
    """Where the backbone's weights come from, None for weights that the run itself started. Raises
    `WorkerError("bad_config")` for a backbone that does not say so: a bundle's licence depends on it."""
    if config.backbone is None:
        return None
    file = Path(config.backbone.folder) / ORIGIN
    if not file.is_file():
        raise WorkerError(
            "bad_config", f"{file}: missing; one line that says whose weights these are and under which licence"
        )
    return file.read_text().strip()


def licence_of(origin: str | None) -> str:
    """Of the weights: ours are MIT, and what goes on from others' weights keeps theirs."""
    return "Apache-2.0" if origin is not None and "Apache-2.0" in origin else "MIT"


def trained_on(training: list[Row], card: Any) -> dict[str, Any]:
    groups = sorted({row.group for row in training})
    counts: dict[str, int] = {}
    for row in training:
        name = row.id.split("/", 1)[0]
        counts[name] = counts.get(name, 0) + 1
    licences = {name: "; ".join(one["licences"]) for name, one in card["sets"].items()}
    return {
        "split": "training (fold 0-69 of sha256)",
        "sets": [
            {"set": name, "rows": counts[name], "licence": licences.get(name, "see data card")}
            for name in sorted(counts)
        ],
        "groups": len(groups),
        "groupsSha256": hashlib.sha256("\n".join(groups).encode()).hexdigest(),
        "rows": len(training),
    }


def method(config: Config, rows: int, origin: str | None) -> dict[str, Any]:
    start = (
        "next-token pretraining on Python sources and passing programs of training groups"
        if origin is None
        else f"pretrained weights ({origin})"
    )
    held = (
        f", each program held to its copies with another text or in other words (weight {config.reward.consistency:g})"
        if config.reward.consistency > 0
        else ""
    )
    return {
        "summary": f"Causal transformer of the Qwen2 architecture with a scalar head: {start}, then step rewards by BCE on soft labels and a within-problem pairwise loss{held}; no label correction",
        "architecture": {
            "hidden": config.model.hidden,
            "layers": config.model.layers,
            "heads": config.model.heads,
            "feedForward": config.model.feed_forward,
            "vocabulary": config.model.vocab,
        },
        "pretrain": {"steps": config.pretrain.steps, "tokens": config.pretrain.steps * config.pretrain.tokens},
        "reward": {
            "steps": config.reward.steps,
            "paddedTokensAStep": config.reward.tokens,
            "rowsAvailable": rows,
            # One look, at the end: nothing was chosen on validation.
            "lastWeights": config.checkpoint.every >= config.reward.steps,
        },
        "seed": config.seed,
    }


def parity_rows(encoded: list[EncodedRow], seed: int) -> list[tuple[str, list[str]]]:
    """Short hand-made rows: shared data may not stand in the repository."""
    prompt = "Problem:\n```\nReturn the sum of the even values of a list.\n```\n"
    main = 'def total(values):\n    """Walk over the values once and add the even ones."""\n    return sum(v for v in values if is_even(v))'
    helper = 'def is_even(value):\n    """True for a multiple of two."""\n    return value % 2 == 0'
    wrong = 'def is_even(value):\n    """True for a multiple of two."""\n    return value % 2 == 1'
    return [
        (prompt, [""]),
        (prompt, [main, helper]),
        (prompt, [main, wrong]),
        ("", [helper]),
        (prompt, [main, helper, wrong, helper]),
        ("Ω 漢字\n", ['print("<|step|>")']),
    ]


def check_torch_parity(model: RewardModel, encoded: list[EncodedRow], out: Path, pad_id: int) -> None:
    """The exported graph against torch on real rows. Raises AssertionError above the tolerance."""
    scorer = OnnxScorer(out / "model.onnx")
    sample = random.Random(0).sample(encoded, min(64, len(encoded)))
    ours = step_rewards(model, sample, pad_id)
    for one, expected in zip(sample, ours, strict=True):
        got = scorer.rewards([one.ids], pad_id)[0]
        worst = float(np.abs(np.array([got[e] for e in one.ends]) - np.array(expected)).max())
        assert worst <= PARITY_TOLERANCE, f"{one.row.id}: onnx and torch differ by {worst}"


def export_token_classification(checkpoint: Path, tokenizer: Path, out: Path) -> None:
    """Writes a checkpoint of `save_model` in the form of `AutoModelForTokenClassification`, which vLLM serves as a reward
    model: one label a token, whose sigmoid is the reward, or two, whose softmax's second is.

    The reward of a step is the one at its step token. `tokenizer` is copied beside it.
    """
    from transformers import AutoModelForTokenClassification

    model = load_model(checkpoint)
    labels = model.head.out_features
    config = type(model.config)(**{**model.config.to_diff_dict(), "num_labels": labels, "use_cache": False})
    served = AutoModelForTokenClassification.from_config(config)
    name = served.base_model_prefix
    weights = {
        f"score.{key.removeprefix('head.')}"
        if key.startswith("head.")
        else f"{name}.{key.removeprefix('backbone.')}": t
        for key, t in model.state_dict().items()
    }
    try:
        served.load_state_dict(weights)
    except RuntimeError as problem:
        raise WorkerError(
            "bad_bundle",
            f"{checkpoint}: {model.config.model_type} has another form of token classification ({str(problem).splitlines()[-1].strip()})",
        ) from problem
    served.save_pretrained(out)
    (out / "tokenizer.json").write_text(tokenizer.read_text())
