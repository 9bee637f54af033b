"""Ablations on programs: what they measure, on hidden states that carry the truth and on ones that carry nothing."""

import json
from pathlib import Path

import pytest
import torch

from funprm_worker import ablation_programs as programs
from funprm_worker import ablation_report
from funprm_worker.ablation_programs import Arm, Noise, attributions, fit, measure, noisy_labels, truths
from funprm_worker.program_features import Split, with_siblings
from funprm_worker.rows import Row


def split(name: str, problems: int, signal: float, seed: int) -> Split:
    """Programs of three functions, the bug in each of them in turn or in none; dimension 0 tells the value."""
    rows = []
    for p in range(problems):
        for bug in (0, 1, 2, 3):
            own: list[int | None] = [int(k != bug) for k in range(3)]
            labels: list[float | None] = [float(k < bug) for k in range(3)]
            sources: list[str | None] = ["mutation", "mutation", "unit_test"]
            place = f"{name}{p}"
            completions = ["a", "b", "c"]
            counts: list[tuple[int, int] | None] = [None, None, None]
            rows.append(
                Row(f"{place}#{bug}", place, place, "variants", "", completions, labels, own, counts, sources, 1.0)
            )
    generator = torch.Generator().manual_seed(seed)
    n = 3 * len(rows)
    owner, step = torch.arange(n) // 3, torch.arange(n) % 3
    states = torch.randn(n, 6, generator=generator) * 0.3
    value = torch.tensor([float(rows[int(i)].labels[int(k)] or 0) for i, k in zip(owner, step, strict=True)])
    states[:, 0] += signal * (2 * value - 1)
    return Split(rows, states, owner, step, states, owner, step, torch.zeros(len(rows), 6))


def world(signal: float) -> dict[str, Split]:
    return {name: split(name, count, signal, k) for k, (name, count) in enumerate((("training", 40), ("meta", 12), ("validation", 12)))}  # fmt: skip


def corrected(signal: float, arm: Arm) -> dict[str, float]:
    splits = world(signal)
    labels, corrupted = noisy_labels(splits["training"], Noise("flip", 0.4), 0)
    assert corrupted.float().mean() > 0.2
    # Clean final labels are never corrupted.
    last = splits["training"].step == 2
    assert not corrupted[last].any() and all(labels[i].trials == 0 for i in torch.nonzero(last).flatten().tolist())
    return measure(splits, *fit(splits, labels, arm, 150, 0), corrupted)


def test_labels_are_recovered_where_the_states_tell_the_truth_and_not_where_they_do_not() -> None:
    none, logit = (corrected(1.0, Arm(form)) for form in ("none", "logit"))
    assert none["corruptedMae"] > 0.8
    assert logit["corruptedMae"] < none["corruptedMae"] - 0.2 and logit["labelAuc"] > none["labelAuc"]
    assert logit["auc"] > 0.9
    blind = corrected(0.0, Arm())
    assert blind["corruptedMae"] > logit["corruptedMae"] + 0.1


@pytest.mark.parametrize("kind", ["flip", "zero", "one", "broadcast"])
def test_a_kind_of_noise_does_what_it_says(kind: str) -> None:
    one = split("p", 30, 1.0, 0)
    clean, _ = noisy_labels(one, Noise("flip", 0.0), 5)
    labels, corrupted = noisy_labels(one, Noise(kind, 0.5), 5)
    for i in torch.nonzero(corrupted).flatten().tolist():
        passes, verdict = labels[i].passes, one.rows[int(one.owner[i])].verdict
        assert passes == {"flip": 8 - clean[i].passes, "zero": 0, "one": 8, "broadcast": verdict}[kind]
    assert corrupted.any() and not corrupted.all()


def test_the_mutated_function_is_named_by_each_rule_where_the_value_is_known() -> None:
    one = split("p", 5, 3.0, 0)

    class Reads(torch.nn.Module):
        def __init__(self, own: bool) -> None:
            super().__init__()
            self.own = own

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            if self.own and len(states) == len(one.owner):
                told = [float(one.rows[int(i)].own[int(k)] or 0) for i, k in zip(one.owner, one.step, strict=True)]
                return 4 * (2 * torch.tensor(told) - 1)
            # The empty prefix says nothing yet: a value of one half would hide a bug in the first function.
            return states[:, 0] * 2 + (4.0 if len(states) == len(one.rows) else 0.0)

    for given in attributions(one, Reads(False), Reads(True)).values():
        for row, values in zip(one.rows, given, strict=True):
            if row.verdict == 0:
                assert values.index(min(values)) == row.own.index(0)


def test_the_distance_from_the_siblings_marks_the_one_that_differs() -> None:
    one = split("p", 1, 1.0, 0)
    same = torch.zeros_like(one.steps)
    same[4] = 5.0
    marked = with_siblings(
        Split(one.rows, same, one.owner, one.step, one.lines, one.line_owner, one.line_step, one.empty)
    )
    assert marked.steps.shape[1] == 7 and int(marked.steps[:, 6].argmax()) == 4
    assert torch.equal(truths(marked), truths(one))


def test_an_ablation_ends_in_a_table_a_plot_and_what_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "features", lambda *_: world(1.0))
    said: list[str] = []
    for name in ("attribution", "granularity"):
        programs.ablate_programs(name, tmp_path, tmp_path, tmp_path, 2, 20, said.append)
        facts = json.loads((tmp_path / f"programs-{name}.json").read_text())
        assert facts["data"]["validation"] == {"rows": 48, "problems": 12, "steps": 144, "passing": 12}
        page = (tmp_path / f"programs-{name}.md").read_text()
        assert "Best-of-8" in page and f"programs-{name}-1.svg" in page and "paired by seed" in page
    rows = {
        "none": {"againstBase": {"value": 0.0, "half": 0.0}},
        "worse": {"againstBase": {"value": -0.2, "half": 0.1}},
        "unsure": {"againstBase": {"value": 0.2, "half": 0.3}},
    }
    assert ablation_report.reading(rows, "none", "AUC") == "By AUC, paired by seed. Below none: worse (-0.200)."
