"""Licences: a set whose licence does not cover all it holds enters a bundle only by the flag."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from funprm_worker.errors import WorkerError
from funprm_worker.export import trained_on
from funprm_worker.licences import is_permissive, require_permissive
from funprm_worker.rows import Row


@pytest.mark.parametrize(
    ("licence", "permissive"),
    [
        ("MIT", True),
        ("Apache-2.0", True),
        ("CC-BY-4.0 (MBPP)", True),
        ("MIT (FudanSELab/ClassEval); MIT (RealClassEval-Replication)", True),
        ("BSD-3-Clause", True),
        ("benchmark: MIT; candidates: per source", False),
        ("Apache-2.0 (LeetCode problem text: LeetCode terms)", False),
        ("MIT repo fork; Codeforces text: platform terms", False),
        ("none stated (CodeContests data: CC-BY-4.0)", False),
        ("MIT (code of the original classes: their own repos)", False),
        ("CC-BY-NC-4.0", False),
        ("GPL-3.0", False),
        ("not stated", False),
        ("", False),
        ("PERMIT", False),
    ],
)
def test_only_what_is_stated_for_every_part_is_permissive(licence: str, permissive: bool) -> None:
    assert is_permissive(licence) == permissive


def card(folder: Path, **licences: list[str]) -> Path:
    sets = {name: {"licences": one, "rows": 0 if name == "unused" else 3} for name, one in licences.items()}
    (folder / "card.json").write_text(json.dumps({"sets": sets}))
    return folder


def test_the_flag_alone_lets_such_a_set_in_and_the_refusal_names_it(tmp_path: Path) -> None:
    data = card(tmp_path, good=["MIT"], contests=["none stated"], bare=[], unused=["none stated"])
    with pytest.raises(WorkerError, match=r"all of bare, contests; .*--unlicensed") as caught:
        require_permissive(data, False)
    assert "\n" not in caught.value.message and "unused" not in caught.value.message
    require_permissive(data, True)
    require_permissive(card(tmp_path, good=["MIT", "Apache-2.0"]), False)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(WorkerError, match="no readable data card"):
        require_permissive(tmp_path, True)


def test_the_manifest_lists_set_licence_and_rows() -> None:
    rows = [
        Row(f"{name}/{k}", "p", name, "m", "", ["a"], [1.0], [None], [None], ["unit_test"], 1.0)
        for name, count in (("one", 2), ("two", 3))
        for k in range(count)
    ]
    found = trained_on(rows, {"sets": {"one": {"licences": ["MIT"]}, "two": {"licences": ["Apache-2.0", "MIT"]}}})
    assert found["sets"] == [
        {"set": "one", "rows": 2, "licence": "MIT"},
        {"set": "two", "rows": 3, "licence": "Apache-2.0; MIT"},
    ]


def test_export_refuses_before_any_work_with_one_line_and_code_two(tmp_path: Path) -> None:
    data = card(tmp_path, contests=["none stated"])
    text = (Path(__file__).parent.parent / "presets/toy.toml").read_text()
    config = tmp_path / "config.toml"
    config.write_text(text.replace('data = "data"', f'data = "{data}"'))
    command = [sys.executable, "-m", "funprm_worker", "export", "--config", str(config), "--out", f"{tmp_path}/out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "contests" in done.stderr and "--unlicensed" in done.stderr
    assert not (tmp_path / "out").exists()
