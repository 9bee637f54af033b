"""Which sets may enter a bundle without a word: those whose licence is stated, permissive, and covers all they hold. Light: no torch."""

import json
import re
from pathlib import Path

from funprm_worker.errors import WorkerError

PERMISSIVE = re.compile(r"\b(MIT|Apache-2\.0|BSD(-[23]-Clause)?|ISC|0BSD|Unlicense|CC0(-1\.0)?|CC-BY-4\.0)\b")
LIMITED = re.compile(r"none stated|not stated|unknown|\bterms\b|per source|their own|\bNC\b|\bSA\b|GPL", re.IGNORECASE)
"""A part under other terms: problem texts of a platform, candidates of their sources, code of its own repositories."""


def is_permissive(licence: str) -> bool:
    """`MIT` is; `MIT; candidates: per source`, `Apache-2.0 (LeetCode text: LeetCode terms)` and nothing at all are not."""
    return PERMISSIVE.search(licence) is not None and LIMITED.search(licence) is None


def require_permissive(data: Path, unlicensed: bool) -> None:
    """Of the sets in `data/card.json` that gave rows. Raises `WorkerError("bad_config")` naming those that the flag
    `--unlicensed` would let in, and `bad_rows` without a card."""
    path = data / "card.json"
    try:
        sets = json.loads(path.read_text())["sets"]
        stated = {name: "; ".join(one["licences"]) for name, one in sets.items() if one["rows"] > 0}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise WorkerError(
            "bad_rows", f"{path}: no readable data card ({problem!r}); make the data with funprm dataset build"
        ) from problem
    others = sorted(name for name, licence in stated.items() if not is_permissive(licence))
    if others and not unlicensed:
        raise WorkerError(
            "bad_config",
            f"{path}: no permissive licence is stated for all of {', '.join(others)}; build the data without these sets, "
            "or let them into the bundle with --unlicensed",
        )
