"""A bidirectional encoder that reads each prefix by itself, on a tiny random BERT."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_data import write_data

from funprm_worker import parallel
from funprm_worker import train as training
from funprm_worker.config import (
    BackboneConfig,
    CheckpointConfig,
    Config,
    CorrectedRun,
    ModelConfig,
    PretrainConfig,
    RewardConfig,
    read_config,
)
from funprm_worker.domains import leave_one_out
from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError
from funprm_worker.export import export, export_token_classification
from funprm_worker.model import RewardModel, rewards_of, save_model
from funprm_worker.prefix_encoder import load_trained, longest_row, prefix_model
from funprm_worker.rows import Row
from funprm_worker.serve import Scorer
from funprm_worker.train_corrected import train_corrected

POSITIONS = 96
STEPS = ["def f(x):\n    return g(x)", "def g(x):\n    return x + 1", "def h(x):\n    return x"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder as Hugging Face stores it, with a WordPiece tokenizer of letters and its own special tokens."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("bert")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    marks = [chr(k) for k in range(33, 127)]
    words = [*special, *marks, *(f"##{mark}" for mark in marks)]
    tokenizer = Tokenizer(models.WordPiece({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in special])
    # As the package stores it: cut and padded unless told otherwise.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=POSITIONS, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder


def config(bert: Path, tmp_path: Path, name: str = "run", steps: int = 6) -> Config:
    return Config(
        data=str(tmp_path / "data"),
        run=str(tmp_path / name),
        seed=3,
        threads=1,
        precision="float32",
        model=ModelConfig(32, 2, 2, 64, POSITIONS - 1, 200),
        pretrain=PretrainConfig(0, 128, 64, 1e-3),
        reward=RewardConfig(steps, 2000, 2e-2, 0.0, 0.5, 0.0, 0.0, 4, 0.3),
        checkpoint=CheckpointConfig(2, 50),
        backbone=BackboneConfig(str(bert), "scalar", "full", 0, 0, 0.0, []),
    )


def opened(bert: Path, tmp_path: Path) -> tuple[RewardModel, Encoder]:
    torch.manual_seed(1)
    encoder = Encoder.of_backbone(bert)
    model = prefix_model(config(bert, tmp_path), encoder).eval()
    with torch.no_grad():
        # A fresh head hardly tells states apart.
        model.head.weight *= 20
    return model, encoder


def row(name: str, completions: list[str]) -> Row:
    earlier = len(completions) - 1
    return Row(
        id=name, problem=name, group=name, pool="m", prompt="Add 1.", completions=completions,
        labels=[*[None] * earlier, 1.0], own=[None, *[None] * earlier], counts=[None, *[None] * earlier],
        source=[*[None] * earlier, "unit_test"], weight=1.0,
    )  # fmt: skip


def rewards(model: RewardModel, encoder: Encoder, rows: list[Row]) -> list[list[float]]:
    return training.step_rewards(model, training.encode_rows(rows, encoder, POSITIONS - 1, 1.0), encoder.pad_id)


def test_a_later_function_and_padding_and_neighbours_change_no_earlier_reward(bert: Path, tmp_path: Path) -> None:
    model, encoder = opened(bert, tmp_path)
    rows = [row(f"r{k}", STEPS[:k]) for k in (3, 2, 1)] + [row("other", ["x = 1234567890 * 77", STEPS[1]])]
    together = rewards(model, encoder, rows)
    assert len({round(one, 4) for one in together[0]}) == 3, "the steps tell nothing apart"
    for one, found in zip(rows, together, strict=True):
        assert found == pytest.approx(rewards(model, encoder, [one])[0], abs=1e-5)
    for found in together[:3]:
        assert found == pytest.approx(together[0][: len(found)], abs=1e-5)
    # And an earlier one does: the encoder looks at it.
    assert abs(together[3][1] - together[0][1]) > 1e-4
    ids = training.encode_rows(rows[:1], encoder, POSITIONS - 1, 1.0)[0].ids
    ends = [k for k, token in enumerate(ids) if token == encoder.step_id]
    padded = rewards_of(model, [ids, [*ids, *[encoder.pad_id] * 20]], encoder.pad_id)
    assert [padded[1][k] for k in ends] == pytest.approx(together[0], abs=1e-5)


def test_many_passes_give_the_rewards_and_gradients_of_one(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, encoder = opened(bert, tmp_path)
    batch = training.encode_rows([row(f"r{k}", STEPS[:k]) for k in (3, 1, 2)], encoder, POSITIONS - 1, 1.0)
    found = []
    for tokens in (4096, 1):
        monkeypatch.setattr("funprm_worker.prefix_encoder.PASS_TOKENS", tokens)
        model.zero_grad()
        loss = training.reward_loss(model, batch, encoder.pad_id, 0.5, 0.0)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) == 1 + len(list(model.parameters()))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_the_reward_is_read_from_the_mean_of_the_prefix(bert: Path, tmp_path: Path) -> None:
    """By hand, with the encoder's own [CLS] before the text and what ended a text after each step."""
    from transformers import BertModel

    model, encoder = opened(bert, tmp_path)
    assert encoder.tokenizer.truncation is None
    one = training.encode_rows([row("r", STEPS[:2])], encoder, POSITIONS - 1, 1.0)[0]
    plain = BertModel.from_pretrained(bert).eval()
    table = plain.get_input_embeddings().weight
    step, first = (encoder.tokenizer.token_to_id(name) for name in ("[SEP]", "[CLS]"))
    expected = []
    for end in one.ends:
        ids = [first, *(step if token == encoder.step_id else token for token in one.ids[: end + 1])]
        with torch.no_grad():
            hidden = plain(inputs_embeds=table[torch.tensor([ids])]).last_hidden_state
            expected.append(float(torch.sigmoid(model.head(hidden.mean(1)))))
    assert rewards(model, encoder, [one.row])[0] == pytest.approx(expected, abs=1e-5)


