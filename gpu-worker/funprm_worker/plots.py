"""Plots of runs and reports as plain SVG text: lines with error bars, histograms. No plotting library, no torch."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 62, 170, 34, 44
COLOURS = ("#0b6bcb", "#d1495b", "#2e8b57", "#b8860b", "#6a4c93", "#4a4a4a", "#17becf", "#e377c2", "#8c564b", "#7f7f7f")
Point = tuple[float, float] | tuple[float, float, float]


def _ticks(low: float, high: float) -> list[float]:
    return [low + (high - low) * k / 4 for k in range(5)]


def _number(value: float) -> str:
    return f"{value:.3g}"


class _Axes:
    def __init__(self, title: str, x_label: str, y_label: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x = x if x[1] > x[0] else (x[0] - 0.5, x[0] + 0.5)
        self.y = y if y[1] > y[0] else (y[0] - 0.5, y[0] + 0.5)
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'font-family="sans-serif" font-size="11">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
            f'<text x="14" y="{HEIGHT / 2:.0f}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2:.0f})">'
            f"{escape(y_label)}</text>",
        ]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def line(self, a: tuple[float, float], b: tuple[float, float], colour: str) -> None:
        self.parts.append(f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" stroke="{colour}"/>')

    def text(self, at: tuple[float, float], text: str, anchor: str = "start", colour: str = "#222") -> None:
        self.parts.append(
            f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
        )

    def scales(self, x_ticks: Sequence[tuple[float, str]]) -> None:
        for value in _ticks(*self.y):
            left = self.at(self.x[0], value)
            self.line(left, self.at(self.x[1], value), "#e4e4e4")
            self.text((left[0] - 6, left[1] + 4), _number(value), "end")
        for place, label in x_ticks:
            below = self.at(place, self.y[0])
            self.line(below, (below[0], below[1] + 4), "#222")
            self.text((below[0], below[1] + 16), label, "middle")

    def legend(self, names: Sequence[str]) -> None:
        for k, name in enumerate(names):
            colour, y = COLOURS[k % len(COLOURS)], TOP + 14 * k + 6
            self.parts.append(f'<rect x="{WIDTH - RIGHT + 12}" y="{y - 8}" width="9" height="9" fill="{colour}"/>')
            self.text((WIDTH - RIGHT + 26, y), name)

    def svg(self) -> str:
        return "\n".join([*self.parts, "</svg>"]) + "\n"


def lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Sequence[Point]], x_names: Sequence[str] = ()
) -> str:
    """Each series is points (x, y) or (x, y, half an interval). `x_names` label x = 0, 1, 2… in place of numbers."""
    points = [point for one in series.values() for point in one]
    halves = [point[2] if len(point) > 2 else 0.0 for point in points]
    xs = [point[0] for point in points] or [0.0, 1.0]
    ys = [point[1] + sign * half for point, half in zip(points, halves, strict=True) for sign in (-1, 1)] or [0.0, 1.0]
    axes = _Axes(title, x_label, y_label, (min(xs), max(xs)), (min(ys), max(ys)))
    named = [(float(place), label) for place, label in enumerate(x_names)]
    axes.scales(named or [(value, _number(value)) for value in _ticks(*axes.x)])
    for k, one in enumerate(series.values()):
        colour = COLOURS[k % len(COLOURS)]
        path = " ".join("{:.1f},{:.1f}".format(*axes.at(point[0], point[1])) for point in one)
        axes.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        for point in one:
            x, y = axes.at(point[0], point[1])
            axes.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{colour}"/>')
            if len(point) > 2 and point[2] > 0:
                axes.line(axes.at(point[0], point[1] - point[2]), axes.at(point[0], point[1] + point[2]), colour)
    axes.legend(list(series))
    return axes.svg()


def bars(title: str, y_label: str, values: Mapping[str, tuple[float, float]]) -> str:
    """One dot with its interval a name: (value, half an interval)."""
    return lines(title, "", y_label, {name: [(k, *pair)] for k, (name, pair) in enumerate(values.items())}, [""])


def histogram(title: str, x_label: str, series: Mapping[str, Sequence[float]], bins: int = 20) -> str:
    """Share of each series in `bins` equal parts of [0,1], as steps."""
    drawn: dict[str, list[Point]] = {}
    for name, values in series.items():
        counts = [0] * bins
        for value in values:
            counts[min(bins - 1, max(0, int(value * bins)))] += 1
        total = max(1, len(values))
        drawn[name] = [(x / bins, counts[k] / total) for k in range(bins) for x in (k, k + 1)]
    return lines(title, x_label, "share", drawn)


def write(folder: Path, drawn: Mapping[str, str]) -> None:
    """`folder`/NAME.svg for each name and its SVG text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in drawn.items():
        (folder / f"{name}.svg").write_text(text)
