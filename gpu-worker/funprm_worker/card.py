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
    if "heldOut" in metrics:
        base = manifest["trainedOn"]["base"]
        lines += [
            f"Trained further from {base['name']} {base['version']} (sha256 {base['modelSha256'][:12]}). Within-problem AUC on held-out outcomes: {_figure(metrics['heldOut']['auc'])}.",
            "",
        ]
    elif metrics:
        lines += [
            "## Measured on held-out groups",
            "",
            f"Split: {metrics['split']}. Inside one generator, 95 % bootstrap over problems. {choice_of(manifest)} The third holds only programs of two functions or more: there alone do the step rewards say more than one number.",
            "",
        ]
        columns = [metrics["solution"], metrics["notChosenOn"], metrics["multiStep"]]
        heads = ["Figure", "this model", "groups it was not chosen on", "two functions or more"]
        if "trivial" in metrics:
            columns.append(metrics["trivial"])
            heads.append("trivial scorer")
        lines += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        names = {
            "auc": "within-problem AUC",
            "bestOf": "Best-of-8 (mean reward)",
            "random": "random of the same groups",
            "lift": "Best-of-8 minus random, paired",
            "oracle": "oracle (pass@8)",
        }
        for key, name in names.items():
            lines.append(f"| {name} | {' | '.join(_figure(column[key]) for column in columns)} |")
        lines += ["", "| Step AUC on classeval, where every method has a verdict | |", "|---|---|"]
        for key, name in (("value", "reward against min-rule labels"), ("own", "attribution against own verdicts")):
            lines.append(f"| {name} | {_figure(metrics['steps'][key])} |")
        lines += ["", _verdict(metrics), ""]
        if "caution" in metrics:
            lines += [f"**Caution**: {metrics['caution']}", ""]
        if "beside" in metrics:
            lines += _beside(metrics["beside"])
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


def choice_of(manifest: dict[str, Any]) -> str:
    if manifest["method"].get("reward", {}).get("lastWeights"):
        return "The last weights of the run were kept; the second column holds the groups that the run did not look at."
    return "The checkpoint was chosen by Best-of-8 on a part of these groups; the second column leaves them out."


def _beside(beside: Any) -> list[str]:
    """The default model, its corrected continuation and the control, on the same rows."""
    models = {"default": beside["default"], "corrected": beside["corrected"], "control": "control without correction"}
    lines = [
        f"## {beside['default']} beside {beside['corrected']}",
        "",
        f"On the same {beside['rows']} programs. The corrected model and the control went on from the default one for {beside['steps']} steps with the same batches; the control's labels stay as they are.",
        "",
        f"| Figure | {' | '.join(models.values())} |",
        "|---|---|---|---|",
    ]
    for rows, where in (("figures", ""), ("multiStep", ", two functions or more")):
        for key, name in (("auc", "within-problem AUC"), ("bestOf", "Best-of-8"), ("lift", "Best-of-8 minus random")):
            lines.append(f"| {name}{where} | {' | '.join(_figure(beside[rows][one][key]) for one in models)} |")
    lines += ["", "| Paired difference | within-problem AUC | Best-of-8 |", "|---|---|---|"]
    for key, name in (
        ("correctedMinusControl", "corrected minus control"),
        ("correctedMinusDefault", "corrected minus default"),
        ("controlMinusDefault", "control minus default"),
    ):
        lines.append(f"| {name} | {_figure(beside[key]['auc'])} | {_figure(beside[key]['bestOf'])} |")
    table = beside["table"]
    return [
        *lines,
        "",
        f"{_correction_verdict(beside)} The correction touched {table['touched']:,} of {table['labels']:,} noisy labels {table['touches']:,} times, raised {table['raised']:,} of them, and moved one by {table['meanMove']:.3f} on average.",
        "",
    ]


def _correction_verdict(beside: Any) -> str:
    found = []
    for key, name in (("auc", "AUC"), ("bestOf", "Best-of-8")):
        low, high = beside["correctedMinusControl"][key]["ci"]
        better = "better" if low > 0 else "**worse**" if high < 0 else "not told apart"
        found.append(f"{better} by {name}")
    return f"Against the control the correction is {' and '.join(found)}."


def _figure(value: Any) -> str:
    if value is None:
        return "n/a"
    return f"{value['value']:.3f} [{value['ci'][0]:.3f}, {value['ci'][1]:.3f}] ({value['problems']})"


def _verdict(metrics: Any) -> str:
    return f"On all these groups {_against_random(metrics['solution'])}; on programs of two functions or more {_against_random(metrics['multiStep'])}. In brackets: 95 % interval and number of problems."


def _against_random(figures: Any) -> str:
    lift = figures["lift"]
    if lift is None:
        return "Best-of-8 could not be measured"
    if lift["ci"][0] > 0:
        return "Best-of-8 beats random choice, the paired interval excludes 0"
    if lift["value"] > 0:
        return (
            "Best-of-8 is above random choice but the paired interval holds 0: use it together with consensus and tests"
        )
    return "Best-of-8 is **not better than random choice**: do not select by reward alone"