def test_training_learns_the_toy_and_its_checkpoint_gives_its_rewards(bert: Path, tmp_path: Path) -> None:
    write_data(tmp_path, noisy=True)
    run = training.Run(config(bert, tmp_path, steps=16), lambda _: None)
    batch = run._batch(training.clusters_of(run.training, 4, 3), [], 0)
    # Two functions a row: twice the sequences that a causal model pays for.
    assert max(len(one.ids) for one in batch) * 2 * len(batch) <= 2000

    def loss() -> float:
        return float(training.reward_loss(run.model, batch, run.encoder.pad_id, 0.5, 0.0).detach())

    before = loss()
    run.go()
    assert loss() < before - 0.05
    save_model(run.model, tmp_path / "saved")
    held = [one.row for one in batch]
    assert rewards(load_trained(tmp_path / "saved"), run.encoder, held) == rewards(run.model, run.encoder, held)
    further = replace(config(bert, tmp_path, "further"), backbone=replace(config(bert, tmp_path).backbone, folder=str(tmp_path / "run/best")))  # type: ignore[type-var]  # fmt: skip
    started = training.Run(further, lambda _: None).model
    assert torch.equal(started.head.weight, load_trained(tmp_path / "run/best").head.weight)


def test_resumes_bit_for_bit(bert: Path, tmp_path: Path) -> None:
    class Cut(Exception):
        pass

    def cut(report: str) -> None:
        if '"step": 4' in report:
            raise Cut

    write_data(tmp_path, noisy=True)
    training.train(config(bert, tmp_path, "straight"), lambda _: None)
    with pytest.raises(Cut):
        training.train(config(bert, tmp_path, "cut"), cut)
    training.train(config(bert, tmp_path, "cut"), lambda _: None)
    straight, resumed = (
        torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("straight", "cut")
    )
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_is_measured_beside_the_model_that_ships(bert: Path, backbone: Path, tmp_path: Path) -> None:
    """Each reads as much as it can: the encoder's positions end before those of the causal model."""
    write_data(tmp_path)
    preset = (Path(__file__).parent.parent / "presets/pretrained-encoder.toml").read_text()
    for key, value in (
        ("data", f'"{tmp_path}/data"'), ("run", f'"{tmp_path}/encoder"'), ("folder", f'"{bert}"'),
        ("max_tokens", POSITIONS - 1), ("steps", 2), ("every", 2),
    ):  # fmt: skip
        preset = re.sub(rf"^{key} = (?!0$).*", f"{key} = {value}", preset, flags=re.M)
    (tmp_path / "preset.toml").write_text(preset)
    training.train(read_config(tmp_path / "preset.toml"), lambda _: None)
    causal = replace(config(backbone, tmp_path, "causal", 2), model=ModelConfig(32, 2, 2, 64, 256, 300))
    training.train(causal, lambda _: None)
    names = {"encoder": tmp_path / "encoder/best"}
    leave_one_out(
        replace(causal, run=str(tmp_path / "out")), tmp_path / "report", lambda _: None, (), None,
        tmp_path / "causal/best", names,
    )  # fmt: skip
    assert "| encoder |" in (tmp_path / "report.md").read_text()
    assert longest_row(load_trained(names["encoder"])) == POSITIONS - 1


