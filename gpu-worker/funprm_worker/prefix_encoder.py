"""A bidirectional encoder (BERT) as a backbone: every prefix of a row is a sequence of its own, so that no step sees a later
one. K functions are K passes. `train` without a correction and `leave-one-out` take such a model; all else refuses it.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, BertModel

from funprm_worker import parallel
from funprm_worker.config import BackboneConfig, Config
from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError
from funprm_worker.model import HEADS, RewardModel, is_checkpoint, load_model, load_weights, load_whole

PASS_TOKENS = 4096
"""Padded tokens of one pass through the encoder: prefixes of like length go together, no short one is padded to the longest."""


class PrefixEncoder(torch.nn.Module):
    """Ids of rows → a hidden state at each step token, read from the prefix that ends there and from nothing else; zeros at
    all other places. A prefix is [CLS] and the ids up to its step token; its state is the mean over its tokens, as the
    sentence encoder was pretrained."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    @property
    def config(self) -> Any:
        return self.encoder.config

    def get_input_embeddings(self) -> Any:
        return self.encoder.get_input_embeddings()

    def set_attn_implementation(self, name: str) -> None:
        self.encoder.set_attn_implementation(name)

    def forward(self, input_ids: Tensor, use_cache: bool = False) -> Any:
        """int64 [batch, seq] → `last_hidden_state` float32 [batch, seq, hidden]."""
        shown = functional.pad(input_ids, (1, 0), value=self.config.first_token_id)
        # (row, place of the step token among the ids shown), the shortest prefix first.
        rest = sorted((shown == self.config.step_token_id).nonzero().tolist(), key=lambda at: at[1])
        states = torch.zeros(*input_ids.shape, self.config.hidden_size)
        while rest:
            width = rest[-1][1] + 1
            count = max(1, PASS_TOKENS // width)
            rest, taken = rest[:-count], torch.tensor(rest[-count:])
            mask = (torch.arange(width) <= taken[:, 1:]).long()
            hidden = self.encoder(input_ids=shown[taken[:, 0], :width] * mask, attention_mask=mask).last_hidden_state
            means = (hidden.float() * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            states = states.index_put((taken[:, 0], taken[:, 1] - 1), means)
        return SimpleNamespace(last_hidden_state=states)


def is_prefix_encoder(backbone: BackboneConfig | None) -> bool:
    """Whether the folder of a run's backbone, whose config.json was read with the run's, holds an encoder."""
    if backbone is None:
        return False
    kind: str | None = json.loads((Path(backbone.folder) / "config.json").read_text()).get("model_type")
    return kind == "bert"


def prefix_model(config: Config, encoder: Encoder) -> RewardModel:
    """The model that a run with an encoder starts from, in fp32, its head fresh where the folder is no checkpoint.

    Raises `WorkerError`: `bad_config` for what an encoder cannot do or reads too little for, `bad_bundle` for its folder.
    """
    backbone = config.backbone
    assert backbone is not None
    folder = Path(backbone.folder)
    for refused, what in (
        (backbone.adaptation == "lora", "[backbone] adaptation lora"),
        (config.reward.language > 0, "[reward] language above 0"),
        (parallel.size() > 1, "torchrun"),
    ):
        if refused:
            raise WorkerError("bad_config", f"{what}: not with {folder}, an encoder that reads each prefix by itself")
    if is_checkpoint(folder) and backbone.adaptation == "full":
        model = load_trained(folder)
    else:
        model = _opened(folder, encoder, backbone.head)
        model.backbone.requires_grad_(backbone.adaptation == "full")
    if config.model.max_tokens > longest_row(model):
        raise WorkerError(
            "bad_config",
            f"[model] max_tokens {config.model.max_tokens}: the encoder in {folder} reads {longest_row(model)}",
        )
    return model


def _opened(folder: Path, encoder: Encoder, head: str) -> RewardModel:
    first, end = (encoder.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    if head not in HEADS or first is None or end is None:
        raise WorkerError(
            "bad_bundle", f"{folder}: an encoder has [CLS] and [SEP] in tokenizer.json and a head of {', '.join(HEADS)}"
        )
    # Dropout is what no other run has, and the fused attention of a CPU cannot do it.
    settings = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    bert = load_whole(BertModel, folder, "an encoder", settings, add_pooling_layer=False)
    bert.resize_token_embeddings(encoder.vocab_size, mean_resizing=False)
    with torch.no_grad():
        # What ends a step starts as what ended a text.
        weight = bert.get_input_embeddings().weight
        weight[encoder.pad_id] = weight[0]
        weight[encoder.step_id] = weight[end]
    bert.config.first_token_id, bert.config.step_token_id = first, encoder.step_id
    return RewardModel(bert.config, head, PrefixEncoder(bert))


def load_trained(folder: Path) -> RewardModel:
    """What `train` wrote, causal or an encoder. Raises as `load_model`."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type != "bert":
        return load_model(folder)
    return load_weights(folder, config, PrefixEncoder(BertModel(config, add_pooling_layer=False)))


def longest_row(model: RewardModel) -> int:
    """Tokens of the longest row that the model reads."""
    positions: int = model.config.max_position_embeddings
    return positions - isinstance(model.backbone, PrefixEncoder)
