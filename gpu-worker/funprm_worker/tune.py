"""Trains a served bundle further on what pull requests taught (issue H item 5), and writes the bundle of the challenger.

Rows of the data folder: `training` (clean labels and noisy ones), `meta` (clean, of other problems) and `validation`
(measured, never trained on). A noisy label that a clean verdict of the same text confirms is clean. In the first epoch the
outer gradient of the meta problems is only listened to, at labels whose truth is known; where it takes their side the
correction table repairs the noisy ones from then on, elsewhere they stay as they stand. The file of `rehearsal` holds chains without a label whose
target is the reward of the model that training starts from, so that what it knew stays.

A run folder holds config.json, metrics.jsonl, table.jsonl (labels, raw and corrected) and last.pt: a run that was
stopped goes on bit for bit on CPU.
"""

import hashlib
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from funprm_worker.bilevel import BiLevel, InnerBatch, MetaBatch, Settings
from funprm_worker.bundle import sha256_file, write_bundle
from funprm_worker.correction import CorrectionTable, StepLabel, TableSettings
from funprm_worker.encode import assemble
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import interval, pair_auc
from funprm_worker.export import GATE, PARITY_TOLERANCE, parity_rows
from funprm_worker.listening import Listening, knows
from funprm_worker.onnx_graph import round_weights, write_onnx
from funprm_worker.onnx_weights import model_of_bundle
from funprm_worker.rows import Row, assert_disjoint, clean_verdicts, prefix_of, read_rows
from funprm_worker.train import EncodedRow, mean, pad, step_rewards
from funprm_worker.train_corrected import NOISY, logits_at

FEWEST_META = 5
"""Meta problems with both verdicts below which the outer gradient is not even listened to."""


@dataclass(frozen=True)
class TuneRun:
    """`epochs` over the labelled rows; `tokens`: padded tokens of a batch; `rehearsed`: rehearsed rows to a labelled one."""

    bundle: str
    data: str
    run: str
    rehearsal: str | None = None
    seed: int = 0
    threads: int = 2
    epochs: int = 8
    tokens: int = 4096
    rate: float = 1e-3
    pairwise: float = 1.0
    weight_decay: float = 0.01
    rehearsed: float = 0.5
    form: str = "logit"
    table_rate: float = 0.3
    anchor: float = 0.01
    every: int = 20


@dataclass(frozen=True)
class Chain:
    """`targets`: (position of a step token, index of its label in the table)."""

    row: Row
    ids: list[int]
    ends: list[int]
    targets: list[tuple[int, int]]


