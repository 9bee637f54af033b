"""Small worlds of the correction tests: a linear model with known answers, and the noisy logistic world of rulings 9."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from funprm_worker.bilevel import BiLevel, InnerBatch, MetaBatch, Settings
from funprm_worker.correction import CorrectionTable, StepLabel, TableSettings


class Linear(nn.Module):
    """logit = θ·x."""

    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(theta.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.theta


class Perceptron(nn.Module):
    """Two layers with dropout between them."""

    def __init__(self, width: int, dtype: torch.dtype = torch.float64, dropout: float = 0.3) -> None:
        super().__init__()
        self.first = nn.Linear(width, 7, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(7, 1, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.dropout(torch.tanh(self.first(x))))
        return out.squeeze(-1)


def call(module: nn.Module, inputs: Any) -> Tensor:
    out: Tensor = module(inputs)
    return out


def labels_of(values: list[float], trials: int = 16) -> list[StepLabel]:
    return [StepLabel(f"row{i}", f"p{i // 2}", 0, 2, value * trials, trials) for i, value in enumerate(values)]


def perceptron_world(
    form: str = "logit", optimiser: str = "sgd", seed: int = 0, rate: float = 0.1, **settings: Any
) -> tuple[BiLevel, InnerBatch, MetaBatch]:
    """8 noisy rows, 6 meta steps of 3 solutions of one problem, float64."""
    torch.manual_seed(seed)
    module = Perceptron(5)
    x, a = torch.randn(8, 5, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    table = CorrectionTable(
        labels_of([i / 8 for i in range(8)]),
        TableSettings(form=form, rate=rate, optimiser="sgd"),  # type: ignore[arg-type]
        torch.float64,
    )
    makers: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.3),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9),
        "adam": lambda p: torch.optim.Adam(p, lr=0.05),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
    }
    level = BiLevel(module, call, makers[optimiser](module.parameters()), table, Settings(**settings))
    meta = MetaBatch(
        a,
        torch.tensor([0, 0, 1, 1, 2, 2]),
        torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64),
        torch.zeros(3, dtype=torch.int64),
    )
    return level, InnerBatch(x, torch.arange(8)), meta
