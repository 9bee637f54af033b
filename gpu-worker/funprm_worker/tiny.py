"""`make-tiny`: the test bundle and the shared vectors, from this code, with random weights.

Everything is a function of the seed and of the texts below, so the committed files can be made again.
"""

import json
from pathlib import Path
from typing import Any

import torch

from funprm_worker.bundle import OnnxScorer, score_alone, write_bundle
from funprm_worker.encode import Encoder, assemble
from funprm_worker.errors import WorkerError
from funprm_worker.model import RewardModel, small_config
from funprm_worker.onnx_graph import round_weights, write_onnx
from funprm_worker.tokenizer import train_tokenizer

MAX_TOKENS = 512

PROMPT = (
    "Write `total(values)`: the sum of the even values, 0 when there is none.\n\nExamples:\n>>> total([1, 2, 4])\n6\n"
)

STEPS = [
    'def total(values):\n    """Walks over the values once and adds the even ones."""\n'
    "    return sum(v for v in values if is_even(v))\n",
    'def is_even(value):\n    """True for a multiple of two."""\n    return value % 2 == 0\n',
    "class Store:\n    def __init__(self, limit=1024):\n        self.limit = limit\n        self._items = {}\n",
    "    def get(self, key, default=None):\n        return self._items.get(key, default)\n",
]

ODD_TEXTS = {
    "empty": "",
    "one space": " ",
    "spaces and tabs": "a  b   c\td \t e\t\n\t\tf  ",
    "line breaks": "a\n\n\n  b\r\n\r\n\tc\rd\n",
    "digits": "x = 1234567890 + 3.14159e-10 + 0xFFaa_00",
    "names": "snake_case_name camelCaseName __dunder__ CONSTANT_9 x1y2",
    "operators": "a**=b//c->d:=e<<f>>g!=h==i@j...[::-1]{}()",
    "quotes": '\'it\'\'s\' """doc""" f\'{x!r:>10}\' b"\\x00"',
    "step token in the text": 'print("<|step|>")  # <|pad|> <|step|><|step|> <<||step|> <|ste p|>',
    "unicode": "é ñ ß Ωμέγα 漢字かな 한국어 עברית العربية हिन्दी",
    "unicode digits and marks": "٣ ² Ⅷ e\u0301 a\u200db",
    "blanks of other kinds": "a\u00a0b\u2003c\u3000d\u0085e\u2028f\ufeffg\u000bh\u000ci",
    "emoji": "👩‍👩‍👧 🇩🇪 🙂🙂",
    "control": "\u0000\u0001\u007f",
    "long run": " " * 70 + "x" + "\n" * 20 + "=" * 40,
}


def _cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = [
        {"name": f"text: {name}", "prompt": text, "completions": [text], "maxTokens": MAX_TOKENS}
        for name, text in ODD_TEXTS.items()
    ]
    long_prompt = "".join(f"Line {k} of the statement.\n" for k in range(120))
    cases += [
        {"name": "two functions", "prompt": PROMPT, "completions": STEPS[:2], "maxTokens": MAX_TOKENS},
        {"name": "no prompt", "prompt": "", "completions": STEPS, "maxTokens": MAX_TOKENS},
        {"name": "the empty prefix (v_0)", "prompt": PROMPT, "completions": [""], "maxTokens": MAX_TOKENS},
        {"name": "no completion", "prompt": PROMPT, "completions": [], "maxTokens": MAX_TOKENS},
        {"name": "statement cut, even room", "prompt": long_prompt, "completions": STEPS[:2], "maxTokens": 300},
        {"name": "statement cut, odd room", "prompt": long_prompt, "completions": STEPS[:2], "maxTokens": 301},
    ]
    return cases


def encode_cases(encoder: Encoder) -> list[dict[str, Any]]:
    """Encode vectors, with the rows at both edges of the 64 tokens that a cut statement keeps."""
    cases = _cases()
    long_prompt = next(c["prompt"] for c in cases if c["name"].startswith("statement cut"))
    steps = sum(len(encoder.ids(s)) + 1 for s in STEPS)
    for room in (63, 64, 65):
        cases.append(
            {"name": f"room for {room}", "prompt": long_prompt, "completions": STEPS, "maxTokens": steps + room}
        )
    cases.append(
        {"name": "a short statement is not cut", "prompt": "Add.", "completions": STEPS, "maxTokens": steps + 1}
    )
    for case in cases:
        prompt, completions = encoder.ids(case["prompt"]), [encoder.ids(c) for c in case["completions"]]
        try:
            row = assemble(prompt, completions, encoder.step_id, case["maxTokens"])
            case |= {
                "ids": row.ids,
                "stepPositions": row.step_positions,
                "truncatedTokens": row.truncated_tokens,
                "reason": None,
            }
        except WorkerError as problem:
            case |= {"ids": None, "stepPositions": None, "truncatedTokens": None, "reason": problem.code}
    return cases


def make_tiny(repository: Path) -> None:
    """Writes `test/fixtures/models/tiny` and `test/vectors/{encode,score}/tiny.json` under `repository`."""
    torch.manual_seed(20240522)
    folder = repository / "test/fixtures/models/tiny"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer([PROMPT, *STEPS] * 3, 384)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    encoder = Encoder.load(folder / "tokenizer.json")
    # The wide initialiser spreads the rewards over (0,1): near 0.5 everywhere, a wrong runtime would go unseen.
    model = RewardModel(small_config(encoder.vocab_size, 32, 2, 2, 64, MAX_TOKENS, 0.35)).eval()
    with torch.no_grad():
        model.head.weight.normal_(std=0.5)
    round_weights(model)
    write_onnx(model, folder / "model.onnx", int8=True)
    facts = {
        "name": "tiny",
        "version": "0.0.0",
        "maxTokens": MAX_TOKENS,
        "weights": "int8",
        "parameters": model.parameters_total(),
        "trainedOn": {"sets": [], "groupsSha256": None, "rows": 0},
        "method": {"summary": "random weights, for tests only"},
        "metrics": {},
        "licence": "MIT",
    }
    parity = [
        (PROMPT, STEPS[:2]),
        ("", STEPS),
        (PROMPT, [""]),
        (PROMPT, ["x = 1\n"]),
        ("Ω 漢字\n", ['print("<|step|>")\n']),
    ]
    write_bundle(folder, facts, parity, 1e-4)

    def save(path: Path, value: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n"
        )

    bundle = "test/fixtures/models/tiny"
    cases = encode_cases(encoder)
    save(repository / "test/vectors/encode/tiny.json", {"bundle": bundle, "cases": cases})
    scorer = OnnxScorer(folder / "model.onnx")
    rows = [
        {k: c[k] for k in ("name", "prompt", "completions")}
        | score_alone(scorer, encoder, c["prompt"], c["completions"], MAX_TOKENS)
        for c in cases
        if c["maxTokens"] == MAX_TOKENS and c["completions"]
    ]
    save(repository / "test/vectors/score/tiny.json", {"bundle": bundle, "tolerance": 1e-4, "rows": rows})
