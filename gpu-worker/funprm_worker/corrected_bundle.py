"""The bundle of a corrected run, beside the default bundle and the control without correction on the same rows.

All three are measured with the weights that int8 computes with, on at most `A_CLUSTER` programs of one (group, generator).
Scores are kept in the run folder: the command goes on where it was stopped.
"""

import json
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from funprm_worker.bundle import write_bundle
from funprm_worker.domains import set_of
from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import paired_figures
from funprm_worker.export import (
    GATE,
    PARITY_TOLERANCE,
    check_torch_parity,
    figures,
    measured,
    parity_rows,
    picks_agree,
    steps,
    subset,
    trained_on,
)
from funprm_worker.model import load_model
from funprm_worker.onnx_graph import round_weights, write_onnx
from funprm_worker.rows import NOISY, Row, read_rows
from funprm_worker.train import EncodedRow, encode_rows, mean, step_rewards
from funprm_worker.train_corrected import looked_at

A_CLUSTER = 12
PRECISION = "bfloat16"
"""Of the scores that are compared: a third of the time on one thread, the same for all three. The gate is in float32."""


def export_corrected(
    run: Path,
    control: Path,
    start: Path,
    default: Path,
    name: str,
    version: str,
    out: Path,
    report: Callable[[str], None],
) -> None:
    """Writes `out/`, and figures of `out` into the manifest and card of the bundle `default`, whose weights stay.

    `run`, `control`: folders of `train --preset`, with a correction and without; `start`: the checkpoint that both went on
    from, the one of `default`. Raises `WorkerError("bad_config")` when the two runs differ in more than the correction.
    """
    config = same_but_form(run, control)
    data = Path(config["data"])
    encoder = Encoder.load(run / "tokenizer.json")
    validation = list(read_rows(data / "validation.jsonl.gz"))
    rows = sampled(measured(validation))
    encoded = encode_rows(rows, encoder, config["max_tokens"], 1.0)
    # Classes are there for the step figures: nearly every model wrote one program of a class, which nothing can be chosen from.
    compared = [i for i, one in enumerate(encoded) if set_of(one.row) != "classeval"]
    same = [encoded[i] for i in compared]
    report(f"scoring {len(encoded)} of {len(rows)} validation rows, {len(same)} of them by three models")
    mine = _scored(run / "best", encoded, encoder, run / "scores.json", report)
    rewards = {
        "default": _scored(start, same, encoder, run / "scores-default.json", report),
        "corrected": [mine[i] for i in compared],
        "control": _scored(control / "best", same, encoder, run / "scores-control.json", report),
    }
    agreement = _agreement(run, pickable(same), encoder)
    # Every figure here is of the int8 weights, so another pick than float32's is in them; a rank correlation under the
    # target of performance.md G15 would mean that rounding made another model.
    if agreement["kendall"] < GATE["kendall"]:
        raise WorkerError("training_failed", f"int8 does not rank like fp32: {agreement}")
    model = load_model(run / "best")
    round_weights(model)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_text((run / "tokenizer.json").read_text())
    write_onnx(model, out / "model.onnx", int8=True)

    shipped: dict[str, Any] = json.loads((default / "manifest.json").read_text())
    training = list(read_rows(data / "training.jsonl.gz"))
    card: Any = json.loads((data / "card.json").read_text())
    chosen = {row.group for row in looked_at(validation, config["validation_rows"], config["seed"])}
    scores = {key: [mean(values) for values in one] for key, one in rewards.items()}
    held_out = [one.row for one in same]
    beside = {
        "rows": len(same),
        "figures": {key: figures(same, one) for key, one in rewards.items()},
        "multiStep": {key: subset(same, one, lambda row: len(row.completions) > 1) for key, one in rewards.items()},
        "correctedMinusControl": paired_figures(held_out, scores["corrected"], scores["control"]),
        "correctedMinusDefault": paired_figures(held_out, scores["corrected"], scores["default"]),
        "controlMinusDefault": paired_figures(held_out, scores["control"], scores["default"]),
        "default": f"{shipped['name']} {shipped['version']}",
        "corrected": f"{name} {version}",
        "steps": config["steps"],
        "table": moved(run / "table.jsonl", training),
    }
    facts = {
        "name": name,
        "version": version,
        "weights": "int8",
        "maxTokens": config["max_tokens"],
        "parameters": model.parameters_total(),
        "trainedOn": {
            **trained_on(training, card),
            "languageModelText": shipped["trainedOn"]["languageModelText"],
            "correctedBy": {"split": "meta (fold 70-79)", "rows": sum(1 for _ in read_rows(data / "meta.jsonl.gz"))},
        },
        "method": {
            "summary": f"{shipped['name']} {shipped['version']} trained on for {config['steps']} steps while its noisy step labels are corrected: one logit entry a noisy step, moved by the pairwise loss of clean verdicts of other problems (exact gradient by JVP, unroll 1)",
            "architecture": shipped["method"]["architecture"],
            "settings": config["settings"],
            "overrides": config["overrides"],
            "steps": config["steps"],
            "paddedTokensAStep": config["tokens"],
            "seed": config["seed"],
        },
        "metrics": {
            "split": f"validation, every (group, generator) with both verdicts, at most {A_CLUSTER} programs of one by hash; scored in {PRECISION}",
            "rows": len(encoded),
            "tooLong": len(rows) - len(encoded),
            "solution": figures(encoded, mine),
            "notChosenOn": subset(encoded, mine, lambda row: row.group not in chosen),
            "multiStep": subset(encoded, mine, lambda row: len(row.completions) > 1),
            "steps": steps(encoded, mine),
            "int8AgainstFp32": agreement,
            "beside": beside,
        },
        "licence": shipped["licence"],
    }
    write_bundle(out, facts, parity_rows(encoded, config["seed"]), PARITY_TOLERANCE)
    check_torch_parity(model, encoded, out, encoder.pad_id)
    stand_beside(default, shipped, beside)
    report(json.dumps(beside, indent=1))


