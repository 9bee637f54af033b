"""The model bundle (contracts.md): `manifest.json`, `model.onnx`, `tokenizer.json`, `MODEL_CARD.md`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from funprm_worker.encode import PAD_TOKEN, STEP_TOKEN, Encoder
from funprm_worker.errors import WorkerError

RENDER_VERSION = "v1"
ENCODE_VERSION = 1


def sha256_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class OnnxScorer:
    """Runs `model.onnx` with onnxruntime on one thread, the setting of the app."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def rewards(self, batch: list[list[int]], pad_id: int) -> list[list[float]]:
        """Rewards at every position of every row; ragged like `batch`."""
        width = max(len(ids) for ids in batch)
        padded = np.array([ids + [pad_id] * (width - len(ids)) for ids in batch], dtype=np.int64)
        out = self.session.run(["rewards"], {"input_ids": padded})[0]
        return [out[i, : len(ids)].tolist() for i, ids in enumerate(batch)]


def score_alone(
    scorer: OnnxScorer, encoder: Encoder, prompt: str, completions: list[str], max_tokens: int
) -> dict[str, Any]:
    """One row as the app scores it: `rewards` (one per completion, in [0,1]) and `truncatedTokens`."""
    row = encoder.row(prompt, completions, max_tokens)
    rewards = scorer.rewards([row.ids], encoder.pad_id)[0]
    return {"rewards": [rewards[p] for p in row.step_positions], "truncatedTokens": row.truncated_tokens}


def write_bundle(
    folder: Path, facts: dict[str, Any], parity: list[tuple[str, list[str]]], tolerance: float
) -> dict[str, Any]:
    """Completes `facts` with hashes and parity rows scored by `folder/model.onnx`; writes the manifest and the card.

    `facts` holds name, version, weights, maxTokens, parameters, trainedOn, method, metrics, licence.
    """
    encoder = Encoder.load(folder / "tokenizer.json")
    scorer = OnnxScorer(folder / "model.onnx")
    manifest = {
        "name": facts["name"],
        "version": facts["version"],
        "renderVersion": RENDER_VERSION,
        "encodeVersion": ENCODE_VERSION,
        "attention": "causal",
        "stepToken": STEP_TOKEN,
        "padToken": PAD_TOKEN,
        "maxTokens": facts["maxTokens"],
        "weights": facts["weights"],
        "parameters": facts["parameters"],
        "tokenizerSha256": sha256_file(folder / "tokenizer.json"),
        "modelSha256": sha256_file(folder / "model.onnx"),
        "trainedOn": facts["trainedOn"],
        "method": facts["method"],
        "metrics": facts["metrics"],
        "calibration": None,
        "parity": {
            "tolerance": tolerance,
            "rows": [
                {
                    "id": f"parity-{k}",
                    "prompt": prompt,
                    "completions": completions,
                    **score_alone(scorer, encoder, prompt, completions, facts["maxTokens"]),
                }
                for k, (prompt, completions) in enumerate(parity)
            ],
        },
        "licence": facts["licence"],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    from funprm_worker.card import card

    (folder / "MODEL_CARD.md").write_text(card(manifest))
    return manifest


def check_bundle(folder: Path) -> dict[str, Any]:
    """Reads a bundle and proves hashes and parity rows. Raises `WorkerError("bad_bundle")` saying which differs."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError) as problem:
        raise WorkerError("bad_bundle", f"{folder}: no readable manifest.json ({problem})") from problem
    for file, key in (("model.onnx", "modelSha256"), ("tokenizer.json", "tokenizerSha256")):
        if not (folder / file).is_file() or sha256_file(folder / file) != manifest[key]:
            raise WorkerError(
                "bad_bundle", f"{folder / file}: missing or not the file the manifest names; restore it from git"
            )
    if manifest["renderVersion"] != RENDER_VERSION:
        raise WorkerError(
            "bad_bundle", f"{folder}: render version {manifest['renderVersion']}, this program has {RENDER_VERSION}"
        )
    encoder, scorer = Encoder.load(folder / "tokenizer.json"), OnnxScorer(folder / "model.onnx")
    for row in manifest["parity"]["rows"]:
        got = score_alone(scorer, encoder, row["prompt"], row["completions"], manifest["maxTokens"])
        worst = max(abs(a - b) for a, b in zip(got["rewards"], row["rewards"], strict=True))
        if worst > manifest["parity"]["tolerance"]:
            raise WorkerError(
                "bad_bundle", f"{folder}: parity row {row['id']} is off by {worst:.2g}; the runtime computes otherwise"
            )
    return manifest
