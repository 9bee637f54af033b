"""Trains the reward model: next-token pretraining, then step rewards. One command, stopped and resumed bit for bit on CPU.

Not here: the correction of noisy labels (method.md section 7); labels are used as they stand, `broadcast` with less weight.

A run folder holds config.json (with the seed), versions.json, tokenizer.json, metrics.jsonl, plots/, last.pt, best/ and
top/ (the weights with the best selection accuracy on validation). Under `torchrun` the batches are shared out.
"""

import json
import math
import pickle
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from funprm_worker import health, parallel, plots, pretraining_text
from funprm_worker.checkpoints import Ranked, keep, save_state, versions
from funprm_worker.config import Config
from funprm_worker.encode import Encoder, assemble
from funprm_worker.errors import WorkerError
from funprm_worker.evaluate import solution_figures
from funprm_worker.model import (
    Lora,
    RewardModel,
    is_checkpoint,
    load_model,
    open_backbone,
    require_fp32_trainables,
    small_config,
)
from funprm_worker.prefix_encoder import is_prefix_encoder, prefix_model
from funprm_worker.progress import Progress
from funprm_worker.rows import Row, assert_disjoint, read_rows
from funprm_worker.tokenizer import train_tokenizer


@dataclass(frozen=True)
class EncodedRow:
    """Token ids of a row with its targets: one label and weight per step token (weight 0 = no loss)."""

    row: Row
    ids: list[int]
    ends: list[int]
    labels: list[float]
    weights: list[float]


def encode_rows(rows: list[Row], encoder: Encoder, max_tokens: int, broadcast: float) -> list[EncodedRow]:
    """Rows that fit the context; the others are counted on stderr and left out (they are windowed when served)."""
    prompts: dict[str, list[int]] = {}
    encoded: list[EncodedRow] = []
    left_out = 0
    for row in rows:
        if row.prompt not in prompts:
            prompts[row.prompt] = encoder.ids(row.prompt)
        try:
            parts = assemble(
                prompts[row.prompt], [encoder.ids(c) for c in row.completions], encoder.step_id, max_tokens
            )
        except WorkerError:
            left_out += 1
            continue
        weights = []
        for k, label in enumerate(row.labels):
            source = 0.0 if label is None else row.weight * (broadcast if row.source[k] == "broadcast" else 1.0)
            # A chain of many steps must not weigh more than a chain of one.
            weights.append(source / len(row.labels))
        encoded.append(
            EncodedRow(row, parts.ids, parts.step_positions, [label or 0.0 for label in row.labels], weights)
        )
    if left_out:
        print(f"{left_out} of {len(rows)} rows are longer than {max_tokens} tokens and left out", file=sys.stderr)
    return encoded


def clusters_of(rows: list[Row], per_side: int, seed: int, beside: bool = False) -> list[list[Row]]:
    """Rows of one (group, pool), at most `per_side` passing and failing; the empty prefix goes with them.

    `beside`: the copies of `funprm dataset texts` do not count; each follows its original where that is taken.
    """
    members: dict[tuple[str, str], list[Row]] = defaultdict(list)
    copies: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if beside and row.original is not None:
            copies[row.original].append(row)
        else:
            members[row.group, row.pool].append(row)
    rng = random.Random(seed)
    clusters = []
    for key in sorted(members):
        by_side: dict[Any, list[Row]] = defaultdict(list)
        for row in members[key]:
            by_side["empty" if row.empty_prefix else row.verdict].append(row)
        taken: list[Row] = []
        for side, limit in ((1, per_side), (0, per_side), ("empty", 1), (None, 1)):
            # Chains of several functions first: they carry the step labels.
            pool = sorted(by_side[side], key=lambda row: (-min(2, len(row.completions)), rng.random()))
            taken += pool[:limit]
        clusters.append(taken + [copy for row in taken for copy in copies[row.id]])
    return clusters


