"""Trains a reward model while its noisy labels are corrected, by a preset of method.md section 11 on a backbone.

A run folder holds config.json (every setting with its source, overrides, versions, seed), metrics.jsonl, plots/, last.pt
(weights, optimiser, table: resumed bit for bit on CPU), best/ and top/ (the weights with the best selection accuracy on
validation), tokenizer.json and table.jsonl (the labels, raw and corrected). Under `torchrun` the batches are shared out.
"""

import json
import pickle
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from funprm_worker import health, parallel, plots
from funprm_worker.bilevel import BiLevel, InnerBatch, MetaBatch, Settings
from funprm_worker.checkpoints import Ranked, keep, save_state, versions
from funprm_worker.cluster_batches import BatchSettings, ClusterBatches
from funprm_worker.config import CorrectedRun as CorrectedRun
from funprm_worker.correction import CorrectionTable, StepLabel, TableSettings
from funprm_worker.encode import Encoder, assemble
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import solution_figures
from funprm_worker.model import (
    Lora,
    RewardModel,
    is_checkpoint,
    open_backbone,
    open_checkpoint,
    require_fp32_trainables,
)
from funprm_worker.presets import ALL_STEPS, preset
from funprm_worker.progress import Progress
from funprm_worker.rows import NOISY as NOISY
from funprm_worker.rows import Row, assert_disjoint, read_rows
from funprm_worker.train import EncodedRow, clusters_of, encode_rows, mean, pad, spread_within_problems, step_rewards

RAW_FIT_ROWS = 32
"""So many noisy chains, the same at every evaluation, say how well the raw labels are fit."""


@dataclass(frozen=True)
class Chain:
    """`reads`: (position of a step token, index of its label in the table) of the noisy steps, of all labelled ones where
    the preset trains on those too."""

    row: Row
    ids: list[int]
    ends: list[int]
    reads: list[tuple[int, int]]


Inputs = tuple[Tensor, Tensor, Tensor]
"""ids [batch, seq], and for each of n steps its row in the batch and its position: int64 [n] each."""


def logits_at(module: nn.Module, inputs: Inputs) -> Tensor:
    ids, rows, positions = inputs
    out: Tensor = module(ids)[rows, positions]
    return out


def whole_program(row: Row) -> Row:
    """The published code's view: one step, whose noisy label is the verdict."""
    return replace(
        row,
        completions=["\n".join(row.completions)],
        labels=[row.labels[-1]],
        own=[None],
        counts=[None],
        source=[row.source[-1]],
    )


def looked_at(validation: list[Row], count: int, seed: int) -> list[Row]:
    """The validation rows that choose the checkpoint: clusters with both verdicts in an order that the seed gives."""
    clusters = [c for c in clusters_of(validation, 8, seed) if {row.verdict for row in c} >= {0, 1}]
    random.Random(seed).shuffle(clusters)
    return [row for cluster in clusters for row in cluster if not row.empty_prefix][:count]


