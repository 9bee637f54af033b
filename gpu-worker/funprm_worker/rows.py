"""Training rows (rulings 1): read and checked. Light: no torch."""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from funprm_worker.errors import WorkerError

RENDER_VERSIONS = ("v1", "v1-nodoc")
SOURCES = ("monte_carlo", "broadcast", "min_rule", "mutation", "unit_test", "outcome", "judge")
NOISY = ("monte_carlo", "broadcast", "judge")
"""What a correction may move; every other label is clean."""
CLEAN_FINAL = ("unit_test", "outcome", "min_rule", "mutation")


COPY = re.compile(r"~(text|edit\d+)$")
"""Ends the id of a copy of a row: the same program with a text in a docstring or a string (`funprm dataset texts`), or in other
words (`funprm dataset functions`)."""


@dataclass(frozen=True)
class Row:
    """One candidate, or the empty prefix of one problem. Lists have one entry per completion; None = no label there.

    `labels` are values in [0,1]; `own` is each function's own correctness: two columns, never mixed.
    """

    id: str
    problem: str
    group: str
    pool: str
    prompt: str
    completions: list[str]
    labels: list[float | None]
    own: list[int | None]
    counts: list[tuple[int, int] | None]
    source: list[str | None]
    weight: float

    @property
    def original(self) -> str | None:
        """The id of the row that this one is a copy of, or None."""
        original = COPY.sub("", self.id)
        return None if original == self.id else original

    @property
    def empty_prefix(self) -> bool:
        return self.completions == [""]

    @property
    def verdict(self) -> int | None:
        """Verdict of the whole solution: the last value, when unit tests or an outcome gave it."""
        if self.empty_prefix or self.labels[-1] is None or self.source[-1] not in ("unit_test", "outcome"):
            return None
        return int(self.labels[-1] >= 0.5)


def prefix_of(row: Row, k: int) -> tuple[str, tuple[str, ...]]:
    """What the label of step `k` speaks of."""
    return row.problem, tuple(row.completions[: k + 1])


def clean_verdicts(rows: Sequence[Row]) -> dict[tuple[str, tuple[str, ...]], set[float]]:
    """The clean labels of each prefix."""
    found: dict[tuple[str, tuple[str, ...]], set[float]] = defaultdict(set)
    for row in rows:
        for k, (label, source) in enumerate(zip(row.labels, row.source, strict=True)):
            if label is not None and source not in NOISY:
                found[prefix_of(row, k)].add(label)
    return dict(found)


def read_rows(path: Path, limit: int | None = None) -> Iterator[Row]:
    """Rows of a `.jsonl` or `.jsonl.gz` file. Raises `WorkerError("bad_rows")` naming file, line and field."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if limit is not None and number > limit:
                    return
                yield _row(line, f"{path}:{number}")
    except OSError as problem:
        raise WorkerError(
            "bad_rows", f"{path}: {problem.strerror or problem}; make it with funprm dataset build"
        ) from problem
    except (EOFError, UnicodeDecodeError) as problem:
        raise WorkerError(
            "bad_rows", f"{path}: cut or not UTF-8 ({problem}); make it again with funprm dataset build"
        ) from problem


def _row(line: str, where: str) -> Row:
    try:
        data: Any = json.loads(line)
    except ValueError as problem:
        raise WorkerError("bad_rows", f"{where}: not JSON ({problem})") from problem

    def refuse(field: str, why: str) -> WorkerError:
        return WorkerError("bad_rows", f"{where}: field {field}: {why}")

    if not isinstance(data, dict):
        raise WorkerError("bad_rows", f"{where}: a row is an object")
    for field, kind in (("id", str), ("problem", str), ("group", str), ("prompt", str), ("renderVersion", str)):
        if not isinstance(data.get(field), kind):
            raise refuse(field, f"must be a {kind.__name__}")
    if data["renderVersion"] not in RENDER_VERSIONS:
        raise refuse("renderVersion", f"{data['renderVersion']} is not one of {', '.join(RENDER_VERSIONS)}")
    completions = data.get("completions")
    if not isinstance(completions, list) or not completions or not all(isinstance(c, str) for c in completions):
        raise refuse("completions", "must be a list of at least one text")
    for field in ("labels", "own", "counts", "source"):
        if not isinstance(data.get(field), list) or len(data[field]) != len(completions):
            raise refuse(field, f"must be a list of {len(completions)} entries, one per completion")
    for label in data["labels"]:
        if label is not None and not (isinstance(label, int | float) and 0 <= label <= 1):
            raise refuse("labels", f"{label!r} is not null or in [0,1]")
    for own in data["own"]:
        if own not in (0, 1, None):
            raise refuse("own", f"{own!r} is not 0, 1 or null")
    for source, label in zip(data["source"], data["labels"], strict=True):
        if (source is None) != (label is None) or (source is not None and source not in SOURCES):
            raise refuse("source", f"{source!r} does not go with label {label!r}")
    for k, source in enumerate(data["source"]):
        known = data["own"][: k + 1]
        if source == "min_rule" and None not in known and data["labels"][k] != min(known):
            raise refuse(
                "labels",
                f"step {k}: a min_rule value is the least of own up to it, {min(known)}, not {data['labels'][k]}",
            )
    if data["source"][-1] in CLEAN_FINAL and data["labels"][-1] == 1 and 0 in data["own"]:
        raise refuse(
            "labels", "the solution passes though a function of its own fails: own of the last step is no verdict"
        )
    for count in data["counts"]:
        if count is not None and not (len(count) == 2 and 0 <= count[0] <= count[1] and count[1] > 0):
            raise refuse("counts", f"{count!r} is not [passes, trials]")
    weight = data.get("weight", 1)
    if not isinstance(weight, int | float) or weight < 0:
        raise refuse("weight", f"{weight!r} is not a number of at least 0")
    return Row(
        id=data["id"],
        problem=data["problem"],
        group=data["group"],
        pool=data.get("pool") or "",
        prompt=data["prompt"],
        completions=completions,
        labels=data["labels"],
        own=data["own"],
        counts=[None if c is None else (c[0], c[1]) for c in data["counts"]],
        source=data["source"],
        weight=float(weight),
    )


def assert_disjoint(splits: dict[str, set[str]]) -> None:
    """Raises `WorkerError("bad_rows")` when a group stands in two splits."""
    names = list(splits)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            shared = sorted(splits[a] & splits[b])
            if shared:
                raise WorkerError("bad_rows", f"group {shared[0]} stands in {a} and in {b}; build the data set again")
