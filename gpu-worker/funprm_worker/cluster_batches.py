"""Batches of whole clusters for a corrected run: every labelled step inside, the noisy ones corrected; clean verdicts of
problem-disjoint clusters outside. A cluster holds the rows of one (group, pool), as in `train.py`."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from funprm_worker import parallel
from funprm_worker.bilevel import InnerBatch, MetaBatch
from funprm_worker.correction import StepLabel
from funprm_worker.encode import Encoder, assemble
from funprm_worker.errors import WorkerError
from funprm_worker.rows import NOISY, Row
from funprm_worker.train import clusters_of, pad


@dataclass(frozen=True)
class BatchSettings:
    """`tokens`: padded tokens of an inner batch, twice those of a meta batch. `per_side`, `broadcast`, `pairwise`: as the
    keys of `[reward]` in presets/funprm-mini.toml."""

    tokens: int
    max_tokens: int
    per_side: int
    broadcast: float
    pairwise: float
    seed: int


@dataclass(frozen=True)
class ClusterChain:
    """A row as ids. `reads`: (position, index of the label in the table, loss weight) of each labelled step."""

    row: Row
    ids: list[int]
    ends: list[int]
    reads: list[tuple[int, int, float]]


class ClusterBatches:
    """Draws inner and meta batches. Rows are encoded when they are first drawn; one longer than the context is left out.
    Under `torchrun` every process draws the same batch and keeps whole clusters of it as its share.

    `labels` are the table's, one a labelled step; a clean one has trials 0. Raises `WorkerError("bad_rows")` without a
    noisy step inside or without a cluster of both verdicts outside.
    """

    def __init__(self, training: list[Row], meta: list[Row], encoder: Encoder, settings: BatchSettings) -> None:
        self.encoder, self.settings = encoder, settings
        self.labels: list[StepLabel] = []
        self._places: dict[str, list[int | None]] = {}
        self._prompts: dict[str, list[int]] = {}
        self._chains: dict[str, ClusterChain | None] = {}
        self.inner = clusters_of(training, settings.per_side, settings.seed)
        for cluster in self.inner:
            for row in cluster:
                self._places[row.id] = [self._label(row, k) for k in range(len(row.labels))]
        self.mixed = [c for c in self.inner if {row.verdict for row in c} >= {0, 1}]
        self.meta = [c for c in clusters_of(meta, settings.per_side, settings.seed) if {r.verdict for r in c} >= {0, 1}]
        noisy = sum(one.trials > 0 for one in self.labels)
        if not noisy or not self.meta:
            raise WorkerError(
                "bad_rows",
                f"{noisy} noisy steps in the training rows and {len(self.meta)} problems with both verdicts in the meta"
                " rows; a correction needs both",
            )

    def _label(self, row: Row, k: int) -> int | None:
        label, count = row.labels[k], row.counts[k]
        if label is None:
            return None
        if row.source[k] not in NOISY:
            passes, trials = float(label), 0
        else:
            passes, trials = (float(count[0]), count[1]) if count is not None else (float(label), 1)
        self.labels.append(StepLabel(row.id, row.problem, k, len(row.labels), passes, trials))
        return len(self.labels) - 1

    def _chain(self, row: Row) -> ClusterChain | None:
        if row.id not in self._chains:
            self._chains[row.id] = self._encoded(row)
        return self._chains[row.id]

    def _encoded(self, row: Row) -> ClusterChain | None:
        if row.prompt not in self._prompts:
            self._prompts[row.prompt] = self.encoder.ids(row.prompt)
        ids = [self.encoder.ids(text) for text in row.completions]
        try:
            parts = assemble(self._prompts[row.prompt], ids, self.encoder.step_id, self.settings.max_tokens)
        except WorkerError:
            return None
        reads = []
        for k, place in enumerate(self._places.get(row.id, [])):
            if place is not None:
                weight = row.weight * (self.settings.broadcast if row.source[k] == "broadcast" else 1.0)
                # A chain of many steps must not weigh more than a chain of one.
                reads.append((parts.step_positions[k], place, weight / len(row.labels)))
        return ClusterChain(row, parts.ids, parts.step_positions, reads)

    def _draw(self, choose: Callable[[], list[Row]], tokens: int) -> list[ClusterChain]:
        """Clusters until the padded tokens are full."""
        batch: list[ClusterChain] = []
        widest = 0
        while True:
            cluster = [chain for chain in map(self._chain, choose()) if chain is not None]
            if not cluster:
                continue
            widest = max(widest, *(len(one.ids) for one in cluster))
            if batch and widest * (len(batch) + len(cluster)) > tokens:
                return batch
            batch += cluster

    def inner_batch(self, rng: random.Random) -> InnerBatch:
        """Three of four clusters with both verdicts, as in training without correction."""

        def choose() -> list[Row]:
            return rng.choice(self.mixed if self.mixed and rng.random() < 0.75 else self.inner)

        drawn = [one for one in self._draw(choose, self.settings.tokens) if one.reads]
        chains = parallel.mine_by(drawn, lambda one: (one.row.group, one.row.pool))
        reads = [(i, *read) for i, one in enumerate(chains) for read in one.reads]
        noisy = [i for i, one in enumerate(chains) if any(self.labels[place].trials > 0 for _, place, _ in one.reads)]
        at = torch.tensor([n for n, (i, *_) in enumerate(reads) if i in set(noisy)], dtype=torch.int64)
        return InnerBatch(
            self._inputs(chains, [(i, position) for i, position, _, _ in reads]),
            torch.tensor([place for _, _, place, _ in reads]),
            torch.tensor([weight for *_, weight in reads]),
            self._pairwise(chains, torch.tensor([i for i, *_ in reads])),
            (
                self._inputs(
                    [chains[i] for i in noisy],
                    [(k, position) for k, i in enumerate(noisy) for position, _, _ in chains[i].reads],
                ),
                at,
            ),
        )

    def _inputs(self, chains: Sequence[ClusterChain], at: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
        ids = pad([one.ids for one in chains], self.encoder.pad_id) if chains else torch.zeros(0, 0, dtype=torch.int64)
        return ids, torch.tensor([i for i, _ in at], dtype=torch.int64), torch.tensor([p for _, p in at])

    def _pairwise(self, chains: Sequence[ClusterChain], owner: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Bradley-Terry on mean logits of passing against failing rows of one cluster: final labels, no entry of the table."""
        sides: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for i, one in enumerate(chains):
            if one.row.verdict is not None:
                sides[one.row.group, one.row.pool][one.row.verdict].append(i)
        pairs = [(p, f) for failing, passing in sides.values() for p in passing for f in failing]
        everywhere = parallel.add([float(len(pairs))])[0]
        if not pairs or not self.settings.pairwise:
            return None
        share = self.settings.pairwise * len(pairs) / everywhere
        better, worse = torch.tensor(pairs).T

        def term(logits: Tensor) -> Tensor:
            sums = torch.zeros(len(chains)).index_add(0, owner, logits)
            means = sums / torch.bincount(owner, minlength=len(chains)).clamp(min=1)
            return share * functional.softplus(means[worse] - means[better]).mean()

        return term

    def meta_batch(self, rng: random.Random) -> MetaBatch:
        drawn = self._draw(lambda: rng.choice(self.meta), self.settings.tokens // 2)
        known = [one for one in drawn if one.row.verdict is not None]
        chains = parallel.mine_by(known, lambda one: (one.row.group, one.row.pool))
        at = [(i, position) for i, one in enumerate(chains) for position in one.ends]
        problems = {name: k for k, name in enumerate(sorted({(one.row.group, one.row.pool) for one in chains}))}
        inputs = self._inputs(chains, at)
        return MetaBatch(
            inputs,
            inputs[1],
            torch.tensor([float(one.row.verdict or 0) for one in chains]),
            torch.tensor([problems[one.row.group, one.row.pool] for one in chains]),
        )
