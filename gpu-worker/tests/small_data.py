"""A data set of some rows, as `funprm dataset build` writes one."""

import json
from pathlib import Path
from typing import Any


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