def same_but_form(run: Path, control: Path) -> dict[str, Any]:
    """The run's config. The control's may differ in its folder, its form and the overrides that say so."""
    loaded = []
    for folder in (run, control):
        try:
            loaded.append(json.loads((folder / "config.json").read_text()))
        except (OSError, ValueError) as problem:
            raise WorkerError("bad_config", f"{folder}: no run of train --preset ({problem})") from problem
    config: dict[str, Any] = loaded[0]
    different = sorted(key for key in config if loaded[1].get(key) != config[key])
    if not set(different) <= {"run", "form", "overrides"} or loaded[1].get("form") != "none":
        raise WorkerError("bad_config", f"{control}: no control of {run}; they differ in {', '.join(different)}")
    return config


def sampled(rows: list[Row]) -> list[Row]:
    """At most `A_CLUSTER` rows of one (group, pool), chosen by the hash of their ids: pass rates stay unbiased."""
    clusters: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        clusters[row.group, row.pool].append(row)
    kept = [sorted(one, key=lambda row: sha256(row.id.encode()).hexdigest())[:A_CLUSTER] for one in clusters.values()]
    return [row for cluster in kept for row in cluster]


def pickable(encoded: list[EncodedRow]) -> list[EncodedRow]:
    """Eight rows of every cluster that holds as many: what Best-of-8 can pick from."""
    clusters: dict[tuple[str, str], list[EncodedRow]] = defaultdict(list)
    for one in encoded:
        clusters[one.row.group, one.row.pool].append(one)
    return [one for cluster in clusters.values() if len(cluster) >= 8 for one in cluster[:8]]


def _agreement(run: Path, rows: list[EncodedRow], encoder: Encoder) -> dict[str, float]:
    """Ranks and picks of int8 against float32, both computed in float32."""
    kept = run / "int8.json"
    if not kept.exists():
        model = load_model(run / "best")
        exact = step_rewards(model, rows, encoder.pad_id)
        round_weights(model)
        kept.write_text(json.dumps(picks_agree(rows, exact, step_rewards(model, rows, encoder.pad_id))))
    loaded: dict[str, float] = json.loads(kept.read_text())
    return loaded


def _scored(
    checkpoint: Path, encoded: list[EncodedRow], encoder: Encoder, kept: Path, report: Callable[[str], None]
) -> list[list[float]]:
    if not kept.exists():
        report(f"scoring {checkpoint}")
        model = load_model(checkpoint)
        round_weights(model)
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(step_rewards(model, encoded, encoder.pad_id, precision=PRECISION)))
        part.replace(kept)
    loaded: list[list[float]] = json.loads(kept.read_text())
    if len(loaded) != len(encoded):
        raise WorkerError("bad_rows", f"{kept}: scores of other rows; delete it")
    return loaded


def moved(table: Path, training: list[Row]) -> dict[str, Any]:
    """What the correction did to the labels it touched: how many it raised, how far the mean one went."""
    bases: dict[tuple[str, int], float] = {}
    for row in training:
        for k, (label, source, count) in enumerate(zip(row.labels, row.source, row.counts, strict=True)):
            if source in NOISY and label is not None:
                passes, trials = count if count is not None else (label, 1)
                bases[row.id, k] = (passes + 0.5) / (trials + 1)
    with table.open() as lines:
        labels = [json.loads(line) for line in lines]
    touched = [one for one in labels if one["touches"] > 0]
    moves = [one["corrected"] - bases[one["id"], one["step"]] for one in touched]
    return {
        "labels": len(labels),
        "touched": len(touched),
        "touches": sum(one["touches"] for one in touched),
        "raised": sum(move > 0 for move in moves),
        "meanMove": round(sum(map(abs, moves)) / max(1, len(moves)), 4),
    }


def stand_beside(default: Path, manifest: dict[str, Any], beside: dict[str, Any]) -> None:
    """The same figures in the default bundle's manifest and card; its weights, hashes and parity rows stay."""
    from funprm_worker.card import card

    manifest["metrics"]["beside"] = beside
    (default / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    (default / "MODEL_CARD.md").write_text(card(manifest))
