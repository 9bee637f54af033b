"""The meta step: noisy rows move θ, clean rows say how their labels should have been (method.md section 7, rulings 7-9)."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from funprm_worker import parallel
from funprm_worker.correction import CorrectionTable
from funprm_worker.errors import WorkerError

Params = dict[str, Tensor]
Logits = Callable[[nn.Module, Any], Tensor]
"""(callable module, inputs) → logits [n] at the step tokens, in the order of the batch's rows."""
AGGREGATES = ("mean", "last", "min", "product", "logodds")
TINY = 1e-6


@dataclass(frozen=True)
class InnerBatch:
    """Inputs of n steps and `rows`, int64 [n], their indices in the table; clean labels stand in the table too.

    `weights` [n]: loss weight of each step, 1 where None. `extra`: a term on the logits [n] that holds no label of the
    table (rulings 8). `probed`: the inputs of the steps that alone hold an entry and their places in `rows`, so that no
    derivative is taken along the others; None = all.
    """

    inputs: Any
    rows: Tensor
    weights: Tensor | None = None
    extra: Callable[[Tensor], Tensor] | None = None
    probed: tuple[Any, Tensor] | None = None

    def weight(self) -> Tensor:
        return torch.ones(len(self.rows)) if self.weights is None else self.weights


@dataclass(frozen=True)
class MetaBatch:
    """Inputs of n steps; `solution` int64 [n] says whose step each is, `labels` [m] are verdicts, `problems` int64 [m]."""

    inputs: Any
    solution: Tensor
    labels: Tensor
    problems: Tensor


@dataclass(frozen=True)
class Settings:
    """`fd_alpha` is the length of a finite-difference probe; `refresh` steps share one outer gradient; `clip` 0 is none.

    `finite-difference` is central; `forward-difference` takes the inner step's own predictions as the other end: one pass
    in place of two, and an error that falls with `fd_alpha`, not with its square.

    `link` maps a logit to the prediction (the identity in method.md's linear known answers). `bfloat16`: the two losses
    are computed in mixed precision (CPU); weights and probes stay in float32.
    """

    inner: Literal["squared", "bce"] = "squared"
    outer: Literal["squared", "bce", "pairwise"] = "squared"
    predict: str = "mean"
    gradient: Literal["jvp", "finite-difference", "forward-difference"] = "jvp"
    fd_alpha: float = 0.01
    refresh: int = 1
    clip: float = 0.0
    bfloat16: bool = False
    link: Callable[[Tensor], Tensor] = torch.sigmoid


@dataclass(frozen=True)
class Metrics:
    loss: float
    meta_loss: float
    rows_touched: int


def aggregate(values: Tensor, solution: Tensor, count: int, rule: str) -> Tensor:
    """Step rewards [n] → one score a solution [count], by the rule that inference uses."""
    if rule not in AGGREGATES:
        raise WorkerError("bad_config", f"meta.predict {rule}: the rules are {', '.join(AGGREGATES)}")
    scores = []
    for index in range(count):
        own = values[solution == index]
        if rule == "mean":
            scores.append(own.mean())
        elif rule == "last":
            scores.append(own[-1])
        elif rule == "min":
            scores.append(own.min())
        elif rule == "product":
            scores.append(own.prod())
        else:
            scores.append(torch.sigmoid(torch.logit(own.clamp(TINY, 1 - TINY)).mean()))
    return torch.stack(scores)


def pairs_of(labels: Tensor, problems: Tensor) -> Tensor:
    """[m, m], true where the row passes, the column fails and both are of one problem."""
    return (problems[:, None] == problems[None, :]) & (labels > 0.5)[:, None] & (labels <= 0.5)[None, :]


def outer_loss(scores: Tensor, labels: Tensor, problems: Tensor, kind: str) -> Tensor:
    """Mean over solutions (`squared`, `bce`) or over pairs (pass, fail) of one problem (`pairwise`; 0 without a pair)."""
    if kind == "squared":
        return ((scores - labels) ** 2).mean()
    bounded = scores.clamp(TINY, 1 - TINY)
    if kind == "bce":
        return functional.binary_cross_entropy(bounded, labels)
    gap = torch.logit(bounded)
    losses = functional.softplus(gap[None, :] - gap[:, None])[pairs_of(labels, problems)]
    return losses.mean() if losses.numel() else scores.sum() * 0


