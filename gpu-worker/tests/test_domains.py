"""Leave one domain out: no verdict of the domain is trained on, all arms alike otherwise, and a stopped command goes on."""

import gzip
import json
from pathlib import Path

import pytest

from funprm_worker import domains
from funprm_worker.config import BackboneConfig, CheckpointConfig, Config, ModelConfig, PretrainConfig, RewardConfig
from funprm_worker.errors import WorkerError
from funprm_worker.rows import read_rows

SETS = ("codeforces_guni", "classeval", "mbpp_mpl")


@pytest.fixture
def config(backbone: Path, tmp_path: Path) -> Config:
    data = tmp_path / "data"
    data.mkdir()
    for split, groups in (("training", "abc"), ("meta", "de"), ("validation", "fg")):
        with gzip.open(data / f"{split}.jsonl.gz", "wt") as out:
            for name in SETS:
                for group in groups:
                    for k in range(8):
                        facts = {
                            "id": f"{name}/{group}{k}", "problem": f"{name}{group}", "group": f"{name}{group}",
                            # Of a class each model wrote one program.
                            "pool": f"m{k}" if name == "classeval" else "m",
                            "prompt": "Add.", "completions": [f"def f(x):\n    return x {'+-'[k % 2]} {k}"],
                            "labels": [k % 2], "own": [None], "counts": [None], "source": ["unit_test"], "weight": 1,
                            "renderVersion": "v1",
                        }  # fmt: skip
                        out.write(json.dumps(facts) + "\n")
    return Config(
        data=str(data),
        run=str(tmp_path / "run"),
        seed=1,
        threads=1,
        precision="bfloat16",
        model=ModelConfig(32, 2, 2, 64, 256, 300),
        pretrain=PretrainConfig(0, 128, 64, 1e-3),
        reward=RewardConfig(3, 512, 1e-2, 0.0, 0.5, 0.0, 0.0, 4, 0.3),
        checkpoint=CheckpointConfig(2, 50),
        backbone=BackboneConfig(str(backbone), "scalar", "full", 0, 0, 0.0, []),
    )


def test_no_verdict_of_the_domain_is_trained_on_and_the_command_goes_on(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "reports" / "left-out"
    domains.leave_one_out(config, out, lambda _: None, ("prm", "trivial"))
    for arm, left_out in {domains.ALL: (), **domains.DOMAINS}.items():
        folder = tmp_path / "run" / arm.replace(" ", "-")
        sets = {domains.set_of(row) for row in read_rows(folder / "data" / "training.jsonl.gz")}
        assert sets == set(SETS) - set(left_out)
        looks = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [look["step"] for look in looks] == [3], "a checkpoint was chosen by looking at the domain"
        measured = {name.split("/")[0] for name in json.loads((folder / "scores.json").read_text())}
        assert measured == (set(SETS) & set(left_out) if left_out else set(SETS))
    facts = json.loads(out.with_suffix(".json").read_text())
    for domain in domains.DOMAINS:
        # Two groups of validation and two of meta, each with both verdicts.
        assert facts["domains"][domain]["rows"] == 32
        for one in facts["domains"][domain]["scorers"].values():
            assert one["without"]["auc"]["problems"] == 4
            gap = one["without"]["auc"]["value"] - one["with"]["auc"]["value"]
            assert one["difference"]["auc"]["value"] == pytest.approx(gap, abs=2e-4)
    page = out.with_suffix(".md").read_text()
    assert all(f"| {domain} |" in page for domain in domains.DOMAINS)

    def never(*_: object) -> None:
        raise AssertionError("an arm was trained twice")

    monkeypatch.setattr(domains, "train", never)
    domains.leave_one_out(config, out, lambda _: None, ("prm", "trivial"))
    assert out.with_suffix(".md").read_text() == page

    right, wrong = tmp_path / "right", tmp_path / "wrong"
    monkeypatch.setattr(
        domains,
        "_measured",
        lambda _, folder, rows, __: {row.id: float(row.verdict == (1 if folder == right else 0)) for row in rows},
    )
    models = {"right": right, "wrong": wrong}
    domains.leave_one_out(config, out, lambda _: None, ("trivial",), None, wrong, models)
    found = json.loads(out.with_suffix(".json").read_text())["others"]
    assert [found[name]["all"]["auc"]["value"] for name in models] == [1, 0]
    assert [found[name]["minusCheckpoint"]["auc"]["value"] for name in models] == [1, 0]
    assert found["right"]["domains"]["classes"]["auc"]["value"] == 1
    assert "| right |" in out.with_suffix(".md").read_text()
    with pytest.raises(WorkerError, match="give both"):
        domains.leave_one_out(config, out, lambda _: None, ("trivial",), None, None, models)


def test_a_head_on_a_frozen_encoder_tells_what_its_vectors_tell() -> None:
    import torch

    from funprm_worker.encoder_head import fit_head, scores_of
    from funprm_worker.evaluate import solution_figures
    from funprm_worker.rows import Row

    rows = [
        Row(f"s/{g}{k}", g, g, "m", "", ["x"], [k % 2], [None], [None], ["unit_test"], 1.0)
        for g in "abcdefghijkl"
        for k in range(8)
    ]
    noise = torch.randn(len(rows), 16, generator=torch.Generator().manual_seed(0))
    telling = noise.clone()
    telling[:, 3] += torch.tensor([3.0 * (k % 2) for _ in "abcdefghijkl" for k in range(8)])
    unit = torch.nn.functional.normalize(telling, dim=1)
    head = fit_head(rows[:80], unit[:80], 0)
    assert solution_figures(rows[80:], scores_of(head, unit[80:]))["auc"]["value"] > 0.8
    assert torch.equal(head.weight, fit_head(rows[:80], unit[:80], 0).weight)


def test_scorers_that_are_none_are_refused(config: Config, tmp_path: Path) -> None:
    for scorers in (("orm",), ("encoder",)):
        with pytest.raises(WorkerError, match="choose of prm, encoder, trivial"):
            domains.leave_one_out(config, tmp_path / "out", lambda _: None, scorers)
