"""A causal Hugging Face backbone and a head: logits [batch, seq], the reward is the sigmoid at a step token."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

HEADS = {"scalar": 1, "two-class": 2}
ADAPTATIONS = ("full", "head", "lora")


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters on the named linear modules; their update is scaled by alpha / r."""

    r: int
    alpha: int
    dropout: float
    targets: tuple[str, ...]


class RewardModel(nn.Module):
    """`backbone` gives hidden states [batch, seq, hidden]; `head` maps each to one logit. No LM head is computed.

    The two-class head gives (fail, pass); their difference is the logit, so that its sigmoid is the softmax of pass.
    Rows are padded on the right and no attention mask is passed: causal attention never looks at what comes later.
    """

    def __init__(self, config: Any, head: str = "scalar", backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone: Any = AutoModel.from_config(config) if backbone is None else backbone
        self.head = nn.Linear(config.hidden_size, HEADS[head])
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def config(self) -> Any:
        return self.backbone.config

    def forward(self, input_ids: Tensor) -> Tensor:
        """int64 [batch, seq] → float32 logits [batch, seq]."""
        hidden = self.backbone(input_ids=input_ids, use_cache=False).last_hidden_state
        return self.logits_of(hidden).float()

    def logits_of(self, hidden: Tensor) -> Tensor:
        """Hidden states [batch, seq, hidden] → logits [batch, seq]."""
        out: Tensor = self.head(hidden)
        return out[..., -1] if out.shape[-1] == 1 else out[..., 1] - out[..., 0]

    def parameters_total(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def parameters_without_embedding(self) -> int:
        embedding: int = self.backbone.get_input_embeddings().weight.numel()
        return self.parameters_total() - embedding


def small_config(
    vocab_size: int, hidden: int, layers: int, heads: int, feed_forward: int, max_tokens: int, initializer_range: float
) -> Any:
    """The Qwen2 architecture at a small size (method.md section 6): the family of the GPU backbones."""
    from transformers import Qwen2Config

    return Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=hidden,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_tokens,
        initializer_range=initializer_range,
        use_cache=False,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )


def load_whole(kind: Any, folder: Path, role: str, settings: dict[str, Any], **options: Any) -> Any:
    """The model of class `kind` that Hugging Face stores in `folder`, in fp32, its config changed by `settings`. Raises
    `WorkerError("bad_bundle")` where it cannot be read as `role`, and where a weight of its config is not there."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **settings)
        model, loaded = kind.from_pretrained(
            folder, config=config, local_files_only=True, dtype=torch.float32, output_loading_info=True, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError) as problem:
        raise WorkerError(
            "bad_bundle", f"{folder}: not loaded as {role} ({str(problem).strip().splitlines()[0][:200]})"
        ) from problem
    if loaded["missing_keys"] or loaded["mismatched_keys"]:
        missing = sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]]))
        raise WorkerError(
            "bad_bundle",
            f"{folder}: the weights are of another architecture than config.json: {missing[0]} is not there",
        )
    return model


def open_backbone(
    folder: Path, encoder: Encoder, *, head: str = "scalar", adaptation: str = "full", lora: Lora | None = None
) -> RewardModel:
    """A reward model on the weights in `folder` (`config.json`, safetensors), all in fp32, its head fresh.

    `adaptation`: train everything, the head alone, or the head and LoRA adapters (`lora` says which). The embedding grows
    where the tokenizer has more tokens than it. Raises `WorkerError("bad_bundle")` for a folder without weights, with
    weights of another architecture, or whose positions see later ones.
    """
    if head not in HEADS or adaptation not in ADAPTATIONS or (adaptation == "lora") != (lora is not None):
        raise WorkerError(
            "bad_config", f"head {head}, adaptation {adaptation}: give [backbone.lora] with lora, and only then"
        )
    if not (folder / "config.json").is_file():
        raise WorkerError("bad_bundle", f"{folder}: no config.json; give the folder of a Hugging Face model")
    # Forward-mode derivatives need plain attention (rulings 8).
    backbone = load_whole(AutoModel, folder, "a backbone", {}, attn_implementation="eager")
    config = backbone.config
    if getattr(config, "is_encoder_decoder", False) or not _is_causal(backbone):
        raise WorkerError(
            "bad_bundle", f"{folder}: {config.model_type} is not causal: a step's reward would see later steps"
        )
    rows = backbone.get_input_embeddings().weight.shape[0]
    if encoder.vocab_size > rows:
        backbone.resize_token_embeddings(encoder.vocab_size, mean_resizing=False)
        with torch.no_grad():
            # The mean of the old rows: a place the backbone knows, the same at every start.
            weight = backbone.get_input_embeddings().weight
            weight[rows:] = weight[:rows].mean(dim=0)
    if adaptation != "full":
        backbone.requires_grad_(False)
    if lora is not None:
        settings = LoraConfig(
            r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets), bias="none"
        )
        try:
            backbone = get_peft_model(backbone, settings)
        except ValueError as problem:
            raise WorkerError(
                "bad_config", f"lora targets {', '.join(lora.targets)}: {str(problem)[:160]}"
            ) from problem
    return RewardModel(config, head, backbone)


@torch.no_grad()
def _is_causal(backbone: Any) -> bool:
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])
    hidden = backbone.eval()(input_ids=ids).last_hidden_state
    return torch.equal(hidden[0, :3], hidden[1, :3])


def require_fp32_trainables(model: nn.Module) -> None:
    """Raises `WorkerError("bad_config")`: a bf16 weight rounds a small step away, and finite differences with it."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            raise WorkerError(
                "bad_config", f"trainable {name} is {parameter.dtype}: trainable weights stay in float32 (method.md 6)"
            )


