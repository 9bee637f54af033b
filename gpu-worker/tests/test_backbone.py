"""Backbones from a folder, adapters, merged checkpoints and the worker's wire, on a tiny random Qwen2."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

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
    small_config,
)
from funprm_worker.serve import Scorer, read_token
from funprm_worker.wire import LIMITS, MODEL, REPLY_ROW, REQUEST, ROW, WIRE, ScoreRequest, ScoreRow, parse_score_request

REPOSITORY = Path(__file__).parent.parent.parent
TINY = REPOSITORY / "test/fixtures/models/tiny"
ROWS = [list(range(2, 30)), list(range(40, 50))]
LORA = Lora(r=8, alpha=16, dropout=0.05, targets=("q_proj", "k_proj", "v_proj", "o_proj"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal language model as Hugging Face stores it: with its LM head, its tokenizer without our two tokens."""
    from transformers import Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen2")
    torch.manual_seed(0)
    config = small_config(300, 32, 2, 2, 64, 256, 0.3)
    config.tie_word_embeddings = False
    Qwen2ForCausalLM(config).save_pretrained(folder)
    from tokenizers import Tokenizer, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: k for k, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


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


def write_data(tmp_path: Path, noisy: bool = False) -> None:
    """Six rows a group, passing and failing by turns; `noisy` puts a step with an MC label before the last."""
    import gzip

    folder = tmp_path / "data"
    folder.mkdir()
    for split, groups in (("training", "abcd"), ("meta", "e"), ("validation", "fg")):
        with gzip.open(folder / f"{split}.jsonl.gz", "wt") as out:
            for group in groups:
                for k in range(6):
                    row: dict[str, Any] = {
                        "id": f"s/{group}{k}",
                        "problem": group,
                        "group": group,
                        "date": None,
                        "language": "python",
                        "pool": "m",
                        "prompt": f"Add {k}.",
                        "completions": [f"def f(x):\n    return x {'+-'[k % 2]} {k}"],
                        "labels": [k % 2],
                        "own": [None],
                        "counts": [None],
                        "source": ["unit_test"],
                        "weight": 1,
                        "renderVersion": "v1",
                    }
                    if noisy:
                        row |= {
                            "completions": ["def g(x):\n    return x", *row["completions"]],
                            "labels": [(k + 1) / 8, k % 2],
                            "own": [None, None],
                            "counts": [[k + 1, 8], None],
                            "source": ["monte_carlo", "unit_test"],
                        }
                    out.write(json.dumps(row) + "\n")


@pytest.mark.parametrize("name", ["funprm", "dreamprm-code", "dreamprm-code-release", "default"])
def test_a_preset_runs_end_to_end_and_is_resumed_bit_for_bit(backbone: Path, tmp_path: Path, name: str) -> None:
    from funprm_worker.train_corrected import CorrectedRun, train_corrected

    write_data(tmp_path, noisy=True)

    def run(folder: str) -> CorrectedRun:
        return CorrectedRun(
            name, str(backbone), f"{tmp_path}/data", f"{tmp_path}/{folder}", 4, max_tokens=256, tokens=800, every=2
        )

    class Cut(Exception):
        pass

    def cut(line: str) -> None:
        if '"step": 4' in line:
            raise Cut

    train_corrected(run("straight"), lambda _: None)
    with pytest.raises(Cut):
        train_corrected(run("cut"), cut)
    train_corrected(run("cut"), lambda _: None)
    straight, resumed = (torch.load(tmp_path / folder / "last.pt", weights_only=True) for folder in ("straight", "cut"))
    assert all(torch.equal(straight["model"][key], resumed["model"][key]) for key in straight["model"])
    assert all(torch.equal(a, b) for a, b in zip(straight["table"]["values"], resumed["table"]["values"], strict=True))
    table = [json.loads(line) for line in (tmp_path / "straight/table.jsonl").read_text().splitlines()]
    touched = [one for one in table if one["touches"]]
    assert touched
    key, start = ("weight", 1.0) if name == "dreamprm-code-release" else ("corrected", None)
    assert any(one[key] != (one["raw"] if start is None else start) for one in touched)
    untouched = [one for one in table if not one["touches"]]
    assert all(one[key] == pytest.approx(one["raw"] if start is None else start) for one in untouched)
    assert rewards_of(load_model(tmp_path / "straight/best"), ROWS, 0)


