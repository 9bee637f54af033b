"""What every ablation ends in: a JSON of its figures, a table in Markdown and an SVG. Light: no torch."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funprm_worker import plots

T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t for a 95 % interval at 1, 2, … degrees of freedom; 1.96 beyond."""

Cell = dict[str, float]
"""`value` and `half` of its 95 % interval."""


def spread(values: Sequence[float]) -> Cell:
    """Mean over seeds and half its 95 % t interval."""
    mean, count = sum(values) / len(values), len(values)
    if count < 2:
        return {"value": round(mean, 4), "half": 0.0}
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (count - 1))
    t = T_975[count - 2] if count - 2 < len(T_975) else 1.96
    return {"value": round(mean, 4), "half": round(t * deviation / math.sqrt(count), 4)}


def summary(runs: Mapping[str, Sequence[Mapping[str, float]]], against: str, figure: str) -> dict[str, dict[str, Cell]]:
    """Every figure of every arm over its seeds, and `figure` minus that of the arm `against`, paired by seed."""
    out: dict[str, dict[str, Cell]] = {}
    for arm, seeds in runs.items():
        out[arm] = {key: spread([one[key] for one in seeds]) for key in seeds[0]}
        base = runs[against]
        out[arm]["againstBase"] = spread([one[figure] - b[figure] for one, b in zip(seeds, base, strict=True)])
    return out


def table(rows: Mapping[str, Mapping[str, Cell]], columns: Mapping[str, str]) -> list[str]:
    """Lines of a Markdown table: an arm a row; a column that an arm lacks says n/a."""
    lines = [f"| | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for arm, figures in rows.items():
        cells = [
            f"{figures[key]['value']:.3f} ± {figures[key]['half']:.3f}" if key in figures else "n/a" for key in columns
        ]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return lines


def reading(rows: Mapping[str, Mapping[str, Cell]], base: str, figure: str) -> str:
    """Which arms differ from `base` by more than the interval of their paired difference, in words."""
    sides: dict[str, list[str]] = {"Above": [], "Below": []}
    for arm, figures in rows.items():
        gap = figures.get("againstBase", {"value": 0.0, "half": 0.0})
        if arm != base and abs(gap["value"]) > gap["half"]:
            sides["Above" if gap["value"] > 0 else "Below"].append(f"{arm} ({gap['value']:+.3f})")
    told = [f"{side} {base}: {', '.join(arms)}." for side, arms in sides.items() if arms]
    return f"By {figure}, paired by seed. " + (
        " ".join(told) or f"No arm differs from {base} by more than its interval."
    )


def write(out: Path, name: str, facts: Mapping[str, Any], text: Sequence[str], drawn: Mapping[str, str]) -> None:
    """`out`/NAME.json, NAME.md and NAME-PLOT.svg for each plot, shown at the end of the page."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
    shown = [f"![{plot}]({name}-{plot}.svg)" for plot in drawn]
    (out / f"{name}.md").write_text("\n".join([*text, *(["", *shown] if shown else [])]) + "\n")
    plots.write(out, {f"{name}-{plot}": svg for plot, svg in drawn.items()})
