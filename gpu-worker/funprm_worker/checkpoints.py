"""The best weights of a run by validation: `best/`, and the last few that were best in `top/STEP/` (top.json lists them)."""

import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers

from funprm_worker.errors import WorkerError
from funprm_worker.model import RewardModel, save_model

KEPT = 3

Ranked = list[tuple[float, int]]
"""(validation score, step), best first."""


def keep(model: RewardModel, folder: Path, ranked: Ranked, score: float, step: int) -> Ranked:
    """Saves the weights when they are among the `KEPT` best, and returns the new ranking; an equal score comes after."""
    place = sum(one[0] >= score for one in ranked)
    if place >= KEPT:
        return ranked
    ranked = [*ranked[:place], (score, step), *ranked[place:]][:KEPT]
    top = folder / "top"
    save_model(model, top / str(step))
    if place == 0:
        best = folder / "best"
        best.mkdir(exist_ok=True)
        # A checkpoint is scored and gone on from with the tokenizer beside its weights.
        if (folder / "tokenizer.json").exists():
            shutil.copyfile(folder / "tokenizer.json", best / "tokenizer.json")
        for name in ("model.safetensors", "config.json"):
            part = best / f"{name}.part"
            part.unlink(missing_ok=True)
            # The same bytes under two names: a big backbone is written once.
            os.link(top / str(step) / name, part)
            part.replace(best / name)
    steps = {str(one[1]) for one in ranked}
    for old in top.iterdir():
        if old.is_dir() and old.name not in steps:
            shutil.rmtree(old)
    (top / "top.json").write_text(json.dumps([{"step": s, "score": v} for v, s in ranked], indent=1) + "\n")
    return ranked


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint whole or not at all. Raises `WorkerError("training_failed")`; the one before is then kept."""
    part = path.with_suffix(".part")
    try:
        torch.save(state, part)
    except (OSError, RuntimeError) as problem:
        part.unlink(missing_ok=True)
        raise WorkerError(
            "training_failed", f"{path}: cannot be written ({problem}); the last good checkpoint is kept"
        ) from problem
    part.replace(path)


def versions() -> dict[str, str]:
    """Of what computed the run: bit-for-bit resumption is promised under equal ones only."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
