"""The correction table: one learnable entry for a noisy step label (method.md section 7, rulings 7)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from funprm_worker.errors import WorkerError

Form = Literal["logit", "additive", "free", "network", "weight", "none"]
FORMS: tuple[str, ...] = get_args(Form)
SIZES = ("step", "problem-step", "bucket", "global")
WEIGHT_RANGE = (0.0, 2.0)
"""Of the published code's loss weights."""
BISECTIONS = 16
REMEMBERED = 10
"""Changes kept of each entry, for the alarm of oscillation (health.py)."""


@dataclass(frozen=True)
class StepLabel:
    """A label of one step: `passes` of `trials`; a clean label has trials 0, its value in `passes`, and is never corrected."""

    id: str
    problem: str
    step: int
    steps: int
    passes: float
    trials: int


@dataclass(frozen=True)
class TableSettings:
    """`rate` is β, `anchor` λ; `share` of the noisy labels is learnable, chosen by `seed`."""

    form: Form = "logit"
    size: str = "step"
    rate: float = 0.05
    anchor: float = 0.0
    optimiser: Literal["adam", "sgd"] = "adam"
    share: float = 1.0
    seed: int = 0


class CorrectionTable:
    """Labels r̃ in [0,1] and loss weights of steps, by index into `labels`; only the entries a call names ever move.

    `logit`: σ(logit(base) + δ), base = (passes + ½)/(trials + 1). `additive`: passes/trials + δ and `free`: the label
    itself, both clipped to [0,1] with the gradient straight through. `network`: logit form whose δ is two layers on raw
    value, trials, step and chain length. `weight`: the base, and a loss weight in [0,2]. `none`: the base, through the
    same operation as `logit` with δ = 0, so that both are bit-identical while no entry moves.
    """

    def __init__(
        self, labels: Sequence[StepLabel], settings: TableSettings, dtype: torch.dtype = torch.float32
    ) -> None:
        if settings.form not in FORMS or settings.size not in SIZES:
            raise WorkerError(
                "bad_config", f"correction form {settings.form}, size {settings.size}: the forms are {', '.join(FORMS)}; "
                f"the sizes are {', '.join(SIZES)}"
            )  # fmt: skip
        for label in labels:
            if not 0 <= label.passes <= max(1, label.trials):
                raise WorkerError(
                    "bad_rows", f"row {label.id}, step {label.step}: {label.passes} passes of {label.trials} trials"
                )
        self.items = list(labels)
        self.settings = settings
        passes = torch.tensor([one.passes for one in labels], dtype=dtype)
        trials = torch.tensor([one.trials for one in labels], dtype=dtype)
        self.clean = trials == 0
        self.trials = trials
        self.raw = torch.where(self.clean, passes, passes / trials.clamp(min=1))
        self.base = torch.where(self.clean, passes, (passes + 0.5) / (trials + 1))
        self.entry = self._entries()
        count = int(self.entry.max().item()) + 1 if len(labels) else 0
        self.touches = torch.zeros(len(labels), dtype=torch.int64)
        self.features = torch.stack(
            [
                self.raw,
                trials / 16,
                torch.tensor([one.step / max(1, one.steps) for one in labels], dtype=dtype),
                torch.tensor([one.steps / 8 for one in labels], dtype=dtype),
            ],
            dim=1,
        )
        self.values = self._start(count, dtype)
        self.moment = [torch.zeros_like(one) for one in self.values]
        self.square = [torch.zeros_like(one) for one in self.values]
        self.steps = [torch.zeros(len(one), dtype=torch.int64) for one in self.values]
        self.start = [one.clone() for one in self.values]
        # Oldest first; 0 stands for no change yet.
        self.changes = torch.zeros(count if self._per_entry else 0, REMEMBERED, dtype=dtype)

    @property
    def _per_entry(self) -> bool:
        return self.settings.form not in ("none", "network")

    def _entries(self) -> Tensor:
        """Index of the entry of each label, -1 where the label is clean or not learnable."""
        rng = random.Random(self.settings.seed)
        index: dict[Any, int] = {}
        out = []
        for one in self.items:
            if one.trials == 0 or rng.random() >= self.settings.share:
                out.append(-1)
                continue
            key: Any = {
                "step": (one.id, one.step),
                "problem-step": (one.problem, one.step),
                "bucket": round(8 * one.passes / one.trials),
                "global": 0,
            }[self.settings.size]
            out.append(index.setdefault(key, len(index)))
        return torch.tensor(out, dtype=torch.int64)

    def _start(self, count: int, dtype: torch.dtype) -> list[Tensor]:
        form = self.settings.form
        if form == "none":
            return []
        if form == "network":
            generator = torch.Generator().manual_seed(self.settings.seed)
            first = torch.randn(16, self.features.shape[1], generator=generator, dtype=dtype) * 0.5
            # The last layer is zero: the first label is the base.
            return [first, torch.zeros(16, dtype=dtype), torch.zeros(1, 16, dtype=dtype), torch.zeros(1, dtype=dtype)]
        if form == "weight":
            return [torch.ones(count, dtype=dtype)]
        if form == "free":
            total = torch.zeros(count, dtype=dtype)
            number = torch.zeros(count, dtype=dtype)
            held = self.entry >= 0
            total.index_add_(0, self.entry[held], self.raw[held])
            number.index_add_(0, self.entry[held], torch.ones_like(self.raw[held]))
            # An entry that several labels share starts at their mean.
            return [total / number.clamp(min=1)]
        return [torch.zeros(count, dtype=dtype)]

    def corrected(self, rows: Tensor) -> Tensor:
        """Labels r̃ of `rows` int64 [n] → [n], without a graph."""
        return self._labels(rows, self.values).detach()

    def weights(self, rows: Tensor) -> Tensor:
        """Loss weights of `rows` int64 [n] → [n]; 1 in every form but `weight`."""
        return self._weights(rows, self.values).detach()

    def _gather(self, rows: Tensor, values: list[Tensor], absent: Tensor) -> Tensor:
        entry = self.entry[rows]
        held = entry >= 0
        if values[0].numel() == 0:
            return absent
        return torch.where(held, values[0][entry.clamp(min=0)], absent)

    def _labels(self, rows: Tensor, values: list[Tensor]) -> Tensor:
        form, base, raw = self.settings.form, self.base[rows], self.raw[rows]
        zero = torch.zeros_like(base)
        if form in ("additive", "free"):
            value = raw + self._gather(rows, values, zero) if form == "additive" else self._gather(rows, values, raw)
            return value + (value.clamp(0, 1) - value).detach()
        if form == "logit":
            delta = self._gather(rows, values, zero)
        elif form == "network":
            first, first_bias, last, last_bias = values
            hidden = torch.tanh(self.features[rows] @ first.T + first_bias)
            delta = torch.where(self.entry[rows] >= 0, (hidden @ last.T + last_bias).squeeze(-1), zero)
        else:
            delta = zero
        return torch.where(self.clean[rows], base, torch.sigmoid(torch.logit(base) + delta))

    def _weights(self, rows: Tensor, values: list[Tensor]) -> Tensor:
        one = torch.ones_like(self.base[rows])
        if self.settings.form != "weight":
            return one
        value = self._gather(rows, values, one)
        return value + (value.clamp(*WEIGHT_RANGE) - value).detach()

    def update(self, rows: Tensor, gradient: Tensor) -> int:
        """One step down the outer loss; `gradient` [n] is dL/dr̃ of `rows` (dL/dw in form `weight`).

        Adds the anchor λ·trials·(r̃ - base)² of these rows. Returns how many rows hold an entry that was stepped. Each
        entry counts its own steps; there is no weight decay and no other entry moves. The plain step of the logit form
        takes the anchor implicitly (`_anchored`): an explicit one throws labels from side to side once β·λ·trials is large.
        """
        if self.settings.form == "none":
            return 0
        values = [one.detach().requires_grad_() for one in self.values]
        implicit = self.settings.form == "logit" and self.settings.optimiser == "sgd"
        if self.settings.form == "weight":
            outer = (self._weights(rows, values) * gradient).sum()
        else:
            labels = self._labels(rows, values)
            outer = (labels * gradient).sum()
            if not implicit:
                anchor = self.trials[rows] * (labels - self.base[rows]) ** 2
                outer = outer + self.settings.anchor * anchor.sum()
        if not outer.requires_grad:
            return 0
        gradients = torch.autograd.grad(outer, values, allow_unused=True)
        held = rows[self.entry[rows] >= 0]
        if len(held) == 0:
            return 0
        self.touches[held] += 1
        entries = torch.unique(self.entry[held])
        before = self.values[0][entries].clone() if self._per_entry else None
        for i, gradient_of in enumerate(gradients):
            if gradient_of is not None:
                at = torch.arange(len(self.values[i])) if self.settings.form == "network" else entries
                self._move(i, at, gradient_of[at])
        if implicit and self.settings.anchor > 0 and self.settings.rate > 0:
            self.values[0][entries] = self._anchored(held, entries, self.values[0][entries])
        if before is not None:
            change = self.values[0][entries] - before
            moved = change != 0
            at = entries[moved]
            self.changes[at] = torch.cat([self.changes[at, 1:], change[moved, None]], dim=1)
        return len(held)

    def _anchored(self, rows: Tensor, entries: Tensor, half: Tensor) -> Tensor:
        """The δ between 0 and `half` where (δ - half)/β plus the anchor's slope is 0: a proximal step, stable for every β."""
        at = torch.searchsorted(entries, self.entry[rows])
        base, strength = self.base[rows], 2 * self.settings.anchor * self.trials[rows]
        low, high = half.clamp(max=0), half.clamp(min=0)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            label = torch.sigmoid(torch.logit(base) + middle[at])
            pull = torch.zeros_like(half).index_add_(0, at, strength * (label - base) * label * (1 - label))
            below = (middle - half) / self.settings.rate + pull < 0
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def _move(self, i: int, at: Tensor, gradient: Tensor) -> None:
        if self.settings.optimiser == "sgd":
            self.values[i][at] -= self.settings.rate * gradient
            return
        self.steps[i][at] += 1
        shape = (-1, *([1] * (gradient.dim() - 1)))
        count = self.steps[i][at].to(gradient.dtype).reshape(shape)
        self.moment[i][at] = 0.9 * self.moment[i][at] + 0.1 * gradient
        self.square[i][at] = 0.999 * self.square[i][at] + 0.001 * gradient**2
        mean = self.moment[i][at] / (1 - 0.9**count)
        spread = (self.square[i][at] / (1 - 0.999**count)).sqrt()
        self.values[i][at] -= self.settings.rate * mean / (spread + 1e-8)

    def exported(self) -> list[dict[str, Any]]:
        """One object a noisy label: id, step, raw, corrected, weight, touches."""
        rows = torch.arange(len(self.items))
        corrected, weights = self.corrected(rows).tolist(), self.weights(rows).tolist()
        return [
            {
                "id": one.id,
                "step": one.step,
                "raw": float(self.raw[i]),
                "corrected": corrected[i],
                "weight": weights[i],
                "touches": int(self.touches[i]),
            }
            for i, one in enumerate(self.items)
            if one.trials > 0
        ]

    def state(self) -> dict[str, Any]:
        """What `load` needs to go on bit for bit."""
        return {
            "values": self.values,
            "moment": self.moment,
            "square": self.square,
            "steps": self.steps,
            "touches": self.touches,
            "changes": self.changes,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Raises `WorkerError("bad_config")` when the table was of another form or size."""
        shapes = [one.shape for one in self.values]
        if [one.shape for one in state["values"]] != shapes or state["touches"].shape != self.touches.shape:
            raise WorkerError("bad_config", "the saved correction table is of another form, size or training set")
        for name in ("values", "moment", "square", "steps"):
            setattr(self, name, [one.clone() for one in state[name]])
        self.touches = state["touches"].clone()
        self.changes = state["changes"].clone()
