"""Meta step ÷ plain step, time and memory, same batch, every row touched (performance.md G5-G7); equality first.

    python bench/meta_step.py [--shape mini|3b|7b] [--adaptation lora|full] [--rows 8] [--tokens 128] [--rounds 7] [--out FILE]

FILE.json and FILE.md are written. Weights are random. `published` re-creates the scheme of the published code: finite differences with dropout on in the
probes, one loss weight in eight touched a step, a backward pass at each of θ ± εv. Ratios are medians over interleaved
rounds. Memory is the peak of the process above its rest, on CPU through /proc (VmHWM reset before each step).
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.func import functional_call

from funprm_worker.bilevel import BiLevel, InnerBatch, MetaBatch, Settings, inner_losses
from funprm_worker.correction import CorrectionTable, StepLabel, TableSettings
from funprm_worker.model import RewardModel, small_config

# vocabulary, hidden, layers, heads, feed-forward
SHAPES = {
    "mini": (8192, 192, 6, 6, 512),
    "3b": (151_936, 2048, 36, 16, 11_008),
    "7b": (152_064, 3584, 28, 28, 18_944),
}


class AtEnd(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        out: Tensor = self.model(ids)[:, -1]
        return out


def call(module: nn.Module, ids: Any) -> Tensor:
    out: Tensor = module(ids)
    return out


def module_of(shape: str, tokens: int, adaptation: str) -> AtEnd:
    torch.manual_seed(0)
    model = RewardModel(small_config(*SHAPES[shape], tokens, 0.05))
    if adaptation == "full":
        return AtEnd(model).train()
    backbone = model.backbone
    backbone.requires_grad_(False)
    model.backbone = get_peft_model(
        backbone,
        LoraConfig(
            r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
            init_lora_weights=False,
        ),
    )  # fmt: skip
    return AtEnd(model).train()


def level_of(module: AtEnd, labels: list[StepLabel], **settings: Any) -> BiLevel:
    trained = [p for p in module.parameters() if p.requires_grad]
    form = settings.pop("form", "logit")
    return BiLevel(
        module, call, torch.optim.AdamW(trained, lr=1e-4), CorrectionTable(labels, TableSettings(form=form)),
        Settings(**settings),
    )  # fmt: skip


def published(
    module: AtEnd, optimiser: Any, inner: InnerBatch, meta: MetaBatch, labels: Tensor, touched: int
) -> Tensor:
    """-(η/|B|)·⟨∇ℓ, v⟩ of the first `touched` weights: two backward passes at θ ± εv, dropout on."""
    n = len(inner.rows)
    old = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}
    optimiser.zero_grad()
    inner_losses(call(module, inner.inputs), labels, "squared", torch.sigmoid).mean().backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
    outer = ((torch.sigmoid(call(module, meta.inputs)) - meta.labels) ** 2).mean()
    v = dict(zip(trained, torch.autograd.grad(outer, list(trained.values())), strict=True))
    epsilon = 0.01 / torch.sqrt(sum((g.pow(2).sum() for g in v.values()), torch.zeros(())))
    out = []
    for sign in (1, -1):
        weights = torch.ones(touched, requires_grad=True)
        moved = {name: old[name] + sign * epsilon * v[name] for name in old}
        logits = functional_call(module, moved, (inner.inputs[:touched],))
        loss = (weights * inner_losses(logits, labels[:touched], "squared", torch.sigmoid)).sum() / n
        out.append(torch.autograd.grad(loss, weights)[0])
    return -1e-4 * (out[0] - out[1]) / (2 * epsilon)


def peak_reset() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory(name: str) -> int:
    """KiB of `VmHWM` (peak) or `VmRSS` (now)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}")


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, default="mini")
    parser.add_argument("--adaptation", choices=("lora", "full"), default="lora")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    n = options.rows
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, SHAPES[options.shape][0], (2 * n, options.tokens), generator=generator)
    labels = [StepLabel(f"r{i}", f"p{i}", 0, 1, i % 17, 16) for i in range(n)]
    inner = InnerBatch(ids[:n], torch.arange(n))
    meta = MetaBatch(ids[n:], torch.arange(n), (torch.arange(n) % 2).float(), torch.zeros(n, dtype=torch.int64))

    gradients, touched = {}, {}
    schemes: dict[str, dict[str, Any]] = {
        "jvp": {}, "finite difference": {"gradient": "finite-difference"}, "jvp, refreshed every 4": {"refresh": 4},
        "forward difference": {"gradient": "forward-difference"},
        "forward difference, refreshed every 4": {"gradient": "forward-difference", "refresh": 4},
    }  # fmt: skip
    for name, settings in schemes.items():
        level = level_of(module_of(options.shape, options.tokens, options.adaptation), labels, **settings)
        # The fourth step's outer gradient is three steps old where it is refreshed every 4.
        for _ in range(4):
            touched[name] = level.step([inner], meta).rows_touched
        gradients[name] = level.last_gradient
    exact = gradients["jvp"]
    cosines = {name: cosine(one, exact) for name, one in gradients.items()}
    if cosines["finite difference"] < 0.999:
        sys.exit(f"finite differences and JVP disagree (cosine {cosines['finite difference']:.6f}): nothing is timed")

    module = module_of(options.shape, options.tokens, options.adaptation)
    weighted = level_of(module, labels, form="weight")
    reference_labels = weighted.table.corrected(inner.rows)
    weighted.step([inner], meta)
    wanted = weighted.last_gradient
    noisy = []
    for seed in range(8):
        module = module_of(options.shape, options.tokens, options.adaptation)
        torch.manual_seed(100 + seed)
        sgd_like = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=1e-4)
        noisy.append(cosine(published(module, sgd_like, inner, meta, reference_labels, n), wanted))
    cosines["published, weights"] = statistics.median(noisy)
    touched["published, weights"] = max(1, n // 8)

    module = module_of(options.shape, options.tokens, options.adaptation)
    plain = level_of(module, labels, form="none")
    levels = {name: level_of(module, labels, **settings) for name, settings in schemes.items()}
    steps: dict[str, Any] = {
        "plain": lambda: plain.step([inner], None),
        **{name: (lambda level=level: level.step([inner], meta)) for name, level in levels.items()},
        "published, weights": lambda: published(
            module, plain.optimiser, inner, meta, reference_labels, touched["published, weights"]
        ),
    }
    ratios: dict[str, list[float]] = {name: [] for name in steps if name != "plain"}
    peaks: dict[str, list[float]] = {name: [] for name in ratios}
    for round_ in range(options.rounds + 1):
        spent, extra = {}, {}
        for name, step in steps.items():
            rest = memory("VmRSS")
            peak_reset()
            started = time.process_time()
            # Four of each, so that a refresh falls into every round.
            for _ in range(4):
                step()
            spent[name] = time.process_time() - started
            extra[name] = max(rest, memory("VmHWM"))
        if round_ == 0:
            continue
        for name in ratios:
            ratios[name].append(spent[name] / spent["plain"])
            peaks[name].append(extra[name] / extra["plain"])
    facts = {
        "shape": options.shape, "rows": n, "tokens": options.tokens, "rounds": options.rounds, "device": "cpu, 1 thread",
        "adaptation": "LoRA r 8 on q, k, v, o, dropout 0.05" if options.adaptation == "lora" else "full, no dropout",
        "schemes": {
            name: {
                "timeRatio": round(statistics.median(ratios[name]), 3),
                "timeRatioRange": [round(min(ratios[name]), 3), round(max(ratios[name]), 3)],
                "peakMemoryRatio": round(statistics.median(peaks[name]), 3),
                "cosineToExact": round(cosines[name], 6),
                "rowsTouched": f"{touched[name]} of {n}",
            }
            for name in ratios
        },
    }  # fmt: skip
    print(json.dumps(facts, indent=1))
    if options.out:
        options.out.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        options.out.with_suffix(".md").write_text(page(facts))


def page(facts: dict[str, Any]) -> str:
    lines = [
        "# Meta step ÷ plain step",
        "",
        f"Shape {facts['shape']}, random weights, {facts['adaptation']}; batches of {facts['rows']} rows of "
        f"{facts['tokens']} tokens inside and outside; {facts['device']}; CPU time, median and range of ratios over "
        f"{facts['rounds']} interleaved rounds of four steps. Peak memory of the process against the plain step's.",
        "",
        "| scheme | time | range | peak memory | cosine to exact | rows touched a step |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in facts["schemes"].items():
        low, high = one["timeRatioRange"]
        lines.append(
            f"| {name} | {one['timeRatio']:.2f} | {low:.2f}–{high:.2f} | {one['peakMemoryRatio']:.3f} | "
            f"{one['cosineToExact']:.4f} | {one['rowsTouched']} |"
        )
    lines += [
        "",
        "The published scheme is judged against the exact gradient of its own table of weights. With a frozen body a "
        "plain step is two passes (forward, and backward to activations), a fresh meta step six: 3 is the floor, where "
        "full fine-tuning has 8/3.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