class _Run:
    def __init__(self, run: CorrectedRun, report: Callable[[str], None]) -> None:
        self.run, self.report = run, report
        self.values = {key: one.value for key, one in preset(run.preset).items()}
        if run.form is not None:
            self.values["meta.form"] = run.form
        self.folder = Path(run.run)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._same_config()
        torch.manual_seed(run.seed)
        self.whole = self.values["inner.rows"] == "whole programs"
        splits = {
            name: list(read_rows(Path(run.data) / f"{name}.jsonl.gz")) for name in ("training", "meta", "validation")
        }
        assert_disjoint({name: {row.group for row in rows} for name, rows in splits.items()})
        self.encoder = Encoder.of_backbone(Path(run.backbone))
        if parallel.first():
            self.encoder.tokenizer.save(str(self.folder / "tokenizer.json"), pretty=False)
        self.labels: list[StepLabel] = []
        self.clusters: ClusterBatches | None = None
        self.inner: list[Chain] = []
        self.meta: list[Chain] = []
        self.precision = "bfloat16" if self.values.get("inner.bfloat16", False) else "float32"
        if self.values["inner.rows"] == ALL_STEPS:
            self.clusters = ClusterBatches(splits["training"], splits["meta"], self.encoder, self._batch_settings())
            self.labels = self.clusters.labels
        else:
            self._chains(splits)
        rows = looked_at(splits["validation"], run.validation_rows, run.seed)
        self.held_out: list[EncodedRow] = encode_rows(rows, self.encoder, run.max_tokens, 1.0)
        self.model = self._model()
        require_fp32_trainables(self.model)
        v = self.values
        self.table = CorrectionTable(
            self.labels,
            TableSettings(form=v["meta.form"], rate=v["meta.rate"], anchor=v["meta.anchor"], seed=run.seed),  # type: ignore[arg-type]
        )
        self.noisy = torch.nonzero(~self.table.clean).squeeze(-1)
        self.before = self.table.corrected(self.noisy)
        self.seen = [one.clone() for one in self.table.values]
        self.scores: list[float] = []
        drawn = random.Random(run.seed).sample(splits["training"], len(splits["training"]))
        self.raw_fit = self._raw_fit_rows(drawn)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=float(v["inner.rate"]))  # type: ignore[arg-type]
        self.bilevel = BiLevel(
            self.model,
            logits_at,
            self.optimiser,
            self.table,
            Settings(
                inner=v["inner.loss"],  # type: ignore[arg-type]
                outer=v.get("meta.loss", "squared"),  # type: ignore[arg-type]
                predict=v["meta.predict"],  # type: ignore[arg-type]
                gradient=v["meta.gradient"],  # type: ignore[arg-type]
                fd_alpha=v.get("meta.fd_alpha", 0.01),  # type: ignore[arg-type]
                clip=v.get("inner.clip", 0.0),  # type: ignore[arg-type]
                bfloat16=self.precision == "bfloat16",
            ),
        )

    def _batch_settings(self) -> BatchSettings:
        v, run = self.values, self.run
        return BatchSettings(
            run.tokens,
            run.max_tokens,
            v["inner.per_side"],  # type: ignore[arg-type]
            v["inner.broadcast"],  # type: ignore[arg-type]
            v["inner.pairwise"],  # type: ignore[arg-type]
            run.seed,
        )

    def _chains(self, splits: dict[str, list[Row]]) -> None:
        """Single rows, as the papers train: noisy steps inside, clean verdicts outside."""
        self.inner = [chain for chain in map(self._chain, splits["training"]) if chain is not None and chain.reads]
        # `same`: the clean final verdicts of the training problems; the two papers do not hold problems apart.
        meta = splits["training"] if self.values["meta.split"] == "same" else splits["meta"]
        known = [row for row in meta if row.verdict is not None]
        self.meta = [chain for chain in map(self._chain_without_labels, known) if chain is not None]
        if not self.inner or not self.meta:
            raise WorkerError(
                "bad_rows",
                f"{self.run.data}: {len(self.inner)} rows with noisy steps and {len(self.meta)} with a clean verdict;"
                " a correction needs both",
            )

    def _same_config(self) -> None:
        facts = {
            **asdict(self.run),
            "settings": {key: [one.value, one.source] for key, one in preset(self.run.preset).items()},
            "overrides": {
                **({"meta.probes_with_dropout": False} if "meta.probes_with_dropout" in self.values else {}),
                **({"meta.form": self.run.form} if self.run.form is not None else {}),
            },
            "versions": versions(),
        }
        path, text = self.folder / "config.json", json.dumps(facts, indent=1)
        if path.exists() and path.read_text() != text:
            raise WorkerError("bad_config", f"{path}: the run was started with another config; give it another folder")
        parallel.wait()
        if parallel.first():
            path.write_text(text)
        for key, value in facts["overrides"].items():
            why = " (probes with dropout have the wrong sign in a quarter of the cases)" if "probes" in key else ""
            self.report(f"override: {key} = {value}{why}")

    def _model(self) -> RewardModel:
        v, lora = self.values, None
        if is_checkpoint(Path(self.run.backbone)):
            return open_checkpoint(Path(self.run.backbone))
        if v["backbone.adaptation"] == "lora":
            lora = Lora(*(v[f"backbone.lora.{name}"] for name in ("r", "alpha", "dropout", "targets")))  # type: ignore[arg-type]
        return open_backbone(
            Path(self.run.backbone),
            self.encoder,
            head=str(v["backbone.head"]),
            adaptation=str(v["backbone.adaptation"]),
            lora=lora,
        )

    def _chain(self, row: Row) -> Chain | None:
        """Gives each noisy step its place in the table. None for a row longer than the context."""
        if self.whole:
            row = whole_program(row)
        chain = self._chain_without_labels(row)
        if chain is None:
            return None
        for k, (label, source) in enumerate(zip(row.labels, row.source, strict=True)):
            if label is None or not (source in NOISY or self.whole):
                continue
            count = row.counts[k]
            passes, trials = count if count is not None else (label, 1)
            chain.reads.append((chain.ends[k], len(self.labels)))
            self.labels.append(StepLabel(row.id, row.problem, k, len(row.labels), float(passes), trials))
        return chain

    def _chain_without_labels(self, row: Row) -> Chain | None:
        ids = [self.encoder.ids(text) for text in row.completions]
        try:
            parts = assemble(self.encoder.ids(row.prompt), ids, self.encoder.step_id, self.run.max_tokens)
        except WorkerError:
            return None
        return Chain(row, parts.ids, parts.step_positions, [])

    def _draw(self, chains: list[Chain], rng: random.Random) -> list[Chain]:
        """Rows of similar length, drawn around a random one, within the padded tokens of a batch."""
        start = rng.choice(chains)
        near = sorted(rng.sample(chains, min(len(chains), 256)), key=lambda one: abs(len(one.ids) - len(start.ids)))
        batch: list[Chain] = []
        widest = 0
        for one in near:
            widest = max(widest, len(one.ids))
            if batch and widest * (len(batch) + 1) > self.run.tokens:
                break
            batch.append(one)
        return batch

    def _raw_fit_rows(self, rows: list[Row]) -> list[tuple[EncodedRow, list[float]]]:
        """Some noisy chains, read at their noisy steps alone, with the raw labels of these."""
        raw = {(one.id, one.step): float(self.table.raw[i]) for i, one in enumerate(self.labels) if one.trials > 0}
        out: list[tuple[EncodedRow, list[float]]] = []
        for row in rows:
            if len(out) == RAW_FIT_ROWS:
                break
            row = whole_program(row) if self.whole else row
            steps = [k for k in range(len(row.completions)) if (row.id, k) in raw]
            chain = self._chain_without_labels(row) if steps else None
            if chain is not None:
                encoded = EncodedRow(row, chain.ids, [chain.ends[k] for k in steps], [], [])
                out.append((encoded, [raw[row.id, k] for k in steps]))
        return out

    def _inner_batch(self, chains: list[Chain]) -> InnerBatch | None:
        if not chains:
            return None
        at = [(i, position, label) for i, one in enumerate(chains) for position, label in one.reads]
        rows, positions, labels = (torch.tensor(column) for column in zip(*at, strict=True))
        return InnerBatch((pad([one.ids for one in chains], self.encoder.pad_id), rows, positions), labels)

    def _meta_batch(self, chains: list[Chain]) -> MetaBatch:
        if not chains:
            none = torch.zeros(0, dtype=torch.int64)
            return MetaBatch((none, none, none), none, torch.zeros(0), none)
        at = [(i, position) for i, one in enumerate(chains) for position in one.ends]
        rows, positions = (torch.tensor(column) for column in zip(*at, strict=True))
        problems = {name: k for k, name in enumerate(sorted({one.row.problem for one in chains}))}
        return MetaBatch(
            (pad([one.ids for one in chains], self.encoder.pad_id), rows, positions),
            rows,
            torch.tensor([float(one.row.verdict or 0) for one in chains]),
            torch.tensor([problems[one.row.problem] for one in chains]),
        )

    def go(self) -> None:
        state = self._restore()
        step, alarms = int(state["step"]), int(state["alarms"])
        ranked: Ranked = [(float(score), int(at)) for score, at in state["ranked"]]
        looks: list[dict[str, float]] = list(state["looks"])
        losses: list[float] = []
        meta_losses: list[float] = []
        progress = Progress("correction", self.run.steps)
        while step < self.run.steps:
            inner, meta = self._batches(random.Random(self.run.seed * 1_000_003 + step))
            try:
                done = self.bilevel.step([inner] if inner is not None else [], meta)
            except WorkerError as problem:
                raise WorkerError(
                    problem.code, f"step {step}: {problem.message}; the last good checkpoint is kept in {self.folder}"
                ) from problem
            losses.append(done.loss)
            meta_losses.append(done.meta_loss)
            step += 1
            seen = {"validation": looks[-1]["bestOf"]} if looks else {}
            progress.show(step, {"loss": done.loss, "meta": done.meta_loss, **seen})
            if step % self.run.every and step < self.run.steps:
                continue
            progress.line()
            look = self._look(step, mean(losses), mean(meta_losses))
            losses, meta_losses = [], []
            alarm = self._alarm([*looks, look]) or self._oscillation()
            self._write(look, [*looks, look], alarm)
            if alarm is not None:
                if alarms:
                    raise WorkerError(
                        "training_failed",
                        f"step {step}: {alarm.line()}; the last good checkpoint is kept in {self.folder}",
                    )
                self._set_rate(self.table.settings.rate / 2)
                rate = self.table.settings.rate
                self.report(
                    f"alarm at step {step}: {alarm.line()}; β halved to {rate:g}, back to the last good checkpoint"
                )
                state = self._restore()
                self._set_rate(rate)
                # The turns that raised the alarm belong to the old β.
                self.table.changes.zero_()
                step, looks, alarms = int(state["step"]), list(state["looks"]), 1
                ranked = [(float(score), int(at)) for score, at in state["ranked"]]
                self._save({"step": step, "ranked": ranked, "looks": looks, "alarms": alarms})
                continue
            looks.append(look)
            if parallel.first():
                ranked = keep(self.model, self.folder, ranked, look["bestOf"], step)
            self.report(json.dumps(look))
            self._save({"step": step, "ranked": ranked, "looks": looks, "alarms": alarms})
        if parallel.first():
            with (self.folder / "table.jsonl").open("w") as out:
                out.writelines(json.dumps(one) + "\n" for one in self.table.exported())

    def _batches(self, rng: random.Random) -> tuple[InnerBatch | None, MetaBatch]:
        """This process's share of the batches of one step, drawn alike in all of them."""
        if self.clusters is not None:
            return self.clusters.inner_batch(rng), self.clusters.meta_batch(rng)
        inner = parallel.mine(self._draw(self.inner, rng))
        meta = parallel.mine_by(self._draw(self.meta, rng), lambda one: one.row.problem)
        return self._inner_batch(inner), self._meta_batch(meta)

    def _look(self, step: int, loss: float, meta_loss: float) -> dict[str, float]:
        share = parallel.mine(self.held_out)
        rewards = parallel.in_order(step_rewards(self.model, share, self.encoder.pad_id, precision=self.precision))
        scores = self.scores = [mean(one) for one in rewards]
        figures = solution_figures([one.row for one in self.held_out], scores)
        moved = (self.table.corrected(self.noisy) - self.before).abs()
        touched = self.table.touches[self.noisy] > 0
        moves = [float((a - b).abs().max()) for a, b in zip(self.table.values, self.seen, strict=True) if a.numel()]
        self.seen = [one.clone() for one in self.table.values]
        # Entries that were never touched stand at their start and say nothing.
        delta = torch.cat([torch.zeros(1), *(v.flatten().abs()[k.flatten() > 0] for v, k in self._touched())])
        return {
            "step": step,
            "loss": loss,
            "metaLoss": meta_loss,
            "rawFit": self._raw_fit(),
            "spread": spread_within_problems(self.held_out, scores) if scores else 0.0,
            "auc": figures["auc"]["value"] if figures["auc"] else 0.5,
            "bestOf": figures["bestOf"]["value"] if figures["bestOf"] else 0.0,
            "random": figures["random"]["value"] if figures["random"] else 0.0,
            "deltaP99": float(torch.quantile(delta, 0.99)),
            "tableChange": max(moves, default=0.0),
            "labelsMoved": float(moved[touched].mean()) if touched.any() else 0.0,
            "touches": float(self.table.touches.sum()),
        }

    def _raw_fit(self) -> float:
        """Mean squared distance of the rewards from the raw labels, on the chains kept for it."""
        rows = [one for one, _ in self.raw_fit]
        got = step_rewards(self.model, rows, self.encoder.pad_id, precision=self.precision)
        pairs = zip(self.raw_fit, got, strict=True)
        gaps = [(a - b) ** 2 for (_, raw), rewards in pairs for a, b in zip(rewards, raw, strict=True)]
        return mean(gaps) if gaps else 0.0

    def _touched(self) -> list[tuple[Tensor, Tensor]]:
        """How far the table's values are from their start, and how often each was stepped, in one shape."""
        shaped = []
        for value, start, steps in zip(self.table.values, self.table.start, self.table.steps, strict=True):
            shaped.append((value - start, steps.reshape(-1, *([1] * (value.dim() - 1))).expand_as(value)))
        return shaped

    def _alarm(self, looks: list[dict[str, float]]) -> health.Alarm | None:
        def series(name: str) -> list[float]:
            return [look[name] for look in looks]

        in_values = self.table.settings.form in ("additive", "free", "weight")
        return (
            health.collapse([int(step) for step in series("step")], series("spread"))
            or health.divergence(series("deltaP99"), health.VALUE_FLOOR if in_values else health.LOGIT_FLOOR)
            or health.noise_fitting(series("auc"), series("rawFit"))
            or health.frozen(series("tableChange"), int(looks[-1]["touches"]))
        )

    def _oscillation(self) -> health.Alarm | None:
        often = self.table.changes[(self.table.changes != 0).all(dim=1)]
        return health.oscillation(often.tolist())

    def _write(self, look: dict[str, float], looks: list[dict[str, float]], alarm: health.Alarm | None) -> None:
        """The line of metrics.jsonl and the plots, drawn anew at every look."""
        if not parallel.first():
            return
        with (self.folder / "metrics.jsonl").open("a") as out:
            out.write(json.dumps(look | ({"alarm": alarm.line()} if alarm else {})) + "\n")
        verdicts = [one.row.verdict for one in self.held_out]
        scored = list(zip(self.scores, verdicts, strict=True))

        def curves(names: dict[str, str]) -> dict[str, list[plots.Point]]:
            return {shown: [(one["step"], one[key]) for one in looks] for shown, key in names.items()}

        labels = {"before": self.before.tolist(), "after": self.table.corrected(self.noisy).tolist()}
        rewards = {name: [s for s, v in scored if v == value] for name, value in (("passing", 1), ("failing", 0))}
        losses = {"inner": "loss", "outer": "metaLoss", "to raw labels": "rawFit"}
        validation = {"Best-of-8": "bestOf", "random": "random", "AUC": "auc"}
        plots.write(
            self.folder / "plots",
            {
                "labels": plots.histogram("Labels of noisy steps", "label", labels),
                "rewards": plots.histogram("Validation programs", "mean reward", rewards),
                "losses": plots.lines("Losses", "step", "loss", curves(losses)),
                "validation": plots.lines("Validation", "step", "", curves(validation)),
            },
        )

    def _set_rate(self, rate: float) -> None:
        self.table.settings = replace(self.table.settings, rate=rate)

    def _save(self, place: dict[str, Any]) -> None:
        if parallel.first():
            state = {
                "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "table": self.table.state(),
                "rate": self.table.settings.rate,
                **place,
            }
            save_state(self.folder / "last.pt", state)
        parallel.wait()

    def _restore(self) -> dict[str, Any]:
        path = self.folder / "last.pt"
        if not path.exists():
            start: dict[str, Any] = {"step": 0, "ranked": [], "looks": [], "alarms": 0}
            parallel.wait()
            self._save(start)
            return start
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.table.load(state["table"])
            self._set_rate(state["rate"])
        except (RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as problem:
            raise WorkerError(
                "bad_config",
                f"{path}: not a checkpoint of this config ({str(problem).splitlines()[0][:160]}); give the run another folder",
            ) from problem
        self.seen = [one.clone() for one in self.table.values]
        return state


def train_corrected(run: CorrectedRun, report: Callable[[str], None]) -> None:
    """Runs or resumes `run`, in every process of a `torchrun`. Raises `WorkerError`: `bad_config`, `bad_rows`, `bad_bundle`,
    or `training_failed` with the alarm, where it rose and its curve; the last good checkpoint is kept."""
    joined = parallel.start()
    try:
        _Run(run, report if parallel.first() else lambda _: None).go()
    finally:
        if joined:
            parallel.finish()
