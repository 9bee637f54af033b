/** The whole record of one run as one self-contained page: no script, nothing loaded. Pure. */
import type { Candidate, RewardedStep } from "../../domain/candidate.ts";
import { compliance, lowestStep, number } from "../../domain/comment.ts";
import type { Effect, Run, RunEvent } from "../../domain/run.ts";
import { keyId } from "../../domain/run-manifest.ts";

const STYLE = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d0d7de;--panel:#f6f8fa;--hue:210}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--soft:#9aa4af;--line:#3d444d;--panel:#161b22}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:anywhere}
main{max-width:1000px;margin:0 auto;padding:16px}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.6em}.soft{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px}th,td{border:1px solid var(--line);padding:5px 9px;text-align:left;vertical-align:top}th{background:var(--panel)}
pre{background:var(--panel);padding:10px;overflow-x:auto;font-size:13px;border-radius:6px}code{font-family:ui-monospace,Menlo,monospace;font-size:.92em}
.step{display:inline-block;border:1px solid var(--line);border-left-width:6px;border-radius:4px;padding:2px 7px;margin:2px;white-space:nowrap}
.chosen td:first-child{font-weight:700}details{margin:6px 0}summary{cursor:pointer}
`;

/** Text from people, models and programs gets in only through here. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

export type RunRecord = { run: Run; candidates: Candidate[]; events: RunEvent[]; effects: Effect[] };

/** A run page's style is inline: its hash goes into the Content-Security-Policy. */
export const RUN_PAGE_STYLE = STYLE;

export function renderRunPage({ run, candidates, events, effects }: RunRecord): string {
  const e = escapeHtml;
  const issue = run.issue
    ? `<h2>Issue</h2><details><summary>${e(run.issue.title)}</summary><pre>${e(run.issue.body)}</pre></details>`
    : "";
  const facts: [string, string][] = [
    ["State", run.state],
    ["Started by", `${run.startedBy} (${run.trigger.kind})`],
    ["Base", run.baseSha ? `${run.baseBranch}@${run.baseSha}` : "–"],
    ["Generator", run.generator ? `${run.generator.name} · ${run.generator.model} · ${run.generator.origin}` : "–"],
    [
      "Reward model",
      run.model
        ? `${run.model.name} ${run.model.version} · sha256 ${run.model.sha256.slice(0, 16)} · render ${run.model.renderVersion} · uncalibrated`
        : "–",
    ],
    ["Prompt", run.promptSha256 ?? "–"],
    ["Seed", `${run.seed}`],
    [
      "Cost",
      `${run.costUsd === null ? "price unknown" : `$${run.costUsd.toFixed(2)}`} · ${run.promptTokens} tokens in, ${run.completionTokens} out`,
    ],
    ["Manifest", manifestLine(run)],
    ["Created, finished", `${run.createdAt} · ${run.finishedAt ?? "–"}`],
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer"><title>FunPRM run ${e(run.id)}</title><style>${STYLE}</style></head>
<body><main><h1>${e(run.owner)}/${e(run.repo)} #${run.issueNumber} · ${e(run.state)}</h1>
<p class="soft">Run ${e(run.id)}, generation ${run.generation}</p>
${verdict(run)}
<h2>Candidates × functions</h2><p class="soft">${e(compliance(candidates))} Reward = value of the chain up to the function; attribution = what of it is the function's own doing. Uncalibrated: they order, they are no probability.</p>
<div class="scroll"><table><thead><tr><th>Candidate</th><th>Mean reward</th><th>Functions: reward (attribution)</th><th>Verdict</th><th>Note</th></tr></thead><tbody>
${candidates.map((one) => row(one, one.index === run.selected)).join("\n")}</tbody></table></div>
${tests(run)}
${writtenTests(run)}
${candidates.map((one) => `<details><summary>Answer of candidate ${one.index}</summary><pre>${e(one.raw)}</pre></details>`).join("\n")}
${issue}
<h2>Code that the prompt showed</h2><div class="scroll"><table><tbody>${run.relevant.map((one) => `<tr><td><code>${e(one.path)}</code></td><td><code>${e(one.name)}</code></td><td>${one.score.toFixed(2)}</td></tr>`).join("")}</tbody></table></div>
<h2>Record</h2><div class="scroll"><table><tbody>${facts.map(([name, value]) => `<tr><th>${e(name)}</th><td>${e(value)}</td></tr>`).join("")}</tbody></table></div>
<h2>Timeline</h2><div class="scroll"><table><tbody>${events.map((one) => `<tr><td>${e(one.at)}</td><td>${e(one.kind)}</td><td>${e(one.message)}</td></tr>`).join("")}</tbody></table></div>
<h2>Writes on GitHub</h2><div class="scroll"><table><tbody>${effects.map((one) => `<tr><td>${e(one.kind)}</td><td>${e(one.state)}</td><td>${e(shorten(one.remoteId ?? ""))}</td></tr>`).join("")}</tbody></table></div>
</main></body></html>
`;
}

function manifestLine({ manifest }: Run): string {
  // Runs of before 0.4 have no such field.
  if (!manifest) return "–";
  const { sha256, signature } = manifest.seal;
  return `sha256 ${sha256} · ${signature === null ? "not signed: SIGNING_KEY_PATH is not set" : `signed by key ${keyId(signature.publicKey)}`} · /runs/ID/run.json of this page is what funprm replay takes`;
}

