"""The TOML file of a training run. Every key is needed, an unknown one is refused: no silent default."""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funprm_worker.errors import WorkerError
from funprm_worker.presets import preset

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class ModelConfig:
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    max_tokens: int
    vocab: int


@dataclass(frozen=True)
class BackboneConfig:
    """Weights to start from instead of a fresh model; then `[model]` holds `max_tokens` alone.

    `folder`: a Hugging Face model with its tokenizer, or, with `adaptation` full, a checkpoint of `train` with its
    tokenizer.json, whose head is kept. `head`: scalar or two-class. `adaptation`: full, head or lora; the
    `lora_*` keys count with lora, and `lora_targets` is empty with the others.
    """

    folder: str
    head: str
    adaptation: str
    lora_r: int
    lora_alpha: int
    lora_dropout: float
    lora_targets: list[str]


@dataclass(frozen=True)
class PretrainConfig:
    steps: int
    tokens: int
    length: int
    rate: float


@dataclass(frozen=True)
class RewardConfig:
    steps: int
    tokens: int
    rate: float
    weight_decay: float
    pairwise: float
    consistency: float
    language: float
    per_side: int
    broadcast: float


@dataclass(frozen=True)
class CheckpointConfig:
    every: int
    validation_rows: int


@dataclass(frozen=True)
class Config:
    """`gpu-worker/presets/funprm-mini.toml` documents every key."""

    data: str
    run: str
    seed: int
    threads: int
    precision: str
    model: ModelConfig
    pretrain: PretrainConfig
    reward: RewardConfig
    checkpoint: CheckpointConfig
    backbone: BackboneConfig | None = None


@dataclass(frozen=True)
class CorrectedRun:
    """A training that corrects its noisy labels; `gpu-worker/presets/corrected.toml` documents every key.

    `tokens`: padded tokens of one inner batch, and of one meta batch (half of it where batches are clusters);
    `every`: steps between evaluations; `form`: overrides the preset's, `none` is the control without correction.

    `backbone`: folder of a Hugging Face model, or a checkpoint of `train` with its tokenizer.json to go on from.
    """

    preset: str
    backbone: str
    data: str
    run: str
    steps: int
    seed: int = 0
    max_tokens: int = 1024
    tokens: int = 4096
    every: int = 50
    validation_rows: int = 400
    form: str | None = None


def read_run(path: Path) -> Config | CorrectedRun:
    """A file with the key `preset` is a corrected run's. Raises as `read_config`."""
    values = _toml(path)
    if "preset" not in values:
        return read_config(path)
    run: CorrectedRun = _build(CorrectedRun, values, str(path))
    preset(run.preset)
    return run


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise WorkerError("bad_config", f"{path}: {problem}") from problem


def read_config(path: Path) -> Config:
    """Raises `WorkerError("bad_config")` naming the key that is missing, unknown or of the wrong type."""
    values = _toml(path)
    values = _with_backbone(values, str(path))
    result: Config = _build(Config, values, str(path))
    if result.precision not in PRECISIONS:
        raise WorkerError("bad_config", f"{path}: precision {result.precision!r} is none of {', '.join(PRECISIONS)}")
    if result.backbone is not None and result.pretrain.steps > 0:
        raise WorkerError("bad_config", f"{path}: [pretrain] steps must be 0 with a [backbone], which is pretrained")
    return result


def _with_backbone(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The shape in `[model]` is the backbone's own where one is given."""
    if not isinstance(values.get("backbone"), dict):
        return values
    backbone = _build(BackboneConfig, values["backbone"], f"{where} [backbone]")
    model = values.get("model")
    if not isinstance(model, dict) or set(model) != {"max_tokens"}:
        raise WorkerError("bad_config", f"{where}: with a [backbone], [model] holds max_tokens and nothing else")
    file = Path(backbone.folder) / "config.json"
    try:
        shape = json.loads(file.read_text())
        own = {
            "hidden": shape["hidden_size"],
            "layers": shape["num_hidden_layers"],
            "heads": shape["num_attention_heads"],
            "feed_forward": shape["intermediate_size"],
            "vocab": shape["vocab_size"],
        }
    except (OSError, ValueError, KeyError) as problem:
        raise WorkerError(
            "bad_bundle", f"{file}: not the config of a Hugging Face model ({problem}); give its folder in [backbone]"
        ) from problem
    return {**values, "backbone": backbone, "model": {**own, **model}}


def _build(kind: Any, values: dict[str, Any], where: str) -> Any:
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    for name in values:
        if name not in fields:
            raise WorkerError("bad_config", f"{where}: unknown key {name}; the keys are {', '.join(fields)}")
    built: dict[str, Any] = {}
    for name, type_ in fields.items():
        if name == "backbone" and kind is Config:
            # Checked already; the one table that a run may do without.
            built[name] = values.get(name)
            continue
        if name not in values and type_ == str | None:
            continue
        if name not in values:
            raise WorkerError("bad_config", f"{where}: key {name} is missing")
        value = values[name]
        if type_ == str | None:
            type_ = str
        if dataclasses.is_dataclass(type_):
            if not isinstance(value, dict):
                raise WorkerError("bad_config", f"{where}: {name} must be a table")
            built[name] = _build(type_, value, f"{where} [{name}]")
        elif type_ == list[str] and isinstance(value, list) and all(isinstance(one, str) for one in value):
            built[name] = value
        elif type_ is float and isinstance(value, int | float) and not isinstance(value, bool):
            built[name] = float(value)
        elif type(value) is type_:
            built[name] = value
        else:
            raise WorkerError("bad_config", f"{where}: key {name} must be of type {type_}, not {value!r}")
    return kind(**built)
