/** The parts of the report page that are about steps: aggregation × cut × model, and the step heat map. */
import { escaped, figures, interval, range, scroll, signed } from "./page-parts.ts";
import type { EvaluationReport, HeatRow, SetReport } from "./report.ts";

const CUTS = { function: "one function", line: "one line", block: "eight lines", whole: "the whole program" };

export function granularityTable(set: SetReport, report: EvaluationReport): string {
  if (set.granularity.length === 0) return "";
  const second = report.second && `${report.second.name} ${report.second.version}`;
  const rows = set.granularity.map(({ granularity, aggregation, second: other, ...one }) => {
    const beside =
      other === null
        ? ""
        : `<td>${figures(other)}</td><td>${interval(other.auc)}</td><td>${signed(other.diff)} ${range(other.diffCi)}</td>`;
    return `<tr><th>${CUTS[granularity]}</th><th>${aggregation}</th><td>${figures(one)}</td><td>${interval(one.auc)}</td>${beside}</tr>`;
  });
  const head = second
    ? `<th>pass, ${escaped(second)}</th><th>AUC, ${escaped(second)}</th><th>first against it</th>`
    : "";
  return `<h3>What a step is, and how rewards become one score, N = ${report.reportN}</h3>
<p>The same model reads each program cut by functions, lines, blocks or not at all; it was trained on functions. Aggregations of functions can differ only in the ${(100 * set.multiStep).toFixed(0)} % of the groups that hold a program of two functions or more.</p>
${scroll(`<table><thead><tr><th>step</th><th>aggregation</th><th>pass</th><th>AUC</th>${head}</tr></thead><tbody>${rows.join("")}</tbody></table>`)}`;
}

export function heatMap({ heat }: SetReport): string {
  if (heat.length === 0) return "";
  const rows = heat.map(
    (row) =>
      `<tr><th>${escaped(row.problem)}<br><small>${escaped(row.generator)}</small></th><td>${row.passed ? "passes" : "fails"}</td><td class="steps">${row.steps.map(cell).join("")}</td></tr>`,
  );
  return `<h3>Rewards of steps: a passing and a failing program of the same problem</h3>
<p>Problems by a fixed draw, not by what looks well. Darker blue is a higher reward of the prefix that ends there.</p>
${scroll(`<table class="heat"><thead><tr><th>problem, generator</th><th>tests</th><th>functions in order</th></tr></thead><tbody>${rows.join("")}</tbody></table>`)}`;
}

function cell({ name, reward }: HeatRow["steps"][number]): string {
  const shade = reward === null ? "transparent" : `hsl(214 60% ${(92 - 62 * reward).toFixed(0)}%)`;
  const text = reward !== null && reward > 0.5 ? "#ffffff" : "#1a202c";
  const colour = reward === null ? "" : ` style="background:${shade};color:${text}"`;
  return `<span${colour}>${escaped(name)}<br>${reward === null ? "none" : reward.toFixed(2)}</span>`;
}
