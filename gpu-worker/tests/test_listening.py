"""What the meta problems' gradient knows of clean labels: where it is chance, and where it is not."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from funprm_worker.correction import StepLabel
from funprm_worker.listening import Listening, knows


def labels(right: int, wrong: int) -> list[StepLabel]:
    return [StepLabel(f"r{k}", f"p{k // 3}", 0, 1, float(k < right), 0) for k in range(right + wrong)]


def heard(gradients: list[float], right: int) -> Listening:
    one = Listening(labels(right, len(gradients) - right))
    one.hear(torch.arange(len(gradients)), torch.tensor(gradients))
    return one


def test_a_gradient_that_takes_every_side_knows_all_and_its_opposite_nothing() -> None:
    sides = [-1.0] * 30 + [1.0] * 60
    known, opposite = heard(sides, 30).agreement(), heard([-one for one in sides], 30).agreement()
    assert known is not None and known["value"] == 1.0 and known["problems"] == 30 and knows(known)
    assert opposite is not None and opposite["value"] == 0.0 and not knows(opposite)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([-1.0, 0.0, 1.0]))
def test_one_direction_for_all_is_chance_however_many_are_right(right: int, wrong: int, direction: float) -> None:
    found = heard([direction] * (right + wrong), right).agreement()
    assert found is not None and found["value"] == pytest.approx(0.5)
    # A problem of one side alone swings with the draw, and the interval with it; chance never lies under it.
    assert not knows(found)


def test_the_first_gradient_counts_and_noisy_and_rehearsed_labels_do_not() -> None:
    one = Listening([*labels(1, 1), StepLabel("noisy", "p", 0, 1, 1.0, 1)])
    one.hear(torch.tensor([0, 1, 2, 7]), torch.tensor([-1.0, 1.0, -1.0, -1.0]))
    one.hear(torch.tensor([0, 1]), torch.tensor([1.0, -1.0]))
    assert one.first == {0: -1.0, 1: 1.0}
    assert Listening(labels(2, 0)).agreement() is None
