/** The evaluation as one page: tables and plots, nothing loaded from elsewhere, readable on a phone and in the dark. */
import { escaped, figure, interval, percent, range, scroll, signed } from "./page-parts.ts";
import { curves, gapBars, histogramPlot, reliabilityPlot, riskPlot, SHOWN } from "./plots.ts";
import type { Breakdown, EvaluationReport, SelectorTable, SetReport } from "./report.ts";
import { granularityTable, heatMap } from "./step-tables.ts";

export function reportPage(report: EvaluationReport, command: string): string {
  const sets = report.sets.length > 1 ? [report.pooled, ...report.sets] : report.sets;
  const model = report.model
    ? `model ${report.model.name} ${report.model.version}, sha256 ${report.model.sha256.slice(0, 12)}`
    : "no reward model";
  const second = report.second
    ? ` beside ${report.second.name} ${report.second.version}, sha256 ${report.second.sha256.slice(0, 12)}`
    : "";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>FunPRM evaluation</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Best-of-N on candidates of real models</h1>
<p>${escaped(model + second)} · split ${report.split} · groups of N drawn inside one ${report.within === "model" ? "model and prompt variant" : "problem"} · seed ${report.seed}. Figures are the chance that the picked candidate passes the private tests, on problems where some candidates pass and some fail, with 95 % bootstrap intervals over problems. No selector but the oracle sees a private verdict${report.evidence.examples ? "; examples of the statement and generated inputs were run in the sandbox" : "; nothing was executed"}.</p>
<p>In the table of selectors the first interval is over problems, the figure being the mean over subsets of N candidates; the second is over problems and one subset of each group, as one run would show. p is McNemar's exact one over groups: several groups of one problem are not independent, so the interval decides, not p. Along N the groups change, because fewer hold that many samples: compare selectors at one N.</p>
<p>Made by <code>${escaped(command)}</code>.</p>
<nav>${sets.map((set) => `<a href="#${escaped(set.set)}">${escaped(set.set)}</a>`).join(" ")}</nav>
${sets.map((set) => section(set, report)).join("\n")}
</body>
</html>
`;
}

function section(set: SetReport, report: EvaluationReport): string {
  const n = String(report.reportN);
  return `<section id="${escaped(set.set)}">
<h2>${escaped(set.set)}</h2>
<p>${set.mixed} of ${set.problems} problems have both verdicts inside one generator (${set.groups} groups); ${set.candidates} candidates; ${set.withExamples} problems hold examples that run; in ${percent(set.multiStep)} of the groups a program has two functions or more, so that aggregations can differ at all.</p>
<p>Within-problem AUC of the mean reward: ${interval(set.auc)}.${set.stepAuc ? ` Step AUC: reward against min-rule labels ${interval(set.stepAuc.value)}, attribution against own verdicts ${interval(set.stepAuc.own)}.` : ""}</p>
<h3>Selectors, N = ${n}</h3>
${selectorTable(set, n)}
<div class="plots">
${figure("Pass rate by N", curves(set.selectors, report.n))}
${figure(`Gap from random to oracle closed, N = ${n}`, gapBars(set.selectors, n))}
${set.calibration ? figure(`Reliability of the calibrated reward (isotonic: ECE ${set.calibration.ece.toFixed(3)}, Brier ${set.calibration.brier.toFixed(3)}; Platt: ${set.calibration.platt.ece.toFixed(3)}, ${set.calibration.platt.brier.toFixed(3)}; raw ECE ${set.calibration.rawEce.toFixed(3)})`, reliabilityPlot(set.calibration)) : ""}
${figure("Risk and coverage: of the most confident picks, how many are right", riskPlot(set.riskCoverage))}
${set.rewardHistogram ? figure("Mean reward of passing and failing candidates", histogramPlot(set.rewardHistogram)) : ""}
</div>
${hybridTable(set)}
${abstentionLine(set)}
${granularityTable(set, report)}
${heatMap(set)}
${breakdown("By difficulty", set.byDifficulty, n)}
${breakdown("By functions a program (median of the group)", selectorsOf(set.byModularity), n, set.byModularity)}
${breakdown("By form of at least half of the programs", selectorsOf(set.byForm), n, set.byForm)}
${breakdown("By generator with at least 30 mixed problems", set.byModel, n)}
${readabilityTable(set, n)}
${modularityTable(set)}
</section>`;
}

function selectorTable(set: SetReport, n: string): string {
  const rows = Object.entries(set.selectors).map(([name, figures]) => {
    const one = figures?.[n];
    if (!one) return `<tr><th>${escaped(name)}</th><td colspan="5">n/a: the signal is not in these data</td></tr>`;
    const versus = one.vsRandom;
    const against = set.hybridAgainst[n]?.[name];
    const approximate =
      name === "self-certainty" && set.selfCertaintyTopK !== null
        ? `<br><small>approximate: of the ${set.selfCertaintyTopK} most probable tokens</small>`
        : "";
    return `<tr><th>${escaped(name)}${approximate}</th><td>${one.pass.toFixed(3)}</td><td>${both(one)}</td><td>${one.gapClosed === null ? "n/a" : percent(one.gapClosed)}</td><td>${versus ? `${signed(versus.diff)} ${both(versus)} p ${versus.p.toFixed(3)}` : ""}</td><td>${against ? `${signed(against.diff)} ${both(against)}` : ""}</td></tr>`;
  });
  return scroll(
    `<table><thead><tr><th>selector</th><th>pass</th><th>95 %</th><th>gap closed</th><th>against random</th><th>hybrid against it</th></tr></thead><tbody>${rows.join("")}</tbody></table>`,
  );
}

/** Where the choice with everything that is known beats each single signal, and where its interval holds 0. */
function hybridTable(set: SetReport): string {
  const sizes = Object.keys(set.hybridAgainst);
  const others = [...new Set(sizes.flatMap((n) => Object.keys(set.hybridAgainst[n]!)))];
  if (others.length === 0) return "";
  const rows = others.map((other) => {
    const cells = sizes.map((n) => {
      const one = set.hybridAgainst[n]![other];
      return `<td>${one ? `${signed(one.diff)} ${range(one.ci)}` : "n/a"}</td>`;
    });
    return `<tr><th>${escaped(other)}</th>${cells.join("")}</tr>`;
  });
  const heads = sizes.map((n) => `<th>N = ${n}</th>`).join("");
  return `<h3>Hybrid minus each selector, paired by problem</h3>
${scroll(`<table><thead><tr><th>selector</th>${heads}</tr></thead><tbody>${rows.join("")}</tbody></table>`)}`;
}

function both({ ci, subsetCi }: { ci: [number, number]; subsetCi: [number, number] | null }): string {
  return subsetCi === null ? range(ci) : `${range(ci)}<br><small>${range(subsetCi)}</small>`;
}

function abstentionLine({ abstention }: SetReport): string {
  if (abstention === null) return "";
  const { threshold, right, wrong, abstainedRight, abstainedWrong } = abstention;
  return `<p>Solves choose none below a chance of ${threshold} (fitted on the meta groups): here that leaves ${percent(right)} right and ${percent(wrong)} wrong picks of the hybrid rule and holds back ${percent(abstainedWrong)} wrong and ${percent(abstainedRight)} right ones.</p>`;
}

const selectorsOf = (parts: Record<string, Breakdown>) =>
  Object.fromEntries(Object.entries(parts).map(([name, { selectors }]) => [name, selectors]));

function breakdown(
  title: string,
  tables: Record<string, SelectorTable>,
  n: string,
  parts?: Record<string, Breakdown>,
): string {
  const entries = Object.entries(tables).filter(([, table]) => table["random"]?.[n]);
  if (entries.length === 0) return "";
  const rows = entries.map(([name, table]) => {
    const cells = SHOWN.map((selector) => {
      const one = table[selector]?.[n];
      return `<td>${one ? `${one.pass.toFixed(3)}<br><small>${range(one.ci)}</small>` : "n/a"}</td>`;
    });
    const auc = parts ? `<td>${interval(parts[name]!.auc)}</td>` : "";
    const { problems, groups } = table["random"]![n]!;
    return `<tr><th>${escaped(name)}</th><td>${problems} (${groups})</td>${auc}${cells.join("")}</tr>`;
  });
  return `<h3>${escaped(title)}</h3>${scroll(`<table><thead><tr><th></th><th>problems (groups)</th>${parts ? "<th>AUC of prm-mean</th>" : ""}${SHOWN.map((one) => `<th>${one}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`)}`;
}

const MEASURES: Record<string, string> = {
  functions: "functions",
  medianLines: "lines of the median function",
  complexity: "cyclomatic complexity a function",
  docstrings: "share of functions with docstring",
  duplicateLines: "share of duplicate lines",
};

function readabilityTable({ readability }: SetReport, n: string): string {
  const rows = Object.entries(readability).flatMap(([selector, table]) =>
    Object.entries(table ?? {}).map(
      ([measure, one]) =>
        `<tr><th>${escaped(selector)}</th><th>${escaped(MEASURES[measure] ?? measure)}</th><td>${one.chosen.toFixed(2)}</td><td>${one.random.toFixed(2)}</td><td>${signed(one.diff)} ${range(one.ci)}</td></tr>`,
    ),
  );
  if (rows.length === 0) return "";
  return `<h3>Readability of what is chosen, against random candidates of the same problem, N = ${n}</h3>${scroll(`<table><thead><tr><th>selector</th><th>measure</th><th>chosen</th><th>random</th><th>difference</th></tr></thead><tbody>${rows.join("")}</tbody></table>`)}`;
}

function modularityTable(set: SetReport): string {
  if (set.modularity.length === 0) return "";
  const rows = set.modularity
    .slice(0, 20)
    .map(
      (one) =>
        `<tr><th>${escaped(one.model)}</th><td>${one.programs}</td><td>${percent(one.multi / one.programs)}</td><td>${percent(one.docstrings / one.programs)}</td><td>${percent(one.mainFirst / one.programs)}</td><td>${percent(one.nested / one.programs)}</td></tr>`,
    );
  const rest = set.modularity.length > 20 ? `<p>${set.modularity.length - 20} further models in report.json.</p>` : "";
  return `<h3>Natural modularity (these candidates saw no Chain-of-Function prompt)</h3>${scroll(`<table><thead><tr><th>model</th><th>programs</th><th>two functions or more</th><th>all with docstrings</th><th>solving function first</th><th>nested</th></tr></thead><tbody>${rows.join("")}</tbody></table>`)}${rest}`;
}

const STYLE = `
:root { color-scheme: light dark; --text: #1a202c; --soft: #4a5568; --line: #cbd5e0; --back: #ffffff; --stripe: #f7fafc; }
@media (prefers-color-scheme: dark) { :root { --text: #e2e8f0; --soft: #a0aec0; --line: #4a5568; --back: #1a202c; --stripe: #232b3a; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 0 auto; padding: 1rem; max-width: 70rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; } h3 { font-size: 1rem; }
p { max-width: 60rem; } code { overflow-wrap: anywhere; } nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
a { color: inherit; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem; }
th, td { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--stripe); } small { color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1rem; margin: 1rem 0; }
figure { margin: 0; min-width: 0; } figcaption { font-size: .875rem; color: var(--soft); min-height: 2.5em; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; } .grid { stroke: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem .75rem; font-size: .75rem; color: var(--soft); }
.heat .steps { display: flex; gap: 2px; } .heat .steps span { font-size: .7rem; line-height: 1.3; padding: .2rem .4rem; border-radius: 3px; border: 1px solid var(--line); }
.legend i { display: inline-block; width: .75em; height: .75em; margin-right: .3em; border-radius: 2px; }
`;
