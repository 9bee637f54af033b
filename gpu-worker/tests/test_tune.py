"""Training a bundle further, here and for others: attacked by stops, by repetition, by wrong hashes and by poison."""

import gzip
import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from funprm_worker.bundle import check_bundle
from funprm_worker.errors import WorkerError
from funprm_worker.onnx_weights import model_of_bundle
from funprm_worker.serve import Scorer, Server
from funprm_worker.trainings import CONFIG, KEYS, Trainings
from funprm_worker.tune import TuneRun, _Tuning, held_out_figures, tune

REPOSITORY = Path(__file__).parent.parent.parent
TINY = REPOSITORY / "test/fixtures/models/tiny"
TOKEN = "a-token-of-the-tests"


def row(name: str, text: str, label: float | None, source: str | None, group: str) -> dict[str, Any]:
    noisy = source == "broadcast"
    return {
        "id": name, "problem": group, "group": group, "date": None, "language": "python", "pool": None,
        "prompt": "p", "completions": [text], "labels": [label], "own": [label],
        "counts": [[label, 1] if noisy else None], "source": [source], "weight": 1, "renderVersion": "v1",
    }  # fmt: skip


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in rows).encode(), mtime=0))


def rows(split: str, count: int, lies: Callable[[int], bool] = lambda _: False) -> list[dict[str, Any]]:
    """Right functions return x, wrong ones y; every third label of the training set is noisy, each seventh of those turned
    round, and every label of problem k where `lies(k)`."""
    out = []
    for k in range(count):
        for label, name in ((1, "x"), (0, "y")):
            text = f"def f{k}(x, y):\n    return {name}"
            noisy = split == "training" and k % 3 == 0
            said = 1 - label if lies(k) or (noisy and k % 7 == 0) else label
            out.append(row(f"{split}-{k}-{name}", text, said, "broadcast" if noisy else "outcome", f"{split}-{k}"))
    return out


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder / "training.jsonl.gz", rows("training", 24))
    write(folder / "meta.jsonl.gz", rows("meta", 6))
    write(folder / "validation.jsonl.gz", rows("validation", 8))
    write(
        tmp_path / "rehearsal.jsonl.gz",
        [row(f"r{k}", f"def g{k}(a):\n    return a + {k}", None, None, "rehearsal") for k in range(12)],
    )
    return folder


@pytest.fixture
def more(data: Path) -> Path:
    """Enough problems for the first epoch to teach something, and a dozen to listen to."""
    write(data / "training.jsonl.gz", rows("training", 120))
    write(data / "meta.jsonl.gz", rows("meta", 12))
    return data


def run_of(data: Path, name: str, **settings: Any) -> TuneRun:
    rehearsal = str(data.parent / "rehearsal.jsonl.gz")
    return TuneRun(str(TINY), str(data), str(data.parent / name), rehearsal, threads=1, tokens=512, every=3, **settings)


def test_the_weights_of_a_bundle_are_those_that_it_serves() -> None:
    model, encoder, manifest = model_of_bundle(TINY)
    assert model.parameters_total() == manifest["parameters"]
    assert encoder.vocab_size == model.config.vocab_size


