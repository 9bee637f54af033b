"""Two processes of `torchrun` against one: the same weights, table and rewards, within the order of fp32 sums."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_data import write_data

TOLERANCE = {"dreamprm-code": 1e-5, "plain": 1e-5, "default": 2e-3}
"""Largest |difference| of a weight, a table entry or a loss after four steps. The preset `default` computes its losses in
bfloat16, whose rounding depends on what else is in the batch; the others differ by the order of fp32 sums alone."""

SCRIPT = """
import sys
from pathlib import Path
from funprm_worker import parallel
from funprm_worker.config import read_config
from funprm_worker.train import train
from funprm_worker.train_corrected import CorrectedRun, train_corrected
backbone, data, runs = sys.argv[1:]
# One group for all three runs: a start of torchrun costs more than they do.
joined = parallel.start()
for preset in ("dreamprm-code", "default"):
    run = CorrectedRun(preset, backbone, data, f"{runs}/{preset}", 4, max_tokens=256, tokens=1600, every=2)
    train_corrected(run, print)
train(read_config(Path(f"{runs}/plain.toml")), print)
if joined:
    parallel.finish()
"""
PLAIN = """
data = "DATA"
run = "RUNS/plain"
seed = 3
threads = 1
precision = "float32"
[model]
max_tokens = 256
[backbone]
folder = "BACKBONE"
head = "scalar"
adaptation = "full"
lora_r = 8
lora_alpha = 16
lora_dropout = 0.0
lora_targets = []
[pretrain]
steps = 0
tokens = 128
length = 64
rate = 1e-3
[reward]
steps = 4
tokens = 2400
rate = 1e-3
weight_decay = 0.0
pairwise = 0.5
consistency = 0.0
language = 0.1
per_side = 4
broadcast = 0.3
[checkpoint]
every = 2
validation_rows = 50
"""


@pytest.fixture(scope="module")
def runs(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("parallel")
    write_data(folder, noisy=True)
    script = folder / "runs.py"
    script.write_text(SCRIPT)
    out = []
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, command in (("one", [sys.executable]), ("two", torchrun)):
        place = folder / name
        place.mkdir()
        (place / "plain.toml").write_text(
            PLAIN.replace("DATA", f"{folder}/data").replace("RUNS", str(place)).replace("BACKBONE", str(backbone))
        )
        done = subprocess.run(
            [*command, str(script), str(backbone), f"{folder}/data", str(place)],
            capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        out.append(place)
    return out[0], out[1]


def gap(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[key] - b[key]).abs().max()) for key in a)


@pytest.mark.parametrize("name", ["dreamprm-code", "default", "plain"])
def test_two_processes_train_what_one_trains(runs: tuple[Path, Path], backbone: Path, name: str) -> None:
    one, two = (torch.load(folder / name / "last.pt", weights_only=True) for folder in runs)
    assert gap(one["model"], two["model"]) <= TOLERANCE[name]
    if name != "plain":
        assert gap(dict(enumerate(one["table"]["values"])), dict(enumerate(two["table"]["values"]))) <= TOLERANCE[name]  # type: ignore[arg-type]
        assert torch.equal(one["table"]["touches"], two["table"]["touches"])
        assert int(one["table"]["touches"].sum()) > 0
    for a, b in zip(one["looks"], two["looks"], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=TOLERANCE[name])
    # Both trained: the weights are not those of the start.
    start = torch.load(runs[0] / "plain" / "last.pt", weights_only=True)["model"] if name == "default" else None
    assert start is None or gap(start, one["model"]) > 0


def test_only_the_first_process_writes_and_speaks(runs: tuple[Path, Path]) -> None:
    for folder in runs:
        assert len((folder / "default" / "metrics.jsonl").read_text().splitlines()) == 2
        assert len((folder / "plain" / "metrics.jsonl").read_text().splitlines()) == 2
        assert {path.name for path in (folder / "default").iterdir()} >= {"best", "top", "plots", "table.jsonl"}