def inner_losses(logits: Tensor, labels: Tensor, kind: str, link: Callable[[Tensor], Tensor]) -> Tensor:
    """Loss of each row [n], unweighted."""
    if kind == "squared":
        return (link(logits) - labels) ** 2
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def preconditioner(optimiser: torch.optim.Optimizer) -> dict[Tensor, Tensor]:
    """η·P of every trained weight after its step, so that dθ'/dg = -η·P with P held constant (rulings 8).

    Adam(W): P = (1-β₁)/(1-β₁ᵗ)/(√v̂ + ε). SGD: P = 1, 1 - dampening from the second step of a momentum on.
    Raises `WorkerError("bad_config")` for any other optimiser, for amsgrad and for Nesterov momentum.
    """
    out: dict[Tensor, Tensor] = {}
    for group in optimiser.param_groups:
        if group.get("amsgrad") or group.get("nesterov"):
            raise WorkerError("bad_config", "the meta step knows Adam, AdamW and SGD without amsgrad or nesterov")
        for weight in group["params"]:
            if weight.grad is None:
                continue
            if isinstance(optimiser, torch.optim.Adam | torch.optim.AdamW):
                state, (first, second) = optimiser.state[weight], group["betas"]
                count = float(state["step"])
                spread = (state["exp_avg_sq"] / (1 - second**count)).sqrt() + group["eps"]
                out[weight] = group["lr"] * (1 - first) / (1 - first**count) / spread
            elif isinstance(optimiser, torch.optim.SGD):
                out[weight] = torch.full_like(weight, group["lr"] * (1 - group["dampening"]))
            else:
                raise WorkerError("bad_config", f"{type(optimiser).__name__}: the meta step knows Adam, AdamW and SGD")
    return out


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Dropout off and plain attention: what forward-mode derivatives need; the modes come back after."""
    before = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", enabled=False):
            yield
    finally:
        for one, training in before:
            one.training = training


class BiLevel:
    """A trained module, its optimiser and its correction table.

    `step` moves θ once by the inner loss on corrected labels and the table once by the outer loss at the new θ; every row
    of the batch is touched. Everything runs in eval mode, the probes at the θ before the step, functionally: the module's
    own weights are never perturbed. Under `torchrun` each process passes its share of the batch, which may be empty; all
    of them then hold the same θ and the same table. Raises `WorkerError("bad_config")` for trainables below float32.
    """

    def __init__(
        self, module: nn.Module, logits: Logits, optimiser: torch.optim.Optimizer, table: CorrectionTable,
        settings: Settings,
    ) -> None:  # fmt: skip
        for name, weight in module.named_parameters():
            if weight.requires_grad and weight.dtype in (torch.bfloat16, torch.float16):
                raise WorkerError(
                    "bad_config", f"trainable {name} is {weight.dtype}: a meta step needs float32 trainables"
                )
        if settings.gradient != "jvp" and not settings.fd_alpha > 0:
            raise WorkerError("bad_config", f"meta.fd_alpha {settings.fd_alpha}: it must be above 0")
        self.module, self.logits, self.optimiser = module, logits, optimiser
        self.table, self.settings = table, settings
        self.trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.count = 0
        self.outer_gradient: Params | None = None
        self.inner_logits: list[Tensor] = []
        self.last_gradient = torch.zeros(0)

    def step(self, batches: Sequence[InnerBatch], meta: MetaBatch | None) -> Metrics:
        """One update of θ and of the table; `batches` are accumulated, their mean taken over all rows together.

        `meta` None, or form `none`, is a plain step. Raises `WorkerError("training_failed")` when a loss is not finite:
        θ and table are then as before (the optimiser's moments are not).
        """
        batches = [batch for batch in batches if len(batch.rows)]
        plain = meta is None or self.table.settings.form == "none"
        with evaluating(self.module):
            old = {} if plain else {name: p.detach().clone() for name, p in self.trained.items()}
            loss, factor = self._inner_gradient(batches)
            self.optimiser.step()
            if plain or meta is None:
                return Metrics(loss, 0.0, 0)
            meta_loss = 0.0
            if self.outer_gradient is None or self.count % self.settings.refresh == 0:
                meta_loss, fresh = self._outer_gradient(meta)
                if not math.isfinite(meta_loss):
                    with torch.no_grad():
                        for name, p in self.trained.items():
                            p.copy_(old[name])
                    raise WorkerError("training_failed", f"the meta loss is {meta_loss}; the weights are as before")
                self.outer_gradient = fresh
            self.count += 1
            scale = preconditioner(self.optimiser)
            direction = {
                name: self.outer_gradient[name] * scale[p] * factor for name, p in self.trained.items() if p in scale
            }
            if self.settings.gradient != "jvp":
                # Adam divides by √v̂ + 1e-8: embeddings of tokens that stand in no inner row would take the whole length of the
                # probe (cosine .946 to the exact gradient in fp32), and no f_i depends on them.
                direction = {name: one * (self.trained[name].grad != 0) for name, one in direction.items()}
            gradient = self._row_gradient(old, direction, batches)
        rows = torch.cat([torch.zeros(0, dtype=torch.int64), *(batch.rows for batch in batches)])
        shares = [share for process in parallel.whole([(rows, gradient)]) for share in process]
        self.last_gradient = torch.cat([one for _, one in shares])
        return Metrics(loss, meta_loss, self.table.update(torch.cat([one for one, _ in shares]), self.last_gradient))

    def _inner_gradient(self, batches: Sequence[InnerBatch]) -> tuple[float, float]:
        """Leaves ∇ℓ in `.grad`; returns the loss and the clipping factor."""
        self.optimiser.zero_grad()
        total = self._weight(batches)
        value = 0.0
        self.inner_logits = []
        for batch in batches:
            with self._precision():
                logits = self.logits(self.module, batch.inputs)
            self.inner_logits.append(logits.detach())
            losses = inner_losses(
                logits.to(batch.weight().dtype) if self.settings.bfloat16 else logits,
                self.table.corrected(batch.rows), self.settings.inner, self.settings.link,
            )  # fmt: skip
            loss = (losses * self.table.weights(batch.rows) * batch.weight()).sum() / total
            if batch.extra is not None:
                loss = loss + batch.extra(logits.float()) / len(batches)
            loss.backward()  # type: ignore[no-untyped-call]
            value += float(loss.detach())
        parallel.add_gradients(self.trained.values())
        value = parallel.add([value])[0]
        if not math.isfinite(value):
            self.optimiser.zero_grad()
            items = [self.table.items[int(i)].id for batch in batches for i in batch.rows[:8]]
            raise WorkerError("training_failed", f"the inner loss is {value}; rows {', '.join(items[:8])}")
        if not self.settings.clip:
            return value, 1.0
        norm = float(torch.nn.utils.clip_grad_norm_(self.trained.values(), self.settings.clip))
        return value, min(1.0, self.settings.clip / (norm + 1e-6))

    def _outer_gradient(self, meta: MetaBatch) -> tuple[float, Params]:
        """L(θ') and its gradient at the θ the module holds now; `.grad` is left as it was."""
        weights = list(self.trained.values())
        value, found = 0.0, tuple(torch.zeros_like(p) for p in weights)
        terms = len(meta.labels)
        if self.settings.outer == "pairwise":
            terms = int(pairs_of(meta.labels, meta.problems).sum())
        everywhere = parallel.add([float(terms)])[0]
        if len(meta.labels):
            with self._precision():
                logits = self.logits(self.module, meta.inputs)
            rewards = self.settings.link(logits.float() if self.settings.bfloat16 else logits)
            scores = aggregate(rewards, meta.solution, len(meta.labels), self.settings.predict)
            loss = outer_loss(scores, meta.labels, meta.problems, self.settings.outer)
            if terms != everywhere:
                loss = loss * (terms / everywhere)
            found = torch.autograd.grad(loss, weights, allow_unused=True)
            value = float(loss.detach())
        gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(weights, found, strict=True)]
        return parallel.add([value])[0], dict(zip(self.trained, parallel.add_tensors(gradients), strict=True))

    @staticmethod
    def _weight(batches: Sequence[InnerBatch]) -> float:
        return parallel.add([sum(float(batch.weight().sum()) for batch in batches)])[0]

    def _row_gradient(self, old: Params, direction: Params, batches: Sequence[InnerBatch]) -> Tensor:
        """dL/dr̃ (dL/dw in form `weight`) of every row, [n]: forward passes only."""
        total = self._weight(batches)
        weighted = self.table.settings.form == "weight"
        out = [torch.zeros(0, dtype=self.table.base.dtype)]
        for batch, seen in zip(batches, self.inner_logits, strict=True):
            everywhere = torch.arange(len(batch.rows))
            inputs, at = (batch.inputs, everywhere) if batch.probed is None else batch.probed
            found = torch.zeros(len(batch.rows), dtype=self.table.base.dtype)
            out.append(found)
            if len(at) == 0:
                continue
            labels = self.table.corrected(batch.rows[at])

            def read(logits: Tensor, labels: Tensor = labels) -> Tensor:
                if weighted:
                    return inner_losses(logits, labels, self.settings.inner, self.settings.link)
                return self.settings.link(logits) if self.settings.inner == "squared" else logits

            def quantity(params: Params, inputs: Any = inputs, read: Callable[[Tensor], Tensor] = read) -> Tensor:
                return read(self.logits(_Functional(self.module, params), inputs))

            # Predictions in mixed precision are too coarse to be one end of a difference.
            known = None if self.settings.bfloat16 else read(seen[at])
            along = self._along(quantity, old, direction, known)
            scale = -1.0 if weighted else 2.0 if self.settings.inner == "squared" else 1.0
            found[at] = (scale * along * batch.weight()[at] / total).to(found.dtype)
        return torch.cat(out)

    def _precision(self) -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.settings.bfloat16)

    def _along(
        self, quantity: Callable[[Params], Tensor], old: Params, direction: Params, known: Tensor | None
    ) -> Tensor:
        """⟨∇quantity, direction⟩ at `old`, [n]; `known` is the quantity there where the inner step computed it."""
        moved = {name: old[name] for name in direction}
        fixed = {name: value for name, value in old.items() if name not in direction}
        if self.settings.gradient == "jvp":
            tangent = jvp(lambda params: quantity({**fixed, **params}), (moved,), (direction,))[1]
            return torch.as_tensor(tangent).detach()
        norm = float(torch.sqrt(sum((d.double().pow(2).sum() for d in direction.values()), torch.zeros(()))))
        with torch.no_grad():
            if norm == 0:
                return torch.zeros_like(quantity(old))
            step = self.settings.fd_alpha / norm
            above = quantity({**fixed, **{name: old[name] + step * d for name, d in direction.items()}})
            if self.settings.gradient == "forward-difference":
                return (above - (quantity(old) if known is None else known)) / step
            below = quantity({**fixed, **{name: old[name] - step * d for name, d in direction.items()}})
            return (above - below) / (2 * step)


class _Functional(nn.Module):
    """The module with other values for its trained weights."""

    def __init__(self, module: nn.Module, params: Params) -> None:
        super().__init__()
        self._call = lambda *args, **kwargs: functional_call(module, params, args, kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)  # type: ignore[no-untyped-call]


def unrolled_gradient(
    inner: Callable[[Tensor, Tensor], Tensor],
    outer: Callable[[Tensor], Tensor],
    theta: Tensor,
    labels: Tensor,
    rate: float,
    steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """θ after `steps` plain gradient steps on `inner(θ, labels)`, `outer(θ)`, and its exact gradient to the labels."""  # fmt: skip
    labels = labels.detach().requires_grad_()
    theta = theta.detach().requires_grad_()
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(inner(theta, labels), theta, create_graph=True)
        theta = theta - rate * gradient
    value = outer(theta)
    (found,) = torch.autograd.grad(value, labels)
    return theta.detach(), value.detach(), found
