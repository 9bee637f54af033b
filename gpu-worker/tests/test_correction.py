"""The table: where labels start, what moves, and what never does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import labels_of

from funprm_worker.correction import FORMS, CorrectionTable, StepLabel, TableSettings
from funprm_worker.errors import WorkerError

F64 = torch.float64
CLEAN = StepLabel("last", "p", 1, 2, 1.0, 0)
EVERY = torch.arange(5)


def table(form: str, **settings: object) -> CorrectionTable:
    noisy = [StepLabel(f"r{i}", f"p{i % 2}", i % 2, 2, float(i * 4), 16) for i in range(4)]
    return CorrectionTable([*noisy, CLEAN], TableSettings(form=form, **settings), F64)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_labels_start_where_the_form_says(form: str) -> None:
    start = table(form).corrected(EVERY).tolist()
    shrunk = [(i * 4 + 0.5) / 17 for i in range(4)]
    raw = [i * 4 / 16 for i in range(4)]
    assert start == pytest.approx([*(raw if form in ("additive", "free") else shrunk), 1.0])


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("form", [f for f in FORMS if f != "network"])
def test_untouched_rows_and_clean_labels_never_change(form: str, optimiser: str) -> None:
    one = table(form, optimiser=optimiser, rate=0.01, anchor=0.01)
    before = one.corrected(EVERY), one.weights(EVERY)
    touched = torch.tensor([1, 4])
    for _ in range(10_000 if form == "logit" else 100):
        one.update(touched, torch.tensor([0.5, 0.5], dtype=F64))
    still = torch.tensor([0, 2, 3, 4])
    assert torch.equal(one.corrected(still), before[0][still]) and torch.equal(one.weights(still), before[1][still])
    moved = one.corrected(EVERY)[1] != before[0][1] or one.weights(EVERY)[1] != before[1][1]
    assert bool(moved) == (form != "none")


def test_each_entry_counts_its_own_steps() -> None:
    late = table("logit")
    for _ in range(50):
        late.update(torch.tensor([0]), torch.tensor([1.0], dtype=F64))
    late.update(torch.tensor([1]), torch.tensor([1.0], dtype=F64))
    fresh = table("logit")
    fresh.update(torch.tensor([1]), torch.tensor([1.0], dtype=F64))
    assert torch.equal(late.values[0][1], fresh.values[0][1])
    assert late.steps[0].tolist() == [50, 1, 0, 0]


def test_the_anchor_pulls_back_and_more_trials_pull_harder() -> None:
    labels = [StepLabel("few", "p", 0, 2, 1.0, 2), StepLabel("many", "p", 1, 2, 8.0, 16)]
    one = CorrectionTable(labels, TableSettings(optimiser="sgd", rate=1e-2, anchor=0.1), F64)
    one.values[0][:] = 1.0
    one.update(torch.arange(2), torch.zeros(2, dtype=F64))
    few, many = (1.0 - one.values[0]).tolist()
    assert many == pytest.approx(8 * few, rel=0.05) and few > 0


@pytest.mark.parametrize("rate", [1e-3, 1.0, 1e5])
def test_the_anchor_never_carries_a_label_past_its_base_whatever_the_rate(rate: float) -> None:
    labels = [StepLabel("a", "p", 0, 2, 2.0, 16), StepLabel("b", "p", 1, 2, 14.0, 16)]
    one = CorrectionTable(labels, TableSettings(optimiser="sgd", rate=rate, anchor=0.1), F64)
    one.values[0][:] = torch.tensor([3.0, -3.0], dtype=F64)
    for _ in range(5):
        before = one.values[0].clone()
        one.update(torch.arange(2), torch.zeros(2, dtype=F64))
        assert bool((one.values[0] * before >= 0).all() and (one.values[0].abs() < before.abs()).all())
    # The explicit step overshoots at this rate: |β·g| of the first label alone is above its distance to 0.
    label = torch.sigmoid(torch.logit(one.base[0]) + 3.0)
    explicit = rate * 2 * 0.1 * 16 * (label - one.base[0]) * label * (1 - label)
    assert (float(explicit) > 3.0) == (rate > 10)


def test_the_last_changes_of_an_entry_are_kept_oldest_first() -> None:
    one = CorrectionTable([StepLabel("a", "p", 0, 2, 2.0, 16)], TableSettings(optimiser="sgd", rate=1.0), F64)
    for step in range(12):
        one.update(torch.tensor([0]), torch.tensor([(-1.0) ** step], dtype=F64))
    assert (one.changes[0] > 0).tolist() == [step % 2 == 1 for step in range(2, 12)]
    other = CorrectionTable(one.items, one.settings, F64)
    other.load(one.state())
    assert torch.equal(other.changes, one.changes)


@given(st.floats(-50, 50), st.sampled_from(["logit", "additive", "free", "network", "weight"]))
def test_labels_and_weights_stay_in_range_and_can_always_come_back(gradient: float, form: str) -> None:
    one = table(form, optimiser="sgd", rate=1.0)
    one.update(torch.arange(4), torch.full((4,), gradient, dtype=F64))
    labels, weights = one.corrected(EVERY), one.weights(EVERY)
    assert bool(((labels >= 0) & (labels <= 1)).all() and ((weights >= 0) & (weights <= 2)).all())
    if form in ("additive", "free", "weight") and abs(gradient) > 1e-6:
        # At the bound the gradient passes straight through.
        before = one.values[0].clone()
        one.update(torch.arange(4), torch.full((4,), -gradient, dtype=F64))
        assert bool((one.values[0] != before).all())


def test_additive_and_free_are_one_table_in_two_words() -> None:
    a, b = table("additive"), table("free")
    for step in range(20):
        gradient = torch.sin(torch.arange(5, dtype=F64) + step)
        a.update(EVERY, gradient)
        b.update(EVERY, gradient)
    assert torch.allclose(a.corrected(EVERY), b.corrected(EVERY), atol=1e-12)


@pytest.mark.parametrize(("size", "entries"), [("step", 4), ("problem-step", 2), ("bucket", 4), ("global", 1)])
def test_labels_share_entries_by_the_size_of_the_table(size: str, entries: int) -> None:
    one = table("logit", size=size)
    assert len(one.values[0]) == entries
    one.update(EVERY, torch.ones(5, dtype=F64))
    assert one.touches.tolist() == [1, 1, 1, 1, 0]


def test_a_share_of_the_steps_is_learnable_and_the_rest_stays() -> None:
    one = CorrectionTable(labels_of([0.5] * 1000), TableSettings(share=0.25), F64)
    assert one.update(torch.arange(1000), torch.ones(1000, dtype=F64)) == pytest.approx(250, abs=50)
    assert int((one.corrected(torch.arange(1000)) != one.base).sum()) == int((one.touches > 0).sum())


def test_the_export_names_raw_and_corrected_values_and_leaves_clean_labels_out() -> None:
    one = table("logit")
    one.update(torch.tensor([2]), torch.tensor([-1.0], dtype=F64))
    rows = one.exported()
    assert [row["id"] for row in rows] == ["r0", "r1", "r2", "r3"]
    assert rows[2]["touches"] == 1 and rows[2]["raw"] == 0.5 and rows[2]["corrected"] > 0.5


def test_bad_tables_are_refused() -> None:
    with pytest.raises(WorkerError, match="the forms are"):
        table("magic")
    with pytest.raises(WorkerError, match="row x, step 0: 17 passes of 16 trials"):
        CorrectionTable([StepLabel("x", "p", 0, 1, 17, 16)], TableSettings())
    with pytest.raises(WorkerError, match="another form, size or training set"):
        table("logit").load(table("logit", size="global").state())
