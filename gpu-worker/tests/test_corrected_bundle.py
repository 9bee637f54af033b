"""A corrected bundle is compared with a control that differs in the correction alone, and says so when it loses."""

import json
from pathlib import Path
from typing import Any

import pytest

from funprm_worker.card import _beside
from funprm_worker.corrected_bundle import moved, same_but_form
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import paired_figures, solution_figures
from funprm_worker.rows import Row


def write_config(folder: Path, **change: Any) -> Path:
    folder.mkdir()
    facts = {"run": str(folder), "steps": 60, "seed": 1, "form": None, "overrides": {}} | change
    (folder / "config.json").write_text(json.dumps(facts))
    return folder


def test_a_control_that_differs_in_more_than_the_correction_is_refused(tmp_path: Path) -> None:
    run = write_config(tmp_path / "run")
    fair = write_config(tmp_path / "fair", form="none", overrides={"meta.form": "none"})
    assert same_but_form(run, fair)["steps"] == 60
    for name, change in {"longer": {"steps": 61, "form": "none"}, "corrected": {}}.items():
        with pytest.raises(WorkerError, match="no control"):
            same_but_form(run, write_config(tmp_path / name, **change))
    with pytest.raises(WorkerError, match="no run of train"):
        same_but_form(run, tmp_path / "none")


def row(name: str, label: int, group: str = "g", noisy: tuple[int, int] = (1, 1)) -> Row:
    return Row(
        id=name, problem=group, group=group, pool="m", prompt="", completions=["a", "b"], labels=[noisy[0] / noisy[1], label],
        own=[None, None], counts=[noisy, None], source=["broadcast", "unit_test"], weight=1.0,
    )  # fmt: skip


def test_the_moves_of_labels_are_counted_from_the_shrunk_base(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    rows = [row("a", 1), row("b", 0, noisy=(0, 1)), row("c", 1, noisy=(3, 3))]
    labels = [("a", 0.85, 2), ("b", 0.15, 1), ("c", 0.875, 0)]
    table.write_text(
        "".join(json.dumps({"id": i, "step": 0, "corrected": c, "touches": t}) + "\n" for i, c, t in labels)
    )
    # Bases (1 + ½)/2 and (0 + ½)/2: one label went up and one down by .1; the third was never touched.
    assert moved(table, rows) == {"labels": 3, "touched": 2, "touches": 3, "raised": 1, "meanMove": 0.1}


def test_paired_figures_are_the_differences_problem_by_problem() -> None:
    rows = [row(f"{g}{k}", k % 2, g) for g in "pqr" for k in range(8)]
    right = [float(one.labels[-1] or 0) for one in rows]
    wrong = [1 - score for score in right]
    difference = paired_figures(rows, right, wrong)
    assert difference["auc"] == {"value": 1.0, "ci": [1.0, 1.0], "problems": 3}
    assert difference["bestOf"]["value"] == 1.0
    assert paired_figures(rows, right, right)["auc"]["value"] == 0.0
    half = [score if one.group == "p" else 0.5 for one, score in zip(rows, right, strict=True)]
    gap = paired_figures(rows, right, half)["auc"]
    assert gap["value"] == pytest.approx(1 / 3, abs=1e-3) and gap["ci"][0] >= 0


@pytest.mark.parametrize(
    ("ci", "said"), [([0.01, 0.2], "better"), ([-0.2, -0.01], "**worse**"), ([-0.1, 0.1], "not told apart")]
)
def test_the_card_says_whether_the_correction_won_lost_or_cannot_be_told(ci: list[float], said: str) -> None:
    rows = [row(f"{g}{k}", k % 2, g) for g in "pq" for k in range(8)]
    figures = solution_figures(rows, [float(one.labels[-1] or 0) for one in rows])
    gap = {"value": sum(ci) / 2, "ci": ci, "problems": 2}
    text = "\n".join(
        _beside(
            {
                "rows": 16, "steps": 60, "default": "mini 1", "corrected": "corrected 1",
                "figures": dict.fromkeys(("default", "corrected", "control"), figures),
                "multiStep": dict.fromkeys(("default", "corrected", "control"), figures),
                **{key: {"auc": gap, "bestOf": gap} for key in ("correctedMinusControl", "correctedMinusDefault", "controlMinusDefault")},
                "table": {"labels": 3, "touched": 2, "touches": 3, "raised": 1, "meanMove": 0.1},
            }
        )
    )  # fmt: skip
    assert f"Against the control the correction is {said} by AUC and {said} by Best-of-8." in text
    assert "touched 2 of 3 noisy labels 3 times, raised 1 of them, and moved one by 0.100" in text