def test_what_needs_one_pass_a_row_refuses_an_encoder_in_one_line(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_data(tmp_path, noisy=True)
    base = config(bert, tmp_path, steps=2)
    training.train(base, lambda _: None)
    best = tmp_path / "run/best"

    def refused(said: str, action: object) -> None:
        with pytest.raises(WorkerError, match=said) as caught:
            action()  # type: ignore[operator]
        assert "\n" not in caught.value.message

    for folder in (bert, best):
        run = CorrectedRun("default", str(folder), str(tmp_path / "data"), str(tmp_path / f"bi{folder.name}"), 2)
        refused("not causal|encoder, which reads each prefix", lambda run=run: train_corrected(run, lambda _: None))
    refused("encoder, which reads each", lambda: export(base, "n", "0.1.0", tmp_path / "out", lambda _: None))
    refused("encoder, which reads each", lambda: export_token_classification(best, best / "tokenizer.json", tmp_path))
    refused("encoder, which reads each", lambda: Scorer.load(best, 1))
    encoder = Encoder.of_backbone(bert)
    backbone = base.backbone
    assert backbone is not None
    refused(
        "lora: not with", lambda: prefix_model(replace(base, backbone=replace(backbone, adaptation="lora")), encoder)
    )
    refused(
        "language above 0: not", lambda: prefix_model(replace(base, reward=replace(base.reward, language=0.1)), encoder)
    )
    long = replace(base, model=replace(base.model, max_tokens=POSITIONS))
    refused(f"max_tokens {POSITIONS}: the encoder in .* reads {POSITIONS - 1}", lambda: prefix_model(long, encoder))
    monkeypatch.setattr(parallel, "size", lambda: 2)
    refused("torchrun: not with", lambda: prefix_model(base, encoder))


@pytest.mark.parametrize("kind", ["no weights", "no [CLS]"])
def test_refuses_a_folder_that_is_no_encoder(bert: Path, tmp_path: Path, kind: str) -> None:
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if kind == "no weights":
        (tmp_path / "model.safetensors").unlink()
    else:
        text = (tmp_path / "tokenizer.json").read_text()
        (tmp_path / "tokenizer.json").write_text(text.replace("[CLS]", "[FIRST]"))
    with pytest.raises(WorkerError, match=r"not loaded as an encoder|has \[CLS\]") as caught:
        prefix_model(config(tmp_path, tmp_path), Encoder.of_backbone(tmp_path))
    assert caught.value.code == "bad_bundle"
