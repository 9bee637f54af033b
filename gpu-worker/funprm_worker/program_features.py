"""What a trained backbone says of every step of a data set, computed once: the ablations on programs train heads on it."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from funprm_worker.bundle import sha256_file
from funprm_worker.encode import Encoder, assemble
from funprm_worker.errors import WorkerError
from funprm_worker.model import RewardModel, load_model
from funprm_worker.rows import Row, assert_disjoint, read_rows
from funprm_worker.train import pad

SPLITS = ("training", "meta", "validation")


@dataclass(frozen=True)
class Split:
    """Hidden states, standardised on training: `steps` [n, d] at step tokens, `lines` [m, d] at the ends of lines and
    `empty` [rows, d] at the step token of the empty prefix; `owner` [n] says whose row, `step` [n] its place in the chain;
    `line_owner` [m] and `line_step` [m] likewise, the latter the function that the line belongs to."""

    rows: list[Row]
    steps: Tensor
    owner: Tensor
    step: Tensor
    lines: Tensor
    line_owner: Tensor
    line_step: Tensor
    empty: Tensor

    def taken(self, rows: Tensor) -> "Split":
        """The part of some rows, by index."""
        place = torch.full((len(self.rows),), -1)
        place[rows] = torch.arange(len(rows))
        a, b = place[self.owner] >= 0, place[self.line_owner] >= 0
        return Split(
            [self.rows[int(i)] for i in rows], self.steps[a], place[self.owner[a]], self.step[a],
            self.lines[b], place[self.line_owner[b]], self.line_step[b], self.empty[rows],
        )  # fmt: skip


def features(
    data: Path, run: Path, report: Callable[[str], None], *, rows: int = 1500, max_tokens: int = 1024, seed: int = 0
) -> dict[str, Split]:
    """Splits of at most `rows` rows of at most `max_tokens` tokens, by the best checkpoint of the `train` run in `run`.

    Kept beside the data, one file a checkpoint. Raises `WorkerError`: `bad_rows`, `bad_bundle`.
    """
    key = [sha256_file(run / "best" / "model.safetensors") if (run / "best").is_dir() else "", rows, max_tokens, seed]
    key += [sha256_file(data / f"{name}.jsonl.gz") for name in SPLITS if (data / f"{name}.jsonl.gz").is_file()]
    cache = data / f"features-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.pt"
    encoder = Encoder.load(run / "tokenizer.json")
    chosen = {name: _rows(data / f"{name}.jsonl.gz", encoder, rows, max_tokens, seed) for name in SPLITS}
    assert_disjoint({name: {row.group for row in own} for name, own in chosen.items()})
    if cache.is_file():
        found: dict[str, dict[str, Tensor]] = torch.load(cache, weights_only=True)
    else:
        model = load_model(run / "best")
        found = {}
        for name, own in chosen.items():
            report(f"hidden states of {len(own)} {name} rows")
            found[name] = _hidden(model, encoder, own, max_tokens)
        torch.save(found, cache)
    base = found["training"]
    scales = {
        kind: (base[kind].mean(dim=0), base[kind].std(dim=0).clamp(min=1e-6)) for kind in ("steps", "lines", "empty")
    }
    # The empty prefix is read by the head of the steps: on their scale.
    scales["empty"] = scales["steps"]
    return {
        name: Split(
            chosen[name],
            **{
                kind: (one - scales[kind][0]) / scales[kind][1] if kind in scales else one
                for kind, one in found[name].items()
            },
        )
        for name in SPLITS
    }


def with_siblings(split: Split) -> Split:
    """One more column: how far a step's state is from the mean of the other rows' at this place of the same problem.

    What a generator's other answers say of a function (method.md section 8); the empty prefix and lines get 0.
    """
    places: dict[tuple[str, int], list[int]] = {}
    for n, (i, k) in enumerate(zip(split.owner.tolist(), split.step.tolist(), strict=True)):
        places.setdefault((split.rows[i].problem, k), []).append(n)
    far = torch.zeros(len(split.steps))
    for members in places.values():
        if len(members) > 1:
            states = split.steps[members]
            others = (states.sum(dim=0) - states) / (len(members) - 1)
            far[members] = (states - others).norm(dim=1)
    far = (far - far.mean()) / far.std().clamp(min=1e-6)

    def beside(states: Tensor, column: Tensor) -> Tensor:
        return torch.cat([states, column[:, None]], dim=1)

    return replace(
        split,
        steps=beside(split.steps, far),
        lines=beside(split.lines, torch.zeros(len(split.lines))),
        empty=beside(split.empty, torch.zeros(len(split.empty))),
    )


def _rows(path: Path, encoder: Encoder, limit: int, max_tokens: int, seed: int) -> list[Row]:
    """Whole problems in an order that depends on the seed alone; the empty prefix and rows without a verdict are left out."""
    by_problem: dict[str, list[Row]] = {}
    for row in read_rows(path):
        if row.verdict is not None:
            by_problem.setdefault(row.problem, []).append(row)
    names = sorted(by_problem)
    random.Random(seed).shuffle(names)
    kept: list[Row] = []
    for name in names:
        for row in by_problem[name]:
            length = len(encoder.ids(row.prompt)) + sum(len(encoder.ids(one)) + 1 for one in row.completions)
            if length <= max_tokens and len(kept) < limit:
                # One pool: all are variants of a passing program.
                kept.append(replace(row, pool="variants"))
    if not kept:
        raise WorkerError("bad_rows", f"{path}: no row with a verdict within {max_tokens} tokens")
    return kept


def _line_ends(encoder: Encoder, text: str) -> list[int]:
    """Index of the last token of each line that is not blank."""
    ends: list[int] = []
    at = 0
    tokens = [len(encoder.ids(line)) for line in text.splitlines(keepends=True)]
    # Lines are encoded apart here; where a token crosses a line end, the last one is clamped to the text's own.
    total = len(encoder.ids(text))
    for count, line in zip(tokens, text.splitlines(), strict=True):
        at += count
        if line.strip():
            ends.append(min(at, total) - 1)
    return ends or [max(0, total - 1)]


@torch.no_grad()
def _hidden(model: RewardModel, encoder: Encoder, rows: list[Row], max_tokens: int) -> dict[str, Tensor]:
    encoded: list[tuple[list[int], list[int], list[tuple[int, int]]]] = []
    empties: dict[str, int] = {}
    prompts: list[tuple[list[int], list[int], list[tuple[int, int]]]] = []
    for row in rows:
        prompt = encoder.ids(row.prompt)
        steps = [encoder.ids(one) for one in row.completions]
        parts = assemble(prompt, steps, encoder.step_id, max_tokens)
        lines = []
        for k, text in enumerate(row.completions):
            start = parts.step_positions[k] - len(steps[k])
            lines += [(k, start + end) for end in _line_ends(encoder, text)]
        encoded.append((parts.ids, parts.step_positions, lines))
        if row.prompt not in empties:
            empties[row.prompt] = len(prompts)
            prompts.append(([*prompt, encoder.step_id], [len(prompt)], []))
    states = _states(model, encoder.pad_id, encoded)
    empty = torch.stack([one[0] for one, _ in _states(model, encoder.pad_id, prompts)])
    return {
        "steps": torch.cat([steps for steps, _ in states]),
        "owner": torch.tensor([i for i, one in enumerate(encoded) for _ in one[1]]),
        "step": torch.tensor([k for one in encoded for k in range(len(one[1]))]),
        "lines": torch.cat([lines for _, lines in states]),
        "line_owner": torch.tensor([i for i, one in enumerate(encoded) for _ in one[2]]),
        "line_step": torch.tensor([k for one in encoded for k, _ in one[2]]),
        "empty": empty[torch.tensor([empties[row.prompt] for row in rows])],
    }


def _states(model: RewardModel, pad_id: int, encoded: list[Any], tokens: int = 8192) -> list[tuple[Tensor, Tensor]]:
    """Hidden states of each row at its step tokens and its line ends; batches by padded tokens."""
    model.eval()
    out: list[tuple[Tensor, Tensor]] = [(torch.zeros(0), torch.zeros(0))] * len(encoded)
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i][0]))
    while order:
        batch = [order.pop()]
        while order and len(encoded[batch[0]][0]) * (len(batch) + 1) <= tokens:
            batch.append(order.pop())
        ids = pad([encoded[i][0] for i in batch], pad_id)
        hidden = model.backbone(input_ids=ids, use_cache=False).last_hidden_state
        for k, i in enumerate(batch):
            out[i] = (hidden[k, encoded[i][1]], hidden[k, [at for _, at in encoded[i][2]]])
    return out
