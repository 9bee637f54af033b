"""The reward model, its training and its export, on a tiny config."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from funprm_worker import pretraining_text
from funprm_worker import train as training
from funprm_worker.bundle import OnnxScorer, check_bundle
from funprm_worker.card import choice_of
from funprm_worker.config import BackboneConfig, CheckpointConfig, Config, ModelConfig, PretrainConfig, RewardConfig
from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import best_of, interval, pair_auc, solution_figures, step_figures
from funprm_worker.export import licence_of, method
from funprm_worker.model import RewardModel, load_model, rewards_of, small_config
from funprm_worker.onnx_graph import write_onnx
from funprm_worker.rows import Row

REPOSITORY = Path(__file__).parent.parent.parent
TINY = REPOSITORY / "test/fixtures/models/tiny"
VECTORS = json.loads((REPOSITORY / "test/vectors/encode/tiny.json").read_text())["cases"]


@pytest.fixture(scope="module")
def model() -> RewardModel:
    torch.manual_seed(1)
    return RewardModel(small_config(400, 32, 2, 2, 64, 256, 0.3)).eval()


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_encodes_like_the_shared_vectors(case: dict) -> None:  # type: ignore[type-arg]
    encoder = Encoder.load(TINY / "tokenizer.json")
    if case["reason"]:
        with pytest.raises(WorkerError):
            encoder.row(case["prompt"], case["completions"], case["maxTokens"])
        return
    row = encoder.row(case["prompt"], case["completions"], case["maxTokens"])
    assert (row.ids, row.step_positions, row.truncated_tokens) == (
        case["ids"],
        case["stepPositions"],
        case["truncatedTokens"],
    )


def test_one_pass_equals_separate_prefixes_and_neighbours_change_nothing(model: RewardModel) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, 400, n).tolist() for n in (5, 40, 90)]
    together = rewards_of(model, rows, 0)
    for row, scores in zip(rows, together, strict=True):
        alone = rewards_of(model, [row], 0)[0]
        assert max(abs(a - b) for a, b in zip(alone, scores, strict=True)) < 1e-5
        for end in (1, len(row) // 2, len(row)):
            assert abs(rewards_of(model, [row[:end]], 0)[0][-1] - scores[end - 1]) < 1e-4


def test_onnx_equals_torch(model: RewardModel, tmp_path: Path) -> None:
    write_onnx(model, tmp_path / "model.onnx", int8=False)
    rows = [list(range(2, 60)), list(range(300, 310))]
    ours, theirs = rewards_of(model, rows, 0), OnnxScorer(tmp_path / "model.onnx").rewards(rows, 0)
    assert max(abs(a - b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)) < 1e-5


@pytest.mark.parametrize("folder", [TINY, REPOSITORY / "models/funprm-mini"])
def test_bundles_prove_themselves(folder: Path) -> None:
    assert check_bundle(folder)["renderVersion"] == "v1"


def row(k: int, verdict: int, group: str = "g", steps: int = 2) -> Row:
    sources: list[str | None] = [*("broadcast" for _ in range(steps - 1)), "unit_test"]
    bodies = [f"def f{i}(x):\n    return x {'+' if verdict else '-'} {k}" for i in range(steps)]
    return Row(
        f"s/{k}",
        group,
        group,
        "pool",
        f"Add {k}.",
        bodies,
        [float(verdict) for _ in range(steps)],
        [None for _ in range(steps)],
        [None for _ in range(steps)],
        sources,
        1.0,
    )


def config(tmp_path: Path, name: str, steps: int) -> Config:
    return Config(
        str(tmp_path / "data"),
        str(tmp_path / name),
        3,
        1,
        "float32",
        ModelConfig(16, 1, 2, 32, 128, 300),
        PretrainConfig(2, 128, 64, 1e-3),
        RewardConfig(steps, 512, 1e-3, 0.0, 0.5, 0.0, 0.1, 4, 0.3),
        CheckpointConfig(2, 50),
    )


def write_data(tmp_path: Path) -> None:
    import gzip

    folder = tmp_path / "data"
    folder.mkdir()
    for split, groups in (("training", "abcd"), ("meta", "e"), ("validation", "fg")):
        rows = [row(k, k % 2, group) for group in groups for k in range(6)]
        lines = [{**vars(r), "date": None, "language": "python", "renderVersion": "v1"} for r in rows]
        with gzip.open(folder / f"{split}.jsonl.gz", "wt") as out:
            out.writelines(json.dumps(line) + "\n" for line in lines)


def only_text(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    monkeypatch.setattr(pretraining_text, "standard_library", lambda: iter(texts))
    monkeypatch.setattr(pretraining_text, "packages", lambda: iter(()))


def test_resumed_training_gives_the_same_weights_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path)
    text = "def a(x):\n    return x + 1\n" * 40
    only_text(monkeypatch, text, text)
    training.train(config(tmp_path, "straight", 6), lambda _: None)

    class Cut(Exception):
        pass

    def cut(report: str) -> None:
        if '"step": 4' in report:
            raise Cut

    with pytest.raises(Cut):
        training.train(config(tmp_path, "cut", 6), cut)
    training.train(config(tmp_path, "cut", 6), lambda _: None)
    straight, resumed = (
        torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("straight", "cut")
    )
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_a_run_refuses_another_config_and_stops_on_nan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path)
    only_text(monkeypatch, "x = 1\n" * 200)
    settings = config(tmp_path, "run", 2)
    training.train(settings, lambda _: None)
    with pytest.raises(WorkerError, match="another config"):
        training.train(replace(settings, seed=4), lambda _: None)
    monkeypatch.setattr(training, "reward_loss", lambda *_: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(WorkerError, match=r"the loss is nan.*rows s/"):
        training.train(config(tmp_path, "nan", 2), lambda _: None)


def test_a_run_from_a_checkpoint_goes_on_with_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_data(tmp_path)
    only_text(monkeypatch, "x = 1\n" * 200)
    first = config(tmp_path, "first", 2)
    training.train(first, lambda _: None)
    start = tmp_path / "first" / "best"
    (start / "tokenizer.json").write_text((tmp_path / "first" / "tokenizer.json").read_text())
    backbone = BackboneConfig(str(start), "scalar", "full", 0, 0, 0.0, [])
    further = replace(config(tmp_path, "further", 2), backbone=backbone, pretrain=PretrainConfig(0, 128, 64, 1e-3))
    run = training.Run(further, lambda _: None)
    before = load_model(start).state_dict()
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    training.train(further, lambda _: None)
    after = load_model(tmp_path / "further" / "best").state_dict()
    assert not torch.equal(after["head.weight"], before["head.weight"])


def test_labels_that_are_all_whole_numbers_are_labels(model: RewardModel) -> None:
    """JSON's 1 is an int: a batch of passing programs of one function each once ended a training at its first step."""
    whole, real = (
        [training.EncodedRow(row(0, 1), [1, 2, 3], [2], [label], [weight])] for label, weight in ((1, 1), (1.0, 1.0))
    )
    losses = [float(training.reward_loss(model, batch, 0, 0.5, 0.0).detach()) for batch in (whole, real)]
    assert losses[0] == losses[1] > 0


