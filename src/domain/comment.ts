/**
 * Everything that the app writes on GitHub about a run, to the letter of product.md section 3. Pure: the same record gives
 * the same text. Text of models, programs and users goes through `markdown.ts`; numbers come from the run record alone.
 */
import type { Candidate, RewardedStep } from "./candidate.ts";
import type { ExampleOutcome, ReproductionReport } from "./evidence.ts";
import { lineDiff } from "./line-diff.ts";
import { BODY_LIMIT, code, details, fenced, plain, type Section, table, tableWithin, withinLimit } from "./markdown.ts";
import type { ParsedRepoConfig } from "./repo-config.ts";
import type { Run } from "./run.ts";
import { keyId } from "./run-manifest.ts";
import type { Ranked } from "./select.ts";

/** One function that the chosen candidate changes or adds, as it stands in the pull request. */
export type ChangedFunction = {
  path: string;
  name: string;
  startLine: number;
  endLine: number;
  change: "added" | "modified";
  reward: number | null;
  attribution: number | null;
  reason: string | null;
  source: string;
  /** Place among the distinct versions of this function in all scored candidates, best reward first. */
  rank: number;
  versions: number;
  /** The best other candidate's version, when it has one that differs. */
  runnerUp: { index: number; source: string } | null;
};

export type RunReport = {
  run: Run;
  candidates: Candidate[];
  ranking: Ranked[];
  changed: ChangedFunction[];
  /** Address of the run page; null when the app has no public address. */
  link: string | null;
  /** Limits in force. */
  limits: { candidates: number; budgetUsd: number | null };
};

export const DISCLOSURE =
  "Written by an app: the code comes from a language model, the numbers from a reward model. Issue text and selected functions were sent to the configured LLM. Review it as you would review a stranger's patch.";
const UNCALIBRATED = "uncalibrated: a reward orders candidates, it is not a probability";

/** Places of the changed functions among the versions of all candidates. */
export function changedFunctions(
  chosen: Candidate,
  touched: readonly Touched[],
  candidates: readonly Candidate[],
  ranking: readonly Ranked[],
): ChangedFunction[] {
  const order = ranking.map((row) => row.index);
  return touched.map((touch) => {
    const own = stepOf(chosen, touch.path, touch.name);
    const rewards = new Map<string, number>();
    for (const candidate of candidates) {
      const step = candidate.status === "scored" ? stepOf(candidate, touch.path, touch.name) : undefined;
      if (step && step.reward !== null) rewards.set(step.source, Math.max(step.reward, rewards.get(step.source) ?? 0));
    }
    const better =
      own?.reward == null
        ? rewards.size
        : [...rewards].filter(([source, reward]) => source !== own.source && reward > own.reward!).length;
    const other = order
      .filter((index) => index !== chosen.index)
      .map((index) => ({ index, step: stepOf(candidates.find((one) => one.index === index)!, touch.path, touch.name) }))
      .find(({ step }) => step && step.source !== own?.source);
    return {
      ...touch,
      reward: own?.reward ?? null,
      attribution: own?.attribution ?? null,
      reason: own ? own.reason : "not a step of the answer",
      rank: better + 1,
      versions: Math.max(1, rewards.size),
      runnerUp: other?.step ? { index: other.index, source: other.step.source } : null,
    };
  });
}
export type Touched = Pick<ChangedFunction, "path" | "name" | "startLine" | "endLine" | "change" | "source">;

function stepOf(candidate: Candidate, path: string, name: string): RewardedStep | undefined {
  return candidate.steps.find((step) => step.path === path && step.name === name);
}

// ---------------------------------------------------------------- sticky comment on the issue

const STAGES = ["reading", "sampling", "scoring", "testing", "publishing"] as const;

export function stickyComment(marker: string, report: RunReport): string {
  const { run } = report;
  const body = {
    opened: () => openedText(report),
    abstained: () => abstainedText(report),
    failed: () => failedText(report),
    stopped: () => "### FunPRM · stopped\n\nStopped as asked. Nothing was pushed. `/funprm retry` starts again.",
  }[run.state as "opened"];
  return withinLimit([
    { name: "marker", text: marker, keep: true },
    { name: "state", text: body ? body() : progressText(report), keep: true },
    { name: "notes", text: notes(run) },
    {
      name: "cost",
      text: `<sub>${costLine(report)} · started by ${code(run.startedBy)}${report.link ? ` · [run record](${report.link})` : ""}</sub>`,
    },
    {
      name: "commands",
      text: "<sub>Commands: `/funprm stop` · `/funprm retry` · `/funprm help`. Issue text and selected functions are sent to the configured LLM.</sub>",
    },
  ]);
}