def pad(rows: list[list[int]], pad_id: int) -> Tensor:
    width = max(len(ids) for ids in rows)
    return torch.tensor([ids + [pad_id] * (width - len(ids)) for ids in rows], dtype=torch.int64)


def hidden_states(model: RewardModel, ids: Tensor, precision: str = "float32") -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        hidden: Tensor = model.backbone(input_ids=ids, use_cache=False).last_hidden_state
    return hidden.float()


def language_loss(model: RewardModel, hidden: Tensor, ids: Tensor, pad_id: int, precision: str = "float32") -> Tensor:
    """Next-token cross entropy with tied embeddings; padding does not count."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        logits = hidden[:, :-1] @ model.backbone.get_input_embeddings().weight.T
    loss: Tensor = functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), ignore_index=pad_id)
    return loss


def _copied_steps(batch: list[EncodedRow]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(row, position) of each step whose row has a copy in the batch, with (row, position) of the same step in the copy."""
    places = {one.row.id: i for i, one in enumerate(batch)}
    pairs = []
    for copy, one in enumerate(batch):
        origin = places.get(one.row.original or "")
        if origin is not None:
            steps = zip(batch[origin].ends, one.ends, strict=True)
            pairs += [((origin, end), (copy, copied)) for end, copied in steps]
    return pairs


def reward_loss(
    model: RewardModel,
    batch: list[EncodedRow],
    pad_id: int,
    pairwise: float,
    language: float,
    precision: str = "float32",
    consistency: float = 0.0,
) -> Tensor:
    """Weighted BCE on soft step labels, the pairwise term on final logits inside one (group, pool), the consistency term
    (squared difference of the step logits of a row and its copy with another text), the language term.

    Under `torchrun` each process passes whole clusters of the batch, or none, and gets its part of the same loss.
    """
    weights = torch.tensor([weight for one in batch for weight in one.weights], dtype=torch.float32)
    sides: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for i, one in enumerate(batch):
        if one.row.verdict is not None:
            sides[one.row.group, one.row.pool][one.row.verdict].append(i)
    pairs = [(p, f) for failing, passing in sides.values() for p in passing for f in failing]
    copies = _copied_steps(batch) if consistency else []
    tokens = sum(len(one.ids) - 1 for one in batch)
    total, total_pairs, total_copies, total_tokens = parallel.add(
        [float(weights.sum()), float(len(pairs)), float(len(copies)), float(tokens)]
    )
    if not batch:
        return torch.zeros((), requires_grad=True)
    ids = pad([one.ids for one in batch], pad_id)
    hidden = hidden_states(model, ids, precision)
    logits = model.logits_of(hidden)
    at = [(i, end) for i, one in enumerate(batch) for end in one.ends]
    flat = logits[[i for i, _ in at], [end for _, end in at]]
    labels = torch.tensor([label for one in batch for label in one.labels], dtype=torch.float32)
    loss = functional.binary_cross_entropy_with_logits(flat, labels, weights, reduction="sum") / max(1e-9, total)
    gaps = [logits[p, batch[p].ends].mean() - logits[f, batch[f].ends].mean() for p, f in pairs]
    if gaps and pairwise:
        loss = loss + pairwise * (len(gaps) / total_pairs) * functional.softplus(-torch.stack(gaps)).mean()
    if copies:
        origins, copied = (logits[[i for i, _ in side], [end for _, end in side]] for side in zip(*copies, strict=True))
        loss = loss + consistency * ((origins - copied) ** 2).sum() / total_copies
    if language:
        share = language * tokens / total_tokens
        loss = loss + share * language_loss(model, hidden, ids, pad_id, precision)
    return loss


