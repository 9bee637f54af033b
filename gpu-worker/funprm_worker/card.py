"""MODEL_CARD.md, made from the manifest alone."""

from typing import Any


def card(manifest: dict[str, Any]) -> str:
    metrics = manifest["metrics"]
    lines = [f"# {manifest['name']} {manifest['version']}", "", f"{manifest['method']['summary']}.", ""]
    lines += [
        f"{manifest['parameters']:,} parameters, {manifest['weights']} weights, context {manifest['maxTokens']} tokens, render {manifest['renderVersion']}.",
        "",
        "**Uncalibrated**: a reward orders candidates of one problem; it is not a probability.",
        "",
    ]
    if metrics:
        lines += [
            "## Measured on held-out groups",
            "",
            f"Split: {metrics['split']}; {metrics['chosenOn']}. Inside one generator, 95 % bootstrap over problems.",
            "",
        ]
        lines += ["| Figure | this model | trivial scorer | problems |", "|---|---|---|---|"]
        names = {
            "auc": "within-problem AUC",
            "bestOf": "Best-of-8 (mean reward)",
            "random": "random of the same groups",
            "oracle": "oracle (pass@8)",
        }
        for key, name in names.items():
            ours, other = metrics["solution"][key], metrics["trivial"][key]
            lines.append(f"| {name} | {_figure(ours)} | {_figure(other)} | {ours['problems'] if ours else 0} |")
        multi = metrics["multiStep"]
        lines += [
            f"| AUC, {multi['rows']} programs of two functions or more | {_figure(multi['auc'])} | | {multi['auc']['problems'] if multi['auc'] else 0} |"
        ]
        for key, name in (
            ("value", "step AUC, reward against min-rule labels (classeval)"),
            ("own", "step AUC, attribution against own verdicts (classeval)"),
        ):
            step = metrics["steps"][key]
            lines.append(f"| {name} | {_figure(step)} | | {step['problems'] if step else 0} |")
        lines += ["", _verdict(metrics), ""]
        agreement = metrics["int8AgainstFp32"]
        lines += [
            f"int8 against fp32: Kendall's tau {agreement['kendall']}, same Best-of-8 pick {agreement['samePick']}.",
            "",
        ]
    sets = manifest["trainedOn"]["sets"]
    if sets:
        lines += [
            "## Trained on",
            "",
            "| set | rows | licence |",
            "|---|---|---|",
            *[f"| {s['set']} | {s['rows']} | {s['licence']} |" for s in sets],
            "",
        ]
        lines += [
            f"{manifest['trainedOn']['groups']} groups, list hash {manifest['trainedOn']['groupsSha256'][:16]}. Text for pretraining: {manifest['trainedOn']['languageModelText']}.",
            "",
        ]
    return "\n".join(lines)


def _figure(value: Any) -> str:
    return "n/a" if value is None else f"{value['value']:.3f} [{value['ci'][0]:.3f}, {value['ci'][1]:.3f}]"


def _verdict(metrics: Any) -> str:
    solution = metrics["solution"]
    ours, random = solution["bestOf"], solution["random"]
    if ours is None or random is None:
        return "Best-of-8 could not be measured."
    if ours["ci"][0] > random["ci"][1]:
        return "Best-of-8 beats random choice: the intervals do not overlap."
    return "Best-of-8 does **not** beat random choice by an interval on these groups: use it together with consensus and tests."
