"""The meta step against an oracle written apart from it: second-order gradients by autograd on a tiny model."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from worlds import Linear, call, labels_of, perceptron_world

from funprm_worker.bilevel import AGGREGATES, BiLevel, InnerBatch, MetaBatch, Settings
from funprm_worker.correction import CorrectionTable, TableSettings
from funprm_worker.errors import WorkerError

F64 = torch.float64


def oracle(level: BiLevel, inner: InnerBatch, meta: MetaBatch, optimiser: str) -> Tensor:
    """Second-order gradient of the outer loss to labels (or weights): a graph through one update, P detached."""
    params = {n: p.detach().clone().requires_grad_() for n, p in level.module.named_parameters()}
    r = level.table.corrected(inner.rows).clone().requires_grad_()
    w = level.table.weights(inner.rows).clone().requires_grad_()
    level.module.eval()
    z = functional_call(level.module, params, (inner.inputs,))
    if level.settings.inner == "squared":
        losses = (z.sigmoid() - r) ** 2
    else:
        losses = -(r * torch.nn.functional.logsigmoid(z) + (1 - r) * torch.nn.functional.logsigmoid(-z))
    g = torch.autograd.grad((w * losses).mean(), list(params.values()), create_graph=True)
    after = {}
    for (name, p), one in zip(params.items(), g, strict=True):
        if optimiser in ("sgd", "momentum"):
            after[name] = p - 0.3 * one
        else:
            # First step: m̂ = g and v̂ = g².
            decayed = p * (1 - 0.05 * 0.1) if optimiser == "adamw" else p
            after[name] = decayed - 0.05 * one / (one.detach().abs() + 1e-8)
    rewards = functional_call(level.module, after, (meta.inputs,)).sigmoid().reshape(3, 2)
    scores = {
        "mean": lambda: rewards.mean(1),
        "last": lambda: rewards[:, 1],
        "min": lambda: rewards.min(1).values,
        "product": lambda: rewards[:, 0] * rewards[:, 1],
        "logodds": lambda: (rewards / (1 - rewards)).log().mean(1).sigmoid(),
    }[level.settings.predict]()
    y = meta.labels
    if level.settings.outer == "squared":
        outer = ((scores - y) ** 2).mean()
    elif level.settings.outer == "bce":
        outer = -(y * scores.log() + (1 - y) * (1 - scores).log()).mean()
    else:
        odds = (scores / (1 - scores)).log()
        outer = (torch.log1p((odds[1] - odds[0]).exp()) + torch.log1p((odds[1] - odds[2]).exp())) / 2
    target = w if level.table.settings.form == "weight" else r
    return torch.autograd.grad(outer, target)[0]


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("outer", ["squared", "bce", "pairwise"])
@pytest.mark.parametrize("inner", ["squared", "bce"])
def test_both_gradients_equal_the_second_order_oracle(inner: str, outer: str, optimiser: str) -> None:
    for form in ("logit", "additive", "free", "network", "weight"):
        options: dict[str, Any] = {"inner": inner, "outer": outer}
        level, batch, meta = perceptron_world(form, optimiser, **options)
        wanted = oracle(level, batch, meta, optimiser)
        level.step([batch], meta)
        assert float(wanted.norm()) > 0
        assert torch.allclose(level.last_gradient, wanted, rtol=1e-8, atol=1e-12), form
        level, batch, meta = perceptron_world(form, optimiser, gradient="finite-difference", fd_alpha=1e-3, **options)
        level.step([batch], meta)
        assert float((level.last_gradient - wanted).norm() / wanted.norm()) < 1e-4, form
        errors = []
        for alpha in (2e-4, 1e-4):
            level, batch, meta = perceptron_world(
                form, optimiser, gradient="forward-difference", fd_alpha=alpha, **options
            )
            level.step([batch], meta)
            errors.append(float((level.last_gradient - wanted).norm() / wanted.norm()))
        # First order: half the length, half the error.
        assert errors[1] < 1e-2 and errors[0] / errors[1] == pytest.approx(2.0, abs=0.1), form


@pytest.mark.parametrize("rule", AGGREGATES)
def test_the_outer_loss_is_on_the_aggregate_that_inference_uses(rule: str) -> None:
    level, batch, meta = perceptron_world(predict=rule)
    wanted = oracle(level, batch, meta, "sgd")
    level.step([batch], meta)
    assert torch.allclose(level.last_gradient, wanted, rtol=1e-8, atol=1e-12)


def theta(level: BiLevel) -> list[Tensor]:
    return [p.detach().clone() for p in level.module.parameters()]


def equal(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("gradient", ["jvp", "finite-difference"])
def test_with_beta_zero_training_is_bit_identical_to_no_correction(gradient: str) -> None:
    ends = []
    for form in ("logit", "none"):
        level, batch, meta = perceptron_world(form, "adam", rate=0.0, gradient=gradient)
        for _ in range(10):
            level.step([batch], meta)
        ends.append(theta(level))
    assert equal(*ends)


@pytest.mark.parametrize("gradient", ["jvp", "finite-difference", "forward-difference"])
def test_no_outer_slope_gives_no_gradient_and_no_nan(gradient: str) -> None:
    level, batch, meta = perceptron_world(gradient=gradient, outer="pairwise")
    only_passing = MetaBatch(meta.inputs, meta.solution, torch.ones(3, dtype=F64), meta.problems)
    level.step([batch], only_passing)
    assert torch.equal(level.last_gradient, torch.zeros(8, dtype=F64))


def test_eta_zero_gives_no_gradient() -> None:
    level, batch, meta = perceptron_world()
    level.optimiser.param_groups[0]["lr"] = 0.0
    level.step([batch], meta)
    assert torch.equal(level.last_gradient, torch.zeros(8, dtype=F64))


def test_probes_leave_theta_and_the_modes_bit_identical() -> None:
    for gradient in ("jvp", "finite-difference", "forward-difference"):
        level, batch, meta = perceptron_world(gradient=gradient)
        plain, _, _ = perceptron_world("none")
        level.module.train()
        level.step([batch], meta)
        plain.step([batch], None)
        assert equal(theta(level), theta(plain))
        assert all(one.training for one in level.module.modules())


def test_accumulated_and_whole_batches_agree_for_theta_and_every_row() -> None:
    whole, batch, meta = perceptron_world()
    parts, _, _ = perceptron_world()
    assert whole.step([batch], meta).rows_touched == 8
    singles = [InnerBatch(batch.inputs[i : i + 1], torch.tensor([i])) for i in range(8)]
    assert parts.step(singles, meta).rows_touched == 8
    assert torch.allclose(whole.table.values[0], parts.table.values[0], atol=1e-14)
    assert bool((whole.table.values[0] != 0).all())
    for a, b in zip(theta(whole), theta(parts), strict=True):
        assert torch.allclose(a, b, atol=1e-14)


def test_the_order_of_rows_does_not_matter() -> None:
    one, batch, meta = perceptron_world()
    other, _, _ = perceptron_world()
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    one.step([batch], meta)
    other.step([InnerBatch(batch.inputs[order], order)], meta)
    assert torch.allclose(one.table.values[0], other.table.values[0], atol=1e-14)


def test_a_constant_weight_is_a_learning_rate_under_sgd() -> None:
    half, batch, meta = perceptron_world("weight", rate=0.0)
    half.table.values[0].fill_(0.5)
    half.step([batch], meta)
    plain, _, _ = perceptron_world("none")
    plain.optimiser.param_groups[0]["lr"] *= 0.5
    plain.step([batch], None)
    for a, b in zip(theta(half), theta(plain), strict=True):
        assert torch.allclose(a, b, atol=1e-15)


def test_a_row_like_a_passing_meta_row_is_raised_and_one_like_a_failing_lowered() -> None:
    module = Linear(torch.zeros(2, dtype=F64))
    table = CorrectionTable(labels_of([0.5, 0.5]), TableSettings(optimiser="sgd", rate=1.0), F64)
    level = BiLevel(module, call, torch.optim.SGD(module.parameters(), lr=0.1), table, Settings())
    rows = torch.eye(2, dtype=F64)
    meta = MetaBatch(rows, torch.arange(2), torch.tensor([1.0, 0.0], dtype=F64), torch.zeros(2, dtype=torch.int64))
    level.step([InnerBatch(rows, torch.arange(2))], meta)
    passing, failing = table.corrected(torch.arange(2)).tolist()
    assert passing > 0.5 > failing


def test_train_2k_equals_train_k_save_load_train_k() -> None:
    straight, batch, meta = perceptron_world(optimiser="adam")
    first, _, _ = perceptron_world(optimiser="adam")
    for _ in range(8):
        straight.step([batch], meta)
    for _ in range(4):
        first.step([batch], meta)
    second, _, _ = perceptron_world(optimiser="adam", seed=9)
    second.module.load_state_dict(first.module.state_dict())
    second.optimiser.load_state_dict(first.optimiser.state_dict())
    second.table.load(first.table.state())
    for _ in range(4):
        second.step([batch], meta)
    assert equal(theta(straight), theta(second))
    assert torch.equal(straight.table.values[0], second.table.values[0])


def test_a_refreshed_outer_gradient_touches_every_row_of_every_step() -> None:
    level, batch, meta = perceptron_world(refresh=4)
    assert [level.step([batch], meta).rows_touched for _ in range(4)] == [8] * 4
    assert level.table.touches.tolist() == [4] * 8


def test_dropout_in_training_mode_does_not_reach_the_gradient() -> None:
    found = []
    for training in (True, False):
        level, batch, meta = perceptron_world()
        level.module.train(training)
        level.step([batch], meta)
        found.append(level.last_gradient)
    assert torch.equal(*found) and cosine(*found) == pytest.approx(1.0)


def test_probes_are_not_spent_on_tokens_that_no_inner_row_holds() -> None:
    found = []
    for gradient in ("jvp", "finite-difference", "forward-difference"):
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Embedding(40, 8), torch.nn.Flatten(), torch.nn.Linear(24, 1))
        table = CorrectionTable(labels_of([i / 8 for i in range(8)]), TableSettings())
        optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
        level = BiLevel(
            module, lambda m, x: call(m, x).squeeze(-1), optimiser, table, Settings(gradient=gradient)
        )  # fmt: skip
        inner, outer = torch.randint(0, 10, (8, 3)), torch.randint(5, 40, (6, 3))
        meta = MetaBatch(outer, torch.arange(6), torch.tensor([1.0, 0, 1, 0, 1, 0]), torch.zeros(6, dtype=torch.int64))
        for _ in range(2):
            level.step([InnerBatch(inner, torch.arange(8))], meta)
        found.append(level.last_gradient)
    assert min(cosine(found[0], one) for one in found[1:]) > 0.999


def test_a_loss_that_is_not_finite_stops_with_its_rows_and_moves_nothing() -> None:
    for where in ("inner", "meta"):
        level, batch, meta = perceptron_world()
        before = theta(level)
        broken = (batch if where == "inner" else meta).inputs
        broken[0] = float("nan")
        with pytest.raises(WorkerError, match="row0" if where == "inner" else "the meta loss is nan"):
            level.step([batch], meta)
        assert equal(before, theta(level)) and int(level.table.touches.sum()) == 0


def test_what_the_meta_step_cannot_know_is_refused() -> None:
    level, batch, meta = perceptron_world()
    level.optimiser = torch.optim.RMSprop(level.module.parameters())
    with pytest.raises(WorkerError, match="RMSprop"):
        level.step([batch], meta)
    with pytest.raises(WorkerError, match="fd_alpha"):
        perceptron_world(gradient="finite-difference", fd_alpha=0.0)
    level, batch, meta = perceptron_world(predict="median-of-three")
    with pytest.raises(WorkerError, match="the rules are"):
        level.step([batch], meta)
