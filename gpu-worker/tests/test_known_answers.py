"""The known answers A, A′, B, C, E, F of method.md section 7."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from worlds import Linear, call, labels_of, perceptron_world

from funprm_worker.ablation import DEFAULT_ANCHOR, Options, World, ablate, auc, recover, world
from funprm_worker.bilevel import BiLevel, InnerBatch, MetaBatch, Settings, unrolled_gradient
from funprm_worker.correction import CorrectionTable, StepLabel, TableSettings
from funprm_worker.errors import WorkerError
from funprm_worker.model import RewardModel, rewards_of, small_config

F64 = torch.float64


def answer_a(form: str, optimiser: str = "sgd", **settings: Any) -> BiLevel:
    module = Linear(torch.tensor([0.5], dtype=F64))
    maker = torch.optim.SGD if optimiser == "sgd" else torch.optim.Adam
    table = CorrectionTable(labels_of([1.0, 0.0], 10**15 if form == "weight" else 1), TableSettings(form=form), F64)  # type: ignore[arg-type]
    options: dict[str, Any] = {"eps": 1e-30} if optimiser == "adam" else {}
    level = BiLevel(
        module, call, maker(module.parameters(), lr=0.1, **options), table,
        Settings(link=lambda z: z, **settings),
    )  # fmt: skip
    inner = InnerBatch(torch.tensor([[1.0], [2.0]], dtype=F64), torch.arange(2))
    meta = MetaBatch(
        torch.tensor([[1.0]], dtype=F64), torch.tensor([0]), torch.tensor([1.0], dtype=F64), torch.tensor([0])
    )
    level.metrics = level.step([inner], meta)  # type: ignore[attr-defined]
    return level


@pytest.mark.parametrize("alpha", [None, 1e-6, 1e-4, 1e-2, 1.0])
def test_a_one_plain_step_by_hand(alpha: float | None) -> None:
    # method.md's ε = α/‖v‖ is what has to lie in [1e-6, 1]; the probe here is along 0.1·v, ‖0.1·v‖ = 0.13.
    settings: dict[str, Any] = {} if alpha is None else {"gradient": "finite-difference", "fd_alpha": alpha * 0.13}
    level = answer_a("free", **settings)
    assert float(level.trained["theta"].detach()) == pytest.approx(0.35, abs=1e-12)
    assert level.metrics.meta_loss == pytest.approx(0.4225, abs=1e-12)  # type: ignore[attr-defined]
    assert level.last_gradient.tolist() == pytest.approx([-0.13, -0.26], abs=1e-9)
    level = answer_a("weight", **settings)
    # The loss is quadratic in θ: central differences are exact up to rounding, which a tiny ε magnifies.
    assert level.last_gradient.tolist() == pytest.approx([-0.065, 0.26], abs=1e-6 if alpha == 1e-6 else 1e-9)


def test_a_prime_adams_first_step_with_its_preconditioner_held() -> None:
    level = answer_a("free", "adam")
    assert float(level.trained["theta"].detach()) == pytest.approx(0.4, abs=1e-12)
    assert level.metrics.meta_loss == pytest.approx(0.36, abs=1e-12)  # type: ignore[attr-defined]
    assert level.last_gradient.tolist() == pytest.approx([-0.08, -0.16], abs=1e-9)


def test_b_converged_ridge_by_two_hundred_unrolled_steps() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=F64)
    a = torch.tensor([1.0, 2.0], dtype=F64)
    theta, loss, gradient = unrolled_gradient(
        lambda t, r: 0.5 * ((x @ t - r) ** 2).sum() + 0.05 * (t**2).sum(),
        lambda t: 0.5 * (a @ t - 1) ** 2,
        torch.zeros(2, dtype=F64), torch.tensor([1.0, 0.0, 0.5], dtype=F64), 0.3, 200,
    )  # fmt: skip
    inverse = torch.linalg.inv(x.T @ x + 0.1 * torch.eye(2, dtype=F64))
    exact_theta = inverse @ x.T @ torch.tensor([1.0, 0.0, 0.5], dtype=F64)
    exact = (a @ exact_theta - 1) * (a @ inverse @ x.T)
    assert theta.tolist() == pytest.approx([0.777126, -0.131965], abs=1e-6)
    assert float(loss) == pytest.approx(0.118489, abs=1e-6)
    assert gradient.tolist() == pytest.approx([-0.0142758, -0.4568244, -0.4711002], abs=1e-7)
    assert torch.allclose(theta, exact_theta, atol=1e-9) and torch.allclose(gradient, exact, atol=1e-9)


def logistic(dtype: torch.dtype, **settings: object) -> torch.Tensor:
    generator = torch.Generator().manual_seed(11)
    x = torch.randn(32, 10, generator=generator, dtype=F64).to(dtype)
    a = torch.randn(16, 10, generator=generator, dtype=F64).to(dtype)
    module = Linear(torch.randn(10, generator=generator, dtype=F64).to(dtype))
    table = CorrectionTable(labels_of([(i % 17) / 16 for i in range(32)]), TableSettings(form="logit"), dtype)
    level = BiLevel(module, call, torch.optim.SGD(module.parameters(), lr=0.5), table, Settings(**settings))  # type: ignore[arg-type]
    meta = MetaBatch(a, torch.arange(16), (torch.arange(16) % 2).to(dtype), torch.zeros(16, dtype=torch.int64))
    level.step([InnerBatch(x, torch.arange(32))], meta)
    return level.last_gradient.double()


def test_c_the_finite_difference_error_falls_with_the_square_of_fd_alpha() -> None:
    exact = logistic(F64)
    errors = [
        float((logistic(F64, gradient="finite-difference", fd_alpha=alpha) - exact).norm())
        for alpha in (0.08, 0.04, 0.02)
    ]
    assert errors[0] / errors[1] == pytest.approx(4.0, abs=0.2)
    assert errors[1] / errors[2] == pytest.approx(4.0, abs=0.2)


@pytest.mark.parametrize("alpha", [1e-3, 3e-3, 1e-2])
def test_c_in_fp32_probes_are_right_to_a_thousandth(alpha: float) -> None:
    exact = logistic(F64)
    found = logistic(torch.float32, gradient="finite-difference", fd_alpha=alpha)
    assert float((found - exact).norm() / exact.norm()) <= 1e-3


def test_c_bf16_trainables_are_refused() -> None:
    with pytest.raises(WorkerError, match=r"theta is torch\.bfloat16"):
        logistic(torch.bfloat16)


def tiny_transformer() -> RewardModel:
    torch.manual_seed(3)
    return RewardModel(small_config(64, 32, 2, 2, 48, 64, 0.1)).eval()


class AtSteps(nn.Module):
    """Logits at the last position of each row."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.model(ids)[:, -1]
        return out


