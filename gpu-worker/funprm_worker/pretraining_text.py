"""Text for next-token pretraining: Python sources that are on the machine anyway, and passing programs of training groups.

Rulings 12: no bulk download; the licence of each package is read from its own metadata and stands in the model card.
"""

import importlib.metadata
import random
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from funprm_worker.errors import WorkerError
from funprm_worker.rows import Row

PACKAGES = ("networkx", "sympy", "mpmath", "packaging", "filelock", "fsspec")
"""What torch installs with it and is written as many small functions with docstrings."""

PERMISSIVE = ("BSD", "MIT", "Apache", "PSF", "Unlicense")
PROGRAMS_A_GROUP = 12


def standard_library() -> Iterator[str]:
    """Sources of the machine's standard library (PSF licence), tests and vendored packages left out."""
    root = Path(sysconfig.get_path("stdlib"))
    left_out = {"test", "tests", "site-packages", "idlelib", "lib2to3", "ensurepip"}
    for path in sorted(root.rglob("*.py")):
        if not left_out & set(path.relative_to(root).parts):
            yield from _short(path)


def packages() -> Iterator[str]:
    """Sources of `PACKAGES`, tests left out. Raises `WorkerError("training_failed")` for a licence that is not permissive."""
    for name in PACKAGES:
        licence_of(name)
        for file in sorted(importlib.metadata.files(name) or [], key=str):
            if file.suffix == ".py" and not {"test", "tests", ".."} & set(file.parts):
                yield from _short(Path(str(file.locate())))


def licence_of(name: str) -> str:
    """`name version (licence)` from the package's metadata."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError as problem:
        raise WorkerError(
            "training_failed", f"pretraining reads the package {name}, which is not installed; pip install it"
        ) from problem
    licence = metadata["License-Expression"] or (metadata["License"] or "").split("\n")[0]
    if not any(part in licence for part in PERMISSIVE):
        raise WorkerError("training_failed", f"{name}: licence {licence!r} is not one of {', '.join(PERMISSIVE)}")
    return f"{name} {metadata['Version']} ({licence})"


def programs(training: Iterable[Row]) -> Iterator[str]:
    """Statement and program of passing rows, each program once, at most `PROGRAMS_A_GROUP` of a group."""
    taken: Counter[str] = Counter()
    seen: set[str] = set()
    for row in training:
        code = "\n".join(row.completions)
        if row.verdict == 1 and code not in seen and taken[row.group] < PROGRAMS_A_GROUP:
            seen.add(code)
            taken[row.group] += 1
            yield f"{row.prompt}\n{code}\n"


def tokenizer_text(training: list[Row], seed: int) -> Iterator[str]:
    """What a tokenizer is fitted on: the standard library and a draw of training rows, each statement once.

    Fitting anything is training (rulings 2): training groups only.
    """
    rows = random.Random(seed).sample(training, min(12_000, len(training)))
    yield from standard_library()
    for row in rows:
        yield from row.completions
    yield from {row.prompt: None for row in rows}


def described() -> str:
    """One line for the manifest."""
    return "; ".join(
        [
            f"Python {sysconfig.get_python_version()} standard library (PSF)",
            *(licence_of(name) for name in PACKAGES),
            "passing programs of the training groups",
        ]
    )


def _short(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8", errors="ignore")
    # Longer files are tables, not programs.
    if len(text) < 200_000:
        yield text
