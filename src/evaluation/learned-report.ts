/** What the app learned in a period: figures for the page and for the comment of an issue (issue H item 7). Pure. */
import type { Grade, GradedLabel } from "../domain/graded-label.ts";
import { BODY_LIMIT, code, plain, table, withinLimit } from "../domain/markdown.ts";
import type { GateDecision, ModelVersion, PairedFigure } from "../domain/model-version.ts";
import type { FindingPrecision } from "../domain/precision.ts";

export const GRADES: readonly Grade[] = ["A+", "A-", "B+", "B-", "C"];

/** A reviewed function whose outcome says otherwise than its reward. */
export type Mistake = Pick<GradedLabel, "pullRequest" | "function" | "grade" | "reason"> & {
  repository: string;
  reward: number;
  modelVersion: string;
};

export type LearnedReport = {
  from: string;
  to: string;
  active: Pick<ModelVersion, "name" | "version" | "sha256">;
  pullRequests: number;
  /** Decided labels by grade; people who gave any. */
  labels: Record<Grade, number>;
  people: number;
  /** Challengers of the period, newest first. */
  decisions: GateDecision[];
  /** Functions with a reward and a label of grade A or B, and the worst disagreements among them. */
  compared: number;
  mistakes: Mistake[];
  /** Pull requests of the app: how many were merged, what all runs of the period cost (null: a price is unknown). */
  cost: { runs: number; opened: number; accepted: number; usd: number | null };
  precision: (FindingPrecision & { repository: string; wanted: number })[];
  /** Figures against a known truth, before → after: only where an organisation is synthetic. */
  known: { name: string; figure: PairedFigure; ok: boolean }[];
};

const signed = (value: number) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
const percent = (share: number) => `${Math.round(100 * share)} %`;

/** One line a figure: before, after, difference with its interval. */
function figureLine({ champion, challenger, difference, count }: PairedFigure): string {
  return `${champion.toFixed(3)} → ${challenger.toFixed(3)}, ${signed(difference.value)} [${difference.ci.map(signed).join(", ")}], n = ${count}`;
}

function costLine({ runs, opened, accepted, usd }: LearnedReport["cost"]): string {
  const made = `${runs} runs, ${opened} pull requests, ${accepted} accepted`;
  if (usd === null) return `${made}; the price of the model is not known`;
  return `${made}; $${usd.toFixed(2)}${accepted === 0 ? "" : `, $${(usd / accepted).toFixed(2)} an accepted pull request`}`;
}

function precisionLine(one: LearnedReport["precision"][number]): string {
  if (one.adjudicated === 0) return "nothing was judged yet; comments are on";
  const [low, high] = one.wilson;
  return `${one.correct} of the last ${one.adjudicated} judged findings were right, 95 % interval ${percent(low)} to ${percent(high)}, wanted ${percent(one.wanted)}: inline comments are ${one.muted ? "muted" : "on"}`;
}

/** Room for the marker that the comment begins with. */
const MARKER_ROOM = 500;

/** Markdown of the comment: every text of people and programs is escaped; what does not fit is left out, and said. */
export function learnedComment(report: LearnedReport, link: string | null): string {
  const trained = GRADES.filter((grade) => grade !== "C").reduce((sum, grade) => sum + report.labels[grade], 0);
  const labels = [
    `### What FunPRM learned, ${report.from.slice(0, 10)} to ${report.to.slice(0, 10)}`,
    "",
    `${report.pullRequests} pull requests gave ${trained} labels of grade A or B from ${report.people} ${report.people === 1 ? "person" : "people"}; \`${report.active.name} ${report.active.version}\` scores.`,
    "",
    table(
      ["grade", ...GRADES.map((grade) => grade.replace("-", "−"))],
      [["labels", ...GRADES.map((grade) => `${report.labels[grade]}`)]],
    ),
  ].join("\n");
  const findings = report.precision.map((one) => `**Findings in ${plain(one.repository)}**: ${precisionLine(one)}.`);
  return withinLimit(
    [
      { name: "labels", text: labels, keep: true },
      { name: "before and after", text: decisionText(report.decisions) },
      { name: "what it got wrong", text: mistakeText(report) },
      { name: "cost", text: `**Cost**: ${costLine(report.cost)}.`, keep: true },
      { name: "findings", text: findings.join("\n\n") || "**Findings**: none was judged yet." },
      { name: "link", text: link === null ? "" : `[The whole report](${link})`, keep: true },
    ],
    BODY_LIMIT - MARKER_ROOM,
  );
}