function verdict(run: Run): string {
  const e = escapeHtml;
  if (run.abstention)
    return `<h2>No pull request</h2><p>Abstained: ${e(run.abstention.reason)}.</p><ol>${run.abstention.help.map((help) => `<li>${e(help)}</li>`).join("")}</ol>`;
  if (run.failure) return `<h2>Failed</h2><p><code>${e(run.failure.code)}</code> ${e(run.failure.message)}</p>`;
  const link =
    run.pullRequest && /^https?:\/\//.test(run.pullRequest.url)
      ? `<p>Pull request <a href="${e(run.pullRequest.url)}">#${run.pullRequest.number}</a>: ${e(run.pullRequest.title)}</p>`
      : "";
  return run.selected === null
    ? link
    : `<h2>Why candidate ${run.selected}</h2><p>Rule <code>${e(run.rule ?? "")}</code>: ${e(run.selectionReason ?? "")}.</p>${link}`;
}

function row(one: Candidate, chosen: boolean): string {
  const note =
    one.status === "rejected"
      ? `rejected: ${one.reason}`
      : one.status === "duplicate"
        ? `same as ${one.duplicateOf}`
        : one.compliance?.monolithic
          ? "one step: outcome score only"
          : (lowestStep(one)?.name ?? "") && `lowest: ${lowestStep(one)!.name}`;
  return `<tr${chosen ? ' class="chosen"' : ""}><td>${one.index}${chosen ? " ✓" : ""}</td><td>${number(one.score)}</td><td>${one.steps.map(cell).join(" ")}</td><td>${escapeHtml(one.verdict)}</td><td>${escapeHtml(note)}</td></tr>`;
}

/** The left edge carries the reward as colour; the number stands beside it, so that colour is never needed. */
function cell(step: RewardedStep): string {
  const hue = step.reward === null ? 0 : Math.round(step.reward * 120);
  const color = step.reward === null ? "var(--line)" : `hsl(${hue} 65% 45%)`;
  return `<span class="step" style="border-left-color:${color}"><code>${escapeHtml(step.name)}</code> ${number(step.reward)} (${number(step.attribution)})</span>`;
}

function tests(run: Run): string {
  const e = escapeHtml;
  const report = run.tests;
  if (report?.status !== "ran" || !report.base)
    return `<h2>Tests</h2><p>Tests: not run by this app; see CI.${report?.reason ? ` ${e(report.reason)}.` : ""}</p>`;
  const rows = [
    { name: "base", ...report.base, broke: [] as string[], fixed: [] as string[] },
    ...report.candidates.map((one) => ({ name: `candidate ${one.index}`, ...one })),
  ];
  return `<h2>Tests</h2><p><code>${e(report.command.join(" "))}</code> in the sandbox, tier ${report.tier}</p><div class="scroll"><table><thead><tr><th>Tree</th><th>Passed</th><th>Failed</th><th>Fixes</th><th>Breaks</th></tr></thead><tbody>${rows.map((one) => `<tr><td>${e(one.name)}</td><td>${one.passed}</td><td>${one.failed}</td><td>${e(one.fixed.join(", "))}</td><td>${e(one.broke.join(", "))}</td></tr>`).join("")}</tbody></table></div>`;
}

/** The matrix candidates × written tests, and the text of each test. */
function writtenTests({ reproduction, selected }: Run): string {
  const e = escapeHtml;
  // Runs of before 0.3 have no such field.
  if (!reproduction) return "";
  const title = "<h2>Tests written by the model from the issue</h2>";
  if (reproduction.status !== "ran") return `${title}<p>Not written: ${e(reproduction.reason ?? "")}.</p>`;
  const { tests: all, writer, promptVersion, promptSha256 } = reproduction;
  const indices = [...new Set(all.flatMap((test) => Object.keys(test.candidates)))].sort(
    (a, b) => Number(a) - Number(b),
  );
  const head = indices
    .map((index) => `<th>candidate ${e(index)}${Number(index) === selected ? " ✓" : ""}</th>`)
    .join("");
  const rows = all.map(
    (test) =>
      `<tr><td><code>${e(test.name)}</code></td><td>${test.kept ? `failed: ${e(test.base)}` : `set aside: ${e(test.base)}`}</td>${indices.map((index) => `<td>${e(test.candidates[index] ?? "–")}</td>`).join("")}</tr>`,
  );
  const sources = all
    .filter((test) => test.source !== "")
    .map(
      (test) => `<details><summary>Test <code>${e(test.name)}</code></summary><pre>${e(test.source)}</pre></details>`,
    );
  return `${title}<p class="soft">By ${e(writer?.model ?? "–")} (${e(writer?.origin ?? "–")}), prompt ${e(promptVersion)} ${e(promptSha256.slice(0, 12))}. Run in the sandbox, three times on base; only what fails there every time counts.</p><div class="scroll"><table><thead><tr><th>Test</th><th>On base</th>${head}</tr></thead><tbody>${rows.join("")}</tbody></table></div>${sources.join("")}`;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