class _Tuning:
    def __init__(self, run: TuneRun, report: Callable[[str], None]) -> None:
        self.run, self.report = run, report
        self.folder, data = Path(run.run), Path(run.data)
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(run.threads)
        torch.manual_seed(run.seed)
        self.model, self.encoder, self.base = model_of_bundle(Path(run.bundle))
        self.max_tokens = int(self.base["maxTokens"])  # type: ignore[call-overload]
        names = ("training", "meta", "validation")
        files = {name: data / f"{name}.jsonl.gz" for name in names}
        if run.rehearsal is not None:
            files["rehearsal"] = Path(run.rehearsal)
        rows = {name: list(read_rows(path)) for name, path in files.items()}
        self._same_config({name: sha256_file(path) for name, path in files.items()})
        assert_disjoint({name: {row.group for row in rows[name]} for name in names})
        held = {row.group for row in rows["validation"]}
        # What is held out is not even looked at without its label.
        kept = [row for row in rows.get("rehearsal", []) if row.group not in held]
        self.verdicts = clean_verdicts(rows["training"])
        self.confirmed: list[dict[str, Any]] = []
        self.labels: list[StepLabel] = []
        self.labelled = [c for c in (self._chain(row, self._label) for row in rows["training"]) if c and c.targets]
        self.meta = [c for c in (self._chain(row, None) for row in rows["meta"] if row.verdict is not None) if c]
        self.validation = [c for c in (self._chain(row, None) for row in rows["validation"]) if c]
        if not self.labelled:
            raise WorkerError("bad_rows", f"{data}: no labelled row fits; build a snapshot with A or B labels first")
        self.listening = Listening(list(self.labels))
        unlabelled = [c for c in (self._chain(row, None) for row in kept) if c]
        remembered = self._rewards(unlabelled)
        self.rehearsed = [
            replace(c, targets=[(end, self._remember(c, k, r[k])) for k, end in enumerate(c.ends)])
            for c, r in zip(unlabelled, remembered, strict=True)
        ]
        grouped: dict[str, list[Chain]] = defaultdict(list)
        for chain in self.meta:
            grouped[chain.row.problem].append(chain)
        self.mixed = {
            name: group for name, group in sorted(grouped.items()) if len({c.row.verdict for c in group}) == 2
        }
        noisy = any(label.trials for label in self.labels)
        self.listens = run.form != "none" and len(self.mixed) >= FEWEST_META and noisy
        self.agreement: dict[str, Any] | None = None
        self.corrects = False
        self.table = self._table(0.0 if self.listens else None)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=run.rate, weight_decay=run.weight_decay)
        self.bilevel = BiLevel(
            self.model, logits_at, self.optimiser, self.table,
            Settings(inner="bce", outer="pairwise", predict="mean", refresh=4, clip=1.0),
        )  # fmt: skip
        self.plan = self._plan()
        # The last step of the first epoch; the table moves in the epochs after it.
        self.heard = max(1, len(self.plan) // run.epochs)

    def _table(self, rate: float | None) -> CorrectionTable:
        """`rate` 0: labels that an outer gradient is taken at and none moves; None: labels as they stand."""
        return CorrectionTable(
            self.labels,
            TableSettings(
                form="none" if rate is None else self.run.form,  # type: ignore[arg-type]
                rate=rate or 0.0,
                anchor=self.run.anchor,
                seed=self.run.seed,
            ),
        )

    def _settle(self, agreement: dict[str, Any] | None) -> None:
        """Ends the listening: the table is learnt where the meta problems know the clean labels, and not where they do not."""
        self.agreement, self.listens = agreement, False
        self.corrects = knows(agreement) and self.run.epochs > 1
        self.table = self._table(self.run.table_rate if self.corrects else None)
        self.bilevel.table = self.table

    def _same_config(self, hashes: dict[str, str]) -> None:
        # Paths may differ on another machine; what stands in the files may not.
        facts = {
            key: value
            for key, value in asdict(self.run).items()
            if key not in ("bundle", "data", "run", "rehearsal", "threads")
        }
        text = json.dumps({**facts, "base": self.base["modelSha256"], "data": hashes}, indent=1)
        path = self.folder / "config.json"
        if path.exists() and path.read_text() != text:
            raise WorkerError(
                "bad_config", f"{path}: the run was started with other data, base or settings; give it another folder"
            )
        path.write_text(text)

    def _chain(self, row: Row, label: Callable[[Row, int], int | None] | None) -> Chain | None:
        """None for a row longer than the context: it is windowed when it is served."""
        try:
            ids = [self.encoder.ids(text) for text in row.completions]
            parts = assemble(self.encoder.ids(row.prompt), ids, self.encoder.step_id, self.max_tokens)
        except WorkerError:
            return None
        targets = []
        for k, end in enumerate(parts.step_positions):
            at = None if label is None else label(row, k)
            if at is not None:
                targets.append((end, at))
        return Chain(row, parts.ids, parts.step_positions, targets)

    def _label(self, row: Row, k: int) -> int | None:
        value = row.labels[k]
        if value is None:
            return None
        count = row.counts[k]
        if row.source[k] in NOISY and self.verdicts.get(prefix_of(row, k)) == {value}:
            self.confirmed.append(
                {"id": row.id, "step": k, "raw": value, "corrected": value, "weight": 1.0, "touches": 0}
            )
        elif row.source[k] in NOISY:
            passes, trials = count if count is not None else (value, 1)
            return self._add(StepLabel(row.id, row.problem, k, len(row.labels), float(passes), trials))
        return self._add(StepLabel(row.id, row.problem, k, len(row.labels), value, 0))

    def _remember(self, chain: Chain, k: int, reward: float) -> int:
        return self._add(StepLabel(chain.row.id, chain.row.problem, k, len(chain.ends), reward, 0))

    def _add(self, label: StepLabel) -> int:
        self.labels.append(label)
        return len(self.labels) - 1

    def _rewards(self, chains: list[Chain]) -> list[list[float]]:
        return step_rewards(self.model, [_encoded(chain) for chain in chains], self.encoder.pad_id)

    def _plan(self) -> list[list[Chain]]:
        """Batches of all epochs: rows of one problem side by side, rehearsed rows beside labelled ones, lengths alike."""
        rng = random.Random(self.run.seed)
        problems: dict[str, list[Chain]] = defaultdict(list)
        for chain in self.labelled:
            problems[chain.row.problem].append(chain)
        batches: list[list[Chain]] = []
        for _ in range(self.run.epochs):
            order = sorted(problems)
            rng.shuffle(order)
            groups = [problems[group] for group in order]
            per_group = self.run.rehearsed * len(self.labelled) / len(groups)
            for group in groups:
                count = int(per_group + rng.random())
                # The nearest in length of a few: padding costs what a token costs.
                width = len(group[0].ids)
                group_rows = list(group)
                for _ in range(count if self.rehearsed else 0):
                    drawn = rng.sample(self.rehearsed, min(8, len(self.rehearsed)))
                    group_rows.append(min(drawn, key=lambda one: abs(len(one.ids) - width)))
                batches.append(group_rows)
        return _packed(batches, self.run.tokens, rng)

    def _inner(self, chains: Sequence[Chain]) -> InnerBatch:
        at = [(i, position, label) for i, one in enumerate(chains) for position, label in one.targets]
        rows, positions, labels = (torch.tensor(column) for column in zip(*at, strict=True))
        weights = torch.tensor([chains[i].row.weight for i, _, _ in at])
        return InnerBatch(
            (pad([one.ids for one in chains], self.encoder.pad_id), rows, positions),
            labels,
            weights,
            self._pairs(chains, at),
            self._probed(chains, at),
        )

    def _pairs(
        self, chains: Sequence[Chain], at: list[tuple[int, int, int]]
    ) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """Bradley-Terry on the last steps of clean chains of one problem: Best-of-N is a ranking. None without a pair."""
        last = {chain: index for index, (chain, _, _) in enumerate(at)}
        sides: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for chain, index in last.items():
            verdict = chains[chain].row.verdict
            if verdict is not None:
                sides[chains[chain].row.problem][verdict].append(index)
        pairs = [(p, f) for failing, passing in sides.values() for p in passing for f in failing]
        if not pairs or self.run.pairwise == 0:
            return None
        right, wrong = (torch.tensor(column) for column in zip(*pairs, strict=True))
        return lambda logits: self.run.pairwise * functional.softplus(logits[wrong] - logits[right]).mean()

    def _probed(self, chains: Sequence[Chain], at: list[tuple[int, int, int]]) -> tuple[Any, torch.Tensor]:
        """The steps with an entry in the table, while listening those of all labelled rows: no derivative along the others."""
        own = len(self.listening.labels) if self.listens else 0
        probed = [index for index, (_, _, label) in enumerate(at) if label < own or self.labels[label].trials > 0]
        held = sorted({at[index][0] for index in probed})
        if not probed:
            return None, torch.zeros(0, dtype=torch.int64)
        ids = pad([chains[i].ids for i in held], self.encoder.pad_id)
        rows = torch.tensor([held.index(at[index][0]) for index in probed])
        positions = torch.tensor([at[index][1] for index in probed])
        return (ids, rows, positions), torch.tensor(probed)

    def _outer(self, rng: random.Random) -> MetaBatch:
        """Whole problems with both verdicts, of similar length: only their pairs count."""
        problems = list(self.mixed.values())
        first = rng.choice(problems)
        near = sorted(rng.sample(problems, len(problems)), key=lambda group: abs(len(group[0].ids) - len(first[0].ids)))
        chains: list[Chain] = []
        for group in near:
            together = [*chains, *group]
            if chains and max(len(one.ids) for one in together) * len(together) > self.run.tokens // 2:
                break
            chains = together
        at = [(i, position) for i, one in enumerate(chains) for position in one.ends]
        rows, positions = (torch.tensor(column) for column in zip(*at, strict=True))
        names = {name: k for k, name in enumerate(sorted({one.row.problem for one in chains}))}
        return MetaBatch(
            (pad([one.ids for one in chains], self.encoder.pad_id), rows, positions),
            rows,
            torch.tensor([float(one.row.verdict or 0) for one in chains]),
            torch.tensor([names[one.row.problem] for one in chains]),
        )

    def go(self) -> None:
        step = self._restore()
        total = len(self.plan)
        noisy = sum(1 for label in self.labels if label.trials)
        self.report(
            f"{len(self.labelled)} labelled rows ({noisy} noisy labels, {len(self.confirmed)} more confirmed by a clean verdict"
            f" of the same text), {len(self.mixed)} meta problems with both verdicts, {len(self.rehearsed)} rehearsed, {total}"
            f" steps from step {step}; {self._correction()}"
        )
        losses: list[float] = []
        while step < total:
            rng = random.Random(self.run.seed * 1_000_003 + step)
            rate = self.run.rate * min(1.0, (step + 1) / 10) * 0.5 * (1 + math.cos(math.pi * step / total))
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            inner = self._inner(self.plan[step])
            done = self.bilevel.step([inner], self._outer(rng) if self.listens or self.corrects else None)
            losses.append(done.loss)
            step += 1
            if self.listens:
                self.listening.hear(inner.rows, self.bilevel.last_gradient)
                if step == self.heard:
                    self._settle(self.listening.agreement())
                    self.report(self._correction())
            if step % self.run.every == 0 or step == total:
                facts = {"step": step, "of": total, "loss": round(mean(losses), 4)}
                with (self.folder / "metrics.jsonl").open("a") as out:
                    out.write(json.dumps(facts) + "\n")
                self.report(json.dumps(facts))
                self._save(step)
                losses = []
        with (self.folder / "table.jsonl").open("w") as out:
            out.writelines(json.dumps(one) + "\n" for one in [*self.table.exported(), *self.confirmed])

    def _correction(self) -> str:
        if self.listens:
            return "label correction: the first epoch listens to the meta problems"
        known = ""
        if self.agreement is not None:
            low, high = self.agreement["ci"]
            known = (
                f": the meta problems know {self.agreement['value']:.3f} [{low:.3f}, {high:.3f}] of the clean labels"
            )
        return f"label correction {'on' if self.corrects else 'off'}{known}"

    def _save(self, step: int) -> None:
        path = self.folder / "last.pt"
        part = path.with_suffix(".part")
        state = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "table": self.table.state(),
            # The outer gradient is refreshed every few steps: a resumed run needs the one in force.
            "outer": self.bilevel.outer_gradient,
            "count": self.bilevel.count,
            "heard": self.listening.first,
            "listens": self.listens,
            "agreement": self.agreement,
            "step": step,
        }
        try:
            torch.save(state, part)
        except (OSError, RuntimeError) as problem:
            part.unlink(missing_ok=True)
            raise WorkerError(
                "training_failed", f"{path}: cannot be written ({problem}); the last one is kept"
            ) from problem
        part.replace(path)

    def _restore(self) -> int:
        path = self.folder / "last.pt"
        if not path.exists():
            return 0
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.listening.first = state["heard"]
        if self.listens and not state["listens"]:
            self._settle(state["agreement"])
        self.table.load(state["table"])
        self.bilevel.outer_gradient, self.bilevel.count = state["outer"], state["count"]
        return int(state["step"])

    # ------------------------------------------------------------ bundle

    def export(self, out: Path, name: str, version: str) -> None:
        """int8 where the base is int8 and the rounded model orders the held-out and rehearsed rows alike, else fp32."""
        out.mkdir(parents=True, exist_ok=True)
        judged = [*self.validation, *self.rehearsed[:200]]
        exact = [mean(r) for r in self._rewards(judged)]
        weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        round_weights(self.model)
        tau = kendall(exact, [mean(r) for r in self._rewards(judged)], self.run.seed)
        int8 = self.base.get("weights") == "int8" and tau >= GATE["kendall"]
        if not int8:
            self.model.load_state_dict(weights)
        (out / "tokenizer.json").write_text((Path(self.run.bundle) / "tokenizer.json").read_text())
        write_onnx(self.model, out / "model.onnx", int8=int8)
        encoded = [_encoded(chain) for chain in self.validation]
        groups = sorted({chain.row.group for chain in self.labelled})
        facts = {
            "name": name,
            "version": version,
            "weights": "int8" if int8 else "fp32",
            "maxTokens": self.max_tokens,
            "parameters": self.model.parameters_total(),
            "trainedOn": {
                "base": {key: self.base[key] for key in ("name", "version", "modelSha256")},
                "sets": [
                    {
                        "set": "outcomes of pull requests",
                        "rows": len(self.labelled),
                        "licence": "private to the installation",
                    }
                ],
                "groups": len(groups),
                "groupsSha256": hashlib.sha256("\n".join(groups).encode()).hexdigest(),
                "rows": len(self.labelled),
                "languageModelText": "none; the base's",
            },
            "method": {
                "summary": "Trained further on outcomes of pull requests from the weights of its base: clean labels, noisy ones"
                f" {'repaired by a correction table' if self.corrects else 'as they stand'}, rehearsal of the base's rewards",
                "architecture": self.base["method"].get("architecture"),  # type: ignore[attr-defined]
                "correction": {
                    "on": self.corrects,
                    "cleanLabelsKnown": self.agreement,
                    "confirmed": len(self.confirmed),
                },
                "tune": {
                    key: value
                    for key, value in asdict(self.run).items()
                    if key not in ("bundle", "data", "run", "rehearsal")
                },
            },
            "metrics": {
                "split": "validation of the snapshot",
                "heldOut": held_out_figures(
                    [c.row for c in self.validation], step_rewards(self.model, encoded, self.encoder.pad_id)
                ),
                "kendallToFp32": round(tau, 4),
            },
            "licence": f"{self.base['licence']}; labels private to the installation",
        }
        write_bundle(out, facts, parity_rows([], self.run.seed), PARITY_TOLERANCE)