/** What a person should know about how the run looks at their repository; empty when there is nothing to say. */
function notes(run: Run): string {
  const { lookedAt } = run;
  const problems = (run.settings as { problems?: ParsedRepoConfig["problems"] } | null)?.problems ?? [];
  return [
    // Runs of before 0.2 have no such field.
    ...(!lookedAt
      ? []
      : [
          `The repository holds more than 20,000 functions or 200 MB of Python: I looked at ${lookedAt.files} of ${lookedAt.of} files, those whose path the issue names first.`,
        ]),
    ...problems
      .slice(0, 5)
      .map(({ line, message }) => `${code(".github/funprm.yml")} line ${line}: ${plain(message)}.`),
  ].join("\n\n");
}

function progressText(report: RunReport): string {
  const { run, candidates } = report;
  const at = STAGES.indexOf(run.state as (typeof STAGES)[number]);
  const state = (stage: (typeof STAGES)[number]) => {
    const place = STAGES.indexOf(stage);
    return place < at ? "✅" : place === at ? "⏳" : "⏸ waiting";
  };
  const scored = candidates.filter((one) => one.status === "scored").length;
  const base = run.baseSha ? ` ${code(`${run.baseBranch}@${run.baseSha.slice(0, 7)}`)}` : "";
  return [
    "### FunPRM · working on this issue",
    table(
      ["Step", "State"],
      [
        [`Read issue and base${base}`, state("reading")],
        ["Sample candidates", at === 1 ? `⏳ ${candidates.length} of ${report.limits.candidates}` : state("sampling")],
        [
          `Score functions${run.model ? ` (${code(`${run.model.name} ${run.model.version}`)})` : ""}`,
          at === 2 ? `⏳ ${scored} of ${candidates.length}` : state("scoring"),
        ],
        ["Tests", state("testing")],
        ["Pull request", state("publishing")],
      ],
    ),
  ].join("\n\n");
}

function openedText(report: RunReport): string {
  const { run, ranking } = report;
  const gap =
    ranking.length > 1 && ranking[0]!.score !== null && ranking[1]!.score !== null
      ? ` (runner-up ${number(ranking[1]!.score)})`
      : "";
  return [
    `### FunPRM · opened #${run.pullRequest!.number}`,
    `Candidate ${run.selected} of ${report.candidates.length}: mean reward ${number(ranking[0]?.score ?? null)}${gap}, ${UNCALIBRATED}. Why this one: ${plain(run.selectionReason ?? "")}.`,
    testsLine(report),
  ].join("\n\n");
}

