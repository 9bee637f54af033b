"""The TOML file of a training run. Every key is needed, an unknown one is refused: no silent default."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funprm_worker.errors import WorkerError


@dataclass(frozen=True)
class ModelConfig:
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    max_tokens: int
    vocab: int


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
    model: ModelConfig
    pretrain: PretrainConfig
    reward: RewardConfig
    checkpoint: CheckpointConfig


def read_config(path: Path) -> Config:
    """Raises `WorkerError("bad_config")` naming the key that is missing, unknown or of the wrong type."""
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as problem:
        raise WorkerError("bad_config", f"{path}: {problem}") from problem
    result: Config = _build(Config, values, str(path))
    return result


def _build(kind: Any, values: dict[str, Any], where: str) -> Any:
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    for name in values:
        if name not in fields:
            raise WorkerError("bad_config", f"{where}: unknown key {name}; the keys are {', '.join(fields)}")
    built: dict[str, Any] = {}
    for name, type_ in fields.items():
        if name not in values:
            raise WorkerError("bad_config", f"{where}: key {name} is missing")
        value = values[name]
        if dataclasses.is_dataclass(type_):
            if not isinstance(value, dict):
                raise WorkerError("bad_config", f"{where}: {name} must be a table")
            built[name] = _build(type_, value, f"{where} [{name}]")
        elif type_ is float and isinstance(value, int | float) and not isinstance(value, bool):
            built[name] = float(value)
        elif type(value) is type_:
            built[name] = value
        else:
            raise WorkerError("bad_config", f"{where}: key {name} must be of type {type_}, not {value!r}")
    return kind(**built)