def test_consistency_costs_the_squared_difference_between_a_row_and_its_copy(model: RewardModel) -> None:
    original, other = row(0, 1, steps=2), row(1, 0, steps=2)
    copy = replace(original, id=f"{original.id}~text")
    batch = [
        training.EncodedRow(original, [1, 2, 3, 4], [1, 3], [1.0, 1.0], [1.0, 1.0]),
        training.EncodedRow(other, [4, 3, 2, 1], [1, 3], [0.0, 0.0], [1.0, 1.0]),
        training.EncodedRow(copy, [1, 5, 2, 6, 4], [2, 4], [1.0, 1.0], [1.0, 1.0]),
    ]
    plain, weighted = (
        float(training.reward_loss(model, batch, 0, 0.5, 0.0, consistency=weight).detach()) for weight in (0.0, 2.0)
    )
    rewards = training.step_rewards(model, batch, 0)
    logits = [[math.log(r / (1 - r)) for r in rewards[i]] for i in (0, 2)]
    squares = [(a - b) ** 2 for a, b in zip(*logits, strict=True)]
    assert weighted - plain == pytest.approx(2.0 * sum(squares) / 2, abs=1e-5)
    assert weighted > plain
    # A copy whose original was not drawn costs nothing.
    alone = [float(training.reward_loss(model, batch[1:], 0, 0.5, 0.0, consistency=w).detach()) for w in (0.0, 2.0)]
    assert alone[0] == alone[1]


