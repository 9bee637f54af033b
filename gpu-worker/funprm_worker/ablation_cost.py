"""What correction costs as the data grow: the same passes over 1k, 4k and 16k rows, with and without a table."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from funprm_worker import ablation_report, plots
from funprm_worker.ablation import EASY, RADIUS, Options, recover, world
from funprm_worker.bilevel import BiLevel, InnerBatch, MetaBatch, Settings
from funprm_worker.correction import CorrectionTable, StepLabel, TableSettings

ROWS = (1000, 4000, 16_000)
PASSES, BATCH, TIMED = 20, 64, 200


class _Wide(nn.Module):
    """A logit by two layers, so that a forward pass is not nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 256), nn.Tanh(), nn.Linear(256, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out.squeeze(-1)


def _logits(module: nn.Module, x: Any) -> Tensor:
    out: Tensor = module(x)
    return out


def _timed(rows: int, form: str, seed: int) -> tuple[float, float]:
    """CPU seconds of one step, and MiB of the table's tensors."""
    one = world(20, 200, "flip", seed, rows=rows)
    x, meta = torch.from_numpy(one.x).float(), torch.from_numpy(one.meta).float()
    labels = [StepLabel(f"r{i}", "p", 0, 1, float(n), 16) for i, n in enumerate(one.passes)]
    torch.manual_seed(seed)
    module = _Wide(20)
    table = CorrectionTable(labels, TableSettings(form=form))  # type: ignore[arg-type]
    level = BiLevel(module, _logits, torch.optim.Adam(module.parameters(), lr=1e-3), table, Settings())
    outside = MetaBatch(
        meta, torch.arange(200), torch.from_numpy(one.meta_labels).float(), torch.zeros(200, dtype=torch.int64)
    )
    rng = torch.Generator().manual_seed(seed)
    started = 0.0
    for step in range(TIMED + 20):
        if step == 20:
            started = time.process_time()
        at = torch.randint(0, rows, (BATCH,), generator=rng)
        level.step([InnerBatch(x[at], at)], None if form == "none" else outside)
    seconds = (time.process_time() - started) / TIMED
    kept = [*table.values, *table.moment, *table.square, *table.steps, table.touches, table.changes]
    return seconds, sum(one.numel() * one.element_size() for one in kept) / 2**20


def cost(out: Path, seeds: int, report: Callable[[str], None]) -> None:
    """Writes `out`/correction-cost.json, .md and .svg. Times are CPU seconds of one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tables: dict[str, dict[str, dict[str, ablation_report.Cell]]] = {}
    slopes: dict[str, float] = {}
    points: dict[str, list[plots.Point]] = {}
    for form in ("none", "logit"):
        rows: dict[str, dict[str, ablation_report.Cell]] = {}
        for count in ROWS:
            runs = []
            for seed in range(seeds):
                seconds, size = _timed(count, form, seed)
                steps = count * PASSES // BATCH
                options = Options(form, EASY[4], steps=steps)
                got = recover(world(20, 200, "flip", seed, rows=count), replace(options), seed)
                runs.append(
                    {"stepMs": 1000 * seconds, "passesS": seconds * steps, "tableMiB": size,
                     **{key: got[key] for key in ("mae", "auc", "bestOf8")}}
                )  # fmt: skip
            rows[f"{count:,} rows"] = {key: ablation_report.spread([run[key] for run in runs]) for key in runs[0]}
            report(f"{form}: {count} rows")
        tables[form] = rows
        took = [one["passesS"]["value"] for one in rows.values()]
        slopes[form] = round(math.log(took[-1] / took[0]) / math.log(ROWS[-1] / ROWS[0]), 3)
        points[form] = [(math.log10(n), math.log10(s)) for n, s in zip(ROWS, took, strict=True)]
    torch.set_num_threads(threads)
    columns = {
        "stepMs": "ms a step", "passesS": f"s for {PASSES} passes", "tableMiB": "table, MiB", "mae": "label MAE",
        "auc": "model AUC", "bestOf8": "Best-of-8",
    }  # fmt: skip
    text = [
        "# Correction: cost",
        "",
        f"The noisy logistic world of rulings 9 (20 dimensions, 200 clean rows, flip, radius {RADIUS}), {seeds} seeds; "
        f"times: a network of 256 hidden units, batch {BATCH}, CPU of one thread; figures: the linear model after "
        f"{PASSES} passes. The table is row-sparse: a step costs the same whatever the rows, a pass grows with them.",
    ]
    for form, rows in tables.items():
        text += [
            "",
            f"## {form}: slope of log time in log rows {slopes[form]}",
            "",
            *ablation_report.table(rows, columns),
        ]
    drawn = {"1": plots.lines("Time of the passes", "log10 rows", "log10 seconds", points)}
    facts = {"ablation": "cost", "seeds": seeds, "passes": PASSES, "slopes": slopes, "forms": tables}
    ablation_report.write(out, "correction-cost", facts, text, drawn)
