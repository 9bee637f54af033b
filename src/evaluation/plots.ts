/** Plots of the report page: SVG, nothing loaded from elsewhere. */
import { escaped, percent } from "./page-parts.ts";
import type { RiskCoveragePoint, SelectorTable, SetReport } from "./report.ts";

/** Selectors of the curves and of the breakdowns, in the order of their legend. */
export const SHOWN = [
  "random",
  "shortest",
  "prm-mean",
  "prm-line",
  "consensus",
  "agreement",
  "public-tests",
  "hybrid",
  "oracle",
];
const COLOURS: Record<string, string> = {
  random: "#888888",
  shortest: "#b07d2b",
  "prm-mean": "#2b6cb0",
  "prm-line": "#319795",
  consensus: "#805ad5",
  agreement: "#d53f8c",
  "public-tests": "#dd6b20",
  hybrid: "#2f855a",
  oracle: "#a0aec0",
};

const WIDTH = 340;
const HEIGHT = 220;
const PAD = { left: 36, right: 18, top: 10, bottom: 28 };
const px = (x: number) => PAD.left + x * (WIDTH - PAD.left - PAD.right);
const py = (y: number) => HEIGHT - PAD.bottom - y * (HEIGHT - PAD.top - PAD.bottom);

/** Axes over the unit square; `xs` are the labels of the horizontal one, at their places in [0,1]. */
function plot(xs: readonly [number, string][], inside: string, legend: readonly string[] = []): string {
  const lines = [0, 0.25, 0.5, 0.75, 1]
    .map(
      (y) =>
        `<line class="grid" x1="${px(0)}" x2="${px(1)}" y1="${py(y)}" y2="${py(y)}"/><text x="${PAD.left - 4}" y="${py(y) + 4}" text-anchor="end">${y}</text>`,
    )
    .join("");
  const ticks = xs
    .map(([x, label]) => `<text x="${px(x)}" y="${HEIGHT - 10}" text-anchor="middle">${escaped(label)}</text>`)
    .join("");
  const keys = legend
    .map((name) => `<span><i style="background:${COLOURS[name] ?? "#888888"}"></i>${escaped(name)}</span>`)
    .join(" ");
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${lines}${ticks}${inside}</svg>${keys ? `<div class="legend">${keys}</div>` : ""}`;
}

const QUARTERS: [number, string][] = [0, 0.25, 0.5, 0.75, 1].map((x) => [x, String(x)]);

function path(points: readonly (readonly [number, number])[], colour: string): string {
  const d = points.map(([x, y], at) => `${at === 0 ? "M" : "L"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("");
  const dots = points.map(
    ([x, y]) => `<circle cx="${px(x).toFixed(1)}" cy="${py(y).toFixed(1)}" r="2.5" fill="${colour}"/>`,
  );
  return `<path d="${d}" fill="none" stroke="${colour}" stroke-width="2"/>${dots.join("")}`;
}

export function curves(selectors: SelectorTable, sizes: readonly number[]): string {
  const at = (n: number) => (sizes.length === 1 ? 0.5 : sizes.indexOf(n) / (sizes.length - 1));
  const names = SHOWN.filter((name) => selectors[name]);
  const inside = names
    .map((name) => {
      const figures = sizes.flatMap((n) => {
        const one = selectors[name]![n];
        return one ? [{ x: at(n), ...one }] : [];
      });
      const colour = COLOURS[name]!;
      const bars = figures.map(
        ({ x, ci }) =>
          `<line x1="${px(x)}" x2="${px(x)}" y1="${py(ci[0])}" y2="${py(ci[1])}" stroke="${colour}" stroke-opacity="0.35"/>`,
      );
      return (
        bars.join("") +
        path(
          figures.map(({ x, pass }) => [x, pass] as const),
          colour,
        )
      );
    })
    .join("");
  return plot(
    sizes.map((n) => [at(n), `N=${n}`]),
    inside,
    names,
  );
}

export function gapBars(selectors: SelectorTable, n: string): string {
  const bars = Object.entries(selectors).flatMap(([name, figures]) => {
    const gap = figures?.[n]?.gapClosed;
    return gap == null || name === "random" || name === "oracle" ? [] : [{ name, gap }];
  });
  const height = bars.length * 18 + 8;
  const zero = 190;
  const rows = bars
    .map(({ name, gap }, at) => {
      const y = at * 18 + 4;
      const size = Math.max(-1, Math.min(1, gap)) * 120;
      return `<text x="120" y="${y + 12}" text-anchor="end">${escaped(name)}</text><rect x="${Math.min(zero, zero + size)}" y="${y}" width="${Math.abs(size)}" height="14" fill="${COLOURS[name] ?? "#4a90c2"}"/><text x="${size >= 0 ? zero + size + 4 : zero + 4}" y="${y + 12}">${percent(gap)}</text>`;
    })
    .join("");
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img"><line class="grid" x1="${zero}" x2="${zero}" y1="0" y2="${height}"/>${rows}</svg>`;
}

export function reliabilityPlot({ bins }: NonNullable<SetReport["calibration"]>): string {
  const diagonal = `<line class="grid" x1="${px(0)}" y1="${py(0)}" x2="${px(1)}" y2="${py(1)}"/>`;
  const marks = bins
    .filter((bin) => bin.count > 0)
    .map((bin) => {
      const x = px(bin.predicted!);
      return `<line x1="${x}" x2="${x}" y1="${py(bin.wilson![0])}" y2="${py(bin.wilson![1])}" stroke="#2b6cb0" stroke-opacity="0.5"/><circle cx="${x}" cy="${py(bin.correct!)}" r="${Math.min(8, 2 + Math.sqrt(bin.count) / 6).toFixed(1)}" fill="#2b6cb0"><title>${bin.count} candidates, predicted ${bin.predicted!.toFixed(2)}, passed ${bin.correct!.toFixed(2)}</title></circle>`;
    })
    .join("");
  return plot(QUARTERS, diagonal + marks);
}

export function riskPlot(curve: Record<string, readonly RiskCoveragePoint[]>): string {
  const names = Object.keys(curve).filter((name) => curve[name]!.length > 0);
  return plot(
    QUARTERS,
    names
      .map((name) =>
        path(
          curve[name]!.map((one) => [one.coverage, one.pass] as const),
          COLOURS[name]!,
        ),
      )
      .join(""),
    names,
  );
}

export function histogramPlot({ passing, failing }: NonNullable<SetReport["rewardHistogram"]>): string {
  const share = (counts: readonly number[]) => {
    const total = Math.max(
      1,
      counts.reduce((sum, one) => sum + one, 0),
    );
    return counts.map((one) => one / total);
  };
  const sides = [
    { counts: share(passing), colour: "#2f855a", at: 0.1 },
    { counts: share(failing), colour: "#c53030", at: 0.5 },
  ];
  const most = Math.max(0.01, ...sides.flatMap(({ counts }) => counts));
  const bars = sides
    .flatMap(({ counts, colour, at }) =>
      counts.map((one, bin) => {
        const height = (one / most) * (HEIGHT - PAD.top - PAD.bottom);
        return `<rect x="${px((bin + at) / 10)}" y="${HEIGHT - PAD.bottom - height}" width="${px(0.04) - px(0)}" height="${height}" fill="${colour}"/>`;
      }),
    )
    .join("");
  const ticks = QUARTERS.map(
    ([x, label]) => `<text x="${px(x)}" y="${HEIGHT - 10}" text-anchor="middle">${label}</text>`,
  ).join("");
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${bars}${ticks}</svg><div class="legend"><span><i style="background:#2f855a"></i>passing</span> <span><i style="background:#c53030"></i>failing</span></div>`;
}