@torch.no_grad()
def step_rewards(
    model: RewardModel, rows: list[EncodedRow], pad_id: int, tokens: int = 16384, precision: str = "float32"
) -> list[list[float]]:
    """Rewards of every row in the order given; batches by padded tokens."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    out: list[list[float]] = [[] for _ in rows]
    batch: list[int] = []
    model.eval()

    def flush() -> None:
        if batch:
            logits = model.logits_of(hidden_states(model, pad([rows[i].ids for i in batch], pad_id), precision))
            for k, i in enumerate(batch):
                out[i] = torch.sigmoid(logits[k, rows[i].ends]).tolist()
            batch.clear()

    for i in order:
        if batch and len(rows[i].ids) * (len(batch) + 1) > tokens:
            flush()
        batch.append(i)
    flush()
    return out


def spread_within_problems(rows: list[EncodedRow], scores: list[float]) -> float:
    """Standard deviation of the scores inside one (group, pool), meaned over those with at least two rows."""
    clusters: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one, score in zip(rows, scores, strict=True):
        clusters[one.row.group, one.row.pool].append(score)
    spreads = [statistics.pstdev(members) for members in clusters.values() if len(members) > 1]
    return mean(spreads) if spreads else 0.0


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


LONGEST_SEARCH = 10_000
"""Draws for one batch before a run gives up to fill it."""


class Run:
    """State of a run: model, optimiser, random state and place, saved and restored together."""

    def __init__(self, config: Config, report: Callable[[str], None]) -> None:
        self.config = config
        self.folder = Path(config.run)
        self.report = report
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        self._same_config()
        self.training = list(read_rows(Path(config.data) / "training.jsonl.gz"))
        self.validation = list(read_rows(Path(config.data) / "validation.jsonl.gz"))
        meta = {row.group for row in read_rows(Path(config.data) / "meta.jsonl.gz")}
        assert_disjoint(
            {
                "training": {r.group for r in self.training},
                "meta": meta,
                "validation": {r.group for r in self.validation},
            }
        )
        self.encoder = self._tokenizer()
        self.by_prefix = is_prefix_encoder(config.backbone)
        m = config.model
        if config.backbone is None:
            self.model = RewardModel(
                small_config(self.encoder.vocab_size, m.hidden, m.layers, m.heads, m.feed_forward, m.max_tokens, 0.02)
            )
        else:
            b = config.backbone
            folder = Path(b.folder)
            lora = None
            if b.adaptation == "lora":
                lora = Lora(b.lora_r, b.lora_alpha, b.lora_dropout, tuple(b.lora_targets))
            if self.by_prefix:
                self.model = prefix_model(config, self.encoder)
            elif is_checkpoint(folder) and b.adaptation == "full":
                # With its head: the run goes on where the checkpoint's ended.
                self.model = load_model(folder)
            else:
                self.model = open_backbone(folder, self.encoder, head=b.head, adaptation=b.adaptation, lora=lora)
            # Nothing is differentiated forward here: the fused kernel, 1.5 times as fast on a CPU.
            self.model.backbone.set_attn_implementation("sdpa")
        require_fp32_trainables(self.model)
        self._seen: dict[tuple[str, str], list[EncodedRow]] = {}

    def _same_config(self) -> None:
        path = self.folder / "config.json"
        text = json.dumps(asdict(self.config), indent=1)
        if path.exists() and path.read_text() != text:
            raise WorkerError(
                "bad_config", f"{path}: the run was started with another config; give it another folder (key run)"
            )
        parallel.wait()
        if parallel.first():
            path.write_text(text)
            (self.folder / "versions.json").write_text(json.dumps(versions(), indent=1) + "\n")

    def _tokenizer(self) -> Encoder:
        path = self.folder / "tokenizer.json"
        if parallel.first():
            self._make_tokenizer(path)
        parallel.wait()
        return Encoder.load(path)

    def _make_tokenizer(self, path: Path) -> None:
        if not path.exists() and self.config.backbone is not None:
            encoder = Encoder.of_backbone(Path(self.config.backbone.folder))
            encoder.tokenizer.save(str(path), pretty=False)
        if not path.exists():
            texts = pretraining_text.tokenizer_text(self.training, self.config.seed)
            train_tokenizer(texts, self.config.model.vocab).save(str(path), pretty=False)

    def go(self) -> None:
        state = self._restore()
        if state["phase"] == "pretrain":
            if self.config.pretrain.steps > 0:
                self._pretrain(state)
            state = {"phase": "reward", "step": 0}
        self._reward(state)

    # ------------------------------------------------------------ phases

    def _pretrain(self, state: dict[str, Any]) -> None:
        settings = self.config.pretrain
        stream: list[int] = []
        for part in (
            pretraining_text.standard_library(),
            pretraining_text.packages(),
            pretraining_text.programs(self.training),
        ):
            before = len(stream)
            for text in part:
                stream += self.encoder.ids(text)
            self.report(f"pretraining text: {len(stream) - before} tokens")
        data = torch.tensor(stream, dtype=torch.int64)
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=settings.rate, weight_decay=0.01)
        self._load_optimiser(optimiser, state)
        rows = settings.tokens // settings.length
        started, losses = time.monotonic(), []
        progress = Progress("pretraining", settings.steps)
        for step in range(state["step"], settings.steps):
            rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
            starts = torch.randint(0, len(data) - settings.length, (rows,), generator=rng)
            share = parallel.mine(starts.tolist())
            self.model.train()
            loss = torch.zeros((), requires_grad=True)
            if share:
                ids = torch.stack([data[s : s + settings.length] for s in share])
                hidden = hidden_states(self.model, ids, self.config.precision)
                loss = language_loss(self.model, hidden, ids, self.encoder.pad_id, self.config.precision)
                loss = loss * (len(share) / rows)
            losses.append(self._update(optimiser, loss, settings.rate, step, settings.steps, []))
            progress.show(step + 1, {"loss": losses[-1]})
            if (step + 1) % self.config.checkpoint.every == 0 or step + 1 == settings.steps:
                self._log(
                    {"phase": "pretrain", "step": step + 1, "loss": mean(losses), "seconds": time.monotonic() - started}
                )
                losses = []
                progress.line()
                self._save(optimiser, {"phase": "pretrain", "step": step + 1})
        if not parallel.first():
            return
        # Kept, so that other fine-tunes can start from the language model: `[backbone] folder` of their configs.
        self.model.backbone.save_pretrained(self.folder / "pretrained")
        self.encoder.tokenizer.save(str(self.folder / "pretrained" / "tokenizer.json"), pretty=False)

    def _reward(self, state: dict[str, Any]) -> None:
        settings, every = self.config.reward, self.config.checkpoint.every
        beside = settings.consistency > 0
        clusters = clusters_of(self.training, settings.per_side, self.config.seed, beside)
        mixed = [c for c in clusters if {row.verdict for row in c} >= {0, 1}]
        self.report(f"{len(clusters)} clusters of {sum(map(len, clusters))} rows, {len(mixed)} with both verdicts")
        held_out = encode_rows(
            choice_sample(self.validation, self.config), self.encoder, self.config.model.max_tokens, 1.0
        )
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(trainable, lr=settings.rate, weight_decay=settings.weight_decay)
        self._load_optimiser(optimiser, state)
        started, losses = time.monotonic(), []
        ranked: Ranked = [(float(score), int(at)) for score, at in state.get("ranked", [])]
        looks: list[dict[str, Any]] = list(state.get("looks", []))
        said: set[str] = set()
        progress = Progress("rewards", settings.steps)
        for step in range(state["step"], settings.steps):
            drawn = self._batch(clusters, mixed, step)
            batch = parallel.mine_by(drawn, lambda one: (one.row.group, one.row.pool))
            # LoRA's dropout: a resumed run draws the masks of this step again.
            torch.manual_seed(self.config.seed * 15_485_863 + step)
            self.model.train()
            loss = reward_loss(
                self.model,
                batch,
                self.encoder.pad_id,
                settings.pairwise,
                settings.language,
                self.config.precision,
                settings.consistency,
            )
            losses.append(
                self._update(optimiser, loss, settings.rate, step, settings.steps, [one.row.id for one in batch])
            )
            seen = {"validation": looks[-1]["bestOf8"]["value"]} if looks and looks[-1]["bestOf8"] else {}
            progress.show(step + 1, {"loss": losses[-1], **seen})
            if (step + 1) % every == 0 or step + 1 == settings.steps:
                progress.line()
                rewards = step_rewards(
                    self.model, parallel.mine(held_out), self.encoder.pad_id, precision=self.config.precision
                )
                scores = [mean(r) for r in parallel.in_order(rewards)]
                figures = solution_figures([one.row for one in held_out], scores)
                # Selection accuracy, not AUC and not the last (method.md section 7): that is what the model is for.
                accuracy = figures["bestOf"]["value"] if figures["bestOf"] else 0.0
                if parallel.first():
                    ranked = keep(self.model, self.folder, ranked, accuracy, step + 1)
                looks.append(
                    {
                        "phase": "reward",
                        "spread": spread_within_problems(held_out, scores),
                        "step": step + 1,
                        "loss": mean(losses),
                        "auc": figures["auc"],
                        "bestOf8": figures["bestOf"],
                        "random": figures["random"],
                        "seconds": time.monotonic() - started,
                    }
                )
                for alarm in self._alarms(looks):
                    if alarm.name not in said:
                        said.add(alarm.name)
                        self.report(f"alarm: {alarm.line()}")
                self._log(looks[-1])
                self._plot(looks, held_out, scores)
                losses = []
                self._save(optimiser, {"phase": "reward", "step": step + 1, "ranked": ranked, "looks": looks})

    @staticmethod
    def _alarms(looks: list[dict[str, Any]]) -> list[health.Alarm]:
        """There is no β to halve in a run without correction: an alarm is said once and the checkpoints stay."""
        measured = [(look["auc"]["value"], look["loss"]) for look in looks if look["auc"] is not None]
        found = [
            health.collapse([look["step"] for look in looks], [look["spread"] for look in looks]),
            health.noise_fitting([auc for auc, _ in measured], [loss for _, loss in measured]),
        ]
        return [alarm for alarm in found if alarm is not None]

    def _plot(self, looks: list[dict[str, Any]], held_out: list[EncodedRow], scores: list[float]) -> None:
        if not parallel.first():
            return
        scored = [(score, one.row.verdict) for score, one in zip(scores, held_out, strict=True)]
        rewards = {name: [s for s, v in scored if v == value] for name, value in (("passing", 1), ("failing", 0))}
        names = {"Best-of-8": "bestOf8", "random": "random", "AUC": "auc"}
        validation = {
            shown: [(look["step"], look[key]["value"]) for look in looks if look[key]] for shown, key in names.items()
        }
        losses = {"training": [(look["step"], look["loss"]) for look in looks]}
        plots.write(
            self.folder / "plots",
            {
                "rewards": plots.histogram("Validation programs", "mean reward", rewards),
                "losses": plots.lines("Loss", "step", "loss", losses),
                "validation": plots.lines("Validation", "step", "", validation),
            },
        )

    def _batch(self, clusters: list[list[Row]], mixed: list[list[Row]], step: int) -> list[EncodedRow]:
        """Clusters until the padded tokens are full; three of four with both verdicts."""
        rng = random.Random(self.config.seed * 7_368_787 + step)
        batch: list[EncodedRow] = []
        widest = 0
        for _ in range(LONGEST_SEARCH):
            cluster = self._encoded(rng.choice(mixed if mixed and rng.random() < 0.75 else clusters))
            if not cluster:
                continue
            widest = max(widest, *(len(one.ids) for one in cluster))
            if batch and widest * self._sequences([*batch, *cluster]) > self.config.reward.tokens:
                return batch
            batch += cluster
        if batch:
            return batch
        raise WorkerError("bad_rows", f"{self.config.data}: no training row fits {self.config.model.max_tokens} tokens")

    def _sequences(self, rows: list[EncodedRow]) -> int:
        """What the model pays for: an encoder reads every prefix by itself."""
        return sum(len(one.ends) for one in rows) if self.by_prefix else len(rows)

    def _encoded(self, cluster: list[Row]) -> list[EncodedRow]:
        """Encoded when first drawn: a short run sees few of the rows."""
        key = (cluster[0].group, cluster[0].pool)
        if key not in self._seen:
            self._seen[key] = encode_rows(
                cluster, self.encoder, self.config.model.max_tokens, self.config.reward.broadcast
            )
        return self._seen[key]

    # ------------------------------------------------------------ mechanics

    def _update(
        self, optimiser: torch.optim.Optimizer, loss: Tensor, rate: float, step: int, steps: int, rows: list[str]
    ) -> float:
        value = parallel.add([float(loss.detach())])[0]
        if not math.isfinite(value):
            raise WorkerError(
                "training_failed",
                f"step {step}: the loss is {value}; the last good checkpoint is kept; rows {', '.join(rows[:8])}",
            )
        warm = min(1.0, (step + 1) / 50)
        for group in optimiser.param_groups:
            group["lr"] = rate * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        parallel.add_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimiser.step()
        return value

    def _log(self, facts: dict[str, Any]) -> None:
        if parallel.first():
            with (self.folder / "metrics.jsonl").open("a") as out:
                out.write(json.dumps(facts) + "\n")
        self.report(json.dumps(facts))

    def _save(self, optimiser: torch.optim.Optimizer, place: dict[str, Any]) -> None:
        if parallel.first():
            state = {"model": self.model.state_dict(), "optimiser": optimiser.state_dict(), **place}
            save_state(self.folder / "last.pt", state)
        parallel.wait()

    def _restore(self) -> dict[str, Any]:
        path = self.folder / "last.pt"
        if not path.exists():
            return {"phase": "pretrain", "step": 0}
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
        except (RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as problem:
            raise WorkerError(
                "bad_config",
                f"{path}: not a checkpoint of this config ({str(problem).splitlines()[0][:160]}); give the run another folder",
            ) from problem
        self.report(f"going on from {path}: {state['phase']} step {state['step']}")
        if state["phase"] == "pretrain" and state["step"] >= self.config.pretrain.steps:
            return {"phase": "reward", "step": 0}
        return state

    def _load_optimiser(self, optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        if "optimiser" in state:
            optimiser.load_state_dict(state["optimiser"])


def choice_sample(validation: list[Row], config: Config) -> list[Row]:
    """The validation rows that choose the checkpoint: whole clusters with both verdicts, in an order that depends on the
    seed alone, up to `checkpoint.validation_rows`."""
    clusters = [c for c in clusters_of(validation, 8, config.seed) if {row.verdict for row in c} >= {0, 1}]
    random.Random(config.seed).shuffle(clusters)
    rows: list[Row] = []
    for cluster in clusters:
        if len(rows) >= config.checkpoint.validation_rows:
            break
        rows += [row for row in cluster if not row.empty_prefix]
    return rows


def train(config: Config, report: Callable[[str], None]) -> None:
    """Runs or resumes the run of `config`, in every process of a `torchrun`; leaves its weights in `best/` of its folder."""
    joined = parallel.start()
    try:
        Run(config, report if parallel.first() else lambda _: None).go()
    finally:
        if joined:
            parallel.finish()


def best_model(config: Config) -> tuple[RewardModel, Encoder]:
    folder = Path(config.run)
    return load_model(folder / "best"), Encoder.load(folder / "tokenizer.json")