def test_a_card_says_what_held_the_rewards_and_whose_licence_the_weights_have(tmp_path: Path) -> None:
    plain = config(tmp_path, "run", 2)
    held = replace(plain, reward=replace(plain.reward, consistency=6.0))
    assert "copy" not in method(plain, 4, None)["summary"]
    said = method(held, 4, "funprm-mini 0.2.0 (MIT)")["summary"]
    assert (
        "pretrained weights (funprm-mini 0.2.0 (MIT))" in said
        and "copies with another text" in said
        and "weight 6" in said
    )
    for every, words in ((1, "was chosen by Best-of-8"), (2, "The last weights of the run were kept")):
        run = replace(plain, reward=replace(plain.reward, steps=2), checkpoint=replace(plain.checkpoint, every=every))
        assert words in choice_of({"method": method(run, 4, None)})
    origins = (None, "funprm-mini 0.2.0 (MIT)", "SmolLM2 (HuggingFaceTB, Apache-2.0)")
    assert [licence_of(one) for one in origins] == ["MIT", "MIT", "Apache-2.0"]


def test_a_copy_is_drawn_beside_its_original_and_never_instead() -> None:
    rows = [row(k, k % 2) for k in range(12)]
    copies = [replace(one, id=f"{one.id}~{kind}") for one in rows for kind in ("text", "edit0", "edit1")]
    assert replace(rows[0], id="f~edit0~text").original == "f~edit0"
    (cluster,) = training.clusters_of(rows + copies, 2, 7, beside=True)
    originals = {one.id for one in cluster if one.original is None}
    assert len(originals) == 4 and {one.original for one in cluster} - {None} == originals
    (mixed,) = training.clusters_of(rows + copies, 2, 7)
    assert len(mixed) == 4


def test_figures_have_their_known_answers() -> None:
    assert pair_auc([0.9, 0.2, 0.5], [1, 0, 1]) == (2.0, 2)
    assert pair_auc([0.5, 0.5], [1, 0]) == (0.5, 1)
    assert best_of([0.9, 0.1, 0.5], [0, 1, 1], 1) == pytest.approx(2 / 3)
    assert best_of([0.9, 0.1, 0.5], [0, 1, 1], 3) == 0
    assert best_of([1, 1, 1, 1], [1, 0, 0, 0], 2) == pytest.approx(0.25)
    # Oracle scores give pass@N: n=8, c=2, k=4 -> .7857
    assert best_of([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], 4) == pytest.approx(0.7857, abs=1e-4)
    assert interval({}) is None
    rows = [row(k, k % 2) for k in range(8)]
    perfect = solution_figures(rows, [float(r.verdict or 0) for r in rows])
    assert (perfect["auc"]["value"], perfect["bestOf"]["value"], perfect["random"]["value"]) == (1.0, 1.0, 0.5)


def test_attribution_names_only_the_function_that_lost_the_value() -> None:
    one = row(0, 0, steps=4)
    chain = Row(**{**vars(one), "own": [1, 0, 1, 1], "labels": [1.0, 0.0, 0.0, 0.0], "source": ["min_rule"] * 4})
    figures = step_figures([chain], [[0.9, 0.2, 0.2, 0.19]], {("g", "pool"): 0.9})
    assert figures["own"]["value"] == 1.0
    assert figures["value"]["value"] == 1.0