function abstainedText(report: RunReport): string {
  const { run } = report;
  const abstention = run.abstention!;
  return [
    "### FunPRM · no pull request",
    `I abstained: ${plain(abstention.reason)}.`,
    `What would help:\n${abstention.help.map((help, i) => `${i + 1}. ${plain(help)}`).join("\n")}`,
    candidateTable(report),
    testsLine(report),
    reproductionEvidence(run),
    "Then comment `/funprm retry`.",
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

function failedText(report: RunReport): string {
  const failure = report.run.failure!;
  return [
    `### FunPRM · failed (${code(failure.code)})`,
    fenced(failure.message.slice(0, 1000)),
    "Nothing is lost: candidates that were paid for are kept. `/funprm retry` starts again.",
  ].join("\n\n");
}

// ---------------------------------------------------------------- pull request

export function pullRequestBody(marker: string, report: RunReport): string {
  const { run, candidates, changed } = report;
  const chosen = candidates.find((one) => one.index === run.selected)!;
  const sections: Section[] = [
    { name: "marker", text: marker, keep: true },
    { name: "issue", text: `Closes #${run.issueNumber}`, keep: true },
    { name: "What changed", text: `## What changed\n\n${whatChanged(changed, run)}`, keep: true },
    {
      name: "Why this candidate",
      text: `## Why this candidate\n\nRule ${code(run.rule ?? "")}: ${plain(run.selectionReason ?? "")}.\n\n${candidateTable(report)}`,
      keep: true,
    },
    {
      name: "Per-function rewards",
      text: `## Per-function rewards\n\n${functionTable(report)}`,
      short: "## Per-function rewards\n\nThe table is in the check run.",
      keep: false,
    },
    { name: "Evidence", text: `## Evidence\n\n${evidence(report)}`, keep: true },
    { name: "What was not checked", text: `## What was not checked\n\n${notChecked(report, chosen)}`, keep: true },
    { name: "Alternatives", text: alternatives(report) },
    { name: "Reproduce", text: reproduce(report) },
    { name: "cost", text: costLine(report), keep: true },
    { name: "disclosure", text: `<sub>${DISCLOSURE}</sub>`, keep: true },
    {
      name: "Commands",
      text: details(
        "Commands",
        "On the issue: `/funprm retry` makes a new attempt, `/funprm stop` stops one, `/funprm config` shows the settings in force, `/funprm help` lists the commands.",
      ),
    },
  ];
  return withinLimit(sections);
}

function whatChanged(changed: readonly ChangedFunction[], { reproduction }: Run): string {
  const shown = changed.slice(0, 4).map((one) => `* ${one.change} ${code(one.name)} in ${code(one.path)}`);
  const rest = changed.length - shown.length;
  const added = reproduction?.added
    ? [
        `* added the test ${code(reproduction.added)} in ${code(reproduction.path ?? "")}, written by the model from the issue`,
      ]
    : [];
  return [
    ...shown,
    ...added,
    ...(rest > 0 ? [`* and ${rest} more ${rest === 1 ? "function" : "functions"}`] : []),
  ].join("\n");
}

function candidateTable(report: RunReport): string {
  const rank = new Map(report.ranking.map((row, place) => [row.index, { ...row, place }]));
  const ordered = [...report.candidates].sort(
    (a, b) => (rank.get(a.index)?.place ?? 1e6) - (rank.get(b.index)?.place ?? 1e6) || a.index - b.index,
  );
  const written = keptTests(report.run.reproduction).length > 0;
  const rows = ordered.map((one) => {
    const lowest = lowestStep(one);
    const cells = [
      `${one.index}`,
      number(one.score),
      rank.has(one.index) ? number(rank.get(one.index)!.consensus) : "–",
      lowest ? `${code(lowest.name)} ${number(lowest.attribution)}` : "–",
      candidateTests(report, one),
      ...(written ? [writtenTests(report.run.reproduction, one)] : []),
      candidateNote(one),
    ];
    return one.index === report.run.selected
      ? cells.map((cell) => (cell === "–" || cell === "" ? cell : `**${cell}**`))
      : cells;
  });
  return rows.length === 0
    ? ""
    : `${table(["Candidate", "Mean reward", "Consensus", "Lowest function (attribution)", "Tests", ...(written ? ["Tests written from the issue"] : []), "Note"], rows)}\n\n<sub>${compliance(report.candidates)} ${UNCALIBRATED}.</sub>`;
}

function candidateNote(one: Candidate): string {
  if (one.status === "rejected") return `rejected: ${plain(one.reason ?? "")}`;
  if (one.status === "duplicate") return `same as ${one.duplicateOf}`;
  return one.compliance?.monolithic ? "one step: outcome score only" : "";
}

function candidateTests(report: RunReport, one: Candidate): string {
  const tests = report.run.tests?.candidates.find((row) => row.index === (one.duplicateOf ?? one.index));
  if (!tests) return one.status === "rejected" ? "–" : "not run";
  const parts = [`${tests.passed} passed, ${tests.failed} failed`];
  if (tests.fixed.length > 0) parts.push(`fixes ${tests.fixed.length}`);
  if (tests.broke.length > 0) parts.push(`breaks ${tests.broke.length}`);
  return parts.join("; ");
}

function keptTests(reproduction: ReproductionReport | null | undefined): ReproductionReport["tests"] {
  return reproduction?.status === "ran" ? reproduction.tests.filter((test) => test.kept) : [];
}

function writtenTests(reproduction: ReproductionReport | null, one: Candidate): string {
  if (one.status === "rejected") return "–";
  const kept = keptTests(reproduction);
  const index = one.duplicateOf ?? one.index;
  return `passes ${kept.filter((test) => test.candidates[index] === "passed").length} of ${kept.length}`;
}

/** `CoF followed by 6 of 8`: measured, never assumed (method.md section 3). */
export function compliance(candidates: readonly Candidate[]): string {
  const parsed = candidates.filter((one) => one.compliance);
  return `Chain of Functions followed by ${parsed.filter((one) => one.compliance!.strict).length} of ${candidates.length}.`;
}

/** The step with the lowest attribution: the only way in which a function may be named. */
export function lowestStep(candidate: Candidate): RewardedStep | undefined {
  return candidate.steps
    .filter((step) => step.attribution !== null)
    .sort((a, b) => a.attribution! - b.attribution! || a.index - b.index)[0];
}

function functionTable(report: RunReport): string {
  return tableWithin(
    ["Function", "Reward", "Attribution", "Rank among versions", "Where"],
    report.changed.map((one) => [
      code(one.name),
      one.reward === null ? `none (${plain(one.reason ?? "")})` : number(one.reward),
      number(one.attribution),
      `${ordinal(one.rank)} of ${one.versions}`,
      code(`${one.path}:${one.startLine}`),
    ]),
    BODY_LIMIT,
  );
}

function evidence(report: RunReport): string {
  const { run } = report;
  return [testEvidence(report), exampleEvidence(run), reproductionEvidence(run), knockoutEvidence(run)]
    .filter((text) => text !== "")
    .join("\n\n");
}

/** Every example on a line of its own: what it gave on base and on the chosen candidate. */
function exampleEvidence({ examples, selected }: Run): string {
  if (examples?.status !== "ran") return "";
  const rows = examples.examples.map((one) => [
    code(one.text.replaceAll(/\s*\n\s*/g, " ").slice(0, 120)),
    code(one.name),
    one.base,
    one.base === "passed" ? "says what happens today: set aside" : (one.candidates[selected ?? -1] ?? "–"),
  ]);
  return `Examples written in the issue, run in the sandbox:\n\n${table(["Example", "Function", "On base", "On this candidate"], rows)}`;
}

const ON_CANDIDATE = {
  passed: "passes on this candidate",
  failed: "fails on this candidate",
  error: "ends in an error on this candidate",
} satisfies Record<ExampleOutcome, string>;

/** Never in one line with the repository's own tests: who wrote a test is part of what it says. */
export function reproductionEvidence({ reproduction, selected }: Pick<Run, "reproduction" | "selected">): string {
  if (!reproduction) return "";
  if (reproduction.status !== "ran") return `Tests from the issue: not written: ${plain(reproduction.reason ?? "")}.`;
  const { writer, promptVersion, tests } = reproduction;
  const outcome = (candidates: Record<string, ExampleOutcome>) =>
    selected === null
      ? `passes on ${Object.values(candidates).filter((one) => one === "passed").length} of ${Object.keys(candidates).length} candidates`
      : ON_CANDIDATE[candidates[selected] ?? "error"];
  const kept = tests
    .filter((test) => test.kept)
    .map(
      (test) =>
        `* ${code(test.name)}: written by the model from the issue · failed on base · ${outcome(test.candidates)}`,
    );
  const caught = [...new Set(keptTests(reproduction).flatMap((test) => Object.keys(test.candidates)))]
    .filter((index) => keptTests(reproduction).some((test) => test.candidates[index] !== "passed"))
    .filter((index) => Number(index) !== selected);
  const aside = tests.filter((test) => !test.kept).map((test) => `${code(test.name)} ${plain(test.base)}`);
  return [
    `Tests from the issue, by ${code(writer?.model ?? "")} (${writer?.origin ?? ""}, prompt ${promptVersion}), run in the sandbox, three times on base:`,
    kept.length > 0 ? kept.join("\n") : "None of them counts.",
    ...(selected !== null && caught.length > 0
      ? [
          `${caught.length === 1 ? "Another candidate fails" : "Other candidates fail"} one of them at least: ${caught.join(", ")}.`,
        ]
      : []),
    ...(aside.length > 0 ? [`Set aside: ${aside.join("; ")}.`] : []),
  ].join("\n\n");
}

/** An opinion, not a run: every duel with its odds. */
function knockoutEvidence({ knockout }: Run): string {
  if (!knockout) return "";
  const duels = knockout.duels.map(
    ({ first, second, probability }) =>
      `candidate ${first} over ${second}: ${probability === null ? "no answer" : number(probability)}`,
  );
  return `Knockout by the language model, an opinion and not a run, each pair asked in both orders (chance that the first is better, uncalibrated): ${duels.join("; ")}.`;
}

function testEvidence(report: RunReport): string {
  const { run } = report;
  const tests = run.tests;
  if (tests?.status !== "ran" || !tests.base) return testsLine(report);
  const chosen = tests.candidates.find((one) => one.index === run.selected);
  const row = (
    name: string,
    one: { passed: number; failed: number; skipped: number; exitCode: number | null; logSha256: string },
  ) => [
    name,
    `${one.passed}`,
    `${one.failed}`,
    `${one.skipped}`,
    `${one.exitCode ?? "–"}`,
    code(one.logSha256.slice(0, 12)),
  ];
  const rows = [
    row(`base ${code(run.baseSha?.slice(0, 7) ?? "")}`, tests.base),
    ...(chosen ? [row(`candidate ${chosen.index}`, chosen)] : []),
  ];
  const lists = [
    ...(chosen && chosen.fixed.length > 0 ? [`Failed on base, pass now: ${names(chosen.fixed)}`] : []),
    ...(chosen && chosen.broke.length > 0 ? [`Passed on base, fail now: ${names(chosen.broke)}`] : []),
  ];
  return [
    `Command ${code(tests.command.join(" "))}, in the sandbox (tier ${tests.tier}, no network), test files and runner configuration as on base. Attested: in-process.`,
    table(["Tree", "Passed", "Failed", "Skipped", "Exit", "Log SHA-256"], rows),
    ...lists,
  ].join("\n\n");
}

function names(ids: readonly string[]): string {
  const shown = ids.slice(0, 10).map(code).join(", ");
  return ids.length > 10 ? `${shown} and ${ids.length - 10} more` : shown;
}

/** One line on what ran; the literal line of product.md when nothing did. */
export function testsLine(report: RunReport): string {
  const tests = report.run.tests;
  if (tests?.status === "ran") {
    const chosen = tests.candidates.find((one) => one.index === report.run.selected);
    return chosen
      ? `Tests: ${chosen.passed} passed, ${chosen.failed} failed on this candidate (base: ${tests.base?.passed ?? 0} passed, ${tests.base?.failed ?? 0} failed), run by this app.`
      : "Tests: run by this app on every surviving candidate.";
  }
  const line = "Tests: not run by this app; see CI.";
  return tests?.status === "cannot-run"
    ? `${line} The configured tests cannot run: ${plain(tests.reason ?? "")}.`
    : line;
}

function notChecked(report: RunReport, chosen: Candidate): string {
  const lines = [
    ...missingEvidence(report.run),
    // Runs of before 0.3 have no such field.
    ...(report.run.missing ?? []),
    "Rewards are uncalibrated: no outcome of this repository stands behind them yet.",
    "Behaviour that no test describes, performance, and files that are not Python.",
    ...(chosen.compliance?.monolithic
      ? ["The answer has one function: its reward is an outcome score, not a process reward."]
      : []),
    ...report.changed
      .filter((one) => one.reward === null)
      .map((one) => `${code(one.name)} has no reward: ${plain(one.reason ?? "")}.`),
  ];
  return lines.map((line) => `* ${line}`).join("\n");
}

/** Evidence that could have been and is not. */
function missingEvidence({ tests, examples, reproduction }: Run): string[] {
  const ran = [tests?.status, examples?.status, reproduction?.status];
  if (!ran.includes("ran")) return ["Nothing was executed."];
  return [
    ...(tests?.status === "ran" ? [] : ["The repository's own tests did not run."]),
    ...(examples?.status === "ran" ? [] : ["No example of the issue could be run."]),
    ...(keptTests(reproduction).length > 0
      ? []
      : ["No test written from the issue fails on base, so none speaks here."]),
  ];
}

function alternatives(report: RunReport): string {
  const blocks = report.changed
    .filter((one) => one.runnerUp)
    .slice(0, 3)
    .map(
      (one) =>
        `${code(one.name)}: this candidate (−) against candidate ${one.runnerUp!.index} (+)\n\n${fenced(lineDiff(one.source, one.runnerUp!.source), "diff")}`,
    );
  return blocks.length === 0 ? "" : details("Alternatives", blocks.join("\n\n"));
}

function reproduce(report: RunReport): string {
  const { run } = report;
  const lines = [
    `base ${run.baseSha ?? ""}`,
    `run ${run.id} generation ${run.generation} seed ${run.seed}`,
    `generator ${run.generator?.name ?? ""} ${run.generator?.model ?? ""} (${run.generator?.origin ?? ""})`,
    `prompt sha256 ${run.promptSha256 ?? ""}`,
    `reward model ${run.model?.name ?? ""} ${run.model?.version ?? ""} sha256 ${run.model?.sha256 ?? ""} render ${run.model?.renderVersion ?? ""}`,
    "calibrator none (uncalibrated)",
    ...manifestLines(run),
  ];
  return details("Reproduce", fenced(lines.join("\n")));
}

/** The seal, and the command that replays the file that the operator's run page gives out. */
function manifestLines({ manifest }: Run): string[] {
  // Runs of before 0.4 have no such field.
  if (!manifest) return [];
  const { sha256, signature } = manifest.seal;
  const signed = signature === null ? "not signed" : `signed by key ${keyId(signature.publicKey)}`;
  return [
    `manifest sha256 ${sha256} (${signed})`,
    ...(manifest.manifest.tree === null ? [] : [`tree ${manifest.manifest.tree}`]),
    "replay: funprm replay run.json --repo DIR",
  ];
}

export function costLine(report: RunReport): string {
  const { run } = report;
  const tokens = `${run.promptTokens} tokens in, ${run.completionTokens} out`;
  if (run.costUsd === null) return `Cost: price unknown (${report.candidates.length} candidates, ${tokens})`;
  const budget = report.limits.budgetUsd === null ? "" : ` of $${report.limits.budgetUsd.toFixed(2)}`;
  return `Cost: $${run.costUsd.toFixed(2)}${budget} (${report.candidates.length} candidates, ${tokens})`;
}

// ---------------------------------------------------------------- review and check run

export function reviewBody(marker: string, report: RunReport, commented: number): string {
  const rest = report.changed.length - commented;
  return `${marker}\nRewards of ${commented} changed ${commented === 1 ? "function" : "functions"} (${UNCALIBRATED}).${rest > 0 ? ` ${rest} more stand in the check run's table.` : ""}`;
}

export function functionComment(marker: string, one: ChangedFunction, report: RunReport): string {
  const reward =
    one.reward === null
      ? `no reward (${plain(one.reason ?? "")})`
      : `reward **${number(one.reward)}** · ${ordinal(one.rank)} of ${one.versions} ${one.versions === 1 ? "version" : "versions"} of ${code(one.name)}`;
  const attribution = one.attribution === null ? "" : ` · attribution ${number(one.attribution)}`;
  const runnerUp = one.runnerUp
    ? details(
        `How candidate ${one.runnerUp.index}, the runner-up here, differs`,
        fenced(lineDiff(one.source, one.runnerUp.source), "diff"),
      )
    : "No other candidate has a different version of it.";
  return withinLimit([
    { name: "marker", text: marker, keep: true },
    { name: "reward", text: `${code(one.name)}: ${reward}${attribution}`, keep: true },
    { name: "tests", text: testsLine(report), keep: true },
    { name: "runner-up", text: runnerUp },
    { name: "state", text: `<sub>${UNCALIBRATED}</sub>`, keep: true },
  ]);
}

/** Output of the check run (product.md 3.4). `neutral` while uncalibrated: a number that nobody tested turns nothing green. */
export function checkOutput(report: RunReport): { title: string; summary: string; text: string | null } {
  const scored = report.changed.filter((one) => one.reward !== null);
  const lowest = [...scored]
    .filter((one) => one.attribution !== null)
    .sort((a, b) => a.attribution! - b.attribution!)[0];
  const title = `${scored.length}/${report.changed.length} functions scored · uncalibrated${lowest ? ` · lowest ${lowest.name} ${number(lowest.reward)}` : ""}`;
  return {
    title: title.length <= 255 ? title : `${title.slice(0, 254)}…`,
    summary: withinLimit([
      { name: "table", text: functionTable({ ...report, changed: report.changed.slice(0, 20) }) },
      { name: "evidence", text: evidence(report), keep: true },
      { name: "notes", text: notes(report.run) },
      { name: "state", text: UNCALIBRATED, keep: true },
    ]),
    text: report.changed.length > 20 ? functionTable(report) : null,
  };
}

export function number(value: number | null): string {
  return value === null ? "–" : value.toFixed(2);
}

export function ordinal(place: number): string {
  const tail = place % 100;
  const suffix = tail >= 11 && tail <= 13 ? "th" : (["th", "st", "nd", "rd"][place % 10] ?? "th");
  return `${place}${suffix}`;
}