function decisionText(decisions: readonly GateDecision[]): string {
  if (decisions.length === 0) return "No challenger was trained.";
  return decisions
    .map(({ challenger, champion, verdict, problems, checks }) =>
      [
        `**${plain(challenger.version)} ${verdict}** against ${plain(champion.version)} on ${problems} held-out problems (before → after, difference with 95 % interval):`,
        "",
        ...checks.map(
          (check) =>
            `- ${check.ok ? "✓" : "✗"} ${plain(check.name)}: ${check.figure ? figureLine(check.figure) : plain(check.said)}`,
        ),
      ].join("\n"),
    )
    .join("\n\n");
}

function mistakeText({ compared, mistakes }: LearnedReport): string {
  if (mistakes.length === 0)
    return `Nothing among the ${compared} functions with a reward and an outcome was a sure mistake.`;
  return [
    `**What it got wrong** (${compared} functions had a reward and an outcome):`,
    "",
    ...mistakes.map(
      (one) =>
        `- ${code(one.function)} in #${one.pullRequest} of ${plain(one.repository)}: reward ${one.reward.toFixed(2)}, ${one.grade.replace("-", "−")}, ${plain(one.reason)}`,
    ),
  ].join("\n");
}

/** The same as one self-contained page: no script, nothing loaded. */
export function learnedPage(report: LearnedReport): string {
  const e = escaped;
  const most = Math.max(1, ...GRADES.map((grade) => report.labels[grade]));
  const bars = GRADES.map(
    (grade) =>
      `<tr><th>${grade.replace("-", "−")}</th><td><span class="bar ${grade.endsWith("+") ? "good" : grade === "C" ? "none" : "bad"}" style="width:${((200 * report.labels[grade]) / most).toFixed(0)}px"></span> ${report.labels[grade]}</td></tr>`,
  ).join("");
  const mistakes = report.mistakes
    .map(
      (one) =>
        `<tr><td><code>${e(one.function)}</code></td><td>${e(one.repository)} #${one.pullRequest}</td><td>${one.reward.toFixed(2)}</td><td>${one.grade.replace("-", "−")}</td><td>${e(one.reason)}</td><td>${e(one.modelVersion)}</td></tr>`,
    )
    .join("");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title>What FunPRM learned</title><style>${STYLE}</style></head>
<body><main><h1>What FunPRM learned</h1>
<p class="soft">${e(report.from.slice(0, 10))} to ${e(report.to.slice(0, 10))} · <code>${e(report.active.name)} ${e(report.active.version)}</code> (sha256 ${e(report.active.sha256.slice(0, 12))}) scores · ${report.pullRequests} pull requests · ${report.people} people</p>
<h2>Labels by grade</h2><p class="soft">A: a test that runs the function. B: green checks with coverage, or a revert or fix. C is reported and never trained on.</p>
<div class="scroll"><table><tbody>${bars}</tbody></table></div>
<h2>Before and after</h2>${report.decisions.length === 0 ? "<p>No challenger was trained.</p>" : report.decisions.map(decisionSection).join("\n")}
${knownSection(report.known)}
<h2>What it got wrong</h2>${mistakes === "" ? `<p>Nothing among ${report.compared} functions with a reward and an outcome.</p>` : `<p class="soft">The worst of ${report.compared} functions with a reward and an outcome.</p><div class="scroll"><table><thead><tr><th>Function</th><th>Pull request</th><th>Reward</th><th>Grade</th><th>Why</th><th>Scored by</th></tr></thead><tbody>${mistakes}</tbody></table></div>`}
<h2>Cost</h2><p>${e(costLine(report.cost))}.</p>
<h2>Precision of findings</h2>${report.precision.map((one) => `<p><b>${e(one.repository)}</b>: ${e(precisionLine(one))}.</p>${precisionPlot(one)}`).join("") || "<p>No finding was judged yet.</p>"}
</main></body></html>
`;
}

function knownSection(known: LearnedReport["known"]): string {
  if (known.length === 0) return "";
  const rows = known.map(
    ({ name, figure, ok }) =>
      `<tr><td>${ok ? "✓" : "✗"}</td><td>${escaped(name)}</td><td>${escaped(figureLine(figure))}</td><td>${differencePlot(figure, ok)}</td></tr>`,
  );
  return `<h2>Against the known truth</h2><p class="soft">The organisation is synthetic: what is right is known by construction.</p><div class="scroll"><table><thead><tr><th></th><th>Figure</th><th>Before → after, difference</th><th>−0.3 … 0 … +0.3</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

function decisionSection(decision: GateDecision): string {
  const e = escaped;
  const rows = decision.checks.map(
    (check) =>
      `<tr><td>${check.ok ? "✓" : "✗"}</td><td>${e(check.name)}</td><td>${check.figure ? e(figureLine(check.figure)) : ""}</td><td>${check.figure ? differencePlot(check.figure, check.ok) : ""}</td><td class="soft">${e(check.said)}</td></tr>`,
  );
  return `<h3>${e(decision.challenger.version)} ${decision.verdict}</h3><p class="soft">Against ${e(decision.champion.version)}, ${decision.rows} held-out rows, ${decision.problems} problems with both labels, ${e(decision.at.slice(0, 16))}; intervals are 95 %, paired over problems.</p><div class="scroll"><table><thead><tr><th></th><th>Check</th><th>Champion → challenger, difference</th><th>−0.3 … 0 … +0.3</th><th>Asked for</th></tr></thead><tbody>${rows.join("")}</tbody></table></div>`;
}

/** The difference and its interval on a line from −0.3 to 0.3. */
function differencePlot({ difference }: PairedFigure, ok: boolean): string {
  const x = (value: number) => (100 + (Math.max(-0.3, Math.min(0.3, value)) / 0.3) * 95).toFixed(1);
  const colour = ok ? "var(--good)" : "var(--bad)";
  return `<svg width="200" height="16" role="img" aria-label="${signed(difference.value)}"><line x1="100" x2="100" y1="1" y2="15" stroke="var(--line)"/><line x1="${x(difference.ci[0])}" x2="${x(difference.ci[1])}" y1="8" y2="8" stroke="${colour}" stroke-width="2"/><circle cx="${x(difference.value)}" cy="8" r="4" fill="${colour}"/></svg>`;
}

function precisionPlot({ wilson, precision, wanted }: LearnedReport["precision"][number]): string {
  if (precision === null) return "";
  const x = (share: number) => (5 + share * 290).toFixed(1);
  return `<svg width="300" height="22" role="img" aria-label="precision ${precision.toFixed(2)}"><line x1="${x(0)}" x2="${x(1)}" y1="11" y2="11" stroke="var(--line)"/><line x1="${x(wanted)}" x2="${x(wanted)}" y1="2" y2="20" stroke="var(--soft)" stroke-dasharray="3 2"/><line x1="${x(wilson[0])}" x2="${x(wilson[1])}" y1="11" y2="11" stroke="var(--good)" stroke-width="3"/><circle cx="${x(precision)}" cy="11" r="4" fill="var(--good)"/></svg>`;
}

/** Text from people, models and programs gets in only through here. */
function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

const STYLE = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;--good:#1a7f37;--bad:#cf222e}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#9aa4af;--line:#3d444d;--panel:#161b22;--good:#3fb950;--bad:#f85149}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:anywhere}
main{max-width:1000px;margin:0 auto;padding:16px}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}h3{font-size:1em}.soft{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px}th,td{border:1px solid var(--line);padding:5px 9px;text-align:left;vertical-align:top}th{background:var(--panel)}
code{font-family:ui-monospace,Menlo,monospace;font-size:.92em}.bar{display:inline-block;height:.8em;border-radius:2px}.good{background:var(--good)}.bad{background:var(--bad)}.none{background:var(--line)}
`;
