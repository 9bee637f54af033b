"""Presets of method.md section 11: each value with where it comes from, shown by `train --preset X --print-config`.

S the papers state it · R read in the published release · A neither: our assumption. Light: no torch.
"""

from dataclasses import dataclass
from typing import Literal

from funprm_worker.errors import WorkerError

Source = Literal["S", "R", "A"]
Value = str | int | float | bool | tuple[str, ...] | None

SOURCES = {"S": "stated in the paper", "R": "read in the published release", "A": "assumed: neither says it"}


@dataclass(frozen=True)
class Setting:
    value: Value
    source: Source


def _s(value: Value) -> Setting:
    return Setting(value, "S")


def _r(value: Value) -> Setting:
    return Setting(value, "R")


def _a(value: Value) -> Setting:
    return Setting(value, "A")


_FUNPRM = {
    "prompt": _s("cof: main first, then helpers, docstrings"),
    "generators": _s("five base LLMs; o4-mini for the headline"),
    "select.n": _s(8),
    "select.aggregate": _s("mean"),
    "labels.k": _a(8),
    "labels.adaptive": _a(False),
    "backbone.name": _s("Qwen2.5-Coder-7B"),
    "backbone.adaptation": _s("lora"),
    "backbone.lora.r": _r(8),
    "backbone.lora.alpha": _r(16),
    "backbone.lora.dropout": _r(0.05),
    "backbone.lora.targets": _r(("q_proj", "k_proj", "v_proj", "o_proj")),
    "backbone.head": _a("scalar"),
    "inner.loss": _a("squared"),
    "inner.rows": _s("noisy steps with corrected label"),
    "inner.optimiser": _a("adam"),
    "inner.rate": _a(1e-4),
    "meta.network": _s(None),
    "meta.entries": _s("one a noisy step"),
    "meta.form": _a("additive"),
    "meta.start": _a("raw passes/trials"),
    "meta.anchor": _a(0.0),
    "meta.labels": _s("clean final-solution rewards"),
    "meta.split": _a("same"),
    "meta.predict": _a("last"),
    "meta.gradient": _s("finite-difference"),
    "meta.fd_alpha": _a(0.01),
    "meta.unroll": _a(1),
    "meta.optimiser": _a("adam"),
    "meta.rate": _a(1e-2),
}

_DREAMPRM_CODE = {
    "prompt": _s("cof with (Step-k) lines"),
    "generators": _s("o4-mini-high; Qwen3-Coder-30B-A3B"),
    "select.n": _a(8),
    "select.curve": _s("1, 2, 4, 8, 16"),
    "select.aggregate": _s("mean"),
    "labels.k": _r(16),
    "labels.adaptive": _r(False),
    "labels.temperature": _r(0.3),
    "backbone.name": _s("Qwen2.5-Coder-3B"),
    "backbone.adaptation": _s("full"),
    "backbone.head": _r("scalar"),
    "inner.loss": _r("squared"),
    "inner.rows": _s("noisy steps with corrected label"),
    "inner.optimiser": _s("adam"),
    "inner.rate": _s(1e-4),
    "meta.form": _s("free"),
    "meta.anchor": _a(0.0),
    "meta.labels": _s("clean final-step labels"),
    "meta.split": _a("same"),
    "meta.predict": _s("last"),
    "meta.gradient": _s("finite-difference"),
    "meta.fd_alpha": _a(0.01),
    "meta.unroll": _s(1),
    "meta.optimiser": _s("adam"),
    "meta.rate": _s(1e-2),
    "split.train_before": _s("2024-08-01"),
    "split.test_from": _s("2025-02-01"),
}

ALL_STEPS = "all labelled steps, the noisy ones with corrected label"

_DEFAULT = {
    "prompt": _a("ours"),
    "generators": _a("any"),
    "select.n": _a(8),
    "select.aggregate": _s("mean"),
    "labels.k": _a(16),
    "labels.adaptive": _a(True),
    "backbone.name": _a("the bundled model's checkpoint"),
    "backbone.adaptation": _a("full"),
    "backbone.head": _a("scalar"),
    "inner.loss": _a("bce"),
    "inner.pairwise": _a(0.5),
    "inner.rows": _a(ALL_STEPS),
    "inner.per_side": _a(4),
    "inner.broadcast": _a(0.3),
    "inner.optimiser": _a("adam"),
    "inner.rate": _a(1e-4),
    "inner.clip": _a(1.0),
    "inner.bfloat16": _a(True),
    "meta.network": _s(None),
    "meta.entries": _s("one a noisy step"),
    "meta.form": _a("logit"),
    "meta.start": _a("(passes + 1/2) / (trials + 1)"),
    "meta.anchor": _a(0.0),
    "meta.labels": _s("clean final-solution rewards"),
    "meta.split": _a("disjoint"),
    "meta.predict": _a("mean"),
    "meta.loss": _a("pairwise"),
    "meta.gradient": _a("jvp"),
    "meta.unroll": _a(1),
    "meta.optimiser": _a("adam"),
    "meta.rate": _a(0.2),
}

PRESETS: dict[str, dict[str, Setting]] = {
    "funprm": _FUNPRM,
    "dreamprm-code": _DREAMPRM_CODE,
    # What the published code does, where it differs from the paper beside it.
    "dreamprm-code-release": {
        **_DREAMPRM_CODE,
        "inner.rows": _r("whole programs"),
        "meta.form": _r("weight"),
        "meta.weight_range": _r("0 to 2"),
        "meta.probes_with_dropout": _r(True),
    },
    "default": _DEFAULT,
}


def preset(name: str) -> dict[str, Setting]:
    """Raises `WorkerError("bad_config")` naming the presets there are."""
    if name not in PRESETS:
        raise WorkerError("bad_config", f"no preset {name!r}; the presets are {', '.join(PRESETS)}")
    return PRESETS[name]


def described(name: str) -> str:
    """One line a setting: key, value, letter of its source."""
    settings = preset(name)
    width = max(len(key) for key in settings)

    def shown(value: Value) -> str:
        if value is None:
            return "none"
        return ", ".join(value) if isinstance(value, tuple) else str(value)

    lines = [f"{key.ljust(width)}  {one.source}  {shown(one.value)}" for key, one in settings.items()]
    legend = "; ".join(f"{letter} {text}" for letter, text in SOURCES.items())
    return "\n".join([f"preset {name} ({legend})", *lines])
