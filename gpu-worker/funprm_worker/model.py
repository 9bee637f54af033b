"""A causal Hugging Face backbone and one scalar head: logits [batch, seq], the reward is the sigmoid at a step token."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from funprm_worker.errors import WorkerError

transformers_logging.set_verbosity_error()


class RewardModel(nn.Module):
    """`backbone` gives hidden states [batch, seq, hidden]; `head` maps each to one logit. No LM head is computed.

    Rows are padded on the right and no attention mask is passed: causal attention never looks at what comes later.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.backbone = AutoModel.from_config(config)
        self.head = nn.Linear(config.hidden_size, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    @property
    def config(self) -> Any:
        return self.backbone.config

    def forward(self, input_ids: Tensor) -> Tensor:
        """int64 [batch, seq] → float32 logits [batch, seq]."""
        hidden = self.backbone(input_ids=input_ids, use_cache=False).last_hidden_state
        logits: Tensor = self.head(hidden).squeeze(-1)
        return logits.float()

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


def save_model(model: RewardModel, folder: Path) -> None:
    """Writes `config.json` and `model.safetensors` (fp32)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(model.config.to_diff_dict(), indent=1, sort_keys=True) + "\n")
    save_file({name: t.detach().contiguous() for name, t in model.state_dict().items()}, folder / "model.safetensors")


def load_model(folder: Path) -> RewardModel:
    """Reads what `save_model` wrote. Raises `WorkerError("bad_bundle")` when the weights do not fit the config."""
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise WorkerError("bad_bundle", f"{folder}: no model.safetensors; point at a checkpoint folder of `train`")
    model = RewardModel(AutoConfig.from_pretrained(folder, local_files_only=True))
    try:
        model.load_state_dict(load_file(weights))
    except RuntimeError as problem:
        raise WorkerError(
            "bad_bundle", f"{weights}: does not fit config.json ({str(problem).splitlines()[0]})"
        ) from problem
    return model.eval()


@torch.no_grad()
def rewards_of(model: RewardModel, batch: list[list[int]], pad_id: int) -> list[list[float]]:
    """Rewards at every position of every row, scored as one right-padded batch; ragged like `batch`."""
    width = max(len(ids) for ids in batch)
    padded = torch.tensor([ids + [pad_id] * (width - len(ids)) for ids in batch], dtype=torch.int64)
    out = torch.sigmoid(model(padded))
    return [out[i, : len(ids)].tolist() for i, ids in enumerate(batch)]
