"""Backbones from a folder, adapters, merged checkpoints and the worker's wire, on a tiny random Qwen2."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_data import write_data

from funprm_worker.encode import Encoder
from funprm_worker.errors import WorkerError
from funprm_worker.export import export_token_classification
from funprm_worker.model import (
    Lora,
    RewardModel,
    load_model,
    open_backbone,
    require_fp32_trainables,
    rewards_of,
    save_model,
)
from funprm_worker.serve import Scorer, read_token
from funprm_worker.wire import LIMITS, MODEL, REPLY_ROW, REQUEST, ROW, WIRE, ScoreRequest, ScoreRow, parse_score_request

REPOSITORY = Path(__file__).parent.parent.parent
TINY = REPOSITORY / "test/fixtures/models/tiny"
ROWS = [list(range(2, 30)), list(range(40, 50))]
LORA = Lora(r=8, alpha=16, dropout=0.05, targets=("q_proj", "k_proj", "v_proj", "o_proj"))


def opened(folder: Path, **settings: Any) -> RewardModel:
    torch.manual_seed(1)
    return open_backbone(folder, Encoder.of_backbone(folder), **settings).eval()


def moved(model: RewardModel) -> RewardModel:
    """After some optimiser steps, so that adapters are not the identity they start as."""
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        optimiser.zero_grad()
        model(torch.tensor([ROWS[0]])).square().mean().backward()
        optimiser.step()
    return model


def worst(a: list[list[float]], b: list[list[float]]) -> float:
    return max(abs(x - y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))


@pytest.mark.parametrize("head", ["scalar", "two-class"])
@pytest.mark.parametrize(
    ("adaptation", "lora"), [("full", None), ("head", None), ("lora", LORA)], ids=["full", "head", "lora"]
)
def test_trains_what_it_should_and_saves_what_it_computes(
    backbone: Path, tmp_path: Path, head: str, adaptation: str, lora: Lora | None
) -> None:
    model = opened(backbone, head=head, adaptation=adaptation, lora=lora)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    if adaptation == "head":
        assert trainable == {"head.weight", "head.bias"}
    if adaptation == "lora":
        assert all("lora_" in name or name.startswith("head.") for name in trainable)
        # 2 layers x 4 modules x (A and B)
        assert len(trainable) == 2 + 16
    assert not any("lm_head" in name for name, _ in model.named_parameters())
    before = rewards_of(model, ROWS, 0)
    moved(model)
    after = rewards_of(model.eval(), ROWS, 0)
    assert worst(before, after) > 1e-3
    save_model(model, tmp_path / "best")
    assert worst(after, rewards_of(load_model(tmp_path / "best"), ROWS, 0)) < 1e-5
    export_token_classification(tmp_path / "best", backbone / "tokenizer.json", tmp_path / "merged")
    from transformers import AutoModelForTokenClassification

    served = AutoModelForTokenClassification.from_pretrained(tmp_path / "merged").eval()
    with torch.no_grad():
        logits = [served(input_ids=torch.tensor([ids])).logits[0] for ids in ROWS]
    rewards = [torch.sigmoid(x[:, 0]) if x.shape[1] == 1 else torch.softmax(x, -1)[:, 1] for x in logits]
    assert worst(after, [r.tolist() for r in rewards]) < 1e-5


def test_adapters_start_as_the_identity_and_seeds_repeat(backbone: Path) -> None:
    plain, adapted = opened(backbone), opened(backbone, adaptation="lora", lora=LORA)
    with torch.no_grad():
        adapted.head.load_state_dict(plain.head.state_dict())
    assert rewards_of(plain, ROWS, 0) == rewards_of(adapted, ROWS, 0)
    assert rewards_of(plain, ROWS, 0) == rewards_of(opened(backbone), ROWS, 0)


def broken(backbone: Path, folder: Path, kind: str) -> Path:
    for file in backbone.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    if kind == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    if kind == "no config":
        (folder / "config.json").unlink()
    if kind == "no weights":
        (folder / "model.safetensors").unlink()
    if kind == "weights of another architecture":
        tensors = load_file(folder / "model.safetensors")
        save_file({f"transformer.{name}": t for name, t in tensors.items()}, folder / "model.safetensors")
    if kind == "not causal":
        from transformers import BertConfig, BertModel

        BertModel(
            BertConfig(vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
        ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no tokenizer", "tokenizer.json"),
        ("no config", "no config.json"),
        ("no weights", "not loaded as a backbone"),
        ("weights of another architecture", "another architecture"),
        ("not causal", "not causal"),
    ],
)
def test_refuses_a_folder_that_is_no_backbone(backbone: Path, tmp_path: Path, kind: str, said: str) -> None:
    with pytest.raises(WorkerError, match=said) as caught:
        opened(broken(backbone, tmp_path, kind))
    assert caught.value.code == "bad_bundle"
    assert "\n" not in caught.value.message


def test_refuses_lora_targets_that_are_not_there_and_bf16_trainables(backbone: Path) -> None:
    with pytest.raises(WorkerError, match="lora targets"):
        opened(backbone, adaptation="lora", lora=Lora(8, 16, 0.05, ("c_attn",)))
    model = opened(backbone, adaptation="head")
    require_fp32_trainables(model)
    model.backbone.to(torch.bfloat16)
    require_fp32_trainables(model)
    model.head.to(torch.bfloat16)
    with pytest.raises(WorkerError, match=r"head\.weight is torch\.bfloat16"):
        require_fp32_trainables(model)


def test_a_full_disk_leaves_the_last_good_weights(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(backbone)
    save_model(model, tmp_path)
    good = rewards_of(load_model(tmp_path), ROWS, 0)

    def full(_: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("funprm_worker.model.save_file", full)
    with pytest.raises(WorkerError, match="No space left on device"):
        save_model(moved(model), tmp_path)
    assert rewards_of(load_model(tmp_path), ROWS, 0) == good
    assert not (tmp_path / "model.part").exists()


def test_a_served_checkpoint_gives_the_rewards_of_its_model(backbone: Path, tmp_path: Path) -> None:
    model = opened(backbone, adaptation="lora", lora=LORA)
    save_model(moved(model).eval(), tmp_path)
    encoder = Encoder.of_backbone(backbone)
    encoder.tokenizer.save(str(tmp_path / "tokenizer.json"))
    row = encoder.row("p", ["def f(): pass", "x = f()"], 256)
    expected = rewards_of(model, [row.ids], encoder.pad_id)[0]
    scored = Scorer.load(tmp_path, 1).score(
        ScoreRequest("v1", None, [ScoreRow("a", "p", ["def f(): pass", "x = f()"], ["", ""])])
    )
    assert scored["model"]["version"] == "checkpoint"
    assert scored["rows"][0]["rewards"] == pytest.approx([expected[k] for k in row.step_positions], abs=1e-6)


def test_the_wire_is_the_one_of_the_generated_schema() -> None:
    schema = json.loads((REPOSITORY / "gpu-worker/funprm_worker/wire.schema.json").read_text())
    request, reply = schema["POST /v1/score"], schema["reply of /v1/score"]
    assert set(request["properties"]) == REQUEST
    assert set(request["properties"]["model"]["properties"]) == MODEL
    row = request["properties"]["rows"]["items"]["properties"]
    assert set(row) == ROW
    assert set(reply["properties"]["rows"]["items"]["properties"]) == REPLY_ROW
    info = schema["reply of /v1/info"]["properties"]
    assert info["wire"]["const"] == WIRE
    assert set(info["limits"]["properties"]) == set(LIMITS)
    scorer = Scorer.load(TINY, 1)
    assert set(scorer.info) == set(info["models"]["items"]["properties"])
    body = {"renderVersion": "v1", "rows": [{"id": "a", "prompt": "", "completions": [""]}]}
    answer = scorer.score(parse_score_request(body))
    assert set(answer["model"]) == set(reply["properties"]["model"]["properties"])
    assert set(answer["rows"][0]) == REPLY_ROW


@pytest.mark.parametrize(
    ("text", "mode", "said"), [("short", 0o600, "at least 16"), ("a" * 32, 0o644, "chmod 600"), (None, 0, "cannot be")]
)
def test_refuses_a_token_that_is_none(tmp_path: Path, text: str | None, mode: int, said: str) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(WorkerError, match=said):
        read_token(path)


def test_a_bundle_is_served_without_torch() -> None:
    import subprocess

    code = f"import sys; from funprm_worker.serve import Scorer; from pathlib import Path; Scorer.load(Path({str(TINY)!r}), 1); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_lora_run_from_a_folder_is_resumed_bit_for_bit(backbone: Path, tmp_path: Path) -> None:
    from funprm_worker import train as training
    from funprm_worker.config import read_config

    write_data(tmp_path)
    text = f"""
