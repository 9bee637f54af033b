"""The trivial scorer of data/README.md: logistic regression on hashed token bigrams and ten counts."""

import itertools
import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch

from funprm_worker.rows import Row

BUCKETS = 1 << 16
TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|[^\s\w]")


def features(row: Row) -> tuple[list[int], list[float]]:
    """Indices of the bigrams present, and ten counts on a log scale."""
    code = "\n".join(row.completions)
    tokens = TOKEN.findall(code)
    present = sorted({zlib.crc32(f"{a} {b}".encode()) % BUCKETS for a, b in itertools.pairwise(tokens)})
    counts = [
        len(code),
        len(tokens),
        code.count("\n"),
        len(row.completions),
        code.count("for "),
        code.count("while "),
        code.count("if "),
        code.count("return"),
        code.count("import"),
        code.count('"""'),
    ]
    return present, [float(np.log1p(c)) for c in counts]


def fit_and_score(train: Sequence[Row], held_out: Sequence[Row], seed: int = 0, epochs: int = 6) -> list[float]:
    """Fits on the verdicts of `train`, gives one score in (0,1) per held-out row."""
    torch.manual_seed(seed)
    labelled = [row for row in train if row.verdict is not None]
    bags = torch.nn.EmbeddingBag(BUCKETS, 1, mode="sum")
    torch.nn.init.zeros_(bags.weight)
    dense = torch.nn.Linear(10, 1)
    optimiser = torch.optim.Adam([*bags.parameters(), *dense.parameters()], lr=3e-3)
    prepared = [features(row) for row in labelled]
    targets = torch.tensor([float(row.verdict or 0) for row in labelled])

    def logits(rows: Sequence[tuple[list[int], list[float]]]) -> torch.Tensor:
        flat = torch.tensor([i for present, _ in rows for i in present], dtype=torch.int64)
        offsets = torch.tensor(np.cumsum([0] + [len(present) for present, _ in rows[:-1]]), dtype=torch.int64)
        counts = torch.tensor([c for _, c in rows])
        result: torch.Tensor = (bags(flat, offsets) + dense(counts)).squeeze(1)
        return result

    for epoch in range(epochs):
        order = torch.randperm(len(prepared), generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        for at in range(0, len(order), 512):
            batch = order[at : at + 512]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                logits([prepared[i] for i in batch]), targets[batch]
            )
            loss = loss + 1e-4 * dense.weight.square().sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    with torch.no_grad():
        return [float(torch.sigmoid(logits([features(row)]))) for row in held_out]