def lora_gradient(**settings: object) -> torch.Tensor:
    model = tiny_transformer()
    backbone = model.backbone
    backbone.requires_grad_(False)
    torch.manual_seed(4)
    model.backbone = get_peft_model(
        backbone, LoraConfig(r=4, lora_alpha=16, lora_dropout=0.2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )  # fmt: skip
    module = AtSteps(model)
    module.train()
    table = CorrectionTable(labels_of([i / 8 for i in range(8)]), TableSettings())
    level = BiLevel(
        module, call, torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-3), table,
        Settings(**settings),  # type: ignore[arg-type]
    )  # fmt: skip
    ids = torch.randint(0, 64, (14, 24), generator=torch.Generator().manual_seed(5))
    meta = MetaBatch(ids[8:], torch.arange(6), (torch.arange(6) % 2).float(), torch.zeros(6, dtype=torch.int64))
    level.step([InnerBatch(ids[:8], torch.arange(8))], meta)
    assert module.training and module.model.training
    return level.last_gradient.double()


def test_c_probes_and_forward_mode_agree_on_a_transformer_with_lora_and_dropout_configured() -> None:
    exact = lora_gradient()
    found = lora_gradient(gradient="finite-difference", fd_alpha=0.01)
    assert float(exact.norm()) > 0
    assert float(torch.nn.functional.cosine_similarity(exact, found, dim=0)) > 0.999


def test_plain_attention_equals_the_fused_kernel() -> None:
    model = tiny_transformer()
    ids = torch.randint(0, 64, (3, 24), generator=torch.Generator().manual_seed(5))
    fused = model(ids)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        plain = model(ids)
    assert float((fused - plain).abs().max().detach()) < 1e-5


SEEDS = range(5) if os.environ.get("FUNPRM_LONG") else range(1)


def test_e_flipped_labels_are_recovered_where_the_noise_is_known() -> None:
    figures = [recover(world(20, 200, "flip", seed), Options(), seed) for seed in SEEDS]

    def mean(name: str) -> float:
        return sum(one[name] for one in figures) / len(figures)

    assert mean("raw_mae") == pytest.approx(0.28, abs=0.04)
    assert mean("mae") <= 0.17
    assert mean("corrupted_mae") <= 0.22