data = "{tmp_path}/data"
run = "{tmp_path}/RUN"
seed = 3
threads = 1
precision = "float32"
[model]
max_tokens = 256
[backbone]
folder = "{backbone}"
head = "scalar"
adaptation = "lora"
lora_r = 8
lora_alpha = 16
lora_dropout = 0.05
lora_targets = ["q_proj", "k_proj", "v_proj", "o_proj"]
[pretrain]
steps = 0
tokens = 128
length = 64
rate = 1e-3
[reward]
steps = 6
tokens = 1024
rate = 1e-2
weight_decay = 0.0
pairwise = 0.5
consistency = 0.0
language = 0.0
per_side = 4
broadcast = 0.3
[checkpoint]
every = 2
validation_rows = 50
"""

    class Cut(Exception):
        pass

    def cut(report: str) -> None:
        if '"step": 4' in report:
            raise Cut

    def config(name: str) -> Any:
        path = tmp_path / f"{name}.toml"
        path.write_text(text.replace("RUN", name))
        return read_config(path)

    training.train(config("straight"), lambda _: None)
    with pytest.raises(Cut):
        training.train(config("cut"), cut)
    training.train(config("cut"), lambda _: None)
    straight, resumed = (
        torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("straight", "cut")
    )
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)
    frozen = load_file(backbone / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert torch.equal(straight["backbone.base_model.model.layers.0.mlp.up_proj.weight"], frozen)
    assert load_model(tmp_path / "cut/best").config.hidden_size == 32
    # What `funprm evaluate --checkpoint` reads.
    assert (tmp_path / "cut/best/tokenizer.json").read_bytes() == (tmp_path / "cut/tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[model]\nmax_tokens = 256", "[model]\nmax_tokens = 256\nhidden = 3"), "max_tokens and nothing else"),
        (("folder = ", "holder = "), "unknown key holder"),
        (("steps = 0", "steps = 5"), "steps must be 0"),
        (("QWEN", "/nowhere"), "not the config of a Hugging Face model"),
    ],
)
def test_a_backbone_table_names_what_is_wrong(
    backbone: Path, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    from funprm_worker.config import read_config

    text = (REPOSITORY / "gpu-worker/presets/toy.toml").read_text()
    shape = "hidden = 32\nlayers = 1\nheads = 2\nfeed_forward = 64\nmax_tokens = 512\nvocab = 1024"
    assert shape in text
    table = '[backbone]\nfolder = "QWEN"\nhead = "scalar"\nadaptation = "full"\nlora_r = 8\nlora_alpha = 16\nlora_dropout = 0.0\nlora_targets = []\n'
    text = text.replace(shape, f"max_tokens = 256\n\n{table}").replace(*change).replace("QWEN", str(backbone))
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(WorkerError, match=said):
        read_config(path)
