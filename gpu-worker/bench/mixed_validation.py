"""Figures of a run's best checkpoint on every validation cluster with both verdicts, up to 16 rows of each.

python gpu-worker/bench/mixed_validation.py RUN DATA   (about 4 minutes on two busy cores)

Wider than the figures of the manifest, which come from an eighth of the groups; prints, beside all groups, those that the
choice of the checkpoint did not see, and the programs of two steps or more.
"""

import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from funprm_worker.encode import Encoder
from funprm_worker.evaluate import solution_figures
from funprm_worker.model import load_model
from funprm_worker.onnx_graph import round_weights
from funprm_worker.rows import Row, read_rows
from funprm_worker.train import clusters_of, encode_rows, mean, step_rewards

run, data = Path(sys.argv[1]), Path(sys.argv[2])
config = json.loads((run / "config.json").read_text())
model, encoder = load_model(run / "best"), Encoder.load(run / "tokenizer.json")
round_weights(model)
validation = list(read_rows(data / "validation.jsonl.gz"))

# The groups of `Run._validation_sample`, drawn as it draws them.
clusters = [c for c in clusters_of(validation, 8, config["seed"]) if {row.verdict for row in c} >= {0, 1}]
random.Random(config["seed"]).shuffle(clusters)
taken, chosen_on = 0, set()
for cluster in clusters:
    if taken >= config["checkpoint"]["validation_rows"]:
        break
    members = [row for row in cluster if not row.empty_prefix]
    taken += len(members)
    chosen_on |= {row.group for row in members}

pools: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
for row in validation:
    if row.verdict is not None and row.pool != "constructed":
        pools[row.group, row.pool].append(row)
rng = random.Random(1)
rows = [
    row
    for key in sorted(pools)
    if {row.verdict for row in pools[key]} == {0, 1}
    for row in rng.sample(pools[key], min(16, len(pools[key])))
]
encoded = encode_rows(rows, encoder, config["model"]["max_tokens"], 1.0)
scores = [mean(rewards) for rewards in step_rewards(model, encoded, encoder.pad_id)]


def show(name: str, keep: Callable[[Row], bool]) -> None:
    kept = [i for i, one in enumerate(encoded) if keep(one.row)]
    print(name, json.dumps(solution_figures([encoded[i].row for i in kept], [scores[i] for i in kept])))


show("all", lambda row: True)
show("not used to choose the checkpoint", lambda row: row.group not in chosen_on)
show("two steps or more", lambda row: len(row.completions) > 1)
