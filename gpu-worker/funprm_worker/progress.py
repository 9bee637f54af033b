"""A bar on stderr while a training runs: only where stderr is a terminal. Light: no torch."""

import sys
import time
from collections.abc import Mapping
from typing import TextIO

CELLS = 24


class Progress:
    """`total` steps of `name`; drawn at most five times a second and at the last step."""

    def __init__(self, name: str, total: int, stream: TextIO | None = None) -> None:
        self.name, self.total = name, max(1, total)
        self.stream = sys.stderr if stream is None else stream
        self.shown = self.stream.isatty()
        self.drawn = float("-inf")
        self.started = time.monotonic()
        self.from_step: int | None = None

    def show(self, step: int, figures: Mapping[str, float]) -> None:
        """`step` done of `total`, and the figures beside the bar, in their order."""
        if not self.shown:
            return
        now = time.monotonic()
        if self.from_step is None:
            self.from_step = step - 1
        if now - self.drawn < 0.2 and step < self.total:
            return
        self.drawn = now
        left = (now - self.started) / max(1, step - self.from_step) * (self.total - step)
        full = CELLS * step // self.total
        texts = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        bar = "█" * full + "·" * (CELLS - full)
        self.stream.write(f"\r\x1b[K{self.name} {bar} {step}/{self.total}  {texts}  {left:.0f} s left")
        self.stream.flush()

    def line(self) -> None:
        """Ends the bar's line, so that a report stands on its own; the next `show` draws it again."""
        if self.shown and self.drawn > float("-inf"):
            self.stream.write("\n")
            self.drawn = float("-inf")