def plain_weights(model: RewardModel) -> Iterator[tuple[str, Tensor]]:
    """Name and value of every weight as if there were no adapters: LoRA's update is added to the weight it adapts."""
    adapted = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            continue
        owner = name.removesuffix(".base_layer.weight")
        if owner in adapted and name != owner:
            tensor = tensor + adapted[owner].get_delta_weight("default")
        yield name.replace("backbone.base_model.model.", "backbone.").replace(".base_layer.", "."), tensor.detach()


def save_model(model: RewardModel, folder: Path) -> None:
    """Writes `config.json` and `model.safetensors` (fp32), adapters merged; both or, on a full disk, neither is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_diff_dict() | {"vocab_size": model.backbone.get_input_embeddings().weight.shape[0]}
    part = folder / "model.part"
    try:
        # A copy each: safetensors refuses tensors that share memory.
        save_file({name: tensor.contiguous().clone() for name, tensor in plain_weights(model)}, part)
    except Exception as problem:
        part.unlink(missing_ok=True)
        raise WorkerError(
            "training_failed", f"{folder}: the weights cannot be written ({problem}); the last good ones are kept"
        ) from problem
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    part.replace(folder / "model.safetensors")


def load_model(folder: Path) -> RewardModel:
    """Reads what `save_model` wrote. Raises `WorkerError("bad_bundle")` when the weights do not fit the config, and for an
    encoder."""
    if not (folder / "model.safetensors").is_file():
        raise WorkerError("bad_bundle", f"{folder}: no model.safetensors; point at a checkpoint folder of `train`")
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type == "bert":
        raise WorkerError(
            "bad_bundle",
            f"{folder}: an encoder, which reads each prefix by itself: only train without a correction and leave-one-out take it",
        )
    return load_weights(folder, config)


def load_weights(folder: Path, config: Any, backbone: nn.Module | None = None) -> RewardModel:
    """The model of `config`, on `backbone` where one is given, with the weights that `save_model` wrote."""
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    head = "two-class" if tensors.get("head.bias", torch.zeros(1)).numel() == 2 else "scalar"
    model = RewardModel(config, head, backbone)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as problem:
        raise WorkerError(
            "bad_bundle", f"{weights}: does not fit config.json ({str(problem).splitlines()[0]})"
        ) from problem
    return model.eval()


def is_checkpoint(folder: Path) -> bool:
    """Whether `save_model` wrote the weights in `folder`, head and all."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return False
    with safe_open(weights, framework="pt") as file:
        return "head.weight" in file.keys()  # noqa: SIM118 - the file is no mapping


def open_checkpoint(folder: Path) -> RewardModel:
    """What `save_model` wrote, to be trained on: plain attention, which forward-mode derivatives need (rulings 8)."""
    model = load_model(folder)
    model.backbone.set_attn_implementation("eager")
    return model


@torch.no_grad()
def rewards_of(model: RewardModel, batch: list[list[int]], pad_id: int) -> list[list[float]]:
    """Rewards at every position of every row, scored as one right-padded batch; ragged like `batch`."""
    width = max(len(ids) for ids in batch)
    padded = torch.tensor([ids + [pad_id] * (width - len(ids)) for ids in batch], dtype=torch.int64)
    out = torch.sigmoid(model(padded))
    return [out[i, : len(ids)].tolist() for i, ids in enumerate(batch)]
