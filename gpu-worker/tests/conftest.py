"""Fixtures that several files share."""

from pathlib import Path

import pytest
import torch

from funprm_worker.model import small_config


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model as Hugging Face stores it: with its LM head, its tokenizer without our two tokens."""
    from transformers import Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen2")
    torch.manual_seed(0)
    config = small_config(300, 32, 2, 2, 64, 256, 0.3)
    config.tie_word_embeddings = False
    Qwen2ForCausalLM(config).save_pretrained(folder)
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: k for k, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