def small_run(backbone: Path, tmp_path: Path, **change: Any) -> Any:
    from funprm_worker.train_corrected import CorrectedRun

    write_data(tmp_path, noisy=True)
    settings = {"steps": 8, "max_tokens": 256, "tokens": 800, "every": 2} | change
    return CorrectedRun("dreamprm-code", str(backbone), f"{tmp_path}/data", f"{tmp_path}/run", **settings)


def test_the_first_alarm_halves_the_meta_rate_and_goes_back_the_second_stops(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funprm_worker import train_corrected as module
    from funprm_worker.health import Alarm

    run = small_run(backbone, tmp_path)
    monkeypatch.setattr(
        module._Run,
        "_alarm",
        staticmethod(lambda looks: Alarm("collapse", "here", (0.1, 0.01)) if len(looks) > 1 else None),
    )
    said: list[str] = []
    with pytest.raises(WorkerError, match=r"step 4: collapse: here; 0\.1, 0\.01; the last good checkpoint"):
        module.train_corrected(run, said.append)
    assert [line for line in said if line.startswith("alarm")] == [
        "alarm at step 4: collapse: here; 0.1, 0.01; β halved to 0.005, back to the last good checkpoint"
    ]
    kept = torch.load(tmp_path / "run/last.pt", weights_only=True)
    assert (kept["step"], kept["rate"], kept["alarms"]) == (2, 0.005, 1)


def test_a_loss_that_is_no_number_stops_and_names_rows_and_the_checkpoint_stays(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funprm_worker import train_corrected as module

    run = small_run(backbone, tmp_path)
    real, calls = module.logits_at, 0

    def breaks(*inputs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return real(*inputs) * (float("nan") if calls > 12 else 1.0)

    monkeypatch.setattr(module, "logits_at", breaks)
    with pytest.raises(WorkerError, match=r"loss is nan; rows s/"):
        module.train_corrected(run, lambda _: None)
    kept = torch.load(tmp_path / "run/last.pt", weights_only=True)
    assert kept["step"] == 2
    assert all(torch.isfinite(t).all() for t in kept["model"].values())


def test_a_run_goes_on_only_with_its_own_config_and_needs_noisy_and_clean_rows(backbone: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from funprm_worker.train_corrected import train_corrected

    run = small_run(backbone, tmp_path, steps=1)
    train_corrected(run, lambda _: None)
    with pytest.raises(WorkerError, match="another config"):
        train_corrected(replace(run, seed=9), lambda _: None)
    (tmp_path / "clean").mkdir()
    write_data(tmp_path / "clean")
    with pytest.raises(WorkerError, match="0 rows with noisy steps"):
        train_corrected(replace(run, data=f"{tmp_path}/clean/data", run=f"{tmp_path}/other"), lambda _: None)


def test_killed_and_started_again_gives_the_same_weights(backbone: Path, tmp_path: Path) -> None:
    import signal
    import subprocess
    from dataclasses import replace

    from funprm_worker.train_corrected import train_corrected

    run = small_run(backbone, tmp_path, steps=8)
    call = (
        "from funprm_worker.train_corrected import *; import sys;"
        f"train_corrected({run!r}, lambda line: print(line, flush=True))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", f"import torch; torch.set_num_threads(1); {call}"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if '"step": 4' in line:
            child.send_signal(signal.SIGKILL)
            break
    child.wait()
    child.stdout.close()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train_corrected(run, lambda _: None)
    other = replace(run, run=f"{tmp_path}/straight")
    train_corrected(other, lambda _: None)
    torch.set_num_threads(threads)
    killed, straight = (torch.load(f"{one.run}/last.pt", weights_only=True) for one in (run, other))
    assert killed["step"] == straight["step"] == 8
    assert all(torch.equal(killed["model"][key], straight["model"][key]) for key in straight["model"])
