"""Trains the byte-level BPE tokenizer: digits one by one, a line break with its indentation as one token.

The pattern names its classes of blanks instead of `\\s`, whose members differ between the two regex engines that read
this file (Oniguruma in Python, V8 in Node); both must give equal ids.
"""

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from funprm_worker.encode import PAD_TOKEN, STEP_TOKEN

PATTERN = r"[\r\n]+[ \t]*|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^ \t\r\n\p{L}\p{N}]+|[ \t]+(?![^ \t\r\n])|[ \t]+"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """`vocab_size` counts the 256 bytes and the two special tokens; the special tokens take the first ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(PAD_TOKEN, special=True), AddedToken(STEP_TOKEN, special=True)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