def test_e_without_the_anchor_a_small_clean_set_ruins_the_labels_and_with_it_nothing_is_lost() -> None:
    lost, kept = [], []
    for seed in SEEDS:
        one = world(100, 60, "zero", seed)
        none = recover(one, Options("none"), seed)["auc"]
        lost.append(none - recover(one, Options("logit", 20.0), seed)["auc"])
        kept.append(none - recover(one, Options("logit", 20.0, DEFAULT_ANCHOR), seed)["auc"])
    assert sum(lost) / len(lost) > 0.05
    assert sum(kept) / len(kept) <= 0.005


@pytest.mark.parametrize("form", ["logit", "additive", "weight"])
def test_the_closed_form_of_the_ablations_takes_the_steps_of_the_meta_step(form: str) -> None:
    one = world(4, 6, "flip", 0, rows=64)
    options = Options(form, table_rate=3.0, anchor=0.01 if form == "logit" else 0.0, steps=1)
    at = np.random.default_rng(1000)
    at.random(64)
    rows = torch.from_numpy(at.integers(0, 64, 64))
    scale = 3.0 * 64 / (2 * 0.5)
    items = [StepLabel(f"r{i}", "p", 0, 1, float(n), 16) for i, n in enumerate(one.passes)]
    table = CorrectionTable(
        items,
        TableSettings(
            form=form,  # type: ignore[arg-type]
            optimiser="sgd",
            rate=scale * (2 if form == "weight" else 1),
            anchor=options.anchor,
        ),
        F64,
    )
    module = Linear(torch.zeros(4, dtype=F64))
    level = BiLevel(module, call, torch.optim.SGD(module.parameters(), lr=0.5), table, Settings())
    meta = MetaBatch(
        torch.from_numpy(one.meta),
        torch.arange(6),
        torch.from_numpy(one.meta_labels),
        torch.zeros(6, dtype=torch.int64),
    )
    level.step([InnerBatch(torch.from_numpy(one.x)[rows], rows)], meta)
    expected = recover(one, options)
    if form == "weight":
        return_auc = auc((torch.from_numpy(one.test) @ module.theta.detach()).numpy(), one.test_truth > 0.5)
        assert expected["auc"] == pytest.approx(return_auc, abs=1e-9)
    else:
        labels = table.corrected(torch.arange(64)).numpy()
        assert expected["mae"] == pytest.approx(float(np.abs(labels - one.truth).mean()), abs=1e-9)


def test_an_ablation_is_one_command_with_intervals(tmp_path: Path) -> None:
    ablate("sizes", tmp_path, 2, 20, lambda _: None)
    figures = json.loads((tmp_path / "correction-sizes.json").read_text())["worlds"]["d20 meta200 flip"]
    assert set(figures) >= {"none", "per step", "pass-count buckets", "10% learnable"}
    assert figures["none"]["againstBase"] == {"value": 0.0, "half": 0.0}
    assert "<polyline" in (tmp_path / "correction-sizes-1.svg").read_text()
    assert "Best-of-8" in (tmp_path / "correction-sizes.md").read_text()
    with pytest.raises(WorkerError, match="the ablations are forms, sizes, anchor, fd-alpha"):
        ablate("magic", tmp_path, 2, 20, lambda _: None)


def test_e_a_world_keeps_its_truth_apart_from_its_noise() -> None:
    one: World = world(20, 200, "flip", 0)
    assert auc(one.truth, one.truth > 0.5) == 1.0
    assert 0.3 < float(one.corrupted.mean()) < 0.4


def test_f_one_pass_equals_separate_prefixes_whatever_stands_beside() -> None:
    model = tiny_transformer()
    row = [int(i) for i in torch.randint(1, 64, (30,), generator=torch.Generator().manual_seed(6))]
    one = rewards_of(model, [row], 0)[0]
    for end in (7, 15, 29):
        assert rewards_of(model, [row[: end + 1]], 0)[0][-1] == pytest.approx(one[end], abs=1e-4)
    beside = rewards_of(model, [[5] * 50, row, [9] * 3], 0)[1]
    assert max(abs(a - b) for a, b in zip(one, beside, strict=True)) < 1e-4


def test_the_perceptron_world_really_has_dropout() -> None:
    level, inner, _ = perceptron_world()
    level.module.train()
    assert not torch.equal(level.module(inner.inputs), level.module(inner.inputs))