def test_learns_writes_a_bundle_that_holds_and_touches_only_noisy_labels(data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    tune(run_of(data, "run", epochs=8, rate=3e-3), tmp_path / "bundle", "tiny", "0.0.1+1", lines.append)
    manifest = check_bundle(tmp_path / "bundle")
    assert manifest["version"] == "0.0.1+1"
    assert manifest["trainedOn"]["base"]["modelSha256"] == check_bundle(TINY)["modelSha256"]
    assert "the first epoch listens" in lines[0]
    assert manifest["metrics"]["heldOut"]["auc"]["value"] > 0.9
    table = [json.loads(line) for line in (tmp_path / "run/table.jsonl").read_text().splitlines()]
    assert len(table) == 16
    assert all(one["id"].split("-")[1] in {str(k) for k in range(0, 24, 3)} for one in table)


def test_a_stopped_run_goes_on_bit_for_bit(data: Path) -> None:
    straight = _Tuning(run_of(data, "straight", epochs=3), lambda _: None)
    straight.go()
    assert straight.agreement is not None

    class Stopped(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith('{"step": 6'):
            raise Stopped

    with pytest.raises(Stopped):
        _Tuning(run_of(data, "stopped", epochs=3), stop).go()
    # The report comes before the checkpoint of its step: the run goes on from step 3.
    again = _Tuning(run_of(data, "stopped", epochs=3), lambda _: None)
    again.go()
    for (name, one), other in zip(straight.model.state_dict().items(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert straight.table.exported() == again.table.exported()


def test_refuses_another_run_in_the_same_folder_and_rows_without_labels(data: Path, tmp_path: Path) -> None:
    _Tuning(run_of(data, "run"), lambda _: None)
    with pytest.raises(WorkerError, match="other data, base or settings"):
        _Tuning(run_of(data, "run", seed=1), lambda _: None)
    write(data / "training.jsonl.gz", [row("a", "x = 1", None, None, "a")])
    with pytest.raises(WorkerError, match="no labelled row"):
        _Tuning(run_of(data, "other"), lambda _: None)


def distance(tuning: _Tuning) -> tuple[float, float]:
    """Mean squared distance of the noisy labels to the truth: as they stand, and as they were corrected."""
    found = tuning.table.exported()
    truth = [float(one["id"].endswith("-x")) for one in found]
    stand = [((one["raw"] + 0.5) / 2 - right) ** 2 for one, right in zip(found, truth, strict=True)]
    corrected = [(one["corrected"] - right) ** 2 for one, right in zip(found, truth, strict=True)]
    return sum(stand) / len(stand), sum(corrected) / len(corrected)


def test_where_the_meta_problems_know_the_clean_labels_the_noisy_ones_come_nearer_the_truth(more: Path) -> None:
    lines: list[str] = []
    tuning = _Tuning(run_of(more, "run", epochs=3, rate=1e-2), lines.append)
    tuning.go()
    assert tuning.corrects and any("label correction on" in line for line in lines)
    stand, corrected = distance(tuning)
    assert corrected < stand - 0.02


def test_where_they_do_not_no_label_moves_and_the_model_is_that_of_a_plain_run(more: Path) -> None:
    write(more / "meta.jsonl.gz", rows("meta", 12, lies=lambda k: k % 2 == 0))
    plain = _Tuning(run_of(more, "plain", epochs=2, rate=1e-2, form="none"), lambda _: None)
    plain.go()
    lines: list[str] = []
    tuning = _Tuning(run_of(more, "run", epochs=2, rate=1e-2), lines.append)
    tuning.go()
    assert not tuning.corrects and any("label correction off: the meta problems know" in line for line in lines)
    stand, corrected = distance(tuning)
    assert corrected == pytest.approx(stand)
    for (name, one), other in zip(plain.model.state_dict().items(), tuning.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_thirty_percent_of_lies_are_outweighed_silence_the_table_and_leave_no_trace_when_taken_out(more: Path) -> None:
    # The liar's are clean verdicts too, those of the meta problems among them; what is held out tells the truth.
    def lies(k: int) -> bool:
        return k % 10 < 3

    write(more / "training.jsonl.gz", rows("training", 120, lies))
    write(more / "meta.jsonl.gz", rows("meta", 12, lies))
    write(more / "validation.jsonl.gz", rows("validation", 24))
    tuning = _Tuning(run_of(more, "poisoned", epochs=4, rate=1e-2), lambda _: None)
    tuning.go()
    rewards = tuning._rewards(tuning.validation)
    figures = held_out_figures([chain.row for chain in tuning.validation], rewards)
    assert figures["auc"]["ci"][0] > 0.5
    stand, corrected = distance(tuning)
    assert not tuning.corrects and corrected == pytest.approx(stand)

    def honest(split: str, count: int) -> list[dict[str, Any]]:
        return [one for one in rows(split, count, lies) if not lies(int(one["id"].split("-")[1]))]

    write(more / "training.jsonl.gz", honest("training", 120))
    write(more / "meta.jsonl.gz", honest("meta", 12))
    runs = [_Tuning(run_of(more, name, epochs=2, rate=1e-2), lambda _: None) for name in ("without", "never")]
    for run in runs:
        run.go()
    for one, other in zip(*(run.model.state_dict().values() for run in runs), strict=True):
        assert torch.equal(one, other)
    assert runs[0].agreement == runs[1].agreement


def test_a_noisy_label_is_clean_where_a_clean_verdict_of_its_text_confirms_it_and_nowhere_else(data: Path) -> None:
    text = "def g(x, y):\n    return x"
    others = [
        row("confirmed", text, 1, "broadcast", "p1"),
        row("clean", text, 1, "outcome", "p1"),
        row("elsewhere", text, 1, "broadcast", "p2"),
        row("contradicted", text, 0, "broadcast", "p3"),
        row("clean-3", text, 1, "outcome", "p3"),
        row("disputed", text, 1, "broadcast", "p4"),
        row("clean-4", text, 1, "outcome", "p4"),
        row("clean-4b", text, 0, "outcome", "p4"),
    ]
    write(data / "training.jsonl.gz", [*rows("training", 24), *others])
    tuning = _Tuning(run_of(data, "run", epochs=1), lambda _: None)
    labels = {label.id: label for label in tuning.labels}
    assert {name: labels[name].trials for name in ("confirmed", "elsewhere", "contradicted", "disputed")} == {
        "confirmed": 0, "elsewhere": 1, "contradicted": 1, "disputed": 1,
    }  # fmt: skip
    tuning.go()
    table = {one["id"]: one for one in map(json.loads, (data.parent / "run/table.jsonl").read_text().splitlines())}
    assert table["confirmed"]["corrected"] == table["confirmed"]["raw"] == 1
    assert table["elsewhere"]["corrected"] == pytest.approx(0.75)
    assert table["contradicted"]["corrected"] == pytest.approx(0.25)


def test_without_clean_meta_problems_labels_stay_as_they_are(data: Path) -> None:
    write(data / "meta.jsonl.gz", [])
    tuning = _Tuning(run_of(data, "run", epochs=1), lambda _: None)
    tuning.go()
    for one in tuning.table.exported():
        assert one["corrected"] == pytest.approx((one["raw"] + 0.5) / 2)


# ---------------------------------------------------------------- for others


class Worker:
    def __init__(self, folder: Path) -> None:
        scorer = Scorer.load(TINY, 1)
        self.trainings = Trainings(folder, TINY, scorer.info["sha256"], 1)
        self.server = Server(("127.0.0.1", 0), scorer, TOKEN, self.trainings)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        address = f"http://127.0.0.1:{self.server.server_address[1]}/v1/{path}"
        headers = {"authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(address, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request) as reply:
                data = reply.read()
                return reply.status, json.loads(data) if reply.headers["content-type"] == "application/json" else data
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, json.loads(problem.read())

    def until(self, name: str, states: tuple[str, ...]) -> dict[str, Any]:
        for _ in range(2400):
            status: dict[str, Any] = self.ask("GET", f"trainings/{name}")[1]
            if status["state"] in states:
                return status
            time.sleep(0.1)
        raise AssertionError(f"training {name} is still {status}")

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.trainings.stop()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    one = Worker(tmp_path / "store")
    yield one
    one.stop()


def sent(worker: Worker, data: Path) -> dict[str, Any]:
    snapshots = {}
    for split in ("training", "meta", "validation"):
        body = (data / f"{split}.jsonl.gz").read_bytes()
        snapshots[split] = hashlib.sha256(body).hexdigest()
        assert worker.ask("PUT", f"snapshots/{snapshots[split]}", body)[0] == 201
    config = {"name": "tiny", "version": "0.0.1+1", "epochs": 1, "seed": 0}
    return {"id": "0123abcd", "config": config, "snapshots": snapshots, "base": worker.server.scorer.info["sha256"]}


def test_a_training_is_started_once_finished_across_a_restart_and_fetched(worker: Worker, data: Path) -> None:
    request = sent(worker, data)
    body = json.dumps(request).encode()
    assert worker.ask("POST", "trainings", body)[0] == 202
    assert worker.ask("POST", "trainings", body)[0] == 202
    other = json.dumps({**request, "config": {**request["config"], "seed": 1}}).encode()
    assert worker.ask("POST", "trainings", other)[0] == 409
    worker.until(request["id"], ("running", "done"))
    worker.stop()

    again = Worker(worker.trainings.folder)
    try:
        status = again.until(request["id"], ("done", "failed"))
        assert status["state"] == "done", status
        assert set(status["files"]) >= {"manifest.json", "model.onnx", "tokenizer.json", "table.jsonl"}
        manifest = json.loads(again.ask("GET", f"trainings/{request['id']}/files/manifest.json")[1])
        weights = again.ask("GET", f"trainings/{request['id']}/files/model.onnx")[1]
        assert hashlib.sha256(weights).hexdigest() == manifest["modelSha256"]
        assert again.ask("GET", f"trainings/{request['id']}/files/../request.json")[0] == 404
        assert again.ask("DELETE", f"trainings/{request['id']}")[1]["deleted"]
        assert again.ask("GET", f"trainings/{request['id']}")[0] == 404
    finally:
        again.stop()


def test_refuses_what_is_not_what_it_says(worker: Worker, data: Path) -> None:
    assert worker.ask("PUT", f"snapshots/{'0' * 64}", b"rows")[0] == 422
    request = sent(worker, data)
    for change, status in (
        ({"base": "0" * 64}, 404),
        ({"id": "../../etc"}, 422),
        ({"snapshots": {**request["snapshots"], "meta": "1" * 64}}, 404),
        ({"config": {**request["config"], "epochs": 0}}, 422),
        ({"more": 1}, 422),
    ):
        assert worker.ask("POST", "trainings", json.dumps({**request, **change}).encode())[0] == status, change


def test_a_worker_that_only_scores_says_so(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "store")
    worker.server.trainings = None
    try:
        assert worker.ask("GET", "trainings/abcd")[1]["error"]["message"].endswith("--trainings FOLDER")
        assert worker.ask("GET", "info")[1]["trains"] is False
    finally:
        worker.stop()


def test_trainings_are_those_of_the_generated_schema() -> None:
    schema = json.loads((REPOSITORY / "gpu-worker/funprm_worker/wire.schema.json").read_text())
    request = schema["POST /v1/trainings"]["properties"]
    assert set(request) == KEYS
    assert set(request["config"]["properties"]) == CONFIG
