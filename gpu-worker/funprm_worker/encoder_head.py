"""A pretrained sentence encoder, frozen, with a linear head on whole programs: the backbone that the small model is compared
with (rulings 12). It lower-cases, drops layout, sees both ends of a long program, and needs one pass for every prefix.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel

from funprm_worker.errors import WorkerError
from funprm_worker.rows import Row

STATEMENT_TOKENS = 64
CODE_TOKENS = 128
PADDED_TOKENS = 8192
STEPS = 300
RATE = 1e-2
DECAY = 1e-2
PAIRWISE = 0.5


class Embedder:
    """`folder`: a BERT-like encoder as Hugging Face stores it, with its tokenizer.json."""

    def __init__(self, folder: Path) -> None:
        try:
            self.tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self.model: Any = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
        except Exception as problem:
            raise WorkerError(
                "bad_bundle", f"{folder}: not an encoder with its tokenizer.json ({problem})"
            ) from problem
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def parameters_total(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def ids(self, row: Row) -> list[int]:
        """[CLS] head of the statement [SEP] both ends of the program [SEP]."""
        start, *statement, end = self.tokenizer.encode(row.prompt).ids
        code = self.tokenizer.encode("\n".join(row.completions), add_special_tokens=False).ids
        half = CODE_TOKENS // 2
        if len(code) > CODE_TOKENS:
            code = code[:half] + code[-half:]
        return [start, *statement[:STATEMENT_TOKENS], end, *code, end]

    @torch.no_grad()
    def embed(self, rows: Sequence[Row]) -> Tensor:
        """Mean of the last hidden states, of unit length: [rows, hidden]."""
        ids = [self.ids(row) for row in rows]
        out = torch.zeros(len(rows), self.model.config.hidden_size)
        order = sorted(range(len(rows)), key=lambda i: len(ids[i]))
        while order:
            count = max(1, PADDED_TOKENS // len(ids[order[-1]]))
            batch, order = order[-count:], order[:-count]
            width = max(len(ids[i]) for i in batch)
            padded = torch.tensor([ids[i] + [0] * (width - len(ids[i])) for i in batch])
            mask = torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in batch])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = self.model(input_ids=padded, attention_mask=mask).last_hidden_state.float()
            means = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            out[batch] = functional.normalize(means, dim=1)
        return out


def fit_head(rows: Sequence[Row], embedded: Tensor, seed: int) -> nn.Linear:
    """A linear head by BCE on verdicts and the pairwise term inside one (group, pool), as the small model is trained."""
    torch.manual_seed(seed)
    head = nn.Linear(embedded.shape[1], 1)
    labels = torch.tensor([float(row.verdict or 0) for row in rows])
    sides: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i, row in enumerate(rows):
        sides[row.group, row.pool][row.verdict or 0].append(i)
    pairs = torch.tensor([(p, f) for failing, passing in sides.values() for p in passing for f in failing])
    # Unit vectors of hundreds of entries: at this scale a weight of 1 moves a logit by about 1.
    scaled = embedded * embedded.shape[1] ** 0.5
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        logits = head(scaled).squeeze(1)
        loss = functional.binary_cross_entropy_with_logits(logits, labels)
        if len(pairs):
            loss = loss + PAIRWISE * functional.softplus(logits[pairs[:, 1]] - logits[pairs[:, 0]]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return head


def scores_of(head: nn.Linear, embedded: Tensor) -> list[float]:
    with torch.no_grad():
        found: list[float] = torch.sigmoid(head(embedded * embedded.shape[1] ** 0.5)).squeeze(1).tolist()
    return found