def _packed(groups: list[list[Chain]], tokens: int, rng: random.Random) -> list[list[Chain]]:
    """Groups into batches of at most `tokens` padded ones; a group larger than that is a batch of its own."""
    batches: list[list[Chain]] = []
    for start in range(0, len(groups), 64):
        window = sorted(groups[start : start + 64], key=lambda group: max(len(one.ids) for one in group))
        packed: list[list[Chain]] = [[]]
        for group in window:
            together = [*packed[-1], *group]
            if packed[-1] and max(len(one.ids) for one in together) * len(together) > tokens:
                packed.append([])
            packed[-1] += group
        rng.shuffle(packed)
        batches += packed
    return batches


def _encoded(chain: Chain) -> EncodedRow:
    return EncodedRow(chain.row, chain.ids, chain.ends, [], [])


def kendall(a: Sequence[float], b: Sequence[float], seed: int, pairs: int = 20_000) -> float:
    """Kendall's tau over random pairs; 1 with fewer than two rows."""
    if len(a) < 2:
        return 1.0
    rng = random.Random(seed)
    total = 0
    for _ in range(pairs):
        i, j = rng.sample(range(len(a)), 2)
        product = (a[i] - a[j]) * (b[i] - b[j])
        total += 1 if product > 0 else -1 if product < 0 else 0
    return total / pairs


def held_out_figures(rows: list[Row], rewards: list[list[float]]) -> dict[str, Any]:
    """Within-problem AUC of the mean reward over rows with a verdict."""
    clusters: dict[str, tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
    for row, values in zip(rows, rewards, strict=True):
        if row.verdict is not None:
            clusters[row.problem][0].append(mean(values))
            clusters[row.problem][1].append(row.verdict)
    found: dict[str, tuple[float, float]] = {}
    for group, (scores, labels) in clusters.items():
        if 0 < sum(labels) < len(labels):
            right, pairs = pair_auc(scores, labels)
            found[group] = (right / pairs, 1.0)
    return {"auc": interval(found)}


def tune(run: TuneRun, out: Path, name: str, version: str, report: Callable[[str], None]) -> None:
    """Runs or resumes `run` and writes the bundle. Raises `WorkerError`: bad_bundle, bad_rows, bad_config, training_failed."""
    tuning = _Tuning(run, report)
    tuning.go()
    tuning.export(out, name, version)
    report(f"bundle {out}")
