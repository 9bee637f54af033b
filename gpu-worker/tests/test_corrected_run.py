"""Corrected runs: presets end to end, killed and resumed, alarms in the loop, the run folder, bad input."""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from small_data import write_data

from funprm_worker.bilevel import Metrics
from funprm_worker.errors import WorkerError
from funprm_worker.model import load_model, rewards_of

ROWS = [list(range(2, 30)), list(range(40, 50))]


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


HEALTHY = {
    "loss": 0.2, "metaLoss": 0.2, "rawFit": 0.2, "spread": 0.2, "auc": 0.6, "bestOf": 0.5, "random": 0.4,
    "deltaP99": 0.1, "tableChange": 0.01, "labelsMoved": 0.01, "touches": 10.0,
}  # fmt: skip
SICK: dict[str, Any] = {
    "collapse": lambda i: {"spread": 0.01},
    "divergence": lambda i: {"deltaP99": 0.2 * 1.5**i},
    "noise fitting": lambda i: {"auc": 0.7 - 0.05 * i, "rawFit": 0.3 - 0.05 * i},
    "table frozen": lambda i: {"tableChange": 0.0},
    "oscillation": lambda i: {},
    "": lambda i: {},
}


@pytest.mark.parametrize("name", list(SICK))
def test_every_alarm_halves_once_goes_back_and_then_stops_the_run_by_name(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The measures are scripted, one more sick look each time; the empty name is the healthy run, which ends."""
    from funprm_worker import train_corrected as module

    class Scripted(module._Run):
        def _look(self, step: int, loss: float, meta_loss: float) -> dict[str, float]:
            # A look is a hundred steps of a real run.
            i = step // 2 - 1
            self.scores = [0.5] * len(self.held_out)
            turning = torch.tensor([(-1.0) ** k for k in range(self.table.changes.shape[1])])
            self.table.changes[:] = turning if name == "oscillation" and i >= 1 else 0.01
            return {**HEALTHY, "step": 100.0 * (i + 1), **SICK[name](i)}

    monkeypatch.setattr(module, "_Run", Scripted)
    monkeypatch.setattr("funprm_worker.bilevel.BiLevel.step", lambda *_: Metrics(0.2, 0.2, 8))
    said: list[str] = []
    run = small_run(backbone, tmp_path, steps=12)
    if not name:
        module.train_corrected(run, said.append)
        assert not [line for line in said if "alarm" in line]
        return
    with pytest.raises(WorkerError, match=rf"step \d+: {name}: .*last good checkpoint is kept in"):
        module.train_corrected(run, said.append)
    halved = [line for line in said if line.startswith("alarm at step")]
    assert len(halved) == 1 and name in halved[0] and "β halved to 0.005" in halved[0]
    kept = torch.load(tmp_path / "run/last.pt", weights_only=True)
    assert kept["rate"] == 0.005 and all(torch.isfinite(t).all() for t in kept["model"].values())
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert name in lines[-1]["alarm"]


def test_a_run_folder_says_what_was_run_and_shows_it(backbone: Path, tmp_path: Path) -> None:
    from funprm_worker.train_corrected import train_corrected

    train_corrected(small_run(backbone, tmp_path, steps=10), lambda _: None)
    folder = tmp_path / "run"
    config = json.loads((folder / "config.json").read_text())
    assert config["seed"] == 0 and config["versions"]["torch"] == torch.__version__
    assert config["settings"]["meta.form"] == ["free", "S"]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [one["step"] for one in metrics] == [2, 4, 6, 8, 10]
    assert {"loss", "metaLoss", "auc", "bestOf", "rawFit", "tableChange"} <= set(metrics[0])
    # A plot each, well-formed, with a curve of as many points as there were looks.
    for name in ("labels", "rewards", "losses", "validation"):
        root = ElementTree.fromstring((folder / f"plots/{name}.svg").read_text())
        curves = root.findall("{http://www.w3.org/2000/svg}polyline")
        assert curves
        if name == "losses":
            assert [len(curve.get("points", "").split()) for curve in curves] == [5, 5, 5]
    ranked = json.loads((folder / "top/top.json").read_text())
    scores = {one["step"]: one["bestOf"] for one in metrics}
    assert [one["score"] for one in ranked] == sorted(scores.values(), reverse=True)[:3]
    assert {path.name for path in (folder / "top").iterdir()} == {"top.json", *(str(one["step"]) for one in ranked)}
    best, first = (load_model(folder / name) for name in ("best", f"top/{ranked[0]['step']}"))
    assert rewards_of(best, ROWS, 0) == rewards_of(first, ROWS, 0)
    table = [json.loads(line) for line in (folder / "table.jsonl").read_text().splitlines()]
    assert all(set(one) == {"id", "step", "raw", "corrected", "weight", "touches"} for one in table)


def test_the_config_of_a_corrected_run_names_the_key_that_is_wrong(tmp_path: Path) -> None:
    from funprm_worker.config import CorrectedRun, read_run

    text = (Path(__file__).parent.parent / "presets/corrected.toml").read_text()
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert read_run(path) == CorrectedRun("default", "runs/start", "data", "runs/corrected", 60, every=20)
    path.write_text(text.replace('# form = "none"', 'form = "none"'))
    run = read_run(path)
    assert isinstance(run, CorrectedRun) and run.form == "none"
    for broken, why in (
        (text.replace("steps = 60", "steps = 1.5"), "key steps must be of type"),
        (text.replace("seed = 0", ""), "key seed is missing"),
        (text.replace("every = 20", "evry = 20"), "unknown key evry"),
        (text.replace('"default"', '"x"'), "the presets are"),
        (text.replace('# form = "none"', "form = 3"), "key form"),
    ):
        path.write_text(broken)
        with pytest.raises(WorkerError, match=why):
            read_run(path)


def test_a_full_disk_keeps_the_last_good_checkpoint_and_says_where(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funprm_worker import train_corrected as module

    run, real, calls = small_run(backbone, tmp_path), torch.save, 0

    def full(state: Any, path: Path) -> None:
        nonlocal calls
        calls += 1
        real(state, path)
        if calls > 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WorkerError, match=r"last\.pt: cannot be written .*No space left.*last good checkpoint is kept"):
        module.train_corrected(run, lambda _: None)
    assert torch.load(tmp_path / "run/last.pt", weights_only=True)["step"] == 2
    assert not (tmp_path / "run/last.part").exists()


@pytest.mark.parametrize("what", ["a cut file", "another shape"])
def test_a_checkpoint_of_another_config_is_refused_in_one_line(backbone: Path, tmp_path: Path, what: str) -> None:
    from funprm_worker.train_corrected import train_corrected

    run = small_run(backbone, tmp_path, steps=2)
    train_corrected(run, lambda _: None)
    path = tmp_path / "run/last.pt"
    if what == "a cut file":
        path.write_bytes(path.read_bytes()[:100])
    else:
        state = torch.load(path, weights_only=True)
        state["model"] = {name: tensor[:1] for name, tensor in state["model"].items()}
        torch.save(state, path)
    with pytest.raises(WorkerError, match=r"last\.pt: not a checkpoint of this config") as caught:
        train_corrected(run, lambda _: None)
    assert "\n" not in caught.value.message


def test_a_group_in_two_splits_stops_before_anything_is_trained(backbone: Path, tmp_path: Path) -> None:
    import gzip

    from funprm_worker.train_corrected import train_corrected

    run = small_run(backbone, tmp_path)
    row = json.loads(gzip.decompress((tmp_path / "data/training.jsonl.gz").read_bytes()).splitlines()[0])
    with gzip.open(tmp_path / "data/meta.jsonl.gz", "at") as out:
        out.write(json.dumps(row) + "\n")
    with pytest.raises(WorkerError, match="group a stands in training and in meta"):
        train_corrected(run, lambda _: None)
    assert not (tmp_path / "run/last.pt").exists()


def test_the_bar_shows_losses_on_a_terminal_and_nothing_elsewhere() -> None:
    import io

    from funprm_worker.progress import Progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream in (Terminal(), io.StringIO()):
        bar = Progress("correction", 4, stream)
        for step in range(1, 5):
            bar.show(step, {"loss": 0.5, "meta": 0.25, "validation": 0.75})
        shown = stream.getvalue()
        assert ("4/4  loss 0.5  meta 0.25  validation 0.75" in shown) == stream.isatty()
        assert bool(shown) == stream.isatty()
